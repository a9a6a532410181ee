"""A trace as JSON lines, written by a thread so that the loop never waits for the disk.

One record a line. Bytes that are UTF-8 stand as text, others as base64, so that a trace can be read with any tool
and still gives back the very bytes (but for the secrets, which are masked before they reach the file).
"""

from __future__ import annotations

import base64
import json
import queue
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sipstack.flow import HostPort
from sipstack.trace import Record, StateRecord, WireRecord

QUEUE_LIMIT = 20_000
"""Records waiting for the writer; some seconds of a busy gateway. What comes on top is dropped and counted."""

MASK = b"***"

# The parts of a message that would let a reader log in or replay: digest responses, Basic credentials, bearer
# tokens, passwords in queries, forms and JSON. Names and realms stay, a ladder without them explains nothing.
_SECRETS = (
    re.compile(rb'(\b(?:response|cnonce|auts|rspauth)\s*=\s*")[^"\r\n]+(?=")', re.IGNORECASE),
    re.compile(rb"(^(?:Proxy-)?Authorization\s*:\s*(?:Basic|Bearer)\s+)[^\r\n]+", re.IGNORECASE | re.MULTILINE),
    re.compile(rb"(^(?:Set-)?Cookie\s*:\s*)[^\r\n]+", re.IGNORECASE | re.MULTILINE),
    re.compile(rb"(^AUTH\s+(?:PLAIN|LOGIN)\s+)[^\r\n]+", re.IGNORECASE | re.MULTILINE),
    re.compile(rb"(/i/)[0-9A-Za-z]{22}(?![0-9A-Za-z])"),
    re.compile(rb"(/rcsgw/delivery/[^/\s]+/)[^\s?\"'<>]+"),
    re.compile(rb"([?&#](?:passwd|password|secret|token)=)[^&\s\"'<>]+", re.IGNORECASE),
    re.compile(rb'("(?:passwd|password|secret)"\s*:\s*")(?:[^"\\]|\\.)*(?=")', re.IGNORECASE),
    re.compile(rb"(<(passwd|password|secret)>)[^<]*(?=</\2>)", re.IGNORECASE),
)


def mask(data: bytes) -> bytes:
    """Return ``data`` with passwords, digest responses and credentials replaced by ``***``."""
    for pattern in _SECRETS:
        data = pattern.sub(rb"\g<1>" + MASK, data)
    return data


def _address(address: HostPort | None) -> str | None:
    return None if address is None else f"{address[0]} {address[1]}"


def _host_port(text: str | None) -> HostPort | None:
    if text is None:
        return None
    host, port = text.split(" ")
    return host, int(port)


def dump_record(record: Record) -> str:
    """Return the JSON line of ``record``, masked, without line end."""
    if isinstance(record, StateRecord):
        fields: dict[str, Any] = {
            "at": record.at,
            "actor": record.actor,
            "subject": record.subject,
            "state": record.state,
        }
        if record.note:
            fields["note"] = record.note
        return json.dumps(fields, ensure_ascii=False)
    fields = {
        "at": record.at,
        "actor": record.actor,
        "protocol": record.protocol,
        "transport": record.transport,
        "direction": record.direction,
        "local": _address(record.local),
        "remote": _address(record.remote),
    }
    data = mask(record.data)
    try:
        fields["text"] = data.decode("utf-8")
    except UnicodeDecodeError:
        fields["base64"] = base64.b64encode(data).decode("ascii")
    return json.dumps(fields, ensure_ascii=False)


def load_record(line: str) -> Record:
    """Return the record of a JSON line. Raise ValueError or KeyError when it is none."""
    fields = json.loads(line)
    if "subject" in fields:
        return StateRecord(fields["at"], fields["actor"], fields["subject"], fields["state"], fields.get("note", ""))
    data = fields["text"].encode("utf-8") if "text" in fields else base64.b64decode(fields["base64"])
    return WireRecord(
        at=fields["at"],
        actor=fields["actor"],
        protocol=fields["protocol"],
        transport=fields["transport"],
        direction=fields["direction"],
        local=_host_port(fields["local"]),
        remote=_host_port(fields["remote"]),
        data=data,
    )


def read_trace(path: Path | str) -> Iterator[Record]:
    """Yield the records of a trace file. A last line that a crash cut short is passed over."""
    with open(path, encoding="utf-8", newline="\n") as file:
        for line in file:
            if line.endswith("\n"):
                yield load_record(line)


class TraceFile:
    """The sink of a :class:`~sipstack.trace.Trace`: appends records to ``path``.

    Call it with a record from any thread. ``dropped`` counts the records that found the queue full; ``close()``
    waits for the writer.
    """

    def __init__(self, path: Path | str, *, limit: int = QUEUE_LIMIT) -> None:
        self.path = Path(path)
        self.dropped = 0
        self._queue: queue.Queue[Record | None] = queue.Queue(limit)
        self._file = open(self.path, "a", encoding="utf-8", newline="\n")
        self._thread = threading.Thread(target=self._write, name=f"trace {self.path.name}", daemon=True)
        self._thread.start()

    def __call__(self, record: Record) -> None:
        try:
            self._queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what is queued and close the file. A second call does nothing."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        self._file.close()

    def _write(self) -> None:
        while (record := self._queue.get()) is not None:
            self._file.write(dump_record(record) + "\n")
            # Flushed when nothing more waits: a reader of a quiet trace sees all of it, a busy one writes blocks.
            if self._queue.empty():
                self._file.flush()
