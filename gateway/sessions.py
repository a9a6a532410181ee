"""Flow 2: who is logged in, by account and by Authorization header, from log-in to log-out, idleness and restart."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.admission import Admission, Lifecycle
from gateway.files.room import FileRoom
from gateway.files.transfers import GuestTransfers
from gateway.guest import GuestSession
from gateway.presence import Presence
from gateway.refusals import refusals
from gateway.relations import Relation
from gateway.ringing import ChatAnswer
from gateway.services import Ended, ServiceError
from gateway.storage.accountstore import AccountRecord
from gateway.storage.errors import StoreError
from gateway.storage.store import Store
from sipstack.net.useragent import AgentHandler, SilentAgent, UserAgent
from sipstack.sip.registration import Pacer
from translators.model import InviterView, LoginAnswer, format_time

T = TypeVar("T")

RECALLED = 256
"""Messages of inviters whose ids a new session knows, because they may be repeated (C-BR-11)."""

AUTHORIZATIONS = 32
"""Authorization headers that are remembered for one guest: the ways to write the same credentials have no end."""

STORE_PAUSE = 2.0
"""Seconds to wait when the store cannot be read."""

IDLE_CHECKS = 4
"""How often ``guest_idle`` is looked at in its own length."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What flow 2 takes from the configuration; times in seconds, sizes in bytes."""

    message_wait: float = 2.0
    register_timeout: float = 2.5
    ring_timeout: float = 30.0
    probe_interval: float = 60.0
    guest_idle: float = 300.0
    chat_idle: float = 300.0
    """0: chats stay open until somebody ends them."""
    chat_answer: ChatAnswer = "at-once"
    require_online: bool = False
    single_use: bool = False
    show_anonymous: bool = False
    """Whether an inviter who asks for privacy is taken all the same, and shown."""
    max_message_size: int = 1 << 20
    max_streams: int = 8
    max_chats: int = 16
    inbox_count: int = 1000
    inbox_bytes: int = 16 << 20
    register_pace: float = 200.0
    """Registrations a second after a restart."""


