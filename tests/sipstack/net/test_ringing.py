"""Invitations of others while they ring: reliable 180 (A-PRK-01 to A-PRK-05), BYE, UPDATE and offers before our 200."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sipstack.errors import TransactionTimeout
from sipstack.net import ringing
from sipstack.net.client import ClientRequest
from sipstack.net.invitation import IncomingInvitation
from sipstack.sdp import SessionDescription
from sipstack.sip.dialog import Dialog
from sipstack.sip.message import Request, Response
from sipstack.sip.timers import TimerValues

from .helpers import B, Phone, World, pair, until
from .test_early import SDP, TYPE

RELIABLE = ("Require", "100rel")


class Caller:
    """Calls b by hand: keeps what is answered, and sends what the tests say."""

    def __init__(self, around: World, agent: Any, phone: Phone) -> None:
        self.around = around
        self.agent = agent
        self.phone = phone
        self.responses: list[Response] = []
        self.dialog: Dialog | None = None
        self.client: ClientRequest | None = None
        phone.react = lambda invitation: invitation.ring()

    @property
    def invitation(self) -> IncomingInvitation:
        return self.phone.invitations[0]

    async def call(self, *headers: tuple[str, str], body: bytes = b"") -> Response:
        """Send an INVITE and return the first response that b has made."""
        fields = [*headers, *([TYPE] if body else [])]
        invite = self.agent.create_request("INVITE", B, headers=fields, body=body)
        # As a proxy passes it on: nobody repairs what is refused.
        hop = self.around.core.uri
        self.client = self.around.a.forward(invite, hop, self.responses.append, lambda error: None)
        return await self.response(0)

    async def response(self, index: int) -> Response:
        await until(lambda: len(self.responses) > index)
        response = self.responses[index]
        assert self.client is not None
        if response.status < 300 and self.dialog is None:
            self.dialog = Dialog.from_response(self.client.request, response)
        return response

    def numbers(self) -> set[int]:
        """Return the RSeq of all that came."""
        return {int(response.headers.get("RSeq", "0")) for response in self.responses}

    async def ask(self, method: str, *headers: tuple[str, str], body: bytes = b"") -> Response:
        """Send a request in the early dialog."""
        assert self.dialog is not None
        fields = [*headers, *([TYPE] if body else [])]
        if method == "UPDATE":
            fields.append(("Contact", self.agent.contact()))
        request = self.dialog._request(method, self.dialog.local_cseq + 1, fields, body)
        self.dialog.local_cseq += 1
        return await self.around.a.request(request)

    async def prack(self, response: Response, body: bytes = b"") -> Response:
        return await self.ask("PRACK", ("RAck", f"{response.headers.get('RSeq')} 1 INVITE"), body=body)

    def ack(self, body: bytes = b"") -> None:
        assert self.dialog is not None
        ack = self.dialog.create_ack(1, body=body)
        if body:
            ack.headers.add(*TYPE)
        self.around.a.send_stateless(ack, self.dialog.next_hop)


@asynccontextmanager
async def calling(**options: Any) -> AsyncIterator[Caller]:
    async with pair(**options) as (around, agent, _, phone):
        yield Caller(around, agent, phone)
        await until(lambda: not around.b.dialogs and not len(around.b.hub.sessions))


def answer_to(offer: bytes) -> bytes:
    """Return an answer of somebody who takes texts only and lets us connect."""
    assert SessionDescription.parse(offer).media
    return SDP.replace(b"setup:active", b"setup:passive")


@pytest.mark.parametrize(
    ("mode", "header", "reliable"),
    [
        ("required", ("Require", "100rel"), True),
        ("required", ("Supported", "100rel"), False),
        ("supported", ("Supported", "100rel"), True),
        ("supported", ("Supported", "timer"), False),
        ("off", ("Supported", "100rel"), False),
    ],
)
async def test_who_gets_reliable_responses(mode: str, header: tuple[str, str], reliable: bool) -> None:
    """A-PRK-01."""
    async with calling(b={"reliable": mode}) as caller:
        response = await caller.call(header, body=SDP)
        assert response.status == 180 and response.contacts
        assert (response.headers.get("Require"), "RSeq" in response.headers) == (
            ("100rel", True) if reliable else (None, False)
        )
        if reliable:
            assert (await caller.prack(response)).status == 200
        caller.invitation.reject(486)
        await until(lambda: caller.responses[-1].status == 486)


async def test_reliable_responses_switched_off() -> None:
    """A-PRK-05."""
    async with calling(b={"reliable": "off"}) as caller:
        response = await caller.call(RELIABLE, body=SDP)
        assert (response.status, response.headers.get("Unsupported")) == (420, "100rel")
        options = await caller.agent.options(B)
        assert "100rel" not in options.supported and "timer" in options.supported


async def test_repeated_until_its_prack() -> None:
    """A-PRK-02, A-PRK-04: what acknowledges nothing gets 481, what is no RAck 400; the 200 is not kept waiting."""
    async with calling() as caller:
        first = await caller.call(RELIABLE, body=SDP)
        again = await caller.response(1)
        assert again.headers.get("RSeq") == first.headers.get("RSeq") and again.to.tag == first.to.tag
        assert (await caller.ask("PRACK", ("RAck", "1 2 INVITE"))).status == 481
        assert (await caller.ask("PRACK", ("RAck", "x"))).status == 400
        assert (await caller.prack(first)).status == 200
        assert (await caller.prack(first)).status == 481
        count = len(caller.responses)
        await asyncio.sleep(0.1)
        assert len(caller.responses) == count, "more than T1 has passed"
        caller.invitation.answer(caller.phone.chats)
        assert (await caller.response(count)).status == 200
        caller.ack()
        chat = caller.phone.chats
        assert (await caller.ask("BYE")).status == 200
        await until(lambda: chat.closed)


async def test_prack_behind_the_200() -> None:
    """ "it MUST be prepared to process PRACK requests for those outstanding responses"."""
    async with calling() as caller:
        first = await caller.call(RELIABLE, body=SDP)
        caller.invitation.answer(caller.phone.chats)
        await until(lambda: caller.responses[-1].status == 200)
        assert (await caller.prack(first)).status == 200
        caller.ack()
        await until(lambda: caller.around.b.dialogs and not caller.phone.open)
        await asyncio.sleep(0.01)
        assert (await caller.prack(first)).status == 481
        assert (await caller.ask("BYE")).status == 200


async def test_no_prack_at_all() -> None:
    """A-PRK-02: 5xx at 64*T1."""
    async with calling(b={"timers": TimerValues(t1=0.002, t2=0.008, t4=0.1)}) as caller:
        await caller.call(RELIABLE, body=SDP)
        await until(lambda: caller.responses[-1].is_final)
        assert caller.responses[-1].status == 504
        assert caller.phone.cancelled == [caller.invitation] and caller.invitation.done
        assert len({response.headers.get("RSeq") for response in caller.responses[:-1]}) == 1


@pytest.mark.parametrize("expires", [(), (("Expires", "300"),)])
async def test_rings_each_minute(expires: tuple[tuple[str, str], ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A-INV-03: reliably, one behind the PRACK of the other, with the next number (A-PRK-04)."""
    monkeypatch.setattr(ringing, "RING_INTERVAL", 0.05)
    async with calling(b={"timers": TimerValues(t1=0.3, t2=0.3, t4=0.1)}) as caller:
        first = await caller.call(RELIABLE, *expires, body=SDP)
        await asyncio.sleep(0.15)
        assert caller.numbers() == {int(first.headers.get("RSeq", ""))}, "no other one before its PRACK"
        assert (await caller.prack(first)).status == 200
        await until(lambda: len(caller.numbers()) == 2)
        assert caller.numbers() == {int(first.headers.get("RSeq", "")) + offset for offset in (0, 1)}
        caller.invitation.ring()
        caller.invitation.reject(480)
        await until(lambda: caller.responses[-1].status == 480)


