"""What can go wrong in a network, made to go wrong: and what the tests of that look at."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from gateway.lab.behaviour import Behaviour
from gateway.lab.core import Core
from gateway.lab.kamailio import Kamailio
from gateway.lab.ladder import Arrow, build_ladder
from gateway.lab.phone import Phone, PhoneOptions
from gateway.storage.sqlite import SqliteStore
from tests.e2e.client import Answer, Event, kind
from tests.e2e.cores import EmbeddedCore
from tests.e2e.world import DOMAIN, PASSWORDS, Guest, World

WITHIN = 3.0
"""Seconds within which every HTTP call is answered, whatever is broken."""

LOAD = 1.5
"""Seconds that a loaded machine may add to that. Waiting for the network twice would take longer."""

QUICK = "[policy]\nmessage_wait = 0.3\n"
"""Settings for tests in which no answer comes: 202 soon."""


# the core


@asynccontextmanager
async def core_down(world: World) -> AsyncIterator[None]:
    """Take the core down, and bring it up again on the same ports. Accounts stay, registrations are lost."""
    core = world.core.core
    if isinstance(core, Kamailio):
        await core.stop()
        yield
        await core.start()
        return
    options = replace(core.options, port=core.address[1], http_port=core.admin.address[1])
    await core.close()
    yield
    world.core = EmbeddedCore(await world.enter(Core(options, trace=world.trace("core"))))


@contextmanager
def wrong_password(world: World, user: str) -> Iterator[None]:
    """Let the core know another password of an account than the gateway does."""
    kamailio = isinstance(world.core.core, Kamailio)
    columns = ("ha1", "ha1b") if kamailio else ("ha1", "ha1_sha256")
    file = world.folder / ("kamailio/kamailio.db" if kamailio else "core.db")

    def put(values: tuple[str, ...]) -> tuple[str, ...]:
        with contextlib.closing(sqlite3.connect(file, timeout=10, isolation_level=None)) as table:
            [before] = table.execute(f"SELECT {', '.join(columns)} FROM subscriber WHERE username = ?", (user,))
            names = ", ".join(f"{column} = ?" for column in columns)
            table.execute(f"UPDATE subscriber SET {names} WHERE username = ?", (*values, user))
        return tuple(before)

    before = put(("0" * 32, "0" * 32))
    yield
    put(before)


# the gateway


def ring_for(world: World, seconds: float) -> None:
    """Let the gateway wait so long, not half a minute, for an answer to INVITE."""
    assert world.gateway is not None
    guests = world.gateway.guests
    guests.settings = replace(guests.settings, ring_timeout=seconds)


class Disk:
    """The disk of the store: full when a test says so, or slow."""

    def __init__(self) -> None:
        self.full = False

    def commit(self, store: SqliteStore, connection: sqlite3.Connection) -> None:
        """Commit, or fail as SQLite does."""
        if self.full:
            raise sqlite3.OperationalError("database or disk is full")
        connection.execute("COMMIT")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """The disk of every store that is opened from here on."""
    disk = Disk()
    monkeypatch.setattr(SqliteStore, "_commit", lambda store, connection: disk.commit(store, connection))
    return disk


# phones


async def phone_behind_cutter(world: World, uid: str = "a", **behaviour: Any) -> Phone:
    """Return a phone whose MSRP connections can be cut, registered."""
    host, port = world.core.address
    options = PhoneOptions(
        aor=f"sip:{uid}@{DOMAIN}",
        password=PASSWORDS[uid],
        proxy=f"sip:{host}:{port};transport=tcp;lr",
        cutter=True,
        behaviour=Behaviour(**{"receipts": "none"} | behaviour),
    )
    return await world.enter(Phone(options, trace=world.trace(f"phone {uid}")))


# what is looked at


def refused(answer: Answer, status: int, type: str, *, code: int | None = None) -> None:
    """Check a problem: its status, its type, the SIP or MSRP code that it follows from, and that it came in time."""
    assert (answer.status, answer.json["type"].rpartition("/")[2]) == (status, type), answer
    assert answer.took < WITHIN + LOAD, answer.took
    if code is not None:
        assert answer.json["sip"]["code"] == code, answer


async def final(guest: Guest, answer: Answer, state: str, *, code: int) -> Event:
    """Wait for the receipt of a message that was answered 202, and check its state and cause."""
    assert (answer.status, answer.json["state"]) == (202, "pending"), answer
    assert answer.took < WITHIN + LOAD, answer.took
    event = await guest.wait_for_event(kind("receipt", id=answer.json["id"]))
    assert (event["receipt"]["state"], event["receipt"]["cause"]["code"]) == (state, code), event
    [line] = [line for line in await guest.messages() if line["id"] == answer.json["id"]]
    assert line["state"] == state
    return event


def ladder(world: World, protocol: str = "SIP") -> list[str]:
    """Return what crossed the wire as the ladder tells it: ``who > whom: what``."""
    lines = build_ladder(world.records).lines
    return [
        f"{line.source} > {line.target}: {line.label}"
        for line in lines
        if isinstance(line, Arrow) and line.protocol == protocol
    ]


def shows(world: World, text: str, protocol: str = "SIP") -> bool:
    """Tell whether a line of the ladder holds a text."""
    return any(text in line for line in ladder(world, protocol))
