"""Offers and answers for one MSRP session (:rfc:`4975#section-8`, :rfc:`6135`)."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Literal

from sipstack.errors import ParseError, RemoteProtocolError
from sipstack.flow import HostPort
from sipstack.msrp.mediatype import accepts, bare_type
from sipstack.msrp.uri import MsrpUri, parse_path
from sipstack.sdp import MediaDescription, Origin, SessionDescription, address_type

Setup = Literal["active", "passive", "actpass"]
"""Who connects: the one who says ``active`` (C-SET-02)."""

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]

DISCARD_PORT = 9
"""What the ``m=`` line of an active endpoint says in place of a port (:rfc:`6135#section-4.2.2`)."""

TCP_MSRP = "TCP/MSRP"
"""Protocol of an ``m=`` line whose path begins with ``msrp:``."""

TLS_MSRP = "TCP/TLS/MSRP"
"""Protocol of an ``m=`` line whose path begins with ``msrps:``."""

# fingerprint = hash-func SP 2UHEX *(":" 2UHEX) (:rfc:`8122#section-5`); lower case is taken too.
_FINGERPRINT = re.compile(r"(\S+) +([0-9A-F]{2}(?::[0-9A-F]{2})*)", re.IGNORECASE | re.ASCII)
_REVERSED: dict[str, Direction] = {
    "sendrecv": "sendrecv",
    "sendonly": "recvonly",
    "recvonly": "sendonly",
    "inactive": "inactive",
}
_SETUPS: dict[str, Setup] = {"active": "active", "passive": "passive", "actpass": "actpass"}


class MediaRefused(RemoteProtocolError):
    """No medium of a description can be used: 488, with a Warning that says why (A-UAS-11)."""

    status = 488

    def __init__(self, text: str, warning: int = 304) -> None:
        super().__init__(text)
        self.warning = warning
        """Code of the Warning header; the text is ``str()`` of this error."""


@dataclass(slots=True)
class MsrpMedia:
    """What a description says about its first usable MSRP medium."""

    path: tuple[MsrpUri, ...]
    """Nearest hop first, the endpoint last (C-URI-04)."""
    setup: Setup | None
    """None when the attribute is missing, or ``holdconn``, which must be ignored."""
    accept_types: tuple[str, ...]
    accept_wrapped_types: tuple[str, ...]
    max_size: int | None
    """Octets; None when the peer sets no limit."""
    direction: Direction
    host: str | None
    """From ``c=``; used to connect by CEMA only (C-URI-06)."""
    port: int
    index: int
    """Place of the medium among the ``m=`` lines."""
    fingerprints: tuple[str, ...] = ()
    """SHA-256 hashes of certificates, as ``AB:CD:…``: one of them must be the peer's own (C-SET-08)."""
    cema: bool = False
    """The endpoint would have us connect to ``c=`` and ``m=`` (:mod:`sipstack.sdp_cema`)."""

    @property
    def secure(self) -> bool:
        """Tell whether the first hop speaks TLS."""
        return self.path[0].secure

    @property
    def may_receive(self) -> bool:
        """Tell whether the endpoint wants payload; notifications, typing and reports it gets in any case (C-SES-05)."""
        return self.direction in ("sendrecv", "recvonly")

    def accepts(self, content_type: str) -> bool:
        """Tell whether the endpoint takes ``content_type`` outside any container."""
        return accepts(self.accept_types, content_type)

    def accepts_wrapped(self, content_type: str) -> bool:
        """Tell whether the endpoint takes ``content_type`` inside a container that it takes (C-SES-03)."""
        return self.accepts(content_type) or accepts(self.accept_wrapped_types, content_type)

    @property
    def prefers_cpim(self) -> bool:
        """Tell whether messages should be wrapped: the peer lists ``message/cpim`` first (D-CPM-10)."""
        return bare_type(self.accept_types[0]) == "message/cpim"


