"""Secrets: the ones that open accounts, the ones that accounts register with, and the key that seals them.

A login secret is kept as SHA-256 only: 128 random bits need no slow hash. What has to be read again (the SIP secret
of an account, a link that is not delivered yet) is sealed by AES-256-GCM with the account as associated data, so that
a row cannot be moved to another account.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.sims import SimKeys, Sims
from sipstack import ids
from sipstack.sip.digest import Credentials, compute_ha1

LOGIN_SECRET_BITS = 128
SIP_SECRET_BITS = 128
KEY_BYTES = 32
KEY_ID_BYTES = 4
NONCE_BYTES = 12

MARK = "rcsgw-"
"""How marks of accounts in a core begin."""

HASHES = "\0hashes\0"
"""How sealed text begins that is no secret but its hashes; no secret holds a NUL."""

SIM = "\0sim\0"
"""How sealed text begins that is the keys of a SIM."""

_LINE = re.compile(rf"([0-9a-f]{{{2 * KEY_ID_BYTES}}}) ([0-9a-f]{{{2 * KEY_BYTES}}})")


class SecretsError(Exception):
    """A key file cannot be used, or sealed bytes cannot be opened with it."""


def new_login_secret() -> str:
    """Return a secret for one invitation: 32 hex digits, which can be typed by hand."""
    return ids.token(LOGIN_SECRET_BITS)


def hash_login_secret(secret: str) -> bytes:
    """Return what is kept of a login secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


