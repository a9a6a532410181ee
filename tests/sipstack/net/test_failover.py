"""What a request does where its first target fails or its first form is refused: A-RES-03, A-UAC-08, A-UAC-09, 503."""

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

from gateway.lab.ports import free_port
from sipstack import ids
from sipstack.errors import ConnectionClosed, SipstackError, TransactionTimeout
from sipstack.net.endpoint import Endpoint
from sipstack.net.lookup import Answer, Target
from sipstack.net.resolver import Resolver
from sipstack.sip.message import Request, Response
from sipstack.sip.spread import Server
from sipstack.sip.transaction import ServerTransaction
from sipstack.sip.uri import Uri

from .helpers import endpoint_config, until

Answering = Callable[[Endpoint, ServerTransaction, Request], None]


def status(code: int, *headers: tuple[str, str]) -> Answering:
    """Return what answers everything with a status."""

    def answer(endpoint: Endpoint, transaction: ServerTransaction, request: Request) -> None:
        endpoint.reply(transaction, code, headers=headers)

    return answer


def silent(endpoint: Endpoint, transaction: ServerTransaction, request: Request) -> None:
    """Answer nothing."""


class Node:
    """One server behind the name: answers as it is told now, and remembers what it got."""

    def __init__(self, answer: Answering) -> None:
        self.endpoint = Endpoint(endpoint_config(msrp=False))
        self.answer = answer
        self.requests: list[Request] = []
        self.transactions: list[ServerTransaction] = []
        self.cancels = 0
        self.endpoint.on_request = self._received
        self.endpoint.on_ack = self._acknowledged
        self.endpoint.on_cancel = self._cancelled

    def _received(self, transaction: ServerTransaction, request: Request) -> bool:
        self.requests.append(request)
        self.transactions.append(transaction)
        self.answer(self.endpoint, transaction, request)
        return True

    def _acknowledged(self, request: Request) -> bool:
        self.requests.append(request)
        return True

    def _cancelled(self, transaction: ServerTransaction, request: Request) -> None:
        self.cancels += 1
        self.endpoint.reply(transaction, 487)

    @property
    def port(self) -> int:
        return self.endpoint.local[1]

    def methods(self) -> list[str]:
        return [request.method for request in self.requests]


class Names(Resolver):
    """Knows ``core.example`` by UDP and TCP: the ports that it was given, in this order."""

    def __init__(self, ports: list[int]) -> None:
        super().__init__(query=self._answer, hosts={"node.example": ["127.0.0.1"]})
        self.ports = ports

    async def _answer(self, name: str, kind: str) -> Answer:
        lines = []
        if kind == "SRV" and name.endswith("core.example"):
            lines = [f"{rank} 0 {port} node.example." for rank, port in enumerate(self.ports)]
        return Answer([from_text(IN, rdatatype(kind), line) for line in lines])


CORE = Uri.parse("sip:core.example;transport=udp")
CORE_TCP = Uri.parse("sip:core.example;transport=tcp")


@asynccontextmanager
async def core(*answers: Answering, **options: Any) -> AsyncIterator[tuple[Endpoint, list[Node]]]:
    """Start one node for each answer, and a client that finds them behind ``core.example``."""
    nodes = [Node(answer) for answer in answers]
    async with asyncio.TaskGroup() as starting:
        for node in nodes:
            starting.create_task(node.endpoint.start())
    resolver = Names([node.port for node in nodes])
    client = Endpoint(endpoint_config(msrp=False, **options), resolver=resolver)
    await client.start()
    try:
        yield client, nodes
    finally:
        for endpoint in (client, *(node.endpoint for node in nodes)):
            await endpoint.close()


def request(method: str = "OPTIONS", *, uri: str = "sip:a@core.example", user: str = "b", **options: Any) -> Request:
    headers = [
        ("From", f"<sip:{user}@core.example>;tag={ids.tag()}"),
        ("To", f"<{uri}>"),
        ("Call-ID", ids.call_id()),
        ("CSeq", f"1 {method}"),
        ("Contact", "<sip:b@192.0.2.1>"),
        *options.pop("headers", ()),
    ]
    return Request(method, uri, headers, **options)