async def test_offer_in_the_180_answer_in_the_prack() -> None:
    """A-OA-03, RFC 3262 §5: an INVITE without offer gets ours in the first reliable response; the 200 has none."""
    async with calling() as caller:
        first = await caller.call(RELIABLE)
        assert b"m=message" in first.body
        assert (await caller.ask("UPDATE", body=SDP)).status == 491, "ours has no answer yet"
        assert (await caller.prack(first, answer_to(first.body))).status == 200
        chat = caller.invitation.answer(caller.phone.chats)
        await until(lambda: caller.responses[-1].status == 200)
        assert caller.responses[-1].body == b""
        caller.ack()
        await until(lambda: not chat._waits_for_ack)
        assert chat.active and not chat.wraps
        await until(lambda: caller.phone.chats.closed)  # nobody listens at the path of the answer
        assert caller.phone.chats.closed[0][1] == "connection-lost"


async def test_200_waits_for_the_prack_of_an_offer() -> None:
    """A-PRK-04: "it MUST NOT send a final response until those provisional responses are acknowledged"."""
    async with calling() as caller:
        first = await caller.call(RELIABLE)
        chat = caller.invitation.answer(caller.phone.chats)
        await caller.response(2)
        assert {response.status for response in caller.responses} == {180}, "it is only repeated"
        assert (await caller.prack(first, answer_to(first.body))).status == 200
        await until(lambda: caller.responses[-1].status == 200)
        caller.ack()
        await until(lambda: not chat._waits_for_ack)
        assert chat.active
        await until(lambda: caller.phone.chats.closed)


