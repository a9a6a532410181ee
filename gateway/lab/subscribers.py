"""The subscriber table of the embedded core, in SQLite: it survives a restart, and an account works at once.

The rows are those of Kamailio's ``subscriber`` table (config/kamailio/schema.sql) with one hash for each algorithm, so
that one account can answer any of the challenges; public identities have a table of their own to be looked up by.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sipstack.sip.digest import compute_ha1
from sipstack.sip.uri import Uri

SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS subscriber (
    username       TEXT PRIMARY KEY NOT NULL,
    domain         TEXT NOT NULL,
    realm          TEXT NOT NULL,
    ha1            TEXT,
    ha1_sha256     TEXT,
    ha1_sha512_256 TEXT,
    note           TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS impu (
    uri      TEXT PRIMARY KEY NOT NULL,
    username TEXT NOT NULL,
    position INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS impu_username ON impu (username);
"""

COLUMNS = {"MD5": "ha1", "SHA-256": "ha1_sha256", "SHA-512-256": "ha1_sha512_256"}
"""Where H(username:realm:password) of each algorithm lies."""

MAX_IDENTITIES = 16
"""Public identities of one account. Generous: an IMS user has two or three."""


@dataclass(slots=True)
class Subscriber:
    """One account: a private identity (IMPI) with its hashes and its public identities (IMPU)."""

    username: str
    """The private identity, exactly as it stands in the digest."""
    domain: str
    realm: str
    ha1: Mapping[str, str] = field(repr=False)
    """Algorithm → H(username:realm:password) in lower-case hex."""
    impus: tuple[str, ...]
    """Addresses-of-record, canonical; the first is the default identity."""
    note: str = ""
    """What whoever made the account has written beside it."""

    @classmethod
    def from_password(
        cls, username: str, password: str, domain: str, impus: Iterable[str] = (), realm: str | None = None
    ) -> Subscriber:
        """Make an account from its password; without ``impus`` it has ``sip:username@domain``."""
        realm = realm or domain
        ha1 = {name: compute_ha1(username, realm, password, name) for name in COLUMNS}
        return cls(username, domain, realm, ha1, canonical(impus) or (f"sip:{username.partition('@')[0]}@{domain}",))


def canonical(uris: Iterable[str]) -> tuple[str, ...]:
    """Return URIs as keys: addresses-of-record as sipstack writes them, each once. ParseError if one is no URI."""
    return tuple(dict.fromkeys(Uri.parse(uri).aor for uri in uris))


class IdentityTaken(ValueError):
    """A public identity belongs to another account already."""


class SubscriberTable:
    """All accounts. Calls are synchronous and short (tens of microseconds); use it from one thread."""

    def __init__(self, path: Path | str = ":memory:") -> None:
        """Open or create the file ``path``."""
        self._database = sqlite3.connect(path, isolation_level=None, cached_statements=64)
        self._database.executescript(SCHEMA)
        columns = {row[1] for row in self._database.execute("PRAGMA table_info(subscriber)")}
        if "note" not in columns:  # a file of an older version
            self._database.execute("ALTER TABLE subscriber ADD COLUMN note TEXT NOT NULL DEFAULT ''")

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def __len__(self) -> int:
        count: int = self._database.execute("SELECT count(*) FROM subscriber").fetchone()[0]
        return count

    def put(self, subscriber: Subscriber) -> bool:
        """Insert or replace an account in one transaction; True when it is new.

        IdentityTaken when another account has one of the identities; nothing is changed then.
        """
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            known = database.execute("SELECT 1 FROM subscriber WHERE username = ?", (subscriber.username,)).fetchone()
            self._delete(subscriber.username)
            hashes = [subscriber.ha1.get(name) for name in COLUMNS]
            row = (subscriber.username, subscriber.domain, subscriber.realm, *hashes, subscriber.note)
            database.execute("INSERT INTO subscriber VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            identities = [(uri, subscriber.username, place) for place, uri in enumerate(subscriber.impus)]
            database.executemany("INSERT INTO impu VALUES (?, ?, ?)", identities)
        except sqlite3.IntegrityError:
            database.execute("ROLLBACK")
            raise IdentityTaken(f"an identity of {subscriber.username} belongs to another account") from None
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")
        return known is None

    def delete(self, username: str) -> bool:
        """Delete an account with its identities; False when there is none."""
        self._database.execute("BEGIN IMMEDIATE")
        deleted = self._delete(username)
        self._database.execute("COMMIT")
        return deleted

    def _delete(self, username: str) -> bool:
        self._database.execute("DELETE FROM impu WHERE username = ?", (username,))
        return self._database.execute("DELETE FROM subscriber WHERE username = ?", (username,)).rowcount > 0

    def get(self, username: str) -> Subscriber | None:
        """Return an account by its private identity."""
        row = self._database.execute("SELECT * FROM subscriber WHERE username = ?", (username,)).fetchone()
        if row is None:
            return None
        name, domain, realm, *hashes, note = row
        ha1 = {algorithm: value for algorithm, value in zip(COLUMNS, hashes, strict=True) if value}
        return Subscriber(name, domain, realm, ha1, self.identities(username), note)

    def usernames(self) -> list[str]:
        """Return all private identities, sorted."""
        return [row[0] for row in self._database.execute("SELECT username FROM subscriber ORDER BY username")]

    def notes(self) -> dict[str, str]:
        """Return private identity → note of all accounts that have one."""
        return dict(self._database.execute("SELECT username, note FROM subscriber WHERE note <> '' ORDER BY username"))

    def identities(self, username: str) -> tuple[str, ...]:
        """Return the public identities of an account, the default one first; empty when there is no such account."""
        rows = self._database.execute("SELECT uri FROM impu WHERE username = ? ORDER BY position", (username,))
        return tuple(row[0] for row in rows)

    def owner(self, aor: str) -> str | None:
        """Return the private identity that a public one belongs to."""
        row = self._database.execute("SELECT username FROM impu WHERE uri = ?", (aor,)).fetchone()
        return None if row is None else row[0]

    def ha1(self, username: str, realm: str, algorithm: str) -> str | None:
        """Return the hash for a challenge of ``realm``: what DigestServer looks up."""
        column = COLUMNS.get(algorithm)
        if column is None:
            return None
        statement = f"SELECT {column} FROM subscriber WHERE username = ? AND realm = ?"
        row = self._database.execute(statement, (username, realm)).fetchone()
        return None if row is None else row[0]
