"""What all drivers share: how they fail, and how a lab names one of its own."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


class DriverError(Exception):
    """A driver could not do it. ``temporary``: trying again later may help. Not ``certain``: it may be done all the
    same, because the answer was lost."""

    def __init__(self, text: str, *, temporary: bool, certain: bool = True) -> None:
        super().__init__(text)
        self.temporary = temporary
        self.certain = certain


@dataclass(frozen=True, slots=True)
class Checked:
    """What a driver has found when it tried its server."""

    found: str
    date: str = ""
    """The server's clock, as its ``Date`` header has it; empty where it does not tell."""


@runtime_checkable
class Checkable(Protocol):
    """A driver that can try for real whether its server is there and lets us in, without leaving anything behind."""

    async def check(self) -> Checked:
        """Try it, on a driver that need not have been started. Raises DriverError that says what is wrong."""


def load_driver(table: str, path: str, options: Mapping[str, Any]) -> Any:
    """Return ``Class(**options)`` for ``package.module:Class``. Raises :class:`DriverError` when there is no such.

    ``table`` is that of the configuration which names it: errors begin with its key.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)(**options)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise DriverError(f"{table}.driver {path}: {error}", temporary=False) from error
