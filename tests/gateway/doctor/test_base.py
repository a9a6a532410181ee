"""How checks are run: what waits for what, deadlines, faults; and what gets into a report."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from gateway.config.load import loads
from gateway.doctor.base import Check, Finding, Outcome, Verdict, chosen, examine, failed, ok, skipped, warning
from gateway.doctor.examination import judge_clocks
from gateway.doctor.report import as_json, masked, secrets_of, show, verdict_of
from gateway.doctor.seams import remedy_for
from gateway.drivers import DriverError


def check(id: str, outcome: Outcome | Exception, *, needs: tuple[str, ...] = (), after: tuple[str, ...] = ()) -> Check:
    async def run() -> Outcome:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return Check(id, f"try {id}", run, "do something", needs, after)


async def verdicts(*checks: Check) -> dict[str, Verdict]:
    return {item.check: item.verdict for item in await examine(checks, timeout=5.0)}


async def test_what_is_needed_comes_first_and_its_failure_goes_on() -> None:
    assert await verdicts(
        check("c.c", ok("c"), needs=("b.b",)),
        check("b.b", ok("b"), needs=("a.a",)),
        check("a.a", failed("a")),
        check("d.d", ok("d"), after=("a.a",)),
        check("e.e", ok("e"), needs=("w.w", "not.there")),
        check("w.w", warning("w", "look")),
        check("s.s", skipped("s")),
        check("f.f", ok("f"), needs=("s.s",)),
    ) == {
        "c.c": "skipped",
        "b.b": "skipped",
        "a.a": "failed",
        "d.d": "ok",
        "e.e": "ok",
        "w.w": "warning",
        "s.s": "skipped",
        "f.f": "skipped",
    }


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (DriverError("no way", temporary=False), "no way"),
        (OSError(), "OSError"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
    ],
)
async def test_what_is_raised_is_found(error: Exception, found: str) -> None:
    [item] = await examine([check("a.a", error)], timeout=5.0)
    assert (item.verdict, item.found, item.remedy) == (Verdict.FAILED, found, "do something")


async def test_a_check_without_end_is_cut_off() -> None:
    async def never() -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError

    [item] = await examine([Check("a.a", "wait", never)], timeout=0.01)
    assert (item.verdict, item.found) == (Verdict.FAILED, "no answer within 0.01 s")


def test_only_some_and_what_they_need() -> None:
    checks = [check("a.a", ok("")), check("a.b", ok("")), check("b.c", ok(""), needs=("a.a", "x.x"), after=("a.b",))]
    assert [item.id for item in chosen(checks, ())] == ["a.a", "a.b", "b.c"]
    assert [item.id for item in chosen(checks, ("b",))] == ["a.a", "b.c"]
    assert [item.id for item in chosen(checks, ("a.b",))] == ["a.b"]
    with pytest.raises(ValueError, match="nothing to check called c; there are a, b"):
        chosen(checks, ("c",))


CONFIG = """
[core]
domain = "cc.com"
service_account = "sip:x@cc.com"
service_password = "geheim-1"
[provisioning]
driver = "kamailio"
kamailio = { database = "mysql://kamailio:geheim-2@db.cc.com/kamailio" }
[delivery.email]
host = "127.0.0.1"
sender = "gateway@cc.com"
username = "gateway"
password_file = "mail.password"
[delivery.receipts]
sms = "0123456789abcdef0123456789abcdef"
[[users.subscriber]]
uid = "a"
password = "geheim-4"
identities = ["sip:a@cc.com"]
"""


def test_no_secret_gets_out(tmp_path: Path) -> None:
    (tmp_path / "mail.password").write_text("geheim-3\n")
    secrets = secrets_of(loads(CONFIG, folder=str(tmp_path)))
    assert secrets == {"geheim-1", "geheim-2", "geheim-3", "geheim-4", "0123456789abcdef0123456789abcdef"}
    [item] = masked([Finding("a.a", "b", Verdict.FAILED, "535 no geheim-3", "not geheim-1")], secrets)
    assert (item.found, item.remedy) == ("535 no ***", "not ***")


FINDINGS = [
    Finding("a.a", "try a", Verdict.OK, "[bold]fine[/bold]"),
    Finding("a.b", "try b", Verdict.FAILED, "not fine", "repair it"),
    Finding("a.c", "try c", Verdict.SKIPPED, "no need"),
]


def test_reports() -> None:
    told = json.loads(as_json(FINDINGS))
    assert told["verdict"] == "failed"
    assert told["findings"][1] == {
        "check": "a.b",
        "tried": "try b",
        "verdict": "failed",
        "found": "not fine",
        "remedy": "repair it",
    }
    assert (verdict_of(FINDINGS[::2]), verdict_of([])) == ("ok", "ok")
    output = io.StringIO()
    show(FINDINGS, Console(file=output, width=80))
    text = output.getvalue()
    assert "[bold]fine[/bold]" in text and "→ repair it" in text and "1 ok, 1 failed, 1 skipped" in text


def test_clocks() -> None:
    assert judge_clocks({}).verdict == "skipped"
    assert judge_clocks({"the core": 1.2, "public_url": -3.0}).verdict == "ok"
    outcome = judge_clocks({"the core": 3600.0, "public_url": 0.2, "the server of sms": -90.4})
    assert outcome.found == "the core is 3600 s ahead of us, the server of sms is 90 s behind us (2 of 3 clocks)"


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        ("SMTPAuthenticationError: (535, '5.7.8 no')", "Correct the login"),
        ("bind_transceiver: ESME_RINVPASWD", "Correct the login"),
        ("certificate verify failed: self-signed certificate", "ca_file"),
        ("SMTPException: SMTP STARTTLS extension not supported by server.", "delivery.email.security"),
        ("SMTPRecipientRefused: (550, 'who?')", "its words above"),
        ("SMTPConnectError: Error connecting to 127.0.0.1 on port 9", "does the server listen there"),
    ],
)
def test_what_to_do_about_a_channel(error: str, remedy: str) -> None:
    assert remedy in remedy_for(error, "delivery.email")
