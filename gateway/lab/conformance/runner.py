"""Runs cases, one after the other, and says what became of each."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import Case
from gateway.lab.conformance.collect import applicable
from gateway.lab.conformance.msrpside import MsrpSide
from gateway.lab.conformance.options import DEFAULT_T1, Options
from gateway.lab.conformance.recording import Recording
from gateway.lab.conformance.sipside import SipSide
from gateway.lab.conformance.target import Target, local_address
from gateway.lab.conformance.verdict import Ended, Verdict
from sipstack.flow import HostPort
from sipstack.trace import Record

LEAST_LIMIT = 10.0
"""Seconds that every case may take, however short T1 is."""


@dataclass(slots=True)
class Result:
    """What became of one case."""

    case: Case
    verdict: Verdict
    reason: str = ""
    """Why it is no pass."""
    role: str = ""
    transport: str = ""
    started: float = 0.0
    """Unix seconds."""
    seconds: float = 0.0
    remarks: list[str] = field(default_factory=list)
    records: Sequence[Record] = ()
    """What crossed the wire."""
    left_out: int = 0
    """Messages that were too many to record."""
    log: str = ""
    """What a program or the runner itself wrote about it."""


class Runner:
    """A bench for one target. Use as ``async with``; ``listen`` is where the target calls us, port 0 a free one."""

    def __init__(
        self,
        target: Target,
        options: Options,
        *,
        listen: HostPort | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.target = target
        self.options = options
        host, port = listen or (local_address(target.hop), 0)
        self.recording = Recording()
        self.stopped = False
        """Whether the run is to end behind the case that is running."""
        self.sip = SipSide(target, options, self.recording, (host, port), tls)
        self.msrp = MsrpSide(options, self.recording, host)

    async def __aenter__(self) -> Self:
        await self.sip.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.msrp.end()
        await self.sip.close()

    async def run(self, cases: Iterable[Case], on_result: Callable[[Result], None] | None = None) -> list[Result]:
        """Run all, one after the other; those behind :meth:`stop` are not run."""
        results = []
        for case in cases:
            if self.stopped:
                result = Result(case, Verdict.NOT_RUN, "the run was ended before")
            else:
                result = await self.run_case(case)
            results.append(result)
            if on_result is not None:
                on_result(result)
        return results

    def stop(self) -> None:
        """End the run behind the case that is running."""
        self.stopped = True

    async def run_case(self, case: Case) -> Result:
        """Run one case; whatever goes wrong in it is its verdict."""
        where = applicable(case, self.target)
        if isinstance(where, str):
            return Result(case, Verdict.NOT_APPLICABLE, where)
        result = Result(case, Verdict.PASS, role=where[0], transport=where[1], started=time.time())
        if case.slow and not self.options.slow:
            result.verdict, result.reason = Verdict.NOT_RUN, "slow (--slow)"
            return result
        self.recording.begin()
        self.sip.begin(where[1])
        bench = Bench(case, where[0], self.target, self.options, self.sip, self.msrp, self.recording)
        begun = time.monotonic()
        try:
            await self._judge(bench, result)
        finally:
            await bench.end()
            await self.sip.end()
            await self.msrp.end()
        result.seconds = time.monotonic() - begun
        result.remarks = bench.remarks
        result.log = result.log or bench.log
        result.records, result.left_out = self.recording.records, self.recording.left_out
        return result

    async def _judge(self, bench: Bench, result: Result) -> None:
        limit = max(LEAST_LIMIT, bench.case.limit * self.options.t1 / DEFAULT_T1)
        clock = asyncio.timeout(limit)
        try:
            async with clock:
                await bench.case.run(bench)
        except Ended as ended:
            result.verdict, result.reason = ended.verdict, str(ended)
        except TimeoutError as error:
            if clock.expired():
                result.verdict, result.reason = Verdict.INCONCLUSIVE, f"not done after {limit:.0f} s"
            else:
                _blame_ourselves(result, error)
        except Exception as error:
            _blame_ourselves(result, error)


def _blame_ourselves(result: Result, error: Exception) -> None:
    """What nobody foresaw is our fault, not the target's."""
    result.verdict, result.reason = Verdict.ERROR, f"{type(error).__name__}: {error}"
    with contextlib.suppress(Exception):
        result.log = "".join(traceback.format_exception(error))


def exit_status(results: Sequence[Result], named: Callable[[Case], bool] = lambda case: False) -> int:
    """Return 0 when everything that applies passed, and something did; else 1.

    ``named``: whether a case was asked for by its id; such a one has to run.
    """
    bad = any(
        result.verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.ERROR)
        or (result.verdict is Verdict.NOT_RUN and named(result.case))
        for result in results
    )
    passed = any(result.verdict is Verdict.PASS for result in results)
    return 0 if passed and not bad else 1
