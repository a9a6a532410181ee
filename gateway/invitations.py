"""Flow 1: what subscribers and the end of a guest's session ask of the life of invitations."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from gateway.accountsource import AccountSource, needs_registration
from gateway.admission import Admission
from gateway.allocation import Allocation
from gateway.audit import Auditor
from gateway.config.settings import Config
from gateway.delivery.base import DeliveryDriver
from gateway.delivery.links import secret_of
from gateway.delivery.receipts import Receipts
from gateway.delivery.words import load as load_wording
from gateway.delivery.worker import DeliveryWorker
from gateway.drivers import DriverError
from gateway.entrance import Entrance, canonical, relation_of
from gateway.expiry import Expiry
from gateway.interaction.base import InteractionDriver
from gateway.inviterfeed import InviterFeed, InviterFeeds, invitation_view, notice
from gateway.lifecycle import GuestControl, Lifecycle
from gateway.naming import Names
from gateway.numbers import read_identifier, read_number
from gateway.orders import Orders
from gateway.policy import check_inviter, check_resend, check_state, interaction_types, validity
from gateway.provisioning.base import ProvisioningDriver
from gateway.reconciling import Reconciling
from gateway.refusals import deadline, refusals
from gateway.secrets import Sealer, hash_login_secret, new_login_secret
from gateway.services import (
    Conflict,
    Ended,
    Inviter,
    NotFound,
    Unprocessable,
)
from gateway.sourcing import Sourcing
from gateway.standing import Standing
from gateway.storage.invitationstore import Invited, Tombstone
from gateway.storage.store import Store
from gateway.users.base import StateUsers, UsersDriver
from translators.from_http import invitee
from translators.model import InvitationView, InviteRequest, LookupAnswer

log = logging.getLogger("rcsgw.invitations")

ANSWER_WITHIN = 2.5
"""Seconds after which an inviter or a guest gets an answer, whatever is still being retried."""


class Invitations:
    """:class:`gateway.services.InviterService`, and what ``gateway.sessions`` asks for."""

    def __init__(
        self,
        config: Config,
        store: Store,
        sealer: Sealer,
        *,
        users: UsersDriver,
        provisioning: ProvisioningDriver,
        interaction: InteractionDriver,
        delivery: Mapping[str, DeliveryDriver],
        guests: GuestControl,
        source: AccountSource | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``delivery`` maps the name of a channel, such as ``email``, to what delivers there; ``source`` names accounts
        instead of us; ``clock`` returns Unix seconds."""
        self._store = store
        self._config = config
        self._users = users
        self._sealer = sealer
        self._guests = guests
        self._clock = clock
        self._feeds = InviterFeeds(store, config.http.max_streams + config.http.max_polls)
        self._sourcing = Sourcing(source, store, sealer) if source is not None else None
        self._recovering: asyncio.Task[None] | None = None
        self._lifecycle = Lifecycle(
            store, config, provisioning, interaction, sealer, self._feeds, guests, clock, self._sourcing
        )
        self._lifecycle.on_active = self._active
        typed = config.client.link == "account"
        templates = config.file(config.delivery.templates) if config.delivery.templates else None
        self._worker = DeliveryWorker(
            store,
            config.delivery,
            delivery,
            sealer,
            self._feeds,
            clock,
            public_url=config.gateway.public_url,
            wording=load_wording(templates, typed_password=typed),
            typed_password=typed,
        )
        self._expiry = Expiry(store, self._lifecycle, config.limits, clock, never_came=config.policy.never_came)
        self._standing = self._watch_inviters(users)
        names = self._sourcing or Names(store, config, users, provisioning, sealer)
        self._allocation = Allocation(
            store, config, users, names, self._lifecycle, delivery.keys(), sealer, self._feeds, clock
        )
        self._entrance = Entrance(store, sealer, clock, single_use=config.policy.single_use)
        self.auditor = Auditor(
            store, config, provisioning, interaction, self._lifecycle.core_account, self._lifecycle.lock
        )
        self._reconciling = Reconciling(store, self._lifecycle, self.auditor, config.provisioning.reconcile)
        self.orders = Orders(store, self)
        self._registering: dict[tuple[str, str], asyncio.Task[None]] = {}

    # life

    async def start(self) -> None:
        """Go on where the last process stopped: finish or undo, deliver, expire."""
        await self._feeds.start()
        if self._sourcing is not None:
            self._recovering = asyncio.get_running_loop().create_task(self._sourcing.run(self._lifecycle.lock))
        await self._worker.start()
        self._expiry.start()
        self._reconciling.start()
        self.orders.start()
        if self._standing is not None:
            self._standing.start()

    async def close(self) -> None:
        """Stop; what is half done is finished by the next start."""
        await self.orders.close()
        await self._reconciling.close()
        await self._expiry.close()
        if self._standing is not None:
            await self._standing.close()
        tasks = list(self._registering.values())
        if self._recovering is not None:
            tasks.append(self._recovering)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._feeds.close()
        await self._worker.close()
        await self._lifecycle.close()

    def _watch_inviters(self, users: UsersDriver) -> Standing | None:
        """Return what ends the invitations of suspended subscribers; DriverError where their state can't be told."""
        policy = self._config.policy
        if policy.on_suspend == "keep":
            return None
        if not isinstance(users, StateUsers):
            raise DriverError('policy.on_suspend = "end" needs a users driver that tells states', temporary=False)
        return Standing(self._store, self._lifecycle, users, policy.suspend_check)

    def _active(self, invited: Invited) -> None:
        self._worker.wake()
        self._guests.relation_changed(invited.account.uri, relation_of(invited))
        idle_end = self._clock() + (self._config.policy.never_came or math.inf)
        self._expiry.arm(min(invited.invitation.expires_at, idle_end))

    # gateway.services.InviterService

    async def authenticate(self, user_id: str, password: str, address: str) -> Inviter:
        """Ask the users driver."""
        with refusals():
            return await self._users.authenticate(user_id, password)

    async def lookup(self, inviter: Inviter, identifier: str) -> LookupAnswer:
        """Ask the users driver about somebody."""
        check_state(inviter)
        parsed = read_identifier(identifier, self._config.gateway.region)
        if parsed is None:
            raise Unprocessable("identifier is neither an e-mail address nor a number nor a SIP URI.")
        with refusals():
            answer = await self._allocation.lookup(parsed)
        return LookupAnswer(identifier=identifier, known=answer.known, sip=answer.sip)

    async def invite(self, inviter: Inviter, request: InviteRequest) -> InvitationView:
        """Invite; the same inviter gets the same invitation again while it lasts."""
        until = time.monotonic() + ANSWER_WITHIN
        policy = self._config.policy
        identifier = invitee(request, partial(read_number, region=self._config.gateway.region))
        check_inviter(inviter, policy)
        types = interaction_types(request.types, policy)
        valid_for = validity(request.valid_for, policy)
        channels = self._allocation.channels(identifier, request.via)
        with refusals():
            async with deadline(until):
                await self._allocation.check_not_subscriber(identifier)
            invited, is_new = await self._allocation.allocate(
                inviter, request, identifier, types, valid_for, channels, until
            )
        if is_new or invited.invitation.state == "preparing":
            return await self._prepared(invited, until)
        return invitation_view(invited)

    async def list(self, inviter: Inviter) -> list[InvitationView]:
        """Return the inviter's invitations, oldest first."""
        with refusals():
            return [invitation_view(item) for item in await self._store.invitations(uid=inviter.uid)]

    async def resend(self, inviter: Inviter, account: str) -> InvitationView:
        """Replace the secret and queue the mail again."""
        check_inviter(inviter, self._config.policy)
        with refusals():
            invited = await self._find(inviter, account)
            invitation, delivery = invited.invitation, invited.delivery
            if invitation.state != "active" or delivery is None:
                raise Conflict("The invitation is not active.")
            now = self._clock()
            if delivery.state != "failed":
                check_resend(delivery.queued_at, self._config.policy, now)
            secret = new_login_secret()
            dead = Tombstone(self._sealer.tombstone(invited.account.uri, invitation.secret_hash), "replaced", now)
            sealed = self._sealer.seal(self._allocation.link(invited.account.uri, secret), invited.account.uri)
            delivery.state, delivery.error, delivery.attempts, delivery.tried = "queued", "", 0, ()
            delivery.channel = delivery.channels[0]
            message_id, told = self._allocation.new_message_id(), notice(invited, now)
            events = await self._store.renew_secret(
                invitation.id, invitation.secret_hash, hash_login_secret(secret), sealed, message_id, dead, told
            )
            if not events:
                raise Conflict("The invitation has just ended, or its link has just been sent again.")
        self._feeds.publish(events)
        self._guests.secret_ended(invited.account.uri, invitation.id)
        self._worker.wake()
        return invitation_view(invited)

    async def revoke(self, inviter: Inviter, account: str) -> None:
        """End the invitation that joins the two."""
        with refusals():
            await self._end([await self._find(inviter, account)], "revoked")

    async def logout(self, inviter: Inviter) -> int:
        """End all invitations of the inviter."""
        with refusals():
            known = await self._store.invitations(uid=inviter.uid, states=("preparing", "active"))
            await self._end(known, "inviter-logout")
        return len(known)

    def feed(self, inviter: Inviter) -> InviterFeed:
        """Return the inviter's events."""
        return self._feeds.feed(inviter.uid)

    # gateway.deliveryservices.LinkService

    @property
    def receipts(self) -> Receipts:
        """Return what takes the receipts of deliveries."""
        return self._worker.receipts

    async def resolve(self, token: str) -> str | None:
        """Find the invitation by the hash of its secret, which is what the token says."""
        secret = secret_of(token)
        if secret is None:
            return None
        with refusals():
            known = await self._store.invitations(secret_hash=hash_login_secret(secret), states=("active",))
        for item in known:
            if item.invitation.expires_at > self._clock():
                return self._allocation.link(item.account.uri, secret)
        return None

    # what gateway.sessions asks for

    async def check_secret(self, account: str, secret: str, client: str = "") -> Admission:
        """Return what a login secret opens; see :meth:`gateway.entrance.Entrance.check_secret`."""
        return await self._entrance.check_secret(account, secret, client)

    async def admission(self, account: str) -> Admission | None:
        """Return what an account may do that was logged in before a restart; None when nothing is left of it."""
        return await self._entrance.admission(account)

    async def ensure_registered(self, account: str, kind: str) -> None:
        """Do the second registration if it is due at the first message; raises the refusal when it fails."""
        if self._config.interaction.register_at == "invite":
            return
        key = account, kind
        task = self._registering.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._register_late(account, kind))
            self._registering[key] = task
            task.add_done_callback(lambda task: self._registered(key, task))
        with refusals():
            await asyncio.shield(task)

    async def _register_late(self, account: str, kind: str) -> None:
        record = await self._store.account_by_uri(account)
        if record is None:
            raise Ended("The account is no more.")
        # not while it is taken down: the server would know the account after it has been deleted
        async with self._lifecycle.lock(record.identifier_kind, record.identifier):
            known = await self._store.invitations(account_id=record.id, states=("active",))
            if not any(kind in item.invitation.types for item in known):
                raise Ended("The invitation has just ended.")
            registrations = await self._store.registrations(record.id)
            if needs_registration(record.origin) and not registrations.get(kind):
                await self._lifecycle.register(record, kind)

    def _registered(self, key: tuple[str, str], task: asyncio.Task[None]) -> None:
        del self._registering[key]
        if not task.cancelled() and task.exception() is not None:
            log.info("%s: not registered for %s: %s", *key, task.exception())

    async def end_account(self, account: str, reason: str) -> None:
        """End all relations of an account; returns when it is done, or goes on being done."""
        with refusals():
            known = await self._store.invitations(account_uri=canonical(account), states=("preparing", "active"))
            await self._end(known, reason)

    # operators

    async def revoke_for_operator(self, account: str, uid: str) -> str:
        """End an account's invitations, or only that of one inviter; return in a sentence what came of it."""
        known = await self._store.invitations(account_uri=canonical(account), uid=uid or None)
        await self._end(known, "operator")
        if not known:
            return "There is no such invitation."
        left = await self._store.invitations(account_uri=canonical(account), uid=uid or None)
        return "It has ended." if not left else "It is over; taking it down goes on: the network does not answer."

    async def purge_for_operator(self, account: str) -> str:
        """Delete an account whatever the network says; return in a sentence what came of it."""
        record = await self._store.account_by_uri(canonical(account))
        if record is None:
            return "There is no such account."
        await self._lifecycle.purge(record)
        return "It is deleted."

    # steps

    async def _prepared(self, invited: Invited, until: float) -> InvitationView:
        """Wait for the steps of an invitation as long as the inviter waits; raises what has failed for good."""
        outcome = self._lifecycle.outcome(invited.invitation.id)
        task = self._lifecycle.settle(invited.account.id)
        timeout = max(until - time.monotonic(), 0)
        await asyncio.wait({outcome, task}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if outcome.done() and outcome.exception() is not None:
            # what was done is being undone: better when that is over, too
            await asyncio.wait({task}, timeout=max(until - time.monotonic(), 0))
        with refusals():
            if outcome.done():
                outcome.result()
            known = await self._store.invitations(account_id=invited.account.id, uid=invited.invitation.uid)
        state = known[0].invitation.state if known else "ended"
        if state != "preparing":
            self._lifecycle.forget_outcome(invited.invitation.id)
        if state in ("preparing", "active"):
            return invitation_view(known[0])
        # it ended while we joined it: by its inviter, or because a step of it failed before we asked
        raise Conflict("The invitation has ended before it was ready.", retry_after=2)

    # ends

    async def _find(self, inviter: Inviter, account: str) -> Invited:
        for item in await self._store.invitations(account_uri=canonical(account), uid=inviter.uid):
            return item
        raise NotFound("You have no invitation of this account.")

    async def _end(self, ending: Sequence[Invited], reason: str) -> None:
        """End invitations and wait until they are taken down, as long as somebody waits for the answer."""
        fresh = [item for item in ending if item.invitation.state != "ending"]
        if fresh:
            await self._lifecycle.end(fresh, reason)
        tasks = {self._lifecycle.settle(item.account.id) for item in ending}
        if tasks:
            await asyncio.wait(tasks, timeout=ANSWER_WITHIN)
