"""What a link carries, and its short form.

The token of a short link is the login secret itself, written with 62 letters instead of 16: 22 characters for 128 bits.
So it opens exactly what the secret opens, dies with it, and nothing more has to be kept than the hash of the secret.
"""

from __future__ import annotations

from urllib.parse import unquote

from gateway.secrets import LOGIN_SECRET_BITS

MARK = "passwd="

SHORT = "/i/"
"""Where short links stand."""

TOKEN_LENGTH = 22
"""The least that holds 128 bits: 62 ** 22 > 2 ** 128."""

_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""No punctuation: what recognises links in a text often leaves it out at their end."""

_VALUES = {letter: value for value, letter in enumerate(_LETTERS)}


def without_password(link: str) -> tuple[str, str]:
    """Split a login link into one that carries the account only, and the password to type."""
    bare, mark, password = link.rpartition(MARK)
    return (bare[:-1], unquote(password)) if mark else (link, "")


def short_token(secret: str) -> str:
    """Return the token of a login secret: 32 hex digits. Raises ValueError for anything else."""
    value, letters = int(secret, 16), ""
    if value >> LOGIN_SECRET_BITS:
        raise ValueError("is no login secret")
    for _ in range(TOKEN_LENGTH):
        value, digit = divmod(value, len(_LETTERS))
        letters = _LETTERS[digit] + letters
    return letters


def secret_of(token: str) -> str | None:
    """Return the login secret that a token stands for, None when it can be none."""
    if len(token) != TOKEN_LENGTH or not _VALUES.keys() >= set(token):
        return None
    value = 0
    for letter in token:
        value = value * len(_LETTERS) + _VALUES[letter]
    return None if value >> LOGIN_SECRET_BITS else f"{value:0{LOGIN_SECRET_BITS // 4}x}"


def short_link(public_url: str, link: str) -> str:
    """Return the short form of a login link; a link without a secret stays as it is."""
    _, secret = without_password(link)
    return f"{public_url.rstrip('/')}{SHORT}{short_token(secret)}" if secret else link
