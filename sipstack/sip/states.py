"""The four transactions of :rfc:`3261#section-17` with the corrections of :rfc:`6026` and :rfc:`4320`, as tables.

All states and all transitions are in this file, and the file knows neither sockets nor clocks: a table maps
``(state, input)`` to ``(effects, state)``. What an effect does is told by the transaction classes. An input that a
table doesn't have for a state is an error, so what is merely to be ignored stands here with no effects.

The document with the diagrams is drawn from these tables by ``scripts/draw_states.py``.
"""

from __future__ import annotations

from enum import Enum


class Key(Enum):
    """An enum whose members make quick keys: each is one object, so that its identity is hash enough."""

    __hash__ = object.__hash__


class State(Key):
    """States of all four machines, named as in the RFC."""

    CALLING = "Calling"
    TRYING = "Trying"
    PROCEEDING = "Proceeding"
    COMPLETED = "Completed"
    CONFIRMED = "Confirmed"
    ACCEPTED = "Accepted"
    TERMINATED = "Terminated"


class Input(Key):
    """What can happen to a transaction: a message, an answer of its user (TU), a timer, a broken transport."""

    REQUEST = "request repeated"
    ACK = "ACK"
    PROVISIONAL = "1xx"
    SUCCESS = "2xx"
    FAILURE = "300-699"
    TRANSPORT_ERROR = "transport error"
    TIMER_A = "Timer A"
    TIMER_B = "Timer B"
    TIMER_D = "Timer D"
    TIMER_E = "Timer E"
    TIMER_F = "Timer F"
    TIMER_G = "Timer G"
    TIMER_H = "Timer H"
    TIMER_I = "Timer I"
    TIMER_J = "Timer J"
    TIMER_K = "Timer K"
    TIMER_L = "Timer L"
    TIMER_M = "Timer M"
    # without a letter in the RFC
    TIMER_TRYING = "time for 100"
    TIMER_CANCELLED = "64*T1 after CANCEL"
    TIMER_REPEAT = "time to repeat 2xx"
    TIMER_LATE = "too late to answer"


class Effect(Key):
    """What a transition does, in the order in which the table lists it."""

    SEND_ACK = "send ACK"
    SEND_RESPONSE = "send response"
    SEND_TRYING = "send 100"
    SEND_DUE_CANCEL = "send CANCEL if wanted"
    REPEAT = "send again"
    REPORT_RESPONSE = "response to TU"
    REPORT_TIMEOUT = "timeout to TU"
    REPORT_TRANSPORT_ERROR = "transport error to TU"
    REPORT_ACK = "ACK to TU"
    REPORT_ACK_MISSING = "missing ACK to TU"
    REPORT_FAILURE_UNHEARD = "missing ACK of failure to TU"
    STOP_TIMERS = "stop timers"
    STOP_REPEATING = "stop repeating"
    START_A = "start A"
    START_D = "start D"
    START_E = "start E"
    START_SLOW_E = "start E with T2"
    START_G = "start G"
    START_H = "start H"
    START_I = "start I"
    START_J = "start J"
    START_K = "start K"
    START_L = "start L"
    START_M = "start M"
    START_REPEAT = "start repeating 2xx"


Table = dict[tuple[State, Input], tuple[tuple[Effect, ...], State]]

INVITE_CLIENT: Table = {
    # Begins in CALLING with A (unreliable transports only) and B running (A-ICT-01, A-ICT-02).
    (State.CALLING, Input.TIMER_A): ((Effect.REPEAT, Effect.START_A), State.CALLING),
    (State.CALLING, Input.TIMER_B): ((Effect.REPORT_TIMEOUT,), State.TERMINATED),
    (State.CALLING, Input.TRANSPORT_ERROR): ((Effect.REPORT_TRANSPORT_ERROR,), State.TERMINATED),
    (State.CALLING, Input.PROVISIONAL): (
        (Effect.STOP_TIMERS, Effect.REPORT_RESPONSE, Effect.SEND_DUE_CANCEL),
        State.PROCEEDING,
    ),
    (State.CALLING, Input.SUCCESS): ((Effect.STOP_TIMERS, Effect.REPORT_RESPONSE, Effect.START_M), State.ACCEPTED),
    (State.CALLING, Input.FAILURE): (
        (Effect.STOP_TIMERS, Effect.SEND_ACK, Effect.REPORT_RESPONSE, Effect.START_D),
        State.COMPLETED,
    ),
    # No repeating and no end of patience here; only a CANCEL sets a limit (:rfc:`3261#section-9.1`, A-CAN-03).
    (State.PROCEEDING, Input.PROVISIONAL): ((Effect.REPORT_RESPONSE,), State.PROCEEDING),
    (State.PROCEEDING, Input.SUCCESS): ((Effect.STOP_TIMERS, Effect.REPORT_RESPONSE, Effect.START_M), State.ACCEPTED),
    (State.PROCEEDING, Input.FAILURE): (
        (Effect.STOP_TIMERS, Effect.SEND_ACK, Effect.REPORT_RESPONSE, Effect.START_D),
        State.COMPLETED,
    ),
    (State.PROCEEDING, Input.TIMER_CANCELLED): ((Effect.REPORT_TIMEOUT,), State.TERMINATED),
    (State.PROCEEDING, Input.TRANSPORT_ERROR): ((Effect.REPORT_TRANSPORT_ERROR,), State.TERMINATED),
    # Each repeat of the final is acknowledged, none is reported (A-ICT-03).
    (State.COMPLETED, Input.PROVISIONAL): ((), State.COMPLETED),
    (State.COMPLETED, Input.SUCCESS): ((), State.COMPLETED),
    (State.COMPLETED, Input.FAILURE): ((Effect.SEND_ACK,), State.COMPLETED),
    (State.COMPLETED, Input.TIMER_D): ((), State.TERMINATED),
    # The user has its final response: a lost ACK changes nothing for it.
    (State.COMPLETED, Input.TRANSPORT_ERROR): ((), State.TERMINATED),
    # :rfc:`6026#section-8.4`: stay for the 2xx of other branches of a fork and for repeats (A-ICT-06).
    (State.ACCEPTED, Input.PROVISIONAL): ((), State.ACCEPTED),
    (State.ACCEPTED, Input.SUCCESS): ((Effect.REPORT_RESPONSE,), State.ACCEPTED),
    (State.ACCEPTED, Input.FAILURE): ((), State.ACCEPTED),
    (State.ACCEPTED, Input.TIMER_M): ((), State.TERMINATED),
    (State.ACCEPTED, Input.TRANSPORT_ERROR): ((), State.ACCEPTED),
}

