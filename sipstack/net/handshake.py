"""TLS with who connects to us: strangers count from their first packet on, not from the end of the handshake."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import cast

from .tls import HANDSHAKE_TIMEOUT, SHUTDOWN_TIMEOUT
from .unclaimed import Unclaimed

logger = logging.getLogger(__name__)


class TlsGate(asyncio.Protocol):
    """A connection by TCP that is to become one by TLS.

    asyncio's own TLS servers tell nobody of handshakes that are under way or fail: anyone could keep as many open as
    the process has file descriptors. ``accept`` makes the protocol that takes over; ``tasks`` holds the handshakes.
    """

    def __init__(
        self,
        accept: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext,
        unclaimed: Unclaimed,
        tasks: set[asyncio.Task[None]],
    ) -> None:
        self._accept = accept
        self._context = context
        self._unclaimed = unclaimed
        self._tasks = tasks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        plain = cast(asyncio.Transport, transport)
        remote = plain.get_extra_info("peername") or ("", 0)
        if not self._unclaimed.add(self, remote[0]):
            logger.warning("too many unclaimed MSRP connections, the last from %s", remote[:2])
            self._unclaimed.discard(self)
            plain.abort()
            return
        plain.pause_reading()
        task = asyncio.get_running_loop().create_task(self._secure(plain))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _secure(self, plain: asyncio.Transport) -> None:
        early = _EarlyOctets()
        try:
            transport = await asyncio.get_running_loop().start_tls(
                plain,
                early,
                self._context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT,
            )
        except OSError:
            return
        finally:
            self._unclaimed.discard(self)
        if transport is not None:
            protocol = self._accept()
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
            early.hand_on(protocol)


class _EarlyOctets(asyncio.Protocol):
    """Keeps what comes with the end of the handshake until its protocol is there."""

    def __init__(self) -> None:
        self._octets: list[bytes] = []
        self._is_lost = False
        self._error: Exception | None = None

    def data_received(self, data: bytes) -> None:
        self._octets.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost, self._error = True, exc

    def hand_on(self, protocol: asyncio.Protocol) -> None:
        """Tell ``protocol`` what it missed."""
        for data in self._octets:
            protocol.data_received(data)
        if self._is_lost:
            protocol.connection_lost(self._error)
