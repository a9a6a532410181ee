"""The lab's mail server with a record of what crosses its wire. Of a mail only the length is recorded: it holds the
login link, in an encoding where no mask would find it.
"""

from __future__ import annotations

from typing import Any

from aiosmtpd.smtp import SMTP

from sipstack.flow import HostPort
from sipstack.trace import Trace

END_OF_MAIL = b"\r\n.\r\n"
"""RFC 5321 §4.1.1.4."""


class TracedSMTP(SMTP):
    """One SMTP session, recorded when ``trace`` is given."""

    def __init__(self, *args: Any, trace: Trace | None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._trace = trace
        self._in_mail = False
        self._mail = b""

    def data_received(self, data: bytes) -> None:
        """Record and process what the client sent."""
        if self._trace is not None:
            self._record_in(self._trace, data)
        super().data_received(data)

    async def push(self, status: str | bytes) -> None:
        """Record and send one line of a reply."""
        line = status.encode() if isinstance(status, str) else status
        if self._trace is not None:
            self._in_mail = line.startswith(b"354")
            self._trace.wire("SMTP", "TCP", "out", self._local, self._remote, line.rstrip(b"\r\n") + b"\r\n")
        await super().push(line)

    def _record_in(self, trace: Trace, data: bytes) -> None:
        if self._in_mail:
            self._mail += data
            mail, end, data = self._mail.partition(END_OF_MAIL)
            if not end:
                return
            self._in_mail, self._mail = False, b""
            summary = b"(%d octets)" % (len(mail) + 2) + END_OF_MAIL
            trace.wire("SMTP", "TCP", "in", self._local, self._remote, summary)
        if data:
            trace.wire("SMTP", "TCP", "in", self._local, self._remote, data)

    @property
    def _local(self) -> HostPort | None:
        return self._address("sockname")

    @property
    def _remote(self) -> HostPort | None:
        return self._address("peername")

    def _address(self, which: str) -> HostPort | None:
        address = self.transport.get_extra_info(which) if self.transport is not None else None
        return None if address is None else (address[0], address[1])
