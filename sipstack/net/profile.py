"""What a client calls its services: in feature tags, Accept-Contact and P-Preferred-Service, by the kind of network."""

from __future__ import annotations

from dataclasses import dataclass

from sipstack.net.features import (
    CHAT_FEATURES,
    CPM_FILE,
    CPM_MESSAGE,
    CPM_SESSION,
    FILE_FEATURES,
    FT_HTTP_FEATURES,
    IARI_CHAT,
    IARI_FILE,
    IARI_TAG,
    ICSI_TAG,
    MSRP_TAG,
    PAGER_FEATURES,
    SIMPLE_IM_TAG,
    accept_contact,
    reference,
)
from sipstack.sip.uri import Parameters

Fields = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of network. Names of services are empty where it has none (:rfc:`6050`)."""

    name: str
    chat: Parameters
    files: Parameters
    """Files over MSRP."""
    links: Parameters
    """Files by links in the chat."""
    pages: Parameters
    """Standalone messages by SIP MESSAGE."""
    chat_service: str = ""
    file_service: str = ""
    page_service: str = ""
    is_rcs: bool = True
    """Whether a device without tags has no RCS; else it has none to show."""

    def chat_headers(self) -> Fields:
        """Return what an INVITE to a chat carries (B.4, B-CHT-04)."""
        return self._headers(self.chat, self.chat_service)

    def file_headers(self) -> Fields:
        """Return what an INVITE about a file carries."""
        return self._headers(self.files, self.file_service)

    def page_headers(self) -> Fields:
        """Return what a standalone message carries (B-PGR-01)."""
        fields = self._headers(self.pages, self.page_service)
        return [*fields, ("Request-Disposition", "no-fork")] if self.is_rcs else fields

    def _headers(self, features: Parameters, service: str) -> Fields:
        fields = [("Accept-Contact", accept_contact(features))] if self.is_rcs else []
        return [*fields, ("P-Preferred-Service", service)] if service else fields


RCS = Profile(
    "rcs",
    chat=CHAT_FEATURES,
    files=FILE_FEATURES,
    links=FT_HTTP_FEATURES,
    pages=PAGER_FEATURES,
    chat_service=CPM_SESSION,
    file_service=CPM_FILE,
    page_service=CPM_MESSAGE,
)
"""Says chat as SIMPLE IM and as CPM, for networks with devices of both kinds."""

CPM = Profile(
    "cpm",
    chat=((ICSI_TAG, reference(CPM_SESSION)),),
    files=FILE_FEATURES,
    links=FT_HTTP_FEATURES,
    pages=PAGER_FEATURES,
    chat_service=CPM_SESSION,
    file_service=CPM_FILE,
    page_service=CPM_MESSAGE,
)
"""OMA CPM, as RCS has it since 5.1."""

SIMPLE_IM = Profile(
    "simple-im",
    chat=((SIMPLE_IM_TAG, None), (IARI_TAG, reference(IARI_CHAT))),
    files=((IARI_TAG, reference(IARI_FILE)),),
    links=FT_HTTP_FEATURES,
    pages=((SIMPLE_IM_TAG, None),),
)
"""OMA SIMPLE IM, as RCS-e has it: no communication services, so there is none to prefer."""

SIP = Profile("sip", chat=((MSRP_TAG, None),), files=((MSRP_TAG, None),), links=(), pages=(), is_rcs=False)
"""Plain SIP with MSRP; its tag is that of :rfc:`4569`. Nobody is asked to prefer it, as few devices show it."""

PROFILES = {profile.name: profile for profile in (RCS, CPM, SIMPLE_IM, SIP)}
