"""``rcsgw accounts`` on the store of a gateway that runs, and of one that does not."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from tests.faults.course import ACCOUNT, PHONE, Course, launching

SECOND, SECOND_ACCOUNT = "+4915112345679", "sip:+4915112345679@cc.com"


async def rcsgw(course: Course, *arguments: str, status: int = 0) -> str:
    """Run ``rcsgw accounts``; return what it prints."""

    def run() -> Result:
        command = ["accounts", arguments[0], "--config", str(course.config), *arguments[1:]]
        return CliRunner().invoke(main, command)

    result = await asyncio.to_thread(run)
    assert result.exit_code == status, (result.output, result.exception)
    return result.output


async def read(course: Course, *arguments: str, status: int = 0) -> Any:
    return json.loads(await rcsgw(course, *arguments, "--json", status=status))


async def test_an_operator_looks_ends_and_compares_while_the_gateway_runs(tmp_path: Path) -> None:
    async with launching(tmp_path) as (launcher, session):
        course = Course(tmp_path / "course", launcher, session, "file")
        assert "there is no store" in await rcsgw(course, "list", status=1)
        for phone in (PHONE, SECOND):
            assert (await course.call("POST", "/rcsgw/invitee/user", "a", "pa", {"phone": phone})).status in (201, 202)
        await course.until(lambda: course.settled)
        assert [item["account"] for item in await read(course, "list")] == [ACCOUNT, SECOND_ACCOUNT]
        assert await read(course, "list", "--inviter", "nobody") == []
        assert ACCOUNT in await rcsgw(course, "list") and "active" in await rcsgw(course, "list")
        for name in (ACCOUNT, PHONE, ACCOUNT.removeprefix("sip:")):
            shown = await read(course, "show", name)
            assert shown["account"] == ACCOUNT and shown["registrations"] == {"im": "registered"}
        assert "provisioned" in await rcsgw(course, "show", ACCOUNT)
        assert "There is no account" in await rcsgw(course, "show", "sip:nobody@cc.com", status=1)

        await _differences(course)

        assert "ended" in await rcsgw(course, "revoke", PHONE)
        assert [item["account"] for item in await read(course, "list")] == [SECOND_ACCOUNT]
        assert course.in_core == [SECOND_ACCOUNT]
        assert "deleted" in await rcsgw(course, "purge", "--yes", SECOND_ACCOUNT)
        assert course.left() == []
        steps = await read(course, "history", PHONE)  # found by a name that the store has forgotten
        assert {"allocated", "provisioned", "registered", "invited", "sent", "revoked", "deleted"} <= {
            step["step"] for step in steps
        }
        assert [step["by"] for step in steps if step["step"] == "revoked"] == ["operator"]
        assert PHONE not in json.dumps(await read(course, "history"))
        assert len(await read(course, "history", "a", "--limit", "3")) == 3
        await course.stop()


async def _differences(course: Course) -> None:
    """One account that the core has lost, one of nobody's there, and one of nobody's at the IM server."""
    assert "2 accounts, no differences" in await rcsgw(course, "audit")
    course.network.do("DELETE FROM core WHERE name = ?", SECOND_ACCOUNT)
    course.network.do("INSERT INTO core VALUES ('sip:old@cc.com')")
    course.network.do("INSERT INTO server VALUES ('sip:old@cc.com', 'im')")
    found = (await read(course, "audit", status=1))["findings"]
    assert sorted((one["place"], one["kind"], one["name"]) for one in found) == [
        ("core", "missing", SECOND_ACCOUNT),
        ("core", "orphan", "sip:old@cc.com"),
        ("im", "orphan", "sip:old@cc.com"),
    ]
    assert "put right" in await rcsgw(course, "audit", "--fix")
    assert course.in_core == [ACCOUNT, SECOND_ACCOUNT]
    assert (await read(course, "audit"))["findings"] == []


@pytest.mark.parametrize("command", ["revoke", "purge"])
async def test_an_operator_ends_an_account_while_no_gateway_runs(tmp_path: Path, command: str) -> None:
    """By a process of its own: a fault in the core is in the way of an end, and not of a purge."""
    async with launching(tmp_path) as (launcher, session):
        course = Course(tmp_path / "course", launcher, session, "kamailio")
        assert (await course.invite()).status in (201, 202)
        await course.until(lambda: course.settled)
        await course.stop()
        if command == "purge":
            course.network.break_next("deprovision", "temporary")
        output = await _as_process(course, command, *(["--yes"] if command == "purge" else []), ACCOUNT)
        assert ("deleted" if command == "purge" else "ended") in output
        if command == "purge":
            assert course.in_core and len(course.left()) == 1
            findings, left = await course.audit(fix=True)
            assert [finding.kind for finding in findings] == ["orphan"] and not left
        assert course.left() == []


async def _as_process(course: Course, *arguments: str) -> str:
    """Run it in a process of its own, which the drivers may wrap as they like."""
    log = course.folder / "command.log"
    command = ["accounts", arguments[0], "--config", str(course.config), *arguments[1:]]
    pid = (await course.launcher.ask({"start": command, "log": str(log), "plan": None}))["pid"]
    status = (await course.launcher.ask({"wait": pid}))["status"]
    assert status == 0, log.read_text()
    return log.read_text()
