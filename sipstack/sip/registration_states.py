"""The life of a registration as a table, drawn beside the transactions by ``scripts/draw_states.py``.

:rfc:`3261#section-10.2` allows one REGISTER at a time for an address-of-record, so a wish that comes while one is under
way is a state of its own (A-REG-04).
"""

from __future__ import annotations

from enum import Enum


class RegistrationState(Enum):
    """Where a registration stands."""

    UNREGISTERED = "Unregistered"
    WAITING = "Waiting"
    """A REGISTER is due at a known time: its turn has to come, or the last one failed."""
    REGISTERING = "Registering"
    """A REGISTER is under way, the first one or a refresh."""
    REGISTERED = "Registered"
    STOPPING = "Stopping"
    """A REGISTER is under way, and the binding is to be removed after it."""
    UNREGISTERING = "Unregistering"
    """The REGISTER that removes the binding is under way."""
    RETURNING = "Returning"
    """The same, and then the binding is to be made again."""
    REFUSED = "Refused"
    """The registrar said no for good; nothing is tried by itself any more."""


class RegistrationInput(Enum):
    """What can happen to a registration."""

    REGISTER = "register"
    REGISTER_LATER = "register later"
    UNREGISTER = "unregister"
    LEAVE = "unregister, nothing bound"
    ACCEPTED = "2xx"
    AGAIN = "401, 407 or 423 to be followed"
    POSTPONED = "temporary failure"
    REFUSED = "final failure"
    TIMER = "timer"


class RegistrationEffect(Enum):
    """What a transition does, in the order in which the table lists it."""

    SEND_REGISTER = "send REGISTER"
    SEND_UNREGISTER = "send REGISTER with Expires 0"
    START_WAITING = "wait for the time given"
    START_BACK_OFF = "wait longer each time"
    START_REFRESH = "wait for the refresh"
    STOP_TIMER = "stop timer"
    REPORT_REGISTERED = "report Registered"
    REPORT_FAILED = "report RegistrationFailed"
    REPORT_UNREGISTERED = "report Unregistered"


_S = RegistrationState
_I = RegistrationInput
_E = RegistrationEffect

