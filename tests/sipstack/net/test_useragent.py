from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from sipstack import ids
from sipstack.errors import ConnectionClosed, LocalProtocolError, RequestFailed, TransactionTimeout
from sipstack.net.features import accept_contact, feature_values, offers_chat
from sipstack.net.useragent import Identity, UserAgent
from sipstack.sip.digest import Credentials
from sipstack.sip.message import Request, Response
from sipstack.sip.registration import Registered, RegistrationFailed, Unregistered
from sipstack.sip.timers import TimerValues
from sipstack.sip.uri import Uri

from .helpers import REALM, B, Phone, pair, until, world


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
async def test_register_and_leave(transport: str, algorithm: str) -> None:
    async with world(transport, algorithm=algorithm) as around:
        phone = Phone()
        agent = around.agent(around.a, "a", phone)
        event = await agent.register()
        assert isinstance(event, Registered) and event.expires == 3600
        assert agent.registered
        assert [str(uri) for uri in agent.associated_uris] == [f"sip:a@{REALM}", "tel:+1"]
        assert agent.service_route[0].user == "orig"
        request = around.core.requests[-1]
        assert str(request.uri) == f"sip:{REALM}"
        assert request.via.transport == transport.upper()
        assert request.routes[0].uri.host_port == around.core.endpoint.local
        assert offers_chat(request.contacts)
        assert request.contacts[0].param("+sip.instance") == f"<{agent.identity.instance_id}>"
        assert (request.contacts[0].uri.param("transport") or "udp") == transport
        first, last = around.core.requests
        assert (first.call_id, first.cseq.number + 1) == (last.call_id, last.cseq.number)
        # a refresh by hand
        await agent.register()
        assert around.core.requests[-1].call_id == first.call_id
        await agent.unregister()
        assert not agent.registered and around.core.bindings == {} and agent.service_route == ()
        assert [type(event) for event in phone.events] == [Registered, Registered, Unregistered]
        await agent.close()
        assert len(around.a.pool) == 0


async def test_context_manager_and_refresh_by_itself() -> None:
    async with world() as around:
        around.core.expires = 2
        phone = Phone()
        async with around.agent(around.a, "a", phone) as agent:
            assert agent.registered
            await until(lambda: len(phone.events) == 2)
        assert around.core.bindings == {}


async def test_wrong_password() -> None:
    async with world() as around:
        agent = around.agent(around.a, "a", password="wrong")
        with pytest.raises(RequestFailed) as caught:
            await agent.register()
        assert caught.value.response.status == 401
        assert len(around.core.requests) == 2
        await agent.close()
        assert len(around.core.requests) == 2


async def test_registrar_is_silent_or_dead() -> None:
    async with world() as around:
        phone = Phone()
        agent = around.agent(around.a, "a", phone)
        around.core.silent.add("REGISTER")
        with pytest.raises(TransactionTimeout):
            await agent.register()
        around.core.silent.clear()
        await agent.register()
        await around.core.endpoint.close()
        with pytest.raises(ConnectionClosed):
            await agent.register()
        assert [type(event) for event in phone.events] == [RegistrationFailed, Registered, RegistrationFailed]
        await agent.close()


async def test_closing_while_registering() -> None:
    async with world() as around:
        agent = around.agent(around.a, "a")
        around.core.silent.add("REGISTER")
        registering = asyncio.ensure_future(agent.register())
        await until(lambda: around.core.requests)
        await agent.close()
        with pytest.raises(ConnectionClosed):
            await registering
        await agent.unregister()


