"""``rcsgw conformance``: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.lab.conformance.peer import Peer, Received
from gateway.lab.conformance.target import BadTarget, CommandTrigger, read_target
from gateway.lab.conformance.verdict import Inconclusive, NotApplicable

from .helpers import element

CASES = """
from gateway.lab.conformance.case import case


@case("LAB-001", "RFC 3261 §11.2", suite="lab.options", roles={"uas"}, purpose="OPTIONS is answered.")
async def options(bench):
    peer = await bench.sip.peer()
    answer = await peer.exchange(peer.request("OPTIONS"))
    bench.check(answer.response.status == 200, f"OPTIONS gets {answer.response.status}")


@case("LAB-002", "ours", suite="lab.calls", roles={"uac"}, purpose="It calls us.", slow=True)
async def calls(bench):
    await bench.triggered("invite")
"""


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    folder = tmp_path / "cases"
    folder.mkdir()
    (folder / "mine.py").write_text(CASES)
    return folder


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["conformance", *arguments])


def test_list_shows_ours_and_a_labs_own(lab: Path) -> None:
    told = run("list", "--cases", str(lab), "--suite", "lab", "--suite", "robustness.msrp")
    assert told.exit_code == 0, told.output
    assert "LAB-001" in told.output and "ROB-MSRP-SEND" in told.output and "5 cases" in told.output
    found = json.loads(run("list", "--cases", str(lab), "--case", "LAB-*", "--json").output)
    assert [(case["id"], case["slow"]) for case in found] == [("LAB-002", True), ("LAB-001", False)]


def test_risky_cases_are_chosen_by_name_only() -> None:
    assert "ROB-" not in run("list").output


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["run", "--target", "sip:127.0.0.1", "--suite", "nothing"], "there is no suite 'nothing'"),
        (["run", "--target", "sip:127.0.0.1", "--case", "NO-1"], "there is no case 'NO-1'"),
        (["run", "--target", "tel:+1"], "is no SIP URI"),
        (["run", "--target", "sip:127.0.0.1;transport=ws"], "is none of udp, tcp, tls"),
        (["run", "--target", "msrp:nowhere"], "is no MSRP URI"),
        (["run", "--target", "sip:127.0.0.1", "--user", "a"], "--user needs a password"),
        (["run", "--target", "sip:127.0.0.1", "--header", "x"], "is not 'NAME: VALUE'"),
        (["run", "--target", "sip:127.0.0.1", "--ringing", "x"], "--ringing 'x'"),
        (["run", "--target", "sip:127.0.0.1", "--trigger", "'"], "--trigger"),
        (["run"], "Missing option '--target'"),
    ],
)
def test_mistakes_end_with_2(arguments: list[str], why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONFORMANCE_PASSWORD", raising=False)
    told = run(*arguments)
    assert told.exit_code == 2
    assert why in told.output


async def test_run_tells_writes_and_ends_as_it_went(lab: Path, tmp_path: Path) -> None:
    async def answer(peer: Peer, received: Received) -> None:
        await peer.respond(received, 200 if "calm" in str(received.request.uri) else 503)

    files = {name: tmp_path / f"report.{name}" for name in ("html", "json", "junit")}

    async def ran(user: str, *more: str) -> Result:
        written = [word for name, file in files.items() for word in (f"--{name}", str(file))]
        uri = f"sip:{user}@127.0.0.1:{target.hop[1]};transport=udp"
        arguments = ("run", "--target", uri, "--t1", "0.05", "--cases", str(lab), "--suite", "lab", *written, *more)
        return await asyncio.to_thread(run, *arguments)

    async with element(answer) as target:
        told = await ran("calm")
        assert told.exit_code == 0, told.output
        assert "1 pass, 1 not-run" in told.output and "slow (--slow)" in told.output
        # asked for by name, it has to run
        assert (await ran("calm", "--case", "LAB-001", "--case", "LAB-002")).exit_code == 1
        told = await ran("upset", "--slow")
        assert told.exit_code == 1
        assert "OPTIONS gets 503" in told.output and "nobody told how to make the target invite" in told.output
    document = json.loads(files["json"].read_text())
    assert document["counts"] == {"fail": 1, "not-applicable": 1}
    assert ElementTree.fromstring(files["junit"].read_text()).find(".//failure") is not None
    assert "OPTIONS gets 503" in files["html"].read_text()


# targets


def test_targets() -> None:
    plain = read_target("sip:a@127.0.0.1:5070")
    assert (plain.hop, plain.transports, plain.aor) == (("127.0.0.1", 5070), ("UDP", "TCP"), "sip:a@127.0.0.1")
    assert read_target("sips:127.0.0.1").hop == ("127.0.0.1", 5061)
    assert read_target("sip:[::1];transport=TCP").transports == ("TCP",)
    apart = read_target("sip:home.example", ("registrar",), ("127.0.0.1", 5080))
    assert (apart.hop, apart.roles, apart.aor) == (("127.0.0.1", 5080), ("registrar",), "sip:home.example")
    relay = read_target("msrps://127.0.0.1:2855;tcp")
    assert (relay.roles, relay.transports, relay.hop) == (("relay",), ("TLS",), ("127.0.0.1", 2855))
    with pytest.raises(BadTarget, match="no.such.host.invalid has no address"):
        read_target("sip:no.such.host.invalid")


async def test_a_trigger_gets_what_it_needs_and_says_what_it_cannot(tmp_path: Path) -> None:
    def trigger(code: str) -> CommandTrigger:
        (tmp_path / "trigger.py").write_text(code)
        return CommandTrigger(f"{sys.executable} {tmp_path / 'trigger.py'} {{action}} {{uri}} {{address}} {tmp_path}")

    details = {"uri": "sip:us@127.0.0.1:5", "address": "127.0.0.1:5"}
    await trigger("import pathlib, sys; pathlib.Path(sys.argv[4], 'told').write_text(' '.join(sys.argv[1:4]))").act(
        "invite", details
    )
    for _ in range(100):
        if (tmp_path / "told").exists():
            break
        await asyncio.sleep(0.02)
    assert (tmp_path / "told").read_text() == "invite sip:us@127.0.0.1:5 127.0.0.1:5"
    with pytest.raises(NotApplicable, match="can't bye"):
        await CommandTrigger("/bin/sh -c 'exit 3'").act("bye", details)
    with pytest.raises(Inconclusive, match="ended with 4"):
        await CommandTrigger("/bin/sh -c 'exit 4'").act("bye", details)
    with pytest.raises(Inconclusive, match="can't be run"):
        await CommandTrigger("/no/such/program").act("bye", details)
    lasting = CommandTrigger("sleep 60")
    await lasting.act("invite", details)
    await lasting.stop()


# the gateway itself


async def test_the_gateway_passes_what_is_quick(tmp_path: Path) -> None:
    """The whole way: a gateway of its own, its guests, and the runner as its core; long suites run elsewhere."""
    chosen = ("SIP-CAP-UAS-00[1-8]", "SIP-DLG-UAC-00[1-4]", "SIP-REG-DIG-02[01]", "MSRP-FRM-00[1-4]")
    arguments = [word for name in chosen for word in ("--case", name)]
    file = tmp_path / "report.json"
    told = await asyncio.to_thread(run, "run", "--target", "gateway", *arguments, "--json", str(file))
    counts = json.loads(file.read_text())["counts"] if file.exists() else {}
    assert told.exit_code == 0, told.output
    assert counts["pass"] >= 15 and not counts.keys() & {"fail", "inconclusive", "error"}


@pytest.mark.full
async def test_the_gateway_passes_everything(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    told = await asyncio.to_thread(run, "run", "--target", "gateway", "--json", str(file))
    assert told.exit_code == 0, told.output


@pytest.mark.full
async def test_the_gateway_lives_through_broken_messages(tmp_path: Path) -> None:
    told = await asyncio.to_thread(run, "run", "--target", "gateway", "--suite", "robustness", "--rate", "500")
    assert told.exit_code == 0, told.output
