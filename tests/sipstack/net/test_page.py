"""Messages by SIP MESSAGE: A-EXT-06, A-EXT-08, B-PGR-01."""

from __future__ import annotations

import asyncio

import pytest

from sipstack.errors import RequestTooLarge
from sipstack.im.cpim import CpimMessage
from sipstack.im.imdn import ImdnRequest
from sipstack.net.page import page_headers, wrap_page
from sipstack.sip.message import Request

from .helpers import B, pair, until

CONVERSATION = "0a1b2c3d-0000-4000-8000-000000000001"
CONTRIBUTION = "0a1b2c3d-0000-4000-8000-000000000002"


def test_headers_of_a_standalone_message() -> None:
    # B-PGR-01: golden
    assert page_headers(CONVERSATION, CONTRIBUTION) == (
        ("Accept-Contact", '*;+g.3gpp.icsi-ref="urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.msg"'),
        ("P-Preferred-Service", "urn:urn-7:3gpp-service.ims.icsi.oma.cpm.msg"),
        ("Request-Disposition", "no-fork"),
        ("Conversation-ID", CONVERSATION),
        ("Contribution-ID", CONTRIBUTION),
    )


def test_a_standalone_message_in_its_wrapper() -> None:
    body = wrap_page("text/plain", b"hi", message_id="m1", date="2026-11-22T10:15:30Z", notify=True)
    cpim = CpimMessage.parse(body)
    asked = ImdnRequest.of(cpim)
    assert asked is not None and asked.wanted == {"positive-delivery", "display"}
    assert (cpim.imdn_message_id, cpim.content_type, cpim.content) == ("m1", "text/plain", b"hi")
    assert cpim.from_.uri == "sip:anonymous@anonymous.invalid", "B-FBK-05"
    quiet = wrap_page("text/plain", b"hi", message_id="m1", date="2026-11-22T10:15:30Z", notify=False)
    assert ImdnRequest.of(CpimMessage.parse(quiet)) is None


async def test_a_page_on_the_wire() -> None:
    # A-EXT-06: "User Agents MUST NOT insert Contact header fields into MESSAGE requests"; no dialog, no body in the 2xx
    async with pair() as (around, agent, _, phone):
        headers = page_headers(CONVERSATION, CONTRIBUTION)
        response = await agent.message(B, b"hi", "message/cpim", headers=headers)
        assert (response.status, response.body, response.headers.get("Contact")) == (200, b"", None)
        (page,) = phone.pages
        sent: Request = around.core.requests[-1]
        assert "Contact" not in sent.headers
        assert page.conversation_id == CONVERSATION
        for name, value in headers:
            assert page.request.headers.get(name) == value
        await agent.message(B, b"bare")
        assert phone.pages[-1].conversation_id == ""


async def test_queued_elsewhere_is_an_answer_too() -> None:
    # A-EXT-06: 202 means accepted for store and forward
    async with pair() as (_, agent, _, phone):
        phone.hold_pages = True
        sending = asyncio.ensure_future(agent.message(B, b"hi"))
        await until(lambda: phone.pages)
        phone.pages[0].accept(202)
        assert (await sending).status == 202


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_no_page_is_longer_than_1300_octets(transport: str) -> None:
    # A-EXT-06: "MUST NOT exceed 1300 bytes", whatever the transport, for a later hop may use UDP
    async with pair(transport) as (around, agent, _, phone):
        with pytest.raises(RequestTooLarge) as caught:
            await agent.message(B, b"x" * 1200)
        assert caught.value.limit == 1300
        header = caught.value.size - 1200 - 1  # Content-Length has a digit less for what fits
        with pytest.raises(RequestTooLarge) as caught:
            await agent.message(B, b"x" * (1301 - header))
        assert caught.value.size == 1301
        assert (await agent.message(B, b"x" * (1300 - header))).status == 200
        assert [len(page.body) for page in phone.pages] == [1300 - header]
        assert around.core.methods().count("MESSAGE") == 1


async def test_credentials_count() -> None:
    # A-EXT-06: it fits until the core asks who it is; the core has not passed it on
    async with pair() as (around, agent, _, phone):
        around.core.challenge_all = True
        with pytest.raises(RequestTooLarge):
            await agent.message(B, b"x" * 700)
        assert around.core.methods().count("MESSAGE") == 1 and phone.pages == []
        assert (await agent.message(B, b"x" * 100)).status == 200


async def test_a_network_without_udp_may_take_more() -> None:
    async with pair("tcp", a={"max_page_size": 20_000}) as (_, agent, _, phone):
        assert (await agent.message(B, b"x" * 10_000)).status == 200
        assert len(phone.pages[0].body) == 10_000


async def test_what_is_passed_on_is_the_senders_business() -> None:
    # The core adds Via, Route and an identity to what it forwards; the limit is the sender's.
    async with pair() as (_, agent, _, phone):
        with pytest.raises(RequestTooLarge) as caught:
            await agent.message(B, b"x" * 1200)
        assert (await agent.message(B, b"x" * (1200 - (caught.value.size - 1300) - 4))).status == 200
        assert len(bytes(phone.pages[0].request)) > 1300
