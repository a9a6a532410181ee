"""Checks and how they are run: all at once but for those that wait for others, each with a deadline."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from gateway.drivers import DriverError
from gateway.secrets import SecretsError
from sipstack.errors import SipstackError

log = logging.getLogger("rcsgw.doctor")

SOON = timedelta(days=14)
"""How long a certificate should still be good."""


class Verdict(StrEnum):
    """What a check comes to."""

    OK = "ok"
    WARNING = "warning"
    """It works, but not for long, or not everywhere."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """It could not be tried, or nothing needs it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check has found, and what to do about it."""

    verdict: Verdict
    found: str
    remedy: str = ""


def ok(found: str) -> Outcome:
    """All is well."""
    return Outcome(Verdict.OK, found)


def warning(found: str, remedy: str) -> Outcome:
    """It works, but."""
    return Outcome(Verdict.WARNING, found, remedy)


def failed(found: str, remedy: str = "") -> Outcome:
    """It does not work; without a remedy of its own, the check's holds."""
    return Outcome(Verdict.FAILED, found, remedy)


def skipped(why: str) -> Outcome:
    """It was not tried."""
    return Outcome(Verdict.SKIPPED, why)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to try."""

    id: str
    """Seam, a dot, and what of it: ``core.tcp``."""
    tries: str
    """What is tried, in a few words."""
    run: Callable[[], Awaitable[Outcome]]
    """May raise DriverError, SipstackError, SecretsError or OSError: the check has failed for that reason."""
    remedy: str = ""
    """What to do when it has failed and ``run`` says nothing better."""
    needs: tuple[str, ...] = ()
    """Checks without whose success this one makes no sense; those that are not there are not missed."""
    after: tuple[str, ...] = ()
    """Checks that have to be over, whatever they have found."""
    timeout: float = 0.0
    """Seconds; 0: as all have."""

    @property
    def seam(self) -> str:
        """What is before the first dot."""
        return self.id.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Finding:
    """A check that is over."""

    check: str
    tried: str
    verdict: Verdict
    found: str
    remedy: str = ""


def chosen(checks: Sequence[Check], only: Iterable[str]) -> list[Check]:
    """Return the checks of the seams or ids ``only``, and whatever these need; all of them for none.

    Raises ValueError for a name that no check has.
    """
    by_id = {check.id: check for check in checks}
    wanted: set[str] = set()
    for name in only:
        found = [check.id for check in checks if check.id == name or check.id.startswith(f"{name}.")]
        if not found:
            seams = ", ".join(dict.fromkeys(check.seam for check in checks))
            raise ValueError(f"there is nothing to check called {name}; there are {seams}")
        wanted.update(found)
    if not wanted:
        return list(checks)
    waiting = list(wanted)
    while waiting:
        needed = set(by_id[waiting.pop()].needs) & by_id.keys() - wanted
        wanted |= needed
        waiting += needed
    return [check for check in checks if check.id in wanted]


async def examine(checks: Sequence[Check], *, timeout: float) -> list[Finding]:
    """Run the checks and return what they find, in the same order; ``timeout`` seconds for each."""
    tasks: dict[str, asyncio.Task[Outcome]] = {}
    begin = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for check in checks:
            tasks[check.id] = group.create_task(_examine(check, tasks, begin, check.timeout or timeout))
        begin.set()
    return [_finding(check, tasks[check.id].result()) for check in checks]


async def _examine(
    check: Check, tasks: dict[str, asyncio.Task[Outcome]], begin: asyncio.Event, limit: float
) -> Outcome:
    await begin.wait()
    for id in check.after:
        if id in tasks:
            await tasks[id]
    for id in check.needs:
        if id in tasks and (await tasks[id]).verdict in (Verdict.FAILED, Verdict.SKIPPED):
            return skipped(f"needs {id}")
    try:
        async with asyncio.timeout(limit):
            return await check.run()
    except TimeoutError:
        return failed(f"no answer within {limit:g} s")
    except (DriverError, SipstackError, SecretsError, OSError) as error:
        return failed(str(error) or type(error).__name__)
    except Exception as error:  # a fault of ours, or of a lab's own driver, must not hide what the others find
        log.debug("%s", check.id, exc_info=True)
        return failed(f"{type(error).__name__}: {error}")


def _finding(check: Check, outcome: Outcome) -> Finding:
    remedy = outcome.remedy or (check.remedy if outcome.verdict is Verdict.FAILED else "")
    return Finding(check.id, check.tries, outcome.verdict, outcome.found, remedy)
