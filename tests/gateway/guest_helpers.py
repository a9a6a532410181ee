"""Flow 2 without a network: a store, user agents and chats that do what a test says, when it says so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

from gateway.admission import Admission
from gateway.guest import GuestSession
from gateway.presence import Presence
from gateway.relations import Relation
from gateway.services import NotAuthenticated
from gateway.sessions import Guests, Settings
from gateway.storage.accountstore import AccountRecord
from gateway.storage.entrystore import Done, Entry, StateDone
from gateway.storage.errors import StoreError
from gateway.storage.store import Store
from sipstack.errors import LocalProtocolError, RequestFailed, SipstackError
from sipstack.msrp.message import IncomingMessage, MessageState
from sipstack.net.chat import ChatHandler, ChatSession
from sipstack.net.chatmessage import ChatMessage
from sipstack.net.features import CHAT_FEATURES
from sipstack.net.profile import RCS
from sipstack.net.useragent import AgentHandler, UserAgent
from sipstack.sip.message import Request, Response
from sipstack.sip.uri import Uri
from translators.model import Event, MessageAnswer, MessageRequest

ACCOUNT = "sip:b@cc.com"
SECRET = "right"


def relation(uid: str = "a", *, types: tuple[str, ...] = ("im",), ends_in: float = 1000.0, id: int = 1) -> Relation:
    """Return the relation to an inviter of cc.com."""
    sip = f"sip:{uid}@cc.com"
    return Relation(id, uid, sip, uid.upper(), (sip, f"tel:+1555010{id}"), types, time.time() + ends_in)


def account(cursor: int = 0) -> AccountRecord:
    """Return the account of the guest."""
    return AccountRecord(
        id=1,
        uri=ACCOUNT,
        impi="b",
        realm="cc.com",
        identifier_kind="email",
        identifier="b@cc.com",
        sealed_secret=b"",
        contact_token="token",
        instance_id="urn:uuid:0",
        origin="gateway",
        provisioned=True,
        logged_in=False,
        cursor=cursor,
        created_at=0.0,
    )


def refusal(status: int) -> RequestFailed:
    """Return what a refused request raises."""
    headers = [("Via", "SIP/2.0/TCP x"), ("From", "<sip:b@cc.com>;tag=1"), ("To", "<sip:a@cc.com>")]
    request = Request("INVITE", "sip:a@cc.com", [*headers, ("Call-ID", "1"), ("CSeq", "1 INVITE")])
    return RequestFailed(Response.for_request(request, status, to_tag="2"))


def answer(status: int) -> Response:
    """Return a final response."""
    response = refusal(status).response
    assert isinstance(response, Response)
    return response


class FakeStore:
    """Keeps rows in a list. With ``holds`` nothing is committed before :meth:`commit`; ``broken`` fails everything."""

    def __init__(self) -> None:
        self.rows: dict[int, Entry] = {}
        self.holds = False
        self.broken = False
        self.logged_in: list[bool] = []
        self.reading: asyncio.Event | None = None
        self._waiting: list[Callable[[], None]] = []

    def append(self, entry: Entry, done: Done) -> None:
        def write() -> None:
            if self.broken:
                done(entry, StoreError("disk full"))
                return
            entry.taken = True
            self.rows[entry.cursor] = replace(entry)
            done(entry, None)

        self._do(write)

    def set_state(self, account_id: int, cursor: int, state: str, done: StateDone | None = None) -> None:
        def write() -> None:
            arrived = cursor in self.rows and self.rows[cursor].state in ("delivered", "displayed")
            if not self.broken and cursor in self.rows and (state == "displayed" or not arrived):
                self.rows[cursor].state = state
            if done is not None:
                done(StoreError("disk full") if self.broken else None)

        self._do(write)

    def _do(self, write: Callable[[], None]) -> None:
        self._waiting.append(write)
        if not self.holds:
            asyncio.get_running_loop().call_soon(self.commit)

    def commit(self, count: int | None = None) -> None:
        """Do what waits, or the first ``count`` of it."""
        taken = self._waiting[:count]
        del self._waiting[: len(taken)]
        for write in taken:
            write()

    async def _read(self, entries: Sequence[Entry]) -> list[Entry]:
        found = [replace(entry) for entry in entries]
        await asyncio.sleep(0)
        if self.reading is not None:
            await self.reading.wait()
        if self.broken:
            raise StoreError("disk full")
        return found

    async def events_after(self, account_id: int, after: int, limit: int) -> list[Entry] | None:
        return await self._read([entry for entry in self.sorted() if entry.cursor > after][:limit])

    async def conversation(self, account_id: int, uid: str | None, before: int | None, limit: int) -> list[Entry]:
        known = [entry for entry in self.sorted() if entry.kind == "message" and uid in (None, entry.uid)]
        return await self._read([entry for entry in known if before is None or entry.cursor < before][-limit:])

    async def find_message(self, account_id: int, id: str) -> Entry | None:
        found = await self._read([entry for entry in self.sorted() if entry.id == id and entry.direction == "out"])
        return found[-1] if found else None

    async def unresolved(self, account_id: int) -> list[Entry]:
        return await self._read([entry for entry in self.sorted() if entry.state == "pending"])

    async def advance(
        self, account_id: int, direction: str, uid: str | None, id: str, state: str, before: Sequence[str]
    ) -> tuple[Entry, bool] | None:
        done: asyncio.Future[tuple[Entry, bool] | None] = asyncio.get_running_loop().create_future()

        def write() -> None:
            if self.broken:
                done.set_exception(StoreError("disk full"))
                return
            rows = self.sorted()
            found = [row for row in rows if (row.direction, row.id) == (direction, id) and uid in (None, row.uid)]
            changed = bool(found) and found[-1].state in before
            if changed:
                found[-1].state = state
            done.set_result((replace(found[-1]), changed) if found else None)

        self._do(write)
        return await done

    async def received(self, account_id: int, limit: int) -> list[tuple[str, str]]:
        return []

    async def set_logged_in(self, account_id: int, logged_in: bool) -> None:
        await asyncio.sleep(0)
        if self.broken:
            raise StoreError("disk full")
        self.logged_in.append(logged_in)

    async def account_by_uri(self, uri: str) -> AccountRecord | None:
        return account()

    async def logged_in_accounts(self) -> list[AccountRecord]:
        if self.broken:
            raise StoreError("disk full")
        return [account()] if self.logged_in[-1:] == [True] else []

    def sorted(self) -> list[Entry]:
        """Return the rows in the order of their cursors."""
        return [self.rows[cursor] for cursor in sorted(self.rows)]


@dataclass
class FakeMessage:
    """A message as MSRP tells of it."""

    body: str
    message_id: str
    on_done: Callable[[Any], None]
    state: MessageState = MessageState.PENDING
    status: int | None = None
    tag: Any = None
    notify: bool = False
    session: Any = None

    def settle(self, state: MessageState, status: int | None = None) -> None:
        """Tell its owner what became of it."""
        self.state, self.status = state, status
        self.on_done(self)


@dataclass(eq=False)
class FakeChat:
    """An open chat; ``answer`` is what every message gets at once, None for silence."""

    handler: ChatHandler
    answer: tuple[MessageState, int | None] | None = (MessageState.SENT, 200)
    sent: list[FakeMessage] = field(default_factory=list)
    closed: list[str | None] = field(default_factory=list)
    takes_composing: bool = False
    was_connected: bool = True

    def send(
        self,
        body: str,
        content_type: str,
        *,
        message_id: str,
        notify: bool,
        on_done: Callable[[Any], None],
        tag: Any,
    ) -> FakeMessage:
        if self.closed:
            raise LocalProtocolError("the MSRP session is closed")
        message = FakeMessage(body, message_id, on_done, tag=tag, notify=notify, session=SimpleNamespace(owner=self))
        self.sent.append(message)
        if self.answer is not None:
            asyncio.get_running_loop().call_soon(message.settle, *self.answer)
        return message

    def find_message(self, message_id: str) -> FakeMessage | None:
        return next((message for message in self.sent[::-1] if message.message_id == message_id), None)

    @property
    def is_busy(self) -> bool:
        return any(message.state is MessageState.PENDING for message in self.sent)

    def hang_up(self, reason: str | None = None) -> None:
        self.closed.append(reason)
        self.handler.chat_closed(cast(ChatSession, self), "local", None)

    async def close(self, reason: str | None = None) -> None:
        self.closed.append(reason)
        for message in self.sent:
            if message.state is MessageState.PENDING:
                message.settle(MessageState.UNKNOWN)
        await asyncio.sleep(0)


@dataclass
class SentPage:
    """A SIP MESSAGE of the guest; set ``answer`` to let it go on."""

    target: str
    body: bytes
    content_type: str
    headers: dict[str, str]
    answer: asyncio.Future[Response]


class FakeAgent:
    """A user agent: ``registering`` and ``inviting`` hold back what comes of it, ``failure`` lets it fail."""

    def __init__(self) -> None:
        self.registered = False
        self.features = CHAT_FEATURES
        self.profile = RCS
        self.on_options: Any = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: SipstackError | None = None
        self.options_failure: SipstackError | None = None
        self.options_status = 200
        self.asked: list[str] = []
        self.registers = 0
        self.invites = 0
        self.chats: list[FakeChat] = []
        self.chat_answer: tuple[MessageState, int | None] | None = (MessageState.SENT, 200)
        self.closed: list[float] = []
        self.leaving: asyncio.Event | None = None
        self.endpoint = SimpleNamespace(date=lambda: "2026-11-22T10:15:31Z")
        self.pages: list[SentPage] = []
        self.answer_page: Callable[[SentPage], int | Exception | None] = lambda page: 200
        """Returns the status of the answer to a SIP MESSAGE, what it fails with, or None: the test answers it."""

    async def message(
        self, uri: Uri, body: bytes, content_type: str, *, headers: Iterable[tuple[str, str]] = ()
    ) -> Response:
        page = SentPage(str(uri), body, content_type, dict(headers), asyncio.get_running_loop().create_future())
        self.pages.append(page)
        await asyncio.sleep(0)
        outcome = self.answer_page(page)
        if isinstance(outcome, Exception):
            raise outcome
        return await page.answer if outcome is None else answer(outcome)

    async def register(self) -> None:
        self.registers += 1
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.registered = True

    async def options(self, uri: Uri) -> Response:
        self.asked.append(str(uri))
        await self.gate.wait()
        if self.options_failure is not None:
            raise self.options_failure
        headers = [("Contact", "<sip:x@y>;+g.oma.sip-im")] if self.options_status == 200 else []
        request = refusal(200).response
        assert isinstance(request, Response)
        return Response(self.options_status, headers=[*request.headers.items(), *headers])

    async def invite(self, uri: Uri, handler: ChatHandler, *, headers: object, timeout: float) -> FakeChat:
        self.invites += 1
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        chat = FakeChat(handler, self.chat_answer)
        self.chats.append(chat)
        return chat

    async def close(self, timeout: float = 4.0) -> None:
        self.closed.append(timeout)
        if self.leaving is not None:
            await self.leaving.wait()
        self.registered = False


class FakeLifecycle:
    """Flow 1 as flow 2 sees it."""

    def __init__(self, *relations: Relation) -> None:
        self.relations: tuple[Relation, ...] = relations or (relation(),)
        self.cursor = 0
        self.ended: list[tuple[str, str]] = []
        self.prepared: list[tuple[str, str]] = []
        self.failure: Exception | None = None
        self.secret = SECRET

    async def check_secret(self, uri: str, secret: str, client: str) -> Admission:
        if secret != self.secret:
            raise NotAuthenticated("wrong")
        return Admission(account(self.cursor), 1, self.relations)

    async def admission(self, uri: str) -> Admission | None:
        await asyncio.sleep(0)
        return Admission(account(self.cursor), 0, self.relations) if self.relations else None

    async def ensure_registered(self, uri: str, kind: str) -> None:
        self.prepared.append((uri, kind))
        if self.failure is not None:
            raise self.failure

    async def end_account(self, uri: str, reason: str) -> None:
        self.ended.append((uri, reason))


class House:
    """Guests with all their surroundings; :meth:`guest` is the one of :data:`ACCOUNT`, logged in."""

    def __init__(self, *relations: Relation, **settings: Any) -> None:
        self.store = FakeStore()
        self.lifecycle = FakeLifecycle(*relations)
        self.agents: list[FakeAgent] = []
        self.prepare_agent: Callable[[FakeAgent], None] = lambda agent: None
        self.settings = Settings(**{"message_wait": 10.0, "register_timeout": 10.0, **settings})
        self.presence = Presence(self.settings.probe_interval, 10)
        self.guests = Guests(cast(Store, self.store), self.settings, self._make_agent, self.presence)
        self.guests.lifecycle = self.lifecycle

    def _make_agent(self, record: AccountRecord, handler: AgentHandler) -> UserAgent:
        agent = FakeAgent()
        self.prepare_agent(agent)
        self.agents.append(agent)
        return cast(UserAgent, agent)

    @property
    def agent(self) -> FakeAgent:
        """The newest user agent."""
        return self.agents[-1]

    async def login(self, header: str = "Basic x", secret: str = SECRET) -> GuestSession:
        """Log in by a header."""
        return await self.guests.authenticate(header, ACCOUNT, secret, "127.0.0.1")


async def turns(count: int = 10) -> None:
    """Let everything run that can run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def send(guest: GuestSession, text: str, key: str | None = None, to: str = "a") -> MessageAnswer:
    """Send a message."""
    return await guest.send(MessageRequest(to=to, message=text), key)


