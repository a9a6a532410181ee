"""Messages out of logs that other programs write as text: SIPp, sngrep, and Kamailio's ``sipdump``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import BinaryIO

from gateway.lab.trace.losses import Lose
from gateway.lab.trace.segments import Sent
from sipstack.flow import HostPort

MAX_MESSAGE = 1 << 20
"""Octets of one message of a log; what is longer is none."""

SIPP, PEER = ("sipp", 0), ("peer", 0)
"""SIPp's message log has no addresses."""

_SIPP = re.compile(rb"-{40,}[ \t]+(\d{4}-\d\d-\d\d)[ \tT]+(\d\d:\d\d:\d\d\.\d+)")
_SIPP_KIND = re.compile(rb"(UDP|TCP|TLS|SCTP) message (sent|received) ")
_SNGREP = re.compile(rb"(?:[a-z]+ )?(\d{4})[/-](\d\d)[/-](\d\d) (\d\d:\d\d:\d\d\.\d+) (\S+):(\d+) -> (\S+):(\d+)\s*$")
_SIPDUMP = re.compile(rb"={20,}\s*$")
_SIPDUMP_BODY = re.compile(rb"~{20,}\s*$")
_SIPDUMP_END = re.compile(rb"\|{20,}\s*$")


def is_text_log(start: bytes) -> bool:
    """Tell whether a file that begins so is one of these logs."""
    lines = start.splitlines()[:4]
    return any(_SIPP.match(line) or _SNGREP.match(line) or _SIPDUMP.match(line) for line in lines)


def read_text_log(file: BinaryIO, lose: Lose) -> Iterator[Sent]:
    """Yield the messages of a log. What cannot be read is told to ``lose``."""
    head: Sent | None = None
    body: list[bytes] = []
    fields: dict[bytes, bytes] | None = None
    size = 0
    for line in file:
        begun = _begins(line)
        if begun is not None or _SIPDUMP.match(line) or _SIPDUMP_END.match(line):
            if head is not None:
                yield from _message(head, body)
            head, body, size = begun, [], 0
            fields = {} if _SIPDUMP.match(line) else None
        elif fields is not None:
            if _SIPDUMP_BODY.match(line):
                head, fields = _sipdump_head(fields), None
                if head is None:
                    lose("a record of sipdump without addresses")
            else:
                name, _, value = line.partition(b":")
                fields[name.strip().lower()] = value.strip()
        elif head is not None and head.source == head.target:
            head = _with_direction(head, line)  # SIPp's second line
        elif head is not None:
            size += len(line)
            if size > MAX_MESSAGE:
                lose("a message of more than 1 MiB")
                head = None
            body.append(line)
    if head is not None:
        yield from _message(head, body)


def _begins(line: bytes) -> Sent | None:
    """Return an empty message when a line begins one."""
    sipp = _SIPP.match(line)
    if sipp is not None:
        return Sent(_time(f"{sipp[1].decode()} {sipp[2].decode()}"), "UDP", SIPP, SIPP, b"")
    sngrep = _SNGREP.match(line)
    if sngrep is None:
        return None
    day = b"-".join(sngrep.group(1, 2, 3)).decode()
    return Sent(
        _time(f"{day} {sngrep[4].decode()}"), "UDP", _place(sngrep[5], sngrep[6]), _place(sngrep[7], sngrep[8]), b""
    )


def _with_direction(head: Sent, line: bytes) -> Sent | None:
    kind = _SIPP_KIND.match(line)
    if kind is None:
        return None if line.strip() else head
    source, target = (SIPP, PEER) if kind[2] == b"sent" else (PEER, SIPP)
    return head._replace(transport=kind[1].decode(), source=source, target=target)


def _sipdump_head(fields: dict[bytes, bytes]) -> Sent | None:
    try:
        source = _place(fields[b"srcip"], fields[b"srcport"])
        target = _place(fields[b"dstip"], fields[b"dstport"])
        at = float(fields[b"time"])
    except (KeyError, ValueError):
        return None
    return Sent(at, fields.get(b"proto", b"udp").split()[0].decode().upper(), source, target, b"")


def _message(head: Sent, body: list[bytes]) -> Iterator[Sent]:
    """Yield the message with line ends as they were on the wire; logs turn CRLF into LF, and add blank lines."""
    data = b"".join(body).lstrip(b"\r\n")
    if b"\r\n" not in data:
        data = data.replace(b"\n", b"\r\n")
    length = re.search(rb"(?im)^(?:content-length|l)[ \t]*:[ \t]*(\d{1,7})[ \t]*\r?$", data)
    end = data.find(b"\r\n\r\n")
    if end < 0:
        data = data.rstrip(b"\r\n") + b"\r\n\r\n"
    elif length is not None:
        data = data[: end + 4 + int(length[1])]
    if data.strip():
        yield head._replace(data=data)


def _time(text: str) -> float:
    return datetime.fromisoformat(text[:26]).replace(tzinfo=UTC).timestamp()


def _place(host: bytes, port: bytes) -> HostPort:
    return host.decode("ascii", "replace").strip("[]"), int(port)
