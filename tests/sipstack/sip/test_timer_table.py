"""Timers A to M on a virtual clock, each against the table of RFC 3261 (Table 4), RFC 6026 §7 and A-ICT, A-IST, A-NICT.

One row says how the timer is seen at work, and the instants of what it does, counted from what started it. Both kinds
of transport are tried, and T1 of 0.5 s and of 0.1 s: "all other times follow from them".
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from sipstack.flow import Flow
from sipstack.sip.timers import TimerValues

from .helpers import TCP, UDP, Step, play_client, play_server

DOUBLED = (1, 3, 7, 15, 31, 63)
"""Instants in T1 of what doubles without end up to 64*T1."""

CAPPED = (1, 3, 7, 15, 23, 31, 39, 47, 55, 63)
"""The same with a longest pause of T2, which is 8*T1."""

END = "TransactionTerminated"


@dataclass(frozen=True)
class Row:
    """How one timer is seen at work. Times in T1; T2 is 8 of them and T4 is 10, as by default."""

    side: str
    method: str
    script: tuple[tuple[float, str], ...]
    start: float
    """When the timer starts."""
    shows: str
    """What is recorded when it fires."""
    unreliable: tuple[float, ...]
    reliable: tuple[float, ...]
    until: float = 200


TABLE: dict[str, Row] = {
    "A": Row("client", "INVITE", (), 0, "> INVITE", (0, *DOUBLED), (0,)),
    "B": Row("client", "INVITE", (), 0, "RequestTimedOut", (64,), (64,)),
    # Timer C is for proxies: who called waits as long as it likes.
    "C": Row("client", "INVITE", ((1, "180"),), 1, "RequestTimedOut", (), (), until=600),
    "D": Row("client", "INVITE", ((0.5, "486"),), 0.5, END, (64,), (0,)),
    "E": Row("client", "OPTIONS", (), 0, "> OPTIONS", (0, *CAPPED), (0,)),
    "E in Proceeding": Row("client", "OPTIONS", ((0.5, "100"),), 1, "> OPTIONS", (-1, 0, *range(8, 60, 8)), (-1,)),
    "F": Row("client", "OPTIONS", (), 0, "RequestTimedOut", (64,), (64,)),
    "F in Proceeding": Row("client", "OPTIONS", ((2, "100"),), 0, "RequestTimedOut", (64,), (64,)),
    "G": Row("server", "INVITE", ((0.2, "486"),), 0.2, "> 486", (0, *CAPPED), (0,)),
    "H": Row("server", "INVITE", ((0.2, "486"),), 0.2, "AckMissing", (64,), (64,)),
    "I": Row("server", "INVITE", ((0.2, "486"), (0.8, "ack")), 0.8, END, (10,), (0,)),
    "J": Row("server", "OPTIONS", ((0.2, "200"),), 0.2, END, (64,), (0,)),
    "K": Row("client", "OPTIONS", ((0.5, "200"),), 0.5, END, (10,), (0,)),
    "L": Row("server", "INVITE", ((0.2, "200"), (0.8, "ACK")), 0.2, END, (64,), (64,)),
    "M": Row("client", "INVITE", ((0.5, "200"),), 0.5, END, (64,), (64,)),
    # Without a letter: the user of the INVITE server transaction repeats its 2xx, over every transport.
    "2xx": Row("server", "INVITE", ((0.2, "200"),), 0.2, "> 200", (0, *CAPPED), (0, *CAPPED)),
}

D_MINIMUM = 32.0
"""Seconds: Timer D does not follow a smaller T1 over unreliable transports ("at least 32 seconds")."""


def instants(row: Row, flow: Flow, t1: float) -> list[float]:
    """Return when ``row.shows`` was recorded, counted from the start of the timer."""
    values = TimerValues(t1, 8 * t1, 10 * t1)
    script: list[Step] = [(time * t1, step) for time, step in row.script]
    play = play_client if row.side == "client" else play_server
    record, _ = play(row.method, flow, script, max(row.until * t1, 100.0), values)
    return [time - row.start * t1 for time, step in record if step == row.shows]


@pytest.mark.parametrize("t1", [0.5, 0.1])
@pytest.mark.parametrize("flow", [UDP, TCP], ids=["UDP", "TCP"])
@pytest.mark.parametrize("timer", TABLE)
def test_instants(timer: str, flow: Flow, t1: float) -> None:
    row = TABLE[timer]
    expected = [time * t1 for time in (row.reliable if flow.reliable else row.unreliable)]
    if timer == "D" and not flow.reliable:
        expected = [max(D_MINIMUM, 64 * t1)]
    assert instants(row, flow, t1) == pytest.approx(expected, abs=0.002)


def test_every_letter_is_in_the_table() -> None:
    assert set("ABCDEFGHIJKLM") <= set(TABLE)
