"""From a byte stream to MSRP frames (:rfc:`4975#section-9`).

A frame ends where ``CRLF-------`` with its own transaction id, a flag and CRLF stand; Byte-Range never frames
(C-FRM-09). Bodies are handed on in pieces as they come in, so that a chunk of any size costs no buffer here.
"""

from __future__ import annotations

import re
from typing import cast

from sipstack.errors import ParseError

from .chunk import BadRequest, Chunk, FailureReport, Flag, Frame, MsrpResponse, OtherRequest, Report
from .head import REPORT_WISHES, START, make_chunk, make_report, read_fields
from .plain import PLAIN_RESPONSE, PLAIN_SEND, plain_chunk, plain_response

MAX_START_LINE = 256
"""Octets of a start line (C-FRM-12): two words, an identifier of 32 and a short comment."""
MAX_HEAD = 32_768
"""Octets from the start line to the blank line: what is kept in memory for a head that doesn't end."""
MAX_REPORT_BODY = 10_240
"""Octets that the body of anything but SEND may have (C-BR-09)."""
MAX_SKIPPED = 1_048_576
"""Octets of the body of a faulty request that are skipped in search of its end-line (C-BAD-04)."""

NEAR = 4096
"""Octets in which the end-line of a small message is expected. In large bodies its id is the faster thing to find."""

_DASHES = b"\r\n-------"
_FLAGS: dict[bytes, Flag] = {b"$\r\n": "$", b"+\r\n": "+", b"#\r\n": "#"}