async def test_many_agents_on_one_endpoint() -> None:
    patient = {"timers": TimerValues()}  # a hundred at once take a loaded machine longer than the tests' timers have
    async with world(a=patient, b=patient) as around:
        phones = [Phone() for _ in range(100)]
        agents = [around.agent(around.b, f"b{number}", phone) for number, phone in enumerate(phones)]
        await asyncio.gather(*(agent.register() for agent in agents))
        caller = around.agent(around.a, "a")
        await caller.register()
        for number in (0, 42, 99):
            assert (await caller.message(Uri.parse(f"sip:b{number}@{REALM}"), b"hello")).status == 200
            assert [page.body for page in phones[number].pages] == [b"hello"]
        assert sum(len(phone.pages) for phone in phones) == 3
        assert len(around.b.pool) == 100
        with pytest.raises(LocalProtocolError):
            UserAgent(around.b, agents[0].identity, domain=agents[0].domain)
        for agent in (*agents, caller):
            await agent.close()
        assert len(around.b.pool) == 0


async def test_options() -> None:
    async with pair() as (around, agent, other, phone):
        response = await agent.options(B)
        assert response.status == 200
        for name in ("Allow", "Accept", "Accept-Encoding", "Accept-Language", "Supported"):
            assert name in response.headers
        assert offers_chat(response.contacts)
        request = around.core.requests[-1]
        assert request.headers.get("Accept-Contact") == accept_contact(agent.features)
        assert request.headers.get("P-Preferred-Identity") == f"<sip:a@{REALM}>"
        assert offers_chat(request.contacts)
        asserted: list[tuple[Uri, ...]] = []

        def busy(_: UserAgent, probe: object) -> int:
            asserted.append(probe.asserted)  # type: ignore[attr-defined]  # an IncomingProbe
            return 486

        other.on_options = busy
        assert (await agent.options(B)).status == 486
        assert asserted == [(agent.identity.aor,)]
        assert (await agent.options(Uri.parse(f"sip:nobody@{REALM}"))).status == 404


async def test_asserted_identity_needs_trust() -> None:
    async with pair(b={"trusted": lambda flow: False}) as (_, agent, other, phone):
        assert (await agent.message(B, b"hello", "text/plain;charset=utf-8")).status == 200
        page = phone.pages[0]
        assert page.asserted == () and page.peer.matches(agent.identity.aor)
        assert page.content_type == "text/plain;charset=utf-8"


async def test_one_message_pending_for_each_target() -> None:
    """A-EXT-08: what comes next leaves after the final response."""
    async with pair() as (around, agent, _, phone):
        phone.hold_pages = True
        held = phone.pages
        sending = [asyncio.ensure_future(agent.message(B, b"%d" % number)) for number in range(3)]
        elsewhere = Uri.parse(f"sip:nobody@{REALM}")
        assert (await agent.message(elsewhere, b"hello")).status == 404, "another target does not wait"
        for number in range(3):
            await until(lambda: len(held) > number)  # noqa: B023  # called before the number changes
            assert held[number].body == b"%d" % number
            held[number].accept()
        assert [response.status for response in await asyncio.gather(*sending)] == [200] * 3


async def test_found_by_aor_and_called_party() -> None:
    async with pair() as (around, agent, other, phone):
        hop = around.b.uri()
        assert (await around.a.request(agent.create_request("OPTIONS", B), route=hop)).status == 200
        elsewhere = replace(hop, user="unknown")
        assert (await around.a.request(agent.create_request("OPTIONS", elsewhere), route=hop)).status == 404
        request = agent.create_request("OPTIONS", elsewhere, headers=[("P-Called-Party-ID", f"<{B}>")])
        assert (await around.a.request(request, route=hop)).status == 200
        assert list(around.b.pool) == [other]


def invite_with(agent: UserAgent, body: bytes, content_type: str) -> Request:
    return agent.create_request("INVITE", B, headers=[("Content-Type", content_type)], body=body)


SDP = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=message 9 TCP/MSRP *\r\na=accept-types:text/plain\r\na=setup:active\r\n"
    b"a=path:msrp://127.0.0.1:9/abcdefghijkl;tcp\r\n"
)


