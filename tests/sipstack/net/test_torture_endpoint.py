"""The torture messages sent to a running endpoint that serves guest01: what it answers, and that it lives on."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

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

VECTORS = Path(__file__).parents[2] / "vectors" / "torture"
EXPECTED: dict[str, dict[str, Any]] = tomllib.loads((VECTORS / "expected.toml").read_text(encoding="utf-8"))

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
            await loop.sock_sendto(sock, (VECTORS / f"{name}.dat").read_bytes(), address)
            question, call_id = options("UDP", sock.getsockname())
            await loop.sock_sendto(sock, question, address)
            async with asyncio.timeout(10):
                while True:
                    answer = parse_message(await loop.sock_recv(sock, 65535))
                    if call_id_of(answer) == call_id:
                        break
        assert isinstance(answer, Response) and answer.status == 200
        sent = sent_datagrams(records)
    assert all(record.remote is not None and record.remote[0] == "127.0.0.1" for record in sent)
    return [answer for answer in responses([record.data for record in sent]) if call_id_of(answer) != call_id]


async def read_response(reader: asyncio.StreamReader, parser: StreamParser) -> Response | None:
    """Return the next response of a stream; None at its end."""
    while (message := parser.next_message()) is None:
        data = await asyncio.wait_for(reader.read(65536), 10)
        if not data:
            return None
        parser.receive_data(data)
    assert isinstance(message, Response)
    return message


async def tcp_answers(name: str) -> tuple[list[Response], bool]:
    """Send a vector and then an OPTIONS by TCP; return what came before the 200 to the OPTIONS, and whether the
    connection was closed instead. Then the OPTIONS has to be answered on a new one."""
    expected, answers = EXPECTED[name], []
    async with guest_endpoint() as (address, _):
        reader, writer = await asyncio.open_connection(*address)
        writer.write((VECTORS / f"{name}.dat").read_bytes())
        if expected["stream"] == "wait":
            writer.write_eof()
        else:
            question, call_id = options("TCP", writer.get_extra_info("sockname"))
            writer.write(question)
        parser = StreamParser()
        while (answer := await read_response(reader, parser)) is not None and call_id_of(answer) != call_id:
            answers.append(answer)
        writer.close()
        if answer is None:
            reader, writer = await asyncio.open_connection(*address)
            question, call_id = options("TCP", writer.get_extra_info("sockname"))
            writer.write(question)
            last = await read_response(reader, StreamParser())
            writer.close()
        else:
            last = answer
        assert last is not None and (last.status, call_id_of(last)) == (200, call_id)
    return answers, answer is None


@pytest.mark.parametrize("name", EXPECTED)
async def test_udp(name: str) -> None:
    check(await udp_answers(name), [EXPECTED[name]["answer"]], name)


@pytest.mark.parametrize("name", EXPECTED)
async def test_tcp(name: str) -> None:
    answers, closed = await tcp_answers(name)
    match EXPECTED[name]["stream"]:
        case "close":
            assert closed
            check(answers, [AFTER_LOST_FRAMING], name)
        case "wait":
            assert closed and answers == []
        case "two":
            assert not closed
            check(answers, [EXPECTED[name]["answer"], SECOND_ANSWER[name]], name)
        case _:
            assert not closed
            check(answers, [EXPECTED[name]["answer"]], name)
