"""Notifications and typing through a chat: D-IMD-01, D-IMD-05, D-IMD-11, D-IMD-13, D-ISC-05, D-ISC-06."""

from __future__ import annotations

from typing import Any

from sipstack.im.cpim import IMDN, CpimMessage
from sipstack.im.imdn import CONTENT_TYPE, Disposition, Imdn, ImdnRequest
from sipstack.im.iscomposing import CONTENT_TYPE as COMPOSING
from sipstack.im.iscomposing import ComposingState, IsComposing
from sipstack.msrp.message import MessageState
from sipstack.net import notices

from .helpers import B, Chats, pair, until

RCS: dict[str, Any] = {
    "accept_types": notices.ACCEPT_TYPES,
    "accept_wrapped_types": notices.ACCEPT_WRAPPED_TYPES,
}
SEEN = Imdn("m1", "display", Disposition.DISPLAYED)
TYPES = IsComposing(ComposingState.ACTIVE, "text/plain", 60)


async def test_a_message_asks_where_the_peer_can_answer() -> None:
    async with pair(a=RCS, b=RCS) as (_, agent, _, phone):
        chat = await agent.invite(B, Chats())
        await chat.deliver("asking", message_id="m1abcd", notify=True)
        await chat.deliver("not asking")
        wrapped = [message.cpim for message in phone.chats.messages]
        asked = ImdnRequest.of(wrapped[0])
        assert asked is not None and asked.message_id == "m1abcd"
        assert asked.wanted == {"positive-delivery", "display"}
        assert asked.datetime, "D-IMD-01: with every request"
        assert ImdnRequest.of(wrapped[1]) is None
        assert wrapped[1] is not None and wrapped[1].imdn_message_id, "D-IMD-02"
        found = chat.find_message("m1abcd")
        assert found is not None and found.state is MessageState.SENT


async def test_a_notification_and_typing_arrive() -> None:
    async with pair(a=RCS, b=RCS) as (_, agent, _, phone):
        chat = await agent.invite(B, Chats())
        assert notices.send_notification(chat, SEEN, [("imdn.IMDN-Route", "<sip:p@x>")])
        assert notices.send_composing(chat, TYPES)
        await until(lambda: len(phone.chats.messages) == 2)
        told, typing = phone.chats.messages
        assert (told.content_type, Imdn.parse(told.body)) == (CONTENT_TYPE, SEEN)
        assert told.cpim is not None and told.cpim.imdn_message_id not in (None, "m1")
        assert told.cpim.get("IMDN-Route", IMDN) == "<sip:p@x>"
        assert ("Content-Disposition", "notification") in told.cpim.content_headers
        # D-ISC-06
        assert (typing.content_type, IsComposing.parse(typing.body)) == (COMPOSING, TYPES)
        assert typing.cpim is not None and typing.cpim.imdn_message_id is None
        for message in (told, typing):
            assert ImdnRequest.of(message.cpim) is None
        await chat.close()
        assert notices.send_notification(chat, SEEN) is None
        assert notices.send_composing(chat, TYPES) is None


async def test_a_peer_that_lists_nothing_gets_nothing() -> None:
    # D-ISC-05
    async with pair(a=RCS) as (_, agent, _, phone):
        chat = await agent.invite(B, Chats())
        await chat.deliver("hello", notify=True)
        assert ImdnRequest.of(phone.chats.messages[0].cpim) is None
        assert notices.send_notification(chat, SEEN) is None
        assert notices.send_composing(chat, TYPES) is None


async def test_typing_goes_bare_to_a_peer_without_cpim() -> None:
    # D-ISC-05
    bare: dict[str, Any] = {"accept_types": ("text/plain", COMPOSING), "accept_wrapped_types": ()}
    async with pair(a=RCS, b=bare) as (_, agent, _, phone):
        chat = await agent.invite(B, Chats())
        assert notices.send_composing(chat, TYPES)
        await until(lambda: phone.chats.messages)
        assert (phone.chats.messages[0].content_type, phone.chats.messages[0].cpim) == (COMPOSING, None)
        assert notices.send_notification(chat, SEEN) is None


async def test_typing_is_not_repeated_to_who_refuses_it() -> None:
    # D-ISC-05: 415 counts for the rest of the session
    announces_too_much: dict[str, Any] = {"accept_types": ("message/cpim",), "accept_wrapped_types": ("*",)}
    async with pair(a=RCS, b=announces_too_much) as (around, agent, _, phone):
        chat = await agent.invite(B, Chats())
        around.b.config.accept_wrapped_types = ("text/plain",)
        sent = notices.send_composing(chat, TYPES)
        assert sent is not None
        await until(lambda: sent.state is MessageState.FAILED)
        assert notices.send_composing(chat, TYPES) is None
        assert (await chat.deliver("text goes on")).state is MessageState.SENT
        assert phone.chats.texts == ["text goes on"]


def test_the_wrapper_is_made_once() -> None:
    octets = notices.ASKING.render("text/plain", b"hi", datetime="2026-11-22T10:15:30Z", message_id="m1")
    asked = ImdnRequest.of(CpimMessage.parse(octets))
    assert asked is not None and asked.wanted == {"positive-delivery", "display"}
