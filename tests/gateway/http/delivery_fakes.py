"""Short links and receipts behind the HTTP face, as far as these tests need them."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.deliveryservices import ReportAnswer

TOKEN = "0123456789ABCDEFGHIJKL"
LINK = "https://gw.example/rcsgw/invitee/session/sip:b@cc.com#passwd=00"


class MemoryLinks:
    """gateway.deliveryservices.LinkService."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def resolve(self, token: str) -> str | None:
        self.asked.append(token)
        return LINK if token == TOKEN else None


class MemoryReports:
    """gateway.deliveryservices.ReportService, for one channel."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, dict[str, str], str, bytes]] = []
        self.error: Exception | None = None

    def accepts(self, channel: str, token: str) -> bool:
        return (channel, token) == ("sms", TOKEN)

    async def report(self, channel: str, query: Mapping[str, str], content_type: str, body: bytes) -> ReportAnswer:
        if self.error is not None:
            raise self.error
        self.taken.append((channel, dict(query), content_type, body))
        return ReportAnswer(200, "text/plain", b"thanks")


MEMORY_LINKS, MEMORY_REPORTS = MemoryLinks(), MemoryReports()
"""For tests that are about something else."""
