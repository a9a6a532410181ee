"""Who we say to be, and what the core wants to be told beside it: B-REG-04, B-REG-09, B-CHT-05, RFC 3323."""

from __future__ import annotations

import pytest

from sipstack.net.binding import Binding
from sipstack.net.invitation import IncomingPage
from sipstack.net.useragent import AgentHandler, UserAgent
from sipstack.sip.message import Request
from sipstack.sip.uri import Uri

from .helpers import REALM, B, Phone, pair, until, world

ACCESS = ("P-Access-Network-Info", "IEEE-802.11;i-wlan-node-id=001122334455")


class Reader(AgentHandler):
    """Remembers what MESSAGEs say of who sends them."""

    def __init__(self) -> None:
        self.pages: list[IncomingPage] = []

    def message_received(self, agent: UserAgent, message: IncomingPage) -> None:
        self.pages.append(message)
        message.accept()


@pytest.mark.parametrize(
    ("associated", "preferred"),
    [
        ([], f"sip:a@{REALM}"),
        ([f"sip:a@{REALM}", "tel:+1"], f"sip:a@{REALM}"),
        (["tel:+1", f"sip:a@{REALM};x=y"], f"sip:a@{REALM}"),
        ([f"sip:other@{REALM}", "tel:+1"], f"sip:other@{REALM}"),
    ],
)
async def test_only_what_the_registrar_lists_is_preferred(associated: list[str], preferred: str) -> None:
    """B-REG-04: a barred address is not in P-Associated-URI; then the first one there is the default."""
    async with world() as around:
        agent = around.agent(around.a, "a")
        await agent.register()
        assert isinstance(agent._binding, Binding)
        agent._binding.associated_uris = tuple(Uri.parse(uri) for uri in associated)
        request = agent.create_request("MESSAGE", B)
        assert request.headers.get_all("P-Preferred-Identity") == [f"<{preferred}>"]
        assert str(request.from_.uri) == f"sip:a@{REALM}"
        await agent.close()


async def test_headers_of_the_core_are_in_all_requests() -> None:
    """B-REG-09: all but ACK and CANCEL, inside dialogs too; and of ours only."""
    async with pair("tcp", a={"network_headers": (ACCESS,)}) as (around, caller, _, _):
        chat = await caller.invite(B)
        await caller.options(B)
        await chat.close()
        await until(lambda: "BYE" in around.core.methods())
        sent = [item for item in around.core.requests if item.via.port == around.a.local[1]]
        with_it = {request.method for request in sent if request.headers.get(ACCESS[0]) == ACCESS[1]}
        without = {request.method for request in sent if ACCESS[0] not in request.headers}
        assert with_it >= {"REGISTER", "INVITE", "OPTIONS", "BYE"} and without <= {"ACK"}
        others = [item for item in around.core.requests if item.via.port == around.b.local[1]]
        assert others and all(ACCESS[0] not in request.headers for request in others)


async def test_who_hides() -> None:
    """RFC 3323 section 4.1: From says nothing, the core is told who it is, and Privacy what is wanted."""
    async with world() as around:
        caller, reader = around.agent(around.a, "a", Phone()), Reader()
        callee = around.agent(around.b, "b", reader)
        for agent in (caller, callee):
            await agent.register()
        caller.privacy = "id"
        assert (await caller.message(B, b"hello")).status == 200
        sent: Request = next(request for request in around.core.requests if request.method == "MESSAGE")
        assert (str(sent.from_.uri), sent.from_.display_name) == ("sip:anonymous@anonymous.invalid", "Anonymous")
        assert sent.headers.get("Privacy") == "id" and "P-Preferred-Identity" in sent.headers
        (page,) = reader.pages
        assert page.is_anonymous
        caller.privacy = ""
        assert (await caller.message(B, b"it is me")).status == 200
        assert not reader.pages[-1].is_anonymous and "Privacy" not in reader.pages[-1].request.headers
        await caller.close()
        await callee.close()


@pytest.mark.parametrize("trusted", [True, False])
async def test_services_that_the_network_asserts(trusted: bool) -> None:
    """B-CHT-04, RFC 6050: P-Asserted-Service from whom we trust, else what the caller prefers."""
    async with world(b={"trusted": lambda flow: trusted}) as around:
        caller, reader = around.agent(around.a, "a"), Reader()
        callee = around.agent(around.b, "b", reader)
        for agent in (caller, callee):
            await agent.register()
        headers = [
            ("P-Asserted-Service", "urn:urn-7:3gpp-service.ims.icsi.OMA.cpm.msg"),
            ("Accept-Contact", '*;+g.3gpp.iari-ref="urn%3Aurn-7%3Aother"'),
        ]
        await caller.message(B, b"hello", headers=headers)
        expected = ("urn:urn-7:3gpp-service.ims.icsi.oma.cpm.msg",) if trusted else ("urn:urn-7:other",)
        assert reader.pages[0].services == expected
        await caller.close()
        await callee.close()


async def test_features_that_change_are_told_by_the_next_register() -> None:
    """B-REG-02: the Contact is what the user agent can do now."""
    async with world() as around:
        agent = around.agent(around.a, "a", phone := Phone())
        await agent.register()
        agent.features = (("+sip.message", None),)
        agent.schedule_registration(0.0)
        await until(lambda: len(phone.events) == 2)
        assert around.core.requests[-1].contacts[0].param("+sip.message") == ""
        assert around.core.requests[-1].contacts[0].param("+g.oma.sip-im") is None
        await agent.close()
