"""The tables themselves: complete, closed, and nothing in them that nobody does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sipstack.sip.client_transaction import ClientTransaction
from sipstack.sip.registration_states import REGISTRATION, RegistrationInput, RegistrationState
from sipstack.sip.server_transaction import ServerTransaction
from sipstack.sip.states import BEGINNINGS, TABLES, Input, State
from sipstack.sip.timers import COMPACT_ABOVE, TimerQueue, TimerValues

RESPONSES = (Input.PROVISIONAL, Input.SUCCESS, Input.FAILURE)


@pytest.mark.parametrize("name", TABLES)
def test_every_state_is_reached_and_left(name: str) -> None:
    table = TABLES[name]
    reached = {BEGINNINGS[name]} | {state for _, state in table.values()}
    left = {state for state, _ in table}
    assert reached - left == {State.TERMINATED}
    assert left <= reached


@pytest.mark.parametrize("name", TABLES)
def test_what_a_peer_sends_has_a_transition_in_every_state(name: str) -> None:
    """Nobody but ourselves can cause the error of a missing transition."""
    table = TABLES[name]
    inputs = [*RESPONSES] if "client" in name else [Input.REQUEST]
    if name == "INVITE server":
        inputs.append(Input.ACK)
    for state in {state for state, _ in table}:
        for event in (*inputs, Input.TRANSPORT_ERROR):
            assert (state, event) in table, (state, event)


@pytest.mark.parametrize("name", TABLES)
def test_every_effect_is_known_to_its_side(name: str) -> None:
    side = ClientTransaction if "client" in name else ServerTransaction
    for effects, _ in TABLES[name].values():
        assert set(effects) <= set(side.EFFECTS)


def test_registration_answers_its_user_in_every_state() -> None:
    wishes = (RegistrationInput.REGISTER, RegistrationInput.REGISTER_LATER, RegistrationInput.UNREGISTER)
    for state in RegistrationState:
        for wish in wishes:
            assert (state, wish) in REGISTRATION
    for state in (state for state, event in REGISTRATION if event is RegistrationInput.TIMER):
        assert (state, RegistrationInput.LEAVE) in REGISTRATION
    assert {state for _, state in REGISTRATION.values()} == set(RegistrationState)


def test_timer_values_follow_from_t1() -> None:
    """A.3 timer table; A-NIT-02 for the time before a 100."""
    values = TimerValues()
    assert (values.patience, values.d, values.trying_delay) == (32.0, 32.0, 3.5)
    slow = TimerValues(t1=1.0)
    assert (slow.patience, slow.d, slow.trying_delay) == (64.0, 64.0, 3.0)
    assert TimerValues(t1=0.1).d == 32.0


def test_page_is_drawn_from_these_tables() -> None:
    script = Path(__file__).parents[3] / "scripts" / "draw_states.py"
    subprocess.run([sys.executable, script, "--check"], check=True)


class TestTimerQueue:
    def test_order(self) -> None:
        queue: TimerQueue[str] = TimerQueue()
        assert queue.deadline() is None and queue.pop_due(1e9) is None
        for deadline, name in ((3.0, "c"), (1.0, "a"), (2.0, "b"), (2.0, "b2")):
            queue.start(deadline, name)
        assert queue.pop_due(0.5) is None
        assert [queue.pop_due(2.0) for _ in range(4)] == ["a", "b", "b2", None]
        assert queue.deadline() == 3.0 and len(queue) == 1

    def test_stopped_timers_are_let_go_and_swept(self) -> None:
        queue: TimerQueue[str] = TimerQueue()
        kept = queue.start(500.0, "kept")
        numbers = [queue.start(float(index), "gone") for index in range(4 * COMPACT_ABOVE)]
        for number in numbers:
            queue.stop(number)
            queue.stop(number)
        queue.stop(0)
        assert len(queue) == 1 and len(queue._heap) <= COMPACT_ABOVE + 1
        assert queue.deadline() == 500.0 and queue.pop_due(500.0) == "kept"
        queue.stop(kept)
        assert queue.deadline() is None
