"""A run as data, and its JSON and JUnit forms. The page is in :mod:`.page`."""

from __future__ import annotations

import base64
import json
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from xml.etree import ElementTree

from gateway.lab.conformance.runner import Result
from gateway.lab.conformance.verdict import Verdict
from gateway.lab.drawing import draw
from gateway.lab.ladder import build_ladder
from sipstack.flow import HostPort
from sipstack.net.tracefile import mask
from sipstack.trace import WireRecord

FORMAT = 1
"""Of the JSON report; raised when a field changes its meaning."""

LADDER_WIDTH = 120
"""Columns of a ladder in a report."""

BAD = (Verdict.FAIL, Verdict.ERROR, Verdict.INCONCLUSIVE)
"""What a reader has to look at; the messages of such cases are in the reports."""

# What XML 1.0 can't hold, not even as a reference.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(slots=True)
class Report:
    """All results of one run."""

    target: str
    """As the user named it."""
    results: Sequence[Result] = ()
    started: float = field(default_factory=time.time)
    """Unix seconds."""
    seconds: float = 0.0
    settings: dict[str, object] = field(default_factory=dict)
    """What the run was told, without secrets."""

    @property
    def counts(self) -> dict[str, int]:
        """How many cases came to each verdict; those to which none came are left out."""
        counted = Counter(result.verdict for result in self.results)
        return {verdict.value: counted[verdict] for verdict in Verdict if counted[verdict]}

    @property
    def suites(self) -> dict[str, list[Result]]:
        """The results of each suite, in order."""
        found: dict[str, list[Result]] = {}
        for result in self.results:
            found.setdefault(result.case.suite, []).append(result)
        return found


def own_version() -> str:
    """Return the version of this runner."""
    try:
        return version("rcsgw")
    except PackageNotFoundError:
        return "unknown"


def ladder_of(result: Result, target: str) -> str:
    """Return what crossed the wire in a case as a drawing; empty when nothing did."""
    records = [record for record in result.records if isinstance(record, WireRecord)]
    if not records:
        return ""
    names: dict[HostPort | str, str] = {protocol: target for protocol in ("SIP", "MSRP", "HTTP")}
    return draw(build_ladder(result.records, names=names), width=LADDER_WIDTH)


def log_of(result: Result) -> str:
    """Return what was written about a case, with secrets masked."""
    return mask(result.log.encode("utf-8", "replace")).decode("utf-8", "replace")


# JSON


def as_json(report: Report) -> str:
    """Return the report as JSON; messages of cases that did not pass are in it, with secrets masked."""
    document = {
        "format": FORMAT,
        "runner": f"rcsgw {own_version()}",
        "target": report.target,
        "started": _instant(report.started),
        "seconds": round(report.seconds, 3),
        "settings": report.settings,
        "counts": report.counts,
        "cases": [_case(result) for result in report.results],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _case(result: Result) -> dict[str, Any]:
    case = result.case
    fields: dict[str, Any] = {
        "id": case.id,
        "suite": case.suite,
        "reference": case.reference,
        "purpose": case.purpose,
        "verdict": result.verdict.value,
        "seconds": round(result.seconds, 3),
    }
    optional = {
        "expects": case.expects,
        "rules": list(case.rules),
        "role": result.role,
        "transport": result.transport,
        "reason": result.reason,
        "remarks": result.remarks,
        "log": log_of(result),
    }
    fields |= {name: value for name, value in optional.items() if value}
    if result.verdict in BAD:
        fields["messages"] = [_message(record) for record in result.records if isinstance(record, WireRecord)]
    if result.left_out:
        fields["messages_left_out"] = result.left_out
    return fields


def _message(record: WireRecord) -> dict[str, Any]:
    data = mask(record.data)
    fields: dict[str, Any] = {
        "at": record.at,
        "protocol": record.protocol,
        "transport": record.transport,
        "direction": record.direction,
        "remote": None if record.remote is None else f"{record.remote[0]}:{record.remote[1]}",
    }
    try:
        fields["text"] = data.decode("utf-8")
    except UnicodeDecodeError:
        fields["base64"] = base64.b64encode(data).decode("ascii")
    return fields


def _instant(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


# JUnit


def as_junit(report: Report) -> str:
    """Return the report as JUnit XML: inconclusive cases and our own faults are errors, the rest not run is skipped."""
    root = ElementTree.Element("testsuites", name="rcsgw conformance", time=f"{report.seconds:.3f}")
    for name, results in report.suites.items():
        verdicts = Counter(result.verdict for result in results)
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=name,
            tests=str(len(results)),
            failures=str(verdicts[Verdict.FAIL]),
            errors=str(verdicts[Verdict.ERROR] + verdicts[Verdict.INCONCLUSIVE]),
            skipped=str(verdicts[Verdict.NOT_APPLICABLE] + verdicts[Verdict.NOT_RUN]),
            time=f"{sum(result.seconds for result in results):.3f}",
            timestamp=_instant(report.started),
            hostname=_xml(report.target),
        )
        for result in results:
            _junit_case(suite, result, report.target)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _junit_case(suite: ElementTree.Element, result: Result, target: str) -> None:
    element = ElementTree.SubElement(
        suite,
        "testcase",
        classname=result.case.suite,
        name=f"{result.case.id} {_xml(result.case.name)}",
        time=f"{result.seconds:.3f}",
    )
    kind = {
        Verdict.FAIL: "failure",
        Verdict.ERROR: "error",
        Verdict.INCONCLUSIVE: "error",
        Verdict.NOT_APPLICABLE: "skipped",
        Verdict.NOT_RUN: "skipped",
    }.get(result.verdict)
    if kind is not None:
        outcome = ElementTree.SubElement(element, kind, message=_xml(result.reason), type=result.verdict.value)
        if result.verdict in BAD:
            outcome.text = _xml(f"{result.case.reference}: {result.case.purpose}\n{log_of(result)}")
    told = "\n".join([*(f"remark: {remark}" for remark in result.remarks)])
    if result.verdict in BAD:
        told = f"{told}\n{ladder_of(result, target)}".strip("\n")
    if told:
        ElementTree.SubElement(element, "system-out").text = _xml(told)


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
