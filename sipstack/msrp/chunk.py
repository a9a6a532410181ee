"""MSRP frames: what stands between a start line and its end-line (:rfc:`4975#section-7.1`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

FailureReport = Literal["yes", "no", "partial"]
"""What the sender of a SEND wants to hear about failures; an absent header means ``yes``."""

Flag = Literal["$", "+", "#", ""]
"""Continuation flag of the end-line: last chunk, more chunks follow, message aborted (C-FRM-08).

The empty flag is not on the wire: it marks a piece of a chunk whose end-line has not come yet.
"""

IDENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+%=-]{3,31}")
"""ident = ALPHANUM 3*31( ALPHANUM / "." / "-" / "+" / "%" / "=" ) (C-FRM-02)."""

REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    408: "Request Timeout",
    413: "Stop Sending Message",
    415: "Unsupported Media Type",
    423: "Parameter Out Of Bounds",
    481: "No Such Session",
    501: "Unknown Method",
    506: "Session Already Bound",
}
"""Comment phrases that we send beside a status code (C-RSP-09); receivers ignore them."""


@dataclass(slots=True)
class Chunk:
    """A SEND request, or one piece of it."""

    transaction_id: str
    to_path: str
    """URIs as on the wire, separated by spaces, nearest hop first."""
    from_path: str
    message_id: str
    start: int = 1
    """Position of the first octet of ``body`` in the message, counted from 1."""
    end: int | None = None
    """Last position as the sender announced it; None stands for ``*`` and for no Byte-Range. Never used for framing."""
    total: int | None = None
    """Octets of the whole message, None when the sender doesn't tell."""
    success_report: bool = False
    failure_report: FailureReport = "yes"
    content_type: str | None = None
    body: bytes = b""
    flag: Flag = "$"
    headers: tuple[tuple[str, str], ...] = ()
    """Headers that this stack doesn't interpret, in order."""

    def piece(self, offset: int, body: bytes, flag: Flag) -> Chunk:
        """Return the part of this request that begins ``offset`` octets into its body."""
        return Chunk(
            self.transaction_id,
            self.to_path,
            self.from_path,
            self.message_id,
            self.start + offset,
            self.end,
            self.total,
            self.success_report,
            self.failure_report,
            self.content_type,
            body,
            flag,
            self.headers,
        )

    def fault(self, reason: str, over_limit: bool) -> BadRequest:
        """Return what this is when something about it is wrong after all."""
        return BadRequest(
            self.transaction_id, "SEND", self.to_path, self.from_path, self.failure_report, reason, over_limit
        )

    def __bytes__(self) -> bytes:
        end = "*" if self.end is None else self.end
        total = "*" if self.total is None else self.total
        extra = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        tail = f"{extra}{report_headers(self.success_report, self.failure_report)}"
        route = route_headers(self.to_path, self.from_path)
        if self.content_type is not None:
            tail += f"Content-Type: {self.content_type}\r\n\r\n"
        head = send_head(self.transaction_id, route, self.message_id, f"{self.start}-{end}/{total}", tail)
        end_line = f"-------{self.transaction_id}{self.flag}\r\n".encode()
        return head + end_line if self.content_type is None else b"%b%b\r\n%b" % (head, self.body, end_line)


@dataclass(slots=True)
class Report:
    """A REPORT request: what became of some octets of a message that was sent before. It is never answered."""

    transaction_id: str
    to_path: str
    from_path: str
    message_id: str
    start: int | None = None
    """First octet reported on; None when there is no Byte-Range: the whole message is meant."""
    end: int | None = None
    total: int | None = None
    namespace: str = "000"
    """``000`` gives ``status`` the meaning of a response code; others are ignored (C-RSP-05)."""
    status: int = 200
    comment: str = ""

    def __bytes__(self) -> bytes:
        byte_range = ""
        if self.start is not None:
            end = "*" if self.end is None else self.end
            total = "*" if self.total is None else self.total
            byte_range = f"Byte-Range: {self.start}-{end}/{total}\r\n"
        comment = f" {self.comment}" if self.comment else ""
        return (
            f"MSRP {self.transaction_id} REPORT\r\n{route_headers(self.to_path, self.from_path)}"
            f"Message-ID: {self.message_id}\r\n{byte_range}Status: {self.namespace} {self.status:03}{comment}\r\n"
            f"-------{self.transaction_id}$\r\n"
        ).encode()


@dataclass(slots=True)
class MsrpResponse:
    """The answer to a SEND or to another request, by its transaction id."""

    transaction_id: str
    status: int
    comment: str
    """May be empty (C-FRM-13)."""
    to_path: str
    from_path: str
    headers: tuple[tuple[str, str], ...] = ()
    """Further headers, in order: those of relays (:rfc:`4976#section-4`)."""

    def __bytes__(self) -> bytes:
        comment = f" {self.comment}" if self.comment else ""
        extra = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        return (
            f"MSRP {self.transaction_id} {self.status:03}{comment}\r\n{route_headers(self.to_path, self.from_path)}"
            f"{extra}-------{self.transaction_id}$\r\n"
        ).encode()


@dataclass(slots=True)
class OtherRequest:
    """A request by a method that this stack doesn't know (AUTH, NICKNAME, …): 501 (C-FRM-11)."""

    transaction_id: str
    method: str
    to_path: str
    from_path: str
    failure_report: FailureReport = "yes"


@dataclass(slots=True)
class BadRequest:
    """A request that breaks the grammar but can be answered (C-BAD-02, -03, -04)."""

    transaction_id: str
    method: str
    to_path: str | None
    from_path: str
    failure_report: FailureReport
    reason: str
    """Names the header at fault, for logs."""
    over_limit: bool = False
    """It is no slip but too much of something (C-FRM-12): the connection is not worth keeping."""


Frame = Chunk | Report | MsrpResponse | OtherRequest | BadRequest


def back_to(request: BadRequest | OtherRequest) -> str:
    """Return the To-Path of the response (:rfc:`4975#section-7.2`): the previous hop of a SEND, else the whole path."""
    return request.from_path.partition(" ")[0] if request.method == "SEND" else request.from_path


def route_headers(to_path: str, from_path: str) -> str:
    """Return the two header lines that open each frame; constant for a session."""
    return f"To-Path: {to_path}\r\nFrom-Path: {from_path}\r\n"


def report_headers(success_report: bool, failure_report: FailureReport) -> str:
    """Return the lines that ask for reports; written even where they say the default, as RCS clients do (C-RSP-12)."""
    return f"Success-Report: {'yes' if success_report else 'no'}\r\nFailure-Report: {failure_report}\r\n"


def send_head(transaction_id: str, route: str, message_id: str, byte_range: str, tail: str) -> bytes:
    """Return a SEND up to its body. Hot path: ``route`` and ``tail`` are made once a session and once a message."""
    return (
        f"MSRP {transaction_id} SEND\r\n{route}Message-ID: {message_id}\r\nByte-Range: {byte_range}\r\n{tail}"
    ).encode()
