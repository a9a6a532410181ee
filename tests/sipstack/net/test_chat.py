from __future__ import annotations

import asyncio

import pytest

from sipstack.errors import LocalProtocolError, RemoteProtocolError, RequestFailed, TransactionTimeout
from sipstack.msrp.message import MessageState
from sipstack.net import chatmessage
from sipstack.net.endpoint import Endpoint
from sipstack.net.invitation import IncomingInvitation
from sipstack.sip.message import Request, Response
from sipstack.sip.transaction import ServerTransaction
from sipstack.trace import Record, StateRecord, Trace

from .helpers import B, Chats, pair, until, world


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(
    ("a", "b"),
    [({}, {}), ({"msrp_setup": "active"}, {}), ({}, {"msrp_setup": "active"})],
    ids=["actpass", "caller active", "callee active"],
)
async def test_both_ways(transport: str, a: dict[str, str], b: dict[str, str]) -> None:
    async with pair(transport, a=a, b=b) as (around, agent, _, phone):
        chats = Chats()
        chat = await agent.invite(B, chats)
        done = await chat.deliver("hello")
        assert done.state is MessageState.SENT
        await until(lambda: phone.chats.messages)
        message = phone.chats.messages[0]
        assert (message.text, message.content_type, message.message_id) == ("hello", "text/plain", done.message_id)
        assert message.cpim is not None and message.cpim.from_.uri == "sip:anonymous@anonymous.invalid"
        other = phone.open[0]
        assert other.wraps and chat.wraps
        assert (await other.deliver("answer", message_id="abcd1234")).state is MessageState.SENT
        assert chats.texts == ["answer"]
        await chat.close("logout")
        await until(lambda: phone.chats.closed)
        assert [reason for _, reason, _ in phone.chats.closed] == ["remote"]
        assert [reason for _, reason, _ in chats.closed] == ["local"]
        bye = next(request for request in around.core.requests if request.method == "BYE")
        assert bye.headers.get("Reason") == 'SIP;cause=200;text="logout"'
        assert phone.invitations[0].asserted == (agent.identity.aor,)
        with pytest.raises(LocalProtocolError):
            chat.send("too late")
        await chat.close()
        assert not around.a.dialogs and not around.b.dialogs


async def test_big_message_and_many_small_ones() -> None:
    async with pair() as (around, agent, _, phone):
        chat = await agent.invite(B, Chats())
        text = "0123456789abcdef" * 65536
        async with asyncio.timeout(30):
            assert (await chat.deliver(text)).state is MessageState.SENT
        assert phone.chats.texts == [text]
        sent = [chat.send(f"message {number}") for number in range(100)]
        await until(lambda: all(message.state is MessageState.SENT for message in sent))
        assert phone.chats.texts[1:] == [f"message {number}" for number in range(100)]
        assert around.core.methods().count("INVITE") == 1
        assert len(around.b.hub) == 1


async def test_callee_hangs_up() -> None:
    async with pair() as (_, agent, _, phone):
        chats = Chats()
        await agent.invite(B, chats)
        await phone.open[0].close()
        await until(lambda: chats.closed)
        assert chats.closed[0][1] == "remote"
        assert phone.chats.closed[0][1] == "local"


async def test_cut_connection_ends_the_chat_on_both_sides() -> None:
    """Where neither wants to make another one."""
    async with pair(a={"msrp_recovery": 0.0}, b={"msrp_recovery": 0.0}) as (around, agent, _, phone):
        chats = Chats()
        chat = await agent.invite(B, chats)
        await chat.deliver("hello")
        pending = chat.send("x" * 4_000_000)
        assert chat.msrp.connection is not None
        around.a.hub._links[chat.msrp.connection].abort()
        await until(lambda: chats.closed and phone.chats.closed)
        assert [reason for _, reason, _ in chats.closed] == ["connection-lost"]
        assert chats.closed[0][2] is not None
        assert phone.chats.closed[0][1] in ("remote", "connection-lost")
        assert len(phone.chats.closed) == 1
        assert pending.state is not MessageState.PENDING
        # and the next one works
        chat = await agent.invite(B, chats)
        assert (await chat.deliver("again")).state is MessageState.SENT


async def test_iteration() -> None:
    async with pair() as (_, agent, _, phone):
        chat = await agent.invite(B)
        for text in ("one", "two"):
            phone.open[0].send(text)
        received = []
        async for message in chat:
            received.append(message.text)
            if len(received) == 2:
                await phone.open[0].close()
        assert received == ["one", "two"]
    async with pair() as (_, agent, _, phone):
        async with await agent.invite(B, Chats()) as chat:
            with pytest.raises(LocalProtocolError):
                aiter(chat)
        await until(lambda: phone.chats.closed)


