"""Flow 1 step by step, with every step failing for now and for good, and a process that dies between any two."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from gateway.admission import Lifecycle
from gateway.invitations import Invitations
from gateway.services import (
    AlreadySubscriber,
    Conflict,
    Ended,
    Forbidden,
    Inviter,
    InviterService,
    NoChannel,
    NotAuthenticated,
    NotFound,
    ServiceError,
    TooManyRequests,
    Unavailable,
    Unprocessable,
)
from gateway.storage.errors import StoreError
from gateway.storage.sqlite import SqliteStore
from tests.gateway.invitation_helpers import ALICE, CAROL, House
from translators.from_http import FieldError
from translators.model import Event, InviteRequest

if TYPE_CHECKING:

    def _fulfils(invitations: Invitations) -> tuple[InviterService, Lifecycle]:
        return invitations, invitations


B = "sip:b@cc.com"


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = await House(tmp_path).start()
    yield house
    await house.stop()


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make inviters wait for a fraction of the real time only."""
    monkeypatch.setattr("gateway.invitations.ANSWER_WITHIN", 0.3)


def rows(house: House) -> dict[str, int]:
    """Return how many rows of relations the store holds."""
    connection = sqlite3.connect(house.store.path)
    tables = ("account", "invitation", "registration", "delivery", "entry")
    counts = {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}
    connection.close()
    return {name: count for name, count in counts.items() if count}


async def invite(house: House, email: str = "b@cc.com", inviter: Inviter = ALICE, **fields: Any) -> str:
    """Invite and wait for the mail; return the account."""
    sent = len(house.mailbox.orders)
    view = await house.invitations.invite(inviter, InviteRequest(email=email, **fields))
    await house.until(lambda: len(house.mailbox.orders) > sent)
    return view.account


async def test_the_whole_of_flow_1(house: House) -> None:
    view = await house.invitations.invite(ALICE, InviteRequest(email="b@cc.com", note="Hi", valid_for=600))
    assert (view.account, view.identifier, view.state, view.types, view.note) == (B, "b@cc.com", "active", ["im"], "Hi")
    assert view.delivery is not None and view.delivery.state in ("queued", "sent")
    await house.until(lambda: bool(house.mailbox.orders))
    assert house.faults.names() == ["lookup", "provision", "register", "send"]
    assert house.core.registered == {(B, "im")} and len(house.core.accounts[B]) == 32
    (order,) = house.mailbox.orders
    assert order.address == "b@cc.com" and order.inviter == "Alice" and order.types == ("im",) and order.note == "Hi"
    assert order.link == f"http://127.0.0.1:8080/rcsgw/invitee/session/{B}#passwd={house.mailbox.secret}"
    assert len(house.mailbox.secret) == 32
    assert ("changed", B, "a") in house.guests.told
    admission = await house.invitations.check_secret("b@cc.com", house.mailbox.secret)
    assert admission.account.uri == B
    (relation,) = admission.relations
    assert (relation.uid, relation.sip, relation.name, relation.types) == ("a", "sip:a@cc.com", "Alice", ("im",))
    assert relation.until == pytest.approx(time.time() + 600, abs=5)


async def test_neither_secret_nor_link_is_kept_once_the_mail_is_out(house: House) -> None:
    await invite(house)
    secret = house.mailbox.secret
    await house.until(lambda: b"sent" in dump(house.store.path))
    assert secret.encode() not in dump(house.store.path)
    (known,) = await house.store.invitations()
    assert known.delivery is not None and known.delivery.sealed_link is None


def dump(path: Path) -> bytes:
    """Return all bytes of the store's tables."""
    connection = sqlite3.connect(path)
    text = "\n".join(connection.iterdump()).encode()
    connection.close()
    return text


async def test_the_same_inviter_gets_the_same_invitation_and_no_second_mail(house: House) -> None:
    first = await invite(house)
    second = await house.invitations.invite(ALICE, InviteRequest(email="B@CC.com"))
    assert second.account == first
    assert len(await house.invitations.list(ALICE)) == 1
    assert len(house.mailbox.orders) == 1 and house.faults.names().count("provision") == 1


