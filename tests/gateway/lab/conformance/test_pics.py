"""The statement is made of docs/conformance.md and the cases, and the two fit together."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.lab.conformance import pics
from gateway.lab.conformance.collect import own_cases

PAGE = """
## Transactions

| rule | section | what | module | test |
| --- | --- | --- | --- | --- |
| A-ICT-01…03 | RFC 3261 §17.1.1, RFC 6026 | INVITE *client*, with `Accepted` | `x.py` | `t.py` |
| A-NICT-01, A-NICT-02 | §17.1.2 | non-INVITE client | `x.py` | `t.py` |
| – | RFC 4475 | torture: **not** all of it | – | – |
"""


def test_a_section_without_standard_belongs_to_the_one_above() -> None:
    found = pics.promises(PAGE)
    assert [(row.standard, row.clause, row.supported) for row in found] == [
        ("RFC 3261", "§17.1.1, RFC 6026", True),
        ("RFC 3261", "§17.1.2", True),
        ("RFC 4475", "", False),
    ]
    assert found[0].rules == ("A-ICT-01", "A-ICT-02", "A-ICT-03") and found[1].rules == ("A-NICT-01", "A-NICT-02")
    assert found[0].feature == "INVITE client, with Accepted"


def test_the_worst_verdict_of_a_row_is_told() -> None:
    assert pics.worst(["pass", "fail", "not-run"]) == "fail"
    assert pics.worst(["not-applicable", "pass"]) == "not-applicable"
    assert pics.worst([]) == "–"


def test_every_rule_that_a_case_tries_is_promised() -> None:
    """A case for a rule that docs/conformance.md does not have, or calls unsupported: one of the two is wrong."""
    promised = {rule: row.supported for row in pics.promises(pics.STATEMENT.read_text()) for rule in row.rules}
    cases = own_cases()
    unknown = sorted({f"{case.id}: {rule}" for case in cases for rule in case.rules if rule not in promised})
    assert unknown == []
    refused = sorted({f"{case.id}: {rule}" for case in cases for rule in case.rules if not promised[rule]})
    assert refused == [], "docs/conformance.md says that the gateway lacks what these cases try"


def test_every_case_says_what_it_is_about() -> None:
    cases = own_cases()
    assert len(cases) >= 200
    assert [case.id for case in cases if len(case.purpose) < 20 or not case.purpose.endswith((".", "…"))] == []
    assert [case.id for case in cases if not case.reference] == []


def test_statement_as_markdown_and_csv(tmp_path: Path) -> None:
    case = next(case for case in own_cases() if case.rules)
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"cases": [{"id": case.id, "verdict": "inconclusive"}]}))
    told = CliRunner().invoke(main, ["conformance", "pics", "--csv", "--report", str(report)])
    assert told.exit_code == 0, told.output
    rows = list(csv.DictReader(told.output.splitlines()))
    assert list(rows[0]) == ["standard", "clause", "feature", "supported", "test id", "last verdict"]
    assert any(case.id in row["test id"] and row["last verdict"] == "inconclusive" for row in rows)
    told = CliRunner().invoke(main, ["conformance", "pics"])
    lines = told.output.splitlines()
    assert lines[0] == "| standard | clause | feature | supported | test id | last verdict |"
    assert len(lines) == len(rows) + 2


@pytest.mark.parametrize("content", ["{}", "[]", "no json"])
def test_a_report_that_is_none_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "report.json").write_text(content)
    told = CliRunner().invoke(main, ["conformance", "pics", "--report", str(tmp_path / "report.json")])
    assert told.exit_code == 1 and "is no JSON report of a run" in told.output
