"""What an endpoint is told about its surroundings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sipstack.flow import Flow, HostPort
from sipstack.im.multipart import ALTERNATIVE, MIXED
from sipstack.msrp.relay import chain_fault
from sipstack.msrp.uri import MsrpUri
from sipstack.net import uas
from sipstack.net.locator import DEAD_TIME
from sipstack.net.tls import SipTls, Tls
from sipstack.sdp_msrp import TCP_MSRP, TLS_MSRP
from sipstack.sip.outbound import RECOVERY, Recovery
from sipstack.sip.reliable import OPTION as RELIABLE
from sipstack.sip.session_timer import MINIMUM, RECOMMENDED
from sipstack.sip.timers import TimerValues
from sipstack.sip.uri import Uri

MTU_LIMIT = 1300
"""Octets above which a request goes by TCP when the path MTU is unknown (:rfc:`3261#section-18.1.1`)."""

MAX_PAGE_SIZE = 1300
"""Octets of a whole MESSAGE outside of a session, so that no hop has to send fragments (:rfc:`3428#section-8`)."""

MAX_MESSAGE_SIZE = 10 * 1024 * 1024
"""Octets of one MSRP message that we take and announce as ``a=max-size``."""

ACCEPT_TYPES = ("message/cpim", "text/plain", MIXED, ALTERNATIVE)
"""What a chat takes; ``message/cpim`` first, as a gateway must (D-CPM-10). The last two are mandatory, and must be
announced like any other (:rfc:`4975#section-8.6`)."""

ACCEPT_WRAPPED_TYPES = ("text/plain",)
"""What a chat takes inside CPIM."""


def anywhere(host: str, port: int) -> bool:
    """Allow MSRP connections to any address."""
    return True


def nobody(flow: Flow) -> bool:
    """Trust no flow: P-Asserted-Identity is ignored."""
    return False


@dataclass(slots=True)
class EndpointConfig:
    """Addresses, limits and timers of an endpoint. Bind and advertised addresses may differ (NAT, containers)."""

    bind_host: str = "127.0.0.1"
    """``::``: all addresses of both families."""
    bind_port: int = 0
    """0: any port that is free for UDP and TCP."""
    advertise_host: str | None = None
    """Host for Via and Contact; None: the bind address."""
    advertise_port: int | None = None
    msrp: bool = True
    """Whether there are chats at all; a proxy or registrar needs none."""
    msrp_bind_host: str | None = None
    """None: as ``bind_host``."""
    msrp_port: int = 0
    msrp_advertise_host: str | None = None
    """Host for the MSRP path; None: the bind address of MSRP, or ``advertise_host`` when that is set."""
    msrp_advertise_port: int | None = None
    msrp_allowed: Callable[[str, int], bool] = anywhere
    """Whether MSRP may connect to this address and port, which a peer has chosen."""
    msrp_connect_timeout: float = 10.0
    """Seconds for an MSRP connection of ours to come up."""
    msrp_recovery: float = 2.0
    """Seconds that a session without connection waits for the peer to offer a new one, if it has nothing to send
    itself, and behind MSRP relays as long again as it may take to get a path; 0: sessions end with their connection."""
    msrp_setup: Literal["actpass", "active"] = "actpass"
    """``actpass``: peers can reach us; ``active``: we always connect (behind NAT or a relay)."""
    msrp_tls: Tls | None = None
    """Certificates for ``msrps``; None: there is none."""
    msrp_tls_port: int = 0
    msrp_tls_advertise_port: int | None = None
    msrp_security: Literal["answer", "offer", "require"] = "answer"
    """With a certificate: take TLS where it is offered, offer it, or take nothing else."""
    msrp_relays: tuple[MsrpUri, ...] = ()
    """Relays that our MSRP goes by (:rfc:`4976`), nearest first; each user agent shows them its own credentials.

    The nearest may have the transport ``ws``: MSRP over WebSocket (:rfc:`7977`)."""
    msrp_cema: bool = True
    """Whether middleboxes may move our MSRP connections (:rfc:`6714`)."""
    max_message_size: int = MAX_MESSAGE_SIZE
    max_page_size: int = MAX_PAGE_SIZE
    """More only where it is known that no hop of the network speaks UDP."""
    accept_types: tuple[str, ...] = ACCEPT_TYPES
    accept_wrapped_types: tuple[str, ...] = ACCEPT_WRAPPED_TYPES
    user_agent: str = "rcsgw"
    """For User-Agent and Server headers."""
    network_headers: tuple[tuple[str, str], ...] = ()
    """What the core wants in all requests, such as P-Access-Network-Info (:rfc:`7315`, B-REG-09)."""
    warn_agent: str = "rcsgw"
    """Name of this host in Warning headers: a token or host."""
    udp: bool = True
    tcp: bool = True
    tls: SipTls | None = None
    """Certificates for SIP over TLS and secure WebSockets; None: there is neither."""
    tls_port: int | None = None
    """Where peers may connect by TLS, at ``bind_host``, when ``tls`` lets them; 0: any port, None: nowhere."""
    tls_advertise_port: int | None = None
    websocket: bool = False
    """Whether servers can be reached by WebSocket (:rfc:`7118`)."""
    websocket_path: str = "/"
    keep_alive: Literal["off", "negotiated", "always"] = "negotiated"
    """Keep-alives on flows by which we register: never, where the core agrees (:rfc:`5626`, :rfc:`6223`), always."""
    behind_nat: bool = False
    """Whether pending INVITEs are repeated by UDP where there are no keep-alives (:rfc:`3581#section-3`)."""
    mtu_limit: int = MTU_LIMIT
    timers: TimerValues = TimerValues()
    proxies: tuple[Uri, ...] = ()
    """Outbound proxies that stand for each other: what would go to the first goes to any of them, in equal shares."""
    name_servers: tuple[HostPort, ...] = ()
    """DNS servers to ask instead of the system's."""
    dead_time: float = DEAD_TIME
    """Seconds for which a target that failed is passed over."""
    max_rate: float = 0.0
    """Requests outside dialogs that we take in a second; what comes on top gets 503. 0: any number."""
    max_lag: float = 0.0
    """Seconds that we may be late with everything before new requests get 503; 0: any."""
    recovery: Recovery = RECOVERY
    """How long failed registrations wait."""
    redirects: int = 0
    """URIs that a redirected request is sent to at most, :data:`~sipstack.sip.redirect.REDIRECT_LIMIT` being the most
    that makes sense; 0: redirections are reported as refusals."""
    session_expires: int = RECOMMENDED
    """Seconds after which a dialog ends that neither side has refreshed (:rfc:`4028`), as we ask for it; 0: only where
    the peer does."""
    min_se: int = MINIMUM
    """Seconds; the shortest such interval that we take."""
    reliable: Literal["required", "supported", "off"] = "required"
    """Which invitations ring by reliable responses (:rfc:`3262`): those that require it, all whose caller supports it,
    or none; then 100rel is not supported at all."""
    trusted: Callable[[Flow], bool] = nobody
    """Whether P-Asserted-Identity counts in what comes by this flow (:rfc:`3325#section-9.1`)."""

    def __post_init__(self) -> None:
        if self.msrp_security != "answer" and (self.msrp_tls is None or self.msrp_tls.server is None):
            raise ValueError(f"msrp_security {self.msrp_security} needs a certificate")
        fault = chain_fault(self.msrp_relays)
        if fault is not None:
            raise ValueError(f"msrp_relays: {fault}")

    @property
    def transports(self) -> tuple[str, ...]:
        """The transports that are on, the preferred one first."""
        websocket, secure = self.websocket, self.tls is not None
        switches = {"UDP": self.udp, "TCP": self.tcp, "TLS": secure, "WS": websocket, "WSS": websocket and secure}
        return tuple(name for name, on in switches.items() if on)

    @property
    def msrp_protocols(self) -> tuple[str, ...]:
        """What may stand in the ``m=`` line of an offer to us. Behind relays it is what leads to the outermost."""
        if self.msrp_relays:
            return (TLS_MSRP,) if self.msrp_relays[-1].secure else (TCP_MSRP,)
        if self.msrp_tls is None or self.msrp_tls.server is None:
            return (TCP_MSRP,)
        return (TLS_MSRP,) if self.msrp_security == "require" else (TLS_MSRP, TCP_MSRP)

    @property
    def supported_options(self) -> frozenset[str]:
        """The option tags that requests to us may require."""
        return uas.SUPPORTED_OPTIONS if self.reliable != "off" else uas.SUPPORTED_OPTIONS - {RELIABLE}

    @property
    def supported(self) -> str:
        """The same as a value of Supported."""
        return ", ".join(sorted(self.supported_options))

    @property
    def ipv6(self) -> bool:
        """Whether the sockets are IPv6."""
        return ":" in self.bind_host

    @property
    def families(self) -> tuple[str, ...]:
        """The kinds of DNS records whose addresses our sockets reach."""
        if self.bind_host == "::":
            return ("AAAA", "A")
        return ("AAAA",) if self.ipv6 else ("A",)
