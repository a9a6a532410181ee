"""A small MSRP relay (RFC 4976) that forwards, and whose paths change when a test wants it."""

from __future__ import annotations

import asyncio

from sipstack.msrp.chunk import Chunk, MsrpResponse, OtherRequest, Report
from sipstack.msrp.framing import FrameSplitter
from sipstack.msrp.parser import ChunkParser
from sipstack.msrp.uri import MsrpUri, parse_path


class TcpRelay:
    """Answers AUTH as told, without asking who it is, and forwards everything else."""

    def __init__(self) -> None:
        self.status = 200
        self.expires = 1000
        self.is_sticky = False
        """Whether AUTH by a connection that has a path already gives the same one."""
        self.silent = False
        """Whether AUTH gets no answer."""
        self.requests: list[str] = []
        """Methods of what came for the relay itself."""
        self.forwarded = 0
        self.paths: list[str] = []
        """What was handed out."""
        self._owners: dict[str, asyncio.StreamWriter] = {}
        self._outward: dict[tuple[str, int], asyncio.StreamWriter] = {}
        self._known: dict[str, asyncio.StreamWriter] = {}
        """By which connection somebody came."""
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> TcpRelay:
        await self.start()
        return self

    async def start(self, port: int = 0) -> None:
        """Listen, at a port that is free or was that of the relay before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)

    async def stop(self) -> None:
        """Listen no more, and close what there is."""
        assert self._server is not None
        self._server.close()
        self.cut()

    async def __aexit__(self, *error: object) -> None:
        await self.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def uri(self) -> MsrpUri:
        """Where to reach it."""
        assert self._server is not None
        return MsrpUri("msrp", "127.0.0.1", self._server.sockets[0].getsockname()[1], None)

    def cut(self) -> None:
        """Close all connections, and forget the paths that go by them."""
        for writer in (*self._writers, *self._outward.values()):
            writer.close()
        self._owners.clear()
        self._outward.clear()
        self._known.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        frames = FrameSplitter()
        try:
            while data := await reader.read(65536):
                for octets in frames.receive_data(data):
                    await self._receive(octets, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the test cuts, or ends
        self._known = {uri: at for uri, at in self._known.items() if at is not writer}
        self._writers.discard(writer)
        writer.close()

    async def _receive(self, octets: bytes, source: asyncio.StreamWriter) -> None:
        parser = ChunkParser()
        parser.receive_data(octets)
        frame = parser.next_frame()
        if frame is None or isinstance(frame, MsrpResponse):
            return  # to a SEND: it goes no further
        if isinstance(frame, OtherRequest):
            self.requests.append(frame.method)
            if not self.silent:
                source.write(bytes(self._authorize(frame, source)))
            return
        self.forwarded += 1
        self._known[frame.from_path.split()[0]] = source
        assert isinstance(frame, Chunk | Report)
        own = frame.to_path.partition(" ")[0]
        if own not in self._owners:
            if isinstance(frame, Chunk):
                source.write(bytes(MsrpResponse(frame.transaction_id, 481, "", frame.from_path.split()[0], own)))
            return
        if isinstance(frame, Chunk) and frame.failure_report == "yes":
            source.write(bytes(MsrpResponse(frame.transaction_id, 200, "OK", frame.from_path.split()[0], own)))
        await self._forward(octets, source)

    async def _forward(self, octets: bytes, source: asyncio.StreamWriter | None) -> None:
        """Move our URI from To-Path to From-Path, and send the frame on: to the owner of the path, or from it."""
        lines = octets.split(b"\r\n", 3)
        own, _, rest = lines[1].decode().removeprefix("To-Path: ").partition(" ")
        lines[1:3] = f"To-Path: {rest}".encode(), lines[2].replace(b": ", f": {own} ".encode(), 1)
        octets = b"\r\n".join(lines)
        if self._owners[own] is not source:
            self._owners[own].write(octets)
        elif rest.split()[0] in self._owners:
            await self._forward(octets, None)
        else:
            known = self._known.get(rest.split()[0])
            (known or await self._connect(parse_path(rest)[0].host_port)).write(octets)

    def _authorize(self, frame: OtherRequest, source: asyncio.StreamWriter) -> MsrpResponse:
        known = [path for path, owner in self._owners.items() if owner is source]
        path = known[0] if known and self.is_sticky else f"{str(self.uri)[:-4]}/s{len(self.paths)};tcp"
        self.paths.append(path)
        headers: tuple[tuple[str, str], ...] = ()
        if self.status == 200:
            self._owners[path] = source
            headers = (("Use-Path", path), ("Expires", str(self.expires)))
        return MsrpResponse(frame.transaction_id, self.status, "", frame.from_path, frame.to_path, headers)

    async def _connect(self, place: tuple[str, int]) -> asyncio.StreamWriter:
        writer = self._outward.get(place)
        if writer is None or writer.is_closing():
            reader, writer = await asyncio.open_connection(*place)
            self._outward[place] = writer
            task = asyncio.create_task(self._serve(reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return writer
