"""One socket, by hand: when what comes in brings about that something goes out."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from sipstack.msrp.connection import OWN_RELAY_LINGER
from sipstack.msrp.events import SessionEvent
from sipstack.msrp.message import IncomingMessage
from sipstack.msrp.outbox import RESPONSE_TIMEOUT
from sipstack.msrp.session import MsrpSession
from sipstack.msrp.table import SessionTable
from sipstack.msrp.uri import MsrpUri
from sipstack.net.msrplink import FRAMES_PER_WRITE, Cancellable, MsrpLink, Schedule
from sipstack.trace import Trace
from tests.sipstack.msrp.helpers import OURS, THEIRS, send


class Wire(asyncio.Transport):
    """Notes what is written, each call by itself."""

    def __init__(self, connection: socket.socket, log: list[Any]) -> None:
        super().__init__({"socket": connection, "sockname": ("192.0.2.10", 2855), "peername": ("192.0.2.20", 7777)})
        self._log = log

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Take everything."""

    def is_closing(self) -> bool:
        """Go on."""
        return False

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """Note the responses."""
        self._log.append(b"".join(list_of_data).count(b" 200 OK\r\n"))


class Owner:
    """Accepts messages and notes each."""

    trace: Trace | None = None

    def __init__(self, log: list[Any]) -> None:
        self._log = log

    def dispatch(self, event: SessionEvent) -> None:
        """Accept."""
        if isinstance(event, IncomingMessage):
            self._log.append(event.message_id)
            event.accept()

    def link_up(self, link: MsrpLink) -> None:
        """Nothing to do."""

    def link_down(self, link: MsrpLink) -> None:
        """Nothing to do."""


@pytest.fixture
def connection() -> Iterator[socket.socket]:
    with socket.socket() as connection:
        yield connection


async def test_answers_leave_before_a_whole_read_is_handled(connection: socket.socket) -> None:
    """The peer, which may wait for them, works on the first ones while we work on the rest."""
    log: list[Any] = []
    session, sessions = MsrpSession(MsrpUri.parse(OURS), max_size=1000), SessionTable()
    sessions.add(session)
    session.open([MsrpUri.parse(THEIRS)])
    loop = asyncio.get_running_loop()
    link = MsrpLink(Owner(log), loop, loop.call_at, sessions, OURS)
    link.connection_made(Wire(connection, log))
    names = [f"message-{number:02}" for number in range(2 * FRAMES_PER_WRITE + 3)]
    link.data_received(b"".join(send(f"tid-{name}", message_id=name) for name in names))
    first, second, rest = names[:FRAMES_PER_WRITE], names[FRAMES_PER_WRITE : 2 * FRAMES_PER_WRITE], names[-3:]
    assert log == [*first, FRAMES_PER_WRITE, *second, FRAMES_PER_WRITE, *rest]
    await asyncio.sleep(0)
    assert log[-1] == 3
    link.fail(None)


async def test_a_timer_that_is_far_off_hides_no_near_one(connection: socket.socket) -> None:
    """C-RSP-01: on a connection to a relay, which stays for an hour, an answer is missed after 30 s nevertheless."""
    log: list[Any] = []
    session, sessions = MsrpSession(MsrpUri.parse(OURS), max_size=1000), SessionTable()
    sessions.add(session)
    loop = asyncio.get_running_loop()
    link = MsrpLink(Owner(log), loop, due_at(log), sessions, OURS)
    link.hold()
    link.connection_made(Wire(connection, []))
    session.open([MsrpUri.parse(THEIRS)])
    link.connection.attach(session)
    now = loop.time()
    session.send(b"hello", "text/plain")
    await asyncio.sleep(0)
    hour, answer = log
    assert hour - now == pytest.approx(OWN_RELAY_LINGER, abs=5)
    assert answer - now == pytest.approx(RESPONSE_TIMEOUT, abs=5)
    link.fail(None)


def due_at(log: list[Any]) -> Schedule:
    """Return a schedule that notes when timers are due, and never lets them go off."""

    def schedule(due: float, callback: Callable[[], None]) -> Cancellable:
        log.append(due)
        return asyncio.get_running_loop().call_later(3600, callback)

    return schedule
