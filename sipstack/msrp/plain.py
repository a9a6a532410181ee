"""Frames as everybody writes them: these headers in this order, visible ASCII, nothing else (:rfc:`4975#section-9`).

One expression cuts such a frame several times as fast as the general way of :mod:`.head`, which takes whatever does not
look like this. What is the same in all frames of a session, its paths and mostly its content type, is read once.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import cast

from .chunk import Chunk, FailureReport, MsrpResponse
from .head import is_range

REMEMBERED = 1024
"""Pairs of paths, and content types with what is asked for, that are known: of the sessions that were busy last."""

_IDENT = rb"([A-Za-z0-9][A-Za-z0-9.+%=-]{3,31}+)"
_NUMBER = rb"([0-9]{1,18}+)"
_NUMBER_OR_STAR = rb"([0-9]{1,18}+|\*)"
# Longer values, say paths over three relays and more, go the general way.
_VALUE = rb"([!-~](?:[ -~]{0,500}[!-~])?)"
_ROUTE = re.compile(rb"To-Path: " + _VALUE + rb"\r\nFrom-Path: " + _VALUE + rb"\r\n")
_CONTENT = re.compile(
    rb"(?:Success-Report: (yes|no)\r\n)?(?:Failure-Report: (yes|no|partial)\r\n)?Content-Type: " + _VALUE + rb"\r\n"
)
# Lines that the expressions above are to look at, and that are remembered whether they were plain or not. So their
# length is limited here already: strangers may send anything, and it must not stay in memory.
_ROUTE_LINES = rb"(To-Path: [^\r]{1,502}+\r\nFrom-Path: [^\r]{1,502}+\r\n)"
_CONTENT_LINES = rb"((?:[^\r]{1,520}+\r\n){1,3}+)"

PLAIN_RESPONSE = re.compile(
    rb"MSRP " + _IDENT + rb" ([0-9]{3})(?: ([ -~]{0,208}+))?\r\n" + _ROUTE_LINES + rb"-------\1\$\r\n"
)
"""A whole response."""
PLAIN_SEND = re.compile(
    rb"MSRP " + _IDENT + rb" SEND\r\n" + _ROUTE_LINES + rb"Message-ID: " + _IDENT + rb"\r\n"
    rb"Byte-Range: " + _NUMBER + b"-" + _NUMBER_OR_STAR + b"/" + _NUMBER_OR_STAR + rb"\r\n" + _CONTENT_LINES + rb"\r\n"
)
"""The head of a SEND with the blank line."""


def plain_response(match: re.Match[bytes]) -> MsrpResponse | None:
    """Return the response that :data:`PLAIN_RESPONSE` has matched; None when its paths are not plain."""
    transaction_id, status, comment, route = match.groups()
    paths = _read_route(route)
    if paths is None:
        return None
    return MsrpResponse(transaction_id.decode(), int(status), (comment or b"").decode(), *paths)


def plain_chunk(match: re.Match[bytes]) -> Chunk | None:
    """Return the SEND, without its body, whose head :data:`PLAIN_SEND` has matched; None when it is not plain."""
    transaction_id, route, message_id, first, last, size, content = match.groups()
    paths, wishes = _read_route(route), _read_content(content)
    start = int(first)
    end = None if last == b"*" else int(last)
    total = None if size == b"*" else int(size)
    if paths is None or wishes is None or not is_range(start, end, total):
        return None
    success_report, failure_report, content_type = wishes
    return Chunk(
        transaction_id.decode(),
        *paths,
        message_id.decode(),
        start,
        end,
        total,
        success_report,
        failure_report,
        content_type,
    )


@lru_cache(REMEMBERED)
def _read_route(lines: bytes) -> tuple[str, str] | None:
    """Return To-Path and From-Path; None when there is something about them."""
    match = _ROUTE.fullmatch(lines)
    return None if match is None else (match[1].decode(), match[2].decode())


@lru_cache(REMEMBERED)
def _read_content(lines: bytes) -> tuple[bool, FailureReport, str] | None:
    """Return which reports are wanted, and the content type; None when there is something about them."""
    match = _CONTENT.fullmatch(lines)
    if match is None:
        return None
    failure_report = cast(FailureReport, "yes" if match[2] is None else match[2].decode())
    return match[1] == b"yes", failure_report, match[3].decode()