def msrp_offer(
    *,
    local: HostPort,
    path: Sequence[MsrpUri],
    setup: Literal["actpass", "active"],
    accept_types: Sequence[str],
    accept_wrapped_types: Sequence[str] = (),
    max_size: int | None = None,
    session_id: int,
    version: int,
    fingerprint: str | None = None,
) -> SessionDescription:
    """Return an offer of one MSRP session.

    ``local`` is what ``c=`` and ``m=`` repeat of ``path``; ``max_size`` is in octets; ``session_id`` and ``version``
    stand in ``o=``: the first stays, the second grows by one with each change. ``fingerprint`` is the SHA-256 hash of
    our certificate; it counts where ``path`` leads straight to us by TLS.
    """
    origin = Origin(session_id, version, local[0], address_type=address_type(local[0]))
    medium = _medium(local[1], path, setup, accept_types, accept_wrapped_types, max_size, "sendrecv", fingerprint)
    return SessionDescription.create(origin, [medium])


def msrp_answer(
    offer: SessionDescription,
    *,
    local: HostPort,
    path: Sequence[MsrpUri],
    setup: Literal["passive", "active"] = "passive",
    accept_types: Sequence[str],
    accept_wrapped_types: Sequence[str] = (),
    max_size: int | None = None,
    session_id: int,
    version: int,
    fingerprint: str | None = None,
) -> SessionDescription:
    """Return the answer that takes the first usable MSRP medium of ``offer`` and refuses all others (A-OA-01).

    ``setup`` counts where the offer leaves the choice; ``path`` decides whether a medium with or without TLS fits.
    Raise :exc:`MediaRefused` when nothing fits.
    """
    remote = msrp_media(offer, protocols=(protocol_of(path),))
    # That both take bodies of several parts says nothing about what is in them.
    if not any(_has_common(remote.accept_types, entry) for entry in accept_types if not entry.startswith("multipart/")):
        raise MediaRefused(f"none of our media types is in accept-types {' '.join(remote.accept_types)}")
    origin = Origin(session_id, version, local[0], address_type=address_type(local[0]))
    own = answer_setup(remote.setup, setup)
    direction = _REVERSED[remote.direction]
    accepted = _medium(local[1], path, own, accept_types, accept_wrapped_types, max_size, direction, fingerprint)
    media = [accepted if index == remote.index else medium.refused() for index, medium in enumerate(offer.media)]
    return SessionDescription.create(origin, media)


def protocol_of(path: Sequence[MsrpUri]) -> str:
    """Return the protocol of an ``m=`` line with that path (:rfc:`4975#section-8.1`)."""
    return TLS_MSRP if path[0].secure else TCP_MSRP


def msrp_media(description: SessionDescription, *, protocols: Container[str] = (TCP_MSRP,)) -> MsrpMedia:
    """Return the first MSRP medium that can be used, or raise :exc:`MediaRefused` with what is wrong with the last.

    ``protocols`` are those that the caller speaks, of :data:`TCP_MSRP` and :data:`TLS_MSRP`.
    """
    refusal = MediaRefused("no MSRP medium is offered")
    for index, medium in enumerate(description.media):
        if medium.media != "message" or medium.port == 0:
            continue
        if medium.protocol.upper() not in protocols:
            refusal = MediaRefused(f"{medium.protocol} is not supported", 302)
            continue
        try:
            return _parse_medium(description, medium, index)
        except MediaRefused as error:
            refusal = error
    raise refusal


def answer_setup(offered: Setup | None, preferred: Literal["passive", "active"]) -> Setup | None:
    """Return the ``a=setup`` of an answer (C-SET-02).

    Without the attribute the offerer connects, as in RFC 4975 alone, and the answer doesn't have it either.
    """
    if offered is None:
        return None
    if offered == "actpass":
        return preferred
    return "passive" if offered == "active" else "active"


