"""The robustness suite: a sound element gets through, one that breaks is found, with what broke it."""

from __future__ import annotations

from dataclasses import replace

from gateway.lab.conformance.collect import Selection, own_cases
from gateway.lab.conformance.peer import Peer, Received
from gateway.lab.conformance.runner import Result
from gateway.lab.conformance.suites.robustness import BATCH
from sipstack.sip.message import Request

from .helpers import FAST, Answer, element, running

MANY = replace(FAST, mutations=2 * BATCH, rate=1000.0, least_patience=0.3)


async def answer_requests(peer: Peer, received: Received) -> None:
    if received.fault is None and isinstance(received.message, Request) and received.message.method != "ACK":
        await peer.respond(received, 200)


async def ran(answer: Answer, id: str) -> Result:
    (case,) = Selection(cases=(id,)).pick(own_cases())
    async with element(answer) as target, running(target, MANY) as runner:
        return await runner.run_case(case)


async def test_a_sound_element_gets_through() -> None:
    for id in ("ROB-SIP-MESSAGE", "ROB-SIP-RESPONSE", "ROB-SIP-STREAM"):
        result = await ran(answer_requests, id)
        assert (id, result.verdict, result.reason) == (id, "pass", "")
        assert len(result.records) > MANY.mutations


async def test_an_element_that_breaks_is_found_with_what_broke_it() -> None:
    broken = False

    async def answer(peer: Peer, received: Received) -> None:
        nonlocal broken
        broken = broken or received.fault is not None
        if not broken:
            await answer_requests(peer, received)

    result = await ran(answer, "ROB-SIP-OPTIONS")
    assert result.verdict == "fail"
    assert result.reason.startswith("the target answers no more after one of 20 broken messages")
    assert result.log.count("\n") == BATCH - 1


async def test_a_dead_element_is_not_blamed() -> None:
    async def say_nothing(peer: Peer, received: Received) -> None:
        pass

    assert (await ran(say_nothing, "ROB-SIP-OPTIONS")).verdict == "inconclusive"