@pytest.mark.parametrize(
    ("body", "content_type", "status", "header"),
    [
        (b"hello", "text/plain", 415, "Accept"),
        (b"nonsense", "application/sdp", 488, "Warning"),
        (SDP.replace(b"message 9 TCP/MSRP *", b"audio 9 RTP/AVP 0"), "application/sdp", 488, "Warning"),
        (SDP.replace(b"text/plain", b"image/png"), "application/sdp", 488, "Warning"),
        (b"--x\r\n", "multipart/mixed;boundary=x", 400, None),
        (b"--x\r\n", "multipart/mixed", 400, None),
    ],
)
async def test_unusable_invitations(body: bytes, content_type: str, status: int, header: str | None) -> None:
    async with pair() as (around, agent, _, phone):

        def answer(invitation: object) -> None:
            with pytest.raises(Exception, match=r"."):
                invitation.answer(phone.chats)  # type: ignore[attr-defined]  # an IncomingInvitation

        phone.react = answer
        response = await around.a.request(invite_with(agent, body, content_type), route=around.core.uri)
        assert response.status == status
        assert header is None or header in response.headers
        assert len(around.b.hub.sessions) == 0 and phone.chats.closed == []


async def test_invitation_expires() -> None:
    async with pair() as (around, agent, _, phone):
        phone.react = lambda invitation: invitation.ring()
        request = invite_with(agent, SDP, "application/sdp")
        request.headers.add("Expires", "1")
        assert (await around.a.request(request, route=around.core.uri)).status == 487
        assert len(phone.cancelled) == 1


async def test_multipart_invitation_brings_a_message() -> None:
    async with pair() as (around, agent, _, phone):
        cpim = b"From: <sip:x@y>\r\nTo: <sip:x@y>\r\n\r\nContent-Type: text/plain\r\n\r\nhello"
        body = (
            b"--bnd\r\nContent-Type: application/sdp\r\n\r\n" + SDP + b"\r\n--bnd\r\nContent-Type: message/cpim\r\n\r\n"
            + cpim + b"\r\n--bnd\r\nContent-Type: x/y\r\nContent-Disposition: render; handling=optional\r\n\r\nz"
            + b"\r\n--bnd--\r\n"
        )  # fmt: skip
        request = invite_with(agent, body, "multipart/mixed;boundary=bnd")
        assert (await around.a.request(request, route=around.core.uri)).status == 200
        part = phone.invitations[0].first_message
        assert part is not None and part.body == cpim
        await phone.open[0].close()


async def test_invite_without_offer() -> None:
    async with pair() as (around, agent, _, phone):
        request = agent.create_request("INVITE", B)
        response = await around.a.request(request, route=around.core.uri)
        assert response.status == 200 and b"m=message" in response.body
        # no answer in the ACK either: the callee gives up
        ack = Request("ACK", response.contacts[0].uri, [("From", str(request.from_)), ("CSeq", "1 ACK")])
        for name in ("To", "Call-ID"):
            ack.headers.add(name, response.headers.get(name, ""))
        around.a.send_stateless(ack, around.b.uri())
        await until(lambda: phone.chats.closed)
        assert phone.chats.closed[0][1] == "connection-lost"


async def test_requests_inside_the_dialog() -> None:
    async with pair() as (around, agent, _, phone):
        chat = await agent.invite(B, Phone().chats)
        dialog = chat.dialog
        assert dialog is not None

        async def ask(method: str, headers: list[tuple[str, str]] = [], body: bytes = b"") -> int:  # noqa: B006  # never changed
            request = dialog.create_request(method, headers=headers, body=body)
            response = await around.a.request(request)
            dialog.receive_response(request, response)
            return response.status

        contact = [("Contact", agent.contact())]
        sdp = [*contact, ("Content-Type", "application/sdp")]
        assert await ask("OPTIONS") == 200
        assert await ask("MESSAGE", [("Content-Type", "text/plain")], b"page") == 200
        assert phone.pages[0].body == b"page"
        assert await ask("INFO") == 405
        # A-INV-07: a refresh gets the same session again, an offer that does not fit gets 488, and the chat goes on
        assert await ask("INVITE", sdp, chat.describe_again(None)) == 200
        assert await ask("INVITE", sdp, SDP.replace(b":text/plain", b":image/png")) == 488
        assert await ask("INVITE", [*contact, ("Content-Type", "text/plain")], b"x") == 415
        assert (await chat.deliver("still here")).status == 200
        assert await ask("INVITE", contact) == 200
        # a number that was used before
        dialog.local_cseq = 0
        assert await ask("OPTIONS") == 500


