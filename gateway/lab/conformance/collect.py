"""Finds cases: those that come along, and those in a folder of somebody else's."""

from __future__ import annotations

import fnmatch
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from gateway.lab.conformance import declarative, suites
from gateway.lab.conformance.case import ROLES, BadCase, Case
from gateway.lab.conformance.target import Target


class BadSelection(ValueError):
    """Something is asked for by a name that nothing has."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which cases to run. Empty means any."""

    suites: tuple[str, ...] = ()
    """Whole suites; ``sip`` stands for ``sip.transactions`` too."""
    cases: tuple[str, ...] = ()
    """Ids, or patterns as of a shell."""
    roles: tuple[str, ...] = ()

    def pick(self, cases: Iterable[Case]) -> list[Case]:
        """Return what is selected, in order of suite and id. Raises BadSelection for a name that nothing has."""
        found = sorted(cases, key=lambda case: (case.suite, case.id))
        unknown = [
            *(f"suite {name!r}" for name in self.suites if not any(in_suite(case, name) for case in found)),
            *(f"case {name!r}" for name in self.cases if not any(fnmatch.fnmatchcase(case.id, name) for case in found)),
            *(f"role {name!r}" for name in self.roles if name not in ROLES),
        ]
        if unknown:
            raise BadSelection(f"there is no {', '.join(unknown)}; `rcsgw conformance list` shows all")
        return [case for case in found if self._wants(case)]

    def names(self, case: Case) -> bool:
        """Tell whether a case is asked for by its own id."""
        return case.id in self.cases

    def _wants(self, case: Case) -> bool:
        is_named = bool(self.suites or self.cases)
        return (
            (is_named or not case.risky)
            and (not self.suites or any(in_suite(case, name) for name in self.suites))
            and (not self.cases or any(fnmatch.fnmatchcase(case.id, name) for name in self.cases))
            and (not self.roles or bool(case.roles.intersection(self.roles)))
        )


def in_suite(case: Case, name: str) -> bool:
    """Tell whether a case belongs to a suite or to one below it."""
    return case.suite == name or case.suite.startswith(f"{name}.")


def own_cases() -> list[Case]:
    """Return the cases that come with the runner."""
    return unique(
        case
        for found in pkgutil.walk_packages(suites.__path__, f"{suites.__name__}.")
        for case in cases_of(importlib.import_module(found.name))
    )


def cases_of(module: ModuleType) -> list[Case]:
    """Return the cases that a module defines, by name or in a list ``CASES``; imported ones are others'."""
    values = [*vars(module).values(), *getattr(module, "CASES", ())]
    return [value for value in values if isinstance(value, Case) and value.source == module.__name__]


def load_folder(folder: Path) -> list[Case]:
    """Return the cases in the files of a folder: TOML, and Python that is run to get them. Raises BadCase, OSError."""
    found: list[Case] = []
    for path in sorted(folder.iterdir()):
        if path.suffix == ".py" and not path.name.startswith("_"):
            found += cases_of(_load(path))
        elif path.suffix == ".toml":
            found += declarative.load(path)
    if not found:
        raise BadCase(f"{folder} has no cases")
    return found


def _load(path: Path) -> ModuleType:
    name = f"conformance_cases.{path.parent.name}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadCase(f"{path} can't be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BadCase:
        raise
    except Exception as error:
        raise BadCase(f"{path}: {type(error).__name__}: {error}") from error
    return module


def unique(cases: Iterable[Case]) -> list[Case]:
    """Return the cases. Raises BadCase when two have one id."""
    known: dict[str, Case] = {}
    for case in cases:
        if case.id in known:
            raise BadCase(f"{case.id} is there twice: in {known[case.id].source} and in {case.source}")
        known[case.id] = case
    return list(known.values())


def count_by_suite(cases: Sequence[Case]) -> dict[str, int]:
    """Return how many cases each suite has, by name."""
    return {name: sum(case.suite == name for case in cases) for name in sorted({case.suite for case in cases})}


def applicable(case: Case, target: Target) -> tuple[str, str] | str:
    """Return role and transport in which a case tries a target, or why it does not apply."""
    role = next((role for role in target.roles if role in case.roles), None)
    if role is None:
        return f"the target is no {' or '.join(sorted(case.roles))}"
    transports = (target.calls_by,) if role == "uac" and target.calls_by else target.transports
    transport = next((name for name in transports if not case.transports or name in case.transports), None)
    if transport is None:
        return f"only by {' or '.join(case.transports)}"
    return role, transport
