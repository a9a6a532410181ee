"""Connections to the first hop of an MSRP path."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from sipstack.flow import HostPort
from sipstack.msrp.uri import MsrpUri, canonical_host

from .tls import HANDSHAKE_TIMEOUT, SHUTDOWN_TIMEOUT, Tls


class Hop(NamedTuple):
    """What a connection leads to, and how it is checked: sessions that want the same share it (C-SET-04)."""

    scheme: str
    host: str
    """Where to connect: the host of a URI, or what stands in its place (C-CEM-01)."""
    port: int
    name: str
    """Whom the certificate must be signed for, when there are no fingerprints: the host of the URI."""
    transport: str = "tcp"
    """``ws``: MSRP in WebSocket messages (:rfc:`7977`)."""
    fingerprints: tuple[str, ...] = ()
    """Hashes, one of which the peer's certificate must have."""

    @classmethod
    def of(cls, uri: MsrpUri, fingerprints: tuple[str, ...] = (), *, at: HostPort | None = None) -> Hop:
        """Return the way to a URI; ``at`` is where to connect instead of what it says."""
        host, port = uri.host_port if at is None else at
        name = canonical_host(uri.host)
        return cls(uri.scheme, canonical_host(host), port, name, uri.transport.lower(), fingerprints)


async def dial(
    make_protocol: Callable[[], asyncio.Protocol],
    hop: Hop,
    tls: Tls | None,
    allowed: Callable[[str, int], bool] | None,
) -> None:
    """Connect as ``hop`` says, trying the addresses of its host in turn; raise the last :exc:`OSError`.

    ``allowed`` is asked about each address and port.
    """
    if hop.transport not in ("tcp", "ws") or (hop.transport == "ws" and hop.scheme != "msrps"):
        # MSRP over WebSocket without TLS there is none (:rfc:`7977#section-5.1`).
        raise OSError(f"{hop.scheme} over {hop.transport} is not supported")
    context: ssl.SSLContext | None = None
    if hop.scheme == "msrps":
        if tls is None:
            raise OSError("TLS is not configured")
        context = tls.client(hop.fingerprints)
    failure = OSError("the name has no address")
    for address in await resolve(hop.host, hop.port):
        if allowed is not None and not allowed(address, hop.port):
            failure = OSError(f"{address}:{hop.port} is not an allowed destination")
            continue
        try:
            await _connect(make_protocol, hop, address, context)
        except OSError as error:
            failure = error
        else:
            return
    raise failure


async def _connect(
    make_protocol: Callable[[], asyncio.Protocol], hop: Hop, address: str, context: ssl.SSLContext | None
) -> None:
    loop = asyncio.get_running_loop()
    if context is None:
        await loop.create_connection(make_protocol, address, hop.port)
        return
    connect = partial(
        loop.create_connection,
        host=address,
        port=hop.port,
        ssl=context,
        server_hostname=hop.name,
        ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
        ssl_shutdown_timeout=SHUTDOWN_TIMEOUT,
    )
    if hop.transport == "tcp":
        await connect(make_protocol)
        return
    from .websocket import MsrpWebSocket, Resource  # only who has such a relay pays for the library

    _, web_socket = await connect(lambda: MsrpWebSocket(make_protocol(), Resource(hop.host, hop.port)))
    await web_socket.opened()


async def resolve(host: str, port: int) -> list[str]:
    """Return the numeric addresses of a host. Raise :exc:`OSError` when it has none."""
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [str(info[4][0]) for info in found]
