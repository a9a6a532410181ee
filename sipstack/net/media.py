"""Between SIP messages and the MSRP part of their session descriptions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sipstack.errors import ParseError, RemoteProtocolError
from sipstack.msrp.session import MsrpSession
from sipstack.net import uas
from sipstack.net.body import sdp_of
from sipstack.net.config import EndpointConfig
from sipstack.sdp import MediaDescription, Origin, SessionDescription, address_type
from sipstack.sdp_msrp import MediaRefused, MsrpMedia, msrp_answer, msrp_media, msrp_offer, protocol_of
from sipstack.sip.headers import quote
from sipstack.sip.message import Message

CPIM = "message/cpim"

WARNING_LENGTH = 120
"""Characters of a warning text."""

MISCELLANEOUS = 399
"""Warning code for what has none of its own (:rfc:`3261#section-20.43`)."""


def parse_description(message: Message) -> SessionDescription | None:
    """Return the session description in ``message``, None when there is none.

    Raise RemoteProtocolError with the SIP status to refuse it with: 400, 415, 488.
    """
    body = sdp_of(message)
    if body is None:
        return None
    try:
        return SessionDescription.parse(body)
    except ParseError as error:
        raise RemoteProtocolError(str(error), status=488) from error


def description_in(message: Message) -> SessionDescription | None:
    """:func:`parse_description`, for those who leave it to others to complain."""
    try:
        return parse_description(message)
    except RemoteProtocolError:
        return None


@dataclass(frozen=True, slots=True)
class Taken:
    """What a session takes, when it is not what the configuration says of chats."""

    types: tuple[str, ...]
    wrapped_types: tuple[str, ...]
    max_size: int | None
    """Octets of a message; None to say nothing."""

    @classmethod
    def by(cls, config: EndpointConfig) -> Taken:
        """Return what chats take."""
        return cls(config.accept_types, config.accept_wrapped_types, config.max_message_size)


def offer(
    config: EndpointConfig, session: MsrpSession, sdp_id: int, *, active: bool = False, taken: Taken | None = None
) -> SessionDescription:
    """Return our offer of ``session``; ``active`` when it runs and we made its connection."""
    taken = taken or Taken.by(config)
    return msrp_offer(
        local=session.local_path[0].host_port,
        path=session.local_path,
        # Behind a relay anybody can reach us.
        setup="active" if active or (config.msrp_setup == "active" and not session.use_path) else "actpass",
        accept_types=taken.types,
        accept_wrapped_types=taken.wrapped_types,
        max_size=taken.max_size,
        session_id=sdp_id,
        version=sdp_id,
        fingerprint=_fingerprint(config),
    )


def answer(
    config: EndpointConfig,
    session: MsrpSession,
    sdp_id: int,
    offered: SessionDescription,
    setup: Literal["passive", "active"],
    *,
    taken: Taken | None = None,
) -> SessionDescription:
    """Return our answer to an offer; ``setup`` is what we are where the offer leaves it to us.

    Raise MediaRefused (488) when nothing in it fits.
    """
    taken = taken or Taken.by(config)
    return msrp_answer(
        offered,
        local=session.local_path[0].host_port,
        path=session.local_path,
        setup=setup,
        accept_types=taken.types,
        accept_wrapped_types=taken.wrapped_types,
        max_size=taken.max_size,
        session_id=sdp_id,
        version=sdp_id,
        fingerprint=_fingerprint(config),
    )


def capability(config: EndpointConfig, host: str) -> SessionDescription:
    """Return what an answer to OPTIONS says of an endpoint that takes files (D-FTM-11, :rfc:`3264#section-9`)."""
    taken = Taken.by(config)
    lines = [
        f"accept-types:{' '.join(taken.types)}",
        f"accept-wrapped-types:{' '.join(taken.wrapped_types)}",
        f"max-size:{taken.max_size}",
        "file-selector",
    ]
    # Port 0: it is no offer.
    medium = MediaDescription("message", 0, config.msrp_protocols[0], ("*",), [("a", line) for line in lines])
    return SessionDescription.create(Origin(0, 0, host, address_type=address_type(host)), [medium])


def is_secure(config: EndpointConfig, offered: SessionDescription | None) -> bool:
    """Tell whether a session shall go by TLS: as ``offered``, or as we offer it.

    An offer of nothing that fits is no: the answer to it says why.
    """
    if offered is None:
        return config.msrp_security != "answer"
    try:
        return msrp_media(offered, protocols=config.msrp_protocols).secure
    except MediaRefused:
        return config.msrp_security == "require"


def medium_of(description: SessionDescription, session: MsrpSession) -> MsrpMedia:
    """Return the medium of the peer's ``description`` that ``session`` can use. Raise MediaRefused (488)."""
    return msrp_media(description, protocols=(protocol_of(session.local_path),))


def is_stopped(offered: SessionDescription) -> bool:
    """Tell whether an offer ends every MSRP medium, by port 0 (:rfc:`3264#section-8.2`)."""
    ports = [medium.port for medium in offered.media if medium.media == "message"]
    return bool(ports) and not any(ports)


def refusal(session: MsrpSession, sdp_id: int, offered: SessionDescription) -> SessionDescription:
    """Return the answer that takes nothing of an offer."""
    host = session.local_path[0].host_port[0]
    origin = Origin(sdp_id, sdp_id, host, address_type=address_type(host))
    return SessionDescription.create(origin, [medium.refused() for medium in offered.media])


def _fingerprint(config: EndpointConfig) -> str | None:
    return None if config.msrp_tls is None else config.msrp_tls.fingerprint


def wants_cpim(media: MsrpMedia) -> bool:
    """Tell whether text should go wrapped (D-CPM-10): the peer prefers it, or takes no bare text (C-SES-04)."""
    return media.accepts(CPIM) and (media.prefers_cpim or not media.accepts("text/plain"))


def warning(config: EndpointConfig, error: RemoteProtocolError) -> tuple[str, str]:
    """Return a Warning header that says what ``error`` says."""
    code = error.warning if isinstance(error, MediaRefused) else MISCELLANEOUS
    text = " ".join(str(error).split())[:WARNING_LENGTH]
    return "Warning", f"{code} {config.warn_agent} {quote(text)}"


def explanation(config: EndpointConfig, error: RemoteProtocolError) -> list[tuple[str, str]]:
    """Return what a response says beside its status about a body that was not taken."""
    return [("Accept", uas.ACCEPT_INVITE)] if error.status == 415 else [warning(config, error)]