# fail-over


async def test_the_next_target_gets_the_same_request_with_another_branch() -> None:
    """:rfc:`3263#section-4.3`: identical to the previous, but for the branch."""
    async with core(status(503), status(200)) as (client, (busy, live)):
        assert (await client.request(request(), route=CORE)).status == 200
        first, second = busy.requests[0], live.requests[0]
        assert first.via.branch != second.via.branch
        assert (first.call_id, first.cseq, first.from_.tag) == (second.call_id, second.cseq, second.from_.tag)


async def test_a_time_out_is_a_failure_only_where_nothing_was_heard() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        async with core(status(200)) as (client, (live,)):
            resolver = client.locator.resolver
            assert isinstance(resolver, Names)
            resolver.ports.insert(0, deaf.getsockname()[1])
            assert (await client.request(request(), route=CORE)).status == 200
            # known to be dead: passed over from now on
            async with asyncio.timeout(1.0):
                assert (await client.request(request(), route=CORE)).status == 200
            assert len(live.requests) == 2
    # a server of ours sends 100 by itself when there is no answer (RFC 4320)
    async with core(silent, status(200)) as (client, (slow, live)):
        with pytest.raises(TransactionTimeout):
            await client.request(request(), route=CORE)
        assert live.requests == [] and len(slow.requests) == 1


async def test_who_refuses_connections_is_passed_over_until_asked_again() -> None:
    async with core(status(200), dead_time=0.1) as (client, (live,)):
        resolver = client.locator.resolver
        assert isinstance(resolver, Names)
        resolver.ports.insert(0, free_port("127.0.0.1"))
        for _ in range(2):
            assert (await client.request(request(), route=CORE_TCP)).status == 200
        place = ("TCP", "127.0.0.1", resolver.ports[0])
        now = asyncio.get_running_loop().time()
        outage = client.locator.outages.of(place, now)
        assert outage is not None and outage.until <= now + 0.1
        assert client.locator.outages.of(place, outage.until) is None


