"""Subscribers of a Kamailio core: its ``subscriber`` table is the UP Center, in SQLite, MySQL/MariaDB or PostgreSQL."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from gateway.config.users import UsersKamailioSection
from gateway.database import Connection, Database
from gateway.services import Inviter, NotAuthenticated
from gateway.users.base import UNKNOWN, WRONG_CREDENTIALS, UserAnswer, canonical
from gateway.users.proofs import Proofs
from gateway.users.subscribertable import NOBODY, SCALARS, Key, Row, SubscriberTable
from sipstack.sip.digest import compute_ha1
from translators.identifiers import Identifier

STATES = ("active", "suspended", "lost")
YES = ("1", "true", "yes", "y", "t")

T = TypeVar("T")

NO_ROW = Row(NOBODY, ("", ""), (), dict.fromkeys(SCALARS))
"""What is compared with where there is no subscriber: nothing fits it, at the same cost."""


class KamailioUsers:
    """:class:`gateway.users.base.UsersDriver`, and those for digest and for states, over the tables of Kamailio."""

    def __init__(
        self,
        database: Database,
        section: UsersKamailioSection,
        *,
        domain: str,
        realm: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``domain`` is that of UIDs without one, ``realm`` the one that stored hashes are made with."""
        self._database = database
        self._section = section
        self._table = SubscriberTable(section, domain)
        self._domain = domain
        self._realm = realm
        self._proofs = Proofs(section.cache, clock)
        self.digest_algorithms: Sequence[str] = (
            ("SHA-256", "MD5") if section.secrets == "passwords" else (section.algorithm,)
        )

    async def authenticate(self, user_id: str, password: str) -> Inviter:
        """Compare with what the table has; who is unknown costs as many statements and hashes as who is wrong."""
        name = canonical(user_id)
        proof = self._proofs.key(name, password)
        known = self._proofs.get(proof)
        if known is None:
            known = await self._run(lambda connection: self._authenticate(connection, name, password))
            if known is None:
                raise NotAuthenticated(WRONG_CREDENTIALS)
            self._proofs.remember(proof, known)
        return known

    def _authenticate(self, connection: Connection, name: str, password: str) -> Inviter | None:
        row = self._row(connection, name)
        right = self._is_password(row or NO_ROW, password)
        return self._inviter(connection, row) if row is not None and right else None

    def _row(self, connection: Connection, name: str) -> Row | None:
        return self._table.row(connection, self._table.by_user_id(connection, name) or NOBODY)

    def _is_password(self, row: Row, password: str) -> bool:
        """Compare in constant time; an empty column is nobody's password."""
        if self._section.secrets == "passwords":
            presented = [password]
        else:
            username, domain = row.key
            names = (username, f"{username}@{domain}")
            presented = [compute_ha1(name, self._realm, password, self._section.algorithm) for name in names]
        same = [_same(kept, given) for kept, given in zip(row.secrets, presented, strict=False)]
        return any(same)

    def _inviter(self, connection: Connection, row: Row) -> Inviter:
        identities, about = self._table.identities(connection, row), row.about
        return Inviter(
            uid=self._uid(row.key),
            sip=_default(identities),
            identities=identities,
            name=str(about["name"]) if about["name"] else None,
            state=self._state(about["state"]),
            level=_number(about["level"]),
            may_invite=_yes(about["may_invite"]),
        )

    async def digest(self, username: str, realm: str, algorithm: str) -> tuple[str, Inviter] | None:
        """Return what digest needs (:class:`gateway.users.base.DigestUsers`)."""
        return await self._run(lambda connection: self._digest(connection, username, realm, algorithm))

    def _digest(self, connection: Connection, username: str, realm: str, algorithm: str) -> tuple[str, Inviter] | None:
        found = self._row(connection, canonical(username))
        row = found or NO_ROW
        # all of it for nobody, too: whether the answer is right is found out later, by who asks for the hash
        inviter = self._inviter(connection, row)
        if self._section.secrets == "passwords":
            ha1 = compute_ha1(username, realm, row.secrets[0], algorithm)
            ha1 = ha1 if row.secrets[0] else ""
        else:
            hashes = dict(zip((row.key[0], "@".join(row.key)), row.secrets, strict=True))
            fits = (realm, algorithm) == (self._realm, self._section.algorithm)
            ha1 = hashes.get(username, "") if fits else ""
        return (ha1, inviter) if found is not None and ha1 else None

    async def lookup(self, identifier: Identifier) -> UserAnswer:
        """Look somebody up; the answer is ``unknown`` where no table would know them by such an identifier."""
        return await self._run(lambda connection: self._lookup(connection, identifier))

    def _lookup(self, connection: Connection, identifier: Identifier) -> UserAnswer:
        key = self._table.find(connection, identifier)
        row = self._table.row(connection, key) if key is not None else None
        if row is not None:
            return UserAnswer("yes", _default(self._table.identities(connection, row)))
        return UserAnswer("no") if self._table.can_tell(connection, identifier.kind) else UNKNOWN

    async def taken(self, uri: str) -> bool:
        """Tell whether the tables have this identity, a subscriber's or a guest's."""
        return await self._run(lambda connection: self._table.by_user_id(connection, canonical(uri)) is not None)

    async def states(self, uids: Sequence[str]) -> Mapping[str, str]:
        """Return the states of those who have a row (:class:`gateway.users.base.StateUsers`)."""
        keys = {self._key(uid): uid for uid in uids}
        found = await self._run(lambda connection: self._table.states(connection, keys))
        return {keys[key]: self._state(state) for key, state in found.items()}

    async def close(self) -> None:
        """Close the connections, forget all proofs."""
        self._proofs.forget()
        await self._database.close()

    async def _run(self, work: Callable[[Connection], T]) -> T:
        return await self._database.run(work, reading=True)

    def _uid(self, key: Key) -> str:
        """Return the username, with its domain where that is another than ours."""
        username, domain = key
        return username if domain == self._domain else f"{username}@{domain}"

    def _key(self, uid: str) -> Key:
        username, at, domain = uid.rpartition("@")
        return (username, domain) if at else (uid, self._domain)

    def _state(self, value: Any) -> str:
        text = str(value).strip() if value is not None else ""
        state = self._section.states.get(text, text.lower())
        return state if state in STATES else "unknown"


def _same(kept: str, given: str) -> bool:
    right = hmac.compare_digest(
        hmac.digest(b"rcsgw", kept.encode("utf-8", "surrogateescape"), "sha256"),
        hmac.digest(b"rcsgw", given.encode("utf-8", "surrogateescape"), "sha256"),
    )
    return right and bool(kept)


def _default(identities: Sequence[str]) -> str:
    return next(uri for uri in identities if uri.startswith(("sip:", "sips:")))


def _number(value: Any) -> int | None:
    """Return a level; None for what is no number."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _yes(value: Any) -> bool | None:
    return None if value is None else str(value).strip().lower() in YES