@pytest.mark.parametrize(
    ("method", "uri", "headers", "to_tag", "status"),
    [
        ("FROB", "x:y", {"Require": "x"}, "", 501),
        ("INFO", "x:y", {"Require": "x"}, "", 405),
        ("INVITE", "x:y", {"Require": "x"}, "", 416),
        ("INVITE", "sip:nobody@ims.example", {"Require": "x", "Content-Encoding": "x"}, "", 404),
        ("INVITE", "sip:b@ims.example", {"Require": "x", "Content-Encoding": "x"}, ";tag=x", 481),
        ("INVITE", "sip:b@ims.example", {"Require": "x", "Content-Encoding": "x"}, "", 420),
        ("INVITE", "sip:b@ims.example", {"Content-Encoding": "x", "Session-Expires": "1"}, "", 415),
        ("INVITE", "sip:b@ims.example", {"Content-Type": "x/y", "Session-Expires": "1"}, "", 415),
        ("INVITE", "sip:b@ims.example", {"Session-Expires": "1"}, "", 422),
        ("INVITE", "sip:b@ims.example", {}, "", 488),
    ],
)
async def test_order_of_checks(method: str, uri: str, headers: dict[str, str], to_tag: str, status: int) -> None:
    """A-UAS-01: method, whom it is for, merged, Require, content, extensions; each has all faults behind it, too."""
    async with world() as around:
        b = around.agent(around.b, "b", Phone())
        fields = {"Content-Type": "application/sdp", **headers}
        request = Request(
            method,
            uri,
            [
                ("From", "<sip:a@ims.example>;tag=1"),
                ("To", f"<sip:b@ims.example>{to_tag}"),
                ("Call-ID", ids.call_id()),
                ("CSeq", f"1 {method}"),
                ("Contact", "<sip:a@127.0.0.1>"),
                *fields.items(),
            ],
            b"v=0\r\n",
        )
        # Passed on as a proxy does, who repairs nothing.
        answers: list[Response] = []
        around.a.forward(request, around.b.uri(), answers.append, lambda error: None)
        await until(lambda: answers and answers[-1].is_final)
        assert answers[-1].status == status
        await b.close()


async def test_body_that_may_be_passed_over() -> None:
    """A-UAS-06: ``handling=optional`` is taken without being read."""
    async with world() as around:
        phone = Phone()
        b = around.agent(around.b, "b", phone)
        for fields in ([("Content-Type", "x/y")], [("Content-Type", "application/sdp"), ("Content-Encoding", "gzip")]):
            headers = [*fields, ("Content-Disposition", "x; handling=optional")]
            request = b.create_request("INVITE", B, headers=headers, body=b"?")
            response = await around.a.request(request, route=around.b.uri())
            assert response.status == 200 and b"m=message" in response.body, "as without an offer"
        await b.close()


def test_identity_and_features() -> None:
    identity = Identity(Uri.parse("sip:a@x"), Credentials.from_password("a", "b"))
    assert len(identity.contact_token) >= 16 and identity.instance_id.startswith("urn:uuid:")
    again = Identity(identity.aor, None, "A", identity.contact_token, identity.instance_id)
    assert again.contact_token == identity.contact_token
    assert ids.contact_token() != identity.contact_token
    assert feature_values([]) == frozenset()


async def test_silent_agent_refuses() -> None:
    async with world() as around:
        a, b = around.agent(around.a, "a"), around.agent(around.b, "b")
        await a.register()
        await b.register()
        assert (await a.message(B, b"hello")).status == 480
        with pytest.raises(RequestFailed) as caught:
            await a.invite(B)
        assert caught.value.response.status == 480
        await a.close()
        await b.close()
