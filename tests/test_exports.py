"""Public names stay where they are, and no import depends on who was imported before."""

from __future__ import annotations

import graphlib
import importlib
import pkgutil

import pytest

from tests.test_layers import imports_of, module_name, sources

PACKAGES = ("sipstack", "translators", "gateway")

PUBLIC = {
    "sipstack.errors": [
        "ConnectionClosed",
        "LocalProtocolError",
        "MessageTooLarge",
        "ParseError",
        "RemoteProtocolError",
        "RequestFailed",
        "SipstackError",
        "TransactionTimeout",
        "UnexpectedMessage",
    ],
    "sipstack.flow": ["Flow", "HostPort"],
    "sipstack.ids": ["branch", "call_id", "contact_token", "instance_id", "msrp_session_id", "tag", "trace_id"],
}
"""Module → names that others write programs with. Removing one is a change for CHANGELOG.md."""


def modules() -> list[str]:
    names = []
    for package in PACKAGES:
        names.append(package)
        paths = importlib.import_module(package).__path__
        names += [module.name for module in pkgutil.walk_packages(paths, package + ".")]
    return [name for name in names if not name.endswith("__main__")]


@pytest.mark.parametrize("module", sorted(PUBLIC))
def test_public_names_are_there(module: str) -> None:
    there = importlib.import_module(module)
    assert [name for name in PUBLIC[module] if not hasattr(there, name)] == []


def test_imports_make_no_circle() -> None:
    """So whichever module somebody imports first, it can be imported."""
    known = set(modules())
    graph = {}
    for package in PACKAGES:
        for path in sources(package):
            names = {longest_module(item.name, known) for item in imports_of(path, at_import_time=True)}
            graph[module_name(path)] = names - {None, module_name(path)}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def longest_module(name: str, known: set[str]) -> str | None:
    """Return the module that ``from a.b import c`` loads: a.b.c if that is one, else a.b; None for foreign ones."""
    return next((part for part in (name, name.rpartition(".")[0]) if part in known), None)


@pytest.mark.parametrize("module", modules())
def test_what_all_names_exists(module: str) -> None:
    there = importlib.import_module(module)
    names = list(getattr(there, "__all__", []))
    assert [name for name in names if not hasattr(there, name)] == []
    assert len(names) == len(set(names))
