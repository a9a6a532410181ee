"""SIPp's scenarios in the runner's report: the real SIPp, against an element of this process."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.lab.conformance.case import BadCase
from gateway.lab.conformance.peer import Peer, Received
from gateway.lab.conformance.sipp import load_scenarios

from .helpers import element, running

SCENARIO = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<!DOCTYPE scenario SYSTEM "sipp.dtd">
<scenario name="OPTIONS is answered">
  <send>
    <![CDATA[
OPTIONS [aor] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <[identity]>;tag=[call_number]
To: <[aor]>
Call-ID: [call_id]
CSeq: 1 OPTIONS
Max-Forwards: 70
Content-Length: 0

    ]]>
  </send>
  <recv response="200"/>
</scenario>
"""


@pytest.fixture
def scenarios(tmp_path: Path) -> Path:
    (tmp_path / "options.xml").write_text(SCENARIO)
    return tmp_path


@pytest.mark.interop
@pytest.mark.parametrize(
    ("status", "verdict", "reason"), [(200, "pass", ""), (404, "fail", "SIPp counts a failed call")]
)
async def test_sipps_verdict_and_log_are_in_the_result(scenarios: Path, status: int, verdict: str, reason: str) -> None:
    if shutil.which("sipp") is None:
        pytest.skip("sip-tester (sipp) is not installed")

    async def answer(peer: Peer, received: Received) -> None:
        await peer.respond(received, status)

    (case,) = load_scenarios(scenarios)
    assert (case.id, case.purpose, case.suite) == ("SIPP-OPTIONS", "OPTIONS is answered", "sipp")
    async with element(answer) as target, running(target) as runner:
        result = await runner.run_case(case)
    assert (result.verdict, result.reason) == (verdict, reason)
    assert f"SIP/2.0 {status}" in result.log


def test_scenarios_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(BadCase, match="has no SIPp scenarios"):
        load_scenarios(tmp_path)
    (tmp_path / "evil.xml").write_text('<!DOCTYPE s [<!ENTITY a "aa">]><scenario name="&a;"/>')
    with pytest.raises(BadCase, match="defines entities"):
        load_scenarios(tmp_path)
    (tmp_path / "evil.xml").write_text("<scenario>")
    with pytest.raises(BadCase, match="is no scenario"):
        load_scenarios(tmp_path)
