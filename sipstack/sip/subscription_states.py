"""The life of a subscription as a table (:rfc:`6665#section-4.1.2`), for the subscriber's side."""

from __future__ import annotations

from enum import Enum


class SubscriptionState(Enum):
    """Where a subscription stands; the names of the RFC where it has one."""

    INIT = "Init"
    NOTIFY_WAIT = "NotifyWait"
    """SUBSCRIBE is sent; the first NOTIFY makes the dialog, before or behind the 2xx."""
    ACTIVE = "Active"
    """NOTIFY has come, be its state active or pending."""
    REFRESHING = "Refreshing"
    """Active, and a SUBSCRIBE is under way in the dialog."""
    WAITING = "Waiting"
    """It is over and will be tried again at a known time."""
    ENDING = "Ending"
    """SUBSCRIBE with Expires 0 is sent; the last NOTIFY is still to come."""
    REFUSED = "Refused"
    """The notifier said no for good; nothing is tried by itself any more."""
    ENDED = "Ended"


class SubscriptionInput(Enum):
    """What can happen to a subscription."""

    SUBSCRIBE = "subscribe"
    REFRESH = "refresh"
    UNSUBSCRIBE = "unsubscribe"
    ACCEPTED = "2xx"
    AGAIN = "423 to be followed"
    POSTPONED = "temporary failure"
    REFUSED = "final failure"
    NOTIFIED = "NOTIFY, active or pending"
    OVER = "NOTIFY, terminated, try again"
    OVER_FOR_GOOD = "NOTIFY, terminated for good"
    TIMER = "timer"


class SubscriptionEffect(Enum):
    """What a transition does, in the order in which the table lists it."""

    SEND_FIRST = "send SUBSCRIBE"
    SEND_REFRESH = "send SUBSCRIBE in the dialog"
    SEND_LAST = "send SUBSCRIBE with Expires 0"
    START_N = "start timer N"
    START_REFRESH = "wait for the refresh"
    START_EXPIRY = "wait for the end"
    START_WAITING = "wait for the next try"
    STOP_TIMER = "stop timer"
    FORGET_DIALOG = "forget the dialog"
    REPORT_ENDED = "report SubscriptionEnded"


_S = SubscriptionState
_I = SubscriptionInput
_E = SubscriptionEffect

_TRY_AGAIN = (_E.FORGET_DIALOG, _E.START_WAITING, _E.REPORT_ENDED), _S.WAITING
_GIVE_UP = (_E.FORGET_DIALOG, _E.STOP_TIMER, _E.REPORT_ENDED), _S.REFUSED
_DONE = (_E.FORGET_DIALOG, _E.STOP_TIMER), _S.ENDED

