"""Templates of requests: what an operator may write into an HTTP request for a short message."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

NAMES = frozenset({"to", "to_digits", "from", "text", "id", "receipt_url", "language", "coding", "unicode"})
"""What can stand in braces; ``docs/delivery.md`` explains each."""

_FIELD = re.compile(r"\{([a-z_]+)\}")


class PlaceholderError(ValueError):
    """A template names something that does not exist."""


def check_templates(value: Any) -> None:
    """Check all texts of a table. Raises :class:`PlaceholderError`."""
    for name in _FIELD.findall(value) if isinstance(value, str) else ():
        if name not in NAMES:
            raise PlaceholderError(f"has an unknown placeholder {{{name}}}; there are {', '.join(sorted(NAMES))}")
    if isinstance(value, Mapping):
        for item in value.values():
            check_templates(item)
    elif isinstance(value, list | tuple):
        for item in value:
            check_templates(item)


def fill(value: Any, values: Mapping[str, str]) -> Any:
    """Return the same tree with the placeholders of all its texts filled; other values stay as they are."""
    if isinstance(value, str):
        return _FIELD.sub(lambda field: values.get(field[1], field[0]), value)
    if isinstance(value, Mapping):
        return {key: fill(item, values) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [fill(item, values) for item in value]
    return value
