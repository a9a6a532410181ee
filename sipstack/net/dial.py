"""Connections to the first hop of an MSRP path."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable
from typing import NamedTuple

from sipstack.msrp.uri import MsrpUri, canonical_host

from .tls import HANDSHAKE_TIMEOUT, SHUTDOWN_TIMEOUT, Tls


class Hop(NamedTuple):
    """What a connection leads to, and how it was checked: sessions that want the same share it (C-SET-04)."""

    scheme: str
    host: str
    port: int
    fingerprints: tuple[str, ...] = ()
    """Hashes that the peer's certificate was to have; none when it had to be signed for ``host``."""

    @classmethod
    def of(cls, uri: MsrpUri, fingerprints: tuple[str, ...] = ()) -> Hop:
        """Return the key of a URI."""
        return cls(uri.scheme, canonical_host(uri.host), uri.host_port[1], fingerprints)


async def dial(
    make_protocol: Callable[[], asyncio.Protocol],
    uri: MsrpUri,
    hop: Hop,
    tls: Tls | None,
    allowed: Callable[[str, int], bool] | None,
) -> None:
    """Connect to ``uri``, trying its addresses in turn; raise the last :exc:`OSError`.

    ``allowed`` is asked about each address and port. Certificates are checked for the name in ``uri``, or not at all
    when ``hop`` has fingerprints.
    """
    host, port = uri.host_port
    if uri.transport.lower() != "tcp":
        raise OSError(f"{uri.scheme} over {uri.transport} is not supported")
    context: ssl.SSLContext | None = None
    if uri.secure:
        if tls is None:
            raise OSError("TLS is not configured")
        context = tls.client(hop.fingerprints)
    loop = asyncio.get_running_loop()
    failure = OSError("the name has no address")
    for address in await _resolve(loop, host, port):
        if allowed is not None and not allowed(address, port):
            failure = OSError(f"{address}:{port} is not an allowed destination")
            continue
        try:
            if context is None:
                await loop.create_connection(make_protocol, address, port)
            else:
                await loop.create_connection(
                    make_protocol,
                    address,
                    port,
                    ssl=context,
                    server_hostname=host,
                    ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
                    ssl_shutdown_timeout=SHUTDOWN_TIMEOUT,
                )
        except OSError as error:
            failure = error
        else:
            return
    raise failure


async def _resolve(loop: asyncio.AbstractEventLoop, host: str, port: int) -> list[str]:
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [str(info[4][0]) for info in found]
