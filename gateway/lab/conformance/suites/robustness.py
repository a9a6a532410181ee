"""Broken messages of every kind, and between them the question whether the target still answers.

A target may answer such a message as it likes, or not at all; it must not stop to answer sound ones. All of this is
seeded, bounded in number and rate, and runs only when the suite is named: an element that is not well made may come to
harm.
"""

from __future__ import annotations

import json
import time
from typing import NoReturn

import aiohttp

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import Case, case
from gateway.lab.conformance.msrpsteps import Session, session
from gateway.lab.conformance.mutation import mutate
from gateway.lab.conformance.peer import Peer, Received
from gateway.lab.conformance.rawdialog import RawDialog
from gateway.lab.conformance.verdict import Failed, Inconclusive, NotApplicable
from sipstack import ids
from sipstack.errors import ParseError
from sipstack.msrp.chunk import MsrpResponse, Report
from sipstack.sip.message import Message, Request, Response

BATCH = 20
"""Broken messages between two probes: when a target falls silent, the report shows which ones did it."""

LIMIT = 3_600.0
"""Seconds: as many as the most mutations need at a slow rate."""

SHOWN = 1500
"""Octets of each suspicious message in the report."""


SIP_KINDS = (
    "OPTIONS",
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "REGISTER",
    "MESSAGE",
    "SUBSCRIBE",
    "NOTIFY",
    "UPDATE",
    "PRACK",
    "REFER",
    "response",
)
"""What is broken of SIP: requests by their method, and responses to nothing."""

MSRP_KINDS = ("SEND", "REPORT", "response")


