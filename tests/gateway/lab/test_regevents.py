"""Registration events between the embedded core and our own user agents: who drops whom, and what follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
import pytest_asyncio

from gateway.doctor.base import Verdict
from gateway.doctor.core import told
from gateway.lab.core import Core, CoreOptions
from gateway.lab.subscribers import Subscriber
from sipstack.errors import RequestFailed
from sipstack.im.reginfo import AorInfo, ContactEvent
from sipstack.net.config import EndpointConfig
from sipstack.net.endpoint import Endpoint
from sipstack.net.regwatch import RegistrationWatch
from sipstack.net.useragent import AgentHandler, Identity, UserAgent
from sipstack.sip.digest import Credentials
from sipstack.sip.message import Request, Response
from sipstack.sip.registration import Registered, RegistrationEvent, RegistrationFailed
from sipstack.sip.subscription import SubscriptionEnded
from sipstack.sip.uri import Uri


class Owner(AgentHandler):
    """Remembers what the registrar did."""

    def __init__(self) -> None:
        self.events: list[RegistrationEvent] = []

    def registration_changed(self, agent: UserAgent, event: RegistrationEvent) -> None:
        self.events.append(event)


class Watching:
    """What a watch has told."""

    def __init__(self, agent: UserAgent, target: str) -> None:
        self.said: list[tuple[AorInfo, ...]] = []
        self.ends: list[SubscriptionEnded] = []
        self.watch = RegistrationWatch(agent, Uri.parse(target), self.said.append, self.ends.append)
        self.watch.start()

    @property
    def last(self) -> list[tuple[bool, str]]:
        """Active and event of each contact in the last document."""
        return [(item.active, item.event.value) for item in self.said[-1][0].contacts] if self.said else []


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


@pytest_asyncio.fixture
async def core() -> AsyncIterator[Core]:
    """A core with a, b, and a service account c that may watch everybody."""
    async with Core(CoreOptions(watchers=("c",))) as core:
        for user in ("a", "b", "c"):
            core.subscribers.put(Subscriber.from_password(user, "secret", "cc.com"))
        yield core


@pytest_asyncio.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with Endpoint(EndpointConfig(msrp=False)) as endpoint:
        yield endpoint


async def online(core: Core, endpoint: Endpoint, user: str, *, watching: bool = False, tcp: bool = False) -> UserAgent:
    identity = Identity(Uri.parse(f"sip:{user}@cc.com"), Credentials.from_password(user, "secret"))
    hop = Uri.parse(core.sip_uri)
    agent = UserAgent(
        endpoint,
        identity,
        domain=Uri.parse("sip:cc.com"),
        outbound_proxy=hop.with_param("transport", "tcp") if tcp else hop,
        handler=Owner(),
    )
    agent.watch_registration = watching
    await agent.register()
    return agent


def events_of(agent: UserAgent) -> list[RegistrationEvent]:
    assert isinstance(agent.handler, Owner)
    return agent.handler.events


@pytest.mark.parametrize("tcp", [False, True])
async def test_whoever_is_dropped_registers_again(core: Core, endpoint: Endpoint, tcp: bool) -> None:
    """B-REG-08: deactivated; the guest notices nothing."""
    agent = await online(core, endpoint, "b", watching=True, tcp=tcp)
    await until(lambda: len(core.events) == 1)
    assert core.drop("b", ContactEvent.DEACTIVATED) and len(core.registrar) == 0
    await until(lambda: len(events_of(agent)) == 2)
    assert agent.registered and len(core.registrar) == 1
    assert [type(event) for event in events_of(agent)] == [Registered, Registered]
    await agent.close()
    await until(lambda: len(core.events) == 0)
    assert endpoint.subscriptions == {}


async def test_whoever_is_rejected_does_not(core: Core, endpoint: Endpoint) -> None:
    """B-REG-08: rejected ends it; by hand it can be tried again."""
    agent = await online(core, endpoint, "b", watching=True)
    await until(lambda: len(core.events) == 1)
    core.drop("b", ContactEvent.REJECTED)
    await until(lambda: len(events_of(agent)) == 2)
    failed = events_of(agent)[-1]
    assert isinstance(failed, RegistrationFailed) and (failed.final, failed.reason) == (True, "rejected")
    assert not agent.registered and len(core.registrar) == 0
    await agent.register()
    assert agent.registered
    await agent.close()


async def test_probation_names_the_time(core: Core, endpoint: Endpoint) -> None:
    """B-REG-08: by the admin HTTP, as an operator of the lab does it."""
    agent = await online(core, endpoint, "b", watching=True)
    await until(lambda: len(core.events) == 1)
    url = "http://{}:{}/registrations/b".format(*core.admin.address)
    async with aiohttp.ClientSession() as session:
        for query, status in (
            ("?event=probation&retry-after=1", 204),
            ("?event=rejected", 404),
            ("?event=registered", 400),
            ("?event=x", 400),
        ):
            async with session.delete(url + query) as response:
                assert response.status == status
    await until(lambda: len(events_of(agent)) == 2)
    failed = events_of(agent)[-1]
    assert isinstance(failed, RegistrationFailed) and not failed.final and failed.reason == "probation"
    await until(lambda: agent.registered)
    await agent.close()


async def test_an_account_that_is_deleted(core: Core, endpoint: Endpoint) -> None:
    agent = await online(core, endpoint, "b", watching=True)
    await until(lambda: len(core.events) == 1)
    core.remove_subscriber("b")
    await until(lambda: len(events_of(agent)) == 2)
    assert isinstance(events_of(agent)[-1], RegistrationFailed) and len(core.events) == 0
    with pytest.raises(RequestFailed):
        await agent.register()
    await agent.close()


async def test_who_may_watch_whom(core: Core, endpoint: Endpoint) -> None:
    """RFC 3680 section 4.6: one's own, or those whom the core trusts."""
    service, other = await online(core, endpoint, "c"), await online(core, endpoint, "b")
    allowed, refused, nobody = (
        Watching(service, "sip:a@cc.com"),
        Watching(other, "sip:a@cc.com"),
        Watching(service, "sip:nobody@cc.com"),
    )
    await until(lambda: allowed.said and refused.ends and nobody.ends)
    assert [ended.status for ended in (*refused.ends, *nobody.ends)] == [403, 404]
    assert allowed.said[0][0].state == "init" and not list(allowed.watch.table.contacts)
    a = await online(core, endpoint, "a")
    await until(lambda: allowed.last == [(True, "registered")])
    await a.register()
    await until(lambda: allowed.last == [(True, "refreshed")])
    await a.unregister()
    await until(lambda: allowed.last == [(False, "unregistered")])
    allowed.watch.stop()
    await until(lambda: len(core.events) == 0)
    for agent in (a, service, other):
        await agent.close()


