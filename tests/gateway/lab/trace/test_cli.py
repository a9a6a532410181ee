"""``rcsgw trace show``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from sipstack.net.tracefile import dump_record
from tests.gateway.lab.trace.test_conversations import chat


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "chat.jsonl"
    path.write_text("".join(dump_record(record) + "\n" for record in chat().records))
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["trace", "show", *map(str, words)])


def test_list(file: Path) -> None:
    result = run(file)
    assert result.exit_code == 0
    assert "INVITE sip:b@example.com (SDP)" in result.output and "c1" in result.output
    assert "1 conversation; draw one with --call NUMBER" in result.output


def test_list_as_json(file: Path) -> None:
    [line] = run(file, "--json").output.splitlines()
    assert json.loads(line)["id"] == "c1"


@pytest.mark.parametrize("wanted", ["1", "c1", "msrp://192.0.2.2:2855/s1;tcp"])
def test_one_conversation(file: Path, wanted: str) -> None:
    result = run(file, "--call", wanted, "--ascii", "--width", 100)
    assert "MSRP SEND 2 B" in result.output and "200 X (INVITE) (SDP)" in result.output


def test_names(file: Path) -> None:
    assert "alice" in run(file, "--all", "--name", "alice=192.0.2.2:5060").output
    assert "is not NAME=HOST:PORT" in run(file, "--all", "--name", "alice").output


def test_messages_as_json(file: Path) -> None:
    lines = [json.loads(line) for line in run(file, "--all", "--json").output.splitlines()]
    assert [line["protocol"] for line in lines] == ["SIP"] * 4 + ["MSRP"] * 2


def test_mermaid(file: Path) -> None:
    output = run(file, "--call", "1", "--mermaid").output
    assert output.startswith("sequenceDiagram\n  participant p0 as ")
    assert "-->>" in output and "INVITE sip:b@example.com (SDP) (0 ms)" in output
    assert "name it with --call" in run(file, "--mermaid").output


def test_no_such_conversation(file: Path) -> None:
    result = run(file, "--call", "7")
    assert result.exit_code == 1 and "No conversation is number or id '7'; there are 1." in result.output


def test_files_that_cannot_be_read(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("nothing\n")
    result = run(file, other)
    assert result.exit_code == 1 and "no trace" in result.output
    file.write_text(file.read_text() + "{}\n")
    assert "Not everything could be read: a line that is no record." in run(file).output
