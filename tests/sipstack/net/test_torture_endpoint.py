"""The torture messages sent to a running endpoint that serves guest01: what it answers, and that it lives on."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.lab.conformance.torture import vectors
from sipstack import ids
from sipstack.errors import RemoteProtocolError
from sipstack.flow import HostPort
from sipstack.net.config import EndpointConfig
from sipstack.net.endpoint import Endpoint
from sipstack.net.invitation import IncomingInvitation, IncomingPage
from sipstack.net.useragent import AgentHandler, Identity, UserAgent
from sipstack.sip.message import Request, Response
from sipstack.sip.parser import StreamParser, parse_message
from sipstack.sip.uri import Uri
from sipstack.trace import Record, Trace, WireRecord

EXPECTED = vectors()

GUEST = Uri.parse("sip:guest01@ims.lab.example")

AFTER_LOST_FRAMING = [400]
"""What a message gets on a stream that cannot be read on: its end is not known, so nothing else in it counts."""

SECOND_ANSWER = {"dblreq": [488]}
"""On a stream the octets behind Content-Length are a message of their own."""


class ChatsOnly(AgentHandler):
    """Takes chats and texts as the gateway does."""

    def chat_invited(self, agent: UserAgent, invitation: IncomingInvitation) -> None:
        with contextlib.suppress(RemoteProtocolError):  # 488 is sent
            invitation.answer()

    def message_received(self, agent: UserAgent, message: IncomingPage) -> None:
        if message.content_type.partition(";")[0] == "text/plain":
            message.accept()
        else:
            message.reject(415)


@asynccontextmanager
async def guest_endpoint() -> AsyncIterator[tuple[HostPort, list[Record]]]:
    records: list[Record] = []
    async with Endpoint(EndpointConfig(), trace=Trace("gateway", records.append, lambda: 0.0)) as endpoint:
        agent = UserAgent(endpoint, Identity(GUEST), domain=Uri.parse("sip:ims.lab.example"), handler=ChatsOnly())
        try:
            yield endpoint.local, records
        finally:
            await agent.close()


def options(transport: str, local: HostPort) -> tuple[bytes, str]:
    """Return an OPTIONS to the guest, and its Call-ID."""
    call_id = ids.call_id()
    headers = [
        ("Via", f"SIP/2.0/{transport} {local[0]}:{local[1]};rport;branch={ids.branch()}"),
        ("Max-Forwards", "70"),
        ("From", f"<sip:dana@lab.example>;tag={ids.tag()}"),
        ("To", f"<{GUEST}>"),
        ("Call-ID", call_id),
        ("CSeq", "1 OPTIONS"),
    ]
    return bytes(Request("OPTIONS", GUEST, headers)), call_id


def call_id_of(message: Request | Response) -> str | None:
    """Return the Call-ID, None when there is none: the answer to a request without it has none either."""
    return message.headers.get("Call-ID")


def sent_datagrams(records: list[Record]) -> list[WireRecord]:
    return [record for record in records if isinstance(record, WireRecord) and record.direction == "out"]


def responses(data: list[bytes]) -> list[Response]:
    parsed = [parse_message(item) for item in data]
    assert all(isinstance(message, Response) for message in parsed), "a request was sent for no reason"
    return [message for message in parsed if isinstance(message, Response)]


def check(answers: list[Response], expected: list[list[int]], name: str) -> None:
    """Each message gets one final answer of its list; an empty list stands for no answer."""
    finals = [answer.status for answer in answers if answer.is_final]
    wanted = [codes for codes in expected if codes]
    assert len(finals) == len(wanted), (name, finals, wanted)
    assert all(status in codes for status, codes in zip(finals, wanted, strict=True)), (name, finals, wanted)


async def udp_answers(name: str) -> list[Response]:
    """Send a vector and then an OPTIONS by UDP; return what was sent before the 200 to the OPTIONS.

    Where no rport asks for it the answer goes to the port in Via, not to our socket (:rfc:`3261#section-18.2.2`):
    so the transport's own record is read.
    """
    loop = asyncio.get_running_loop()
    async with guest_endpoint() as (address, records):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.bind(("127.0.0.1", 0))
            sock.sendto(EXPECTED[name].octets, address)
            question, call_id = options("UDP", sock.getsockname())
            sock.sendto(question, address)
            async with asyncio.timeout(10):
                while True:
                    answer = parse_message(await loop.sock_recv(sock, 65535))
                    if call_id_of(answer) == call_id:
                        break
        assert isinstance(answer, Response) and answer.status == 200
        sent = sent_datagrams(records)
    assert all(record.remote is not None and record.remote[0] == "127.0.0.1" for record in sent)
    return [answer for answer in responses([record.data for record in sent]) if call_id_of(answer) != call_id]


class TcpClient:
    """One connection to the endpoint."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.parser = StreamParser()

    @classmethod
    @asynccontextmanager
    async def connect(cls, address: HostPort) -> AsyncIterator[TcpClient]:
        reader, writer = await asyncio.open_connection(*address)
        yield cls(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def next_response(self) -> Response | None:
        """Return the next response; None when the endpoint has closed the connection."""
        while (message := self.parser.next_message()) is None:
            data = await asyncio.wait_for(self.reader.read(65536), 10)
            if not data:
                return None
            self.parser.receive_data(data)
        assert isinstance(message, Response)
        return message

    async def ask(self) -> list[Response]:
        """Send an OPTIONS, which has to get 200; return what came before that."""
        question, call_id = options("TCP", self.writer.get_extra_info("sockname"))
        self.writer.write(question)
        answers = []
        while (answer := await self.next_response()) is not None and call_id_of(answer) != call_id:
            answers.append(answer)
        assert answer is not None and answer.status == 200
        return answers


async def tcp_answers(name: str) -> list[Response]:
    """Send a vector and then an OPTIONS by TCP; return what came before the 200 to the OPTIONS.

    Where the connection has to be closed after the vector, the OPTIONS is sent by a new one.
    """
    data, stream = EXPECTED[name].octets, EXPECTED[name].stream
    async with guest_endpoint() as (address, _):
        async with TcpClient.connect(address) as client:
            client.writer.write(data)
            if stream not in ("close", "wait"):
                return await client.ask()
            if stream == "wait":
                client.writer.write_eof()
            answers = []
            while (answer := await client.next_response()) is not None:
                answers.append(answer)
        async with TcpClient.connect(address) as client:
            assert await client.ask() == []
    return answers


@pytest.mark.parametrize("name", EXPECTED)
async def test_udp(name: str) -> None:
    check(await udp_answers(name), [list(EXPECTED[name].answer)], name)


@pytest.mark.parametrize("name", EXPECTED)
async def test_tcp(name: str) -> None:
    answers, answer = await tcp_answers(name), list(EXPECTED[name].answer)
    expected = {"close": [AFTER_LOST_FRAMING], "wait": [], "two": [answer, SECOND_ANSWER.get(name, [])]}
    check(answers, expected.get(EXPECTED[name].stream, [answer]), name)
