from __future__ import annotations

import asyncio
import runpy
from pathlib import Path
from typing import Any

import pytest

from .helpers import REALM, Chats, until, world

EXAMPLES = Path(__file__).parents[3] / "examples"


def example(name: str) -> Any:
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]


async def test_one_example_answers_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    async with world() as around:
        core = str(around.core.uri)
        answering = asyncio.ensure_future(example("answer_chats")(core, f"sip:bob@{REALM}", "secret of bob"))
        await until(lambda: around.core.bindings)
        sent = await example("send_message")(core, f"sip:a@{REALM}", "secret of a", f"sip:bob@{REALM}", "hello")
        assert sent == "sent"
        async with around.agent(around.a, "c") as agent:
            chats = Chats()
            peer = agent.identity.aor.__class__.parse(f"sip:bob@{REALM}")
            async with await agent.invite(peer, chats) as chat:
                await chat.deliver("hello")
                await until(lambda: chats.messages)
        assert chats.texts == ["HELLO"]
        answering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answering
        assert around.core.bindings == {}
    assert "Registered" in capsys.readouterr().out
