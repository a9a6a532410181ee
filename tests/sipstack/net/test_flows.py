"""Registrations by flows over real connections, and GRUUs: A-OUT-01, A-OUT-03 to A-OUT-05, A-REG-09."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sipstack.errors import ConnectionClosed, RequestFailed
from sipstack.net.endpoint import Endpoint
from sipstack.net.flows import Flows
from sipstack.net.useragent import Identity, UserAgent
from sipstack.sip.digest import Credentials
from sipstack.sip.message import Request
from sipstack.sip.outbound import Recovery
from sipstack.sip.registration import Registered, RegistrationFailed
from sipstack.sip.transaction import ServerTransaction
from sipstack.sip.uri import Uri

from .helpers import REALM, Core, Phone, endpoint_config, until

GRUU = f"sip:b@{REALM};gr=urn:uuid:1"


class Edge(Core):
    """An edge proxy with a registrar that knows flows."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.grants: tuple[tuple[str, str], ...] = (("Require", "outbound"), ("Flow-Timer", "60"))
        self.contact_parameters = ""
        self.refusal = 0

    def _register(self, transaction: ServerTransaction, request: Request) -> None:
        if self.refusal and "outbound" in request.supported:
            self.endpoint.reply(transaction, self.refusal)
            return
        contact = request.contacts[0]
        self.bindings[request.to.uri.aor] = contact.uri
        headers = [("Contact", f"{contact}{self.contact_parameters}"), ("P-Associated-URI", f"<{request.to.uri}>")]
        self.endpoint.reply(transaction, 200, headers=[*headers, *self.grants])

    def registers(self) -> list[Request]:
        """Return the REGISTERs with credentials."""
        return [
            request for request in self.requests if request.method == "REGISTER" and "Authorization" in request.headers
        ]


class Edges:
    """Two edges, and a user agent that is registered by both."""

    def __init__(self, edges: list[Edge], agent: UserAgent, phone: Phone) -> None:
        self.edges = edges
        self.agent = agent
        self.phone = phone

    @property
    def flows(self) -> Flows:
        assert isinstance(self.agent._binding, Flows)
        return self.agent._binding

    def active(self) -> list[bool]:
        return [binding.active for binding in self.flows.bindings]


@asynccontextmanager
async def edges(count: int = 2, **options: Any) -> AsyncIterator[Edges]:
    """Start edges and an endpoint; nothing is registered yet."""
    made = [Endpoint(endpoint_config(msrp=False)) for _ in range(count)]
    ours = Endpoint(endpoint_config(msrp=False, **{"recovery": Recovery(0.05, 0.05, 0.1), **options}))
    for endpoint in (*made, ours):
        await endpoint.start()
    servers = [Edge(endpoint) for endpoint in made]
    proxies = tuple(server.uri.with_param("transport", "tcp") for server in servers)
    identity = Identity(Uri.parse(f"sip:b@{REALM}"), Credentials.from_password("b", "secret of b"))
    phone = Phone()
    agent = UserAgent(ours, identity, domain=Uri.parse(f"sip:{REALM}"), outbound_proxy=proxies[0], handler=phone)
    agent.proxies = proxies
    try:
        yield Edges(servers, agent, phone)
    finally:
        await agent.close(timeout=0.2)
        for endpoint in (ours, *made):
            await endpoint.close()


async def test_one_flow_for_each_proxy() -> None:
    """:rfc:`5626#section-4.2.1`: the same instance, a number and a Call-ID of its own for each."""
    async with edges() as around:
        assert (await around.agent.register()).outbound
        await until(lambda: around.active() == [True, True])
        contacts = [edge.registers()[0].contacts[0] for edge in around.edges]
        assert [contact.param("reg-id") for contact in contacts] == ["1", "2"]
        assert len({contact.param("+sip.instance") for contact in contacts}) == 1
        assert all(contact.uri.param("ob") == "" for contact in contacts)
        assert len({edge.registers()[0].call_id for edge in around.edges}) == 2
        # what begins a dialog has its way back (RFC 5626 §4.3)
        request = around.agent.create_request("INVITE", Uri.parse(f"sip:a@{REALM}"))
        assert request.contacts[0].uri.param("ob") == ""
        # and goes by the first flow
        await around.agent.options(Uri.parse(f"sip:a@{REALM}"))
        assert [edge.methods().count("OPTIONS") for edge in around.edges] == [1, 0]


