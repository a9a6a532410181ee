"""The two ends of a file transfer: the part of a file as MSRP reads it, with its wrapper, and as MSRP writes it."""

from __future__ import annotations

from collections.abc import Callable

from sipstack.errors import MessageTooLarge, ParseError, RemoteProtocolError
from sipstack.im.cpim import CpimMessage
from sipstack.msrp.stream import Sink, Source

HEAD_LIMIT = 16 * 1024
"""Octets of a message/cpim wrapper around a file; RCS clients write some 500."""


class FilePart:
    """A source: a wrapper, then octets ``start`` (counted from 0) to ``stop`` of a file."""

    __slots__ = ("_file", "_head", "_start", "head_size", "size")

    def __init__(self, file: Source, start: int, stop: int, head: bytes = b"") -> None:
        self._file = file
        self._start = start - len(head)
        self._head = head
        self.head_size = len(head)
        self.size = len(head) + max(0, stop - start)

    def read(self, start: int, limit: int) -> bytes | memoryview | None:
        """Return the next octets (:class:`~sipstack.msrp.stream.Source`)."""
        if start < len(self._head):
            return self._head[start : start + limit]
        return self._file.read(self._start + start, min(limit, self.size - start))


class FileWriter:
    """A sink: finds the file in the message and writes it to where ``file`` is to have it.

    ``start`` is the file position, counted from 0, where the part begins, ``stop`` where it ends at the latest.
    ``on_written`` is called with the position up to which there is something.
    """

    __slots__ = ("_file", "_held", "_offset", "_on_written", "_stop", "end", "wrapper")

    def __init__(self, file: Sink, start: int, stop: int, *, wrapped: bool, on_written: Callable[[int], None]) -> None:
        self._file = file
        self._stop = stop
        self._on_written = on_written
        self._offset = start
        self._held: dict[int, bytes] | None = {} if wrapped else None
        """What has come while the wrapper is not complete, by position."""
        self.end = start
        """File position behind the last octet that was written."""
        self.wrapper: CpimMessage | None = None

    def write(self, start: int, data: bytes) -> None:
        """Take octets of the message. Raise ParseError or MessageTooLarge when there is no use in them."""
        if self._held is not None:
            self._hold(start, data)
            return
        position = start + self._offset
        if self.wrapper is not None and start < (head := len(self.wrapper.raw)):
            # A repetition of the wrapper, or of its end.
            data, position = data[head - start :], head + self._offset
            if not data:
                return
        self._put(position, data)

    def _hold(self, start: int, data: bytes) -> None:
        assert self._held is not None
        held = self._held
        held[start] = data
        head = bytearray()
        while (piece := held.get(len(head))) is not None and piece:
            head += piece
        try:
            wrapper, length = CpimMessage.parse_head(bytes(head))
        except RemoteProtocolError as error:
            total = sum(map(len, held.values()))
            if error.status != ParseError.status:
                raise
            if total > HEAD_LIMIT:
                raise ParseError("file", f"has no message/cpim wrapper in its first octets: {error}") from None
            return
        wrapper.raw = bytes(head[:length])
        self.wrapper, self._held = wrapper, None
        self._offset -= length
        for position, piece in held.items():
            self.write(position, piece)

    def _put(self, position: int, data: bytes) -> None:
        end = position + len(data)
        if end > self._stop:
            raise MessageTooLarge("file", f"goes on behind octet {self._stop}", status=413)
        self._file.write(position, data)
        if end > self.end:
            self.end = end
            self._on_written(end)

    @property
    def is_open(self) -> bool:
        """Tell whether the wrapper, if there has to be one, was found."""
        return self._held is None
