"""What was forgotten is found again: by comparison with core and servers, and by looking for what sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
from click.testing import CliRunner

from gateway.accounts import carry_out
from gateway.audit import Auditor, Finding
from gateway.cli import main
from gateway.drivers import DriverError
from gateway.lifecycle import core_account
from gateway.provisioning.base import Audit, CoreAccount
from gateway.secrets import Sealer
from gateway.storage.errors import StoreError
from gateway.storelock import StoreInUse, StoreLock
from tests.gateway.invitation_helpers import ALICE, Core, House
from translators.model import InviteRequest

B, D = "sip:b@cc.com", "sip:d@cc.com"


class OpenCore(Core):
    """A core and an IM server that tell what they know."""

    async def audit(self, accounts: Sequence[CoreAccount], kind: str = "") -> Audit:
        """Compare either accounts, or the URIs that a server of a type should know."""
        self.faults.happen("audit", kind)
        if kind:
            known = {uri for uri, registered in self.registered if registered == kind}
            wanted = {str(uri) for uri in accounts}
        else:
            known, wanted = set(self.accounts), {account.uri for account in accounts}
        return Audit(tuple(sorted(wanted - known)), tuple(sorted(known - wanted)))

    async def remove(self, name: str) -> None:
        self.faults.happen("remove", name)
        self.accounts.pop(name, None)


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    house.core = OpenCore(house.faults)
    await house.start()
    for email in ("b@cc.com", "d@cc.com"):
        await house.invitations.invite(ALICE, InviteRequest(email=email))
    await house.until(lambda: len(house.mailbox.orders) == 2)
    yield house
    await house.stop()


async def test_both_sides_are_compared(house: House) -> None:
    auditor = house.invitations.auditor
    assert (await auditor.compare()).findings == ()
    del house.core.accounts[B]
    house.core.accounts["sip:x@cc.com"] = ""
    house.core.registered ^= {(D, "im"), ("sip:y@cc.com", "im")}
    comparison = await auditor.compare()
    assert comparison.accounts == 2 and (comparison.compared, comparison.silent) == (("core", "im"), ())
    assert set(comparison.findings) == {
        Finding("core", "missing", B),
        Finding("core", "orphan", "sip:x@cc.com"),
        Finding("im", "missing", D),
        Finding("im", "orphan", "sip:y@cc.com"),
    }
    house.faults.fail("remove")
    assert await auditor.fix(comparison.findings) == [Finding("core", "orphan", "sip:x@cc.com")]
    assert (await auditor.compare()).findings == (Finding("core", "orphan", "sip:x@cc.com"),)


async def test_what_is_just_being_done_is_no_finding(house: House) -> None:
    """It was there at the first look and is not at the second."""

    def made(name: str) -> None:
        if name == "audit":
            house.faults.hook = None
            house.core.accounts["sip:new@cc.com"] = ""
            asyncio.get_running_loop().call_soon(house.core.accounts.pop, "sip:new@cc.com")

    house.faults.hook = made
    assert (await house.invitations.auditor.compare()).findings == ()
    assert house.faults.names().count("audit") > 2


async def test_an_account_that_ends_while_it_is_made_known_again_is_not(house: House) -> None:
    account = await house.store.account_by_uri(B)
    assert account is not None

    class Ending(OpenCore):
        async def provision(self, core_account: CoreAccount) -> None:
            await super().provision(core_account)
            assert account is not None
            await house.store.delete_account(account.id)

    core = Ending(house.faults)
    known = partial(core_account, Sealer.from_file(house.config.key_file))
    auditor = Auditor(house.store, house.config, core, core, known)
    assert await auditor.fix([Finding("core", "missing", B)]) == []
    assert core.accounts == {}


@pytest.mark.parametrize("place", ["core", "im"])
async def test_an_account_that_is_being_taken_down_is_not_made_known_again(house: House, place: str) -> None:
    """As after a crash between the core's answer and our commit: it is missing there, and is on its way out."""
    fixing: list[asyncio.Task[list[Finding]]] = []

    class Late(OpenCore):
        async def deregister(self, uri: str, kind: str) -> None:
            await super().deregister(uri, kind)
            await self._look("im")

        async def deprovision(self, account: CoreAccount) -> None:
            await super().deprovision(account)
            await self._look("core")

        async def _look(self, gone_from: str) -> None:
            if place == gone_from:
                finding = Finding(place, "missing", B)
                fixing.append(asyncio.create_task(house.invitations.auditor.fix([finding])))
                await asyncio.wait(fixing, timeout=0.2)

    house.core.__class__ = Late
    await house.invitations.revoke(ALICE, B)
    assert await fixing[0] == []
    assert set(house.core.accounts) == {D} and house.core.registered == {(D, "im")}
    assert (await house.invitations.auditor.compare()).findings == ()


