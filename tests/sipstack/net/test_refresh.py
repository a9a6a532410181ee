"""Session timers of sessions that run: both roles, by UPDATE and re-INVITE, on a clock that the tests move."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sipstack.errors import RequestFailed, TransactionTimeout
from sipstack.msrp.message import MessageState
from sipstack.net import refresh
from sipstack.net.chat import ChatSession
from sipstack.net.refresh import Refreshing
from sipstack.sip import dialog
from sipstack.sip.message import Request, Response
from sipstack.sip.transaction import ServerTransaction
from tests.utils import Clock

from .filehelpers import SMALL, Files, MemoryFile, describe, file_pair
from .helpers import B, Chats, World, pair, until


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Session timers know this time only; it lies so far ahead that none of them fires by itself."""
    clock = Clock(1e9)
    monkeypatch.setattr(Refreshing, "_now", lambda self: clock())
    return clock


def wait(clock: Clock, chat: ChatSession, seconds: float) -> None:
    """Let the session timer of ``chat`` look at its clock after that time."""
    clock.advance(seconds)
    chat.refreshing._timed_out()


def rewrite(around: World, method: str, name: str, change: Callable[[str], str]) -> None:
    """Have the core change a header of all requests of this method, and of the responses to them."""

    def changed(message: Request | Response) -> None:
        text = message.headers.get(name)
        if text is not None and message.cseq.method == method:
            message.headers.set(name, change(text))

    around.core.rewrite = changed


def no_update(around: World) -> None:
    rewrite(around, "INVITE", "Allow", lambda text: text.replace(", UPDATE", ""))


def caller_refreshes(around: World) -> None:
    rewrite(around, "INVITE", "Session-Expires", lambda text: text if "refresher" in text else f"{text};refresher=uac")


def caller_refreshes_by_invite(around: World) -> None:
    def changed(message: Request | Response) -> None:
        headers = message.headers
        if message.cseq.method == "INVITE":
            headers.set("Allow", "INVITE")
            expires = headers.get("Session-Expires", "")
            if isinstance(message, Request) and "refresher" not in expires:
                headers.set("Session-Expires", f"{expires};refresher=uac")

    around.core.rewrite = changed


def requests(around: World, method: str) -> list[Request]:
    return [request for request in around.core.requests if request.method == method]


def answer_with(around: World, *statuses: int, headers: list[tuple[str, str]] | None = None) -> list[Request]:
    """Have the core answer the next INVITEs and UPDATEs inside the dialog; return where they are noted."""
    noted: list[Request] = []
    usual = around.core.endpoint.on_request
    assert usual is not None

    def request(transaction: ServerTransaction, request: Request) -> bool:
        if request.method in ("INVITE", "UPDATE") and request.to.tag is not None and len(noted) < len(statuses):
            noted.append(request)
            around.core.endpoint.reply(transaction, statuses[len(noted) - 1], headers=headers or [])
            return True
        return usual(transaction, request)

    around.core.endpoint.on_request = request
    return noted


async def test_callee_refreshes_by_update(clock: Clock) -> None:
    """A-STM-01, A-STM-03, A-STM-04: nobody was asked for, so that the callee does it, at half the time."""
    async with pair() as (around, agent, _, phone):
        chats = Chats()
        chat = await agent.invite(B, chats)
        [invite] = requests(around, "INVITE")
        assert "timer" in invite.supported and invite.headers.get("Session-Expires") == "1800"
        other = phone.open[0]
        await until(lambda: other.dialog is not None and other.dialog.may_end)
        wait(clock, other, 899.0)
        assert not requests(around, "UPDATE")
        wait(clock, other, 1.0)
        await until(lambda: other.refreshing._client is None)
        [update] = requests(around, "UPDATE")
        assert update.body == b"" and "timer" in update.supported
        assert update.headers.get("Session-Expires") == "1800;refresher=uac"
        wait(clock, chat, 900.0)
        assert chat.is_open, "it was refreshed"
        wait(clock, chat, 868.0)
        await until(lambda: phone.chats.closed)
        assert chats.closed[0][1] == "expired" and isinstance(chats.closed[0][2], TransactionTimeout)
        [bye] = requests(around, "BYE")
        assert bye.headers.get("Reason") == 'SIP;cause=408;text="Session expired"'


