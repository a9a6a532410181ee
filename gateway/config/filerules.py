"""What has to be in the files that a configuration names: authorities of certificates, passwords, tokens."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gateway.config.types import Section

if TYPE_CHECKING:
    from gateway.config.settings import Config


def content_rules(config: Config) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with files that are there: every key that ends in ``_file`` names one.

    Those of ``delivery.receipts`` have a rule of their own.
    """
    for key, name in _files(config):
        path = config.file(name)
        if path.is_file() and not key.startswith("delivery.receipts."):
            wrong = _authorities(path) if key.endswith("ca_file") else _secret(path)
            if wrong:
                yield key, wrong


def _files(section: Section, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted keys of a table and those below that name a file."""
    for field in msgspec.structs.fields(section):
        value = getattr(section, field.name)
        if isinstance(value, Section):
            yield from _files(value, f"{prefix}{field.name}.")
        elif field.name.endswith("_file") and isinstance(value, str) and value:
            yield f"{prefix}{field.name}", value


def _authorities(path: Path) -> str:
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:
        return f"{path} holds no certificates of authorities (PEM): {getattr(error, 'reason', None) or error.strerror}"
    return ""


def _secret(path: Path) -> str:
    try:
        return "" if path.read_text(encoding="utf-8").strip() else f"{path} is empty"
    except (OSError, UnicodeDecodeError) as error:
        return f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text in UTF-8'}"