NON_INVITE_CLIENT: Table = {
    # Begins in TRYING with E (unreliable transports only) and F running (A-NICT-01).
    (State.TRYING, Input.TIMER_E): ((Effect.REPEAT, Effect.START_E), State.TRYING),
    (State.TRYING, Input.TIMER_F): ((Effect.REPORT_TIMEOUT,), State.TERMINATED),
    (State.TRYING, Input.TRANSPORT_ERROR): ((Effect.REPORT_TRANSPORT_ERROR,), State.TERMINATED),
    (State.TRYING, Input.PROVISIONAL): ((Effect.REPORT_RESPONSE,), State.PROCEEDING),
    (State.TRYING, Input.SUCCESS): ((Effect.STOP_TIMERS, Effect.REPORT_RESPONSE, Effect.START_K), State.COMPLETED),
    (State.TRYING, Input.FAILURE): ((Effect.STOP_TIMERS, Effect.REPORT_RESPONSE, Effect.START_K), State.COMPLETED),
    # A 1xx slows the repeating down but does not end it, and F goes on (A-NICT-02).
    (State.PROCEEDING, Input.TIMER_E): ((Effect.REPEAT, Effect.START_SLOW_E), State.PROCEEDING),
    (State.PROCEEDING, Input.TIMER_F): ((Effect.REPORT_TIMEOUT,), State.TERMINATED),
    (State.PROCEEDING, Input.TRANSPORT_ERROR): ((Effect.REPORT_TRANSPORT_ERROR,), State.TERMINATED),
    (State.PROCEEDING, Input.PROVISIONAL): ((Effect.REPORT_RESPONSE,), State.PROCEEDING),
    (State.PROCEEDING, Input.SUCCESS): ((Effect.STOP_TIMERS, Effect.REPORT_RESPONSE, Effect.START_K), State.COMPLETED),
    (State.PROCEEDING, Input.FAILURE): ((Effect.STOP_TIMERS, Effect.REPORT_RESPONSE, Effect.START_K), State.COMPLETED),
    (State.COMPLETED, Input.PROVISIONAL): ((), State.COMPLETED),
    (State.COMPLETED, Input.SUCCESS): ((), State.COMPLETED),
    (State.COMPLETED, Input.FAILURE): ((), State.COMPLETED),
    (State.COMPLETED, Input.TIMER_K): ((), State.TERMINATED),
    (State.COMPLETED, Input.TRANSPORT_ERROR): ((), State.TERMINATED),
}

