"""Imports run one way: gateway → translators → sipstack; inside sipstack, net → the rest.

The rules are the table :data:`RULES`; each says for a part of the tree what it must not import, and why. The reason is
what a reader of the failure sees.
"""

from __future__ import annotations

import ast
import gc
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("sipstack", "translators", "gateway")

CLOCKS_AND_SOCKETS = (
    "asyncio",
    "concurrent",
    "http",
    "multiprocessing",
    "queue",
    "random",
    "select",
    "selectors",
    "signal",
    "smtplib",
    "socket",
    "socketserver",
    "sqlite3",
    "ssl",
    "subprocess",
    "threading",
    "time",
)
WALL_CLOCK_CALLS = {"now", "utcnow", "today"}


@dataclass(frozen=True)
class Rule:
    """What modules below ``part``, but not below ``exempt``, must not import."""

    part: str
    forbidden: tuple[str, ...]
    reason: str
    exempt: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    """Of what is forbidden, what may be imported all the same."""


RULES = [
    Rule("sipstack", ("translators", "gateway"), "sipstack knows nothing above it"),
    Rule("translators", ("gateway",), "translators know nothing above them"),
    Rule("translators", ("sipstack.net",), "translators are pure functions; awaiting belongs to their callers"),
    Rule("sipstack", ("sipstack.net",), "the pure part does not know the asyncio part", exempt=("sipstack.net",)),
    Rule(
        "sipstack",
        CLOCKS_AND_SOCKETS,
        "the pure part gets time and bytes as arguments",
        exempt=("sipstack.net",),
    ),
    Rule("translators", CLOCKS_AND_SOCKETS, "translators are pure functions"),
    Rule(
        "sipstack",
        ("secrets", "uuid"),
        "identifiers and chance come from sipstack.ids, where tests patch them",
        exempt=("sipstack.ids",),
    ),
    Rule("translators", ("secrets", "uuid"), "identifiers and chance come from sipstack.ids"),
    Rule("sipstack.sip", ("sipstack.msrp", "sipstack.sdp"), "SIP and MSRP do not know each other; sdp.py joins them"),
    Rule("sipstack.msrp", ("sipstack.sip", "sipstack.sdp"), "SIP and MSRP do not know each other; sdp.py joins them"),
    Rule("sipstack.im", ("sipstack.msrp", "sipstack.sdp"), "message formats do not know what carries them"),
    Rule("sipstack", ("sqlite3", "aiohttp", "msgspec"), "sipstack knows no HTTP and no SQL"),
    Rule("translators", ("aiohttp", "sqlite3", "sqlite_utils"), "HTTP servers and SQL are the gateway's"),
    Rule(
        "gateway.lab",
        ("gateway",),
        "the lab imports sipstack and translators only; the command line joins it with the gateway",
        allowed=("gateway.lab", "gateway.terminal"),
    ),
    Rule(
        "gateway",
        ("gateway.lab",),
        "only the command line knows the lab",
        exempt=("gateway.lab", "gateway.cli", "gateway.labrun"),
    ),
    Rule(
        "gateway.clients",
        ("gateway",),
        "clients know the gateway by its public HTTP face only",
        allowed=("gateway.clients", "gateway.terminal"),
    ),
    Rule(
        "gateway.terminal",
        ("gateway", "sipstack", "translators", "aiohttp"),
        "what the terminals of guest and phone share knows neither of them, nor a network",
        allowed=("gateway.terminal",),
    ),
    Rule(
        "gateway",
        ("gateway.terminal",),
        "only programs for terminals know terminals",
        exempt=("gateway.clients", "gateway.lab", "gateway.terminal"),
    ),
    Rule(
        "gateway",
        ("textual",),
        "textual is an extra: what needs it stands apart, and is imported when it is wanted",
        exempt=("gateway.clients.tui", "gateway.lab.tui", "gateway.terminal.frame", "gateway.terminal.lines"),
    ),
    Rule("gateway.clients", ("sipstack.net", "sipstack.sip", "sipstack.msrp"), "clients speak HTTP only"),
    Rule(
        "gateway.http",
        (
            "gateway.app",
            "gateway.cli",
            "gateway.delivery",
            "gateway.files",
            "gateway.interaction",
            "gateway.invitations",
            "gateway.provisioning",
            "gateway.sessions",
            "gateway.storage",
            "gateway.users",
            "sipstack.net",
            "sqlite3",
        ),
        "the HTTP face knows the protocols of gateway.services and the models, nothing behind them",
    ),
]

