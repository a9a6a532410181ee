"""Provisional responses that arrive for sure, and in order (:rfc:`3262`): PRACK and 100rel, for both sides."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sipstack import ids
from sipstack.errors import LocalProtocolError, ParseError
from sipstack.sip.grammar import TOKEN, parse_number
from sipstack.sip.message import Request, Response
from sipstack.sip.timers import TimerValues

OPTION = "100rel"
"""The option tag in Supported and Require (:rfc:`3262#section-8.1`)."""

FIRST_BITS = 31
"""Bits of the largest first RSeq: so many responses that follow never wrap it around (:rfc:`3262#section-3`)."""

# response-num = 1*DIGIT
_NUMBER = re.compile(r"[0-9]+")
# RAck = "RAck" HCOLON response-num LWS CSeq-num LWS Method
_RACK = re.compile(rf"([0-9]+)[ \t]+([0-9]+)[ \t]+({TOKEN})")


@dataclass(frozen=True, slots=True)
class RAck:
    """What a PRACK acknowledges (:rfc:`3262#section-7.2`)."""

    number: int
    """RSeq of the response."""
    cseq: int
    method: str

    @classmethod
    def of(cls, request: Request) -> RAck:
        """Return the RAck of a PRACK. :class:`ParseError` (400) when it is missing or malformed."""
        match = _RACK.fullmatch(request.headers.get("RAck", "").strip(" \t"))
        if match is None:
            raise ParseError("RAck", "is missing or malformed", message=request)
        return cls(parse_number(match[1], "RAck"), parse_number(match[2], "RAck"), match[3])

    def __str__(self) -> str:
        return f"{self.number} {self.cseq} {self.method}"


def requires_reliability(message: Request | Response) -> bool:
    """Tell whether 100rel stands in Require."""
    return any(option.lower() == OPTION for option in message.require)


def takes_reliable(request: Request) -> bool:
    """Tell whether an INVITE may be answered with reliable provisional responses (A-PRK-01)."""
    return requires_reliability(request) or any(option.lower() == OPTION for option in request.supported)


def reliable_number(response: Response) -> int | None:
    """Return the RSeq of a response that wants a PRACK; None for all others.

    "If the response is a 100 (Trying) (as opposed to 101 to 199), this option tag MUST be ignored".
    """
    if not 100 < response.status < 200 or not requires_reliability(response):
        return None
    text = response.headers.get("RSeq", "").strip(" \t")
    try:
        number = parse_number(text, "RSeq") if _NUMBER.fullmatch(text) else 0
    except ParseError:
        return None
    return number or None


class ReliableOrder:
    """Which reliable responses to one INVITE have come, in one of its dialogs: the client's side."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: int | None = None

    def receive(self, response: Response, number: int) -> RAck | None:
        """Return what to acknowledge; None for a repeat, and for one that has overtaken another (A-PRK-03).

        Such a response "MUST NOT be acknowledged with a PRACK, and MUST NOT be processed further".
        """
        if self._last is not None and number != self._last + 1:
            return None
        self._last = number
        cseq = response.cseq
        return RAck(number, cseq.number, cseq.method)


class ReliableResponses:
    """The reliable responses to one INVITE, one after the other: the server's side."""

    __slots__ = ("_cseq", "_give_up_at", "_interval", "_next", "_pending", "_repeat_at", "_values")

    def __init__(self, invite: Request, values: TimerValues) -> None:
        self._cseq = invite.cseq.number
        self._values = values
        self._next = int(ids.token(FIRST_BITS + 1), 16) % (2**FIRST_BITS - 1) + 1
        self._pending: Response | None = None
        self._interval = 0.0
        self._repeat_at: float | None = None
        self._give_up_at = 0.0

    @property
    def is_pending(self) -> bool:
        """Tell whether the newest response is not acknowledged: no other may be sent, with a body not even a 2xx."""
        return self._pending is not None

    @property
    def has_body_pending(self) -> bool:
        """Tell whether the response that is not acknowledged has a session description (:rfc:`3262#section-5`)."""
        return self._pending is not None and bool(self._pending.body)

    def send(self, response: Response, now: float) -> None:
        """Add Require and RSeq to a provisional response that is sent now.

        :class:`LocalProtocolError` while the one before is not acknowledged.
        """
        if self._pending is not None:
            raise LocalProtocolError("the provisional response before is not acknowledged")
        response.headers.add("Require", OPTION)
        response.headers.add("RSeq", str(self._next))
        self._next += 1
        self._pending = response
        self._interval = self._values.t1
        self._repeat_at = now + self._interval
        self._give_up_at = now + self._values.patience

    def receive(self, prack: Request) -> bool:
        """Take a PRACK; False when it matches nothing (481). :class:`ParseError` for one that says nothing."""
        rack = RAck.of(prack)
        if self._pending is None or (rack.number, rack.cseq, rack.method) != (self._next - 1, self._cseq, "INVITE"):
            return False
        self._pending = self._repeat_at = None
        return True

    def stop(self) -> None:
        """Repeat no more: there is a final response. A PRACK that is on its way is taken all the same."""
        self._repeat_at = None

    def get_timer(self) -> float | None:
        """Return when :meth:`handle_timer` is to be called next; None while nothing is to be repeated."""
        return None if self._repeat_at is None else min(self._repeat_at, self._give_up_at)

    def handle_timer(self, now: float) -> Response | None:
        """Return the response to be sent again; None when nothing is due, or :attr:`gave_up`.

        The pauses double without end (A-PRK-02), other than those of a 2xx.
        """
        if self._repeat_at is None or self.gave_up(now) or now < self._repeat_at:
            return None
        self._interval *= 2
        self._repeat_at = now + self._interval
        return self._pending

    def gave_up(self, now: float) -> bool:
        """Tell whether a response has not been acknowledged in 64*T1: the INVITE is to be refused with 5xx."""
        return self._repeat_at is not None and now >= self._give_up_at
