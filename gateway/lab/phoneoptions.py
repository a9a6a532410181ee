"""Who a phone is, and what it speaks by."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gateway.lab.behaviour import Behaviour
from sipstack.im import fthttp
from sipstack.msrp.uri import MsrpUri
from sipstack.net import notices
from sipstack.net.config import EndpointConfig
from sipstack.net.tls import SipTls, Tls
from sipstack.sip.routing import wanted_transport
from sipstack.sip.uri import Uri


@dataclass(slots=True)
class PhoneOptions:
    """Who the phone is and where its core is."""

    aor: str = "sip:a@cc.com"
    password: str = ""
    username: str = ""
    """Private identity for the digest; empty: the user part of ``aor``."""
    proxy: str = ""
    """Outbound proxy, ``sip:127.0.0.1:5060;transport=tcp;lr``; empty: found by the domain of ``aor``."""
    display_name: str | None = None
    host: str = "127.0.0.1"
    port: int = 0
    msrp_port: int = 0
    expires: int = 3600
    cutter: bool = False
    """Let peers reach MSRP through a wire that can be cut."""
    relays: tuple[str, ...] = ()
    """MSRP relays that chats go by, nearest first; they know the phone by the same password as its core."""
    authorities: Path | None = None
    """PEM file of those who sign certificates of relays and core; None: the system's."""
    folder: Path | None = None
    """Where files go that come in; None: a folder that goes with the phone."""
    content_server: str = ""
    """URL to which files go whose links are sent (RCC.07); empty: the phone can only fetch."""
    behaviour: Behaviour = field(default_factory=Behaviour)

    def endpoint_config(self) -> EndpointConfig:
        """Return what the phone's endpoint is made with."""
        relays = tuple(map(MsrpUri.parse, self.relays))
        proxy = Uri.parse(self.proxy) if self.proxy else Uri("sip")
        transport = wanted_transport(proxy) or ""
        return EndpointConfig(
            bind_host=self.host,
            bind_port=self.port,
            msrp_port=self.msrp_port,
            msrp_relays=relays,
            msrp_tls=Tls(authorities=self.authorities) if any(relay.secure for relay in relays) else None,
            tls=SipTls(authorities=self.authorities) if proxy.scheme == "sips" or transport in ("TLS", "WSS") else None,
            websocket=transport in ("WS", "WSS"),
            user_agent="rcsgw lab phone",
            accept_types=notices.ACCEPT_TYPES,
            accept_wrapped_types=(*notices.ACCEPT_WRAPPED_TYPES, fthttp.CONTENT_TYPE),
        )
