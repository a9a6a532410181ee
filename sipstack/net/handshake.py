"""TLS with who connects to us: strangers count from their first packet on, not from the end of the handshake."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

from sipstack.flow import HostPort, host_port

from .tls import HANDSHAKE_TIMEOUT, SHUTDOWN_TIMEOUT
from .unclaimed import Unclaimed

logger = logging.getLogger(__name__)

BACKLOG = 100
"""Connections that the kernel keeps for us, and that we take at a time; what asyncio's own servers have."""
ACCEPT_PAUSE = 1.0
"""Seconds that nothing is accepted after the system had no file descriptor or memory for it."""


def listening_socket(address: HostPort) -> socket.socket:
    """Return a socket that listens at ``address``, for IPv4 too where that is ``::``. Raise :exc:`OSError`."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    both = address[0] == "::" and socket.has_dualstack_ipv6()
    return socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=both)


class TlsListener:
    """A socket whose connections become ones by TLS; then ``accept`` makes their protocols.

    asyncio's own TLS servers tell nobody of handshakes that are under way or fail: anyone could keep as many open as
    the process has file descriptors. Here they are ``unclaimed`` connections.
    """

    def __init__(
        self,
        accept: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext,
        unclaimed: Unclaimed,
        address: HostPort,
        *,
        protocol: str = "MSRP",
    ) -> None:
        """Listen at ``address`` for what the log calls ``protocol``. Raise :exc:`OSError` when that cannot be."""
        self._make_protocol = accept
        self._context = context
        self._unclaimed = unclaimed
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._socket = listening_socket(address)
        self._socket.setblocking(False)
        self._listen()

    @property
    def port(self) -> int:
        """The port that we listen at."""
        port: int = self._socket.getsockname()[1]
        return port

    def close(self) -> None:
        """Accept nothing more; who is in the middle of a handshake is let go."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()
        for handshake in tuple(self._handshakes):
            handshake.cancel()

    async def wait_closed(self) -> None:
        """Wait until the handshakes are gone."""
        await asyncio.gather(*self._handshakes, return_exceptions=True)

    def _listen(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        for _ in range(BACKLOG):
            try:
                raw, remote = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                logger.error("%s connections by TLS cannot be accepted: %s", self._protocol, error)
                self._loop.remove_reader(self._socket)
                self._loop.call_later(ACCEPT_PAUSE, self._listen)
                return
            raw.setblocking(False)
            if self._unclaimed.add(raw, host_port(remote)[0]):
                task = self._loop.create_task(self._shake_hands(raw))
                self._handshakes.add(task)
                task.add_done_callback(self._handshakes.discard)
            else:
                logger.warning("too many unclaimed %s connections, the last from %s", self._protocol, remote[:2])
                self._unclaimed.discard(raw)
                raw.close()

    async def _shake_hands(self, raw: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._make_protocol,
                raw,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT,
            )
        except OSError as error:
            logger.debug("no TLS with a peer of %s: %s", self._protocol, error)
        finally:
            self._unclaimed.discard(raw)