@pytest.mark.parametrize("who", ["caller", "callee"])
async def test_refresh_by_invite_changes_nothing(clock: Clock, who: str) -> None:
    """A-STM-04, A-STM-05, B-CHT-18: where the peer's Allow has no UPDATE; the o= line and the connection stay."""
    async with pair() as (around, agent, _, phone):
        (caller_refreshes_by_invite if who == "caller" else no_update)(around)
        chat = await agent.invite(B, Chats())
        await chat.deliver("hello")
        other = phone.open[0]
        connections = chat.msrp.connection, other.msrp.connection
        refresher = chat if who == "caller" else other
        said = refresher.say_again()
        wait(clock, refresher, 900.0)
        assert not refresher.invite_again(), "one at a time"
        await until(lambda: refresher.refreshing._machine.get_timer() == clock() + 900.0)
        first, again = (request.body for request in requests(around, "INVITE"))
        assert again == said and (who == "callee" or again == first)
        assert requests(around, "INVITE")[-1].headers.get("Session-Expires") == "1800;refresher=uac"
        assert (chat.msrp.connection, other.msrp.connection) == connections
        await until(lambda: all(one.dialog and one.dialog.may_offer for one in (chat, other)))
        assert (await chat.deliver("again")).state is (await other.deliver("back")).state is MessageState.SENT
        assert not requests(around, "UPDATE")


async def test_interval_too_small() -> None:
    """A-STM-02: 422 with Min-SE; once more in the same call, with the interval that was asked for."""
    async with pair(b={"min_se": 3000}) as (around, agent, _, phone):
        around.core.challenge_all = True
        chat = await agent.invite(B, Chats())
        first, *_, last = requests(around, "INVITE")
        assert (first.headers.get("Session-Expires"), first.headers.get("Min-SE")) == ("1800", None)
        assert (last.headers.get("Session-Expires"), last.headers.get("Min-SE")) == ("3000", "3000")
        assert last.cseq.number > first.cseq.number
        assert (last.call_id, str(last.from_), last.to.tag) == (first.call_id, str(first.from_), None)
        assert chat.refreshing._machine.interval == phone.open[0].refreshing._machine.interval == 3000
        assert (await chat.deliver("hello")).state is MessageState.SENT


@pytest.mark.parametrize("by", [caller_refreshes, caller_refreshes_by_invite])
async def test_interval_of_a_refresh_too_small(clock: Clock, by: Callable[[World], None]) -> None:
    async with pair() as (around, agent, _, phone):
        by(around)
        chat = await agent.invite(B, Chats())
        await chat.deliver("hello")
        phone.open[0].refreshing._machine._minimum = 4000
        wait(clock, chat, 900.0)
        await until(lambda: chat.refreshing._machine.interval == 4000)
        request = requests(around, "UPDATE" if by is caller_refreshes else "INVITE")[-1]
        assert (request.headers.get("Session-Expires"), request.headers.get("Min-SE")) == ("4000;refresher=uac", "4000")
        assert (await chat.deliver("still here")).state is MessageState.SENT


@pytest.mark.parametrize(
    ("by", "status"),
    [(caller_refreshes, 481), (caller_refreshes_by_invite, 481), (caller_refreshes_by_invite, 408)],
)
async def test_peer_that_knows_the_session_no_more(clock: Clock, by: Callable[[World], None], status: int) -> None:
    """A-STM-05, A-DLG-09: BYE."""
    async with pair() as (around, agent, _, phone):
        by(around)
        chats = Chats()
        chat = await agent.invite(B, chats)
        await chat.deliver("hello")
        answer_with(around, status)
        wait(clock, chat, 900.0)
        await until(lambda: chats.closed and phone.chats.closed)
        assert chats.closed[0][1] == "expired" and isinstance(chats.closed[0][2], RequestFailed)
        assert len(requests(around, "BYE")) == 1


async def test_update_that_is_not_known_after_all(clock: Clock) -> None:
    async with pair() as (around, agent, _, phone):
        caller_refreshes(around)
        chat = await agent.invite(B, Chats())
        await chat.deliver("hello")
        answer_with(around, 501)
        wait(clock, chat, 900.0)
        await until(lambda: chat.refreshing._machine.get_timer() == clock() + 900.0)
        assert [len(requests(around, method)) for method in ("UPDATE", "INVITE")] == [0, 2]


