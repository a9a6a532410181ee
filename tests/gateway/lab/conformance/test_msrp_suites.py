"""The MSRP and message suites: a healthy element passes them, a broken one is found by the case meant for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

import pytest

from gateway.lab.conformance.case import Case
from gateway.lab.conformance.collect import in_suite, own_cases
from gateway.lab.conformance.runner import Result, Runner
from gateway.lab.conformance.verdict import Verdict
from tests.gateway.lab.conformance.helpers import FAST, HOST
from tests.gateway.lab.conformance.msrp_element import DEFECTS, MsrpElement

CASES = [case for case in own_cases() if "msrp" in case.roles and (in_suite(case, "msrp") or in_suite(case, "im"))]

AT_ONCE = 8
"""Elements that are tried at once: what takes time is waiting for what must not come."""


async def tried(defect: str, cases: Iterable[Case]) -> list[Result]:
    options = replace(FAST, least_patience=0.8)
    async with MsrpElement(defect) as element, Runner(element.target, options, listen=(HOST, 0)) as runner:
        return await runner.run(cases)


def told(results: Iterable[Result]) -> dict[str, str]:
    return {result.case.id: f"{result.verdict}: {result.reason} {result.log}" for result in results}


async def test_the_healthy_one_passes() -> None:
    results = await tried("", CASES)
    others = told(result for result in results if result.verdict is not Verdict.PASS)
    assert set(others) <= {"MSRP-CHK-010", "IM-CPM-006"}, others  # it names no max-size and wraps nothing
    assert all(text.startswith(Verdict.NOT_APPLICABLE) for text in others.values()), others


@pytest.mark.parametrize("suites", ["its own", pytest.param("all", marks=pytest.mark.full)])
async def test_broken_ones_are_found_by_the_case_meant_for_them(suites: str) -> None:
    free = asyncio.Semaphore(AT_ONCE)
    wrong: dict[str, dict[str, str]] = {}

    async def try_one(defect: str, meant: Case) -> None:
        cases = CASES if suites == "all" else [case for case in CASES if case.suite == meant.suite]
        async with free:
            results = await tried(defect, cases)
        found = told(result for result in results if result.verdict is Verdict.FAIL)
        if set(found) != {meant.id}:
            wrong[defect] = told(result for result in results if result.verdict is not Verdict.PASS)

    by_id = {case.id: case for case in CASES}
    await asyncio.gather(*(try_one(defect, by_id[meant]) for defect, meant in DEFECTS.items()))
    assert wrong == {}
