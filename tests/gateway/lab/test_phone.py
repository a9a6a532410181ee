"""The phone: two of them on one lab, with the embedded core and the IM server between them."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from rich.console import Console

from gateway.lab.admin import AdminServer
from gateway.lab.behaviour import Behaviour
from gateway.lab.lab import Lab, LabOptions, LabUser
from gateway.lab.phone import Phone, echo
from gateway.lab.phonecontrol import build_app
from gateway.lab.terminal import Terminal
from sipstack.errors import RequestFailed, RequestTooLarge, TransactionTimeout
from sipstack.sip.uri import Uri
from tests.gateway.lab.conftest import A, B


@pytest_asyncio.fixture(params=["tcp", "udp"])
async def lab(request: pytest.FixtureRequest) -> AsyncIterator[Lab]:
    async with Lab(LabOptions(users=(A, B), transport=request.param)) as lab:
        yield lab


@pytest_asyncio.fixture
async def b(lab: Lab) -> AsyncIterator[Phone]:
    async with lab.make_phone(B, "b") as phone:
        phone.behave(on_message="accept")
        yield phone


async def test_registers_with_the_right_password_only(lab: Lab, a: Phone) -> None:
    assert a.agent.registered
    assert str(a.agent.associated_uris[0]) == "sip:a@cc.com"
    wrong = lab.make_phone(LabUser("b", "wrong"))
    with pytest.raises(RequestFailed, match="401"):
        await wrong.start()
    await wrong.close()
    event = await a.wait_for("registered")
    assert event.view() == {"serial": 1, "kind": "registered", "text": "sip:a@cc.com"}


async def test_echo_through_the_im_server(lab: Lab, a: Phone, b: Phone) -> None:
    message = await b.say("sip:a@cc.com", "hello")
    assert message.state.value == "sent"
    assert (await b.wait_for("message")).text == "You said: hello"
    await b.say("sip:a@cc.com", "again")
    assert len(a.chats) == len(b.chats) == 1
    assert [event.kind for event in a.events].count("invited") == 1
    assert [event.text for event in a.events if event.kind == "sending"] == ["You said: hello", "You said: again"]
    await b.hang_up("sip:a@cc.com")
    assert (await a.wait_for("closed")).text == "remote"
    assert not a.chats and not b.chats
    assert (a.messages_in, a.messages_out) == (2, 2)


async def test_messages_that_come_before_the_answer_share_its_chat(a: Phone, b: Phone) -> None:
    a.behave(delay=0.1, on_message="accept")
    await asyncio.gather(b.say("sip:a@cc.com", "one"), b.say("sip:a@cc.com", "two"))
    assert [event.kind for event in a.events].count("invited") == 1


async def test_a_long_message(a: Phone, b: Phone) -> None:
    text = "x" * 1024 * 1024
    assert (await b.say("sip:a@cc.com", text)).state.value == "sent"
    assert (await a.wait_for("message")).text == text
    assert (await b.wait_for("message")).text == echo(text)


async def test_asking_what_a_peer_can(lab: Lab, a: Phone, b: Phone) -> None:
    response = await b.agent.options(b.agent.identity.aor)
    assert response.status == 200
    assert "+g.oma.sip-im" in (response.headers.get("Contact") or "")
    assert await b.ask("sip:a@cc.com") == 200
    assert await b.ask("sip:nobody@cc.com") == 404
    await a.go_offline()
    assert await b.ask("sip:a@cc.com") == 480
    await a.go_online()
    assert await b.ask("sip:a@cc.com") == 200


@pytest.mark.parametrize("status", [486, 603])
async def test_declines(a: Phone, b: Phone, status: int) -> None:
    a.behave(on_invite=status)
    with pytest.raises(RequestFailed, match=str(status)):
        await b.call("sip:a@cc.com")
    a.behave(on_invite="accept")
    await b.call("sip:a@cc.com")


@pytest.mark.parametrize("how", ["ring", "ignore"])
async def test_never_answers(a: Phone, b: Phone, how: str) -> None:
    a.behave(on_invite=how)
    with pytest.raises(TransactionTimeout):
        await b.call("sip:a@cc.com", timeout=0.5)
    assert (await a.wait_for("cancelled")).peer == "sip:b@cc.com"
    assert not a.invitations


async def test_asks_its_owner(a: Phone, b: Phone) -> None:
    a.behave(on_invite="ask")
    for accepted in (False, True):
        calling = asyncio.create_task(b.call("sip:a@cc.com"))
        after = a.events[-1].serial
        await a.wait_for("invited", after=after)
        if accepted:
            a.accept("sip:b@cc.com")
            await calling
        else:
            a.decline("sip:b@cc.com")
            with pytest.raises(RequestFailed, match="603"):
                await calling
    assert list(a.chats) == ["sip:b@cc.com"]


async def test_answers_later(a: Phone, b: Phone) -> None:
    a.behave(delay=0.05)
    await b.call("sip:a@cc.com")
    assert a.events[-1].kind == "chat"


async def test_hangs_up_in_the_middle(a: Phone, b: Phone) -> None:
    a.behave(on_message="hang-up")
    await b.say("sip:a@cc.com", "hello")
    assert (await b.wait_for("closed")).peer == "sip:a@cc.com"


async def test_follows_a_script_and_refuses(a: Phone, b: Phone) -> None:
    a.behave(on_message="script", script=["one", "two"])
    for line in ("one", "two", "one"):
        after = b.events[-1].serial
        await b.say("sip:a@cc.com", "next")
        assert (await b.wait_for("message", after=after)).text == line
    a.behave(on_message=413)
    message = await b.say("sip:a@cc.com", "too much")
    assert (message.state.value, message.status) == ("failed", 413)


async def test_cuts_the_connection_in_the_middle_of_a_message() -> None:
    async with Lab(LabOptions(users=(A, B), cutter=True)) as lab, lab.make_phone(B) as b:
        a = lab.phone
        assert a is not None and a.cutter is not None
        b.behave(on_message="accept")
        assert (await b.say("sip:a@cc.com", "hello")).state.value == "sent"
        a.behave(cut_after=100_000)
        assert (await b.say("sip:a@cc.com", "x" * 500_000)).state.value == "unknown"
        assert (await b.wait_for("closed")).text.startswith("connection-lost")
        a.behave(cut_after=None)
        assert (await b.say("sip:a@cc.com", "x" * 500_000)).state.value == "sent"
        chat = b.chats["sip:a@cc.com"]
        a.cutter.cut()
        assert (await b.say("sip:a@cc.com", "again")).state.value == "sent"
        assert b.chats == {"sip:a@cc.com": chat}, "a connection that breaks does not end a chat"


async def test_takes_pages(a: Phone, b: Phone) -> None:
    assert (await b.agent.message(a.agent.identity.aor, b"hello")).status == 200
    assert (await a.wait_for("page")).text == "hello"


async def test_receipts(a: Phone, b: Phone) -> None:
    message = await b.say("sip:a@cc.com", "hello")
    first = await b.wait_for("receipt")
    second = await b.wait_for("receipt", after=first.serial)
    assert [(event.text, event.id) for event in (first, second)] == [
        ("delivered", message.message_id),
        ("displayed", message.message_id),
    ]
    a.behave(receipts="delivery")
    await b.say("sip:a@cc.com", "again")
    third = await b.wait_for("receipt", after=second.serial)
    a.behave(receipts="none")
    await b.say("sip:a@cc.com", "quietly")
    await b.say("sip:a@cc.com", "quietly")
    assert third.text == "delivered"
    assert [event.kind for event in b.events].count("receipt") == 3
    with pytest.raises(ValueError, match="receipts"):
        a.behave(receipts="some")


async def test_receipts_when_somebody_looks(a: Phone, b: Phone) -> None:
    a.behave(receipts="seen")
    await b.say("sip:a@cc.com", "hello")
    first = await b.wait_for("receipt")
    a.notices.seen("sip:b@cc.com")
    second = await b.wait_for("receipt", after=first.serial)
    assert (first.text, second.text) == ("delivered", "displayed")
    a.notices.seen("sip:b@cc.com")
    await b.say("sip:a@cc.com", "again")
    assert (await b.wait_for("receipt", after=second.serial)).text == "delivered"


async def test_typing_by_hand(a: Phone, b: Phone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipstack.im.iscomposing.IDLE_AFTER", 0.2)
    a.behave(on_message="accept")
    b.notices.typing("sip:a@cc.com")  # no chat is open: nobody is told
    assert not b.chats
    await b.say("sip:a@cc.com", "hello")
    for _ in range(3):
        b.notices.typing("sip:a@cc.com")
    began = await a.wait_for("composing")
    ended = await a.wait_for("composing", after=began.serial)
    assert (began.text, ended.text) == ("active", "idle")
    assert [event.kind for event in a.events].count("composing") == 2


async def test_typing(a: Phone, b: Phone) -> None:
    for active, word in ((True, "active"), (False, "idle")):
        after = a.events[-1].serial
        await b.type("sip:a@cc.com", active=active)
        assert (await a.wait_for("composing", after=after)).text == word
    assert a.messages_in == 0


async def test_im_server_refusing(lab: Lab, b: Phone) -> None:
    assert lab.im_server is not None
    lab.im_server.faults.set({"answers": {"INVITE": 403}})
    with pytest.raises(RequestFailed, match="403"):
        await b.call("sip:a@cc.com")
    lab.im_server.faults.set({})
    lab.im_server.members.discard("sip:b@cc.com")
    with pytest.raises(RequestFailed, match="403"):
        await b.call("sip:a@cc.com")


@pytest.mark.parametrize(
    "wrong",
    [
        {"on_invite": 200},
        {"on_invite": "x"},
        {"on_message": 200},
        {"on_message": "script"},
        {"delay": -1},
        {"on_file": "eat"},
        {"files": "some"},
        {"cancel_at": -1},
        {"cut_after": -1},
    ],
)
def test_behaviour_that_makes_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Behaviour(**wrong)


async def test_control(lab: Lab, a: Phone, b: Phone) -> None:
    server = AdminServer(build_app(a))
    await server.start()
    async with aiohttp.ClientSession(server.url) as http:
        sent = await (await http.post("/messages", json={"to": "sip:b@cc.com", "message": "hi"})).json()
        assert sent["state"] == "sent"
        assert (await b.wait_for("message")).text == "hi"
        state = await (await http.get("/state")).json()
        assert (state["registered"], state["chats"]) == (True, ["sip:b@cc.com"])
        a.behave(receipts="seen")
        await b.say("sip:a@cc.com", "look")
        after = (await b.wait_for("receipt")).serial
        assert (await http.post("/chats/sip:b@cc.com/seen")).status == 204
        assert (await b.wait_for("receipt", after=after)).text == "displayed"
        assert (await http.delete("/chats/sip:b@cc.com")).status == 204
        assert (await http.delete("/chats/sip:b@cc.com")).status == 404
        assert (await http.delete("/chats/what")).status == 400
        assert (await http.put("/behaviour", json={"on_invite": "ask"})).status == 200
        assert (await http.put("/behaviour", json={"on_invite": "x"})).status == 400
        assert (await http.put("/behaviour", json={"what": "x"})).status == 400
        calling = asyncio.create_task(b.call("sip:a@cc.com"))
        await a.wait_for("invited")
        assert (await http.post("/invitations/sip:b@cc.com")).status == 204
        await calling
        await b.hang_up("sip:a@cc.com")
        b.behave(on_invite=486)
        refused = await http.post("/chats", json={"to": "sip:b@cc.com"})
        assert (refused.status, (await refused.json())["status"]) == (502, 486)
        assert (await http.post("/chats", json={"to": "what"})).status == 400
        assert (await http.post("/chats", json={})).status == 400
        calling = asyncio.create_task(b.call("sip:a@cc.com"))
        await a.wait_for("invited", after=a.events[-1].serial)
        assert (await http.delete("/invitations/sip:b@cc.com?status=486")).status == 204
        with pytest.raises(RequestFailed, match="486"):
            await calling
        assert (await (await http.get("/options/sip:nobody@cc.com")).json()) == {"status": 404}
        assert (await (await http.delete("/registration")).json())["registered"] is False
        assert (await (await http.put("/registration")).json())["registered"] is True
        events = (await (await http.get("/events?after=0")).json())["events"]
        assert events[0]["kind"] == "registered"
        assert (await (await http.get(f"/events?after={a.events[-1].serial}&wait=0.01")).json()) == {"events": []}
    await server.close()


async def test_terminal(lab: Lab, a: Phone, b: Phone) -> None:
    output = io.StringIO()
    terminal = Terminal(Console(file=output, width=200))
    terminal.phone = b
    b.on_event = terminal.show
    for line in ("", "hello", "/to sip:a@cc.com", "hello", "/help", "/status", "/chats", "/nonsense", "/auto off"):
        await terminal.take(line)
    await b.wait_for("message")
    await terminal.take("/hangup")
    await b.wait_for("closed")
    seen = b.serial
    for line in ("/hangup", "/invite x@example.com", "/status what", "//slash \x1b[2J", "/quit"):
        await terminal.take(line)
    await b.wait_for("message", after=seen)
    text = output.getvalue()
    for expected in (
        "to whom?",
        "sip:a@cc.com: You said: hello",
        "/decline",
        "sip:a@cc.com is online (200)",
        "chat with sip:a@cc.com",
        "no command /nonsense",
        "there is nothing with this person",
        "no gateway was named",
        "that is no address",
        "You said: /slash \ufffd[2J",
    ):
        assert expected in text
    assert b.behaviour.on_invite == "ask"


async def test_a_phone_without_session_mode(lab: Lab, a: Phone, b: Phone) -> None:
    a.behave(sessions=False)
    contact = (await b.agent.options(Uri.parse("sip:a@cc.com"))).contacts[0]
    assert contact.param("+g.oma.sip-im") is None and "oma.cpm.msg" in (contact.param("+g.3gpp.icsi-ref") or "")
    with pytest.raises(RequestFailed, match="488"):
        await b.call("sip:a@cc.com")
    b.behave(sessions=False)
    sent = await b.say("sip:a@cc.com", "hello")
    assert (sent.state.value, sent.status) == ("sent", 200)
    assert (await b.wait_for("page")).text == "You said: hello"
    delivered = await b.wait_for("receipt")
    displayed = await b.wait_for("receipt", after=delivered.serial)
    assert (delivered.text, displayed.text) == ("delivered", "displayed")
    a.behave(on_message=413)
    sent = await b.say("sip:a@cc.com", "hello")
    assert (sent.state.value, sent.status) == ("failed", 413)
    with pytest.raises(RequestTooLarge):
        await b.say("sip:a@cc.com", "x" * 1300)
    # what a phone with sessions does with a page: it says nothing by itself
    a.behave(sessions=True, on_message="echo")
    await b.say("sip:a@cc.com", "hello")
    assert [event.kind for event in b.events].count("page") == 1


async def test_a_page_that_makes_no_sense(lab: Lab, a: Phone, b: Phone) -> None:
    assert (await b.agent.message(Uri.parse("sip:a@cc.com"), b"no", "message/cpim")).status == 400
