from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from dns.rdata import from_text
from dns.rdataclass import IN
from dns.rdatatype import from_text as rdatatype

from sipstack import ids
from sipstack.errors import ConnectionClosed, SipstackError, TransactionTimeout
from sipstack.flow import Flow
from sipstack.net.config import EndpointConfig
from sipstack.net.endpoint import Endpoint
from sipstack.net.lookup import Answer
from sipstack.net.resolver import Resolver
from sipstack.net.useragent import Identity, UserAgent
from sipstack.sip.digest import Credentials, DigestClient, DigestServer, Verified, compute_ha1
from sipstack.sip.message import Request, Response
from sipstack.sip.timers import TimerValues
from sipstack.sip.transaction import ServerTransaction
from sipstack.sip.uri import Uri

FAST = TimerValues(t1=0.02, t2=0.08, t4=0.1)


def config(**options: Any) -> EndpointConfig:
    return EndpointConfig(timers=FAST, msrp=False, **options)


@asynccontextmanager
async def endpoints(count: int = 2, **options: Any) -> AsyncIterator[list[Endpoint]]:
    made = [Endpoint(config(**options)) for _ in range(count)]
    for endpoint in made:
        await endpoint.start()
    try:
        yield made
    finally:
        for endpoint in made:
            await endpoint.close()


def request_to(endpoint: Endpoint, method: str = "OPTIONS", *, body: bytes = b"", transport: str = "udp") -> Request:
    headers = [
        ("Max-Forwards", "70"),
        ("From", f"<sip:a@x.example>;tag={ids.tag()}"),
        ("To", "<sip:b@x.example>"),
        ("Call-ID", ids.call_id()),
        ("CSeq", f"1 {method}"),
    ]
    if method == "INVITE":
        headers.append(("Contact", "<sip:a@192.0.2.1>"))
    if body:
        headers.append(("Content-Type", "text/plain"))
    return Request(method, endpoint.uri("b").with_param("transport", transport), headers, body)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


def ignore(_: object) -> None:
    pass


class Server:
    """Takes every request and answers by a function."""

    def __init__(self, endpoint: Endpoint, answer: Callable[[ServerTransaction, Request], None]) -> None:
        self.requests: list[Request] = []
        self.answer = answer
        endpoint.on_request = self

    def __call__(self, transaction: ServerTransaction, request: Request) -> bool:
        self.requests.append(request)
        self.answer(transaction, request)
        return True


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_request_and_answer(transport: str) -> None:
    async with endpoints() as (one, two):
        server = Server(two, lambda transaction, request: two.respond(transaction, Response.for_request(request, 200)))
        response = await one.request(request_to(two, transport=transport))
        assert response.status == 200
        via = server.requests[0].via
        assert via.transport == transport.upper()
        assert (via.host_port, via.received) == (one.local, "127.0.0.1")
        assert via.rport is not None


