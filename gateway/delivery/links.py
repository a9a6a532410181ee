"""What a link carries."""

from __future__ import annotations

from urllib.parse import unquote

MARK = "passwd="


def without_password(link: str) -> tuple[str, str]:
    """Split a login link into one that carries the account only, and the password to type."""
    bare, mark, password = link.rpartition(MARK)
    return (bare[:-1], unquote(password)) if mark else (link, "")