@pytest.mark.parametrize("status", [403, 480, 486, 603])
async def test_refused(status: int) -> None:
    async with pair() as (around, agent, _, phone):
        phone.react = lambda invitation: invitation.reject(status)
        chats = Chats()
        with pytest.raises(RequestFailed) as caught:
            await agent.invite(B, chats)
        assert caught.value.response.status == status
        assert chats.closed == []
        assert len(around.a.hub.sessions) == 0
        phone.invitations[0].reject(486)
        with pytest.raises(LocalProtocolError):
            phone.invitations[0].answer()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("how", ["timeout", "cancellation"])
async def test_caller_gives_up(transport: str, how: str) -> None:
    async with pair(transport) as (around, agent, _, phone):
        phone.react = IncomingInvitation.ring
        responses: list[int] = []
        timeout = 0.2 if how == "timeout" else None
        calling = asyncio.ensure_future(
            agent.invite(B, timeout=timeout, on_provisional=lambda response: responses.append(response.status))
        )
        await until(lambda: responses)
        if how == "cancellation":
            calling.cancel()
        with pytest.raises((TransactionTimeout, asyncio.CancelledError)):
            await calling
        await until(lambda: phone.cancelled)
        await until(lambda: "CANCEL" in around.core.methods())
        assert phone.invitations[0].done and 180 in responses
        assert len(around.a.hub.sessions) == 0


async def test_late_success_is_acknowledged_and_ended() -> None:
    async with pair() as (around, agent, _, phone):
        # The callee never hears of the CANCEL, because the core keeps it back.
        around.core.endpoint.on_cancel = lambda transaction, request: None
        phone.react = IncomingInvitation.ring
        responses: list[int] = []
        calling = asyncio.ensure_future(
            agent.invite(B, on_provisional=lambda response: responses.append(response.status))
        )
        await until(lambda: responses)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        phone.invitations[0].answer(phone.chats)
        await until(lambda: phone.chats.closed)
        assert phone.chats.closed[0][1] == "remote"
        assert around.core.methods()[-2:] == ["ACK", "BYE"]


async def test_missing_ack_ends_the_chat() -> None:
    async with pair() as (around, agent, _, phone):
        around.core.endpoint.on_ack = lambda request: True
        accepting: list[asyncio.Future[object]] = []
        phone.react = lambda invitation: accepting.append(asyncio.ensure_future(invitation.accept(phone.chats)))
        chats = Chats()
        await agent.invite(B, chats)
        await until(lambda: chats.closed and phone.chats.closed)
        assert phone.chats.closed[0][1] == "no-ack"
        with pytest.raises(TransactionTimeout):
            await accepting[0]


async def test_accept_waits_for_the_ack() -> None:
    async with pair() as (_, agent, _, phone):
        accepting: list[asyncio.Future[object]] = []
        phone.react = lambda invitation: accepting.append(asyncio.ensure_future(invitation.accept(phone.chats)))
        chat = await agent.invite(B, Chats())
        await asyncio.wait_for(accepting[0], 5)
        assert (await chat.deliver("x")).state is MessageState.SENT


async def test_close_of_the_agent_ends_its_chats_first() -> None:
    async with pair() as (around, agent, _, phone):
        await agent.invite(B, Chats())
        await agent.close()
        await until(lambda: phone.chats.closed)
        methods = around.core.methods()
        assert methods.index("BYE") < len(methods) - 1 and methods[-1] == "REGISTER"
        assert agent.identity.aor.aor not in around.core.bindings


async def test_challenged_invite_and_bye() -> None:
    async with pair() as (around, agent, _, phone):
        around.core.challenge_all = True
        chat = await agent.invite(B, Chats())
        invites = [request for request in around.core.requests if request.method == "INVITE"]
        assert [request.cseq.number for request in invites] == [1, 2]
        assert (await chat.deliver("x")).state is MessageState.SENT
        ack = next(request for request in around.core.requests if request.method == "ACK")
        assert ack.cseq.number == 2
        assert ack.headers.get("Proxy-Authorization") == invites[1].headers.get("Proxy-Authorization")
        await chat.close()
        bye = around.core.requests[-1]
        assert (bye.method, bye.cseq.number) == ("BYE", 3)


async def test_closing_the_endpoint_ends_open_chats() -> None:
    async with pair() as (around, agent, _, phone):
        chats = Chats()
        chat = await agent.invite(B, chats)
        await chat.deliver("hello")
        await around.a.close()
        await until(lambda: phone.chats.closed)
        assert [reason for _, reason, _ in chats.closed] == ["connection-lost"]
        assert len(phone.chats.closed) == 1


