"""What a registration goes by: when to refresh, what a response means, whose turn it is."""

from __future__ import annotations

from collections.abc import Callable

from sipstack.errors import ParseError
from sipstack.sip.address import Address
from sipstack.sip.grammar import parse_seconds
from sipstack.sip.message import Response
from sipstack.sip.uri import Uri

DEFAULT_EXPIRES = 3600
"""Seconds to ask for."""
LONG_EXPIRES = 1200
REFRESH_BEFORE = 600
"""Seconds: what lasts longer than the first is refreshed the second before its end, else at half time (A-REG-06)."""
SHORTEST_PAUSE = 1.0
"""Seconds between two REGISTERs at least, whatever a registrar grants or asks for."""
REFRESH_JITTER = 0.1
"""Part of the time until a refresh by which it may come earlier, so that many guests don't come at once."""

TEMPORARY = frozenset({408, 430, 480})
"""4xx after which the same REGISTER may succeed later."""
FINAL_SERVER_ERRORS = frozenset({501, 505, 513})
"""5xx that the same REGISTER would get again."""
MAY_RETRY_AFTER = frozenset({404, 413, 480, 486, 500, 503, 600, 603})
"""Responses whose Retry-After means something (:rfc:`3261#section-20.33`)."""


class Pacer:
    """Hands out turns: at most so many a second, without bursts."""

    __slots__ = ("interval", "_next")

    def __init__(self, per_second: float) -> None:
        self.interval = 1 / per_second
        self._next = 0.0

    def reserve(self, now: float) -> float:
        """Return the time of the next free turn, ``now`` or later, and take it."""
        turn = max(now, self._next)
        self._next = turn + self.interval
        return turn


def our_binding(response: Response, contact: Address) -> Address | None:
    """Return our Contact among those in a 2xx, None when it is not there.

    It is the one with our URI (:rfc:`3261#section-10.2.4`) or, where an edge proxy rewrote it, our instance; of several
    flows of ours (:rfc:`5626`) that with our ``reg-id``.
    """
    instance, reg_id = contact.param("+sip.instance"), contact.param("reg-id")
    for binding in tolerant(lambda: response.contacts):
        ours = binding.uri.matches(contact.uri) or (instance is not None and binding.param("+sip.instance") == instance)
        if ours and (reg_id is None or binding.param("reg-id") in (None, reg_id)):
            return binding
    return None


def granted_expires(response: Response, contact: Address, asked: int) -> int:
    """Return the seconds that a 2xx grants to ``contact`` (A-REG-02): its ``expires``, else Expires, else ``asked``."""
    binding = our_binding(response, contact)
    expires = parse_seconds(binding.param("expires")) if binding is not None else None
    if expires is not None:
        return expires
    return asked if response.expires is None else response.expires


def refresh_delay(granted: int) -> float:
    """Return how many seconds after a 2xx the refresh is due (A-REG-06)."""
    return granted - REFRESH_BEFORE if granted > LONG_EXPIRES else granted / 2


def is_temporary(response: Response) -> bool:
    """Tell whether the same REGISTER may succeed later (B-REG-07)."""
    status = response.status
    if status in MAY_RETRY_AFTER and response.retry_after is not None:
        return True
    return status in TEMPORARY or (500 <= status < 600 and status not in FINAL_SERVER_ERRORS) or status < 300


def tolerant(read: Callable[[], list[Address]]) -> list[Address]:
    """Return what ``read`` finds, nothing where the registrar wrote nonsense (A-MSG-13)."""
    try:
        return read()
    except ParseError:
        return []


def uris(read: Callable[[], list[Address]]) -> tuple[Uri, ...]:
    return tuple(address.uri for address in tolerant(read))