@pytest.mark.parametrize(
    ("method", "status", "header"),
    [
        ("OPTIONS", 404, None),
        ("PUBLISH", 405, "Allow"),
        ("SUBSCRIBE", 489, "Allow"),
        ("FOO", 501, "Allow"),
    ],
)
async def test_nobody_there(method: str, status: int, header: str | None) -> None:
    async with endpoints() as (one, two):
        response = await one.request(request_to(two, method))
        assert response.status == status
        assert header is None or header in response.headers


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"Require": "100rel, frobs"}, 420),
        ({"Content-Encoding": "gzip"}, 415),
        ({"To": "<sip:b@x.example>;tag=unknown"}, 481),
        ({"CSeq": "1 INVITE"}, 400),
    ],
)
async def test_refusals(change: dict[str, str], status: int) -> None:
    async with endpoints() as (one, two):
        UserAgent(two, Identity(Uri.parse("sip:b@x.example"), contact_token="b"), domain=Uri.parse("sip:x.example"))
        request = request_to(two)
        for name, value in change.items():
            request.headers.set(name, value)
        # Sent by hand, because our own layer would not send some of these.
        request.headers.insert("Via", one.via("UDP"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
            raw.bind(("127.0.0.1", 0))
            raw.settimeout(5)
            raw.sendto(bytes(request), two.local)
            answer = await asyncio.to_thread(raw.recv, 4096)
        assert answer.startswith(f"SIP/2.0 {status} ".encode())


async def test_wrong_scheme() -> None:
    async with endpoints() as (one, two):
        request = request_to(two)
        hop = request.uri
        request.uri = "unknown:b"
        assert (await one.request(request, route=hop)).status == 416


async def test_big_request_goes_by_tcp() -> None:
    async with endpoints() as (one, two):
        server = Server(two, lambda transaction, request: two.respond(transaction, Response.for_request(request, 200)))
        for size in (100, 1500):
            assert (await one.request(request_to(two, "OPTIONS", body=b"x" * size))).status == 200
        assert [request.via.transport for request in server.requests] == ["UDP", "TCP"]
        assert len(server.requests[1].vias) == 1


async def test_big_request_falls_back_to_udp() -> None:
    async with endpoints(1) as (one,), endpoints(1, tcp=False) as (two,):
        server = Server(two, lambda transaction, request: two.respond(transaction, Response.for_request(request, 200)))
        assert (await one.request(request_to(two, "OPTIONS", body=b"x" * 1500))).status == 200
        assert [request.via.transport for request in server.requests] == ["UDP"]


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
async def test_proxy_and_server_challenge_together(algorithm: str) -> None:
    async with endpoints() as (one, two):
        proxy = DigestServer("proxy.example", (algorithm,), secret=b"secret")
        home = DigestServer("home.example", (algorithm,), secret=b"secret")

        def lookup(username: str, realm: str, algorithm: str) -> str | None:
            return compute_ha1(username, realm, "password", algorithm)

        def answer(transaction: ServerTransaction, request: Request) -> None:
            now = two.timers.time()
            if not isinstance(proxy.verify(request, lookup, now, proxy=True), Verified):
                two.reply(transaction, 407, headers=[("Proxy-Authenticate", c) for c in proxy.challenges(now)])
            elif not isinstance(home.verify(request, lookup, now), Verified):
                two.reply(transaction, 401, headers=[("WWW-Authenticate", c) for c in home.challenges(now)])
            else:
                two.reply(transaction, 200)

        server = Server(two, answer)
        digest = DigestClient(Credentials.from_password("a", "password"))
        assert (await one.request(request_to(two), digest=digest)).status == 200
        assert [request.cseq.number for request in server.requests] == [1, 2, 3]
        assert len({request.via.branch for request in server.requests}) == 3
        # next time both are known
        assert (await one.request(request_to(two), digest=digest)).status == 200
        assert len(server.requests) == 4
        # wrong password: the challenge is final
        wrong = DigestClient(Credentials.from_password("a", "wrong"))
        assert (await one.request(request_to(two), digest=wrong)).status == 407


async def test_dead_hop() -> None:
    async with endpoints() as (one, two):
        request, hop = request_to(two), two.uri()
        await two.close()
        for transport in ("udp", "tcp"):
            with pytest.raises(ConnectionClosed):
                await one.request(request, route=hop.with_param("transport", transport))
        with pytest.raises(ConnectionClosed):
            await one.request(request_to(one), route=Uri.parse("tel:+4915112345"))


async def test_silent_peer() -> None:
    async with endpoints() as (one, two):
        Server(two, lambda transaction, request: None)
        with pytest.raises(TransactionTimeout):
            await one.request(request_to(two), timeout=0.05)
        with pytest.raises(TransactionTimeout):
            await one.request(request_to(two))


async def test_close_fails_what_is_pending() -> None:
    async with endpoints() as (one, two):
        Server(two, lambda transaction, request: None)
        pending = asyncio.ensure_future(one.request(request_to(two), timeout=60))
        await asyncio.sleep(0.01)
        await one.close()
        with pytest.raises(SipstackError):
            await pending
        await one.close()


async def test_failing_owner_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    async with endpoints() as (one, two):
        Server(two, lambda transaction, request: [][0])
        assert (await one.request(request_to(two))).status == 500
        assert "IndexError" in caplog.text


class Proxy:
    """A stateful proxy of the size that the lab needs: everything goes to one hop, with Record-Route."""

    def __init__(self, endpoint: Endpoint, hop: Uri | Flow) -> None:
        self.endpoint = endpoint
        self.hop = hop
        self.forwarded: dict[ServerTransaction, Any] = {}
        self.failures: list[SipstackError] = []
        endpoint.on_request = self.request
        endpoint.on_ack = self.ack
        endpoint.on_cancel = lambda transaction, request: self.forwarded[transaction].cancel()

    def request(self, transaction: ServerTransaction, request: Request) -> bool:
        def failed(error: SipstackError) -> None:
            self.failures.append(error)
            self.endpoint.reply(transaction, 480)

        self.forwarded[transaction] = self.endpoint.forward(
            request,
            self.hop,
            lambda response: self.endpoint.respond(transaction, response, repeat=False),
            failed,
        )
        return True

    def ack(self, request: Request) -> bool:
        self.endpoint.send_stateless(request, self.hop)
        return True


async def test_forwarding() -> None:
    async with endpoints(3) as (one, middle, two):
        proxy = Proxy(middle, two.uri())
        server = Server(two, lambda transaction, request: None)
        server.answer = lambda transaction, request: two.respond(transaction, Response.for_request(request, 200))
        response = await one.request(request_to(two, "MESSAGE"), route=middle.uri())
        assert response.status == 200
        assert [via.host_port for via in server.requests[0].vias] == [middle.local, one.local]
        assert len(response.vias) == 1
        await two.close()
        assert (await one.request(request_to(two, "MESSAGE"), route=middle.uri())).status == 480
        assert isinstance(proxy.failures[0], ConnectionClosed)


async def test_forwarded_invite_is_cancelled() -> None:
    async with endpoints(3) as (one, middle, two):
        Proxy(middle, two.uri())
        cancelled: list[Request] = []

        def cancel(transaction: ServerTransaction, request: Request) -> None:
            cancelled.append(request)
            two.reply(transaction, 487)

        server = Server(two, lambda transaction, request: ignore(two.reply(transaction, 180)))
        two.on_cancel = cancel
        responses: list[Response] = []
        failures: list[SipstackError] = []
        client = one.send(request_to(two, "INVITE"), middle.uri(), responses.append, failures.append)
        await until(lambda: responses)
        client.cancel("SIP;cause=200")
        await until(lambda: len(responses) == 2)
        assert [response.status for response in responses] == [180, 487]
        assert len(cancelled) == 1 and len(server.requests) == 1 and failures == []


async def test_ack_of_success_is_relayed() -> None:
    async with endpoints(3) as (one, middle, two):
        Proxy(middle, two.uri())
        acks: list[Request] = []

        def ack_received(request: Request) -> bool:
            acks.append(request)
            return True

        two.on_ack = ack_received
        Server(two, lambda transaction, request: ignore(two.reply(transaction, 200)))
        responses: list[Response] = []
        one.send(request_to(two, "INVITE"), middle.uri(), responses.append, lambda error: None)
        await until(lambda: responses)
        ack = request_to(two, "ACK")
        for name in ("From", "Call-ID"):
            ack.headers.set(name, responses[0].headers.get(name, ""))
        ack.headers.set("To", responses[0].headers.get("To", ""))
        one.send_stateless(ack, middle.uri())
        await until(lambda: acks)
        assert [via.host_port for via in acks[0].vias] == [middle.local, one.local]


async def test_advertised_address() -> None:
    endpoint = Endpoint(config(advertise_host="gw.example", advertise_port=5099))
    async with endpoint:
        assert endpoint.local == ("gw.example", 5099)
        assert str(endpoint.uri("x")) == "sip:x@gw.example:5099"
        assert endpoint.via("UDP").startswith("SIP/2.0/UDP gw.example:5099;branch=z9hG4bK")
        assert endpoint.is_local(Uri.parse("sip:x@GW.example:5099"))
        assert not endpoint.is_local(Uri.parse("sip:x@other.example:5099"))


class Names(Resolver):
    """Knows ``both.example``: the first target is dead, the second is ``live``; ``none.example`` does not exist."""

    def __init__(self, dead: int, live: int) -> None:
        self.ports = {"dead.example": dead, "live.example": live}
        super().__init__(query=self._answer, hosts={})

    async def _answer(self, name: str, kind: str) -> Answer:
        await asyncio.sleep(0)
        if (name, kind) == ("_sip._udp.both.example", "SRV"):
            lines = [f"{rank} 0 {port} {host}." for rank, (host, port) in enumerate(self.ports.items(), 1)]
        elif name in self.ports and kind == "A":
            lines = ["127.0.0.1"]
        else:
            lines = []
        return Answer([from_text(IN, rdatatype(kind), line) for line in lines], ttl=0.0)


async def test_next_target_when_the_first_is_dead_or_busy() -> None:
    async with endpoints(2) as (busy, live):
        Server(busy, lambda transaction, request: ignore(busy.reply(transaction, 503)))
        server = Server(live, lambda transaction, request: ignore(live.reply(transaction, 200)))
        async with Endpoint(config(), resolver=Names(busy.local[1], live.local[1])) as one:
            both = Uri.parse("sip:both.example;transport=udp")
            assert (await one.request(request_to(live), route=both)).status == 200
            await busy.close()
            assert (await one.request(request_to(live), route=both)).status == 200
            # RFC 3263 §4.3: identical, but for the branch
            assert [request.cseq.number for request in server.requests] == [1, 1]
            with pytest.raises(ConnectionClosed):
                await one.request(request_to(live), route=Uri.parse("sip:none.example"))


async def test_names_for_stateless_and_cancelled_requests() -> None:
    async with endpoints(1) as (live,):
        acks: list[Request] = []
        live.on_ack = lambda request: bool(acks.append(request))  # type: ignore[func-returns-value]  # always None
        server = Server(live, lambda transaction, request: ignore(live.reply(transaction, 180)))
        async with Endpoint(config(), resolver=Names(live.local[1], live.local[1])) as one:
            for uri in ("sip:none.example", "tel:+1", f"sip:live.example:{live.local[1]}"):
                one.send_stateless(request_to(live, "ACK"), Uri.parse(uri))
            await until(lambda: acks)
            failures: list[SipstackError] = []
            hop = Uri.parse("sip:both.example;transport=udp")
            client = one.send(request_to(live, "INVITE"), hop, ignore, failures.append)
            client.cancel()
            client.cancel()
            assert isinstance(failures[0], ConnectionClosed) and failures[0].certain
            await asyncio.sleep(0.05)
            assert server.requests == [] and len(acks) == 1


async def test_answer_finds_its_way_when_the_connection_is_gone() -> None:
    async with endpoints() as (one, two):
        waiting: list[ServerTransaction] = []
        Server(two, lambda transaction, request: waiting.append(transaction))
        responses: list[Response] = []
        request = request_to(two, transport="tcp")
        client = one.send(request, request.uri, responses.append, ignore)
        await until(lambda: waiting)
        assert two._transport is not None and one._transport is not None
        flow = waiting[0].flow
        assert flow.connection is not None
        # Our side of the connection goes without our layer's knowing, as behind a proxy that restarts.
        ours, theirs = one._transport._connections, two._transport._connections
        ours._on_failed = lambda flow, error: None
        theirs._open[flow.connection].abort()
        await until(lambda: not ours._open)
        two.reply(waiting[0], 200)
        await until(lambda: responses)
        assert responses[0].status == 200 and client.final


async def test_client_forgets() -> None:
    async with endpoints() as (one, two):
        waiting: list[ServerTransaction] = []
        Server(two, lambda transaction, request: waiting.append(transaction))
        responses: list[Response] = []
        request = request_to(two)
        client = one.send(request, request.uri, responses.append, ignore)
        await until(lambda: waiting)
        client.forget()
        two.reply(waiting[0], 200)
        await asyncio.sleep(0.05)
        assert responses == []
        client.cancel()
        assert not client.cancelled


async def test_after_close() -> None:
    async with endpoints() as (one, two):
        request = request_to(two)
        await one.close()
        with pytest.raises(ConnectionClosed) as caught:
            await one.request(request)
        assert caught.value.certain


async def test_closing_endpoint_refuses() -> None:
    async with endpoints() as (one, two):
        two.closing = True
        response = await one.request(request_to(two))
        assert (response.status, response.headers.get("Retry-After")) == (503, "5")


async def test_port_that_is_taken() -> None:
    async with endpoints(1) as (one,):
        with pytest.raises(OSError):
            await Endpoint(config(bind_port=one.local[1])).start()
        other = Endpoint(EndpointConfig(msrp_port=one.local[1]))
        with pytest.raises(OSError):
            await other.start()
