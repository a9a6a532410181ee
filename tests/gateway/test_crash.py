"""A process that is killed before and after every commit and every call into the network, and the one that follows it.

The network is a folder that outlives the process: a file for each account that the core knows, for each second
registration, for each mail. Whatever happens, store and network agree in the end.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.delivery.base import DeliveryOrder
from gateway.provisioning.base import CoreAccount
from gateway.storage.sqlite import SqliteStore
from tests.gateway.invitation_helpers import ALICE, Core, Faults, House, Mailbox
from translators.model import InviteRequest

B = "sip:b@cc.com"
KILLED = 9


class Countdown:
    """Kills the process at the n-th place; 0 never does."""

    def __init__(self, places: int) -> None:
        self.left = places
        self.passed = 0

    def __call__(self) -> None:
        self.passed += 1
        if self.passed == self.left:
            os._exit(KILLED)


class FileCore(Core):
    """A core and an IM server that keep what they know in files."""

    def __init__(self, folder: Path, place: Callable[[], None]) -> None:
        super().__init__(Faults())
        self.folder = folder
        self.place = place

    def _change(self, name: str, known: bool) -> None:
        self.place()
        path = self.folder / name.replace(":", "_")
        if known:
            path.touch()
        else:
            path.unlink(missing_ok=True)
        self.place()

    async def provision(self, account: CoreAccount) -> None:
        self._change(f"core-{account.uri}", True)

    async def deprovision(self, account: CoreAccount) -> None:
        self._change(f"core-{account.uri}", False)

    async def register(self, uri: str, kind: str) -> None:
        self._change(f"{kind}-{uri}", True)

    async def deregister(self, uri: str, kind: str) -> None:
        self._change(f"{kind}-{uri}", False)


class FileMailbox(Mailbox):
    """Mails as files; the same Message-ID twice is told by the content."""

    def __init__(self, folder: Path, place: Callable[[], None]) -> None:
        super().__init__(Faults())
        self.folder = folder
        self.place = place

    async def send(self, order: DeliveryOrder) -> tuple[str, ...]:
        self.place()
        number = len(list(self.folder.glob("mail-*")))
        (self.folder / f"mail-{number}").write_text(f"{order.message_id} {order.link}")
        self.place()
        return ()


def house(folder: Path, place: Callable[[], None]) -> House:
    """Return a gateway on the files of ``folder``."""
    made = House(folder)
    made.core = FileCore(folder, place)
    made.mailbox = FileMailbox(folder, place)
    return made


def network(folder: Path) -> list[str]:
    """Return what core and IM server know."""
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(("core-", "im-")))


async def mail_is_out(made: House) -> None:
    """Wait until every invitation's mail is noted as sent."""
    async with asyncio.timeout(5):
        while any(item.delivery is None or item.delivery.state != "sent" for item in await made.store.invitations()):
            await asyncio.sleep(0.005)


async def run_invite(made: House) -> None:
    await made.start()
    await made.invitations.invite(ALICE, InviteRequest(email="b@cc.com"))
    await mail_is_out(made)
    await made.stop()


async def run_revoke(made: House) -> None:
    await made.start()
    await made.invitations.revoke(ALICE, B)
    await made.gone()
    await made.stop()


def run(folder: Path, work: Callable[[House], Awaitable[None]], places: int) -> int:
    """Run ``work`` in a process that is killed at the n-th place; return how many places it has passed, 0 if killed."""
    result = folder / "passed"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # threads that are idle do not mind a fork
        child = os.fork()
    if child == 0:
        try:
            place = Countdown(places)
            commit = SqliteStore._commit

            def counted(store: SqliteStore, connection: sqlite3.Connection) -> None:
                place()
                commit(store, connection)
                place()

            SqliteStore._commit = counted  # type: ignore[method-assign, assignment]  # the process ends with it
            asyncio.run(work(house(folder, place)))  # type: ignore[arg-type]  # a coroutine
            result.write_text(str(place.passed))
            os._exit(0)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, KILLED)
    return int(result.read_text()) if code == 0 else 0


def nothing() -> None:
    """Stand for a place where nobody is killed."""


async def recover(folder: Path) -> None:
    """Start a new process on the files, and see that store and network agree."""
    made = await house(folder, nothing).start()
    known = await made.store.invitations()
    if known:
        await mail_is_out(made)
        (view,) = await made.invitations.list(ALICE)
        assert view.state == "active"
        assert network(folder) == [f"core-{B}".replace(":", "_"), f"im-{B}".replace(":", "_")]
        mails = {path.read_text() for path in folder.glob("mail-*")}
        assert len(mails) == 1 and len(list(folder.glob("mail-*"))) <= 2
        secret = mails.pop().partition("passwd=")[2]
        assert (await made.invitations.check_secret(B, secret)).account.uri == B
    else:
        assert await made.store.accounts() == []
        assert network(folder) == [] and not list(folder.glob("mail-*"))
    await made.stop()


async def recover_from_end(folder: Path) -> None:
    """Start a new process on the files after a revocation that may have been committed or not."""
    made = await house(folder, nothing).start()
    (*known,) = await made.store.invitations()
    if known and known[0].invitation.state == "active":
        await made.invitations.revoke(ALICE, B)
    await made.gone()
    assert network(folder) == []
    await made.stop()


def places_of(tmp_path: Path, prepare: bool, work: Callable[[House], Awaitable[None]]) -> int:
    """Return how many places a run passes that nobody kills."""
    folder = tmp_path / "count"
    folder.mkdir()
    if prepare:
        run(folder, run_invite, 0)
    return run(folder, work, 0)


@pytest.mark.parametrize("ending", [False, True])
def test_killed_at_every_place(tmp_path: Path, ending: bool) -> None:
    work = run_revoke if ending else run_invite
    total = places_of(tmp_path, ending, work)
    assert total >= (10 if ending else 18)
    killed = 0
    for number in range(1, total + 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        if ending:
            run(folder, run_invite, 0)
        killed += run(folder, work, number) == 0
        asyncio.run(recover_from_end(folder) if ending else recover(folder))
    assert killed >= total - 2  # whether the first pruning is in time for its two places is chance
