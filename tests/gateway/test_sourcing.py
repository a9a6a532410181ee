"""Accounts that others name: no step of ours too many, sealed as ever, and given back whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway import sourcing
from gateway.accountsource import Origin, SourcedAccount
from gateway.config.settings import Config
from gateway.drivers import DriverError
from gateway.provisioning.none import NoProvisioning
from gateway.provisioning.pool import PoolProvisioning
from gateway.secrets import Sealer
from gateway.services import Inviter, NoAccountLeft, ServiceError, Unavailable, UpstreamRefused
from gateway.sourcing import account_source
from gateway.storage.errors import StoreError
from gateway.users.http import HttpUsers
from tests.gateway.invitation_helpers import ALICE, CAROL, CONFIG, House
from translators.identifiers import Identifier
from translators.model import InviteRequest


class Died(BaseException):
    """The process is no more."""


class Source:
    """Names accounts after persons and remembers who has which."""

    def __init__(self) -> None:
        self.origin: Origin = "up-center"
        self.out: dict[str, str] = {}
        self.calls: list[tuple[str, ...]] = []
        self.errors: list[Exception] = []
        self.account: Callable[[str], SourcedAccount] = lambda uri: SourcedAccount(
            uri, "impi-1", "ims.org", self.origin, "geheim"
        )

    async def allocate(self, identifier: Identifier, inviter: Inviter, types: Sequence[str]) -> SourcedAccount:
        self.calls.append(("allocate", identifier.value, inviter.uid, *types))
        uri = self.out.setdefault(identifier.key, f"sip:{identifier.key.partition('@')[0]}.guest@ims.org")
        if self.errors:
            raise self.errors.pop(0)
        return self.account(uri)

    async def release(self, uri: str) -> None:
        self.calls.append(("release", uri))
        if self.errors:
            raise self.errors.pop(0)
        self.out = {person: out for person, out in self.out.items() if out != uri}


class SourcedHouse(House):
    """A house whose accounts the source names."""

    def __init__(self, folder: Path, text: str = CONFIG, **overrides: Any) -> None:
        super().__init__(folder, text, **overrides)
        self.up_center = Source()
        self.source = lambda store: self.up_center

    async def invite(self, email: str = "b@x.org", inviter: Inviter = ALICE) -> str:
        """Invite by e-mail; return the account."""
        return (await self.invitations.invite(inviter, InviteRequest(email=email))).account

    async def requests(self) -> int:
        """Return how many requests are written down."""
        return len(await self.store.leases(sourcing.REQUEST))


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[SourcedHouse]:
    house = SourcedHouse(tmp_path)
    await house.start()
    yield house
    await house.stop()


async def test_accounts_of_the_up_center_need_no_registration_of_ours(house: SourcedHouse) -> None:
    account = await house.invite("B@x.org")
    assert account == "sip:b.guest@ims.org"
    assert house.up_center.calls == [("allocate", "B@x.org", "a", "im")]
    assert await house.invite("b@x.org", CAROL) == account  # the account is there, nobody is asked
    await house.until(lambda: len(house.mailbox.orders) == 2)
    (record,) = await house.store.accounts()
    assert (record.impi, record.realm, record.origin, record.provisioned) == ("impi-1", "ims.org", "up-center", True)
    assert Sealer.from_file(house.config.key_file).secret(record.sealed_secret, record.uri) == "geheim"
    assert await house.requests() == 0
    await house.invitations.end_account(account, "logout")
    await house.gone()
    assert house.up_center.calls[1:] == [("release", account)]
    assert house.faults.names() == ["lookup", "lookup", "send", "send"]


async def test_accounts_of_a_pool_are_registered_at_interaction_servers(tmp_path: Path) -> None:
    house = SourcedHouse(tmp_path)
    house.up_center.origin = "pool"
    await house.start()
    account = await house.invite()
    await house.invitations.end_account(account, "logout")
    await house.gone()
    assert [name for name in house.faults.names() if name not in ("lookup", "send")] == ["register", "deregister"]
    assert house.up_center.out == {}
    await house.stop()


async def test_hashes_are_enough(house: SourcedHouse) -> None:
    house.up_center.account = lambda uri: SourcedAccount(uri, "b", "ims.org", "up-center", ha1={"MD5": "0" * 32})
    uri = await house.invite()
    (record,) = await house.store.accounts()
    assert b"0" * 32 not in record.sealed_secret
    credentials = Sealer.from_file(house.config.key_file).credentials(record.sealed_secret, uri, record.impi)
    assert credentials.ha1("ims.org", "MD5") == "0" * 32


async def test_none_left_is_told_as_what_it_is(house: SourcedHouse) -> None:
    house.up_center.errors.append(NoAccountLeft("None is free.", retry_after=60))
    with pytest.raises(NoAccountLeft):
        await house.invite()
    assert await house.store.accounts() == [] and await house.requests() == 0


@pytest.mark.parametrize(
    "account",
    [
        SourcedAccount("tel:+1555", "b", "ims.org", "up-center", "geheim"),
        SourcedAccount("sip:ims.org", "b", "ims.org", "up-center", "geheim"),
        SourcedAccount("no URI", "b", "ims.org", "up-center", "geheim"),
        SourcedAccount("sip:b@ims.org", "b", "", "up-center", "geheim"),
        SourcedAccount("sip:b@ims.org", "b", "ims.org", "up-center"),
    ],
    ids=lambda account: account.uri,
)
async def test_accounts_of_no_use_are_given_back(house: SourcedHouse, account: SourcedAccount) -> None:
    house.up_center.account = lambda uri: account
    with pytest.raises(UpstreamRefused) as caught:
        await house.invite()
    assert "geheim" not in str(caught.value)
    assert house.up_center.calls[-1] == ("release", account.uri)
    assert await house.requests() == 0


async def test_an_account_that_two_persons_get_is_nobodys(house: SourcedHouse) -> None:
    house.up_center.account = lambda uri: SourcedAccount("sip:one@ims.org", "one", "ims.org", "up-center", "geheim")
    await house.invite("b@x.org")
    with pytest.raises(UpstreamRefused, match="somebody's already"):
        await house.invite("c@x.org")
    assert len(await house.store.accounts()) == 1


async def test_a_store_that_fails_gives_the_account_back(house: SourcedHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise StoreError("full")

    monkeypatch.setattr(house.store, "begin_invitation", fail)
    with pytest.raises(Unavailable):
        await house.invite()
    assert house.up_center.out == {} and await house.requests() == 0


async def test_what_cannot_be_given_back_is_given_back_later(
    house: SourcedHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        house.up_center.errors.append(DriverError("down", temporary=True))
        raise StoreError("full")

    with monkeypatch.context() as patch, pytest.raises(ServiceError):
        patch.setattr(house.store, "begin_invitation", fail)
        await house.invite()
    assert house.up_center.out and await house.requests() == 1
    await house.restart()
    await house.until(lambda: house.up_center.out == {})


async def test_no_answer_in_time_is_looked_after(house: SourcedHouse) -> None:
    """The UP Center may have made the account all the same."""
    house.up_center.errors.append(DriverError("no answer in time", temporary=True))
    with pytest.raises(Unavailable):
        await house.invite()
    assert house.up_center.out and await house.requests() == 1
    await house.restart()
    await house.until(lambda: house.up_center.out == {})
    while await house.requests():
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("step", ["put_lease", "begin_invitation", "drop_lease", "delete_account"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_process_that_dies_leaves_no_account_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    house = SourcedHouse(tmp_path)
    await house.start()
    original = getattr(house.store, step)

    async def die(*arguments: object) -> object:
        if after:
            await original(*arguments)
        raise Died

    monkeypatch.setattr(house.store, step, die)
    with contextlib.suppress(Died):
        await house.invite()
    await house.invitations.logout(ALICE)
    await house.stop()
    await house.start()  # with a store of its own, which does not die
    await house.gone()
    await house.invite()
    await house.invitations.logout(ALICE)
    await house.gone()
    await house.until(lambda: house.up_center.out == {})
    assert await house.requests() == 0
    await house.stop()


async def test_a_source_that_is_configured_no_more(house: SourcedHouse, caplog: pytest.LogCaptureFixture) -> None:
    account = await house.invite()
    house.source = None
    await house.restart()
    await house.invitations.end_account(account, "logout")
    await house.gone()
    assert "left behind: its origin, up-center, is not configured any more" in caplog.text


async def test_a_release_that_fails_is_repeated_until_it_is_done(house: SourcedHouse) -> None:
    account = await house.invite()
    house.up_center.errors += [DriverError("down", temporary=True)] * 2
    await house.invitations.logout(ALICE)
    await house.gone()
    assert house.up_center.calls.count(("release", account)) == 3


async def test_on_end_relation_keeps_the_account_of_the_person(tmp_path: Path) -> None:
    house = SourcedHouse(tmp_path, policy__on_end="relation")
    await house.start()
    account = await house.invite()
    await house.invitations.logout(ALICE)
    assert await house.invite("b@x.org", CAROL) == account
    assert house.up_center.calls == [("allocate", "b@x.org", "a", "im")]
    await house.stop()


def test_who_names_accounts(tmp_path: Path) -> None:
    (tmp_path / "pool.csv").write_text("uri,password\nsip:g@cc.com,x\n")
    house = SourcedHouse(tmp_path)
    pool = PoolProvisioning(tmp_path / "pool.csv", None, realm="cc.com", quarantine=0)  # type: ignore[arg-type]  # not asked
    users = HttpUsers(None, realm="cc.com")  # type: ignore[arg-type]  # not asked

    def config(**overrides: Any) -> Config:
        house.overrides = {key.replace("__", "."): value for key, value in overrides.items()}
        return house.config

    http: dict[str, Any] = {"users__driver": "http", "users__http__url": "https://up.example"}
    assert account_source(config(), house.users, NoProvisioning()) is None
    assert account_source(config(), house.users, pool) is pool
    assert account_source(config(**http), users, NoProvisioning()) is None
    assert account_source(config(**http, users__http__allocate=True), users, NoProvisioning()) is users
