"""Accounts of a pool: read, leased, returned, rested, and never given to two guests."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.drivers import DriverError
from gateway.provisioning.base import Audit, CoreAccount
from gateway.provisioning.pool import PoolProvisioning
from gateway.provisioning.poolfile import PoolError, read_pool
from gateway.services import NoAccountLeft
from gateway.sims import SimKeys
from gateway.storage.errors import StoreError
from gateway.storage.sqlite import SqliteStore
from tests.gateway.invitation_helpers import ALICE
from translators.identifiers import Identifier, Kind

HEADER = "uri,impi,realm,password,ha1_md5\n"
REST = 100.0


def guest(name: str) -> Identifier:
    return Identifier(Kind.EMAIL, f"{name}@x.org")


class Pool:
    """A pool with its file, store and clock; ``restart`` makes a new process of it."""

    def __init__(self, folder: Path, lines: int) -> None:
        self.path = folder / "pool.csv"
        self.now = 1_000_000.0
        self.store = SqliteStore(folder / "rcsgw.db")
        self.write(lines)

    def write(self, lines: int) -> None:
        """Write the file with so many accounts."""
        self.path.write_text(HEADER + "".join(f"sip:g{n}@cc.com,,,secret{n},\n" for n in range(lines)))

    def restart(self) -> PoolProvisioning:
        """Return a driver that knows what the store knows."""
        self.driver = PoolProvisioning(self.path, self.store, realm="cc.com", quarantine=REST, clock=lambda: self.now)
        return self.driver

    async def lease(self, name: str) -> str:
        """Lease an account for somebody."""
        return (await self.driver.allocate(guest(name), ALICE, ("im",))).uri


@pytest_asyncio.fixture
async def pool(tmp_path: Path) -> AsyncIterator[Pool]:
    """A pool of three accounts."""
    pool = Pool(tmp_path, 3)
    await pool.store.open()
    pool.restart()
    yield pool
    await pool.store.close()


async def test_everybody_gets_one_of_their_own_and_the_same_again(pool: Pool) -> None:
    assert [await pool.lease(name) for name in ("b", "c", "b", "d")] == [
        "sip:g0@cc.com",
        "sip:g1@cc.com",
        "sip:g0@cc.com",
        "sip:g2@cc.com",
    ]
    with pytest.raises(NoAccountLeft) as caught:
        await pool.lease("e")
    assert caught.value.retry_after is None and caught.value.status == 503


def test_accounts_with_a_sim(tmp_path: Path) -> None:
    path, key = tmp_path / "pool.csv", "0123456789abcdef" * 2
    path.write_text(
        f"uri;k;op;opc;password\nsip:g1@cc.com;{key};;{key};\nsip:g2@cc.com;{key};{key};;\nsip:g3@cc.com;;;;x\n"
    )
    pool = read_pool(path, "cc.com")
    assert pool["sip:g1@cc.com"].sim == SimKeys.parse(key, opc=key)
    assert pool["sip:g2@cc.com"].sim == SimKeys.parse(key, op=key)
    assert pool["sip:g3@cc.com"].sim is None
    for line, problem in (
        (f"{key};;;", "line 2: needs op or opc"),
        (f"{key};{key};;x", "has both a password and the keys of a SIM"),
        (f";{key};;x", "both"),
        (";;;", "needs a password or a hash, or k"),
        ("12;;34;", "line 2: k is not 32 hex digits"),
    ):
        path.write_text(f"uri;k;op;opc;password\nsip:g1@cc.com;{line}\n")
        with pytest.raises(PoolError, match=problem) as caught:
            read_pool(path, "cc.com")
        assert key not in str(caught.value)


async def test_many_at_once_get_different_ones(pool: Pool) -> None:
    pool.write(50)
    uris = await asyncio.gather(*(pool.lease(f"n{number}") for number in range(50)))
    assert len(set(uris)) == 50


async def test_a_returned_account_rests_and_the_longest_free_one_goes_first(pool: Pool) -> None:
    for name in ("b", "c", "d"):
        await pool.lease(name)
    await pool.driver.release("sip:g1@cc.com")
    pool.now += 10
    await pool.driver.release("sip:g0@cc.com")
    await pool.driver.release("sip:g0@cc.com")
    with pytest.raises(NoAccountLeft) as caught:
        await pool.lease("e")
    assert caught.value.retry_after == 90
    pool.now += 90
    assert await pool.lease("e") == "sip:g1@cc.com"
    with pytest.raises(NoAccountLeft):
        await pool.lease("b")  # whose account rests, and is not theirs any more
    pool.now += 10
    assert await pool.lease("f") == "sip:g0@cc.com"


async def test_leases_and_rests_survive_the_process(pool: Pool) -> None:
    await pool.lease("b")
    await pool.lease("c")
    await pool.driver.release("sip:g1@cc.com")
    leases = await pool.store.leases("pool")
    assert [(lease.key, lease.identifier) for lease in leases] == [("sip:g0@cc.com", "b@x.org"), ("sip:g1@cc.com", "")]
    pool.restart()
    assert await pool.lease("b") == "sip:g0@cc.com"
    assert await pool.lease("d") == "sip:g2@cc.com"
    with pytest.raises(NoAccountLeft):
        await pool.lease("e")
    await pool.driver.release("sip:g0@cc.com")
    pool.now += REST
    assert {await pool.lease("e"), await pool.lease("f")} == {"sip:g0@cc.com", "sip:g1@cc.com"}


async def test_what_an_audit_beside_a_gateway_takes_back_is_taken_back(pool: Pool) -> None:
    """``rcsgw accounts audit --fix`` is another process: the gateway's own picture of the leases is older."""
    gateway = pool.driver
    assert [await pool.lease(name) for name in "bcd"] == [f"sip:g{n}@cc.com" for n in range(3)]
    audit = pool.restart()
    await audit.remove("sip:g0@cc.com")
    await audit.remove("sip:g1@cc.com")
    pool.driver = gateway
    assert await pool.lease("b") == "sip:g0@cc.com", "it is theirs still, as far as the gateway knows"
    assert {lease.key: lease.free_at is None for lease in await pool.store.leases("pool")} == {
        "sip:g0@cc.com": True,
        "sip:g1@cc.com": False,
        "sip:g2@cc.com": True,
    }
    pool.now += REST
    assert await pool.lease("e") == "sip:g1@cc.com"


