"""A run as one page that needs nothing else: no script, no font, no picture from anywhere.

Everything that a target has sent is text there: it is escaped, and the page's policy forbids what might slip through.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from html import escape

from gateway.lab.conformance.report import BAD, Report, ladder_of, log_of, own_version
from gateway.lab.conformance.runner import Result
from gateway.lab.conformance.verdict import Verdict
from sipstack.net.tracefile import mask
from sipstack.trace import WireRecord

MAX_SHOWN = 200
"""Messages of one case that the page shows; the JSON report has all."""

MAX_TEXT = 20_000
"""Characters of one message that the page shows."""

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 72rem; padding: 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; } h3 { font-size: 1rem; margin: .5rem 0 0; }
table { border-collapse: collapse; width: 100%; } caption { text-align: left; padding: .3rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top; }
.scroll { overflow-x: auto; } .id { white-space: nowrap; }
pre { background: var(--soft); margin: .3rem 0; overflow: auto; padding: .6rem; font-size: .85rem; line-height: 1.3; }
details { border: 1px solid var(--line); border-radius: .3rem; margin: .5rem 0; padding: .3rem .6rem; }
summary { cursor: pointer; } :focus-visible { outline: 3px solid #06c; outline-offset: 2px; }
.verdict { font-weight: 600; white-space: nowrap; }
.pass { color: #0a6b2d; } .fail, .error { color: #b3001b; } .inconclusive { color: #8a5a00; }
@media (prefers-color-scheme: dark) {
 .pass { color: #6fd38f; } .fail, .error { color: #ff8a94; } .inconclusive { color: #f0b849; }
}
"""

_SIGNS = {
    Verdict.PASS: "✓",
    Verdict.FAIL: "✗",
    Verdict.ERROR: "!",
    Verdict.INCONCLUSIVE: "?",
    Verdict.NOT_APPLICABLE: "–",
    Verdict.NOT_RUN: "·",
}
"""So that nobody needs colours to tell verdicts apart."""


def as_page(report: Report) -> str:
    """Return the report as HTML."""
    title = f"Conformance of {escape(report.target)}"
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(report.started))
    counts = ", ".join(f"{count} {verdict}" for verdict, count in report.counts.items()) or "no case"
    bad = [result for result in report.results if result.verdict in BAD]
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>",
            f"<h1>{title}</h1>",
            f"<p>{escape(counts)}; {report.seconds:.1f} s, {when}, rcsgw {escape(own_version())}</p>",
            *_settings(report),
            "<h2>What to look at</h2>" if bad else "<h2>Nothing to look at</h2>",
            *(_detail(result, report.target) for result in bad),
            "<h2>All cases</h2>",
            *_suites(report),
            "</main>\n</body>\n</html>\n",
        ]
    )


def _settings(report: Report) -> Iterable[str]:
    if report.settings:
        told = ", ".join(f"{name} {value}" for name, value in report.settings.items())
        yield f"<p>{escape(told)}</p>"


def _verdict(result: Result) -> str:
    verdict = result.verdict
    return f'<span class="verdict {verdict.value}">{_SIGNS[verdict]} {verdict.value}</span>'


def _detail(result: Result, target: str) -> str:
    case = result.case
    parts = [
        f'<details id="{escape(case.id)}" open>',
        f"<summary>{_verdict(result)} {escape(case.id)}: {escape(result.reason)}</summary>",
        f"<p>{escape(case.reference)}. {escape(case.purpose)}",
        f"<br>Expected: {escape(case.expects)}" if case.expects else "",
        *(f"<br>Remark: {escape(remark)}" for remark in result.remarks),
        "</p>",
    ]
    ladder = mask(ladder_of(result, target).encode()).decode("utf-8", "replace")
    if ladder:
        parts += ["<h3>Ladder</h3>", _pre(ladder, f"Ladder of {case.id}")]
    if result.log:
        parts += ["<h3>Log</h3>", _pre(readable(log_of(result).encode()), f"Log of {case.id}")]
    messages = [record for record in result.records if isinstance(record, WireRecord)]
    if messages:
        parts.append(f"<details><summary>{len(messages)} messages</summary>")
        parts += [_message(record, messages[0].at) for record in messages[:MAX_SHOWN]]
        hidden = len(messages) - MAX_SHOWN + result.left_out
        if hidden > 0:
            parts.append(f"<p>{hidden} more are not shown.</p>")
        parts.append("</details>")
    return "\n".join(filter(None, [*parts, "</details>"]))


def _message(record: WireRecord, start: float) -> str:
    way = "to" if record.direction == "out" else "from"
    remote = "nobody" if record.remote is None else f"{record.remote[0]}:{record.remote[1]}"
    title = (
        f"{record.at - start:.3f} s, {record.protocol} by {record.transport} {way} {remote}, {len(record.data)} octets"
    )
    text = readable(mask(record.data))
    if len(text) > MAX_TEXT:
        text = text[:MAX_TEXT] + f"\n[{len(text) - MAX_TEXT} characters more]"
    return f"<h3>{escape(title)}</h3>\n{_pre(text, title)}"


def _pre(text: str, label: str) -> str:
    # it may scroll, so it takes the focus: then arrow keys scroll it
    return f'<pre tabindex="0" role="group" aria-label="{escape(label)}">{escape(text)}</pre>'


def readable(data: bytes) -> str:
    """Return octets as text in which nothing hides: what is neither UTF-8 nor printable stands as a number."""
    text = data.decode("utf-8", "backslashreplace").replace("\r\n", "\n")
    return "".join(
        character if character.isprintable() or character in "\n\t" else _escaped(character) for character in text
    )


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _suites(report: Report) -> Iterable[str]:
    for name, results in report.suites.items():
        yield f'<div class="scroll"><table>\n<caption><strong>{escape(name)}</strong></caption>'
        yield (
            '<thead><tr><th scope="col">Case</th><th scope="col">Verdict</th><th scope="col">What</th>'
            '<th scope="col">Reason, remarks</th></tr></thead>\n<tbody>'
        )
        for result in results:
            case = result.case
            label = escape(case.id)
            link = f'<a href="#{label}">{label}</a>' if result.verdict in BAD else label
            told = "; ".join(filter(None, [result.reason, *result.remarks]))
            yield (
                f'<tr><td class="id">{link}</td><td>{_verdict(result)}</td>'
                f"<td>{escape(case.purpose)} <small>{escape(case.reference)}</small></td><td>{escape(told)}</td></tr>"
            )
        yield "</tbody>\n</table></div>"
