"""The steps of an invitation: provision, register, activate; and all of it backwards at the end.

The store tells at every moment what is to be done; a task for each account that is not settled does it, step by step,
with a commit after each. Steps are idempotent, so that it does not matter where a process died: the next one begins
with the step that has no commit. Temporary failures are repeated with growing pauses; a final one of an invitation
turns it into one that has to be ended, which undoes what was done in reverse order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol
from weakref import WeakValueDictionary

from gateway.accountsource import needs_registration
from gateway.backoff import pause
from gateway.config.settings import Config
from gateway.drivers import DriverError
from gateway.interaction.base import InteractionDriver
from gateway.inviterfeed import InviterFeeds, notice
from gateway.provisioning.base import CoreAccount, ProvisioningDriver
from gateway.secrets import Sealer, SecretsError
from gateway.sourcing import Sourcing
from gateway.storage.accountstore import AccountRecord
from gateway.storage.errors import StoreError
from gateway.storage.invitationstore import End, Invited, Tombstone
from gateway.storage.store import Store
from translators.model import InvitationState

if TYPE_CHECKING:
    from gateway.relations import Relation

log = logging.getLogger("rcsgw.invitations")

STEPS_AT_ONCE = 64
"""Accounts whose steps run at the same time: what a core takes well when an inviter with a thousand guests leaves."""


class GuestControl(Protocol):
    """What flow 1 asks of flow 2 (``gateway.sessions``). Accounts that are not logged in are nothing to do."""

    def relation_changed(self, account: str, relation: Relation) -> None:
        """Take a new invitation of a guest."""

    def secret_ended(self, account: str, invitation_id: int) -> None:
        """Forget what this invitation's secret has proven."""

    async def relation_ended(self, account: str, uid: str, reason: str) -> None:
        """BYE the chat with one inviter and tell the guest."""

    async def account_ended(self, account: str, reason: str) -> None:
        """BYE everything, REGISTER Expires 0, close the streams, forget the guest."""