INVITE_SERVER: Table = {
    # Begins in PROCEEDING with the 200 ms for the user to answer running (A-IST-01).
    (State.PROCEEDING, Input.TIMER_TRYING): ((Effect.SEND_TRYING,), State.PROCEEDING),
    (State.PROCEEDING, Input.REQUEST): ((Effect.REPEAT,), State.PROCEEDING),
    (State.PROCEEDING, Input.ACK): ((), State.PROCEEDING),
    (State.PROCEEDING, Input.PROVISIONAL): ((Effect.STOP_TIMERS, Effect.SEND_RESPONSE), State.PROCEEDING),
    (State.PROCEEDING, Input.SUCCESS): (
        (Effect.STOP_TIMERS, Effect.SEND_RESPONSE, Effect.START_L, Effect.START_REPEAT),
        State.ACCEPTED,
    ),
    (State.PROCEEDING, Input.FAILURE): (
        (Effect.STOP_TIMERS, Effect.SEND_RESPONSE, Effect.START_H, Effect.START_G),
        State.COMPLETED,
    ),
    # :rfc:`6026#section-7.1`: a transport error is told to the user, but the transaction stays (A-IST-06).
    (State.PROCEEDING, Input.TRANSPORT_ERROR): ((Effect.REPORT_TRANSPORT_ERROR,), State.PROCEEDING),
    (State.COMPLETED, Input.REQUEST): ((Effect.REPEAT,), State.COMPLETED),
    (State.COMPLETED, Input.ACK): ((Effect.STOP_TIMERS, Effect.START_I), State.CONFIRMED),
    (State.COMPLETED, Input.TIMER_G): ((Effect.REPEAT, Effect.START_G), State.COMPLETED),
    (State.COMPLETED, Input.TIMER_H): ((Effect.REPORT_FAILURE_UNHEARD,), State.TERMINATED),
    (State.COMPLETED, Input.TRANSPORT_ERROR): ((Effect.REPORT_TRANSPORT_ERROR,), State.COMPLETED),
    (State.CONFIRMED, Input.REQUEST): ((), State.CONFIRMED),
    (State.CONFIRMED, Input.ACK): ((), State.CONFIRMED),
    (State.CONFIRMED, Input.TIMER_I): ((), State.TERMINATED),
    (State.CONFIRMED, Input.TRANSPORT_ERROR): ((), State.CONFIRMED),
    # Repeats of the INVITE are absorbed without an answer; the 2xx is repeated until its ACK is here (A-IST-04/05).
    (State.ACCEPTED, Input.REQUEST): ((), State.ACCEPTED),
    (State.ACCEPTED, Input.ACK): ((Effect.STOP_REPEATING, Effect.REPORT_ACK), State.ACCEPTED),
    (State.ACCEPTED, Input.SUCCESS): ((Effect.SEND_RESPONSE,), State.ACCEPTED),
    (State.ACCEPTED, Input.TIMER_REPEAT): ((Effect.REPEAT, Effect.START_REPEAT), State.ACCEPTED),
    (State.ACCEPTED, Input.TIMER_L): ((Effect.REPORT_ACK_MISSING,), State.TERMINATED),
    (State.ACCEPTED, Input.TRANSPORT_ERROR): ((Effect.REPORT_TRANSPORT_ERROR,), State.ACCEPTED),
}

NON_INVITE_SERVER: Table = {
    # Begins in TRYING with the delay of :rfc:`4320#section-4.1` before a 100 running, and the time after which the
    # client has given up: a final response is not sent any more then (A-NIT-02, A-NIT-03).
    (State.TRYING, Input.REQUEST): ((), State.TRYING),
    (State.TRYING, Input.TIMER_TRYING): ((Effect.SEND_TRYING,), State.PROCEEDING),
    (State.TRYING, Input.SUCCESS): ((Effect.STOP_TIMERS, Effect.SEND_RESPONSE, Effect.START_J), State.COMPLETED),
    (State.TRYING, Input.FAILURE): ((Effect.STOP_TIMERS, Effect.SEND_RESPONSE, Effect.START_J), State.COMPLETED),
    (State.TRYING, Input.TIMER_LATE): ((), State.TERMINATED),
    (State.TRYING, Input.TRANSPORT_ERROR): ((Effect.REPORT_TRANSPORT_ERROR,), State.TRYING),
    (State.PROCEEDING, Input.REQUEST): ((Effect.REPEAT,), State.PROCEEDING),
    (State.PROCEEDING, Input.SUCCESS): ((Effect.STOP_TIMERS, Effect.SEND_RESPONSE, Effect.START_J), State.COMPLETED),
    (State.PROCEEDING, Input.FAILURE): ((Effect.STOP_TIMERS, Effect.SEND_RESPONSE, Effect.START_J), State.COMPLETED),
    (State.PROCEEDING, Input.TIMER_LATE): ((), State.TERMINATED),
    (State.PROCEEDING, Input.TRANSPORT_ERROR): ((Effect.REPORT_TRANSPORT_ERROR,), State.PROCEEDING),
    (State.COMPLETED, Input.REQUEST): ((Effect.REPEAT,), State.COMPLETED),
    # The first final response counts, others of the user are thrown away (A-NIST-01).
    (State.COMPLETED, Input.SUCCESS): ((), State.COMPLETED),
    (State.COMPLETED, Input.FAILURE): ((), State.COMPLETED),
    (State.COMPLETED, Input.TIMER_J): ((), State.TERMINATED),
    (State.COMPLETED, Input.TRANSPORT_ERROR): ((Effect.REPORT_TRANSPORT_ERROR,), State.COMPLETED),
}

TABLES: dict[str, Table] = {
    "INVITE client": INVITE_CLIENT,
    "Non-INVITE client": NON_INVITE_CLIENT,
    "INVITE server": INVITE_SERVER,
    "Non-INVITE server": NON_INVITE_SERVER,
}
BEGINNINGS: dict[str, State] = {
    "INVITE client": State.CALLING,
    "Non-INVITE client": State.TRYING,
    "INVITE server": State.PROCEEDING,
    "Non-INVITE server": State.TRYING,
}
