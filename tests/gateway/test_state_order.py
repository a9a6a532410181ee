"""Guests see the states of their messages in the right order only, whatever crosses whatever: D-IMD-14.

Answers of the peer, reports, notifications, commits, losses, retries and reads come in any order, through the real
outbox, conversation, receipts and feed. A state that was seen never goes back: not from delivered to sent, not from
failed to anything, unless the guest has sent the message again. Events tell what was, so they may lag behind what is
read; each of the two is in order by itself, and nothing that is read is behind the events that came before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.outgoing import FOLLOWING
from gateway.presence import Watch
from gateway.services import ServiceError
from sipstack.im.cpim import CpimMessage
from sipstack.im.imdn import CONTENT_TYPE, Disposition, Imdn
from sipstack.msrp.message import MessageState
from tests.gateway.guest_helpers import (
    FakeChat,
    FakeIncoming,
    FakeMessage,
    House,
    SentPage,
    answer,
    deliver,
    send,
    send_in_haste,
    turns,
)
from translators.from_sip import PeerStatus
from translators.model import Event, MessageAnswer

RETRY = "retry"
"""Stands among the states where the guest has sent the message again."""

AGAIN = ("failed", "unknown")

MSRP_CHANGES = {
    MessageState.PENDING: (MessageState.SENT, MessageState.FAILED, MessageState.UNKNOWN),
    MessageState.SENT: (MessageState.FAILED,),
    MessageState.UNKNOWN: (MessageState.SENT, MessageState.FAILED),
    MessageState.FAILED: (),
}
"""What MSRP may tell of a message after what it has told."""

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(0, 1)),
        st.tuples(st.just("hasty"), st.integers(0, 1)),
        st.tuples(st.just("answer"), st.integers(0, 5), st.sampled_from(list(MessageState))),
        st.tuples(
            st.just("told"), st.integers(0, 1), st.sampled_from(["delivered", "displayed", "failed", "forbidden"])
        ),
        st.tuples(st.just("commit"), st.integers(1, 3)),
        st.tuples(st.sampled_from(["read", "poll", "turn", "lose", "forget"])),
    ),
    min_size=4,
    max_size=24,
)


class Play:
    """One guest with at most two messages, and all that is seen of them in the order in which it is seen."""

    def __init__(self, house: House, *, pages: bool) -> None:
        self.house = house
        self.pages = pages
        self.seen: dict[str, list[tuple[str, str]]] = {}
        """Id → where a state was seen (``event``, ``read``, ``sent`` for answers to sending), and the state."""
        self.ids: dict[int, str] = {}
        self.told: set[str] = set()
        self.on_wire: set[str] = set()
        self.failed: set[str] = set()
        self.tasks: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        self.guest = await self.house.login()
        self.guest.feed.subscribe(self._event)
        self.house.agent.chat_answer = None
        self.house.agent.answer_page = lambda page: None
        if self.pages:
            watch = self.house.presence._watches["sip:a@cc.com"] = Watch("sip:a@cc.com")
            watch.status = PeerStatus("online", ("standalone",))
        await turns()
        self.house.store.holds = True

    def _event(self, event: Event | None) -> None:
        if event is not None and event.receipt is not None:
            self.see(event.receipt.id, event.receipt.state, "event")
        elif event is not None and event.message is not None:
            self.see(event.message.id, event.message.state, "event")

    def see(self, id: str, state: str, place: str) -> None:
        self.seen.setdefault(id, []).append((place, state))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.ensure_future(work))

    # the steps

    async def do(self, name: str, *arguments: Any) -> None:
        await getattr(self, f"do_{name}")(*arguments)

    async def do_send(self, number: int, *, hasty: bool = False) -> None:
        id = self.ids.setdefault(number, self.guest.outbox._message_id(f"k{number}"))
        if id in self.seen:
            self.see(id, RETRY, "sent")
        self.spawn(self._send(number, hasty))
        await turns(1)

    async def do_hasty(self, number: int) -> None:
        await self.do_send(number, hasty=True)

    async def _send(self, number: int, hasty: bool) -> None:
        try:
            answered: MessageAnswer
            if hasty:
                answered = await send_in_haste(self.house, self.guest, "x", f"k{number}")
            else:
                answered = await send(self.guest, "x", f"k{number}")
        except ServiceError:
            return
        self.see(answered.id, answered.state, "sent")

    async def do_answer(self, number: int, state: MessageState) -> None:
        if self.pages:
            open_pages = [page for page in self.house.agent.pages if not page.answer.done()]
            if open_pages:
                self._answer_page(open_pages[number % len(open_pages)], state)
            return
        sent = [message for chat in self.house.agent.chats if not chat.closed for message in chat.sent]
        if sent:
            self._answer_message(sent[number % len(sent)], state)

    def _answer_page(self, page: SentPage, state: MessageState) -> None:
        status = {MessageState.SENT: 202, MessageState.FAILED: 480, MessageState.UNKNOWN: 408}.get(state)
        if state is MessageState.FAILED:
            self.failed.add(CpimMessage.parse(page.body).imdn_message_id or "")
        if status is not None:
            page.answer.set_result(answer(status))

    def _answer_message(self, message: FakeMessage, state: MessageState) -> None:
        if state in MSRP_CHANGES[message.state]:
            if state is MessageState.FAILED:
                self.failed.add(message.message_id)
            message.settle(state, {MessageState.SENT: 200, MessageState.FAILED: 403}.get(state))

    async def do_told(self, number: int, state: str) -> None:
        id = self.ids.get(number)
        self.on_wire |= {message.message_id for chat in self.house.agent.chats for message in chat.sent}
        self.on_wire |= {CpimMessage.parse(page.body).imdn_message_id or "" for page in self.house.agent.pages}
        if id not in self.on_wire:
            return
        if state in ("delivered", "displayed"):
            self.told.add(id)
        elif state == "failed":
            self.failed.add(id)
        kind = "display" if state == "displayed" else "delivery"
        body = bytes(Imdn(id, kind, Disposition(state)))  # type: ignore[arg-type]  # a Literal out of a test
        deliver(self.guest, FakeIncoming(body.decode(), "n", CONTENT_TYPE))

    async def do_commit(self, count: int) -> None:
        self.house.store.commit(count)

    async def do_read(self) -> None:
        async def read() -> None:
            for line in (await self.guest.messages(None, None, 100)).messages:
                self.see(line.id, line.state, "read")

        self.spawn(read())
        await turns(1)

    async def do_poll(self) -> None:
        async def poll() -> None:
            states: dict[str, str] = {}
            for event in await self.guest.feed.read(0) or ():
                if event.message is not None:
                    states[event.message.id] = event.message.state
            for id, state in states.items():
                self.see(id, state, "read")

        self.spawn(poll())
        await turns(1)

    async def do_turn(self) -> None:
        await turns(2)

    async def do_lose(self) -> None:
        chat = self.guest.conversation(self.guest.relations["a"]).chat
        if chat is None:
            return
        lost = cast(FakeChat, chat)
        for message in lost.sent:
            if message.state is MessageState.PENDING:
                message.settle(MessageState.UNKNOWN)
        lost.closed.append("lost")
        self.guest.conversation(self.guest.relations["a"]).chat_closed(chat, "connection-lost", None)

    async def do_forget(self) -> None:
        self.on_wire |= {message.message_id for chat in self.house.agent.chats for message in chat.sent}
        for chat in self.house.agent.chats:
            chat.sent[:] = [message for message in chat.sent if message.state is MessageState.PENDING]

    async def end(self) -> None:
        """Answer, commit and read all that is left."""
        self.house.store.holds = False
        for _ in range(8):
            self.house.store.commit()
            await turns(20)
            for chat in self.house.agent.chats:
                for message in chat.sent:
                    if message.state is MessageState.PENDING and not chat.closed:
                        message.settle(MessageState.SENT, 200)
            for page in self.house.agent.pages:
                if not page.answer.done():
                    page.answer.set_result(answer(200))
        await asyncio.wait_for(asyncio.gather(*self.tasks), 5)
        await self.do_read()
        await self.tasks[-1]


def follows(state: str, before: str | None) -> bool:
    """Tell whether a state may be seen after another one."""
    return before is None or state == before or state in FOLLOWING[before]


def check(seen: list[tuple[str, str]]) -> None:
    """Assert that all that was seen of one message is in order."""
    last: dict[str, str | None] = {"event": None, "read": None}
    retries = 0
    for place, state in seen:
        if state == RETRY:
            retries += 1
            continue
        if retries and place == "read" and last[place] in AGAIN:
            last[place] = None  # what was read may tell of the time before the retry
        if retries and state == "pending" and last["event"] in AGAIN:
            last["event"] = None  # sent again, as the guest wanted
        if place == "sent":
            continue  # of several calls at once, each is answered when its turn comes
        assert follows(state, last[place]), seen
        if place == "read" and not retries:
            assert follows(state, last["event"]), seen
        last[place] = state


def play(steps: list[tuple[Any, ...]], *, pages: bool) -> None:
    """Do the steps, and look at all that was seen."""

    async def run() -> None:
        actors = Play(House(), pages=pages)
        await actors.begin()
        for step in steps:
            await actors.do(*step)
        await actors.end()
        for id, seen in actors.seen.items():
            check(seen)
            final = seen[-1][1]
            assert final != "pending", seen
            if id in actors.told - actors.failed:  # whatever was known before (D-IMD-10)
                assert final in ("delivered", "displayed"), seen
            assert [state for place, state in seen if place == "event"][-1:] in ([], [final]), seen

    asyncio.run(run())


@settings(max_examples=80, deadline=None)
@given(STEPS)
def test_states_of_chats_go_forward(steps: list[tuple[Any, ...]]) -> None:
    # D-IMD-14, D-IMD-10
    play(steps, pages=False)


@settings(max_examples=80, deadline=None)
@given(STEPS)
def test_states_of_pages_go_forward(steps: list[tuple[Any, ...]]) -> None:
    # D-IMD-14, D-IMD-10
    play(steps, pages=True)