async def test_a_dead_flow_is_made_anew() -> None:
    """A-OUT-04, :rfc:`5626#section-4.5`."""
    async with edges() as around:
        await around.agent.register()
        await until(lambda: around.active() == [True, True])
        first = around.edges[0]
        port = first.endpoint.local[1]
        await first.endpoint.close()
        # tried at once, and then again and again; the other flow carries on
        await until(lambda: around.active() == [False, True])
        assert around.agent.registered and around.agent.outbound_proxy == around.agent.proxies[1]
        assert not [event for event in around.phone.events if isinstance(event, RegistrationFailed)]
        await around.agent.options(Uri.parse(f"sip:a@{REALM}"))
        assert around.edges[1].methods().count("OPTIONS") == 1
        again = Edge(Endpoint(endpoint_config(msrp=False, bind_port=port)))
        await again.endpoint.start()
        try:
            await until(lambda: around.active() == [True, True])
            assert again.registers()[-1].contacts[0].param("reg-id") == "1"
            assert around.agent.outbound_proxy == around.agent.proxies[0]
        finally:
            await around.agent.close(timeout=0.2)
            await again.endpoint.close()


async def test_the_second_proxy_where_the_first_is_dead() -> None:
    async with edges() as around:
        await around.edges[0].endpoint.close()
        assert isinstance(await around.agent.register(), Registered)
        assert around.active() == [False, True]
        await around.edges[1].endpoint.close()
        await until(lambda: around.active() == [False, False])
        assert isinstance(around.phone.events[-1], RegistrationFailed)
        with pytest.raises(ConnectionClosed):
            await around.agent.register()


async def test_a_registrar_that_knows_no_flows_gets_one_binding() -> None:
    async with edges() as around:
        for edge in around.edges:
            edge.grants = ()
        assert not (await around.agent.register()).outbound
        assert around.active() == [True, False] and around.edges[1].requests == []
        assert ";ob" not in around.agent.contact()


async def test_439_means_without_outbound() -> None:
    """A-OUT-05."""
    async with edges(1) as around:
        around.edges[0].refusal = 439
        around.edges[0].grants = ()
        assert not (await around.agent.register()).outbound
        assert around.edges[0].registers()[-1].supported == ["path"]
        around.edges[0].refusal = 403
        with pytest.raises(RequestFailed, match="403"):
            async with edges(1) as other:
                other.edges[0].refusal = 403
                await other.agent.register()


async def test_flows_are_kept_alive_as_the_edge_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A-OUT-03: Flow-Timer says how often."""
    async with edges(1) as around:
        kept: list[tuple[int, float | None]] = []
        endpoint = around.agent.endpoint
        monkeypatch.setattr(
            Endpoint, "keep_alive", lambda self, flow, interval=None: kept.append((flow.remote[1], interval))
        )
        await around.agent.register()
        assert kept[-1] == (around.edges[0].endpoint.local[1], 60)
        assert endpoint.locator.users
        await around.agent.unregister()
        assert not endpoint.locator.users


async def test_all_flows_are_removed() -> None:
    async with edges() as around:
        await around.agent.register()
        await until(lambda: around.active() == [True, True])
        await around.agent.unregister()
        last = [edge.registers()[-1].contacts[0] for edge in around.edges]
        assert [(contact.param("expires"), contact.param("reg-id")) for contact in last] == [("0", "1"), ("0", "2")]
        assert not around.agent.registered


async def test_a_gruu_is_our_contact() -> None:
    """A-REG-09."""
    async with edges(1) as around:
        around.edges[0].contact_parameters = f';pub-gruu="{GRUU}"'
        around.agent.gruu = True
        event = await around.agent.register()
        assert str(event.pub_gruu) == GRUU
        assert "gruu" in around.edges[0].registers()[0].supported
        contact = around.agent.create_request("INVITE", Uri.parse(f"sip:a@{REALM}")).contacts[0]
        assert str(contact.uri) == GRUU
        # and who is called by it is found
        request = around.agent.create_request("OPTIONS", Uri.parse(GRUU))
        assert (await around.agent.endpoint.request(request, route=around.agent.endpoint.uri())).status == 200
        await around.agent.unregister()
        assert GRUU not in around.agent.contact()