@pytest.mark.parametrize("by", [caller_refreshes, caller_refreshes_by_invite])
async def test_refused_refreshes(clock: Clock, by: Callable[[World], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A-STM-05: others than 408 and 481 leave the session; 491 and Retry-After are tried again when they say."""
    monkeypatch.setattr(dialog, "OWNER_GLARE", (3.0, 3.0))
    async with pair() as (around, agent, _, phone):
        by(around)
        chat = await agent.invite(B, Chats())
        await chat.deliver("hello")
        noted = answer_with(around, 491, 500, headers=[("Retry-After", "7")])
        machine = chat.refreshing._machine
        wait(clock, chat, 900.0)
        await until(lambda: machine.get_timer() == clock() + 3.0)
        wait(clock, chat, 3.0)
        await until(lambda: machine.get_timer() == clock() + 7.0)
        wait(clock, chat, 7.0)
        await until(lambda: machine.get_timer() == clock() + 900.0)
        assert len(noted) == 2 and chat.is_open
        assert (await chat.deliver("still here")).state is MessageState.SENT


async def test_refresh_that_cannot_be_sent_now(clock: Clock) -> None:
    """A-INV-04: something else is under way, which refreshes as well."""
    async with pair() as (around, agent, _, phone):
        caller_refreshes_by_invite(around)
        chat = await agent.invite(B, Chats())
        await chat.deliver("hello")
        chat.renegotiate()
        wait(clock, chat, 900.0)
        assert chat.refreshing._machine.get_timer() == clock() + refresh.BUSY_PAUSE
        await until(lambda: chat.refreshing._machine.get_timer() == clock() + 900.0)
        assert len(requests(around, "INVITE")) == 2


async def test_refresh_that_nobody_answers(clock: Clock) -> None:
    """A-STM-05: no answer is as 408."""
    async with pair() as (around, agent, _, phone):
        caller_refreshes(around)
        chats = Chats()
        chat = await agent.invite(B, chats)
        await chat.deliver("hello")
        around.core.silent.add("UPDATE")
        wait(clock, chat, 900.0)
        await until(lambda: chats.closed)
        assert chats.closed[0][1] == "expired" and isinstance(chats.closed[0][2], TransactionTimeout)


async def test_end_while_a_refresh_is_under_way(clock: Clock) -> None:
    async with pair() as (around, agent, _, phone):
        caller_refreshes(around)
        chats = Chats()
        chat = await agent.invite(B, chats)
        around.core.silent.add("UPDATE")
        wait(clock, chat, 900.0)
        await chat.close()
        assert [reason for _, reason, _ in chats.closed] == ["local"] and chat.refreshing._client is None


async def test_no_timer(clock: Clock) -> None:
    """A-STM-06: where neither side asks, or who was asked knows none."""
    async with pair(a={"session_expires": 0}, b={"session_expires": 0}) as (around, agent, _, phone):
        chat = await agent.invite(B, Chats())
        assert requests(around, "INVITE")[0].headers.get("Session-Expires") is None
        assert chat.refreshing._machine.get_timer() is phone.open[0].refreshing._machine.get_timer() is None
        await chat.close()
        rewrite(around, "INVITE", "Session-Expires", lambda text: "x")
        chat = await agent.invite(B, Chats())
        assert chat.refreshing._machine.get_timer() is None


async def test_file_transfers_have_session_timers(clock: Clock) -> None:
    async with file_pair() as (around, agent, _, phone):
        phone.files.hold = True
        sender = await agent.send_file(B, describe(SMALL), MemoryFile(SMALL), Files())
        assert sender.refreshing._machine.interval == 1800 and not sender.refreshing._machine.refreshing
        receiver = phone.transfers[0]
        await until(lambda: phone.files.received)
        clock.advance(900.0)
        receiver.refreshing._timed_out()
        await until(lambda: receiver.refreshing._client is None and requests(around, "UPDATE"))
        assert receiver.refreshing._machine.get_timer() == clock() + 900.0
        clock.advance(1768.0)
        sender.refreshing._timed_out()
        assert not sender.is_open
        await until(lambda: requests(around, "BYE"))
