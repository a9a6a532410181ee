"""The implementation conformance statement of the gateway: what ``docs/conformance.md`` promises, with what tries it.

A row of that page names rules; a case names the rules that it tries. The statement joins the two, and nobody keeps it
by hand.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from gateway.lab.conformance.case import Case

STATEMENT = Path(__file__).resolve().parents[3] / "docs" / "conformance.md"
"""The page, in a clone of the project."""

# A rule, or several in a row: A-ICT-05, A-ICT-01…07, G-T01…49.
_RULES = re.compile(r"\b([A-G]-(?:[A-Z]{2,4}-|[TV]))([0-9]{2})(?:…([0-9]{2}))?\b")
_SECTION = re.compile(r"§+ ?[0-9A-Z][0-9A-Za-z.–-]*")

# From bad to good: of several verdicts the worst is told.
_WORST = ("error", "fail", "inconclusive", "not-run", "not-applicable", "pass")

NONE = "–"


@dataclass(frozen=True, slots=True)
class Promise:
    """One row of the page."""

    rules: tuple[str, ...]
    standard: str
    clause: str
    feature: str
    supported: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the statement, its columns in order."""

    standard: str
    clause: str
    feature: str
    supported: str
    test_id: str
    last_verdict: str


def promises(text: str) -> list[Promise]:
    """Return the rows of the page. A section without a standard belongs to that of the row above."""
    found: list[Promise] = []
    standard = ""
    for line in text.splitlines():
        if line.startswith("#"):
            standard = ""
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        if not line.startswith("|") or len(cells) < 5 or cells[0] in ("rule", "---") or set(cells[0]) <= {"-", ":"}:
            continue
        named, clause = split_reference(cells[1])
        standard = named or standard
        unsupported = "**not" in cells[2] or "**never" in cells[2]
        found.append(Promise(tuple(expand(cells[0])), standard, clause, plain(cells[2]), not unsupported))
    return found


def expand(text: str) -> list[str]:
    """Return each rule that ``A-ICT-01…03, A-MAT-02`` stands for."""
    return [
        f"{family}{number:02}"
        for family, first, last in _RULES.findall(text)
        for number in range(int(first), int(last or first) + 1)
    ]


def split_reference(text: str) -> tuple[str, str]:
    """Return standard and clause of ``RFC 3261 §17.1.1, RFC 6026``; either may be empty."""
    section = _SECTION.search(text)
    if section is None:
        return text, ""
    return text[: section.start()].strip(" ,;"), text[section.start() :].strip()


def plain(text: str) -> str:
    """Return Markdown without its marks."""
    return re.sub(r"[*`]|\[([^\]]*)\]\([^)]*\)", lambda match: match[1] or "", text)


def rows(cases: Iterable[Case], statement: Path | None = None, report: Path | None = None) -> list[Row]:
    """Return the statement. Raises OSError; ValueError for a report that is none."""
    page = (statement or STATEMENT).read_text(encoding="utf-8")
    verdicts = read_verdicts(report) if report is not None else {}
    by_rule: dict[str, list[Case]] = {}
    alone = []
    for case in cases:
        for rule in case.rules:
            by_rule.setdefault(rule, []).append(case)
        if not case.rules:
            alone.append(case)
    found = [_of_promise(promise, by_rule, verdicts) for promise in promises(page)]
    return found + [_of_case(case, verdicts) for case in alone]


def _of_promise(promise: Promise, by_rule: Mapping[str, Sequence[Case]], verdicts: Mapping[str, str]) -> Row:
    ids = sorted({case.id for rule in promise.rules for case in by_rule.get(rule, ())})
    return Row(
        promise.standard or "ours",
        promise.clause or NONE,
        f"{', '.join(promise.rules)}: {promise.feature}" if promise.rules else promise.feature,
        "yes" if promise.supported else "no",
        ", ".join(ids) or NONE,
        worst(verdicts[id] for id in ids if id in verdicts),
    )


def _of_case(case: Case, verdicts: Mapping[str, str]) -> Row:
    standard, clause = split_reference(case.reference)
    verdict = worst(verdicts[id] for id in (case.id,) if id in verdicts)
    supported = {"pass": "yes", "not-applicable": "no"}.get(verdict, NONE)
    return Row(standard, clause or NONE, case.purpose, supported, case.id, verdict)


def worst(verdicts: Iterable[str]) -> str:
    """Return the worst of some verdicts, a dash when there is none."""
    found = set(verdicts)
    return next((verdict for verdict in _WORST if verdict in found), NONE)


def read_verdicts(report: Path) -> dict[str, str]:
    """Return case → verdict of a JSON report. Raises OSError, ValueError."""
    try:
        document = json.loads(report.read_text(encoding="utf-8"))
        return {str(case["id"]): str(case["verdict"]) for case in document["cases"]}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{report} is no JSON report of a run: {error}") from None


COLUMNS = tuple(field.name.replace("_", " ") for field in fields(Row))


def as_markdown(statement: Iterable[Row]) -> str:
    """Return the statement as a Markdown table."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in astuple(row)) + " |" for row in statement]
    return "\n".join(lines) + "\n"


def as_csv(statement: Iterable[Row]) -> str:
    """Return the statement as CSV with a line of names."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(astuple(row) for row in statement)
    return text.getvalue()