async def test_a_second_inviter_shares_the_account_and_is_untouched_by_the_end_of_the_first(house: House) -> None:
    await invite(house)
    first_secret = house.mailbox.secret
    assert await invite(house, inviter=CAROL) == B
    second_secret = house.mailbox.secret
    assert first_secret != second_secret and house.faults.names().count("provision") == 1
    assert len((await house.invitations.check_secret(B, first_secret)).relations) == 2
    await house.invitations.revoke(ALICE, B)
    assert ("relation", B, "a", "revoked") in house.guests.told
    assert not [told for told in house.guests.told if told[0] == "account"]
    with pytest.raises(Ended, match="revoked"):
        await house.invitations.check_secret(B, first_secret)
    (relation,) = (await house.invitations.check_secret(B, second_secret)).relations
    assert relation.uid == "c"
    assert house.core.registered == {(B, "im")} and B in house.core.accounts
    assert rows(house) == {"account": 1, "invitation": 1, "registration": 1, "delivery": 1}
    assert await house.invitations.list(ALICE) == []


async def test_types_that_nobody_needs_any_more_are_deregistered(tmp_path: Path) -> None:
    house = await House(tmp_path, policy__types=["im", "file"]).start()
    await invite(house, types=["im", "file"])
    await invite(house, inviter=CAROL, types=["im"])
    assert house.core.registered == {(B, "im"), (B, "file")}
    await house.invitations.revoke(ALICE, B)
    assert house.core.registered == {(B, "im")}
    await house.stop()


async def test_end_by_the_guest_takes_everything_down(house: House) -> None:
    await invite(house)
    await invite(house, inviter=CAROL)
    await house.invitations.end_account(B, "logout")
    assert rows(house) == {} and house.core.accounts == {} and house.core.registered == set()
    assert house.faults.names()[-2:] == ["deregister", "deprovision"]
    assert house.guests.told[-1] == ("account", B, "logout")
    with pytest.raises(Ended, match="logout"):
        await house.invitations.check_secret(B, house.mailbox.secret)
    with pytest.raises(NotAuthenticated):
        await house.invitations.check_secret(B, "0" * 32)
    with pytest.raises(NotAuthenticated):
        await house.invitations.check_secret("sip:nobody@cc.com", house.mailbox.secret)


async def test_logout_of_the_inviter_ends_all_of_theirs(house: House) -> None:
    await invite(house)
    await invite(house, "d@cc.com")
    await invite(house, "d@cc.com", CAROL)
    assert await house.invitations.logout(ALICE) == 2
    assert list(house.core.accounts) == ["sip:d@cc.com"]
    assert await house.invitations.logout(ALICE) == 0


async def test_on_end_relation_keeps_the_account_for_the_next_inviter(tmp_path: Path) -> None:
    house = await House(tmp_path, policy__on_end="relation").start()
    await invite(house)
    await house.invitations.revoke(ALICE, B)
    assert rows(house) == {"account": 1, "registration": 1}
    assert B in house.core.accounts
    assert await invite(house, inviter=CAROL) == B
    assert house.faults.names().count("provision") == 1
    await house.stop()


async def test_validity_is_enforced_by_the_clock(house: House) -> None:
    await invite(house, valid_for=0.3)
    await house.gone()
    assert house.core.accounts == {}
    assert house.guests.told[-1] == ("account", B, "expired")
    with pytest.raises(Ended, match="expired"):
        await house.invitations.check_secret(B, house.mailbox.secret)


async def test_what_expired_while_we_were_away_ends_at_the_start(house: House) -> None:
    await invite(house, valid_for=100)
    secret = house.mailbox.secret
    await house.invitations.close()
    house.ahead = 101
    with pytest.raises(Ended):
        await house.invitations.check_secret(B, secret)
    assert await house.invitations.admission(B) is None
    await house.store.close()
    await house.start()
    await house.gone()


@pytest.mark.parametrize("step", ["provision", "register"])
async def test_temporary_failures_are_retried(house: House, step: str) -> None:
    house.faults.fail(step, times=2)
    view = await house.invitations.invite(ALICE, InviteRequest(email="b@cc.com"))
    assert view.state == "active" and house.faults.names().count(step) == 3
    events = await house.invitations.feed(ALICE).read(0)
    assert events is not None
    states = [event.invitation.state for event in events if event.invitation]
    assert states[:3] == ["preparing", "preparing", "active"]
    assert events[1].invitation is not None and events[1].invitation.reason == f"{step} fails"


