"""One connection to an SMPP server, from bind to unbind: requests and their answers, pings, what the server sends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.delivery.smpppdu import (
    HEADER,
    RINVCMDID,
    ROK,
    RSYSERR,
    RX_T_APPN,
    Pdu,
    PduError,
    body_length,
    read,
    status_name,
    write,
)

log = logging.getLogger("rcsgw.smpp")

LAST_SEQUENCE = 0x7FFF_FFFF
"""SMPP 3.4 §3.2: then it starts at 1 again."""

UNBIND_TIMEOUT = 2.0
"""Seconds that a server gets to answer unbind; we go anyway."""


MAX_DELIVERED = 100
"""PDUs that the server delivers and that wait for their answer; one more is to come again later."""


class SmppRefused(Exception):
    """The server has answered with an error; ``status`` is its command_status."""

    def __init__(self, command: str, status: int) -> None:
        super().__init__(f"{command}: {status_name(status)}")
        self.status = status


class SmppLost(Exception):
    """There is no answer: the connection broke, or the server is silent. ``certain``: the request was not sent."""

    def __init__(self, text: str, *, certain: bool = False) -> None:
        super().__init__(text)
        self.certain = certain


@dataclass(frozen=True, slots=True, kw_only=True)
class SmppServer:
    """Where the server is, who we are there, and how patient we are."""

    host: str
    port: int
    system_id: str
    password: str = field(default="", repr=False)
    system_type: str = ""
    bind: Literal["transceiver", "transmitter"] = "transceiver"
    tls: ssl.SSLContext | None = None
    window: int = 10
    """Requests that wait for their answer at once."""
    enquire_interval: float = 30.0
    """Seconds without a word from the server before it is asked whether it is there."""
    timeout: float = 10.0
    """Seconds for the connection, and for each answer."""


class SmppLink:
    """A bound session. Made by :meth:`open`; when it breaks, ``lost`` is set and requests raise :class:`SmppLost`."""

    def __init__(
        self,
        server: SmppServer,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        on_deliver: Callable[[Pdu], Awaitable[int]],
    ) -> None:
        """``on_deliver`` takes what the server delivers and returns the command_status of the answer, in its time."""
        self.lost = asyncio.Event()
        self.reason = ""
        """Why it is lost."""
        self._server = server
        self._reader = reader
        self._writer = writer
        self._on_deliver = on_deliver
        self._bound = False
        self._sequence = 0
        self._waiting: dict[int, asyncio.Future[Pdu]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._window = asyncio.Semaphore(server.window)
        self._reading = asyncio.get_running_loop().create_task(self._read())

    @classmethod
    async def open(cls, server: SmppServer, on_deliver: Callable[[Pdu], Awaitable[int]]) -> SmppLink:
        """Connect and bind. Raises :class:`SmppRefused`, :class:`SmppLost`."""
        try:
            async with asyncio.timeout(server.timeout):
                reader, writer = await asyncio.open_connection(
                    server.host,
                    server.port,
                    ssl=server.tls,
                    server_hostname=server.host if server.tls is not None else None,
                )
        except (OSError, TimeoutError) as error:
            raise SmppLost(f"no connection: {_words(error)}", certain=True) from error
        link = cls(server, reader, writer, on_deliver)
        try:
            await link.request(
                f"bind_{server.bind}",
                system_id=server.system_id,
                password=server.password,
                system_type=server.system_type,
            )
        except BaseException:
            await link.close()
            raise
        link._bound = True
        return link

    async def request(self, command: str, **fields: Any) -> Pdu:
        """Send a request and return its answer. Raises :class:`SmppRefused`, :class:`SmppLost`."""
        async with self._window:
            if self.lost.is_set():
                raise SmppLost(self.reason, certain=True)
            sequence = self._number()
            answer: asyncio.Future[Pdu] = asyncio.get_running_loop().create_future()
            self._waiting[sequence] = answer
            try:
                self._writer.write(write(command, sequence, **fields))
                async with asyncio.timeout(self._server.timeout):
                    got = await answer
            except TimeoutError:
                raise SmppLost(f"no answer to {command}") from None
            finally:
                del self._waiting[sequence]
        if got.status != ROK:
            raise SmppRefused(command, got.status)
        return got

    async def close(self) -> None:
        """Unbind where there is something to unbind, and close (SMPP 3.4 §2.2)."""
        if self._bound and not self.lost.is_set():
            with contextlib.suppress(SmppLost, SmppRefused, TimeoutError):
                async with asyncio.timeout(UNBIND_TIMEOUT):
                    await self.request("unbind")
        tasks = (self._reading, *self._answering)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _number(self) -> int:
        self._sequence = self._sequence % LAST_SEQUENCE + 1
        return self._sequence

    async def _read(self) -> None:
        """Take what comes until the connection ends, however it does."""
        try:
            while await self._take(await self._next()):
                pass
            self._lose("the server has unbound us")
        except asyncio.IncompleteReadError:
            self._lose("the server has closed the connection")
        except PduError as error:
            # there is no way to find the next PDU in the stream
            self._writer.write(write("generic_nack", 0, status=error.status))
            self._lose(f"the server sends {error}")
        except TimeoutError:
            self._lose("the server is silent")
        except OSError as error:
            self._lose(_words(error))
        except Exception:
            log.exception("SMPP server %s", self._server.host)
        finally:
            self._lose("closed")
            self._writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(UNBIND_TIMEOUT):
                    await self._writer.wait_closed()

    def _lose(self, reason: str) -> None:
        """Give up; the first reason counts."""
        if self.lost.is_set():
            return
        self.reason = reason
        self.lost.set()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(SmppLost(reason))

    async def _next(self) -> bytes:
        """Return the next PDU; a server that is silent is asked once whether it is there. Raises TimeoutError."""
        try:
            async with asyncio.timeout(self._server.enquire_interval):
                header = await self._reader.readexactly(HEADER.size)
        except TimeoutError:
            self._writer.write(write("enquire_link", self._number()))
            async with asyncio.timeout(self._server.timeout):
                header = await self._reader.readexactly(HEADER.size)
        async with asyncio.timeout(self._server.timeout):
            return header + await self._reader.readexactly(body_length(header))

    async def _take(self, octets: bytes) -> bool:
        """Handle one PDU; False after the last one."""
        try:
            pdu = read(octets)
        except PduError as error:
            log.debug("%s: %s", self._server.host, error)
            _, identifier, _, sequence = HEADER.unpack_from(octets)
            if not identifier >> 31:
                self._writer.write(write("generic_nack", sequence, status=error.status))
            return True
        if pdu.is_response:
            answer = self._waiting.get(pdu.sequence)
            if answer is not None and not answer.done():
                answer.set_result(pdu)
            return True
        match pdu.command:
            case "deliver_sm" | "data_sm":
                if len(self._answering) < MAX_DELIVERED:
                    task = asyncio.get_running_loop().create_task(self._deliver(pdu))
                    self._answering.add(task)
                    task.add_done_callback(self._answering.discard)
                else:
                    self._writer.write(write(f"{pdu.command}_resp", pdu.sequence, status=RX_T_APPN))
            case "enquire_link" | "unbind":
                self._writer.write(write(f"{pdu.command}_resp", pdu.sequence))
            case "alert_notification":
                pass
            case _:
                self._writer.write(write("generic_nack", pdu.sequence, status=RINVCMDID))
        await self._writer.drain()
        return pdu.command != "unbind"

    async def _deliver(self, pdu: Pdu) -> None:
        """Answer what was delivered, in its time."""
        try:
            status = await self._on_deliver(pdu)
        except Exception:
            log.exception("SMPP server %s", self._server.host)
            status = RSYSERR
        if not self.lost.is_set():
            self._writer.write(write(f"{pdu.command}_resp", pdu.sequence, status=status))


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