REGISTRATION: dict[
    tuple[RegistrationState, RegistrationInput], tuple[tuple[RegistrationEffect, ...], RegistrationState]
] = {
    (_S.UNREGISTERED, _I.REGISTER): ((_E.SEND_REGISTER,), _S.REGISTERING),
    (_S.UNREGISTERED, _I.REGISTER_LATER): ((_E.START_WAITING,), _S.WAITING),
    # A de-registration that was not confirmed may be tried once more.
    (_S.UNREGISTERED, _I.UNREGISTER): ((_E.SEND_UNREGISTER,), _S.UNREGISTERING),
    (_S.UNREGISTERED, _I.LEAVE): ((_E.REPORT_UNREGISTERED,), _S.UNREGISTERED),
    (_S.WAITING, _I.REGISTER): ((_E.STOP_TIMER, _E.SEND_REGISTER), _S.REGISTERING),
    (_S.WAITING, _I.REGISTER_LATER): ((_E.START_WAITING,), _S.WAITING),
    (_S.WAITING, _I.TIMER): ((_E.SEND_REGISTER,), _S.REGISTERING),
    (_S.WAITING, _I.UNREGISTER): ((_E.STOP_TIMER, _E.SEND_UNREGISTER), _S.UNREGISTERING),
    (_S.WAITING, _I.LEAVE): ((_E.STOP_TIMER, _E.REPORT_UNREGISTERED), _S.UNREGISTERED),
    (_S.REGISTERING, _I.REGISTER): ((), _S.REGISTERING),
    (_S.REGISTERING, _I.REGISTER_LATER): ((), _S.REGISTERING),
    (_S.REGISTERING, _I.UNREGISTER): ((), _S.STOPPING),
    (_S.REGISTERING, _I.AGAIN): ((_E.SEND_REGISTER,), _S.REGISTERING),
    (_S.REGISTERING, _I.ACCEPTED): ((_E.START_REFRESH, _E.REPORT_REGISTERED), _S.REGISTERED),
    (_S.REGISTERING, _I.POSTPONED): ((_E.START_BACK_OFF, _E.REPORT_FAILED), _S.WAITING),
    (_S.REGISTERING, _I.REFUSED): ((_E.REPORT_FAILED,), _S.REFUSED),
    (_S.REGISTERED, _I.REGISTER): ((_E.STOP_TIMER, _E.SEND_REGISTER), _S.REGISTERING),
    (_S.REGISTERED, _I.REGISTER_LATER): ((_E.START_WAITING,), _S.WAITING),
    (_S.REGISTERED, _I.TIMER): ((_E.SEND_REGISTER,), _S.REGISTERING),
    (_S.REGISTERED, _I.UNREGISTER): ((_E.STOP_TIMER, _E.SEND_UNREGISTER), _S.UNREGISTERING),
    # The registrar has told that it removed the binding (B-REG-08).
    (_S.REGISTERED, _I.POSTPONED): ((_E.START_BACK_OFF,), _S.WAITING),
    (_S.REGISTERED, _I.REFUSED): ((_E.STOP_TIMER,), _S.REFUSED),
    # The refresh was missed, the binding has expired.
    (_S.REGISTERED, _I.LEAVE): ((_E.STOP_TIMER, _E.REPORT_UNREGISTERED), _S.UNREGISTERED),
    (_S.STOPPING, _I.REGISTER): ((), _S.REGISTERING),
    (_S.STOPPING, _I.REGISTER_LATER): ((), _S.REGISTERING),
    (_S.STOPPING, _I.UNREGISTER): ((), _S.STOPPING),
    # Whether the one under way made a binding or not is not always known: remove it in any case but a clear no.
    (_S.STOPPING, _I.ACCEPTED): ((_E.SEND_UNREGISTER,), _S.UNREGISTERING),
    (_S.STOPPING, _I.AGAIN): ((_E.SEND_UNREGISTER,), _S.UNREGISTERING),
    (_S.STOPPING, _I.POSTPONED): ((_E.SEND_UNREGISTER,), _S.UNREGISTERING),
    (_S.STOPPING, _I.REFUSED): ((_E.REPORT_UNREGISTERED,), _S.UNREGISTERED),
    # One try: what is not removed ends by itself when it expires, and somebody waits for us to be done.
    (_S.UNREGISTERING, _I.REGISTER): ((), _S.RETURNING),
    (_S.UNREGISTERING, _I.REGISTER_LATER): ((), _S.RETURNING),
    (_S.UNREGISTERING, _I.UNREGISTER): ((), _S.UNREGISTERING),
    (_S.UNREGISTERING, _I.AGAIN): ((_E.SEND_UNREGISTER,), _S.UNREGISTERING),
    (_S.UNREGISTERING, _I.ACCEPTED): ((_E.REPORT_UNREGISTERED,), _S.UNREGISTERED),
    (_S.UNREGISTERING, _I.POSTPONED): ((_E.REPORT_UNREGISTERED,), _S.UNREGISTERED),
    (_S.UNREGISTERING, _I.REFUSED): ((_E.REPORT_UNREGISTERED,), _S.UNREGISTERED),
    (_S.RETURNING, _I.REGISTER): ((), _S.RETURNING),
    (_S.RETURNING, _I.REGISTER_LATER): ((), _S.RETURNING),
    (_S.RETURNING, _I.UNREGISTER): ((), _S.UNREGISTERING),
    (_S.RETURNING, _I.AGAIN): ((_E.SEND_UNREGISTER,), _S.RETURNING),
    (_S.RETURNING, _I.ACCEPTED): ((_E.REPORT_UNREGISTERED, _E.SEND_REGISTER), _S.REGISTERING),
    (_S.RETURNING, _I.POSTPONED): ((_E.REPORT_UNREGISTERED, _E.SEND_REGISTER), _S.REGISTERING),
    (_S.RETURNING, _I.REFUSED): ((_E.REPORT_UNREGISTERED, _E.SEND_REGISTER), _S.REGISTERING),
    (_S.REFUSED, _I.REGISTER): ((_E.SEND_REGISTER,), _S.REGISTERING),
    (_S.REFUSED, _I.REGISTER_LATER): ((_E.START_WAITING,), _S.WAITING),
    (_S.REFUSED, _I.UNREGISTER): ((_E.SEND_UNREGISTER,), _S.UNREGISTERING),
    (_S.REFUSED, _I.LEAVE): ((_E.REPORT_UNREGISTERED,), _S.UNREGISTERED),
}
