"""Session timers (:rfc:`4028`): how often a dialog is refreshed, by whom, and when it is over without.

One :class:`SessionTimer` holds what one side knows of one dialog. It makes and reads the headers of both roles and says
what is due when; who owns it sends the refresh or the BYE. ``now`` is monotonic seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from sipstack.errors import ParseError, UnexpectedMessage
from sipstack.sip.grammar import find_parameter, parse_number, parse_parameters
from sipstack.sip.message import Message, Request, Response

OPTION = "timer"
"""The option tag in Supported and Require (:rfc:`4028#section-12.3`)."""

MINIMUM = 90
"""Seconds; no session interval is shorter, and Min-SE defaults to it (:rfc:`4028#section-4`, :rfc:`4028#section-5`)."""

RECOMMENDED = 1800
"""Seconds; who asks for an interval should not ask for less (:rfc:`4028#section-4`)."""

LONGEST_GUARD = 32.0
"""Seconds before its expiration at which a session that nobody refreshed ends, a third of it where that is less
(:rfc:`4028#section-10`)."""

MAX_RAISES = 3
"""Answers 422 in a row that a request is repeated after: each proxy on the way may have a minimum of its own."""

MAX_RETRIES = 5
"""Refreshes that are tried again before a session is left to its expiration."""

Refresher = Literal["uac", "uas"]

# Session-Expires = ("Session-Expires" / "x") HCOLON delta-seconds *(SEMI se-params); Min-SE likewise
_SECONDS = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class SessionExpires:
    """:rfc:`4028#section-4`."""

    seconds: int
    refresher: Refresher | None = None
    """Of the transaction that the header is part of: its client, or its server."""

    @classmethod
    def parse(cls, text: str) -> SessionExpires:
        """Parse; :class:`ParseError` if it is none. A ``refresher`` that nobody knows counts as absent."""
        seconds, parameters = _seconds_and_parameters(text, "Session-Expires")
        match (find_parameter(parameters, "refresher") or "").lower():
            case "uac":
                return cls(seconds, "uac")
            case "uas":
                return cls(seconds, "uas")
            case _:
                return cls(seconds)

    @classmethod
    def of(cls, message: Message) -> SessionExpires | None:
        """Return the Session-Expires of ``message``; None if there is none, or none that makes sense (A-MSG-13)."""
        text = message.headers.get("Session-Expires")
        try:
            return None if text is None else cls.parse(text)
        except ParseError:
            return None

    def __str__(self) -> str:
        return str(self.seconds) if self.refresher is None else f"{self.seconds};refresher={self.refresher}"


def min_se(message: Message) -> int:
    """Return the Min-SE of ``message`` in seconds; 0 if there is none, or none that makes sense."""
    text = message.headers.get("Min-SE")
    try:
        return 0 if text is None else _seconds_and_parameters(text, "Min-SE")[0]
    except ParseError:
        return 0


def _seconds_and_parameters(text: str, what: str) -> tuple[int, tuple[tuple[str, str | None], ...]]:
    text = text.strip(" \t")
    match = _SECONDS.match(text)
    if match is None:
        raise ParseError(what)
    return parse_number(match[0], what), parse_parameters(text, match.end(), what)


class IntervalTooSmall(UnexpectedMessage):
    """The peer asks for a session interval below what we take (:rfc:`4028#section-6`): 422 with Min-SE."""

    status = 422

    def __init__(self, minimum: int) -> None:
        super().__init__(f"the session interval is below {minimum} s")
        self.minimum = minimum
        """Seconds."""


class Due(Enum):
    """What is to be done when a session timer fires."""

    REFRESH = "refresh"
    """Send UPDATE or re-INVITE, then tell the timer what became of it."""
    END = "end"
    """Send BYE: nobody has refreshed the session."""


class SessionTimer:
    """What one side of a dialog knows of its session timer."""

    __slots__ = (
        "interval",
        "refreshing",
        "_asking",
        "_floor",
        "_minimum",
        "_raises",
        "_refresh_at",
        "_renewed",
        "_retries",
        "_status",
        "_wanted",
    )

    def __init__(self, wanted: int = RECOMMENDED, minimum: int = MINIMUM) -> None:
        """``wanted`` is the interval that we ask for, 0 for none; ``minimum`` the shortest that we take. Seconds."""
        self.interval = 0
        """Seconds as agreed last; 0 while no timer runs."""
        self.refreshing = False
        """We refresh, not the peer."""
        self._minimum = max(minimum, MINIMUM)
        self._wanted: int | None = wanted and max(wanted, self._minimum)
        """What to ask for; None once there is a dialog, which has agreed on something, if only on nothing."""
        self._floor = 0
        """Largest Min-SE that was seen (:rfc:`4028#section-7.4`)."""
        self._renewed = 0.0
        self._refresh_at: float | None = None
        self._asking = False
        self._raises = 0
        self._retries = 0
        self._status: int | None = None
        """Status of the last refresh if it failed."""

    # we ask

    def request_headers(self) -> list[tuple[str, str]]:
        """Return what our INVITE or UPDATE says; Supported is not among it."""
        floor = max(self._floor, self._minimum)
        headers: list[tuple[str, str]] = []
        if self.interval:
            # "equal to the maximum of the Min-SE header field [...] and the current session interval"
            refresher: Refresher = "uac" if self.refreshing else "uas"
            headers.append(("Session-Expires", str(SessionExpires(max(self.interval, floor), refresher))))
        elif self._wanted:
            headers.append(("Session-Expires", str(max(self._wanted, floor))))
        if floor > MINIMUM or self._floor:
            headers.append(("Min-SE", str(floor)))
        return headers

    def response_received(self, response: Response, now: float) -> None:
        """Take the 2xx to an INVITE or UPDATE of ours (:rfc:`4028#section-7.2`): it refreshes, or turns the timer off.

        An interval below the minimum of the standard counts as that: nobody may have us refresh all the time.
        """
        if self._wanted is not None:
            self._floor = 0  # what proxies on other ways have asked for is of no interest to the dialog
        agreed = SessionExpires.of(response)
        if agreed is None:
            self._renew(0, False, now)
        else:
            self._renew(max(agreed.seconds, MINIMUM), agreed.refresher != "uas", now)

    def raise_interval(self, response: Response) -> bool:
        """Take a 422 (:rfc:`4028#section-7.3`); False when asking once more has no use."""
        floor = min_se(response)
        self._raises += 1
        if not floor or self._raises > MAX_RAISES:
            return False
        self._floor = max(self._floor, floor)
        return True

    # the peer asks

    def request_received(self, request: Request) -> None:
        """Look at an INVITE or UPDATE of the peer before anything else is done with it.

        :class:`IntervalTooSmall` when its interval is (:rfc:`4028#section-9`). A peer that knows no timers could do
        nothing about a 422, so that it gets one only below the minimum of the standard.
        """
        asked = SessionExpires.of(request)
        if asked is not None and asked.seconds < (self._minimum if _knows_timers(request) else MINIMUM):
            raise IntervalTooSmall(self._minimum)
        self._floor = max(self._floor, min_se(request))

    def answer(self, request: Request, now: float) -> list[tuple[str, str]]:
        """Return what the 2xx to the peer's INVITE or UPDATE says, which is sent now (:rfc:`4028#section-9`)."""
        knows, asked = _knows_timers(request), SessionExpires.of(request)
        seconds = self._answered_interval(request) if asked is None else asked.seconds
        if not seconds or (asked is None and not knows):
            self._renew(0, False, now)
            return []
        # Table 2: the choice of a client that knows timers stands; else it stays who it was, and at first it is we.
        refresher = asked.refresher if asked is not None and knows else None
        if refresher is None:
            refresher = "uac" if knows and self.interval and not self.refreshing else "uas"
        self._renew(seconds, refresher == "uas", now)
        headers = [("Session-Expires", str(SessionExpires(seconds, refresher)))]
        return [*headers, ("Require", OPTION)] if knows else headers

    def _answered_interval(self, request: Request) -> int:
        """Return what interval a request gets that names none: that which runs, at first the one that we want."""
        wanted = self._wanted if self._wanted is not None else self.interval
        return wanted and max(wanted, min_se(request))

    # time

    def _renew(self, interval: int, refreshing: bool, now: float) -> None:
        self.interval, self.refreshing = interval, refreshing
        self._wanted = None
        self._renewed = now
        # "It is RECOMMENDED that this refresh be sent once half the session interval has elapsed."
        self._refresh_at = now + interval / 2 if refreshing else None
        self._asking = False
        self._raises = self._retries = 0
        self._status = None

    @property
    def _end_at(self) -> float:
        return self._renewed + self.interval - min(LONGEST_GUARD, self.interval / 3)

    def get_timer(self) -> float | None:
        """Return when :meth:`handle_timer` is to be called next; None when nothing is due, or a refresh under way."""
        if not self.interval or self._asking:
            return None
        return self._end_at if self._refresh_at is None else self._refresh_at

    def handle_timer(self, now: float) -> Due | None:
        """Return what is due; None when nothing is yet. A refresh is then under way until it is told how it went."""
        timer = self.get_timer()
        if timer is None or now < timer:
            return None
        if self._refresh_at is None:
            self.interval = 0
            return Due.END
        self._refresh_at, self._asking = None, True
        return Due.REFRESH

    def refresh_failed(self, now: float, status: int | None, pause: float | None = None) -> None:
        """Note that a refresh got another final response than 2xx, or none (None); after 408 and 481 there is no more.

        It is tried again after ``pause`` seconds where the response says so, else once, halfway to the end: "the UAC
        SHOULD NOT continuously retry the request if the server indicates the same error response".
        """
        self._asking = False
        hopeless = pause is None and self._status == status and self._retries > 0
        self._status = status
        self._retries += 1
        again = now + (max(0.0, self._end_at - now) / 2 if pause is None else pause)
        if not hopeless and self._retries <= MAX_RETRIES and again < self._end_at:
            self._refresh_at = again

    def stop(self) -> None:
        """Note that the dialog is over."""
        self.interval = 0


def _knows_timers(request: Request) -> bool:
    return any(option.lower() == OPTION for option in request.supported)
