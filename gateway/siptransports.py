"""By what SIP travels besides UDP and TCP: the configuration says it by URIs of the core, and by certificates."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.settings import Config
from sipstack.net.tls import SipTls
from sipstack.sip.routing import wanted_transport
from sipstack.sip.uri import Uri

SECURE = frozenset({"TLS", "WSS"})
WEBSOCKETS = frozenset({"WS", "WSS"})


def sip_tls(config: Config) -> SipTls | None:
    """Return the certificates for SIP; None where nothing needs any. Raise OSError when one cannot be used."""
    sip = config.sip
    if sip.certificate or sip.ca_file or SECURE.intersection(wanted_transports(config)):
        return SipTls(*config.sip_files, clients=sip.tls_clients)
    return None


def has_websockets(config: Config) -> bool:
    """Tell whether a server is reached by WebSocket."""
    return bool(WEBSOCKETS.intersection(wanted_transports(config)))


def wanted_transports(config: Config) -> Iterator[str]:
    """Yield the transports that the URIs of our servers ask for."""
    for text in server_uris(config):
        uri = Uri.parse(text)
        yield wanted_transport(uri) or ("TLS" if uri.scheme == "sips" else "UDP")


def core_names(config: Config) -> frozenset[str]:
    """Return whom a certificate may name whose owner's assertions count: the home domain, our servers by their URIs,
    and the operator's own list."""
    servers = (Uri.parse(text).host_port[0] for text in server_uris(config))
    return frozenset({config.core.domain, *config.sip.trusted_names, *servers})


def server_uris(config: Config) -> Iterator[str]:
    """Yield the URIs of the SIP servers that we send to."""
    yield from config.proxies
    if config.interaction.driver == "sip":
        servers = config.interaction.sip
        yield from filter(None, (servers.im, servers.file))