class Sealer:
    """Seals and opens small secrets. The first key seals; all keys open, so that keys can be changed."""

    def __init__(self, keys: dict[bytes, bytes]) -> None:
        """``keys`` maps key ids of 4 bytes to keys of 32 bytes."""
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._current = next(iter(keys))
        # tombstones and caches are keyed hashes; their keys follow from the oldest key, which outlives a change of keys
        oldest = list(keys.values())[-1]
        self._tombstone_key = hmac.digest(oldest, b"rcsgw tombstone", "sha256")
        self._link_key = hmac.digest(oldest, b"rcsgw link", "sha256")
        self._mark_key = hmac.digest(oldest, b"rcsgw mark", "sha256")
        self._person_key = hmac.digest(oldest, b"rcsgw person", "sha256")

    @classmethod
    def from_file(cls, path: Path) -> Sealer:
        """Read a key file, ``key-id key`` in hex on each line, newest first; make one (mode 0600) if there is none.

        Raises :class:`SecretsError` when it cannot be read or written, or when others may read it.
        """
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make_key_file(path)
            if path.stat().st_mode & 0o077:
                raise SecretsError(f"{path}: others may read it; its mode must be 0600")
            lines = path.read_text(encoding="ascii").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SecretsError(f"{path}: {error}") from error
        matches = [_LINE.fullmatch(line.strip()) for line in lines if line.strip()]
        if not matches or None in matches:
            raise SecretsError(f"{path}: is no key file")
        return cls({bytes.fromhex(match[1]): bytes.fromhex(match[2]) for match in matches if match})

    def seal(self, secret: str, account: str) -> bytes:
        """Return key id, nonce and cipher text of a secret that belongs to an account (its SIP URI)."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._ciphers[self._current].encrypt(nonce, secret.encode(), account.encode())
        return self._current + nonce + sealed

    def open(self, sealed: bytes, account: str) -> str:
        """Return the secret. Raises :class:`SecretsError` for an unknown key, changed bytes or another account."""
        cipher = self._ciphers.get(sealed[:KEY_ID_BYTES])
        if cipher is None:
            raise SecretsError("sealed with a key that is not in the key file")
        nonce = sealed[KEY_ID_BYTES : KEY_ID_BYTES + NONCE_BYTES]
        try:
            return cipher.decrypt(nonce, sealed[KEY_ID_BYTES + NONCE_BYTES :], account.encode()).decode()
        except (InvalidTag, ValueError):
            raise SecretsError("the sealed secret was changed, or belongs to another account") from None

    def tombstone(self, account: str, secret_hash: bytes) -> bytes:
        """Return the keyed hash by which the holder of a dead login secret is told why it is dead."""
        return hmac.digest(self._tombstone_key, account.encode() + b"\0" + secret_hash, "sha256")

    def link(self, id: str) -> str:
        """Return what makes the public link to a file unguessable: 128 bits in hex, the same at any time."""
        return hmac.digest(self._link_key, id.encode(), "sha256")[:16].hex()

    def person(self, name: str) -> str:
        """Return what stands in the history for an account, a person or an inviter once they are gone: 128 bits in hex.

        Whoever has the key can find a known name by it, and nobody else can find out the name.
        """
        return f"#{hmac.digest(self._person_key, name.encode(), 'sha256')[:16].hex()}"

    def client(self, name: str) -> bytes:
        """Return what is kept of that which tells a guest's client."""
        return hmac.digest(self._person_key, b"client\0" + name.encode("utf-8", "surrogateescape"), "sha256")[:16]

    def mark(self, name: str) -> str:
        """Return what tells an account in a core, by its name there, from those that others have made: 22 characters.

        Old Kamailios have no more room; it is no secret, but nobody can make it for another name.
        """
        return f"{MARK}{hmac.digest(self._mark_key, name.encode(), 'sha256')[:8].hex()}"

    def new_sip_secret(self, account: str) -> bytes:
        """Return a new SIP secret for an account, sealed; nobody ever sees it."""
        return self.seal(ids.token(SIP_SECRET_BITS), account)

    def seal_hashes(self, hashes: Mapping[str, str], account: str, username: str, realm: str) -> bytes:
        """Return the sealed digest hashes (algorithm → hex) of an account whose SIP secret nobody has told us."""
        return self.seal(HASHES + json.dumps([username, realm, dict(hashes)]), account)

    def seal_sim(self, keys: SimKeys, account: str) -> bytes:
        """Return the sealed keys of an account that has a SIM instead of a password."""
        return self.seal(SIM + keys.text, account)

    def secret(self, sealed: bytes, account: str) -> str:
        """Return a SIP secret. Raises :class:`SecretsError` where there is none, or only its hashes, as :meth:`open`
        does."""
        text = self._open_secret(sealed, account)
        if text.startswith(HASHES):
            raise SecretsError(f"{account}: of its SIP secret only hashes are known")
        return text

    def ha1(self, sealed: bytes, account: str, username: str, realm: str, algorithm: str) -> str:
        """Return the digest hash that a SIP secret gives for a username, realm and algorithm."""
        text = self._open_secret(sealed, account)
        if not text.startswith(HASHES):
            return compute_ha1(username, realm, text, algorithm)
        their_username, their_realm, hashes = json.loads(text.removeprefix(HASHES))
        if (username, realm) != (their_username, their_realm) or algorithm not in hashes:
            raise SecretsError(f"{account}: its {algorithm} hash for {username} in {realm} is not known")
        found: str = hashes[algorithm]
        return found

    def _open_secret(self, sealed: bytes, account: str) -> str:
        text = self.open(sealed, account)
        if text.startswith(SIM):
            raise SecretsError(f"{account}: it has a SIM and no SIP secret")
        return text

    def credentials(self, sealed: bytes, account: str, impi: str, sims: Sims | None = None) -> Credentials:
        """Return digest credentials that open the SIP secret only while a challenge is answered.

        ``sims`` makes those of an account with a SIM; without, what its network counts is not kept.
        """
        known = None
        with contextlib.suppress(SecretsError):  # which is for the first challenge to find out
            text = self.open(sealed, account)
            if text.startswith(SIM):
                return (sims or Sims()).credentials(impi, lambda: self._sim_keys(sealed, account))
            if text.startswith(HASHES):
                _, realm, hashes = json.loads(text.removeprefix(HASHES))
                known = frozenset((realm, algorithm) for algorithm in hashes)
        return Credentials(impi, lambda realm, algorithm: self.ha1(sealed, account, impi, realm, algorithm), known)

    def _sim_keys(self, sealed: bytes, account: str) -> SimKeys:
        k, opc = self.open(sealed, account).removeprefix(SIM).split()
        return SimKeys.parse(k, opc=opc)


def _make_key_file(path: Path) -> None:
    """Write a first key unless the file is there. It appears whole or not at all, readable by us only."""
    if path.exists():
        return
    line = f"{secrets.token_hex(KEY_ID_BYTES)} {secrets.token_hex(KEY_BYTES)}\n"
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was faster; its key counts
    finally:
        draft.unlink()