class Pace:
    """Sends no faster than the user allows, and remembers what went out since the last probe."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.batch: list[bytes] = []
        self._next = time.monotonic()

    async def step(self, data: bytes) -> None:
        """Wait for the turn of ``data``."""
        self.batch.append(data)
        self._next = max(self._next, time.monotonic() - 0.1) + 1 / self.bench.options.rate
        await self.bench.pause(max(0.0, self._next - time.monotonic()))

    @property
    def full(self) -> bool:
        """Whether it is time for a probe."""
        return len(self.batch) >= BATCH

    def blame(self, what: str) -> NoReturn:
        """Attach the messages of the batch, and fail."""
        self.bench.attach("\n".join(repr(data[:SHOWN]) for data in self.batch))
        self.bench.fail(f"{what} after one of {len(self.batch)} broken messages, which are in the log")


def by_seed(bench: Bench, sound: Message | Report | bytes) -> bytes:
    """Return a broken form of a sound message."""
    return mutate(bench.random, sound if isinstance(sound, bytes) else bytes(sound))


# SIP


async def probe(bench: Bench) -> int:
    """Ask the target for its options; returns the status. Raises Inconclusive when there is no answer."""
    peer = await bench.sip.peer()
    answer = await peer.exchange(peer.request("OPTIONS"))
    await peer.close()
    return answer.response.status


async def tidy(peer: Peer) -> None:
    """End the calls that broken INVITEs have made all the same, and drop what else came."""
    while peer.queue:
        received = peer.queue.pop(0)
        if isinstance(received.message, Response) and received.message.is_success:
            await _end_call(peer, received)


async def _end_call(peer: Peer, received: Received) -> None:
    response = received.response
    try:
        if response.cseq.method != "INVITE" or not response.contacts:
            return
        invite = Request("INVITE", response.contacts[0].uri)
        invite.headers.copy_from(response.headers, "Via", "From", "To", "Call-ID", "CSeq")
        dialog = RawDialog.calling(peer, invite, response)
    except ParseError:
        return
    await dialog.send(dialog.ack())
    await dialog.send(dialog.request("BYE"))


async def sound(bench: Bench, peer: Peer, kind: str) -> Message:
    """Return a sound message to break."""
    if kind == "response":
        request = peer.request(bench.random.choice(("OPTIONS", "INVITE", "BYE")))
        status = bench.random.choice((100, 180, 200, 302, 401, 404, 486, 503))
        return Response.for_request(request, status, to_tag=ids.tag(), headers=[("Contact", peer.contact)])
    body = {"INVITE": await bench.offer(), "UPDATE": await bench.offer(), "MESSAGE": b"Hello."}.get(kind, b"")
    headers = {
        "REGISTER": [("Expires", "60"), ("Contact", f"{peer.contact};expires=60;q=0.5")],
        "SUBSCRIBE": [("Event", "presence"), ("Expires", "60")],
        "NOTIFY": [("Event", "presence"), ("Subscription-State", "active;expires=60")],
        "PRACK": [("RAck", "1 1 INVITE")],
        "REFER": [("Refer-To", peer.contact)],
    }.get(kind, [])
    content_type = "text/plain" if kind == "MESSAGE" else "application/sdp"
    return peer.request(kind, None, headers, body, content_type=content_type)


async def break_sip(bench: Bench, kind: str) -> None:
    """Send broken messages of one kind, each followed by nothing; a probe after each batch."""
    await probe(bench)
    peer, pace = await bench.sip.peer(), Pace(bench)
    for number in range(1, bench.options.mutations + 1):
        data = by_seed(bench, await sound(bench, peer, kind))
        await pace.step(data)
        try:
            await peer.send(data)
        except Inconclusive:
            pace.blame("no connection is to be had")
        if pace.full or number == bench.options.mutations:
            await tidy(peer)
            try:
                await probe(bench)
            except (Inconclusive, Failed):
                pace.blame("the target answers no more")
            pace.batch.clear()


def sip_case(kind: str) -> Case:
    """Return the case that breaks SIP messages of one kind."""

    async def broken(bench: Bench) -> None:
        await break_sip(bench, kind)

    broken.__name__ = f"broken_{kind.lower()}"
    a = "response" if kind == "response" else f"{kind} request"
    return case(
        f"ROB-SIP-{kind.upper()}",
        "RFC 3261 §8.2.7, §16.3",
        suite="robustness.sip",
        roles={"uas", "registrar", "proxy"},
        purpose=f"A broken {a} does no harm to those that come after it.",
        expects="Sound requests are answered as before.",
        risky=True,
        limit=LIMIT,
    )(broken)


@case(
    "ROB-SIP-STREAM",
    "RFC 3261 §18.3",
    suite="robustness.sip",
    roles={"uas", "registrar", "proxy"},
    purpose="Broken streams, cut anywhere and closed anywhere, do no harm to other connections.",
    expects="Sound requests are answered as before.",
    transports=("TCP",),
    risky=True,
    limit=LIMIT,
)
async def broken_streams(bench: Bench) -> None:
    await probe(bench)
    peer, pace = await bench.sip.peer(), Pace(bench)
    for number in range(1, bench.options.mutations + 1):
        data = by_seed(bench, await sound(bench, peer, bench.random.choice(("OPTIONS", "MESSAGE", "response"))))
        await pace.step(data)
        cut = bench.random.randrange(len(data) + 1)
        try:
            await peer.send(data[:cut])
            await peer.send(data[cut:])
        except Inconclusive:
            pace.blame("no connection is to be had")
        if bench.random.random() < 0.3:
            peer.disconnect(await peer.flow())
        if pace.full or number == bench.options.mutations:
            peer.forget()
            try:
                await probe(bench)
            except (Inconclusive, Failed):
                pace.blame("the target answers no more")
            pace.batch.clear()


# MSRP


async def break_msrp(bench: Bench, kind: str) -> None:
    """Send broken frames of one kind; the target may close the connection, but has to take new sessions."""
    await _hang_up(await session(bench))
    pace = Pace(bench)
    sent = 0
    while sent < bench.options.mutations:
        chat = await _session(bench, pace)
        for _ in range(min(BATCH, bench.options.mutations - sent)):
            frame = {
                "SEND": bytes(chat.message()),
                "REPORT": bytes(Report(ids.msrp_transaction_id(), chat.remote, chat.path, ids.message_id(), 1, 1, 1)),
                "response": bytes(MsrpResponse(ids.msrp_transaction_id(), 200, "OK", chat.remote, chat.path)),
            }[kind]
            data = by_seed(bench, frame)
            await pace.step(data)
            sent += 1
            try:
                chat.link.send(data)
            except Inconclusive:
                break  # the target may well hang up on such a peer
        await _hang_up(chat)
        await _hang_up(await _session(bench, pace))
        pace.batch.clear()


async def _session(bench: Bench, pace: Pace) -> Session:
    """Return a session, or fail: broken frames have ended more than their own."""
    try:
        return await session(bench)
    except (Inconclusive, Failed, NotApplicable) as error:
        if not pace.batch:
            raise
        pace.blame(f"no session is to be had any more ({error})")


async def _hang_up(chat: Session) -> None:
    await chat.dialog.hangup()
    chat.link.close()


def msrp_case(kind: str) -> Case:
    """Return the case that breaks MSRP frames of one kind."""

    async def broken(bench: Bench) -> None:
        await break_msrp(bench, kind)

    broken.__name__ = f"broken_msrp_{kind.lower()}"
    a = "response" if kind == "response" else f"{kind} request"
    return case(
        f"ROB-MSRP-{kind.upper()}",
        "RFC 4975 §7.1, §10.5",
        suite="robustness.msrp",
        roles={"msrp"},
        purpose=f"A broken MSRP {a} ends its connection at the worst.",
        expects="New sessions are taken as before.",
        risky=True,
        limit=LIMIT,
    )(broken)


# HTTP

FIELDS = ("to", "message", "id", "language", "valid_for", "types", "note")

BODY_VALUES: tuple[object, ...] = (
    None,
    True,
    -1,
    10**40,
    1e308,
    "",
    "\x00",
    "\u202e",
    "a" * 100_000,
    [],
    {},
    [[[[]]]],
    "sip:",
    "sip:a@b\r\nX: y",
)


@case(
    "ROB-HTTP-FIELDS",
    "RFC 9110 §15.5, §15.6",
    suite="robustness.http",
    roles={"gateway"},
    purpose="Broken HTTP bodies and header fields are the client's fault, and told so.",
    expects="4xx, or what A's side answers; never 500; sound calls are answered as before.",
    risky=True,
    limit=LIMIT,
)
async def broken_http_fields(bench: Bench) -> None:
    gateway = bench.target.gateway
    if gateway is None:
        bench.not_applicable("the target is no gateway of the runner's own")
    for method in ("INVITE", "MESSAGE"):  # of what is sound enough to be sent
        bench.sip.answer_in_case(method, decline)
    guest, pace = await gateway.new_guest(), Pace(bench)
    async with aiohttp.ClientSession(gateway.url) as client:
        for number in range(1, bench.options.mutations + 1):
            body, headers = _http_body(bench), _http_headers(bench, guest.authorization)
            await pace.step(body)
            async with client.post("/rcsgw/invitee/message", data=body, headers=headers) as answer:
                await answer.read()
                if answer.status == 500:
                    pace.blame("the gateway has an internal error")
            if pace.full or number == bench.options.mutations:
                async with client.get("/healthz") as health:
                    bench.check(health.status == 200, f"/healthz answers {health.status}")
                pace.batch.clear()


async def decline(peer: Peer, received: Received) -> None:
    """Refuse to chat."""
    await peer.respond(received, 480)


def _http_body(bench: Bench) -> bytes:
    chance = bench.random
    fields = {name: chance.choice(BODY_VALUES) for name in chance.sample(FIELDS, chance.randrange(len(FIELDS)))}
    sound = {"to": bench.options.identity, "message": "Hello.", **fields}
    body = json.dumps(sound).encode()
    return body if chance.random() < 0.5 else mutate(chance, body)


def _http_headers(bench: Bench, authorization: str) -> dict[str, str]:
    chance = bench.random
    headers = {"Content-Type": "application/json", "Accept": "application/json", "Authorization": authorization}
    if chance.random() < 0.5:
        value = chance.choice(("", "*", "a/b", "application/json;q=x", "Basic", "Basic !!!", "\u00ff", "x" * 4000))
        headers[chance.choice((*headers, "Idempotency-Key", "Rcsgw-Client", "Content-Encoding", "Expect"))] = value
    return headers


CASES = [*map(sip_case, SIP_KINDS), *map(msrp_case, MSRP_KINDS)]
