"""Invitations of ours while they ring: forks, PRACK (A-PRK-03), answers that come early (A-OA-03), UPDATE (A-OA-05)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sipstack.errors import RequestFailed
from sipstack.net.chat import ChatSession
from sipstack.sdp import SessionDescription
from sipstack.sip.message import Request, Response
from sipstack.sip.transaction import ServerTransaction

from .helpers import B, Chats, World, until, world

SDP = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=message 9 TCP/MSRP *\r\na=accept-types:text/plain\r\na=setup:active\r\n"
    b"a=path:msrp://127.0.0.1:9/abcdefghijkl;tcp\r\n"
)
TYPE = ("Content-Type", "application/sdp")


class Callee:
    """Answers an INVITE step by step, as the tests say, with the To tags that they say, and notes what comes."""

    def __init__(self, around: World) -> None:
        self.endpoint = around.b
        self.agent = around.agent(around.a, "a")
        self.agent.outbound_proxy = around.b.uri().with_param("lr")
        self.requests: list[Request] = []
        self.calling: asyncio.Task[ChatSession] | None = None
        self.provisional: list[int] = []
        self._invite: ServerTransaction | None = None
        self.endpoint.on_request = self._request
        self.endpoint.on_ack = self._ack

    def _ack(self, request: Request) -> bool:
        self.requests.append(request)
        return True

    def _request(self, transaction: ServerTransaction, request: Request) -> bool:
        self.requests.append(request)
        if request.method == "INVITE":
            self._invite = transaction
        else:
            self.endpoint.reply(transaction, 200)
        return True

    async def call(self) -> None:
        """Have A call, and wait for the INVITE."""
        invited = self.agent.invite(
            B, Chats(), on_provisional=lambda response: self.provisional.append(response.status)
        )
        self.calling = asyncio.create_task(invited)
        await until(lambda: self._invite)

    def answer(self, status: int, tag: str, *headers: tuple[str, str], body: bytes = b"") -> None:
        """Answer the INVITE by one of its forks."""
        assert self._invite is not None
        fields = [("Contact", f"<{self.endpoint.uri(tag or 'old')}>"), *headers, *([TYPE] if body else [])]
        response = Response.for_request(self._invite.request, status, to_tag=tag or None, headers=fields, body=body)
        self.endpoint.respond(self._invite, response, repeat=False)

    def ring(self, tag: str, number: int, body: bytes = b"", status: int = 183) -> None:
        """Answer reliably."""
        self.answer(status, tag, ("Require", "100rel"), ("RSeq", str(number)), body=body)

    async def accepted(self) -> ChatSession:
        """Return the chat that the INVITE set up."""
        assert self.calling is not None
        return await asyncio.wait_for(self.calling, 5)

    async def ask(self, method: str, tag: str, number: int, body: bytes = b"") -> Response:
        """Send a request inside one of the dialogs."""
        assert self._invite is not None
        invite = self._invite.request
        headers = [
            ("From", f"{invite.to};tag={tag}"),
            ("To", str(invite.from_)),
            ("Call-ID", invite.call_id),
            ("CSeq", f"{number} {method}"),
            ("Contact", f"<{self.endpoint.uri('moved')}>"),
            *([TYPE] if body else []),
        ]
        return await self.endpoint.request(Request(method, invite.contacts[0].uri, headers, body))

    def of(self, method: str) -> list[Request]:
        return [request for request in self.requests if request.method == method]


@asynccontextmanager
async def called() -> AsyncIterator[Callee]:
    async with world() as around:
        callee = Callee(around)
        await callee.call()
        yield callee
        await callee.agent.close()
        assert not around.a.dialogs and not len(around.a.hub.sessions)


async def test_prack() -> None:
    """A-PRK-03: in the early dialog, each once, in order; what overtakes another is passed over."""
    async with called() as callee:
        invite = callee.of("INVITE")[0]
        assert {"100rel", "timer"} <= set(invite.supported) and "PRACK" in invite.allow
        callee.ring("x", 7, status=180)
        await until(lambda: len(callee.of("PRACK")) == 1)
        callee.ring("x", 7, status=180)
        callee.ring("x", 9, status=182)
        callee.ring("x", 8, status=183)
        await until(lambda: len(callee.of("PRACK")) == 2)
        callee.answer(200, "x", body=SDP)
        chat = await callee.accepted()
        first, second = callee.of("PRACK")
        assert [request.headers.get("RAck") for request in (first, second)] == ["7 1 INVITE", "8 1 INVITE"]
        assert [request.cseq.number for request in (first, second)] == [2, 3]
        assert (first.to.tag, first.from_.tag, first.call_id) == ("x", invite.from_.tag, invite.call_id)
        assert first.uri.user == "x", "the Contact of the response"
        assert callee.provisional == [180, 183]
        await chat.close()
        assert callee.of("BYE")[0].cseq.number == 4
        assert callee.of("ACK")[0].cseq.number == 1


@pytest.mark.parametrize("body", [b"", SDP.replace(b"message 9", b"message 0")])
async def test_answer_in_a_reliable_response(body: bytes) -> None:
    """A-OA-03: then the 200 needs none, and what it has does not count."""
    async with called() as callee:
        callee.ring("x", 1, SDP)
        await until(lambda: callee.of("PRACK"))
        callee.answer(200, "x", body=body)
        chat = await callee.accepted()
        assert chat.is_open and not chat.wraps and not chat.active
        await chat.close()


async def test_bad_answer_in_a_reliable_response() -> None:
    """It is acknowledged; the 200 may have a better one."""
    async with called() as callee:
        callee.ring("x", 1, b"nonsense")
        await until(lambda: callee.of("PRACK"))
        callee.answer(200, "x", body=SDP)
        await (await callee.accepted()).close()


async def test_early_dialogs_of_forks() -> None:
    """A-DLG-01, A-INV-02: each has its numbers; of two that accept one is kept, the other gets ACK and BYE."""
    async with called() as callee:
        callee.ring("x", 1, status=180)
        callee.ring("y", 1, status=180)
        callee.answer(180, "z")
        await until(lambda: len(callee.provisional) == 3)
        callee.answer(200, "y", body=SDP)
        chat = await callee.accepted()
        callee.answer(200, "x", body=SDP)
        callee.answer(200, "new", body=SDP)
        await until(lambda: len(callee.of("BYE")) == 2)
        assert [(bye.to.tag, bye.cseq.number) for bye in callee.of("BYE")] == [("x", 3), ("new", 2)]
        assert [ack.to.tag for ack in callee.of("ACK")] == ["y", "x", "new"]
        assert chat.dialog is not None and chat.dialog.remote_tag == "y"
        callee.answer(200, "y", body=SDP)
        await until(lambda: len(callee.of("ACK")) == 4)
        assert (await callee.ask("OPTIONS", "z", 1)).status == 481, "that one is over"
        await chat.close()
        assert len(callee.of("BYE")) == 3


async def test_failure_ends_all_early_dialogs() -> None:
    """A-DLG-01."""
    async with called() as callee:
        callee.answer(180, "x")
        callee.answer(183, "y")
        await until(lambda: len(callee.provisional) == 2)
        callee.answer(486, "x")
        with pytest.raises(RequestFailed):
            await callee.accepted()
        assert (await callee.ask("UPDATE", "y", 1)).status == 481


async def test_update_while_it_rings() -> None:
    """A-OA-05: of the target at once; an offer only behind the answer to ours, 491 before."""
    async with called() as callee:
        callee.answer(180, "x")
        await until(lambda: callee.provisional)
        response = await callee.ask("UPDATE", "x", 1)
        assert response.status == 200 and "Contact" in response.headers and response.body == b""
        assert (await callee.ask("UPDATE", "x", 2, SDP)).status == 491
        callee.ring("x", 1, SDP)
        await until(lambda: callee.of("PRACK"))
        assert callee.of("PRACK")[0].uri.user == "x", "a later response refreshes the target again"
        again = SDP.replace(b"1 1 IN", b"1 2 IN").replace(b"setup:active", b"setup:actpass")
        assert (await callee.ask("UPDATE", "x", 3, SDP.replace(b"message 9", b"message 0"))).status == 488
        assert (await callee.ask("UPDATE", "x", 4, b"nonsense")).status == 488
        response = await callee.ask("UPDATE", "x", 5, again)
        answer = SessionDescription.parse(response.body).media[0]
        assert response.status == 200 and answer.attribute("setup") in ("active", "passive")
        assert (await callee.ask("UPDATE", "x", 5)).status == 500, "a number that was used"
        assert (await callee.ask("OPTIONS", "x", 6)).status == 200
        assert (await callee.ask("BYE", "x", 7)).status == 481, "who is called has no business with that"
        callee.answer(200, "x")
        chat = await callee.accepted()
        assert chat.active is (answer.attribute("setup") == "active")
        await chat.close()
        assert len(callee.of("BYE")) == 1


async def test_response_without_tag() -> None:
    """RFC 2543: no early dialog, nothing to acknowledge."""
    async with called() as callee:
        callee.answer(180, "")
        await until(lambda: callee.provisional)
        callee.answer(486, "x")
        with pytest.raises(RequestFailed):
            await callee.accepted()
