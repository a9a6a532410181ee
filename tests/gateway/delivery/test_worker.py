"""The queue of deliveries: channels in turn, receipts, restarts at any moment. The clock is set, not waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.delivery.base import DeliveryReceipt
from gateway.delivery.reports import Reports, receipt_tokens, receipt_url
from gateway.services import NoChannel, NotFound, Unavailable
from gateway.storage.deliverystore import STOPPED
from gateway.storage.errors import StoreError
from tests.gateway.delivery.carriers import (
    PHONE,
    SLOW,
    Carriers,
    arrived,
    busy,
    lost,
    refused,
    unanswered,
)
from tests.gateway.invitation_helpers import ALICE
from translators.model import InviteRequest, TriedView

TOKEN = "0123456789abcdefghijkl"
DOUBT = "it may have arrived all the same; resend it if not"


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[Carriers]:
    house = Carriers(tmp_path)
    await house.start()
    yield house
    await house.stop()


# channels


async def test_the_first_channel_is_used(house: Carriers) -> None:
    await house.invite(note="Hi")
    view = await house.reaches("sms", "sent")
    assert view.tried is None and house.mms.orders == []
    (order,) = house.sms.orders
    assert order.address == PHONE and order.short_link.startswith("http://127.0.0.1:8080/i/") and order.note == "Hi"
    assert order.words is not None and (order.language, order.words.language) == ("en", "en")


async def test_a_refusal_brings_the_next_channel_at_once(house: Carriers) -> None:
    house.sms.answers = [busy(), refused()]
    await house.invite()
    await house.reaches("sms", "queued", error="busy")
    house.later(100)
    view = await house.reaches("mms", "sent")
    assert view.tried == [TriedView(channel="sms", attempts=2, error="no such number")]
    assert await house.news() == [
        ("sms", "queued", None),
        ("sms", "queued", "busy"),
        ("mms", "queued", None),
        ("mms", "sent", None),
    ]
    assert house.sms.orders[0].message_id == house.sms.orders[1].message_id


async def test_each_channel_has_its_deadline(house: Carriers) -> None:
    house.sms.answers = [busy("full")]
    house.mms.answers = [busy("down")]
    await house.invite()
    view = await house.reaches("sms", "queued", error="full")
    for _ in range(40):
        house.later(750)  # longer than the longest pause
        await house.settled()
        view = await house.delivery()
    assert (view.channel, view.state, view.error) == ("mms", "failed", "down")
    assert view.tried is not None and 3 <= view.tried[0].attempts <= 8 and 3 <= view.attempts <= 8
    known = await house.store.invitations()
    assert known[0].delivery is not None and known[0].delivery.sealed_link is None


async def test_a_channel_may_have_a_deadline_of_its_own(tmp_path: Path) -> None:
    house = Carriers(tmp_path, delivery__deadlines__sms="30s")
    house.sms.answers = [busy()]
    await house.start()
    await house.invite()
    await house.reaches("mms", "sent")  # the first pause would end behind it
    assert len(house.sms.orders) == 1
    await house.stop()


async def test_operators_order_the_channels(tmp_path: Path) -> None:
    text = SLOW + '[delivery.channels]\nphone = ["mms"]\n[delivery.mms]\ndriver = "x:Y"\n'
    house = Carriers(tmp_path, text)
    await house.start()
    await house.invite()
    await house.reaches("mms", "sent")
    with pytest.raises(NoChannel, match="by mms, not by sms"):
        await house.invitations.invite(ALICE, InviteRequest(phone="+4915112345679", via="sms"))
    await house.stop()


async def test_the_inviter_may_name_the_channel(house: Carriers) -> None:
    house.mms.answers = [refused("too old")]
    await house.invite(via="mms")
    await house.reaches("mms", "failed", error="too old")
    assert house.sms.orders == []
    with pytest.raises(NoChannel, match="by sms or mms, not by email"):
        await house.invitations.invite(ALICE, InviteRequest(phone="+4915112345679", via="email"))
    await house.stop()
    house.channels = {}
    await house.start()
    with pytest.raises(NoChannel, match="no links to phone numbers"):
        await house.invitations.invite(ALICE, InviteRequest(phone="+4915112345679"))
    assert len(await house.invitations.list(ALICE)) == 1


async def test_a_channel_that_is_gone_makes_way(house: Carriers) -> None:
    house.sms.answers = [busy()]
    await house.invite()
    await house.reaches("sms", "queued", error="busy")
    await house.stop()
    del house.channels["sms"]
    await house.start()
    house.later(100)
    view = await house.reaches("mms", "sent")
    assert view.tried == [TriedView(channel="sms", attempts=2, error="There is no channel sms.")]


async def test_a_channel_that_hangs_holds_up_no_other(tmp_path: Path) -> None:
    house = Carriers(tmp_path, delivery__parallel=1)
    await house.start()
    house.sms.gate = asyncio.Event()
    for number in (1, 2):
        await house.invitations.invite(ALICE, InviteRequest(phone=f"+491511234567{number}"))
    await house.until(lambda: bool(house.sms.orders))
    await house.invitations.invite(ALICE, InviteRequest(email="b@cc.com"))
    await house.until(lambda: bool(house.mailbox.orders))
    assert len(house.sms.orders) == 1
    house.sms.gate.set()
    await house.until(lambda: len(house.sms.orders) == 2)
    await house.stop()


async def test_drivers_are_started_when_they_can_tell_of_receipts(house: Carriers) -> None:
    assert house.sms.started == house.mms.started == [True]


# receipts


@pytest.mark.parametrize("parts", [("1",), ("1", "2", "3")])
async def test_receipts_of_all_parts(house: Carriers, parts: tuple[str, ...]) -> None:
    house.sms.answers = [parts]
    await house.invite()
    await house.reaches("sms", "sent")
    for part in parts:
        assert (await house.delivery()).state == "sent"
        for _ in range(2):
            house.sms.tell(arrived(part))
            house.sms.tell(arrived("of another"))
        await house.settled()
    await house.reaches("sms", "delivered")
    house.sms.tell(lost(parts[0]))
    await house.settled()
    await house.reaches("sms", "delivered")
    assert await house.news() == [("sms", "queued", None), ("sms", "sent", None), ("sms", "delivered", None)]


async def test_a_receipt_that_says_no_brings_the_next_channel(house: Carriers) -> None:
    house.sms.answers, house.mms.answers = [("1", "2")], [("1",)]
    await house.invite()
    await house.reaches("sms", "sent")
    house.sms.tell(arrived("1"))
    house.sms.tell(lost("2", "absent\r\nsubscriber" + "x" * 999))
    view = await house.reaches("mms", "sent")
    assert view.tried is not None and view.tried[0].error == ("absent subscriber" + "x" * 999)[:300]
    house.sms.tell(lost("1"))  # of the other channel, which uses the same name
    house.mms.tell(DeliveryReceipt("1", "failed"))
    await house.reaches("mms", "failed", error="not delivered")
    assert house.sms.orders[0].link == house.mms.orders[0].link


@pytest.mark.parametrize("state", ["delivered", "failed"])
async def test_a_receipt_before_the_answer(house: Carriers, state: str) -> None:
    house.sms.answers = [("1",)]
    house.sms.early = [arrived("1") if state == "delivered" else lost("1"), arrived("of another")]
    house.sms.gate = asyncio.Event()
    await house.invite()
    await house.until(lambda: bool(house.sms.orders))
    await house.invitations.receipts.written()
    house.sms.gate.set()
    if state == "delivered":
        await house.reaches("sms", "delivered")
    else:
        await house.reaches("mms", "sent")
    await house.settled()
    assert not house.invitations.receipts._early


async def test_receipts_of_nobody_are_not_kept(house: Carriers) -> None:
    """Not longer than those are on their way that were so when they came."""
    house.sms.gate, house.mms.gate = asyncio.Event(), asyncio.Event()
    await house.invite()
    await house.until(lambda: bool(house.sms.orders))
    receipts = house.invitations.receipts
    for number in range(20):
        house.sms.tell(arrived(f"of nobody {number}"))
    house.mms.tell(arrived("of nobody"))
    await receipts.written()
    assert {channel: len(early) for channel, early in receipts._early.items()} == {"sms": 20}
    await house.invitations.invite(ALICE, InviteRequest(phone="+4915112345679"))
    await house.until(lambda: len(house.sms.orders) == 2)
    number = receipts.begin("sms")  # there is always one on its way
    house.sms.gate.set()
    await house.settled()
    assert not receipts._early and receipts._sending["sms"] == {number}


async def test_a_quick_order_does_not_make_a_slow_one_lose_its_receipt(house: Carriers) -> None:
    slow = asyncio.Event()
    house.sms.gate, house.sms.answers = slow, [("1",), ("2",)]
    house.sms.early = [arrived("1")]
    await house.invite()
    await house.until(lambda: bool(house.sms.orders))
    await house.invitations.receipts.written()
    house.sms.gate, house.sms.early = None, []
    await house.invitations.invite(ALICE, InviteRequest(phone="+4915112345679"))
    await house.until(lambda: len(house.sms.orders) == 2 and len(house.invitations._worker._running) == 1)
    slow.set()
    await house.settled()
    first, second = await house.invitations.list(ALICE)
    assert first.delivery is not None and second.delivery is not None
    assert (first.delivery.state, second.delivery.state) == ("delivered", "sent")


async def test_a_receipt_for_what_was_resent_or_ended_counts_for_nothing(house: Carriers) -> None:
    house.sms.answers = [("1",), ("2",)]
    account = await house.invite()
    await house.reaches("sms", "sent")
    await house.invitations.resend(ALICE, account)
    await house.until(lambda: len(house.sms.orders) == 2)
    await house.reaches("sms", "sent")
    house.sms.tell(lost("1"))
    await house.settled()
    await house.reaches("sms", "sent")
    await house.invitations.revoke(ALICE, account)
    await house.gone()
    house.sms.tell(lost("2"))
    await house.settled()
    assert house.mms.orders == []


async def test_a_receipt_that_is_too_late_brings_no_other_channel(house: Carriers) -> None:
    house.sms.answers = [("1",)]
    await house.invite(valid_for=200_000)
    await house.reaches("sms", "sent")
    house.later(86_401)
    async with asyncio.timeout(5):
        while (await house.store.invitations())[0].delivery.sealed_link is not None:  # type: ignore[union-attr]
            await asyncio.sleep(0.005)
    house.sms.tell(lost("1"))
    await house.reaches("sms", "failed", error="absent subscriber")


async def test_receipts_wait_for_the_store(house: Carriers, monkeypatch: pytest.MonkeyPatch) -> None:
    house.sms.answers = [("1",)]
    await house.invite()
    await house.reaches("sms", "sent")
    monkeypatch.setattr("gateway.delivery.receipts.STORE_PAUSE", 0.01)
    real, failures = house.store.delivery_receipt, [StoreError("disk full"), RuntimeError("a bug")]

    async def failing(channel: str, reference: str, *rest: object) -> object:
        if failures and reference == "1":
            raise failures.pop(0)
        return await real(channel, reference, *rest)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(house.store, "delivery_receipt", failing)
    house.sms.tell(arrived("1"))  # not stored, then dropped for a bug
    house.sms.tell(arrived("1"))
    await house.reaches("sms", "delivered")


async def test_nobody_waits_for_receipts_that_come_later(house: Carriers, monkeypatch: pytest.MonkeyPatch) -> None:
    real = house.store.delivery_receipt

    async def endless(channel: str, reference: str, *rest: object) -> object:
        if int(reference) < 100:
            house.sms.tell(arrived(str(int(reference) + 1)))
        return await real(channel, reference, *rest)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(house.store, "delivery_receipt", endless)
    receipts = house.invitations.receipts
    house.sms.tell(arrived("0"))
    await receipts.written()
    assert receipts._written < 10
    await house.settled()
    while receipts._waiting:
        await receipts.written()
    assert receipts._written == 101


async def test_closing_leaves_nobody_waiting(house: Carriers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.delivery.receipts.STORE_PAUSE", 0.02)

    async def failing(*_: object) -> None:
        raise StoreError("disk full")

    monkeypatch.setattr(house.store, "delivery_receipt", failing)
    house.sms.tell(arrived("1"))
    waiting = asyncio.create_task(house.invitations.receipts.written())
    await asyncio.sleep(0)
    await house.invitations.receipts.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_too_many_receipts(house: Carriers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.delivery.receipts.MAX_WAITING", 5)
    for number in range(50):
        house.sms.tell(arrived(str(number)))
    assert len(house.invitations.receipts._waiting) == 5
    await house.settled()
    assert not house.invitations.receipts._waiting


# what is never sent twice


async def test_an_answer_that_is_lost_leads_to_one_repetition(house: Carriers) -> None:
    house.sms.answers = [unanswered()]
    account = await house.invite()
    await house.reaches("sms", "queued", error="no answer")
    house.later(100)
    await house.reaches("sms", "failed", error=f"no answer; {DOUBT}", attempts=2)
    assert len({order.message_id for order in house.sms.orders}) == 1 and house.mms.orders == []
    house.sms.answers = [()]
    await house.invitations.resend(ALICE, account)
    await house.reaches("sms", "sent")
    assert len({order.message_id for order in house.sms.orders}) == 2


async def test_doubt_is_carried_to_the_next_channel(house: Carriers) -> None:
    house.sms.answers, house.mms.answers = [unanswered(), refused()], [unanswered()]
    await house.invite()
    await house.reaches("sms", "queued", error="no answer")
    house.later(100)
    await house.reaches("mms", "failed", error=f"no answer; {DOUBT}")


async def test_a_process_that_dies_in_the_middle_of_it_repeats_it_once(house: Carriers) -> None:
    house.sms.gate = asyncio.Event()
    await house.invite()
    for attempt in (1, 2):
        await house.until(lambda count=attempt: len(house.sms.orders) == count)  # type: ignore[misc]
        await house.die()
        await house.start()
    await house.reaches("sms", "failed", error=f"the gateway stopped in the middle of it; {DOUBT}", attempts=2)
    assert len(house.sms.orders) == 2 and house.mms.orders == []
    assert house.sms.orders[0].message_id == house.sms.orders[1].message_id


async def test_a_driver_that_never_returns(house: Carriers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.delivery.worker.LONGEST_ATTEMPT", 0.05)
    house.sms.gate = asyncio.Event()
    await house.invite()
    await house.reaches("sms", "queued", error="TimeoutError")


async def test_a_link_that_nobody_needs_any_more_is_not_sent(house: Carriers) -> None:
    house.sms.answers = [busy()]
    account = await house.invite()
    await house.reaches("sms", "queued", error="busy")
    await house.invitations.revoke(ALICE, account)
    await house.gone()
    house.later(100)
    await house.settled()
    assert len(house.sms.orders) == 1
    assert (await house.news())[-1] == ("sms", "failed", STOPPED)


async def test_the_end_overtakes_an_attempt(house: Carriers) -> None:
    house.sms.gate, house.sms.answers = asyncio.Event(), [("1",)]
    account = await house.invite()
    await house.until(lambda: bool(house.sms.orders))
    await house.invitations.revoke(ALICE, account)
    house.sms.gate.set()
    house.sms.tell(lost("1"))
    await house.gone()
    await house.settled()
    assert (await house.news())[-1] == ("sms", "failed", STOPPED) and house.mms.orders == []


async def test_the_store_fails_before_an_attempt(house: Carriers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.delivery.worker.STORE_PAUSE", 0.01)
    real, failures = house.store.begin_delivery, [StoreError("disk full")]

    async def failing(*arguments: object) -> bool:
        if failures:
            raise failures.pop()
        return await real(*arguments)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(house.store, "begin_delivery", failing)
    await house.invite()
    await house.reaches("sms", "sent")
    assert len(house.sms.orders) == 1


# restarts


STEPS = ("invited", "busy", "sent", "first part", "lost", "other channel", "arrived")


@pytest.mark.parametrize("restarts", [*((step,) for step in STEPS), STEPS])
async def test_a_restart_between_any_two_steps_changes_nothing(tmp_path: Path, restarts: tuple[str, ...]) -> None:
    house = Carriers(tmp_path)
    house.sms.answers, house.mms.answers = [busy(), ("1", "2")], [("1",)]
    await house.start()

    async def step(name: str) -> None:
        if name in restarts:
            await house.restart()

    await house.invite()
    await step("invited")
    await house.reaches("sms", "queued", error="busy")
    await step("busy")
    house.later(100)
    await house.reaches("sms", "sent", attempts=2)
    await step("sent")
    house.sms.tell(arrived("1"))
    await step("first part")  # closing writes what has come in
    house.sms.tell(lost("2"))
    await step("lost")
    await house.reaches("mms", "sent")
    await step("other channel")
    house.mms.tell(arrived("1"))
    await step("arrived")
    await house.reaches("mms", "delivered")
    assert (len(house.sms.orders), len(house.mms.orders)) == (2, 1)
    assert await house.news() == [
        ("sms", "queued", None),
        ("sms", "queued", "busy"),
        ("sms", "sent", None),
        ("mms", "queued", None),
        ("mms", "sent", None),
        ("mms", "delivered", None),
    ]
    await house.stop()


# what is sent


async def test_a_short_link_leads_to_the_link_for_as_long_as_that_opens(house: Carriers) -> None:
    account = await house.invite()
    await house.until(lambda: bool(house.sms.orders))
    (order,) = house.sms.orders
    token = order.short_link.rpartition("/")[2]
    for _ in range(2):
        assert await house.invitations.resolve(token) == order.link
    for wrong in ("", "x", "x" * 22, token[:-1], f"{token}0"):
        assert await house.invitations.resolve(wrong) is None
    await house.invitations.resend(ALICE, account)
    assert await house.invitations.resolve(token) is None
    await house.until(lambda: len(house.sms.orders) == 2)
    token = house.sms.orders[1].short_link.rpartition("/")[2]
    assert await house.invitations.resolve(token) == house.sms.orders[1].link
    house.ahead += 86_401
    assert await house.invitations.resolve(token) is None


async def test_a_password_to_type_is_in_no_link(tmp_path: Path) -> None:
    house = Carriers(tmp_path, client__link="account")
    await house.start()
    await house.invite()
    await house.until(lambda: bool(house.sms.orders))
    (order,) = house.sms.orders
    assert order.short_link == order.link and "passwd" not in order.link and len(order.password) == 32
    await house.stop()


async def test_words_of_the_operator(tmp_path: Path) -> None:
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "zh.sms").write_text("$link\n", "utf-8")
    house = Carriers(tmp_path, delivery__templates="words", delivery__language="zh")
    await house.start()
    await house.invite(language="fr-CA")
    await house.until(lambda: bool(house.sms.orders))
    words = house.sms.orders[0].words
    assert words is not None and words.language == "zh" and [item.template for item in words.sms] == ["$link"]
    await house.stop()


# receipts by HTTP


async def test_receipts_by_http(house: Carriers, monkeypatch: pytest.MonkeyPatch) -> None:
    house.sms.answers = [("1",)]
    await house.invite()
    await house.reaches("sms", "sent")
    receipts = house.invitations.receipts
    reports = Reports(house.channels, {"sms": TOKEN, "email": TOKEN, "gone": TOKEN}, receipts)
    accepted = [name for name in ("sms", "mms", "email", "gone", "x") if reports.accepts(name, TOKEN)]
    assert accepted == ["sms"] and not reports.accepts("sms", f"{TOKEN}x") and not reports.accepts("sms", "")
    assert not reports.accepts("mms", "é\udc80")
    with pytest.raises(NotFound):
        await reports.report("email", {}, "", b"")
    assert (await reports.report("sms", {}, "", b"")).status == 400
    assert (await reports.report("sms", {"id": "1"}, "", b"")).body == b"ok"
    assert (await house.delivery()).state == "delivered"  # stored before it is answered

    full = asyncio.Event()

    async def slow(*_: object) -> None:
        await full.wait()

    monkeypatch.setattr(house.store, "delivery_receipt", slow)
    monkeypatch.setattr("gateway.delivery.reports.STORE_WAIT", 0.05)
    with pytest.raises(Unavailable):
        await reports.report("sms", {"id": "2"}, "", b"")
    full.set()


def test_tokens_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    house = Carriers(tmp_path, delivery__receipts__sms_file="token", gateway__public_url="https://gw.example/")
    assert receipt_tokens(house.config) == {"sms": TOKEN}
    assert receipt_url(house.config, "sms") == f"https://gw.example/rcsgw/delivery/sms/{TOKEN}"
    assert receipt_url(house.config, "mms") == ""