SUBSCRIPTION: dict[
    tuple[SubscriptionState, SubscriptionInput], tuple[tuple[SubscriptionEffect, ...], SubscriptionState]
] = {
    (_S.INIT, _I.SUBSCRIBE): ((_E.SEND_FIRST, _E.START_N), _S.NOTIFY_WAIT),
    (_S.INIT, _I.UNSUBSCRIBE): ((), _S.ENDED),
    (_S.NOTIFY_WAIT, _I.ACCEPTED): ((), _S.NOTIFY_WAIT),
    (_S.NOTIFY_WAIT, _I.AGAIN): ((_E.SEND_FIRST, _E.START_N), _S.NOTIFY_WAIT),
    (_S.NOTIFY_WAIT, _I.NOTIFIED): ((_E.START_REFRESH,), _S.ACTIVE),
    (_S.NOTIFY_WAIT, _I.POSTPONED): _TRY_AGAIN,
    (_S.NOTIFY_WAIT, _I.REFUSED): _GIVE_UP,
    (_S.NOTIFY_WAIT, _I.OVER): _TRY_AGAIN,
    (_S.NOTIFY_WAIT, _I.OVER_FOR_GOOD): _GIVE_UP,
    # Section 4.1.2.4: no NOTIFY within timer N is a failure, whatever was answered to the SUBSCRIBE.
    (_S.NOTIFY_WAIT, _I.TIMER): _TRY_AGAIN,
    # There is no dialog in which it could be ended: NOTIFY will get 481, which ends it (section 4.1.3).
    (_S.NOTIFY_WAIT, _I.UNSUBSCRIBE): _DONE,
    (_S.ACTIVE, _I.NOTIFIED): ((_E.START_REFRESH,), _S.ACTIVE),
    # The answer to the first SUBSCRIBE may come behind the first NOTIFY, and its Expires counts, too.
    (_S.ACTIVE, _I.ACCEPTED): ((_E.START_REFRESH,), _S.ACTIVE),
    (_S.ACTIVE, _I.POSTPONED): ((), _S.ACTIVE),
    (_S.ACTIVE, _I.REFUSED): _GIVE_UP,
    (_S.ACTIVE, _I.REFRESH): ((_E.SEND_REFRESH, _E.START_EXPIRY), _S.REFRESHING),
    (_S.ACTIVE, _I.TIMER): ((_E.SEND_REFRESH, _E.START_EXPIRY), _S.REFRESHING),
    (_S.ACTIVE, _I.OVER): _TRY_AGAIN,
    (_S.ACTIVE, _I.OVER_FOR_GOOD): _GIVE_UP,
    (_S.ACTIVE, _I.UNSUBSCRIBE): ((_E.SEND_LAST, _E.START_N), _S.ENDING),
    (_S.REFRESHING, _I.REFRESH): ((), _S.REFRESHING),
    (_S.REFRESHING, _I.NOTIFIED): ((), _S.REFRESHING),
    (_S.REFRESHING, _I.ACCEPTED): ((_E.START_REFRESH,), _S.ACTIVE),
    (_S.REFRESHING, _I.AGAIN): ((_E.SEND_REFRESH,), _S.REFRESHING),
    # Section 4.1.2.2: other failures leave what there is until it expires, which the timer tells.
    (_S.REFRESHING, _I.POSTPONED): ((), _S.REFRESHING),
    (_S.REFRESHING, _I.REFUSED): _TRY_AGAIN,
    (_S.REFRESHING, _I.OVER): _TRY_AGAIN,
    (_S.REFRESHING, _I.OVER_FOR_GOOD): _GIVE_UP,
    (_S.REFRESHING, _I.TIMER): _TRY_AGAIN,
    (_S.REFRESHING, _I.UNSUBSCRIBE): ((_E.SEND_LAST, _E.START_N), _S.ENDING),
    (_S.WAITING, _I.SUBSCRIBE): ((_E.SEND_FIRST, _E.START_N), _S.NOTIFY_WAIT),
    (_S.WAITING, _I.TIMER): ((_E.SEND_FIRST, _E.START_N), _S.NOTIFY_WAIT),
    (_S.WAITING, _I.UNSUBSCRIBE): _DONE,
    (_S.ENDING, _I.NOTIFIED): ((), _S.ENDING),
    (_S.ENDING, _I.ACCEPTED): ((), _S.ENDING),
    (_S.ENDING, _I.AGAIN): _DONE,
    (_S.ENDING, _I.POSTPONED): _DONE,
    (_S.ENDING, _I.REFUSED): _DONE,
    (_S.ENDING, _I.OVER): _DONE,
    (_S.ENDING, _I.OVER_FOR_GOOD): _DONE,
    (_S.ENDING, _I.TIMER): _DONE,
    (_S.ENDING, _I.UNSUBSCRIBE): ((), _S.ENDING),
    (_S.REFUSED, _I.SUBSCRIBE): ((_E.SEND_FIRST, _E.START_N), _S.NOTIFY_WAIT),
    (_S.REFUSED, _I.UNSUBSCRIBE): ((), _S.ENDED),
    (_S.ENDED, _I.UNSUBSCRIBE): ((), _S.ENDED),
}
