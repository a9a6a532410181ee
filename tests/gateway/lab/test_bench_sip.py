"""The SIP figures come out, whatever they are on this machine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.lab.bench import cli, sip, siptransactions
from gateway.lab.bench.siptransactions import transaction_answers


def test_parser_and_its_baseline_read_the_same() -> None:
    rates = sip.parse_rates(0.01)
    assert rates.value > 0 and rates.baseline > 0


def test_what_is_written_is_the_same() -> None:
    rates = sip.build_rates(0.01)
    assert rates.value > 0 and rates.baseline > 0


@pytest.mark.interop
async def test_transactions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pjsua2", reason="pjsua2-python is not installed")
    if shutil.which("sipp") is None:
        pytest.skip("SIPp is not installed")
    for name, value in (("COUNT", 300), ("WARM_UP", 20), ("TURNS", 1)):
        monkeypatch.setattr(siptransactions, name, value)
    ours, theirs = await transaction_answers(tmp_path)
    assert (ours.right, ours.lost) == (300, 0)
    assert theirs.right + theirs.lost == 300


def test_what_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sip, "find_spec", lambda name: None)
    monkeypatch.setattr(siptransactions, "find_spec", lambda name: None)
    result = CliRunner().invoke(cli.main, ["sip"])
    assert result.exit_code == 1
    for figure in cli.SIP:
        assert f"NOT MEASURED: {figure}: " in result.output
