"""One id from HTTP to SIP."""

from __future__ import annotations

import asyncio

import pytest

from gateway import correlation

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize("extra", ["", "-what-a-later-version-adds"])
async def test_the_clients_trace_id_counts(extra: str) -> None:
    correlation.begin(f"00-{TRACE}-00f067aa0ba902b7-01{extra}")
    assert correlation.current() == TRACE


@pytest.mark.parametrize(
    "header",
    [None, "", "nonsense", f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE.upper()}-x"],
)
async def test_else_one_is_made_up_for_the_whole_call(header: str | None) -> None:
    correlation.begin(header)
    made = correlation.current()
    assert len(made) == 32 and made != TRACE and correlation.current() == made
    correlation.begin(header)
    assert correlation.current() != made


async def test_what_a_call_starts_has_its_id() -> None:
    async def work() -> str:
        await asyncio.sleep(0)
        return correlation.current()

    correlation.begin(f"00-{TRACE}-00f067aa0ba902b7-01")
    task = asyncio.create_task(work())
    correlation.begin(None)
    assert await task == TRACE


def test_outside_of_calls_each_has_its_own() -> None:
    assert correlation.current() != correlation.current()
