"""The timers of RFC 3261 §17 as SIPp sees them: when requests and answers of ours are repeated, on a real clock.

The table on a virtual clock is in tests/sipstack/sip/test_timer_table.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from gateway.lab.ports import free_port
from sipstack.errors import SipstackError
from sipstack.net.endpoint import Endpoint
from sipstack.net.useragent import Identity, UserAgent
from sipstack.sip.timers import TimerValues
from sipstack.sip.uri import Uri
from tests.interop.sipp import HOST, Sipp, Transport
from tests.sipstack.net.helpers import Phone, endpoint_config

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("needs_sipp")]

SLACK = 0.15
"""Seconds that a busy machine may add between our clock and SIPp's."""

DOUBLED = (1, 2, 4, 8, 16, 32)
"""Timer A: intervals in units of T1 until Timer B ends it all (A-ICT-02)."""
CAPPED = (1, 2, 4, 8, 8, 8, 8, 8, 8, 8)
"""Timers E and G: doubled up to T2 (A-NICT-01, A-IST-03)."""

_STAMP = re.compile(r"(?m)^-{10,} +(\d{4}-\d\d-\d\d[\sT]+\d\d:\d\d:\d\d\.\d+)")


@dataclass(frozen=True, slots=True)
class Tempo:
    """How fast everything goes: real T1, or as much as fits into every run."""

    t1: float

    @property
    def whole(self) -> float:
        """64·T1 and a little, seconds."""
        return 64 * self.t1 + 2

    @property
    def silence(self) -> int:
        """The same in milliseconds, for scenarios."""
        return int(self.whole * 1000)


@asynccontextmanager
async def caller(tempo: Tempo) -> AsyncIterator[UserAgent]:
    """A user agent of ours that has not to register."""
    timers = TimerValues(tempo.t1, 8 * tempo.t1, 10 * tempo.t1)
    async with Endpoint(endpoint_config(timers=timers)) as endpoint:
        host, port = endpoint.local
        identity = Identity(Uri.parse(f"sip:guest@{host}:{port}"))
        agent = UserAgent(endpoint, identity, domain=Uri.parse(f"sip:{host}:{port}"), handler=Phone())
        try:
            yield agent
        finally:
            await agent.close()


def instants(sipp: Sipp, start: str) -> list[float]:
    """Return when SIPp received messages that begin so, seconds from the first of them."""
    times = []
    for part in re.split(r"(?m)^(?=-{10,} )", sipp.messages):
        stamp = _STAMP.match(part)
        if stamp is not None and " received " in part and re.search(f"(?m)^{re.escape(start)}", part):
            times.append(datetime.fromisoformat(re.sub(r"[\sT]+", "T", stamp[1])).timestamp())
    return [time - times[0] for time in times]


def check(seen: Sequence[float], intervals: Sequence[int], tempo: Tempo) -> None:
    """Compare instants with the sums of intervals in units of T1."""
    wanted = [sum(intervals[:count]) * tempo.t1 for count in range(len(intervals) + 1)]
    assert len(seen) == len(wanted), (seen, wanted)
    assert all(abs(one - other) < SLACK + 0.02 * other for one, other in zip(seen, wanted, strict=True)), (seen, wanted)


async def unanswered(folder: Path, tempo: Tempo, method: str) -> list[float]:
    """Send a request to SIPp, which says nothing; return when the copies came."""
    async with caller(tempo) as agent:
        sipp = Sipp(
            folder,
            "uas_mute",
            (HOST, 9),
            transport="UDP",
            patience=int(tempo.whole) + 10,
            method=method,
            silence=tempo.silence,
        )
        async with sipp:
            uri = Uri.parse(f"sip:mute@{HOST}:{sipp.port};transport=udp")
            with contextlib.suppress(SipstackError):
                await (agent.invite(uri) if method == "INVITE" else agent.options(uri))
            await sipp.finish()
        return instants(sipp, f"{method} sip:")


async def unacknowledged(folder: Path, tempo: Tempo, transport: Transport, scenario: str, start: str) -> list[float]:
    """Have SIPp call us and not acknowledge what it gets; return when that came."""
    async with caller(tempo) as agent:
        sipp = Sipp(
            folder,
            scenario,
            agent.endpoint.local,
            transport=transport,
            port=free_port(HOST),
            patience=int(tempo.whole) + 10,
            user="guest",
            silence=tempo.silence,
        )
        async with sipp:
            await sipp.finish()
        return instants(sipp, start)


@pytest.mark.parametrize("tempo", [Tempo(0.2), pytest.param(Tempo(0.5), marks=pytest.mark.full)])
async def test_copies_come_when_the_table_says(tmp_path: Path, tempo: Tempo) -> None:
    """All at once: it takes 64·T1 in any case."""
    invite, options, refusal, taken, taken_by_tcp = await asyncio.gather(
        unanswered(tmp_path / "invite", tempo, "INVITE"),
        unanswered(tmp_path / "options", tempo, "OPTIONS"),
        unacknowledged(tmp_path / "refused", tempo, "UDP", "uac_unacknowledged", "SIP/2.0 420"),
        unacknowledged(tmp_path / "taken", tempo, "UDP", "uac_left_alone", "SIP/2.0 200"),
        unacknowledged(tmp_path / "tcp", tempo, "TCP", "uac_left_alone", "SIP/2.0 200"),
    )
    check(invite, DOUBLED, tempo)
    check(options, CAPPED, tempo)
    check(refusal, CAPPED, tempo)
    check(taken, CAPPED, tempo)
    check(taken_by_tcp, CAPPED, tempo)
