"""The first step of an invitation: which channel, which account, which secret; one transaction makes it all."""

from __future__ import annotations

from collections.abc import Callable, Collection
from urllib.parse import quote

from gateway.config.settings import Config
from gateway.drivers import DriverError
from gateway.inviterfeed import InviterFeeds, notice
from gateway.lifecycle import Lifecycle
from gateway.naming import Names
from gateway.policy import over_quota, quota
from gateway.refusals import deadline
from gateway.secrets import Sealer, hash_login_secret, new_login_secret
from gateway.services import AlreadySubscriber, Conflict, Forbidden, Inviter, NoChannel, ServiceError
from gateway.sourcing import Sourcing
from gateway.storage.accountstore import NewAccount
from gateway.storage.errors import NameTaken, OverQuota, StoreError
from gateway.storage.invitationstore import Invited, NewInvitation
from gateway.storage.store import Store
from gateway.users.base import UserAnswer, UsersDriver
from sipstack import ids
from translators.identifiers import Identifier, Kind
from translators.model import InviteRequest


class Allocation:
    """Decides what a new invitation consists of and writes it."""

    def __init__(
        self,
        store: Store,
        config: Config,
        users: UsersDriver,
        names: Names | Sourcing,
        lifecycle: Lifecycle,
        channels: Collection[str],
        sealer: Sealer,
        feeds: InviterFeeds,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._config = config
        self._users = users
        self._names = names
        self._lifecycle = lifecycle
        self._channels = channels
        self._sealer = sealer
        self._feeds = feeds
        self._clock = clock

    def link(self, account: str, secret: str) -> str:
        """Return the address that logs a guest in; where the secret stands is a matter of ``link_style``."""
        mark = "#" if self._config.gateway.link_style == "fragment" else "?"
        base = self._config.gateway.public_url.rstrip("/")
        return f"{base}/rcsgw/invitee/session/{quote(account, safe=':@')}{mark}passwd={quote(secret)}"

    def channels(self, identifier: Identifier, via: str | None) -> tuple[str, ...]:
        """Return the channels that a link to a person may take, in their order; raises NoChannel."""
        known = self._config.delivery.channels.of(identifier.kind.value, self._channels)
        if not known:
            whom = "e-mail addresses" if identifier.kind is Kind.EMAIL else "phone numbers"
            raise NoChannel(f"This gateway sends no links to {whom}.")
        if via is None:
            return known
        if via not in known:
            raise NoChannel(f"A link goes to this person by {' or '.join(known)}, not by {via}.")
        return (via,)

    async def lookup(self, identifier: Identifier) -> UserAnswer:
        """Ask the UP Center whose this is; our guests are no subscribers, though its tables may have them, too."""
        if identifier.kind is Kind.SIP and await self._store.account_by_uri(identifier.value) is not None:
            return UserAnswer("no")
        answer = await self._users.lookup(identifier)
        if answer.sip is not None and await self._store.account_by_uri(answer.sip) is not None:
            return UserAnswer("no")
        return answer

    async def check_not_subscriber(self, identifier: Identifier) -> None:
        """Raise AlreadySubscriber; Forbidden where nobody knows, and the configuration wants to."""
        answer = await self.lookup(identifier)
        if answer.known == "yes":
            raise AlreadySubscriber(f"This person is a subscriber; call {answer.sip or 'them'}.", answer.sip or "")
        if answer.known == "unknown" and self._config.users.on_unknown == "refuse":
            raise Forbidden("It is not known whether this person is a subscriber.")

    async def allocate(
        self,
        inviter: Inviter,
        request: InviteRequest,
        identifier: Identifier,
        types: tuple[str, ...],
        valid_for: float,
        channels: tuple[str, ...],
        until: float,
    ) -> tuple[Invited, bool]:
        """Return the invitation, and whether it is new."""
        kind, key = identifier.kind.value, identifier.key
        lock = self._lifecycle.lock(kind, key)
        async with deadline(until):
            await lock.acquire()
        try:
            account = await self._store.account_by_identifier(kind, key)
            known = await self._store.invitations(account_id=account.id) if account is not None else []
            for item in known:
                if item.invitation.state == "ending":
                    raise Conflict("An earlier invitation of this person is being taken down.", retry_after=2)
                if item.invitation.uid == inviter.uid:
                    return item, False
            await self._check_quota(inviter)

            def new(uri: str) -> NewInvitation:
                return self._new_invitation(inviter, request, identifier, types, valid_for, channels, uri)

            if account is not None:
                return await self._begin(account.id, new(account.uri)), True
            if isinstance(self._names, Sourcing):
                return await self._begin_sourced(self._names, identifier, inviter, types, new, until), True
            return await self._begin_account(self._names, identifier, new, until), True
        finally:
            lock.release()

    async def _begin_account(
        self, names: Names, identifier: Identifier, new: Callable[[str], NewInvitation], until: float
    ) -> Invited:
        candidates = names.candidates(identifier)
        while True:
            async with deadline(until):
                account = await anext(candidates)
            try:
                return await self._begin(account, new(account.uri))
            except NameTaken:
                continue

    async def _begin_sourced(
        self,
        sourcing: Sourcing,
        identifier: Identifier,
        inviter: Inviter,
        types: tuple[str, ...],
        new: Callable[[str], NewInvitation],
        until: float,
    ) -> Invited:
        async with deadline(until):
            account = await sourcing.allocate(identifier, inviter, types)
        try:
            invited = await self._begin(account, new(account.uri))
        except NameTaken as error:
            await sourcing.undo(identifier, account.uri)
            raise DriverError(f"{account.uri} was allocated, and is somebody's already.", temporary=False) from error
        except (StoreError, ServiceError):
            # only where certainly nothing was written: what else happens is for Sourcing.recover to find out
            await sourcing.undo(identifier, account.uri)
            raise
        await sourcing.settle(identifier)
        return invited

    async def _check_quota(self, inviter: Inviter) -> None:
        """Refuse before a name is looked for; the last word has the transaction that writes the invitation."""
        policy, now = self._config.policy, self._clock()
        try:
            await self._store.check_quota(inviter.uid, quota(policy), now)
        except OverQuota as error:
            raise over_quota(error, policy, now) from None

    async def _begin(self, account: NewAccount | int, new: NewInvitation) -> Invited:
        policy = self._config.policy
        try:
            invited, events = await self._store.begin_invitation(
                account, new, lambda invited: notice(invited, new.created_at), quota(policy)
            )
        except OverQuota as error:
            raise over_quota(error, policy, new.created_at) from None
        self._feeds.publish(events)
        return invited

    def _new_invitation(
        self,
        inviter: Inviter,
        request: InviteRequest,
        identifier: Identifier,
        types: tuple[str, ...],
        valid_for: float,
        channels: tuple[str, ...],
        account: str,
    ) -> NewInvitation:
        now = self._clock()
        secret = new_login_secret()
        return NewInvitation(
            uid=inviter.uid,
            sip=inviter.sip,
            identities=tuple(dict.fromkeys((inviter.sip, *inviter.identities))),
            name=inviter.name or "",
            types=types,
            note=request.note or "",
            language=request.language or self._config.delivery.language,
            secret_hash=hash_login_secret(secret),
            created_at=now,
            expires_at=now + valid_for,
            channels=channels,
            address=identifier.value,
            sealed_link=self._sealer.seal(self.link(account, secret), account),
            message_id=self.new_message_id(),
        )

    def new_message_id(self) -> str:
        sender = self._config.delivery.email.sender
        return f"<{ids.message_id()}@{sender.rpartition('@')[2] or self._config.core.domain}>"