async def send_in_haste(house: House, guest: GuestSession, text: str, key: str | None = None) -> MessageAnswer:
    """Send a message whose answer is awaited for some milliseconds only."""
    patient = house.guests.settings
    house.guests.settings = replace(patient, message_wait=0.01)
    try:
        return await send(guest, text, key)
    finally:
        house.guests.settings = patient


class FakeIncoming:
    """A message of the peer; ``answer`` is what it was answered with."""

    def __init__(self, text: str = "hello", message_id: str = "m1", content_type: str = "text/plain") -> None:
        self.body = text.encode()
        self.message_id = message_id
        self.content_type = content_type
        self.answer: int | None = None

    def accept(self) -> None:
        assert self.answer is None
        self.answer = 200

    def reject(self, code: int, comment: str = "") -> None:
        assert self.answer is None
        self.answer = code


def deliver(guest: GuestSession, incoming: FakeIncoming, uid: str = "a") -> FakeIncoming:
    """Let a message of an inviter arrive."""
    conversation = guest.conversation(guest.relations[uid])
    conversation.chat_message(cast(ChatSession, None), ChatMessage(cast(IncomingMessage, incoming)))
    return incoming


def listen(guest: GuestSession) -> list[Event | None]:
    """Return a list that every event is added to."""
    heard: list[Event | None] = []
    guest.feed.subscribe(heard.append)
    return heard


def states(heard: Sequence[Event | None]) -> list[tuple[str, str]]:
    """Return id and state of all receipts."""
    return [(event.receipt.id, event.receipt.state) for event in heard if event is not None and event.receipt]