@pytest.mark.parametrize("step", ["provision", "register"])
async def test_final_failures_are_told_and_undone(house: House, step: str) -> None:
    house.faults.fail(step, temporary=False)
    with pytest.raises(ServiceError, match=f"{step} fails") as caught:
        await house.invitations.invite(ALICE, InviteRequest(email="b@cc.com"))
    assert caught.value.status == 502
    assert rows(house) == {} and house.core.accounts == {} and house.mailbox.orders == []
    assert house.faults.names()[-1] == "deprovision"
    events = await house.invitations.feed(ALICE).read(0)
    assert events is not None and events[-1].invitation is not None
    assert (events[-1].invitation.state, events[-1].invitation.reason) == ("failed", f"{step} fails")
    assert await invite(house) == B


async def test_a_final_failure_for_the_second_inviter_leaves_the_first_alone(house: House) -> None:
    await invite(house)
    house.faults.fail("register", temporary=False)
    with pytest.raises(ServiceError):
        await house.invitations.invite(CAROL, InviteRequest(email="b@cc.com"))
    assert B in house.core.accounts and house.core.registered == {(B, "im")}
    assert rows(house)["invitation"] == 1


async def test_the_inviter_is_answered_in_time_while_a_step_is_retried(house: House, hurry: None) -> None:
    house.faults.fail("provision", times=100000)
    view = await house.invitations.invite(ALICE, InviteRequest(email="b@cc.com"))
    assert view.state == "preparing" and view.reason == "provision fails"
    house.faults.errors.clear()
    await house.until(lambda: bool(house.mailbox.orders))
    (view,) = await house.invitations.list(ALICE)
    assert view.state == "active" and view.reason is None


async def test_an_invitation_can_be_revoked_while_it_is_prepared(house: House) -> None:
    house.faults.fail("provision", times=100000)
    task = asyncio.create_task(house.invitations.invite(ALICE, InviteRequest(email="b@cc.com")))
    await house.until(lambda: "provision" in house.faults.names())
    await house.invitations.revoke(ALICE, B)
    with pytest.raises(Conflict):
        await task
    assert rows(house) == {} and house.mailbox.orders == []


async def test_an_invitation_that_failed_while_it_was_invited_again_is_not_announced(house: House) -> None:
    """As after a crash: the steps of the last process end between our look at the store and our wait for them."""
    house.faults.fail("provision", times=100000)
    task = asyncio.create_task(house.invitations.invite(ALICE, InviteRequest(email="b@cc.com")))
    await house.until(lambda: "provision" in house.faults.names())
    (known,) = await house.store.invitations(uid="a")
    await house.invitations.revoke(ALICE, B)
    with pytest.raises(Conflict):
        await task
    with pytest.raises(Conflict):
        await house.invitations._prepared(known, time.monotonic() + 60)
    assert house.invitations._lifecycle._outcomes == {}


async def test_deadline_of_preparation(tmp_path: Path) -> None:
    house = await House(tmp_path, provisioning__retry__deadline=0.05).start()
    house.faults.fail("provision", times=100000)
    with pytest.raises(Unavailable):
        await house.invitations.invite(ALICE, InviteRequest(email="b@cc.com"))
    house.faults.errors.clear()
    await house.gone()
    await house.stop()


@pytest.mark.parametrize("step", ["deregister", "deprovision"])
async def test_taking_down_is_retried_and_blocks_the_name_meanwhile(house: House, hurry: None, step: str) -> None:
    await invite(house)
    house.faults.fail(step, times=100000)
    await house.invitations.revoke(ALICE, B)
    with pytest.raises(Ended):
        await house.invitations.check_secret(B, house.mailbox.secret)
    with pytest.raises(Conflict):
        await house.invitations.invite(CAROL, InviteRequest(email="b@cc.com"))
    (view,) = await house.invitations.list(ALICE)
    assert view.state == "ending"
    house.faults.errors.clear()
    await house.gone()
    assert await invite(house, inviter=CAROL) == B