async def test_state_changes_are_traced() -> None:
    records: list[Record] = []
    async with pair() as (around, agent, _, _):
        around.a.trace = Trace("a", records.append, lambda: 0.0)
        async with await agent.invite(B, Chats()):
            await agent.register()
    states = [(record.subject.split()[0], record.state) for record in records if isinstance(record, StateRecord)]
    assert states == [
        ("chat", "set up"),
        ("registration", "Registered"),
        ("chat", "closed"),
        ("registration", "Unregistered"),
    ]


SDP = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=message 9 TCP/MSRP *\r\na=accept-types:text/plain\r\na=setup:active\r\n"
    b"a=path:msrp://127.0.0.1:9/abcdefghijkl;tcp\r\n"
)


class Forks:
    """A peer that answers an INVITE as told, and remembers what comes after it."""

    def __init__(self, endpoint: Endpoint, *answers: tuple[str, bytes]) -> None:
        self.endpoint = endpoint
        self.answers = answers
        """To tag and body of each 200."""
        self.acks: list[Request] = []
        self.byes: list[Request] = []
        endpoint.on_request = self.request
        endpoint.on_ack = self.ack

    def ack(self, request: Request) -> bool:
        self.acks.append(request)
        return True

    def request(self, transaction: ServerTransaction, request: Request) -> bool:
        if request.method == "BYE":
            self.byes.append(request)
            self.endpoint.reply(transaction, 200)
            return True
        for tag, body in self.answers:
            headers = [("Content-Type", "application/sdp"), ("Contact", f"<{self.endpoint.uri(tag)}>")]
            response = Response.for_request(request, 200, to_tag=tag, headers=headers, body=body)
            self.endpoint.respond(transaction, response, repeat=False)
        return True


async def test_one_of_several_forks_is_kept() -> None:
    # C-SES-06, A-INV-02: each 200 is acknowledged, one session lives, the others get BYE.
    async with world() as around:
        forks = Forks(around.b, ("one", SDP), ("two", SDP), ("one", SDP))
        agent = around.agent(around.a, "a")
        agent.outbound_proxy = around.b.uri().with_param("lr")
        chats = Chats()
        chat = await agent.invite(B, chats)
        await until(lambda: forks.byes and len(forks.acks) == 3)
        assert [bye.to.tag for bye in forks.byes] == ["two"]
        assert [ack.to.tag for ack in forks.acks] == ["one", "two", "one"]
        assert chat.is_open and not chat.wraps
        await chat.close()
        assert [bye.to.tag for bye in forks.byes] == ["two", "one"]
        await agent.close()


@pytest.mark.parametrize("body", [b"", b"nonsense", SDP.replace(b"message 9", b"message 0")])
async def test_useless_answers(body: bytes) -> None:
    async with world() as around:
        forks = Forks(around.b, ("one", body))
        agent = around.agent(around.a, "a")
        agent.outbound_proxy = around.b.uri().with_param("lr")
        with pytest.raises(RemoteProtocolError):
            await agent.invite(B)
        await until(lambda: forks.byes)
        assert len(forks.acks) == len(forks.byes) == 1
        assert len(around.a.hub.sessions) == 0 and not around.a.dialogs
        await agent.close()


async def test_unwelcome_messages() -> None:
    # C-BAD-12: CPIM that does not parse is malformed, 400; a type inside it that was never announced is 415.
    async with pair() as (_, agent, _, phone):
        chat = await agent.invite(B, Chats())
        # C-SES-04: what nobody listed is not even sent.
        assert (await chat.deliver(b"x", "image/png")).status == 415
        addresses = b"From: <sip:a@b>\r\nTo: <sip:a@b>\r\n"
        inputs = [(b"no cpim", 400), (b"From: <sip:a@b>\r\n\r\nContent-Type: a/b\r\n\r\n", 400)]
        for body, status in [*inputs, (addresses + b"\r\nContent-Type: image/png\r\n\r\nx", 415)]:
            future = asyncio.get_running_loop().create_future()
            chat.msrp.send(body, "message/cpim", on_done=future.set_result)
            assert (await asyncio.wait_for(future, 5)).status == status
        assert phone.chats.messages == []


async def test_inbox_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chatmessage, "INBOX_LIMIT", 2)
    async with pair() as (_, agent, _, phone):
        chat = await agent.invite(B)
        sent = [phone.open[0].send(f"{number}") for number in range(3)]
        await until(lambda: sent[2].state is MessageState.FAILED)
        assert sent[2].status == 413
        texts = []
        async for message in chat:
            texts.append(message.text)
            if message.text == "1":
                chat.hang_up()
        assert texts == ["0", "1"]
