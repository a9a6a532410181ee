"""The raw MSRP side: connections that send any octets, and frames as they come."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.lab.conformance.options import Options
from gateway.lab.conformance.peer import trusting
from gateway.lab.conformance.recording import Recording
from gateway.lab.conformance.verdict import Failed, Inconclusive
from gateway.lab.conformance.wire import Wire
from sipstack import ids
from sipstack.errors import ParseError
from sipstack.flow import Flow, HostPort
from sipstack.msrp.chunk import Chunk, Frame, MsrpResponse, Report
from sipstack.msrp.parser import ChunkParser
from sipstack.msrp.uri import MsrpUri

MAX_QUEUE = 5_000
"""Frames that may wait to be looked at; more are recorded and forgotten."""


@dataclass(frozen=True, slots=True)
class ReceivedFrame:
    """One frame, or one piece of a long chunk, as it came."""

    at: float
    """When, in seconds of :func:`time.monotonic`."""
    frame: Frame | None
    """None where the stream could not be read on."""
    fault: ParseError | None = None

    @property
    def chunk(self) -> Chunk:
        """The frame, a SEND. Raises Failed when it is none."""
        if not isinstance(self.frame, Chunk):
            raise Failed(f"a SEND was expected, {self} came")
        return self.frame

    @property
    def response(self) -> MsrpResponse:
        """The frame, a response. Raises Failed when it is none."""
        if not isinstance(self.frame, MsrpResponse):
            raise Failed(f"an MSRP response was expected, {self} came")
        return self.frame

    @property
    def report(self) -> Report:
        """The frame, a REPORT. Raises Failed when it is none."""
        if not isinstance(self.frame, Report):
            raise Failed(f"a REPORT was expected, {self} came")
        return self.frame

    def __str__(self) -> str:
        if isinstance(self.frame, MsrpResponse):
            return f"MSRP {self.frame.status}"
        return f"octets that are no MSRP frame ({self.fault})" if self.frame is None else type(self.frame).__name__


FrameMatch = Callable[[ReceivedFrame], bool]


def answers_to(transaction_id: str) -> FrameMatch:
    """Match the response to a request."""
    return lambda received: isinstance(received.frame, MsrpResponse) and received.frame.transaction_id == transaction_id


def is_chunk(received: ReceivedFrame) -> bool:
    """Match SENDs."""
    return isinstance(received.frame, Chunk)


def is_report(received: ReceivedFrame) -> bool:
    """Match REPORTs."""
    return isinstance(received.frame, Report)


class MsrpLink:
    """One connection with the target."""

    def __init__(self, side: MsrpSide, flow: Flow) -> None:
        self.flow = flow
        self.queue: list[ReceivedFrame] = []
        """What came and was not taken yet."""
        self.raw = b""
        """All octets that came, up to 1 MiB."""
        self.closed = False
        """Whether the target has closed it."""
        self._side = side
        self._parser: ChunkParser | None = ChunkParser()
        self._came = asyncio.Event()

    def send(self, data: bytes | Chunk | Report | MsrpResponse) -> None:
        """Send a frame or any octets. Raises Inconclusive when the connection is gone."""
        try:
            self._side.wire.send(self.flow, data if isinstance(data, bytes) else bytes(data))
        except ConnectionError as error:
            raise Inconclusive(f"MSRP: {error}") from None

    async def receive(self, within: float | None = None, match: FrameMatch | None = None) -> ReceivedFrame | None:
        """Take the oldest frame, or the oldest that matches; None when there is none within ``within`` seconds."""
        deadline = time.monotonic() + (self._side.options.patience if within is None else within)
        while True:
            for index, received in enumerate(self.queue):
                if match is None or match(received):
                    return self.queue.pop(index)
            if not await self._more(deadline):
                return None

    async def expect(self, match: FrameMatch, otherwise: str, within: float | None = None) -> ReceivedFrame:
        """Take what matches. Raises Failed with ``otherwise`` when it does not come."""
        received = await self.receive(within, match)
        if received is None:
            raise Failed(otherwise)
        return received

    async def silence(self, match: FrameMatch, otherwise: str, within: float) -> None:
        """Wait ``within`` seconds for what must not come. Raises Failed when it does."""
        received = await self.receive(within, match)
        if received is not None:
            raise Failed(f"{otherwise}: {received}")

    async def hangup(self, within: float | None = None) -> bool:
        """Tell whether the target closes the connection within ``within`` seconds."""
        deadline = time.monotonic() + (self._side.options.patience if within is None else within)
        while not self.closed:
            if not await self._more(deadline):
                return self.closed
        return True

    def close(self) -> None:
        """Close it."""
        self._side.wire.disconnect(self.flow)

    async def _more(self, deadline: float) -> bool:
        self._came.clear()
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                await self._came.wait()
        except TimeoutError:
            return False
        return True

    def take(self, data: bytes) -> None:
        """Take octets that came."""
        now = time.monotonic()
        self.raw = (self.raw + data)[-1_048_576:]
        if self._parser is not None and len(self.queue) < MAX_QUEUE:
            self._parser.receive_data(data)
            try:
                while (frame := self._parser.next_frame()) is not None:
                    self.queue.append(ReceivedFrame(now, frame))
                    if self._side.polite and isinstance(frame, Chunk) and frame.flag:
                        self.send(MsrpResponse(frame.transaction_id, 200, "OK", frame.from_path, frame.to_path))
            except ParseError as error:
                self.queue.append(ReceivedFrame(now, None, error))
                self._parser = None
        self._came.set()

    def lose(self) -> None:
        """The target has closed it."""
        self.closed = True
        self._came.set()


class MsrpSide:
    """A listener for MSRP and the connections of a case."""

    def __init__(self, options: Options, recording: Recording, host: str) -> None:
        self.options = options
        self.wire = Wire("MSRP", recording, self._take, self._lose)
        self.links: dict[Flow, MsrpLink] = {}
        """Connections of the running case, in the order in which they came to be."""
        self.polite = False
        """Whether SENDs are answered with 200 by themselves."""
        self._host = host
        self._secure = False
        self._came = asyncio.Event()

    async def listen(self, tls: ssl.SSLContext | None = None) -> MsrpUri:
        """Return a new URI of ours for ``a=path``, to which the target may connect. Raises OSError."""
        if not self.wire.address[1]:
            await self.wire.open(self._host, udp=False, tls=tls)
            self._secure = tls is not None
        return self.uri(*self.wire.address)

    def uri(self, host: str, port: int) -> MsrpUri:
        """Return a URI with a session-id of its own."""
        bracketed = f"[{host}]" if ":" in host else host
        return MsrpUri("msrps" if self._secure else "msrp", bracketed, port, ids.msrp_session_id())

    async def connect(self, address: HostPort, *, secure: bool = False) -> MsrpLink:
        """Open a connection to the target. Raises Inconclusive when there is none to be had."""
        try:
            flow = await self.wire.connect(address, trusting() if secure else None)
        except (OSError, TimeoutError) as error:
            raise Inconclusive(
                f"MSRP with {address[0]}:{address[1]}: {str(error) or 'no connection in time'}"
            ) from None
        return self._link(flow)

    async def accepted(self, within: float | None = None) -> MsrpLink:
        """Return the newest connection that the target has opened. Raises Inconclusive when it opens none."""
        deadline = time.monotonic() + (self.options.patience if within is None else within)
        while not self.links:
            self._came.clear()
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    await self._came.wait()
            except TimeoutError:
                raise Inconclusive("the target opens no MSRP connection") from None
        return list(self.links.values())[-1]

    async def end(self) -> None:
        """Close everything."""
        await self.wire.close()
        self.wire.address = ("", 0)
        self.links.clear()
        self.polite = False

    def _link(self, flow: Flow) -> MsrpLink:
        if flow not in self.links:
            self.links[flow] = MsrpLink(self, flow)
            self._came.set()
        return self.links[flow]

    def _take(self, flow: Flow, data: bytes) -> None:
        self._link(flow).take(data)

    def _lose(self, flow: Flow) -> None:
        self._link(flow).lose()
