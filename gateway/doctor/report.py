"""Findings for people and for programs. No secret of the configuration gets through."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.config.settings import Config
from gateway.database import DatabaseUrl
from gateway.doctor.base import Finding, Verdict

MASK = "***"

SHORTEST_SECRET = 4
"""Characters of a secret that is masked wherever it stands: shorter ones would be found inside ordinary words."""

COLOURS = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAILED: "bold red", Verdict.SKIPPED: "dim"}

_SECRET_WORDS = ("password", "token")
_SECRET_TABLES = frozenset({"headers", "receipts", "options"})


def secrets_of(config: Config) -> frozenset[str]:
    """Return what of a configuration, and of the files that it names for that, nobody is to read."""
    return frozenset(text for text in _secrets(config, config, ()) if len(text) >= SHORTEST_SECRET)


def _secrets(config: Config, value: Any, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _secrets(config, item, (*path, str(name)))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _secrets(config, item, path)
    elif isinstance(value, str) and value:
        yield from _secret(config, value, path)


def _secret(config: Config, value: str, path: tuple[str, ...]) -> Iterator[str]:
    name = path[-1]
    if name == "database":
        with contextlib.suppress(ValueError):
            yield DatabaseUrl.parse(value).password
    elif not _SECRET_TABLES.isdisjoint(path) and not name.endswith("_file"):
        yield value
    elif any(word in name for word in _SECRET_WORDS):
        if not name.endswith("_file"):
            yield value
            return
        with contextlib.suppress(OSError, UnicodeDecodeError):
            yield config.secret("", value)


def masked(findings: Sequence[Finding], secrets: Collection[str]) -> list[Finding]:
    """Return the findings with every secret replaced; drivers keep theirs out of texts, servers may repeat them."""
    return [
        Finding(item.check, item.tried, item.verdict, _mask(item.found, secrets), _mask(item.remedy, secrets))
        for item in findings
    ]


def _mask(text: str, secrets: Collection[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def verdict_of(findings: Sequence[Finding]) -> Verdict:
    """Return the worst verdict; what was skipped is no fault."""
    verdicts = {finding.verdict for finding in findings}
    return next((verdict for verdict in (Verdict.FAILED, Verdict.WARNING) if verdict in verdicts), Verdict.OK)


def as_json(findings: Sequence[Finding]) -> str:
    """Return ``{"verdict": …, "findings": [{"check", "tried", "verdict", "found", "remedy"}, …]}``."""
    answer = {"verdict": verdict_of(findings), "findings": list(findings)}
    return msgspec.json.format(msgspec.json.encode(answer)).decode()


def show(findings: Sequence[Finding], console: Console) -> None:
    """Print a table, what to do under each fault, and a line with the sum."""
    table = Table(box=box.SIMPLE, pad_edge=False, show_edge=False)
    table.add_column("check", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("found", overflow="fold")
    for item in findings:
        found = Text(item.found)
        if item.remedy:
            found.append(f"\n→ {item.remedy}", style="bold")
        table.add_row(Text(item.check), Text(item.verdict, style=COLOURS[item.verdict]), found)
    console.print(table)
    counts = Counter(item.verdict for item in findings)
    console.print(", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict]), highlight=False)
