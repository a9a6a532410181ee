"""Subscribers from the configuration file: the lab's UP Center."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence

from gateway.config.users import Subscriber
from gateway.services import Inviter, NotAuthenticated
from gateway.users.base import WRONG_CREDENTIALS, UserAnswer, canonical
from sipstack.sip.digest import compute_ha1
from translators.identifiers import Identifier, Kind, parse_identifier


class LocalUsers:
    """:class:`gateway.users.base.UsersDriver` over a table in memory."""

    digest_algorithms = ("SHA-256", "MD5")

    def __init__(self, subscribers: Iterable[Subscriber]) -> None:
        self._by_id: dict[str, Subscriber] = {}
        self._by_key: dict[tuple[Kind, str], str] = {}
        for subscriber in subscribers:
            for name in (subscriber.uid, *subscriber.identities):
                self._by_id[canonical(name)] = subscriber
            for name in (*subscriber.identities, *subscriber.emails, *subscriber.phones):
                identifier = parse_identifier(name)
                if identifier is not None:
                    self._by_key[identifier.kind, identifier.key] = _default_identity(subscriber)

    async def authenticate(self, user_id: str, password: str) -> Inviter:
        """Compare the password; unknown users cost the same as wrong passwords."""
        subscriber = self._by_id.get(canonical(user_id))
        expected = subscriber.password if subscriber is not None else "\0"
        right = hmac.compare_digest(
            hmac.digest(b"rcsgw", expected.encode(), "sha256"),
            hmac.digest(b"rcsgw", password.encode("utf-8", "surrogateescape"), "sha256"),
        )
        if subscriber is None or not right:
            raise NotAuthenticated(WRONG_CREDENTIALS)
        return _inviter(subscriber)

    async def digest(self, username: str, realm: str, algorithm: str) -> tuple[str, Inviter] | None:
        """Return what digest needs (:class:`gateway.users.base.DigestUsers`)."""
        subscriber = self._by_id.get(canonical(username))
        ha1 = compute_ha1(username, realm, subscriber.password if subscriber is not None else "\0", algorithm)
        return (ha1, _inviter(subscriber)) if subscriber is not None else None

    async def states(self, uids: Sequence[str]) -> Mapping[str, str]:
        """Return the states of those who are in the table (:class:`gateway.users.base.StateUsers`)."""
        return {uid: self._by_id[uid].state for uid in uids if uid in self._by_id}

    async def lookup(self, identifier: Identifier) -> UserAnswer:
        """Look up; this table knows everybody who is a subscriber."""
        sip = self._by_key.get((identifier.kind, identifier.key))
        return UserAnswer("yes", sip) if sip is not None else UserAnswer("no")

    async def taken(self, uri: str) -> bool:
        """Tell whether a subscriber has this identity."""
        return canonical(uri) in self._by_id

    async def close(self) -> None:
        """Hold nothing."""


def _inviter(subscriber: Subscriber) -> Inviter:
    return Inviter(
        uid=subscriber.uid,
        sip=_default_identity(subscriber),
        identities=subscriber.identities,
        name=subscriber.name or None,
        state=subscriber.state,
        level=subscriber.level,
        may_invite=subscriber.may_invite,
    )


def _default_identity(subscriber: Subscriber) -> str:
    return next((name for name in subscriber.identities if name.startswith(("sip:", "sips:"))), subscriber.uid)
