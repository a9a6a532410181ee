"""Each SIP case finds the defect that it is meant for, and only that: elements with one defect, and healthy twins."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from gateway.lab.conformance.case import Case
from gateway.lab.conformance.collect import in_suite, own_cases
from gateway.lab.conformance.options import Credentials
from gateway.lab.conformance.runner import Result
from gateway.lab.conformance.verdict import Verdict
from tests.gateway.lab.conformance.element import Element
from tests.gateway.lab.conformance.element_callee import Callee
from tests.gateway.lab.conformance.element_caller import Caller
from tests.gateway.lab.conformance.element_registrant import PASSWORD, USER
from tests.gateway.lab.conformance.element_registrar import Registrar
from tests.gateway.lab.conformance.helpers import FAST, running

ELEMENTS: list[type[Element]] = [Callee, Caller, Registrar]

TORTURE = "sip.parsing.torture"

AT_ONCE = 8
"""Elements that run side by side: enough to fill the pauses, few enough for timers of 50 ms."""

OPTIONS = replace(FAST, slow=True, credentials=Credentials(USER, PASSWORD))

LONG = {
    *("SIP-TXN-UAS-004", "SIP-TXN-UAS-005", "SIP-TXN-UAS-007", "SIP-TXN-UAS-008", "SIP-TXN-CAN-006"),
    *("SIP-TXN-UAC-003", "SIP-TXN-UAC-010", "SIP-TXN-UAC-012", "SIP-DLG-UAC-009", "SIP-REG-RT-005"),
}
"""Cases that watch timers for half a second and longer: tried on their own defects, and on all of them in full runs."""

LACKED: dict[str, str] = {
    "SIP-STM-UAS-001": "the callee has no session timers",
    "SIP-UPD-UAS-001": "the callee has no UPDATE",
    "SIP-UPD-UAS-002": "the callee has no UPDATE",
    "SIP-UPD-UAS-003": "the callee has no UPDATE",
}
"""Cases that do not apply to the healthy elements, and why."""


def cases(element: type[Element], slow: bool = False) -> list[Case]:
    """Return the SIP cases for what an element is; those that wait for 64·T1 only when they are asked for."""
    roles = set(element.ROLES)
    return [case for case in own_cases() if in_suite(case, "sip") and case.slow is slow and case.roles & roles]


def found(results: Iterable[Result]) -> dict[str, str]:
    """Return the cases that found something, and what."""
    told = {}
    for result in results:
        remarks = [remark for remark in result.remarks if not remark.startswith("tidying up")]
        if result.verdict in (Verdict.FAIL, Verdict.ERROR) or remarks:
            told[result.case.id] = result.reason or "; ".join(remarks)
    return told


async def tried(element: Element, wanted: Sequence[Case]) -> list[Result]:
    """Run cases against one element."""
    async with element, running(element.target, OPTIONS) as runner:
        return await runner.run(wanted)


async def not_found_exactly(kind: type[Element], wanted: dict[str, list[Case]]) -> dict[str, dict[str, str]]:
    """Try each defect by the cases ``wanted`` for it; return what was found where it is not what was meant.

    What surprises is tried once more, alone: with timers of 50 ms a busy machine looks like a broken element.
    """
    few = asyncio.Semaphore(AT_ONCE)

    async def one(defect: str) -> dict[str, str]:
        async with few:
            return found(await tried(kind(defect), wanted[defect]))

    outcomes = dict(zip(kind.DEFECTS, await asyncio.gather(*map(one, kind.DEFECTS)), strict=True))
    surprises = [defect for defect, meant in kind.DEFECTS.items() if set(outcomes[defect]) != {meant}]
    again = {defect: await one(defect) for defect in surprises}
    return {defect: seen for defect, seen in again.items() if set(seen) != {kind.DEFECTS[defect]}}


@pytest.mark.parametrize("kind", ELEMENTS)
async def test_healthy_elements_pass_every_case(kind: type[Element]) -> None:
    suites: dict[str, list[Case]] = {}
    for case in cases(kind):
        suites.setdefault(case.suite, []).append(case)
    results = await asyncio.gather(*(tried(kind(), suite) for suite in suites.values()))
    bad = {
        result.case.id: (result.verdict, result.reason, result.remarks)
        for result in itertools.chain(*results)
        if result.verdict is not (Verdict.NOT_APPLICABLE if result.case.id in LACKED else Verdict.PASS)
        or result.remarks
    }
    assert not bad


@pytest.mark.parametrize("kind", ELEMENTS)
async def test_each_defect_is_found_by_the_case_meant_for_it(kind: type[Element]) -> None:
    every = {case.id: case for case in cases(kind)}
    quick = [case for case in every.values() if case.id not in LONG and case.suite != TORTURE]
    wanted = {
        defect: [every[meant], *(case for case in quick if case.suite == every[meant].suite and case.id != meant)]
        for defect, meant in kind.DEFECTS.items()
    }
    assert not await not_found_exactly(kind, wanted)


@pytest.mark.full
@pytest.mark.parametrize("kind", ELEMENTS)
async def test_healthy_elements_pass_the_slow_cases(kind: type[Element]) -> None:
    results = await asyncio.gather(*(tried(kind(), [case]) for case in cases(kind, slow=True)))
    bad = {
        result.case.id: (result.verdict, result.reason) for result in itertools.chain(*results) if not_passed(result)
    }
    assert not bad


def not_passed(result: Result) -> bool:
    return result.verdict is not Verdict.PASS or bool(result.remarks)


@pytest.mark.full
@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", ELEMENTS)
async def test_no_case_at_all_finds_another_defect(kind: type[Element]) -> None:
    every = cases(kind)
    torture = {case.id for case in every if case.suite == TORTURE}
    wanted = {
        defect: [case for case in every if case.suite != TORTURE or meant in torture]
        for defect, meant in kind.DEFECTS.items()
    }
    assert not await not_found_exactly(kind, wanted)
