"""A whose device has no session mode: text by SIP MESSAGE both ways, with receipts, over each core."""

from __future__ import annotations

from tests.e2e.client import Format, kind
from tests.e2e.conftest import Start
from tests.e2e.world import World, eventually

RECEIPT = "/rcsgw/invitee/receipt"


def pages(world: World) -> list[str]:
    """Return the texts that the gateway has sent by MESSAGE, each time that it sent them."""
    sent = [page for page in world.sent("MESSAGE") if "imdn+xml" not in page]
    return [page.rpartition("\r\n\r\n")[2] for page in sent]


async def test_a_refused_chat_becomes_a_page(start: Start, format: Format) -> None:
    # B-PGR-01, B-PGR-05: nothing was known of the device, so it was invited first
    world = await start(format=format)
    phone = await world.phone("a", sessions=False, receipts="display", on_message="accept")
    guest = await world.guest("a")
    answer = await guest.send("grüße 👋")
    assert (answer.status, answer.json["state"]) == (200, "sent")
    page = await phone.wait_for("page")
    assert (page.text, page.id) == ("grüße 👋", answer.json["id"])
    assert len([text for text in world.received("SIP/2.0 488") if "INVITE" in text]) == 1
    await guest.wait_for_event(kind("receipt", id=page.id, state="displayed"))
    told = [event["receipt"]["state"] for event in await guest.http.events() if event["kind"] == "receipt"]
    assert told in (["delivered", "displayed"], ["displayed"], ["sent", "delivered", "displayed"])
    assert (await guest.messages())[0]["state"] == "displayed"
    assert world.msrp_connections() == 0
    *_, sent = [text for text in world.sent("MESSAGE") if "Content-Type: message/cpim" in text]
    assert len(sent.encode()) <= 1300
    for line in (
        'Accept-Contact: *;+g.3gpp.icsi-ref="urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.msg"',
        "P-Preferred-Service: urn:urn-7:3gpp-service.ims.icsi.oma.cpm.msg",
        f"imdn.Message-ID: {page.id}",
        "imdn.Disposition-Notification: positive-delivery, display",
    ):
        assert f"\r\n{line}\r\n" in sent
    assert "\r\nContact:" not in sent, "A-EXT-06"


async def test_capabilities_decide(world: World) -> None:
    phone = await world.phone("a", sessions=False, on_message="echo")
    guest = await world.guest("a")
    status = await guest.status()
    assert (status.json["status"], status.json["services"]) == ("online", ["standalone"])
    for text in ("one", "two", "three"):
        await guest.say(text)
        await guest.wait_for_text(f"You said: {text}")
    assert world.sent("INVITE") == []
    assert [event.text for event in phone.events if event.kind == "page"] == ["one", "two", "three"]
    # a new device, which takes chats, calls
    phone.behave(sessions=True)
    await phone.call("sip:b@cc.com")
    await guest.say("four")
    assert (await phone.wait_for("message")).text == "four"


async def test_a_page_of_a_is_answered_in_its_conversation(start: Start, format: Format) -> None:
    # B-PGR-03, B-PGR-04, D-IMD-11
    world = await start(format=format)
    phone = await world.phone("a", sessions=False, receipts="display")
    guest = await world.guest("a")
    id = (await phone.say("sip:b@cc.com", "hello")).message_id
    await guest.wait_for_text("hello")
    delivered = await phone.wait_for("receipt")
    assert (delivered.text, delivered.id) == ("delivered", id)
    assert (await guest.http.post(RECEIPT, {"id": id}, root="receipt")).status == 204
    seen = await phone.wait_for("receipt", after=delivered.serial)
    assert (seen.text, seen.id) == ("displayed", id)
    (asked,) = {line for text in world.received("MESSAGE") for line in text.split("\r\n") if "Conversation-ID" in line}
    notifications = [text for text in world.sent("MESSAGE") if "imdn+xml" in text]
    assert len({text.partition("Call-ID: ")[2][:32] for text in notifications}) == 2
    assert all(f"\r\n{asked}\r\n" in text for text in notifications)
    assert all("Disposition-Notification" not in text for text in notifications)


async def test_a_text_too_long_for_a_page(world: World) -> None:
    # A-EXT-06, B-PGR-02
    phone = await world.phone("a", sessions=False, on_message="accept")
    guest = await world.guest("a")
    await guest.status()
    answer = await guest.send("x" * 1500)
    assert (answer.status, answer.json["type"].rpartition("/")[2]) == (413, "too-large")
    assert "takes no chats" in answer.json["detail"] and "octets too long" in answer.json["detail"]
    assert len(world.sent("INVITE")) >= 1, "it could have been a chat"
    assert [line["state"] for line in await guest.messages()] == ["failed"]
    # what fits only without its wrapper goes without
    await guest.say("y" * 500)
    page = await phone.wait_for("page")
    assert (page.text, page.id) == ("y" * 500, "")
    assert max(len(text.encode()) for text in world.sent("MESSAGE")) <= 1300


async def test_a_refused_page(world: World) -> None:
    await world.phone("a", sessions=False, on_message=480)
    guest = await world.guest("a")
    answer = await guest.send("hello")
    assert (answer.status, answer.json["sip"]["code"]) == (409, 480)
    assert [line["state"] for line in await guest.messages()] == ["failed"]


async def test_pages_wait_for_each_other_and_outlive_the_process(start: Start) -> None:
    # A-EXT-08
    world = await start("[policy]\nmessage_wait = 0.2\n")
    phone = await world.phone("a", sessions=False, on_message="ignore")
    guest = await world.guest("a")
    await guest.status()
    ids = []
    for text in ("one", "two"):
        answer = await guest.send(text)
        assert (answer.status, answer.json["state"]) == (202, "pending")
        ids.append(answer.json["id"])
    await phone.wait_for("page")
    assert set(pages(world)) == {"one"}, "the second waits for the answer to the first"
    await world.stop_gateway()
    phone.behave(on_message="accept")
    before = phone.events[-1].serial
    await world.start_gateway()
    await guest.login()
    await eventually(lambda: len([event for event in phone.events if event.kind == "page"]) == 3)
    again = [(event.text, event.id) for event in phone.events if event.kind == "page" and event.serial > before]
    assert again == [("one", ids[0]), ("two", ids[1])], "with the same ids"
    for id in ids:
        await guest.wait_for_event(kind("receipt", id=id, state="sent"))
