"""What crossed the wire while one case ran, for its report."""

from __future__ import annotations

import time

from sipstack.flow import HostPort
from sipstack.trace import StateRecord, WireRecord

ACTOR = "runner"
"""Our column of the ladder."""

MAX_RECORDS = 2_000
"""Messages kept of one case; a case that floods says nothing more by its last thousand."""

MAX_OCTETS = 4 * 1024 * 1024
"""Octets kept of one case: a report of some hundred failed cases stays readable in a browser."""


class Recording:
    """Takes what goes out and comes in. ``left_out`` counts what was too much to keep."""

    def __init__(self) -> None:
        self.records: list[WireRecord | StateRecord] = []
        self.left_out = 0
        self._octets = 0

    def begin(self) -> None:
        """Forget the case before. Its list is not changed: whoever took it keeps it."""
        self.records = []
        self.left_out = 0
        self._octets = 0

    def wire(
        self, protocol: str, transport: str, direction: str, local: HostPort, remote: HostPort, data: bytes
    ) -> None:
        """Keep one datagram or piece of a stream. ``direction`` is ``in`` or ``out``."""
        if len(self.records) >= MAX_RECORDS or self._octets + len(data) > MAX_OCTETS:
            self.left_out += 1
            return
        self._octets += len(data)
        self.records.append(WireRecord(time.time(), ACTOR, protocol, transport, direction, local, remote, data))

    def remark(self, text: str) -> None:
        """Put a remark between the messages."""
        if len(self.records) < MAX_RECORDS:
            self.records.append(StateRecord(time.time(), ACTOR, "", text))
