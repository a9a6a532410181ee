"""What stands above the blank line of a frame: start line and headers (:rfc:`4975#section-9`)."""

from __future__ import annotations

import re

from .chunk import IDENT, Chunk, FailureReport, Report

MAX_LINE = 4096
"""Characters of a header line (C-FRM-12): ten URIs of 200 with room to spare."""
MAX_HEADERS = 64
"""Header lines of a request (C-FRM-12)."""

# req-start = "MSRP" SP transact-id SP method CRLF; resp-start = "MSRP" SP transact-id SP 3DIGIT [SP comment] CRLF
START = re.compile(
    rb"MSRP ([A-Za-z0-9][A-Za-z0-9.+%=-]{3,31}) (?:([0-9]{3})(?: ([^\r\n\0]{0,208}))?|([A-Z]{1,64}))\r\n"
)
# Byte-Range = range-start "-" range-end "/" total. Eighteen digits: 10^18 octets are enough and fit a machine word.
_BYTE_RANGE = re.compile(r"([0-9]{1,18})-([0-9]{1,18}|\*)/([0-9]{1,18}|\*)")
# Status = namespace SP status-code [SP comment]; namespace = 3DIGIT
_STATUS = re.compile(r"([0-9]{3}) ([0-9]{3})(?: (.*))?")
# hname = ALPHA *token
_NAME = re.compile(r"[A-Za-z][!#-'*+\-.0-9A-Z^-~]*")
# hval = utf8text; utf8text = *(HTAB / %x20-7E / UTF8-NONASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

_KNOWN = (
    "To-Path",
    "From-Path",
    "Message-ID",
    "Byte-Range",
    "Success-Report",
    "Failure-Report",
    "Status",
    "Content-Type",
)
_CANONICAL = {name: name for name in _KNOWN} | {name.lower(): name for name in _KNOWN}
REPORT_WISHES = {"yes", "no", "partial"}


def read_fields(text: str) -> tuple[dict[str, str], list[tuple[str, str]], str, bool]:
    """Return the known headers by name, the others in order, what is wrong with them ("" for nothing), and whether
    that is a limit (C-FRM-12)."""
    fields: dict[str, str] = {}
    extra: list[tuple[str, str]] = []
    fault = ""
    lines = text.split("\r\n") if text else []
    over_limit = len(lines) > MAX_HEADERS
    if over_limit:
        fault = f"more than {MAX_HEADERS} headers"
    for line in lines[:MAX_HEADERS]:
        if _CONTROL.search(line) is not None:
            fault = fault or "header has a control character"
            # The paths come back in our answer.
            line = _CONTROL.sub("?", line)
        name, colon, value = line.partition(":")
        known = _CANONICAL.get(name) or _CANONICAL.get(name.lower())
        if known is None:
            if not colon or _NAME.fullmatch(name) is None:
                fault = fault or f"header {name[:40]!r} is malformed"
            extra.append((name, value.strip(" \t")))
        elif known in fields:
            fault = fault or f"{known} is repeated"
        else:
            fields[known] = value.strip(" \t")
    if len(text) > MAX_LINE and max(map(len, lines)) > MAX_LINE:
        over_limit = True
        fault = fault or f"header line exceeds {MAX_LINE} characters"
    if not fault and (len(lines) < 2 or lines[0][:8].lower() != "to-path:" or lines[1][:10].lower() != "from-path:"):
        fault = "To-Path and From-Path are not the first two headers"
    return fields, extra, fault, over_limit


def make_chunk(
    transaction_id: str,
    to_path: str,
    from_path: str,
    failure_report: FailureReport,
    fields: dict[str, str],
    extra: list[tuple[str, str]],
) -> Chunk | str:
    """Return the SEND that these headers make, or what is wrong with it."""
    message_id = fields.get("Message-ID")
    if message_id is None or IDENT.fullmatch(message_id) is None:
        return "Message-ID is missing or malformed"
    start, end, total = 1, None, None
    byte_range = fields.get("Byte-Range")
    if byte_range is not None:
        parsed = parse_byte_range(byte_range)
        if parsed is None:
            return "Byte-Range is malformed"
        start, end, total = parsed
    if fields.get("Failure-Report", "yes").lower() not in REPORT_WISHES:
        return "Failure-Report is malformed"
    success_report = fields.get("Success-Report", "no").lower() == "yes"
    content_type = fields.get("Content-Type")
    return Chunk(
        transaction_id,
        to_path,
        from_path,
        message_id,
        start,
        end,
        total,
        success_report,
        failure_report,
        content_type,
        b"",
        "$",
        tuple(extra),
    )


def make_report(transaction_id: str, to_path: str, from_path: str, fields: dict[str, str]) -> Report | None:
    status = _STATUS.fullmatch(fields.get("Status", ""))
    message_id = fields.get("Message-ID", "")
    if status is None or IDENT.fullmatch(message_id) is None:
        return None
    start = end = total = None
    if "Byte-Range" in fields:
        parsed = parse_byte_range(fields["Byte-Range"])
        if parsed is None:
            return None
        start, end, total = parsed
    comment = status[3] or ""
    return Report(transaction_id, to_path, from_path, message_id, start, end, total, status[1], int(status[2]), comment)


def parse_byte_range(text: str) -> tuple[int, int | None, int | None] | None:
    """Return start, end and total of a Byte-Range (None for ``*``); None when it is malformed (C-BAD-05)."""
    match = _BYTE_RANGE.fullmatch(text)
    if match is None:
        return None
    start = int(match[1])
    end = None if match[2] == "*" else int(match[2])
    total = None if match[3] == "*" else int(match[3])
    return (start, end, total) if is_range(start, end, total) else None


def is_range(start: int, end: int | None, total: int | None) -> bool:
    """Tell whether a Byte-Range makes sense: None stands for ``*``, and ``1-0`` for nothing at all."""
    if start == 0:
        return False
    if end is None:
        return True
    return (end >= start or (start, end) == (1, 0)) and (total is None or end <= total)
