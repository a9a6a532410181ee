"""What services are called, network by network: B-REG-02, B-REG-03, B-CAP-01, B-CAP-04, B-CHT-04, B-PGR-01."""

from __future__ import annotations

import pytest

from sipstack.errors import RequestFailed
from sipstack.net.features import (
    feature_text,
    feature_values,
    joined,
    offers_chat,
    offers_files,
    preferred_services,
    takes_files,
)
from sipstack.net.page import page_headers
from sipstack.net.profile import PROFILES, Profile
from sipstack.sip.address import Address
from sipstack.sip.message import Request
from sipstack.sip.uri import Uri

from .helpers import world

ICSI = "urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm"
IARI = "urn%3Aurn-7%3A3gpp-application.ims.iari"
CPM = "urn:urn-7:3gpp-service.ims.icsi.oma.cpm"

CONTACTS = {
    "rcs": f';+g.oma.sip-im;+g.3gpp.icsi-ref="{ICSI}.session,{ICSI}.filetransfer";+g.3gpp.iari-ref="{IARI}.rcs.fthttp"',
    "cpm": f';+g.3gpp.icsi-ref="{ICSI}.session,{ICSI}.filetransfer";+g.3gpp.iari-ref="{IARI}.rcs.fthttp"',
    "simple-im": f';+g.oma.sip-im;+g.3gpp.iari-ref="{IARI}.rcse.im,{IARI}.rcse.ft,{IARI}.rcs.fthttp"',
    "sip": ";+sip.message",
}

INVITES = {
    "rcs": (f'*;+g.oma.sip-im, *;+g.3gpp.icsi-ref="{ICSI}.session"', f"{CPM}.session"),
    "cpm": (f'*;+g.3gpp.icsi-ref="{ICSI}.session"', f"{CPM}.session"),
    "simple-im": (f'*;+g.oma.sip-im, *;+g.3gpp.iari-ref="{IARI}.rcse.im"', None),
    "sip": (None, None),
}


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_tags(profile: Profile) -> None:
    """The golden Contact of a client with chat, files and links."""
    everything = joined(profile.chat, profile.files, profile.links)
    assert feature_text(everything) == CONTACTS[profile.name]
    contact = [Address.parse(f"<sip:a@b>{feature_text(everything)}")]
    assert offers_chat(contact)
    assert offers_files(contact) == takes_files(everything) == profile.is_rcs


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_headers(profile: Profile) -> None:
    accepts, service = INVITES[profile.name]
    chat = dict(profile.chat_headers())
    expected = {"Accept-Contact": accepts, "P-Preferred-Service": service}
    assert chat == {name: value for name, value in expected.items() if value is not None}
    page = dict(page_headers("c1", "c2", profile))
    assert (page["Conversation-ID"], page["Contribution-ID"]) == ("c1", "c2")
    assert ("Request-Disposition" in page) == profile.is_rcs
    assert page.get("P-Preferred-Service") == (f"{CPM}.msg" if profile.name in ("rcs", "cpm") else None)
    file = dict(profile.file_headers())
    assert file.get("P-Preferred-Service") == (f"{CPM}.filetransfer" if profile.name in ("rcs", "cpm") else None)


@pytest.mark.parametrize(
    ("values", "services"),
    [
        ([], ()),
        (["*;+g.oma.sip-im"], ()),
        ([f'*;+g.3gpp.icsi-ref="{ICSI}.session"'], (f"{CPM}.session",)),
        ([f'*;+G.3gpp.ICSI-ref="{ICSI.upper()}.X,<{ICSI}.msg>";require;explicit'], (f"{CPM}.x", f"{CPM}.msg")),
        ([f'*;audio, *;+g.3gpp.iari-ref="{IARI}.rcse.im"'], ("urn:urn-7:3gpp-application.ims.iari.rcse.im",)),
        (["*;;"], ()),
    ],
)
def test_services_that_are_preferred(values: list[str], services: tuple[str, ...]) -> None:
    """B-CHT-04: percent-decoded, without regard to case; what cannot be read is passed over."""
    request = Request("INVITE", "sip:b@h", [("Accept-Contact", value) for value in values])
    assert preferred_services(request) == services


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
async def test_on_the_wire(profile: Profile) -> None:
    """REGISTER, OPTIONS and INVITE of a client in each network."""
    async with world() as around:
        agent = around.agent(around.a, "a")
        agent.profile, agent.features = profile, profile.chat
        await agent.register()
        register = around.core.requests[-1]
        own = feature_values([Address.parse(f"<sip:x@y>{feature_text(profile.chat)}")])
        assert feature_values(register.contacts) >= own
        nobody = Uri.parse("sip:nobody@ims.example")
        await agent.options(nobody)
        options = around.core.requests[-1]
        assert (options.headers.get("Accept-Contact") is not None) == profile.is_rcs
        with pytest.raises(RequestFailed):
            await agent.invite(nobody)
        invite = next(request for request in around.core.requests if request.method == "INVITE")
        assert invite.headers.get("P-Preferred-Service") == INVITES[profile.name][1]
        await agent.close()
