"""What peers send inside dialogs that run: UPDATE, and INVITEs that are given up or come twice; our re-INVITEs too."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from functools import partial

import pytest

from sipstack.flow import Flow
from sipstack.msrp.message import MessageState
from sipstack.net import anchoring
from sipstack.net.chat import ChatSession
from sipstack.net.refresh import Refreshing
from sipstack.sdp import SessionDescription
from sipstack.sip.message import Request, Response
from sipstack.sip.transaction import ServerTransaction
from tests.utils import Clock

from .helpers import B, Chats, Phone, pair, until, world
from .test_early import SDP

TYPE = ("Content-Type", "application/sdp")
RELIABLE = [("Require", "100rel"), ("RSeq", "1"), TYPE]

Check = Callable[[object], None]


def make(chat: ChatSession, method: str, body: bytes = b"", *headers: tuple[str, str]) -> Request:
    """Return a request of the caller, whatever its dialog thinks of it."""
    dialog = chat.dialog
    assert dialog is not None
    dialog.local_cseq += 1
    fields = [("Contact", chat.agent.contact()), *headers, *([TYPE] if body else [])]
    return dialog._request(method, dialog.local_cseq, fields, body)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[Check]:
    """Offers whose names are looked up until a test calls these; to be filled when a chat is there."""
    checks: list[Check] = []
    usual = anchoring.check_invitation

    def check(endpoint: object, offer: object, done: Check) -> None:
        if checks:
            checks.append(done)
        else:
            usual(endpoint, offer, done)  # type: ignore[arg-type]  # handed on as they are

    monkeypatch.setattr(anchoring, "check_invitation", check)
    return checks


async def test_update_refreshes_the_target() -> None:
    """A-OA-05, A-DLG-07: without offer; it is answered at once and may keep the session timer going."""
    async with pair() as (around, agent, _, phone):
        chat = await agent.invite(B, Chats())
        other = phone.open[0]
        await until(lambda: other.dialog is not None and other.dialog.may_end)
        timer = [("Supported", "timer"), ("Session-Expires", "200;refresher=uac")]
        update = make(chat, "UPDATE", b"", *timer)
        update.headers.set("Contact", f"<{around.a.uri('moved')}>")
        response = await around.a.request(update)
        assert (response.status, response.body) == (200, b"")
        assert response.headers.get("Session-Expires") == "200;refresher=uac" and response.require == ["timer"]
        assert other.dialog is not None and other.dialog.remote_target.user == "moved"
        assert other.refreshing._machine.interval == 200
        update = make(chat, "UPDATE", b"", ("Supported", "timer"), ("Session-Expires", "10"))
        response = await around.a.request(update)
        assert (response.status, response.headers.get("Min-SE")) == (422, "90")
        assert (await around.a.request(make(chat, "UPDATE"))).status == 200, "the one before is done with"
        assert other.refreshing._machine.interval == 0, "A-STM-06"


async def test_update_with_an_offer() -> None:
    """A-OA-05: the session as it runs, a new path, what cannot be used, and the end of the medium."""
    async with pair() as (around, agent, _, phone):
        chat = await agent.invite(B, Chats())
        await chat.deliver("hello")
        other = phone.open[0]
        connection = other.msrp.connection
        response = await around.a.request(make(chat, "UPDATE", chat.say_again()))
        assert response.status == 200 and response.body == other.say_again()
        assert other.msrp.connection is connection
        assert (await around.a.request(make(chat, "UPDATE", SDP.replace(b":text/plain", b":x/y")))).status == 488
        page = make(chat, "UPDATE", b"x", ("Session-Expires", "1"))
        page.headers.set("Content-Type", "text/plain")
        refused = await around.a.request(page)
        assert refused.status == 415 and "Accept" in refused.headers
        assert (await chat.deliver("still here")).state is MessageState.SENT
        former = chat.msrp, other.msrp
        chat.renegotiation._renew(False)
        response = await around.a.request(make(chat, "UPDATE", chat.describe(None)))
        answer = SessionDescription.parse(response.body)
        chat.renegotiation._spare = False
        chat.take(answer, chat.medium(answer), offered=True)
        assert (await chat.deliver("by the new path")).state is MessageState.SENT
        await until(lambda: former[0].closed and former[1].closed)
        assert phone.chats.texts == ["hello", "still here", "by the new path"]
        stopped = re.sub(rb"m=message \d+", b"m=message 0", chat.say_again())
        response = await around.a.request(make(chat, "UPDATE", stopped))
        assert response.status == 200 and b"m=message 0 " in response.body
        await until(lambda: phone.chats.closed)


@pytest.mark.parametrize("end", ["BYE", "CANCEL"])
async def test_invite_that_is_given_up(end: str, held: list[Check]) -> None:
    """A-INV-09, A-CAN-04: 487, and nothing comes of it; a second one before that gets 500 (A-INV-06)."""
    async with pair() as (around, agent, _, phone):
        chat = await agent.invite(B, Chats())
        await chat.deliver("hello")
        held.append(lambda fault: None)
        responses: list[Response] = []
        request = make(chat, "INVITE", chat.say_again())
        client = around.a.forward(request, around.core.uri, responses.append, lambda error: None)
        await until(lambda: len(held) == 2)
        for method in ("INVITE", "UPDATE"):
            second = await around.a.request(make(chat, method, chat.say_again()))
            assert second.status == 500 and 0 <= int(second.headers.get("Retry-After", "")) <= 10
        if end == "BYE":
            assert (await around.a.request(make(chat, "BYE"))).status == 200
        else:
            client.cancel()
        await until(lambda: responses and responses[-1].is_final)
        assert responses[-1].status == 487
        held[1](None)
        if end == "CANCEL":
            held.clear()
            assert (await chat.deliver("still here")).state is MessageState.SENT
        assert len(phone.chats.closed) == (end == "BYE")


async def test_session_that_ends_while_it_is_invited_again(held: list[Check]) -> None:
    async with pair() as (around, agent, _, phone):
        chat = await agent.invite(B, Chats())
        await chat.deliver("hello")
        held.append(lambda fault: None)
        asking = asyncio.create_task(around.a.request(make(chat, "INVITE", chat.say_again())))
        await until(lambda: len(held) == 2)
        phone.open[0].hang_up()
        held[1](None)
        assert (await asking).status == 487


async def test_reliable_answer_to_our_invite(monkeypatch: pytest.MonkeyPatch) -> None:
    """A-PRK-03, A-OA-03: inside a dialog too the answer may come in a reliable 183, so that the 200 has none."""
    clock = Clock(1e9)
    monkeypatch.setattr(Refreshing, "_now", lambda self: clock())
    async with pair() as (around, agent, _, phone):
        chat = await agent.invite(B, Chats())
        await chat.deliver("hello")
        other, core = phone.open[0], around.core.endpoint
        usual, asked = core.on_request, []
        assert usual is not None

        def request(transaction: ServerTransaction, request: Request) -> bool:
            if request.method == "INVITE":
                asked.append(request)
                core.reply(transaction, 183, headers=RELIABLE, body=other.say_again())
                accepted = core.make_reply(transaction, 200, headers=[("Contact", "<sip:b@127.0.0.1>")])
                later = partial(core.respond, transaction, accepted, repeat=False)
                core.timers.schedule(core.timers.time() + 0.05, later)
                return True
            if request.method == "PRACK":
                asked.append(request)
                core.reply(transaction, 200)
                return True
            return usual(transaction, request)

        core.on_request = request
        assert chat.invite_again()
        await until(lambda: chat.dialog is not None and chat.dialog.may_offer and chat.renegotiation._reinvite is None)
        assert [one.method for one in asked] == ["INVITE", "PRACK"]
        assert asked[1].headers.get("RAck") == f"1 {asked[0].cseq}"
        assert (await chat.deliver("still here")).state is MessageState.SENT


async def test_merged_request() -> None:
    """A-UAS-04: the same INVITE by two ways; the second one gets 482, the first one goes on."""
    async with world() as around:
        phone = Phone()
        phone.react = lambda invitation: invitation.ring()
        b = around.agent(around.b, "b", phone)
        invite = b.create_request("INVITE", B, headers=[TYPE], body=SDP)
        responses: list[list[Response]] = [[], []]
        for answers in responses:
            copy = Request("INVITE", invite.uri, invite.headers.copy(), invite.body)
            around.a.forward(copy, Flow("UDP", around.b.local), answers.append, lambda error: None)
        await until(lambda: all(responses))
        assert [answers[0].status for answers in responses] == [180, 482]
        phone.invitations[0].reject(486)
        await until(lambda: responses[0][-1].status == 486)
        await b.close()
