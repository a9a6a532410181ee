"""Cuts what a connection writes into frames again, for transports that carry messages (:rfc:`7977#section-5.1`)."""

from __future__ import annotations

from sipstack.errors import LocalProtocolError

_FLAGS = (b"$\r\n", b"+\r\n", b"#\r\n")


class FrameSplitter:
    """Octets of well-formed MSRP frames in, in any cuts; whole frames out.

    It is for our own output: what a peer sends is read by :class:`~sipstack.msrp.parser.ChunkParser`.
    """

    __slots__ = ("_data", "_mark", "_searched")

    def __init__(self) -> None:
        self._data = b""
        # the beginning of the end-line that is looked for; empty between two frames
        self._mark = b""
        self._searched = 0

    def receive_data(self, data: bytes) -> list[bytes]:
        """Return the frames that ``data`` completes. Raise LocalProtocolError where no frame begins."""
        self._data += data
        frames: list[bytes] = []
        while (frame := self._next_frame()) is not None:
            frames.append(frame)
        return frames

    def _next_frame(self) -> bytes | None:
        data = self._data
        if not self._mark:
            if data[:5] != b"MSRP "[: len(data)]:
                raise LocalProtocolError("what is written is no MSRP frame")
            blank = data.find(b" ", 5)
            if blank < 0:
                return None
            self._mark = b"\r\n-------" + data[5:blank]
        mark = self._mark
        end = data.find(mark, self._searched)
        while end >= 0:
            tail = end + len(mark)
            if len(data) < tail + 3:
                break
            if data[tail : tail + 3] in _FLAGS:
                self._data, self._mark, self._searched = data[tail + 3 :], b"", 0
                return data[: tail + 3]
            end = data.find(mark, tail)
        self._searched = end if end >= 0 else max(0, len(data) - len(mark) + 1)
        return None
