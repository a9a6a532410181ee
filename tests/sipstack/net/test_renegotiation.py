"""Offers and answers of chats that run, on real connections."""

from __future__ import annotations

import pytest

from sipstack.msrp.message import MessageState
from sipstack.net.chat import ChatSession
from sipstack.net.endpoint import Endpoint

from .helpers import B, Chats, pair, until


def cut(endpoint: Endpoint, chat: ChatSession) -> None:
    """Break the MSRP connection of a chat."""
    connection = chat.msrp.connection
    assert connection is not None
    endpoint.hub._links[connection].abort()


@pytest.mark.parametrize("who", ["caller", "callee"])
async def test_recovery_in_the_middle_of_a_message(who: str) -> None:
    """C-SET-05, C-BR-12, C-BAD-13: a new path on both sides, the rest of the octets with the same Message-ID."""
    async with pair() as (around, agent, _, phone):
        chats = Chats()
        chat = await agent.invite(B, chats)
        await chat.deliver("hello")
        text = "0123456789abcdef" * 200_000
        paths = chat.msrp.local, phone.open[0].msrp.local
        pending = chat.send(text)
        await until(lambda: pending.written > 500_000)
        if who == "caller":
            cut(around.a, chat)
        else:
            cut(around.b, phone.open[0])
        await until(lambda: pending.state is not MessageState.PENDING)
        assert pending.state is MessageState.SENT
        assert phone.chats.texts == ["hello", text]
        assert phone.chats.messages[1].message_id == pending.message_id
        assert chat.msrp.local != paths[0] and phone.open[0].msrp.local != paths[1]
        assert not chats.closed and not phone.chats.closed
        assert len(around.a.hub.sessions) == len(around.b.hub.sessions) == 1
        assert (await phone.open[0].deliver("well received")).state is MessageState.SENT
        assert around.core.methods().count("INVITE") == 2
