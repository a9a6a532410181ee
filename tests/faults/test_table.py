"""Every step of an invitation's life × every fault × drivers.

The states are right, what was begun is finished or undone, nothing is delivered twice but for one repeat, and nothing
is left over.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.course import ACCOUNT, Course, launching, on_course
from tests.servers import SqlServer

CALLS = ("name", "provision", "register", "deliver", "deregister", "deprovision")
"""Steps that drivers do."""

COMMITS = ("allocate", "activate", "come", "login", "delete")
"""Steps that are our own commits, or REGISTER: they have no final failure that is not the caller's to repeat."""

OWN = ("name", "provision", "deprovision")
"""Steps that there are for accounts of our own only; those of a pool are made beforehand."""

Case = tuple[str, str, str]

TABLE: list[Case] = [
    (driver, step, fault)
    for driver in ("file", "lab", "kamailio", "server", "http", "pool")
    for step in (*CALLS, *COMMITS)
    for fault in ("temporary", "final", "slow", "kill-before", "kill-after")
    if not (step in COMMITS and fault == "final") and not (driver == "pool" and step in OWN)
]

SAMPLE: list[Case] = [
    ("file", "provision", "final"),
    ("kamailio", "provision", "kill-after"),
    ("file", "register", "temporary"),
    ("file", "activate", "kill-after"),
    ("kamailio", "deliver", "kill-after"),
    ("file", "deliver", "final"),
    ("file", "login", "kill-after"),
    ("file", "deregister", "kill-before"),
    ("kamailio", "deprovision", "final"),
    ("http", "provision", "kill-after"),
    ("lab", "deprovision", "kill-before"),
    ("pool", "allocate", "kill-before"),
    ("pool", "delete", "kill-before"),
]
"""One of each kind, in every run."""

REFUSED = {("name", "final"), ("provision", "final"), ("register", "final")}
"""What an inviter is told, and after which there is nothing."""


async def _run(course: Course, step: str, fault: str) -> None:
    course.network.break_next(step, fault)
    told = await course.invite()
    if (step, fault) in REFUSED:
        assert told.status >= 400, told
        await course.until(lambda: not course.left())
        assert not course.network.column("mail", "link")
        assert await course.audit() == ((), [])
        told = await course.invite()  # the fault is over, and nothing stands in the way
    assert told.status in (200, 201, 202) and told.json["account"] == ACCOUNT, told
    await course.until(lambda: course.settled)
    (view,) = await course.invitations()
    assert view["state"] == "active", view
    mails = course.network.column("mail", "message_id")
    if (step, fault) == ("deliver", "final"):
        assert view["delivery"]["state"] == "failed" and not mails, view
    else:
        assert view["delivery"]["state"] == "sent", view
        assert len(set(mails)) == 1 and len(mails) == (2 if (step, fault) == ("deliver", "kill-after") else 1), mails
        told = await course.log_in()
        assert told.status == 200, told
        assert course.network.column("binding", "uri") == [ACCOUNT]
    await course.until(lambda: len(course.in_core) == 1 and bool(course.network.column("server", "uri")))
    assert await course.audit() == ((), [])
    told = await course.revoke()
    assert told.status in (204, 404), told  # 404: it was done, and the gateway died before it could say so
    if (step, fault) in (("deregister", "final"), ("deprovision", "final")):
        await _left_behind(course, step)
    await course.until(lambda: not course.left())
    assert await course.audit() == ((), [])
    assert not course.network.pending(), "the fault did not strike"
    await course.stop()
    assert course.kills == ("kill" in fault)
    assert "Traceback" not in course.log, course.log


async def _left_behind(course: Course, step: str) -> None:
    """What refuses for good to be undone is told, found by an audit, and put right by it."""
    await course.until(lambda: len(course.left()) == 1)
    findings, left = await course.audit()
    assert [finding.kind for finding in findings] == ["orphan"] and len(left) == 1
    assert findings[0].place == ("im" if step == "deregister" else "core")
    assert "left behind" in course.log
    assert (await course.audit(fix=True))[1] == []


async def _all(folder: Path, cases: list[Case], server: SqlServer | None = None) -> None:
    failures = []
    async with launching(folder) as (launcher, session):
        for driver, step, fault in cases:
            name = f"{driver}-{step}-{fault}"
            async with on_course(folder / name, launcher, session, driver, server) as course:
                try:
                    await _run(course, step, fault)
                except (AssertionError, KeyError, IndexError, ValueError) as error:
                    failures.append(f"{name}: {type(error).__name__}: {error}")
    assert not failures, "\n\n".join(failures)


async def test_a_sample_of_steps_and_faults(tmp_path: Path) -> None:
    await _all(tmp_path, SAMPLE)


@pytest.mark.full
@pytest.mark.timeout(1200)
async def test_every_step_and_every_fault(tmp_path: Path) -> None:
    await _all(tmp_path, [case for case in TABLE if case[0] != "server"])


@pytest.mark.full
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["mariadb", "postgresql"])
async def test_every_step_and_every_fault_with_a_database_server(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    await _all(tmp_path, [case for case in TABLE if case[0] == "server"], request.getfixturevalue(kind))
