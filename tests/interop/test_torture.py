"""The torture messages of RFC 4475 and RFC 5118 sent to a running gateway, with an ordinary chat behind each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import Case, case
from gateway.lab.conformance.gatewaytarget import HOST, OwnGateway, own_options, own_target
from gateway.lab.conformance.msrpsteps import session
from gateway.lab.conformance.options import Options
from gateway.lab.conformance.runner import Runner
from gateway.lab.conformance.suites import sip_torture
from gateway.lab.conformance.torture import vectors
from gateway.lab.conformance.verdict import Verdict
from tests.interop.sipp import TRANSPORTS, Transport

pytestmark = pytest.mark.interop


@case("T-CHAT", "none", suite="test", roles={"uas"}, purpose="A chat is begun, something is written, it is ended.")
async def an_ordinary_chat(bench: Bench) -> None:
    chat = await session(bench)
    await chat.alive()
    await chat.dialog.hangup()


@asynccontextmanager
async def running(folder: Path, transport: Transport) -> AsyncIterator[Runner]:
    target = own_target()
    target.transports, target.roles = (transport,), ("uas",)
    async with Runner(target, own_options(Options(t1=0.1)), listen=(HOST, 0)) as runner:
        async with OwnGateway(runner.sip, target, folder) as gateway:
            target.gateway, target.act = gateway, gateway.act
            yield runner


def torture() -> Iterator[Case]:
    """The cases of the suite, of which there is one for each message."""
    assert len(sip_torture.CASES) == len(vectors()) == 61
    yield from sip_torture.CASES


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_answered_as_asked_and_then_a_chat(tmp_path: Path, transport: Transport) -> None:
    wrong: list[str] = []
    async with running(tmp_path, transport) as runner:
        for message in torture():
            for tried in (message, an_ordinary_chat):
                result = await runner.run_case(tried)
                if result.verdict is not Verdict.PASS:
                    wrong.append(f"{message.id} {message.purpose} {tried.id}: {result.verdict} {result.reason}")
    assert wrong == []
