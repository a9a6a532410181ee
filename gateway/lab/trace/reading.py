"""One trace file, whatever it is: found out by its first octets, read as a stream."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from gateway.lab.trace.frames import is_capture, read_frames
from gateway.lab.trace.hep import MAGIC, read_hep
from gateway.lab.trace.internet import read_internet
from gateway.lab.trace.losses import Damaged, Lose
from gateway.lab.trace.recognition import Recognition, recognize
from gateway.lab.trace.segments import Sent, read_segments
from gateway.lab.trace.textlogs import is_text_log, read_text_log
from sipstack.net.tracefile import load_record
from sipstack.trace import Record

GZIP = b"\x1f\x8b"
LOOK = 4096
"""Octets by which a file is told from others."""

BUFFER = 1 << 20
"""Octets read at once."""

Progress = Callable[[int], None]
"""Is told how many octets of the file have been read."""


class Counting(io.RawIOBase):
    """A file that tells how much of it was read."""

    def __init__(self, file: BinaryIO, progress: Progress) -> None:
        self._file = file
        self._progress = progress
        self._done = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # memoryview and bytearray alike
        """Read into ``buffer`` and return how much."""
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._done += len(data)
        self._progress(self._done)
        return len(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def read_any(path: Path, lose: Lose, progress: Progress = lambda done: None) -> Iterator[Record]:
    """Yield the records of a trace: pcap, pcapng, HEP, a text log or JSON lines, packed with gzip or not.

    Raises OSError, and Damaged where nothing can be read; less is told to ``lose``.
    """
    with path.open("rb", buffering=0) as raw:
        file = counted = io.BufferedReader(cast(io.RawIOBase, Counting(cast(BinaryIO, raw), progress)), BUFFER)
        packed = counted.peek(2)[:2] == GZIP
        if packed:
            file = io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(fileobj=counted)), BUFFER)
        try:
            yield from _read(file, lose)
        except (EOFError, gzip.BadGzipFile, OSError) as error:
            if not packed:
                raise
            lose(f"the packed file is damaged: {error}")


def _read(file: io.BufferedReader[Any], lose: Lose) -> Iterator[Record]:
    start = file.peek(LOOK)[:LOOK]
    if is_capture(start):
        yield from recognize(read_segments(read_internet(read_frames(file, lose), lose), lose), lose)
    elif start.startswith(MAGIC):
        recognition = Recognition(lose)
        for packet in read_hep(file, lose):
            sent = Sent(packet.at, packet.transport, packet.source, packet.target, packet.data)
            yield from recognition.message(sent)
    elif start.lstrip().startswith(b"{"):
        yield from _read_lines(file, lose)
    elif is_text_log(start):
        recognition = Recognition(lose)
        for sent in read_text_log(file, lose):
            yield from recognition.message(sent)
    else:
        raise Damaged("no trace: neither pcap, pcapng, HEP, JSON lines nor a log of SIPp, sngrep or sipdump")


def _read_lines(file: io.BufferedReader[Any], lose: Lose) -> Iterator[Record]:
    """Read what the gateway records itself."""
    for line in file:
        try:
            yield load_record(line.decode())
        except (ValueError, KeyError, TypeError, AttributeError):
            lose("a line that is no record")