async def test_the_doctor_looks_whether_the_core_tells(core: Core, endpoint: Endpoint) -> None:
    """One's own registration, and what is wrong where there is none to be had."""
    agent = await online(core, endpoint, "b")
    found = await told(agent)
    assert (found.verdict, found.found) == (Verdict.OK, "the core tells of registrations: 1 contacts of sip:b@cc.com")
    core.remove_subscriber("b")
    found = await told(agent)
    assert found.verdict is Verdict.FAILED and "does not tell of registrations: 4" in found.found
    await agent.close()


async def test_a_notify_that_requires_what_nobody_has(core: Core, endpoint: Endpoint) -> None:
    """A-UAS-01: a subscription is no exception."""
    agent = await online(core, endpoint, "b", watching=True)
    await until(lambda: endpoint.subscriptions)
    (call_id, tag) = next(iter(endpoint.subscriptions))
    headers = [
        ("From", "<sip:b@cc.com>;tag=n"),
        ("To", f"<sip:b@cc.com>;tag={tag}"),
        ("Call-ID", call_id),
        ("CSeq", "99 NOTIFY"),
        ("Require", "eventlist"),
    ]
    host, port = endpoint.local
    answers: list[Response] = []
    async with Endpoint(EndpointConfig(msrp=False)) as other:
        # passed on: a request of its own it would send again without what is not supported
        request = Request("NOTIFY", f"sip:b@{host}:{port}", headers)
        other.forward(request, request.uri, answers.append, lambda error: None)
        await until(lambda: answers)
    assert (answers[0].status, answers[0].headers.get("Unsupported")) == (420, "eventlist")
    await agent.close()


async def test_subscriptions_of_other_kinds(core: Core, endpoint: Endpoint) -> None:
    """A-EXT-04: 489 names the package that there is; NOTIFY about nothing gets 481."""
    agent = await online(core, endpoint, "b")
    request = agent.create_request("SUBSCRIBE", agent.identity.aor, headers=[("Event", "presence")])
    response = await endpoint.request(request, digest=agent.digest)
    assert (response.status, response.headers.get("Allow-Events")) == (489, "reg")
    for tag in ("", ";tag=x"):
        stray = Request(
            "NOTIFY",
            str(endpoint.uri(agent.identity.contact_token)),
            [
                ("From", "<sip:x@cc.com>;tag=1"),
                ("To", f"<sip:b@cc.com>{tag}"),
                ("Call-ID", f"stray{tag}"),
                ("CSeq", "1 NOTIFY"),
                ("Event", "reg"),
            ],
        )
        async with Endpoint(EndpointConfig(msrp=False)) as stranger:
            assert (await stranger.request(stray)).status == 481
    await agent.close()
