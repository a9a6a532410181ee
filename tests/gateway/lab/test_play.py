"""Scripts that play: on one of two phones of a lab, with the embedded core between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.lab.lab import Lab
from gateway.lab.phone import Phone
from gateway.lab.play import Player, ScriptFailed
from gateway.lab.script import STEPS, parse
from tests.gateway.lab.conftest import B


@pytest_asyncio.fixture
async def b(lab: Lab) -> AsyncIterator[Phone]:
    """The phone that plays."""
    async with lab.make_phone(B) as phone:
        phone.behave(on_invite="ask", on_message="accept", on_file="ask")
        yield phone


async def play(phone: Phone, text: str, folder: Path = Path()) -> list[str]:
    told: list[str] = []
    await Player(parse(text, "test.phone", folder), phone, tell=told.append).play()
    return told


async def failure(phone: Phone, text: str) -> str:
    with pytest.raises(ScriptFailed) as caught:
        await play(phone, text)
    return str(caught.value)


async def test_a_conversation(a: Phone, b: Phone) -> None:
    told = await play(
        b,
        """
        name alice sip:a@cc.com
        status alice
        send hello to alice
        wait receipt displayed
        wait message "You said: hello"   # came before the receipt, perhaps
        type
        idle
        print "now something else"
        send again
        wait message like "*again" from alice within 5
        seen
        hangup
        wait closed
        """,
    )
    assert [event.text for event in a.events if event.kind == "composing"] == ["active", "idle"]
    assert (told[0].split("  (")[0], told[7].split("  (")[0]) == (
        "   2  name alice sip:a@cc.com",
        "   9  now something else",
    )


async def test_who_calls_waits_for_the_script(a: Phone, b: Phone, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_bytes(b"1" * 5000)
    playing = asyncio.ensure_future(
        play(
            b,
            """
            wait invited from sip:a@cc.com
            decline with 486
            wait invited
            delay 0.1
            answer
            wait message "are you there?"
            send "I am"
            wait offered one.txt
            answer
            wait file one.txt
            same one.txt
            wait offered
            decline
            file one.txt as two.txt
            no message for 0.1
            """,
            tmp_path,
        )
    )
    a.behave(on_message="accept")
    with pytest.raises(Exception, match="486"):
        await a.call("sip:b@cc.com")
    await a.say("sip:b@cc.com", "are you there?")
    await a.wait_for("message")
    assert (await a.files.send("sip:b@cc.com", tmp_path / "one.txt")).state == "done"
    with pytest.raises(Exception, match="603"):
        await a.files.send("sip:b@cc.com", tmp_path / "one.txt")
    assert (await a.wait_for("file-offered")).text == "two.txt"
    await playing


async def test_refusals_that_are_wanted(a: Phone, b: Phone) -> None:
    a.behave(on_invite=486)
    await play(b, "refused 486 call sip:a@cc.com\nrefused call sip:a@cc.com\nrefused 404 status sip:nobody@cc.com")
    a.behave(on_invite="accept", on_message=413)
    await play(b, "refused 413 send long to sip:a@cc.com")


async def test_the_phone_goes_and_comes(b: Phone) -> None:
    await play(b, "offline\nwait unregistered\nonline\nwait registered\nforget\nno registered for 0.01")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "wait message within 0.01",
            "test.phone:1: wait message within 0.01: that did not happen within 0.01 s, but: ",
        ),
        ("send hi", "test.phone:1: send hi: with whom? nobody was named"),
        ("hangup sip:a@cc.com", "there is nothing to do that with"),
        ("answer sip:a@cc.com", "there is nothing to do that with"),
        ("same x", "there is no file x"),
        ("file x to sip:a@cc.com", "there is no file x"),
        ("refused call sip:a@cc.com", "was not refused"),
        ("call sip:nobody@cc.com", "was refused: 4"),
        ("refused 486 call sip:nobody@cc.com", "was refused otherwise: 4"),
        ("invite x@example.com", "no gateway was named"),
        ("call sip:a@cc.com\nno chat", "there was one: chat sip:a@cc.com"),
    ],
)
async def test_failures_name_line_step_and_reason(b: Phone, text: str, why: str) -> None:
    assert why in await failure(b, text)


async def test_every_step_of_the_grammar_is_played(b: Phone) -> None:
    assert set(Player(parse(""), b)._steps) == set(STEPS)


async def test_a_step_takes_its_time_only(a: Phone, b: Phone) -> None:
    a.behave(on_invite="ring")
    assert "was not done within 0.2 s" in await failure(b, "timeout 0.2\ncall sip:a@cc.com")
    await a.wait_for("cancelled")