async def test_a_lease_that_cannot_be_written_is_none(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(lease: object) -> None:
        raise StoreError("full")

    with monkeypatch.context() as patch, pytest.raises(StoreError):
        patch.setattr(pool.store, "put_lease", fail)
        await pool.lease("b")
    assert await pool.lease("c") == "sip:g0@cc.com"


async def test_the_file_is_read_again_when_it_changes(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    pool.write(1)
    assert await pool.lease("b") == "sip:g0@cc.com"
    pool.write(2)
    assert await pool.lease("c") == "sip:g1@cc.com"
    pool.path.write_text("nonsense\n")
    with pytest.raises(NoAccountLeft):
        await pool.lease("d")  # those that were read before stay
    assert "unknown column 'nonsense'" in caplog.text
    os.unlink(pool.path)
    assert await pool.lease("b") == "sip:g0@cc.com"
    pool.path.write_text(HEADER + "sip:g9@cc.com,,,x,\n")
    assert await pool.lease("b") == "sip:g9@cc.com"  # theirs is in the file no more
    await pool.driver.release("sip:g0@cc.com")
    with pytest.raises(NoAccountLeft):
        await pool.lease("e")


async def test_audit_and_dry_run(pool: Pool) -> None:
    await pool.lease("b")
    await pool.lease("c")
    accounts = [CoreAccount(f"sip:{user}@cc.com", user, "cc.com", lambda *_: "", str) for user in ("g0", "gone")]
    assert await pool.driver.audit(accounts) == Audit(("sip:gone@cc.com",), ("sip:g1@cc.com",))
    await pool.driver.remove("sip:g1@cc.com")
    assert await pool.driver.audit(accounts) == Audit(("sip:gone@cc.com",), ())
    await pool.driver.remove("sip:g0@cc.com")  # as an audit may that comes between lease and account
    assert (await pool.driver.audit(accounts)).missing == ("sip:g0@cc.com", "sip:gone@cc.com")
    await pool.driver.provision(accounts[0])
    assert (await pool.driver.audit(accounts)).missing == ("sip:gone@cc.com",)
    with pytest.raises(DriverError, match="sip:gone@cc.com is not in .*pool.csv any more"):
        await pool.driver.provision(accounts[1])  # so that nobody takes it for put right
    line, first = await pool.driver.rehearse(accounts[0])
    assert "3 accounts, 1 out, 1 returned" in line and "sip:g2@cc.com" in first
    assert await pool.driver.rehearse(accounts[0]) == [line, first]
    assert await pool.lease("d") == "sip:g2@cc.com"
    assert (await pool.driver.rehearse(accounts[0]))[1].startswith("All accounts")


def test_a_file_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(DriverError, match="cannot be read") as caught:
        PoolProvisioning(tmp_path / "none.csv", SqliteStore(tmp_path / "db"), realm="cc.com", quarantine=0)
    assert not caught.value.temporary


def test_columns(tmp_path: Path) -> None:
    path = tmp_path / "pool.csv"
    path.write_bytes(
        "\ufeff# from the lab\r\nURI;password;realm;impi;ha1_sha256\r\n\r\n"
        f'g1@cc.com;"a;""b";;;\r\nsip:g2@cc.com;;ims.org;g2@ims.org;{"AB" * 32}\r\n'.encode()
    )
    first, second = read_pool(path, "cc.com").values()
    assert (first.uri, first.impi, first.realm, first.secret) == ("sip:g1@cc.com", "g1", "cc.com", 'a;"b')
    assert (second.impi, second.realm, second.secret) == ("g2@ims.org", "ims.org", "")
    assert second.ha1 == {"SHA-256": "ab" * 32} and second.origin == "pool"
    assert 'a;"b' not in repr(first)


@pytest.mark.parametrize(
    "text, problem",
    [
        ("", "line 1: the names of the columns"),
        ("user,password\n", "unknown column 'user'"),
        ("impi,password\n", "the column uri is missing"),
        ("uri,uri\n", "has a column twice"),
        ("uri,password\nsip:g@cc.com\n", "line 2: needs a password or a hash"),
        ("uri,password\nsip:g@cc.com,geheim,more\n", "line 2: has more columns"),
        ("uri,password\nsip:g@cc.com,geheim\nsip:g@cc.com,geheim\n", "line 3: uri sip:g@cc.com is there twice"),
        ("uri,password\ntel:+1555,geheim\n", "is no plain SIP URI"),
        ("uri,password\nsip:g@cc.com;transport=tcp,geheim\n", "is no plain SIP URI"),
        ("uri,password\nsip:cc.com,geheim\n", "is no plain SIP URI"),
        ("uri,password\nsip:g@cc.com,ge\x00heim\n", "password holds a control character"),
        ("uri,ha1_md5\nsip:g@cc.com,geheim\n", "ha1_md5 is not 32 hex digits"),
        ('uri,password\nsip:g@cc.com,"geheim\n', "line 2: unexpected end"),
    ],
)
def test_mistakes_are_named_with_line_and_column_and_without_the_password(
    tmp_path: Path, text: str, problem: str
) -> None:
    path = tmp_path / "pool.csv"
    path.write_text(text)
    with pytest.raises(PoolError, match=problem) as caught:
        read_pool(path, "cc.com")
    assert str(path) in str(caught.value) and "geheim" not in str(caught.value)
