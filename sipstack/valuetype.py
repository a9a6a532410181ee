"""The decorator of value types."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value_type(cls: type[T]) -> type[T]:
    """Make ``cls`` a dataclass with slots, equality and hash whose fields nobody sets again.

    The type checker holds everybody to that, as with ``frozen=True``. The guard that this has at run time makes a value
    nine times as expensive to build (2.4 µs instead of 0.26 µs for a URI), and a message is read into a dozen of them.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