async def test_what_is_too_long_for_a_datagram_went_by_tcp_and_the_next_target_has_its_own_way() -> None:
    """A-TRN-01: UDP is left to try only where UDP was meant."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.bind(("127.0.0.1", 0))
        plain.setblocking(False)
        async with core(status(200)) as (client, (node,)):
            outcomes: list[object] = []
            long = request(headers=[("Subject", "x" * 2000)])
            sent = client.send(long, CORE, outcomes.append, outcomes.append)
            await until(lambda: outcomes)
            assert sent.target is not None and sent.target.transport == "TCP"
            node.answer = status(503)
            ways = ("UDP", node.port), ("TCP", plain.getsockname()[1])
            resolver = client.locator.resolver
            servers = (Server(tuple(Target(way, "127.0.0.1", port) for way, port in ways), "core.example"),)
            resolver.servers_now = lambda uri: servers  # type: ignore[method-assign]  # one answer for all
            with pytest.raises(ConnectionClosed):
                await client.request(long, route=CORE)
            with pytest.raises(BlockingIOError):
                plain.recv(1)


async def test_all_dead_are_tried_all_the_same() -> None:
    async with core(status(200)) as (client, (live,)):
        client.locator.died(("UDP", "127.0.0.1", live.port))
        assert (await client.request(request(), route=CORE)).status == 200
        assert not client.locator.outages


async def test_cancel_and_ack_go_where_the_invite_went() -> None:
    """:rfc:`3263#section-4.4`: ACK of a non-2xx and CANCEL must go to the same server."""
    ringing = status(180)
    async with core(status(503), ringing) as (client, (busy, live)):
        outcomes: list[Response | SipstackError] = []
        client_request = client.send(request("INVITE"), CORE, outcomes.append, outcomes.append)
        await until(lambda: outcomes)
        client_request.cancel()
        await until(lambda: len(outcomes) == 2)
        assert isinstance(outcomes[1], Response) and outcomes[1].status == 487
        assert (busy.cancels, live.cancels) == (0, 1)
        invite = live.requests[0]
        assert client_request.request.via.branch == invite.via.branch
        assert busy.methods() == ["INVITE"]
        # the 503 was acknowledged where it came from, the 487 where the INVITE rang
        await until(
            lambda: all(node.transactions[0].state.value in ("Confirmed", "Terminated") for node in (busy, live))
        )


async def test_all_of_one_user_go_to_one_server() -> None:
    async with core(status(200), status(200)) as (client, nodes):
        resolver = client.locator.resolver
        assert isinstance(resolver, Names)

        async def equal(name: str, kind: str) -> Answer:
            lines = [f"1 1 {port} node.example." for port in resolver.ports] if kind == "SRV" else []
            return Answer([from_text(IN, rdatatype(kind), line) for line in lines])

        resolver._query = equal
        for user in range(16):
            for _ in range(2):
                await client.request(request(user=f"guest{user}"), route=CORE)
        served = [{request.from_.uri.user for request in node.requests} for node in nodes]
        assert served[0] and served[1] and not served[0] & served[1]


# outbound proxies that stand for each other


async def test_proxies_take_over_from_each_other_under_their_own_names() -> None:
    async with core(status(503), status(200)) as (_, nodes):
        proxies = tuple(Uri.parse(f"sip:127.0.0.1:{node.port};lr") for node in nodes)
        async with Endpoint(endpoint_config(msrp=False, proxies=proxies)) as client:
            for user in range(8):
                asked = request(user=f"guest{user}", headers=[("Route", f"<{proxies[0]}>"), ("Route", "<sip:s;lr>")])
                assert (await client.request(asked)).status == 200
        for node, proxy in zip(nodes, proxies, strict=True):
            assert node.requests
            assert {tuple(str(route.uri) for route in one.routes) for one in node.requests} == {
                (str(proxy), "sip:s;lr")
            }


async def test_proxies_without_address_are_left_out() -> None:
    async with core(status(200)) as (client, (node,)):
        known = Uri.parse(f"sip:127.0.0.1:{node.port};lr")
        for proxies in ((Uri.parse("sip:none.example;lr"), known), (known, Uri.parse("sip:none.example;lr"))):
            config = endpoint_config(msrp=False, proxies=proxies)
            async with Endpoint(config, resolver=Names([])) as other:
                assert (await other.request(request(), route=proxies[0])).status == 200
        config = endpoint_config(msrp=False, proxies=(Uri.parse("sip:none.example"), Uri.parse("sip:nor.example")))
        async with Endpoint(config, resolver=Names([])) as other:
            with pytest.raises(ConnectionClosed, match="none of the outbound proxies"):
                await other.request(request(), route=config.proxies[0])


# who wants to be left alone


async def test_retry_after_is_obeyed() -> None:
    """:rfc:`3261#section-21.5.4`: no other requests to that server for the time that Retry-After says."""
    async with core(status(503, ("Retry-After", "60")), status(200)) as (client, (busy, live)):
        for _ in range(2):
            assert (await client.request(request(), route=CORE)).status == 200
        assert (len(busy.requests), len(live.requests)) == (1, 2)


async def test_when_all_want_to_be_left_alone_nothing_is_sent() -> None:
    async with core(status(503, ("Retry-After", "60"))) as (client, (busy,)):
        assert (await client.request(request(), route=CORE)).status == 503
        response = await client.request(request(), route=CORE)
        assert (response.status, response.retry_after and response.retry_after.seconds) == (503, 60)
        assert len(busy.requests) == 1
        # but for what belongs to a dialog: a BYE makes room
        bye = request("BYE")
        bye.headers.set("To", "<sip:a@core.example>;tag=1")
        await client.request(bye, route=CORE)
        assert busy.methods() == ["OPTIONS", "BYE"]


async def test_503_without_retry_after_is_one_refusal() -> None:
    """:rfc:`3261#section-21.5.4`: without Retry-After it means what 500 means."""
    async with core(status(503)) as (client, (busy,)):
        for _ in range(2):
            assert (await client.request(request(), route=CORE)).status == 503
        assert len(busy.requests) == 2


# redirections


def redirecting(contacts: dict[str, str], otherwise: int = 200) -> Answering:
    """Return what redirects the users that it knows."""

    def answer(endpoint: Endpoint, transaction: ServerTransaction, request: Request) -> None:
        contact = contacts.get(request.uri.user or "")
        if contact is None:
            endpoint.reply(transaction, otherwise)
        else:
            endpoint.reply(transaction, 302, headers=[("Contact", contact)])

    return answer


async def test_a_redirection_is_reported_where_policy_does_not_follow() -> None:
    async with core(redirecting({"a": "<sip:c@core.example>"})) as (client, (node,)):
        assert (await client.request(request(), route=CORE)).status == 302
        assert len(node.requests) == 1


async def test_a_redirection_is_followed_by_the_same_proxy() -> None:
    async with core(redirecting({"a": "<sip:c@elsewhere.example>"}), redirects=5) as (client, (node,)):
        assert (await client.request(request(), route=CORE)).status == 200
        first, second = node.requests
        assert second.uri_text == "sip:c@elsewhere.example"
        assert (second.call_id, second.from_.tag, second.to.uri) == (first.call_id, first.from_.tag, first.to.uri)
        assert (first.cseq.number, second.cseq.number) == (1, 2)
        assert first.via.branch != second.via.branch


async def test_without_proxy_a_redirection_leads_elsewhere() -> None:
    async with core(status(302), status(200)) as (client, (first, second)):
        client.config.redirects = 1
        moved = f"<sip:a@127.0.0.1:{second.port}>"
        first.answer = status(302, ("Contact", "<sip:a@none.example>, " + moved), ("Contact", moved))
        client.config.redirects = 2
        response = await client.request(request(uri=f"sip:a@127.0.0.1:{first.port}"))
        assert response.status == 200 and len(second.requests) == 1


async def test_a_loop_of_redirections_ends() -> None:
    around = {"a": "<sip:c@core.example>", "c": "<sip:a@core.example>"}
    async with core(redirecting(around), redirects=5) as (client, (node,)):
        assert (await client.request(request(), route=CORE)).status == 302
        assert [request.uri.user for request in node.requests] == ["a", "c"]


async def test_the_next_contact_when_one_refuses_but_not_after_6xx() -> None:
    contacts = {"a": "<sip:c@core.example>;q=0.9, <sip:d@core.example>;q=0.1"}
    for otherwise, count in ((404, 3), (603, 2)):
        async with core(redirecting(contacts, otherwise), redirects=5) as (client, (node,)):
            assert (await client.request(request(), route=CORE)).status == otherwise
            assert len(node.requests) == count


async def test_neither_register_nor_what_is_in_a_dialog_is_redirected() -> None:
    async with core(redirecting({"a": "<sip:c@core.example>"}), redirects=5) as (client, (node,)):
        assert (await client.request(request("REGISTER"), route=CORE)).status == 302
        bye = request("BYE")
        bye.headers.set("To", "<sip:a@core.example>;tag=1")
        assert (await client.request(bye, route=CORE)).status == 302
        assert len(node.requests) == 2


# repairs


async def test_a_repaired_request_is_sent_once_with_the_next_number() -> None:
    async with core(status(420, ("Unsupported", "rest-of-world"))) as (client, (node,)):
        asked = request(headers=[("Require", "rest-of-world")])
        assert (await client.request(asked, route=CORE)).status == 420
        first, second = node.requests
        assert "Require" in first.headers and "Require" not in second.headers
        assert (first.cseq.number, second.cseq.number) == (1, 2)
        assert first.via.branch != second.via.branch