class Lifecycle:
    """Brings every account to where its invitations say it should be."""

    def __init__(
        self,
        store: Store,
        config: Config,
        provisioning: ProvisioningDriver,
        interaction: InteractionDriver,
        sealer: Sealer,
        feeds: InviterFeeds,
        guests: GuestControl,
        clock: Callable[[], float],
        sourcing: Sourcing | None = None,
    ) -> None:
        """``sourcing`` gives back accounts that others have named."""
        self._store = store
        self._sourcing = sourcing
        self._config = config
        self._provisioning = provisioning
        self._interaction = interaction
        self._sealer = sealer
        self._feeds = feeds
        self._guests = guests
        self._clock = clock
        self.on_active: Callable[[Invited], None] = lambda invited: None
        """Called when an invitation has become active and its mail may go."""
        self._outcomes: dict[int, asyncio.Future[None]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._wakeups: dict[int, asyncio.Event] = {}
        self._purged: set[int] = set()
        """Accounts that are taken down whatever the network says."""
        self._slots = asyncio.Semaphore(STEPS_AT_ONCE)
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    def lock(self, kind: str, identifier: str) -> asyncio.Lock:
        """Return the lock of a person: held while an account of theirs is chosen, and while one is taken down.

        It exists for as long as somebody holds it or waits for it.
        """
        lock = self._locks.get((kind, identifier))
        if lock is None:
            lock = self._locks[kind, identifier] = asyncio.Lock()
        return lock

    def outcome(self, invitation_id: int) -> asyncio.Future[None]:
        """Return what is done when a ``preparing`` invitation is active or ended; fails with what it failed with."""
        future = self._outcomes.get(invitation_id)
        if future is None:
            future = self._outcomes[invitation_id] = asyncio.get_running_loop().create_future()
            future.add_done_callback(lambda future: future.cancelled() or future.exception())  # seen, if by nobody
        return future

    def forget_outcome(self, invitation_id: int) -> None:
        """Keep no outcome of an invitation that was decided before anybody asked."""
        self._outcomes.pop(invitation_id, None)

    def _decide(self, invitation_id: int, error: DriverError | None = None) -> None:
        future = self._outcomes.pop(invitation_id, None)
        if future is None or future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    def wake(self, account_id: int) -> None:
        """Do what an account needs, beside the caller."""
        _ = self.settle(account_id)

    def go_on(self, account_id: int) -> None:
        """Do what an account needs unless that is being done, or waits for its next attempt."""
        if account_id not in self._tasks:
            self.wake(account_id)

    def settle(self, account_id: int) -> asyncio.Task[None]:
        """Do what an account needs, now; return the task that is done when there is nothing left to do."""
        wakeup = self._wakeups.setdefault(account_id, asyncio.Event())
        wakeup.set()
        task = self._tasks.get(account_id)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._settle(account_id, wakeup))
            self._tasks[account_id] = task
        return task

    async def close(self) -> None:
        """Stop where we are; the next start goes on from there."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _settle(self, account_id: int, wakeup: asyncio.Event) -> None:
        failures = 0
        try:
            while True:
                wakeup.clear()
                try:
                    async with self._slots:
                        more = await self._step(account_id)
                    failures = 0
                    if not more and not wakeup.is_set():
                        return
                except (DriverError, StoreError) as error:
                    failures += 1
                    log.warning("account %d: %s", account_id, error)
                except Exception:
                    failures += 1
                    log.exception("account %d: a step failed", account_id)
                if failures:
                    await _sleep(wakeup, pause(failures, self._config.provisioning.retry))
        finally:
            del self._tasks[account_id], self._wakeups[account_id]

    async def _step(self, account_id: int) -> bool:
        """Bring an account one stage further; tell whether there may be more to do."""
        known = await self._store.invitations(account_id=account_id)
        ending = [item for item in known if item.invitation.state == "ending"]
        if ending:
            await self._end(ending[0].account)
            return True
        for item in known:
            if item.invitation.state == "preparing":
                await self._prepare(item)
                return True
        if not known:
            await self._end_uninvited(account_id)
        return False

    # forwards

    def core_account(self, account: AccountRecord) -> CoreAccount:
        """Return an account as drivers see it."""
        return core_account(self._sealer, account)

    async def _prepare(self, invited: Invited) -> None:
        account, invitation = invited.account, invited.invitation
        try:
            await self._make_known(account, invitation.types)
        except (DriverError, SecretsError) as error:
            failed = DriverError(str(error), temporary=False) if isinstance(error, SecretsError) else error
            deadline = min(invitation.created_at + self._config.provisioning.retry.deadline, invitation.expires_at)
            if not failed.temporary or self._clock() >= deadline:
                await self._give_up(invited, failed)
                return
            told = notice(invited, self._clock(), reason=str(failed))
            self._feeds.publish(await self._store.note_failure(invitation.id, str(failed), told))
            raise failed from error
        told = notice(invited, self._clock(), state="active")
        events = await self._store.activate(invitation.id, self._clock(), told)
        if not events:
            return  # it has been ended meanwhile
        self._feeds.publish(events)
        invitation.state, invitation.reason = "active", ""
        log.info("%s: invited by %s", account.uri, invitation.uid)
        self.on_active(invited)
        self._decide(invitation.id)

    async def _make_known(self, account: AccountRecord, types: Sequence[str]) -> None:
        """Do the first and, if they are due now, the second registrations, as far as they are ours to do."""
        if not account.provisioned:
            if account.origin == "gateway":
                await self._provisioning.provision(self.core_account(account))
            await self._store.mark_provisioned(account.id, True)
        if self._config.interaction.register_at == "invite" and needs_registration(account.origin):
            for kind in types:
                await self.register(account, kind)

    async def register(self, account: AccountRecord, kind: str) -> None:
        """Do a second registration; one that exists is renewed, for the new invitation may last longer."""
        await self._store.mark_registered(account.id, kind, False)
        await self._interaction.register(account.uri, kind)
        await self._store.mark_registered(account.id, kind, True)

    async def _give_up(self, invited: Invited, error: DriverError) -> None:
        log.warning("%s: the invitation of %s failed: %s", invited.account.uri, invited.invitation.uid, error)
        await self.end([invited], "failed", detail=str(error))
        self._decide(invited.invitation.id, error)

    # backwards

    async def end(self, ending: Sequence[Invited], reason: str, *, detail: str | None = None) -> None:
        """Commit that invitations are over. Their secrets open nothing from here on; :meth:`settle` does the rest."""
        now = self._clock()
        state: InvitationState = "failed" if reason == "failed" else "ended"
        ends = [
            End(
                item.invitation.id,
                Tombstone(self._sealer.tombstone(item.account.uri, item.invitation.secret_hash), reason, now),
                notice(item, now, state=state, reason=detail or reason),
            )
            for item in ending
        ]
        self._feeds.publish(await self._store.end_invitations(ends, detail or ""))
        for item in ending:
            log.info("%s: invitation of %s ended: %s", item.account.uri, item.invitation.uid, reason)
            if reason != "failed":
                self._decide(item.invitation.id)

    async def _end(self, account: AccountRecord) -> None:
        """Take down what no invitation needs any more."""
        async with self.lock(account.identifier_kind, account.identifier):
            known = await self._store.invitations(account_id=account.id)
            ending = [item for item in known if item.invitation.state == "ending"]
            staying = [item for item in known if item.invitation.state != "ending"]
            if staying:
                await self._end_some(account, ending, staying)
            elif ending:
                await self._end_all(account, ending)

    async def purge(self, account: AccountRecord) -> None:
        """End an account whoever invites it, now, and delete it even where the network cannot be told of that.

        Returns when it is gone. What is left behind elsewhere is in the log and in the history.
        """
        self._purged.add(account.id)
        try:
            known = await self._store.invitations(account_id=account.id, states=("preparing", "active"))
            if known:
                await self.end(known, "purged")
            await asyncio.shield(self.settle(account.id))
        finally:
            self._purged.discard(account.id)

    async def _end_uninvited(self, account_id: int) -> None:
        """Take down an account that nobody invites, unless policy keeps it for the next inviter."""
        account = await self._store.account_by_id(account_id)
        if account is None or self._keeps(account):
            return
        async with self.lock(account.identifier_kind, account.identifier):
            if not await self._store.invitations(account_id=account_id):
                await self._end_all(account, [])

    def _keeps(self, account: AccountRecord) -> bool:
        """Tell whether an account stays when nobody invites it any more."""
        kept = self._config.policy.on_end == "relation" and account.provisioned
        return kept and account.id not in self._purged

    async def _end_some(self, account: AccountRecord, ending: list[Invited], staying: list[Invited]) -> None:
        for item in ending:
            await self._guests.relation_ended(account.uri, item.invitation.uid, item.invitation.reason)
        needed = {kind for item in staying for kind in item.invitation.types}
        await self._deregister(account, needed)
        for item in ending:
            await self._store.delete_relation(item.invitation.id)

    async def _end_all(self, account: AccountRecord, ending: list[Invited]) -> None:
        reason = ending[-1].invitation.reason if ending else "ended"
        await self._guests.account_ended(account.uri, reason)
        if self._keeps(account):
            await self._store.set_logged_in(account.id, False)
            for item in ending:
                await self._store.delete_relation(item.invitation.id)
            return
        left = await self._deregister(account, set())
        left += await self._undo(self._give_back(account), account)
        await self._store.delete_account(account.id, self._sealer.person, "; ".join(left))

    async def _give_back(self, account: AccountRecord) -> None:
        """Let the core forget an account, or whoever named it have it back."""
        if account.origin == "gateway":
            await self._provisioning.deprovision(self.core_account(account))
        elif self._sourcing is not None:
            await self._sourcing.release(account.uri)
        else:
            raise DriverError(f"its origin, {account.origin}, is not configured any more", temporary=False)

    async def _deregister(self, account: AccountRecord, needed: set[str]) -> list[str]:
        """Undo the second registrations but those for types that are ``needed``; return what was left behind."""
        left = []
        for kind in await self._store.registrations(account.id):
            if kind not in needed:
                left += await self._undo(self._interaction.deregister(account.uri, kind), account)
                await self._store.forget_registration(account.id, kind)
        return left

    async def _undo(self, step: Awaitable[None], account: AccountRecord) -> list[str]:
        """Run a step backwards. What refuses for good to be undone is logged and returned, and stops nothing else."""
        try:
            await step
        except (DriverError, SecretsError) as error:
            if isinstance(error, DriverError) and error.temporary and account.id not in self._purged:
                raise
            log.error("%s: left behind: %s", account.uri, error)
            return [str(error)]
        return []


async def _sleep(wakeup: asyncio.Event, seconds: float) -> None:
    """Wait for so long, or until there is something new to do."""
    try:
        async with asyncio.timeout(seconds):
            await wakeup.wait()
    except TimeoutError:
        pass


def core_account(sealer: Sealer, account: AccountRecord) -> CoreAccount:
    """Return an account as drivers see it."""

    def ha1(username: str, realm: str, algorithm: str) -> str:
        return sealer.ha1(account.sealed_secret, account.uri, username, realm, algorithm)

    def secret() -> str:
        return sealer.secret(account.sealed_secret, account.uri)

    return CoreAccount(account.uri, account.impi, account.realm, ha1, secret)
