"""How the phone is started: which mode it takes, and what it does without the extra ``tui``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.lab.phonecli import MODES, main, terminal_mode


def test_a_screen_where_there_is_a_terminal() -> None:
    assert terminal_mode(plain=False, is_terminal=True) == "screen"
    assert terminal_mode(plain=True, is_terminal=True) == "lines"
    assert terminal_mode(plain=False, is_terminal=False) == "lines"
    assert (MODES["screen"].on_invite, MODES["screen"].receipts) == ("ask", "seen")


def test_without_textual_it_says_so_and_goes_line_by_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "textual", None)
    assert terminal_mode(plain=False, is_terminal=True) == "lines"
    assert "pip install 'rcsgw[tui]'" in capsys.readouterr().err


def test_both_programs_start_without_textual() -> None:
    code = "import sys; sys.modules['textual'] = None; from gateway.cli import main; main(['phone', '--help'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--script" in done.stdout


def test_a_file_of_contacts_that_makes_no_sense(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "contacts").write_text("nobody\n")
    monkeypatch.setattr("gateway.lab.phonecli.terminal_mode", lambda **_: "screen")
    result = CliRunner().invoke(main, ["--contacts", str(tmp_path / "contacts")])
    assert result.exit_code == 2
    assert "contacts:1: " in result.output
