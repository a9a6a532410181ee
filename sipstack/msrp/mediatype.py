"""Media types as ``accept-types`` compares them (:rfc:`4975#section-8.6`)."""

from __future__ import annotations

from collections.abc import Iterable


def bare_type(content_type: str) -> str:
    """Return the media type in lower case without parameters: those don't count in negotiation."""
    return content_type.partition(";")[0].strip().lower()


def accepts(accept_types: Iterable[str], content_type: str) -> bool:
    """Tell whether a list of accept-types lets ``content_type`` pass, be it by ``type/*`` or ``*``."""
    wanted = bare_type(content_type)
    for entry in accept_types:
        offered = bare_type(entry)
        if offered in ("*", wanted) or (offered.endswith("/*") and wanted.startswith(offered[:-1])):
            return True
    return False