class ChunkParser:
    """Cuts the bytes of one connection into frames.

    Feed with :meth:`receive_data`, then call :meth:`next_frame` until it returns None. After a :exc:`ParseError` the
    stream can't be read on; its ``message`` is a :class:`BadRequest` if there is somebody to tell.
    """

    __slots__ = ("_data", "_frame", "_mark", "_position", "_searched", "_size", "dropped")

    def __init__(self) -> None:
        self.dropped = 0
        """Responses and reports that were malformed and, as nobody answers those, ignored."""
        self._data = b""
        self._position = 0
        self._searched = 0
        # of the frame whose body is being read
        self._frame: Frame | None = None
        self._mark: bytes | None = None
        self._size = 0

    def receive_data(self, data: bytes) -> None:
        """Take bytes off the wire."""
        if self._position < len(self._data):
            self._data = self._data[self._position :] + data
            self._searched -= self._position
        else:
            self._data = data
            self._searched = 0
        self._position = 0

    def next_frame(self) -> Frame | None:
        """Return the next frame or piece of a chunk, None when more bytes are needed; raise :exc:`ParseError`."""
        while self._position < len(self._data):
            position, mark = self._position, self._mark
            if mark is None:
                frame = self._read_plain_response() or self._read_plain_send()
                if frame is None and self._mark is None:
                    frame = self._read_head()
            else:
                frame = self._read_body(mark)
            if frame is not None:
                return frame
            if self._position == position:
                break
        return None

    def _read_plain_response(self) -> Frame | None:
        """Read a response about which nothing is special. None when it is something else, or not all there."""
        match = PLAIN_RESPONSE.match(self._data, self._position)
        response = None if match is None else plain_response(match)
        if match is None or response is None:
            return None
        self._position = match.end()
        return response

    def _read_plain_send(self) -> Frame | None:
        """Read a SEND about which nothing is special. None when it is something else, or only its head is there."""
        data, position = self._data, self._position
        # Where the general way has searched already, the head did not come in one read.
        match = PLAIN_SEND.match(data, position) if self._searched <= position else None
        chunk = None if match is None else plain_chunk(match)
        if match is None or chunk is None or match.end() - position > MAX_HEAD:
            return None
        mark, blank = b"\r\n-------" + match[1], match.end() - 4
        end, flag = _find_end(data, mark, blank + 2)
        if end < 0:
            return self._open_body(chunk, mark, blank)
        self._position = end + len(mark) + 3
        chunk.body = data[blank + 4 : end]
        chunk.flag = flag
        return chunk

    def _read_head(self) -> Frame | None:
        data, position = self._data, self._position
        start_line = START.match(data, position)
        if start_line is None:
            self._check_start_line()
            return None
        begin = start_line.end()
        mark = b"\r\n-------" + start_line[1]
        # The start line and each header line may lend its CRLF to the blank line or to the end-line behind it.
        search = max(begin - 2, self._searched)
        end, flag = _find_end(data, mark, search)
        blank = data.find(b"\r\n\r\n", search, len(data) if end < 0 else end + 2)
        head_end = blank if blank >= 0 else end
        if head_end - position > MAX_HEAD or (head_end < 0 and len(data) - position > MAX_HEAD):
            raise self._head_too_large(start_line)
        if end < 0 and blank < 0:
            self._searched = max(begin - 2, len(data) - len(mark) - 2)
            return None
        frame = self._parse_head(start_line, data[begin:head_end])
        if end < 0:
            return self._open_body(frame, mark, blank)
        self._position = end + len(mark) + 3
        if frame is None:
            return None
        return self._finish(frame, 0, data[blank + 4 : end] if blank >= 0 else b"", flag)

    def _open_body(self, frame: Frame | None, mark: bytes, blank: int) -> Frame | None:
        """Go on in the body; a faulty request is told of at once, its body skipped."""
        self._mark = mark
        # The search begins at the CRLF of the blank line: some peers leave no body at all behind it.
        self._position = blank + 2
        self._size = -2
        if isinstance(frame, BadRequest):
            self._frame = None
            return frame
        self._frame = frame
        return None

    def _read_body(self, mark: bytes) -> Frame | None:
        data, frame, size = self._data, self._frame, self._size
        begin = self._position + (2 if size < 0 else 0)
        offset = max(size, 0)
        end, flag = _find_end(data, mark, self._position)
        if end >= 0:
            self._position = end + len(mark) + 3
            self._mark = self._frame = None
            return None if frame is None else self._finish(frame, offset, data[begin:end], flag)
        stop = _find_beginning(data, mark, self._position)
        if stop <= begin:
            return None
        self._position = stop
        self._size = offset + stop - begin
        if isinstance(frame, Chunk):
            return frame.piece(offset, data[begin:stop], "")
        if self._size > MAX_SKIPPED:
            raise ParseError("MSRP request", "has no end-line")
        return None

    def _finish(self, frame: Frame, offset: int, body: bytes, flag: Flag) -> Frame | None:
        """Return ``frame`` complete with the last octets of its body, or None when it is to be ignored."""
        if isinstance(frame, Chunk):
            if offset:
                return frame.piece(offset, body, flag)
            frame.body = body
            frame.flag = flag
            return frame
        if flag != "$" and isinstance(frame, MsrpResponse | Report):
            # Neither is ever chunked (C-FRM-10); a peer that does so is out of step.
            raise ParseError("MSRP end-line", f"of a response or report ends in {flag}")
        if offset + len(body) > MAX_REPORT_BODY and isinstance(frame, Report):
            self.dropped += 1
            return None
        return frame

    def _check_start_line(self) -> None:
        """Raise unless what is there can still become a start line (C-BAD-01)."""
        data, position = self._data, self._position
        beginning = data[position : position + MAX_START_LINE]
        if not b"MSRP ".startswith(beginning[:5]) or b"\r\n" in beginning or len(data) - position >= MAX_START_LINE:
            raise ParseError("MSRP start line", offset=0)

    def _head_too_large(self, start_line: re.Match[bytes]) -> ParseError:
        lines = self._data[start_line.end() : self._position + MAX_HEAD].rpartition(b"\r\n")[0]
        error = ParseError("MSRP headers", f"exceed {MAX_HEAD} octets")
        try:
            frame = self._parse_head(start_line, lines, fault="headers exceed the limit")
        except ParseError:
            return error
        error.message = frame
        return error

    def _parse_head(self, start_line: re.Match[bytes], octets: bytes, fault: str = "") -> Frame | None:
        """Return the frame without its body; None for a malformed response or report: nobody answers those."""
        transaction_id = start_line[1].decode()
        try:
            text = octets.decode()
        except UnicodeDecodeError:
            text = octets.decode(errors="replace")
            fault = fault or "headers are not UTF-8"
        fields, extra, complaint, over_limit = read_fields(text)
        fault = fault or complaint
        to_path, from_path = fields.get("To-Path"), fields.get("From-Path")
        method = start_line[4]
        if method is None or method == b"REPORT":
            frame: Frame | None = None
            if not fault and to_path is not None and from_path is not None:
                if method is None:
                    comment = (start_line[3] or b"").decode(errors="replace")
                    return MsrpResponse(transaction_id, int(start_line[2]), comment, to_path, from_path, tuple(extra))
                frame = make_report(transaction_id, to_path, from_path, fields)
            self.dropped += frame is None
            return frame
        wish = fields.get("Failure-Report", "yes").lower()
        failure_report = cast(FailureReport, wish if wish in REPORT_WISHES else "yes")
        if not from_path:
            raise ParseError("From-Path", "is missing")
        if to_path is None:
            fault = fault or "To-Path is missing"
        elif not fault:
            if method != b"SEND":
                return OtherRequest(transaction_id, method.decode(), to_path, from_path, failure_report)
            chunk = make_chunk(transaction_id, to_path, from_path, failure_report, fields, extra)
            if isinstance(chunk, Chunk):
                return chunk
            fault = chunk
        return BadRequest(transaction_id, method.decode(), to_path, from_path, failure_report, fault, over_limit)


def _find_beginning(data: bytes, mark: bytes, start: int) -> int:
    """Return from where the octets may be the beginning of an end-line that has not come whole; else the length.

    Mostly there is none: then what comes next needs not be joined to what is here.
    """
    at = data.find(b"\r", max(start, len(data) - len(mark) - 2))
    while at >= 0 and not mark.startswith(data[at : at + len(mark)]):
        at = data.find(b"\r", at + 1)
    return len(data) if at < 0 else at


def _find_end(data: bytes, mark: bytes, start: int) -> tuple[int, Flag]:
    """Return where the end-line with ``mark`` begins and its flag; -1 when it is not there, or not all of it."""
    length = len(mark)
    # Dashes are found much faster than a random id, and mostly they are those of the end-line.
    end = data.find(_DASHES, start, start + NEAR)
    if end < 0 or not data.startswith(mark, end):
        end = data.find(mark, start)
    while end >= 0:
        flag = _FLAGS.get(data[end + length : end + length + 3])
        if flag is not None:
            return end, flag
        end = data.find(mark, end + 1)
    return -1, ""
