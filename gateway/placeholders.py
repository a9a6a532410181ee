"""Templates in the configuration: ``{name}`` in any text of a table is filled with a value."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

_FIELD = re.compile(r"\{([a-z0-9_]+)\}")


class PlaceholderError(ValueError):
    """A template names something that does not exist."""


def check_templates(value: Any, names: Collection[str]) -> None:
    """Check that all texts of a table hold placeholders of these names only. Raises :class:`PlaceholderError`."""
    for name in placeholders(value):
        if name not in names:
            raise PlaceholderError(f"has an unknown placeholder {{{name}}}; there are {', '.join(sorted(names))}")


def placeholders(value: Any) -> Iterator[str]:
    """Yield the names of all placeholders in a table."""
    if isinstance(value, str):
        yield from _FIELD.findall(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from placeholders(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from placeholders(item)


def fill(value: Any, values: Mapping[str, str]) -> Any:
    """Return the same tree with the placeholders of all its texts filled; other values stay as they are."""
    if isinstance(value, str):
        return _FIELD.sub(lambda field: values.get(field[1], field[0]), value)
    if isinstance(value, Mapping):
        return {key: fill(item, values) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [fill(item, values) for item in value]
    return value