async def test_drivers_that_tell_nothing_are_named(tmp_path: Path) -> None:
    house = await House(tmp_path).start()
    comparison = await house.invitations.auditor.compare()
    assert (comparison.findings, comparison.compared, comparison.silent) == ((), (), ("core", "im"))
    await house.stop()
    (tmp_path / "gateway.toml").write_text(house.text)
    command = ["accounts", "audit", "--config", str(tmp_path / "gateway.toml")]
    told = (await asyncio.to_thread(CliRunner().invoke, main, command)).output.splitlines()
    assert told[-1] == "0 accounts, nothing to compare them with" and "core: cannot tell" in told[0]


async def test_a_start_makes_known_again_what_others_have_forgotten(house: House) -> None:
    """And leaves alone what is nobody's."""
    await house.stop()
    house.core.accounts.clear()
    house.core.registered.clear()
    house.core.accounts["sip:x@cc.com"] = ""
    await house.start()
    await house.until(lambda: set(house.core.accounts) == {B, D, "sip:x@cc.com"})
    await house.until(lambda: house.core.registered == {(B, "im"), (D, "im")})


async def test_accounts_of_nobody_go_when_policy_does_not_keep_them_any_more(tmp_path: Path) -> None:
    house = House(tmp_path, policy__on_end="relation")
    house.core = OpenCore(house.faults)
    await house.start()
    await house.invitations.invite(ALICE, InviteRequest(email="b@cc.com"))
    await house.invitations.logout(ALICE)
    assert set(house.core.accounts) == {B}
    await house.restart()
    assert set(house.core.accounts) == {B}
    house.overrides["policy.on_end"] = "account"
    await house.restart()
    await house.gone()
    assert not house.core.accounts and not house.core.registered
    await house.stop()


async def test_rounds_go_on_after_one_that_failed(tmp_path: Path) -> None:
    house = House(tmp_path, provisioning__reconcile=0.01)
    house.core = OpenCore(house.faults)
    house.faults.fail("audit", times=3)
    await house.start()
    await house.until(lambda: house.faults.names().count("audit") > 8)
    await house.stop()


async def test_a_purge_asks_nobody(house: House) -> None:
    """The core does not answer; the account goes, and what is left behind is in its history."""
    house.faults.fail("deprovision", times=100)
    house.faults.fail("deregister", times=100)
    assert "deleted" in await house.invitations.purge_for_operator(B)
    assert await house.store.account_by_uri(B) is None and B in house.core.accounts
    (left,) = [step for step in await house.store.history() if step.step == "left-behind"]
    assert left.detail == "deregister fails; deprovision fails"
    assert "no such account" in await house.invitations.purge_for_operator(B)
    assert await house.store.account_by_uri(D) is not None


async def test_orders_are_carried_out_and_failures_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(account: str) -> str:
        raise DriverError("the core is on fire", temporary=False)

    numbers = [await house.store.place_order("revoke", B, "nobody"), await house.store.place_order("revoke", B, "a")]
    results = [await _result(house, number) for number in numbers]
    assert results == ["There is no such invitation.", "It has ended."]
    monkeypatch.setattr(house.invitations, "purge_for_operator", broken)
    assert "on fire" in await _result(house, await house.store.place_order("purge", D, ""))


async def _result(house: House, number: int) -> str:
    async with asyncio.timeout(5):
        while (result := await house.store.take_result(number)) is None:
            await asyncio.sleep(0.01)
    return result


async def test_an_order_that_nobody_waits_for_is_withdrawn(house: House) -> None:
    """By Ctrl-C, while the gateway that runs is busy."""
    await house.invitations.orders.close()
    lock = StoreLock(house.config.database)
    lock.acquire()
    waiting = asyncio.create_task(carry_out(house.config, "revoke", B))
    async with asyncio.timeout(5):
        while not await house.store.orders():
            await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    lock.release()
    assert await house.store.orders() == []


def test_a_store_is_one_gateways(tmp_path: Path) -> None:
    first, second = StoreLock(tmp_path / "deep" / "rcsgw.db"), StoreLock(tmp_path / "deep" / "rcsgw.db")
    first.acquire()
    with pytest.raises(StoreInUse, match="another rcsgw works on this store"):
        second.acquire()
    first.release()
    first.release()
    second.acquire()
    second.release()
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file"):
        StoreLock(tmp_path / "file" / "rcsgw.db").acquire()
