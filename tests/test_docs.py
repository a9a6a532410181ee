"""What the pages say exists does exist: files, links, tests, and the ids that comments in the code refer to."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.test_layers import parsed

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
TOPS = ("sipstack/", "translators/", "gateway/", "tests/", "scripts/", "config/", "docs/", ".ci/")

# A rule of docs/conformance.md as comments and tests cite it: A-ICT-05, C-BR-04.
RULE = re.compile(r"\b([A-G]-[A-Z]{2,4})-([0-9]{2})\b")
# The same in the table, where a row may stand for several: A-ICT-01…07.
RULES = re.compile(r"\b([A-G]-[A-Z]{2,4})-([0-9]{2})(?:…([0-9]{2}))?\b")

PROVEN = {
    "C-FRM": 14,
    "C-URI": 6,
    "C-BR": 13,
    "C-RSP": 12,
    "C-SET": 9,
    "C-SES": 6,
    "C-BAD": 13,
    "C-CEM": 4,
    "C-RLY": 7,
    "C-WS": 2,
    "D-CPM": 15,
    "D-IMD": 14,
    "D-ISC": 6,
    "D-FTM": 13,
    "D-FTH": 7,
}
"""Families of rules → how many there are; each has a row of its own, and a test that names it."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page: Path) -> None:
    names = re.findall(r"`([A-Za-z.][\w./-]*)(?:::\w+)?`", page.read_text(encoding="utf-8"))
    files = {name for name in names if name.startswith(TOPS) and "NUMBER" not in name}
    assert [name for name in sorted(files) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_rule_that_is_cited_is_in_the_conformance_table() -> None:
    known = set()
    for family, first, last in RULES.findall((ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")):
        known |= {f"{family}-{number:02}" for number in range(int(first), int(last or first) + 1)}
    cited: dict[str, Path] = {}
    for top in ("sipstack", "translators", "gateway", "tests"):
        for path in (ROOT / top).rglob("*.py"):
            for family, number in RULE.findall(path.read_text(encoding="utf-8")):
                cited.setdefault(f"{family}-{number}", path.relative_to(ROOT))
    assert {rule: str(path) for rule, path in cited.items() if rule not in known} == {}


def test_tests_that_the_conformance_table_names_exist() -> None:
    text = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    missing = []
    for path, name in re.findall(r"`(tests/[\w./]+\.py)(?:::(\w+))?`", text):
        file = ROOT / path
        if not file.exists() or (name and f"def {name}(" not in file.read_text(encoding="utf-8")):
            missing.append(f"{path}::{name}" if name else path)
    assert missing == []


def rows_of(family: str) -> dict[str, str]:
    """Return the rows of the conformance table by the rules in their first column."""
    rows = {}
    for line in (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"| {family}-"):
            for rule in line.split("|")[1].split(","):
                rows[rule.strip()] = line
    return rows


def source_of(path: str, name: str) -> str:
    """Return a test with its decorators and comments, or the whole file when ``name`` is empty."""
    text = (ROOT / path).read_text(encoding="utf-8")
    for node in ast.walk(parsed(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            return "\n".join(text.splitlines()[first - 1 : node.end_lineno])
    return text


@pytest.mark.parametrize("family", PROVEN)
def test_each_rule_is_named_by_the_tests_of_its_row(family: str) -> None:
    rows = rows_of(family)
    assert list(rows) == [f"{family}-{number:02}" for number in range(1, PROVEN[family] + 1)]
    unproven = []
    for rule, row in rows.items():
        tests = re.findall(r"`(tests/[\w./]+\.py)(?:::(\w+))?`", row)
        if not tests and "**not" in row:
            continue
        unproven += [f"{rule}: {path}::{name}" for path, name in tests if rule not in source_of(path, name)]
        if not tests:
            unproven.append(f"{rule}: no test")
    assert unproven == []
