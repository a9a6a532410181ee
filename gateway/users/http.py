"""Subscribers from an operator's own UP Center, by the HTTP contract of docs/up-center.md."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import get_args

from gateway.accountsource import SourcedAccount
from gateway.config.users import State
from gateway.drivers import DriverError
from gateway.services import Inviter, NoAccountLeft, NotAuthenticated
from gateway.users.base import WRONG_CREDENTIALS, UserAnswer, canonical
from gateway.users.contract import (
    Account,
    Allocated,
    Authenticated,
    Credentials,
    Done,
    Host,
    Known,
    Name,
    Order,
    Person,
    States,
    Taken,
    Uids,
    User,
)
from gateway.users.proofs import Proofs
from gateway.users.service import JsonService
from translators.identifiers import Identifier, Kind, parse_identifier

STATES: frozenset[str] = frozenset(get_args(State))

HASHES = {"MD5": 32, "SHA-256": 64}
"""Digest algorithms whose hashes an account may come with, and how many digits these have."""


class HttpUsers:
    """:class:`gateway.users.base.UsersDriver`, StateUsers, and :class:`gateway.accountsource.AccountSource`."""

    def __init__(
        self, service: JsonService, *, realm: str, cache: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``realm`` is that of accounts which come without; ``cache`` the seconds that a proof is remembered."""
        self._service = service
        self._realm = realm
        self._proofs = Proofs(cache, clock)

    async def authenticate(self, user_id: str, password: str) -> Inviter:
        """Let the service compare: one call, whether the user is known to it or not."""
        name = canonical(user_id)
        proof = self._proofs.key(name, password)
        known = self._proofs.get(proof)
        if known is None:
            answer = await self._service.call("/authenticate", Credentials(name, password), Authenticated)
            if answer.user is None:
                raise NotAuthenticated(WRONG_CREDENTIALS)
            known = _inviter(answer.user)
            self._proofs.remember(proof, known)
        return known

    async def lookup(self, identifier: Identifier) -> UserAnswer:
        """Ask the service whose this is."""
        answer = await self._service.call("/lookup", _person(identifier), Known)
        return UserAnswer(answer.known, answer.sip if answer.known == "yes" else None)

    async def taken(self, uri: str) -> bool:
        """Ask the service whether anybody has this name."""
        return (await self._service.call("/taken", Name(uri), Taken)).taken

    async def states(self, uids: Sequence[str]) -> Mapping[str, str]:
        """Ask for the states of many by one call (:class:`gateway.users.base.StateUsers`)."""
        answer = await self._service.call("/states", Uids(tuple(uids)), States)
        return {uid: _state(answer.states[uid]) for uid in uids if uid in answer.states}

    async def close(self) -> None:
        """Forget all proofs, close the connections."""
        self._proofs.forget()
        await self._service.close()

    # gateway.accountsource.AccountSource

    async def allocate(self, identifier: Identifier, inviter: Inviter, types: Sequence[str]) -> SourcedAccount:
        """Have the service make an account, known to core and interaction servers when this returns."""
        order = Order(_person(identifier), Host(inviter.uid, inviter.sip), tuple(types))
        answer = await self._service.call("/allocate", order, Allocated)
        if answer.account is None:
            raise NoAccountLeft("The UP Center has no account for this person.")
        return self._account(answer.account)

    async def release(self, uri: str) -> None:
        """Have the service take an account back."""
        await self._service.call("/release", Name(uri), Done)

    def _account(self, account: Account) -> SourcedAccount:
        parsed = parse_identifier(account.sip)
        user = account.sip.partition(":")[2].rpartition("@")[0]
        if parsed is None or parsed.kind is not Kind.SIP:
            raise DriverError("The UP Center allocates an account that is no SIP URI.", temporary=False)
        if any(len(value) != HASHES.get(algorithm) for algorithm, value in account.ha1.items()):
            raise DriverError("The UP Center allocates an account with hashes of no known algorithm.", temporary=False)
        if not account.password and not account.ha1:
            raise DriverError("The UP Center allocates an account without password and hashes.", temporary=False)
        return SourcedAccount(
            uri=parsed.value,
            impi=account.impi or user,
            realm=account.realm or self._realm,
            origin="up-center",
            secret=account.password,
            ha1=account.ha1,
        )


def _inviter(user: User) -> Inviter:
    if not user.sip.startswith(("sip:", "sips:")):
        raise DriverError("The UP Center names a subscriber whose sip is no SIP URI.", temporary=False)
    identities = tuple(dict.fromkeys((user.sip, *user.identities)))
    return Inviter(user.uid, user.sip, identities, user.name or None, _state(user.state), user.level, user.may_invite)


def _state(word: str) -> str:
    return word if word in STATES else "unknown"


def _person(identifier: Identifier) -> Person:
    return Person(identifier.kind.value, identifier.value)