THIRD_PARTY = {
    "sipstack": {"sipstack.net": {"dns", "uvloop"}, "sipstack.net.websocket": {"websockets"}},
    "translators": {"translators": {"msgspec"}},
}
"""Package → part of it → what the part may import beside the standard library."""


@dataclass(frozen=True)
class Import:
    module: str
    """Who imports."""
    path: Path
    line: int
    name: str
    """What is imported, absolute."""

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line} imports {self.name}"


def below(name: str, parts: tuple[str, ...]) -> bool:
    return any(name == part or name.startswith(part + ".") for part in parts)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parsed(source: str) -> ast.Module:
    """Return the tree of a module. CPython 3.11 miscounts its recursion when a garbage collection, of which hypothesis
    wants to hear, runs Python in between."""
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        gc.enable()


def imports_of(path: Path, *, at_import_time: bool = False) -> Iterator[Import]:
    """Yield the imports of a file; those inside functions and under TYPE_CHECKING too, unless ``at_import_time``."""
    module = module_name(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    tree = parsed(path.read_text(encoding="utf-8"))
    for node in run_at_import(tree) if at_import_time else ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, path, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            for alias in node.names:
                # "from a import b": b may be a module, which is what a rule on a.b is about
                yield Import(module, path, node.lineno, f"{base}.{alias.name}")


def run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that run when a module is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from run_at_import(child)


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.part}-not-{rule.forbidden[0]}")
def test_imports_run_one_way(rule: Rule) -> None:
    breaches = [
        f"{item}: not allowed, because {rule.reason}"
        for path in sources(rule.part.partition(".")[0])
        for item in imports_of(path)
        if below(item.module, (rule.part,))
        and not below(item.module, rule.exempt)
        and below(item.name, rule.forbidden)
        and not below(item.name, rule.allowed)
    ]
    assert not breaches, "\n" + "\n".join(breaches)


@pytest.mark.parametrize("package", sorted(THIRD_PARTY))
def test_only_listed_packages_from_elsewhere(package: str) -> None:
    breaches = []
    for path in sources(package):
        for item in imports_of(path):
            top = item.name.partition(".")[0]
            allowed = {
                name for part, names in THIRD_PARTY[package].items() if below(item.module, (part,)) for name in names
            }
            if top not in sys.stdlib_module_names and top not in OURS and top not in allowed:
                breaches.append(f"{item}: not allowed, because {package} lives on the standard library")
    assert not breaches, "\n" + "\n".join(breaches)


@pytest.mark.parametrize("package", ["sipstack", "translators"])
def test_pure_parts_read_no_clock(package: str) -> None:
    breaches = [
        f"{path.relative_to(ROOT)}:{node.lineno} calls {ast.unparse(node.func)}(): not allowed, because time is given"
        for path in sources(package)
        if not below(module_name(path), ("sipstack.net",))
        for node in ast.walk(parsed(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in WALL_CLOCK_CALLS
        and ast.unparse(node.func.value).endswith(("datetime", "date"))
    ]
    assert not breaches, "\n" + "\n".join(breaches)


def test_the_reader_of_imports_sees_all_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "sipstack" / "sip" / "uri.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import asyncio.events\nfrom .. import net\nfrom ..msrp.uri import MsrpUri\n"
        "def f():\n    from sipstack import sdp\nif TYPE_CHECKING:\n    from . import via\n"
    )
    assert [(item.line, item.name) for item in imports_of(path)] == [
        (1, "asyncio.events"),
        (2, "sipstack.net"),
        (3, "sipstack.msrp.uri.MsrpUri"),
        (5, "sipstack.sdp"),
        (7, "sipstack.sip.via"),
    ]
    assert [item.line for item in imports_of(path, at_import_time=True)] == [1, 2, 3]