def is_active(local: MsrpMedia, remote: MsrpMedia, *, offerer: bool) -> bool:
    """Tell whether we connect, once offer and answer are there; ``offerer`` tells whether the offer was ours.

    The answer decides. Where it has no ``a=setup``, the peer doesn't know RFC 6135 and the offerer connects.
    """
    answer = remote if offerer else local
    if answer.setup not in ("active", "passive"):
        return offerer
    return (answer.setup == "passive") == offerer


def _parse_medium(description: SessionDescription, medium: MediaDescription, index: int) -> MsrpMedia:
    path_text = medium.attribute("path") or ""
    try:
        path = parse_path(path_text)
    except ParseError as error:
        raise MediaRefused(f"a=path: {error}", 306) from None
    # Hops behind the first may use transports that we don't know (C-WS-01).
    if path[0].transport.lower() != "tcp" or any(uri.port is None for uri in path):
        raise MediaRefused(f"a=path: {path_text[:80]} has no TCP port to connect to", 306)
    if medium.protocol.upper() != protocol_of(path):
        # To follow one of the two would be to give up TLS, or to promise it where there is none.
        raise MediaRefused(f"a=path: {path[0].scheme} contradicts {medium.protocol}", 306)
    accept_types = tuple((medium.attribute("accept-types") or "").split())
    if not accept_types:
        raise MediaRefused("a=accept-types is missing", 306)
    max_size = medium.attribute("max-size")
    setup = medium.attribute("setup") or description.attribute("setup")
    return MsrpMedia(
        path=path,
        setup=_SETUPS.get((setup or "").lower()),
        accept_types=accept_types,
        accept_wrapped_types=tuple((medium.attribute("accept-wrapped-types") or "").split()),
        max_size=int(max_size) if max_size and max_size.isascii() and max_size.isdigit() else None,
        direction=_direction(description, medium),
        host=medium.connection or description.connection,
        port=medium.port,
        index=index,
        fingerprints=_fingerprints(description, medium) if path[0].secure else (),
        cema=medium.attribute("msrp-cema") is not None,
    )


def _fingerprints(description: SessionDescription, medium: MediaDescription) -> tuple[str, ...]:
    """Return the SHA-256 hashes; raise :exc:`MediaRefused` when there are only others, which nobody can check."""
    values = medium.attributes("fingerprint") or description.attributes("fingerprint")
    hashes: list[str] = []
    for value in values:
        match = _FINGERPRINT.fullmatch(value)
        if match is not None and match[1].upper() == "SHA-256":
            hashes.append(match[2].upper())
    if values and not hashes:
        raise MediaRefused("a=fingerprint has no SHA-256 hash", 306)
    return tuple(hashes)


def _direction(description: SessionDescription, medium: MediaDescription) -> Direction:
    for place in (medium, description):
        for direction in _REVERSED.values():
            if place.attribute(direction) is not None:
                return direction
    return "sendrecv"


def _has_common(accept_types: Sequence[str], entry: str) -> bool:
    """Tell whether one of our entries, which may be ``*`` or ``type/*`` too, meets one of theirs."""
    return accepts(accept_types, entry) or any(accepts((entry,), other) for other in accept_types)


def _medium(
    port: int,
    path: Sequence[MsrpUri],
    setup: Setup | None,
    accept_types: Sequence[str],
    accept_wrapped_types: Sequence[str],
    max_size: int | None,
    direction: Direction,
    fingerprint: str | None,
) -> MediaDescription:
    attributes = [f"accept-types:{' '.join(accept_types)}"]
    if accept_wrapped_types:
        attributes.append(f"accept-wrapped-types:{' '.join(accept_wrapped_types)}")
    if max_size is not None:
        attributes.append(f"max-size:{max_size}")
    if setup is not None:
        attributes.append(f"setup:{setup}")
    if fingerprint is not None and path[0].secure and len(path) == 1:
        attributes.append(f"fingerprint:SHA-256 {fingerprint}")
    attributes += [f"path:{' '.join(map(str, path))}", direction]
    port = DISCARD_PORT if setup == "active" else port
    return MediaDescription("message", port, protocol_of(path), ("*",), [("a", attribute) for attribute in attributes])