@pytest.mark.parametrize(("end", "status"), [("CANCEL", 487), ("BYE", 487), ("nothing", 504)])
async def test_200_that_is_never_sent(end: str, status: int) -> None:
    """The caller gives up, or sends no PRACK, while our 200 waits for that."""
    async with calling(b={"timers": TimerValues(t1=0.004, t2=0.016, t4=0.1)}) as caller:
        await caller.call(RELIABLE)
        accepting = asyncio.create_task(caller.invitation.accept(caller.phone.chats))
        await until(lambda: caller.invitation.done)
        if end == "CANCEL":
            assert caller.client is not None
            caller.client.cancel()
        elif end == "BYE":
            assert (await caller.ask("BYE")).status == 200
        await until(lambda: caller.responses[-1].is_final)
        assert caller.responses[-1].status == status
        await until(lambda: caller.phone.chats.closed)
        with pytest.raises(TransactionTimeout):
            await accepting


async def test_more_offers_before_the_200() -> None:
    """A-OA-05: by UPDATE and by PRACK; each gets its answer at once."""
    async with calling() as caller:
        first = await caller.call(RELIABLE)
        assert (await caller.prack(first, answer_to(first.body))).status == 200
        again = SDP.replace(b"1 1 IN", b"1 2 IN")
        response = await caller.ask("UPDATE", body=again)
        assert response.status == 200 and b"a=setup:passive" in response.body and "Contact" in response.headers
        assert (await caller.ask("UPDATE", body=SDP.replace(b"message 9", b"message 0"))).status == 488
        assert (await caller.ask("UPDATE")).status == 200
        chat = caller.invitation.answer()
        await until(lambda: caller.responses[-1].status == 200)
        caller.ack()
        await until(lambda: not chat._waits_for_ack)
        assert not chat.active, "as the answer to UPDATE said"
        assert (await caller.ask("BYE")).status == 200


async def test_update_before_our_answer() -> None:
    """A-OA-05: its offer has no answer yet, 500 with Retry-After; the target may change, and 180 stay unreliable."""
    async with calling() as caller:
        await caller.call(body=SDP)
        refused = await caller.ask("UPDATE", body=SDP)
        assert refused.status == 500 and 0 <= int(refused.headers.get("Retry-After", "")) <= 10
        assert (await caller.ask("UPDATE")).status == 200
        assert (await caller.ask("PRACK", ("RAck", "1 1 INVITE"))).status == 481
        assert (await caller.ask("OPTIONS")).status == 200
        caller.invitation.reject(603)
        await until(lambda: caller.responses[-1].status == 603)
        assert (await caller.ask("OPTIONS")).status == 481


async def test_bye_while_it_rings() -> None:
    """A-INV-08: the caller may; 200, and 487 to the INVITE."""
    async with calling() as caller:
        await caller.call(body=SDP)
        assert (await caller.ask("BYE")).status == 200
        await until(lambda: caller.responses[-1].status == 487)
        assert caller.phone.cancelled == [caller.invitation]


async def test_offered_chat_that_is_not_taken() -> None:
    async with calling() as caller:
        first = await caller.call(RELIABLE)
        assert len(caller.around.b.hub.sessions) == 1
        assert (await caller.prack(first, answer_to(first.body))).status == 200
        caller.invitation.reject(486)
        assert not len(caller.around.b.hub.sessions)


async def test_invitation_without_contact_cannot_ring() -> None:
    async with calling() as caller:
        caller.around.core.rewrite = lambda message: (
            message.headers.remove("Contact") if isinstance(message, Request) and message.method == "INVITE" else None
        )
        assert (await caller.call(body=SDP)).status == 400


async def test_bye_of_the_callee_waits_for_the_ack() -> None:
    """A-INV-08: not before the ACK, or before it is known that there will be none."""
    async with calling() as caller:
        await caller.call(body=SDP)
        caller.invitation.answer(caller.phone.chats).hang_up()
        await until(lambda: caller.responses[-1].status == 200)
        await asyncio.sleep(0.05)
        assert "BYE" not in caller.around.core.methods() and caller.phone.chats.closed[0][1] == "local"
        caller.ack()
        await until(lambda: "BYE" in caller.around.core.methods())
    async with calling() as caller:
        await caller.call(body=SDP)
        accepting = asyncio.create_task(caller.invitation.accept(caller.phone.chats))
        await until(lambda: caller.responses[-1].status == 200)
        list(caller.around.b.dialogs.values())[0].hang_up()  # type: ignore[attr-defined]  # it is a chat
        with pytest.raises(TransactionTimeout):
            await accepting
        await until(lambda: "BYE" in caller.around.core.methods())