async def test_what_refuses_for_good_to_be_undone_does_not_stop_the_rest(house: House) -> None:
    await invite(house)
    house.faults.fail("deregister", temporary=False)
    await house.invitations.revoke(ALICE, B)
    assert rows(house) == {} and house.core.accounts == {}


CRASHES = ["begin", "provision", "mark_provisioned", "register", "mark_registered", "activate"]


@pytest.mark.parametrize("place", CRASHES)
async def test_a_process_that_dies_between_two_steps_is_continued(
    house: House, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stop dead before a commit or after a call into the network, then start a new process on the same files."""
    stopped = asyncio.Event()

    async def die(*arguments: object) -> None:
        stopped.set()
        await asyncio.Event().wait()

    if place in ("provision", "register"):
        real = getattr(house.core, place)

        async def die_after(*arguments: object) -> None:
            await real(*arguments)
            await die()

        monkeypatch.setattr(house.core, place, die_after)
    elif place == "begin":
        monkeypatch.setattr(house.core, "provision", die)
    else:
        monkeypatch.setattr(house.store, place, die)
    task = asyncio.create_task(house.invitations.invite(ALICE, InviteRequest(email="b@cc.com")))
    await stopped.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    monkeypatch.undo()
    await house.restart()
    await house.until(lambda: bool(house.mailbox.orders))
    (view,) = await house.invitations.list(ALICE)
    assert view.state == "active"
    assert list(house.core.accounts) == [B] and house.core.registered == {(B, "im")}
    assert (await house.invitations.check_secret(B, house.mailbox.secret)).account.uri == B


@pytest.mark.parametrize("place", ["deregister", "forget_registration", "deprovision", "delete_account"])
async def test_an_end_that_was_cut_is_finished_by_the_next_process(
    house: House, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await invite(house)

    async def die(*arguments: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(house.core if hasattr(house.core, place) else house.store, place, die)
    task = asyncio.create_task(house.invitations.revoke(ALICE, B))
    await asyncio.sleep(0.2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    monkeypatch.undo()
    await house.restart()
    await house.gone()
    assert rows(house) == {} and house.core.accounts == {} and house.core.registered == set()


async def test_mails_are_repeated_with_the_same_message_id_until_they_are_through(house: House) -> None:
    house.faults.fail("send", times=3)
    await invite(house)
    assert house.faults.names().count("send") == 4
    await house.until(lambda: b'"state":"sent"' in dump(house.store.path))
    events = await house.invitations.feed(ALICE).read(0)
    assert events is not None
    deliveries = [event.invitation.delivery for event in events if event.invitation and event.invitation.delivery]
    assert [(item.state, item.error) for item in deliveries][-2:] == [("queued", "send fails"), ("sent", None)]


async def test_a_mail_that_is_refused_is_visible_and_can_be_sent_again(house: House) -> None:
    house.faults.fail("send", temporary=False)
    view = await house.invitations.invite(ALICE, InviteRequest(email="b@cc.com"))
    await house.until(lambda: b'"state":"failed"' in dump(house.store.path))
    (view,) = await house.invitations.list(ALICE)
    assert view.state == "active" and view.delivery is not None
    assert (view.delivery.state, view.delivery.error) == ("failed", "send fails")
    view = await house.invitations.resend(ALICE, "b@cc.com")
    assert view.delivery is not None and view.delivery.state == "queued" and view.delivery.error is None
    await house.until(lambda: bool(house.mailbox.orders))
    assert (await house.invitations.check_secret(B, house.mailbox.secret)).invitation_id


async def test_resend_makes_a_new_secret_and_kills_the_old_one(house: House) -> None:
    await invite(house)
    old, message_id = house.mailbox.secret, house.mailbox.orders[-1].message_id
    await house.until(lambda: b"'sent'" in dump(house.store.path))
    await house.invitations.resend(ALICE, B)
    await house.until(lambda: len(house.mailbox.orders) == 2)
    assert house.mailbox.secret != old and house.mailbox.orders[-1].message_id != message_id
    assert ("secret", B) in house.guests.told
    with pytest.raises(Ended, match="replaced"):
        await house.invitations.check_secret(B, old)
    await house.invitations.check_secret(B, house.mailbox.secret)
    with pytest.raises(NotFound):
        await house.invitations.resend(CAROL, B)
    await house.invitations.revoke(ALICE, B)
    with pytest.raises(Ended, match="replaced"):
        await house.invitations.check_secret(B, old)


async def test_of_two_resends_at_once_one_sends(house: House) -> None:
    """Who asks twice by mistake must not get a second mail past ``policy.resend_pause``."""
    await invite(house)
    old = house.mailbox.secret
    await house.until(lambda: b"'sent'" in dump(house.store.path))
    both = (house.invitations.resend(ALICE, B), house.invitations.resend(ALICE, B))
    told = await asyncio.gather(*both, return_exceptions=True)
    assert sorted(type(one).__name__ for one in told) == ["Conflict", "InvitationView"]
    await house.until(lambda: len(house.mailbox.orders) == 2)
    await house.invitations.check_secret(B, house.mailbox.secret)
    with pytest.raises(Ended, match="replaced"):
        await house.invitations.check_secret(B, old)


async def test_of_two_ends_at_once_one_is_told(house: House) -> None:
    await invite(house)
    await asyncio.gather(house.invitations.revoke(ALICE, B), house.invitations.logout(ALICE), return_exceptions=True)
    events = await house.invitations.feed(ALICE).read(0)
    assert events is not None
    assert [event.invitation.state for event in events if event.invitation].count("ended") == 1


async def test_resend_needs_an_active_invitation(house: House, hurry: None) -> None:
    house.faults.fail("provision", times=100000)
    await house.invitations.invite(ALICE, InviteRequest(email="b@cc.com"))
    with pytest.raises(Conflict):
        await house.invitations.resend(ALICE, B)


async def test_a_mail_that_was_queued_when_the_process_died_is_sent(house: House) -> None:
    house.faults.fail("send", times=100000)
    await house.invitations.invite(ALICE, InviteRequest(email="b@cc.com"))
    await house.until(lambda: "send" in house.faults.names())
    house.faults.errors.clear()
    await house.restart()
    await house.until(lambda: bool(house.mailbox.orders))


async def test_a_result_that_cannot_be_stored_is_no_reason_for_a_second_mail(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.delivery.worker.STORE_PAUSE", 0.01)
    real = house.store.delivery_result
    failures = [StoreError("disk full")]

    async def fail_once(*arguments: Any) -> object:
        if failures:
            raise failures.pop()
        return await real(*arguments)

    monkeypatch.setattr(house.store, "delivery_result", fail_once)
    await invite(house)
    await house.until(lambda: b'"state":"sent"' in dump(house.store.path))
    assert len(house.mailbox.orders) == 1


async def test_a_channel_that_is_gone_or_broken(house: House) -> None:
    async def broken(order: object) -> tuple[str, ...]:
        house.faults.calls.append(("broken",))
        raise RuntimeError("a bug")

    house.mailbox.send = broken  # type: ignore[method-assign]  # a driver with a bug
    await house.invitations.invite(ALICE, InviteRequest(email="b@cc.com"))
    await house.until(lambda: b"it may have arrived all the same" in dump(house.store.path))
    assert house.faults.names().count("broken") == 2  # nobody knows whether it was sent: once more, not again and again
    house.invitations._worker.channels = {}
    await house.invitations.resend(ALICE, "sip:b@cc.com")
    await house.until(lambda: b"There is no channel email" in dump(house.store.path))


async def test_an_inviter_with_many_guests_leaves(house: House) -> None:
    await asyncio.gather(
        *(house.invitations.invite(ALICE, InviteRequest(email=f"g{number}@cc.com")) for number in range(100))
    )
    assert await house.invitations.logout(ALICE) == 100
    await house.gone()
    assert house.core.accounts == {} and house.core.registered == set()


async def test_refusals_before_anything_is_allocated(house: House) -> None:
    invitations = house.invitations
    with pytest.raises(AlreadySubscriber) as caught:
        await invitations.invite(ALICE, InviteRequest(email="sub@cc.com"))
    assert caught.value.sip_uri == "sip:s@cc.com"
    with pytest.raises(NoChannel):
        await invitations.invite(ALICE, InviteRequest(phone="+4915112345678"))
    with pytest.raises(NoChannel):
        await invitations.invite(ALICE, InviteRequest(email="b@cc.com", via="sms"))
    with pytest.raises(FieldError):
        await invitations.invite(ALICE, InviteRequest(email="b@cc.com", valid_for=1e9))
    with pytest.raises(Forbidden):
        await invitations.invite(ALICE, InviteRequest(email="b@cc.com", types=["file"]))
    with pytest.raises(NotFound):
        await invitations.revoke(ALICE, B)
    assert rows(house) == {}


async def test_persons_who_may_be_subscribers(tmp_path: Path) -> None:
    house = await House(tmp_path, users__on_unknown="refuse").start()
    house.users.known = False
    with pytest.raises(Forbidden):
        await house.invitations.invite(ALICE, InviteRequest(email="b@cc.com"))
    assert (await house.invitations.lookup(ALICE, "b@cc.com")).known == "unknown"
    await house.stop()


async def test_lookup(house: House) -> None:
    assert (await house.invitations.lookup(ALICE, "sub@cc.com")).sip == "sip:s@cc.com"
    assert (await house.invitations.lookup(ALICE, "sip:a@cc.com")).known == "yes"
    assert (await house.invitations.lookup(ALICE, "x@cc.com")).known == "no"
    with pytest.raises(Unprocessable):
        await house.invitations.lookup(ALICE, "what?")
    house.faults.fail("lookup")
    with pytest.raises(Unavailable):
        await house.invitations.lookup(ALICE, "x@cc.com")
    assert (await house.invitations.authenticate("a", "pa", "127.0.0.1")).uid == "a"
    with pytest.raises(NotAuthenticated):
        await house.invitations.authenticate("a", "wrong", "127.0.0.1")


async def test_a_slow_up_center_does_not_keep_the_inviter_waiting(house: House, hurry: None) -> None:
    house.users.delay = 60
    with pytest.raises(Unavailable):
        await house.invitations.invite(ALICE, InviteRequest(email="b@cc.com"))
    assert rows(house) == {}


async def test_names_that_somebody_has_are_not_given(house: House) -> None:
    house.core.others.add(B)
    account = await invite(house)
    assert account.startswith("sip:b.cc.com-") and account.endswith("@cc.com")
    assert (await invite(house, "a@cc.com")).startswith("sip:a.cc.com-")  # a subscriber's identity
    assert (await invite(house, "b@other.example")).startswith("sip:b.other.example-")


@pytest.mark.parametrize("naming, name", [("serial", "sip:guest-000001@cc.com"), ("derived", "sip:b.x.org-")])
async def test_other_names(tmp_path: Path, naming: str, name: str) -> None:
    house = await House(tmp_path, accounts__naming=naming).start()
    assert (await invite(house, "b@x.org")).startswith(name)
    await house.stop()


async def test_no_free_name(tmp_path: Path) -> None:
    house = House(tmp_path)

    class Full(set[str]):
        def __contains__(self, name: object) -> bool:
            return True

    house.core.others = Full()
    await house.start()
    with pytest.raises(Unavailable, match="free name"):
        await house.invitations.invite(ALICE, InviteRequest(email="b@cc.com"))
    await house.stop()


async def test_the_store_has_the_last_word_on_names(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await invite(house)
    house.core.accounts.clear()
    real = SqliteStore.account_by_uri

    async def blind(store: SqliteStore, uri: str) -> None:
        return None

    monkeypatch.setattr(SqliteStore, "account_by_uri", blind)
    (known,) = await house.store.accounts()
    connection = sqlite3.connect(house.store.path)
    connection.execute("UPDATE account SET identifier = 'someone@else'")
    connection.commit()
    connection.close()
    account = await invite(house)
    monkeypatch.setattr(SqliteStore, "account_by_uri", real)
    assert account.startswith("sip:b.cc.com-")


async def test_second_registration_before_the_first_message(tmp_path: Path) -> None:
    house = await House(tmp_path, interaction__register_at="first_message").start()
    await invite(house)
    assert "register" not in house.faults.names()
    house.faults.fail("register")
    with pytest.raises(Unavailable):
        await house.invitations.ensure_registered(B, "im")
    await asyncio.gather(*(house.invitations.ensure_registered(B, "im") for _ in range(5)))
    await house.invitations.ensure_registered(B, "im")
    assert house.faults.names().count("register") == 2
    await house.invitations.end_account(B, "logout")
    assert house.core.registered == set()
    with pytest.raises(Ended):
        await house.invitations.ensure_registered(B, "im")
    await house.stop()


async def test_a_second_registration_does_not_outlive_its_account(tmp_path: Path) -> None:
    house = await House(tmp_path, interaction__register_at="first_message").start()
    await invite(house)
    asked, answered = asyncio.Event(), asyncio.Event()
    register = house.core.register

    async def slow(uri: str, kind: str) -> None:
        asked.set()
        await answered.wait()
        await register(uri, kind)

    house.core.register = slow  # type: ignore[method-assign]  # a server that takes its time
    late = asyncio.ensure_future(house.invitations.ensure_registered(B, "im"))
    await asked.wait()
    ending = asyncio.ensure_future(house.invitations.end_account(B, "logout"))
    await asyncio.wait({ending}, timeout=0.1)  # time enough to take it down, if nothing held it up
    answered.set()
    await asyncio.gather(late, ending)
    assert house.core.registered == set() and await house.store.accounts() == []
    await house.stop()


async def test_registered_at_the_invitation_nothing_is_due_later(house: House) -> None:
    await invite(house)
    await house.invitations.ensure_registered(B, "im")
    assert house.faults.names().count("register") == 1


async def test_events_reach_listeners_and_stay_readable(house: House) -> None:
    feed = house.invitations.feed(ALICE)
    heard: list[Event | None] = []
    stop = feed.subscribe(heard.append)
    await invite(house)
    await house.until(lambda: len(heard) >= 3)
    assert [event.cursor for event in heard if event] == [1, 2, 3] and feed.latest() == 3
    assert all(event is not None and event.kind == "invitation" for event in heard)
    await house.restart()
    assert heard[-1] is None
    stop()
    feed = house.invitations.feed(ALICE)
    assert feed.latest() == 3
    events = await feed.read(1)
    assert events is not None and [event.cursor for event in events] == [2, 3]
    await house.store.close()
    with pytest.raises(Unavailable):
        await feed.read(1)
    await house.restart()
    feed = house.invitations.feed(ALICE)
    assert house.invitations.feed(CAROL).latest() == 0 and await house.invitations.feed(CAROL).read(0) == []
    stops = [feed.subscribe(heard.append) for _ in range(8)]
    with pytest.raises(TooManyRequests):
        feed.subscribe(heard.append)
    for stop in stops:
        stop()
        stop()


async def test_an_inviter_may_have_so_many_invitations(tmp_path: Path) -> None:
    house = await House(tmp_path, policy__max_invitations=1).start()
    await invite(house)
    with pytest.raises(Conflict):
        await house.invitations.invite(ALICE, InviteRequest(email="d@cc.com"))
    await house.stop()


async def test_restarted_guests_are_admitted_without_a_secret(house: House) -> None:
    await invite(house)
    admission = await house.invitations.admission(B)
    assert admission is not None and [item.uid for item in admission.relations] == ["a"]
    assert await house.invitations.admission("sip:nobody@cc.com") is None


async def test_a_store_that_fails_is_503(house: House) -> None:
    await house.store.close()
    for call in (
        house.invitations.invite(ALICE, InviteRequest(email="b@cc.com")),
        house.invitations.list(ALICE),
        house.invitations.check_secret(B, "x"),
        house.invitations.revoke(ALICE, B),
    ):
        with pytest.raises(Unavailable):
            await call


async def test_two_inviters_at_once_get_one_account(house: House) -> None:
    views = await asyncio.gather(
        *(house.invitations.invite(who, InviteRequest(email="b@cc.com")) for who in (ALICE, CAROL, ALICE))
    )
    assert {view.account for view in views} == {B}
    assert rows(house)["account"] == 1 and rows(house)["invitation"] == 2
    assert house.faults.names().count("provision") == 1


async def test_query_links(tmp_path: Path) -> None:
    house = await House(tmp_path, gateway__link_style="query").start()
    await invite(house)
    assert f"{B}?passwd=" in house.mailbox.orders[0].link
    await house.stop()