class Guests:
    """Everybody who is logged in: ``gateway.services.GuestService`` and what ``gateway.invitations`` asks for."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        make_agent: Callable[[AccountRecord, AgentHandler], UserAgent],
        presence: Presence,
        files: FileRoom | None = None,
    ) -> None:
        """``files``: where files are kept; None when no invitation is for them."""
        self.store = store
        self.files = files
        self.settings = settings
        self.presence = presence
        self.lifecycle: Lifecycle
        self.log = logging.LoggerAdapter(logging.getLogger("rcsgw.guests"))
        self._make_agent = make_agent
        self._by_account: dict[str, GuestSession] = {}
        self._by_authorization: dict[str, GuestSession] = {}
        # by account: what a log-in has to join or to wait for
        self._entering: dict[str, asyncio.Task[GuestSession]] = {}
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._forgotten = 0
        """How often secrets were forgotten: a check that was made before is void."""
        self._closing = False
        self.pacer = Pacer(settings.register_pace)  # for when many have to register
        self._idle_timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._by_account)

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something beside the caller; it is awaited at the end."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # start and stop

    async def start(self) -> None:
        """Register again whoever was logged in, paced, and send again what was not answered."""
        self._arm_idle_check()
        _ = self.spawn(self._restore())

    async def _restore(self) -> None:
        for account in await self._logged_in():
            if self._closing:
                return
            _ = self.spawn(self._restore_guest(account.uri))
            await asyncio.sleep(1 / self.settings.register_pace)

    async def _logged_in(self) -> list[AccountRecord]:
        while not self._closing:
            try:
                return await self.store.logged_in_accounts()
            except StoreError as error:
                self.log.error("who was logged in cannot be read: %s", error)
                await asyncio.sleep(STORE_PAUSE)
        return []

    async def _restore_guest(self, account: str) -> None:
        try:
            admission = await self.lifecycle.admission(account)
            if admission is not None:
                await self._log_in(admission)
        except (ServiceError, StoreError) as error:
            self.log.warning("%s: not registered again yet: %s", account, error)

    async def close(self, timeout: float) -> None:
        """Drain: dialogs end, registrations end, relations stay. ``timeout`` in seconds bounds it all."""
        self._closing = True
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self.presence.close()
        guests = list(self._by_account.values())
        self._by_account.clear()
        self._by_authorization.clear()
        for guest in guests:
            guest.feed.end()
        try:
            async with asyncio.timeout(timeout):
                closing = (guest.close("shutdown", final=False) for guest in guests)
                await asyncio.gather(*closing, *self._tasks, return_exceptions=True)
        except TimeoutError:
            self.log.warning("%d guests: shut down before all of their dialogs had ended", len(guests))

    def core_changed(self) -> int:
        """Have those register anew, in turn, whose node of the core is another one now; return how many they are."""
        return sum(guest.agent.move(self.pacer) for guest in self._by_account.values())

    # gateway.services.GuestService

    def known(self, authorization: str) -> GuestSession | None:
        """Return the guest whom this header has proven before."""
        return self._by_authorization.get(authorization)

    @property
    def single_use(self) -> bool:
        """Tell whether a secret is good for one client only."""
        return self.settings.single_use

    async def login(self, account: str, secret: str, client: str) -> LoginAnswer:
        """Check the secret and register at the core."""
        return self._login_answer(await self._enter(account, secret, client))

    async def authenticate(self, authorization: str, account: str, secret: str, client: str) -> GuestSession:
        """Check credentials seen for the first time; whoever holds them is logged in by that."""
        guest, invitation_id = await self._enter(account, secret, client)
        guest.authorizations[authorization] = invitation_id
        self._by_authorization[authorization] = guest
        if len(guest.authorizations) > AUTHORIZATIONS:
            oldest = next(iter(guest.authorizations))
            del guest.authorizations[oldest], self._by_authorization[oldest]
        return guest

    async def _enter(self, account: str, secret: str, client: str) -> tuple[GuestSession, int]:
        """Check a secret and log in; once more if secrets have died meanwhile, for this may be one of them."""
        while True:
            forgotten = self._forgotten
            admission = await self.lifecycle.check_secret(account, secret, client)
            guest = await self._log_in(admission)
            if self._by_account.get(guest.account) is not guest:
                raise Ended("The session has just ended.")
            if forgotten == self._forgotten:
                return guest, admission.invitation_id

    async def _log_in(self, admission: Admission) -> GuestSession:
        """Return the session of an account; of several log-ins at once all share one outcome."""
        uri = admission.account.uri
        entering = self._entering.get(uri)
        if entering is None:
            guest = self._by_account.get(uri)
            if guest is not None:
                await guest.login()
                return guest
            entering = self._entering[uri] = self.spawn(self._bring_in(admission))
            entering.add_done_callback(lambda task: self._brought_in(uri, task))
        return await asyncio.shield(entering)

    def _brought_in(self, uri: str, task: asyncio.Task[GuestSession]) -> None:
        del self._entering[uri]
        if not task.cancelled():
            task.exception()  # seen, even if everybody who waited has gone

    async def _bring_in(self, admission: Admission) -> GuestSession:
        """Make the session and register. If that fails nothing is left, unless the guest had been logged in before."""
        account = admission.account
        if account.uri in self._leaving:
            # The account's last session still writes and speaks to the core: neither may overtake us.
            await asyncio.wait({self._leaving[account.uri]})
        with refusals():
            guest = await self._begin(account)
        try:
            await guest.login()
        except BaseException:
            if self._by_account.get(account.uri) is guest and not account.logged_in:
                await self._discard(guest)
            else:
                _ = self.spawn(guest.go_on())
            raise
        await guest.go_on()
        self.log.info("%s: logged in, %d relations", guest.account, len(guest.relations))
        return guest

    async def _begin(self, account: AccountRecord) -> GuestSession:
        """Make a session of what the store knows now."""
        # Before the REGISTER: whoever dies between the two leaves no registration that nobody knows of.
        await self.store.set_logged_in(account.id, True)
        received = await self.store.received(account.id, RECALLED)
        admission = await self.lifecycle.admission(account.uri)
        if admission is None or admission.account.id != account.id:
            await self._note_logged_out(account.id, account.uri)
            raise Ended("The invitation has just ended.")
        records = await self.files.store.files(account.id) if self.files is not None else ()
        guest = self._session(admission)
        if self.files is not None:
            guest.transfers = GuestTransfers(self.files, guest, records)
        guest.recall(received)
        return guest

    async def _discard(self, guest: GuestSession) -> None:
        """Take back a log-in that failed. Where the core does not answer, nobody waits for it once more."""
        del self._by_account[guest.account]
        self._forget(guest)
        if guest.agent.registered:
            await guest.close("failed", final=False)
        else:
            await guest.agent.close(timeout=0)
        await self._note_logged_out(guest.account_id, guest.account)

    async def _note_logged_out(self, account_id: int, account: str) -> None:
        try:
            await self.store.set_logged_in(account_id, False)
        except StoreError as error:
            self.log.warning("%s: registers again after a restart: %s", account, error)

    def _session(self, admission: Admission) -> GuestSession:
        account = admission.account
        guest = GuestSession(self, account.id, account.uri, account.cursor)
        guest.agent = self._make_agent(account, guest)
        guest.agent.on_options = guest.options_received
        for relation in admission.relations:
            guest.relate(relation)
        self._by_account[account.uri] = guest
        return guest

    def _login_answer(self, entered: tuple[GuestSession, int]) -> LoginAnswer:
        guest = entered[0]
        relations = [relation for relation in guest.relations.values() if relation.until > time.time()]
        return LoginAnswer(
            account=guest.account,
            expires_at=format_time(max((relation.until for relation in relations), default=time.time())),
            inviters=[
                InviterView(
                    uid=relation.uid,
                    sip=relation.sip,
                    types=list(relation.types),
                    until=format_time(relation.until),
                    name=relation.name,
                )
                for relation in relations
            ],
        )

    # what gateway.invitations asks for

    def relation_changed(self, account: str, relation: Relation) -> None:
        """Take a new or renewed invitation of a guest who is logged in."""
        guest = self._by_account.get(account)
        if guest is not None:
            guest.relate(relation)

    def secret_ended(self, account: str, invitation_id: int) -> None:
        """Forget the headers that this invitation's secret has proven, and close what it may have opened."""
        guest = self._by_account.get(account)
        if guest is not None:
            self._forget(guest, invitation_id)
            guest.feed.end()  # whoever holds another secret comes back by themselves

    async def relation_ended(self, account: str, uid: str, reason: str) -> None:
        """BYE the chat with one inviter, delete their files; the guest goes on with the others."""
        await self._end_files(account, uid)
        guest = await self._present(account) or await self._brought_back(account)
        if guest is None:
            return
        relation = guest.relations.get(uid)
        if relation is not None:
            self._forget(guest, relation.invitation_id)
        await guest.end_relation(uid, reason)

    async def _brought_back(self, account: str) -> GuestSession | None:
        """Return the session of a guest who was logged in before a restart, and whose turn has not come yet."""
        admission = await self.lifecycle.admission(account)
        if admission is None or not admission.account.logged_in:
            return None
        with contextlib.suppress(ServiceError):
            await self._log_in(admission)
        return self._by_account.get(account)

    async def account_ended(self, account: str, reason: str) -> None:
        """BYE everything, REGISTER Expires 0, close the streams, delete the files, forget the guest."""
        await self._end_files(account, None)
        guest = await self._present(account)
        if guest is None:
            await self._end_earlier_session(account)
            return
        await self._drop(guest, reason, final=True)
        self.log.info("%s: session over: %s", account, reason)

    async def _end_files(self, account: str, uid: str | None) -> None:
        record = await self.store.account_by_uri(account) if self.files is not None else None
        if self.files is not None and record is not None:
            await self.files.relation_ended(record.id, uid)

    async def _present(self, account: str) -> GuestSession | None:
        """Return the session of an account, after a log-in that is under way."""
        entering = self._entering.get(account)
        if entering is not None:
            await asyncio.wait({entering})
        return self._by_account.get(account)

    async def _end_earlier_session(self, account: str) -> None:
        """De-register a guest whom a process that died had registered, and whose end was decided before it did."""
        record = await self.store.account_by_uri(account)
        if record is None or not record.logged_in:
            return
        agent = self._make_agent(record, SilentAgent())
        await agent.unregister(self.settings.register_timeout, left_behind=True)
        await agent.close(timeout=0)
        await self.store.set_logged_in(record.id, False)
        self.log.info("%s: session over: it was another process's", account)

    async def _drop(self, guest: GuestSession, reason: str, *, final: bool = False) -> None:
        """Take a guest out at once, then end what they had; a new log-in waits for that."""
        uri = guest.account
        self._by_account.pop(uri, None)
        self._forget(guest)
        leaving = self._leaving[uri] = self.spawn(self._leave(guest, reason, final))
        leaving.add_done_callback(lambda task: self._leaving.pop(uri))
        await asyncio.shield(leaving)

    async def _leave(self, guest: GuestSession, reason: str, final: bool) -> None:
        await guest.close(reason, final=final)
        if not final:
            await self._note_logged_out(guest.account_id, guest.account)

    def _forget(self, guest: GuestSession, invitation_id: int | None = None) -> None:
        self._forgotten += 1
        for authorization, known in list(guest.authorizations.items()):
            if invitation_id is None or known == invitation_id:
                del guest.authorizations[authorization]
                self._by_authorization.pop(authorization, None)

    # guests who went away without a word (design: step 12)

    def _arm_idle_check(self) -> None:
        if not self.settings.guest_idle:
            return  # nobody is ever taken for gone
        loop = asyncio.get_running_loop()
        self._idle_timer = loop.call_later(self.settings.guest_idle / IDLE_CHECKS, self._check_idle)

    def _check_idle(self) -> None:
        limit = time.monotonic() - self.settings.guest_idle
        for guest in list(self._by_account.values()):
            if not guest.is_busy and guest.feed.last_seen < limit and guest.account not in self._entering:
                _ = self.spawn(self._park(guest))
        self._arm_idle_check()

    async def _park(self, guest: GuestSession) -> None:
        """De-register a guest who is gone; the relation stays, the next log-in registers again."""
        if self._by_account.get(guest.account) is guest and not guest.is_busy:
            await self._drop(guest, "idle")
            self.log.info("%s: idle, de-registered", guest.account)
