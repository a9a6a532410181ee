"""Getting a path through relays: AUTH, as their client (:rfc:`4976#section-5.1`).

:class:`RelayClient` speaks to one chain of relays over one connection. It knows nothing of hashes: what computes them
is a :class:`RelayDigest`, so that this package does not depend on SIP, where digest lives.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sipstack import ids
from sipstack.errors import LocalProtocolError, ParseError

from .chunk import MsrpResponse, route_headers
from .uri import MsrpUri, parse_path

AUTH_TIMEOUT = 30.0
"""Seconds that a relay may take to answer, as for any request (C-RSP-01)."""
DEFAULT_EXPIRES = 900
"""Seconds that a path is taken to live when the relay does not say."""
REFRESH_SHARE = 0.8
"""Part of the life of a path after which the next one is asked for."""
RETRY_AFTER = 30.0
"""Seconds after a refresh that failed until the next try, at least: the old path still lives for a while."""
RETRY_SHARE = 0.25
"""Part of what is left of the life of a path after which a failed refresh is tried again."""
MAX_TRIES = 4
"""AUTH requests for one relay: the first, one with credentials, one for a stale nonce, one for other bounds."""
MAX_EXPIRES = 86_400
"""Seconds that we believe a relay at most; and longer numbers than that have no meaning."""


class RelayDigest(Protocol):
    """Digest credentials; ``uri`` is that of a relay, as it is hashed (C-RLY-04)."""

    def authorize(self, uri: str) -> str | None:
        """Return the value of Authorization for the next AUTH to ``uri``, None before it has sent a challenge."""

    def receive_challenge(self, uri: str, challenges: Sequence[str]) -> bool:
        """Take the values of WWW-Authenticate; return whether another try may pass."""

    def receive_success(self, uri: str, info: str) -> bool:
        """Take the value of Authentication-Info; return whether the relay knows our password."""


@dataclass(slots=True)
class RelayReady:
    """There is a path, for the first time or again. It may differ from the last one, which still lives for a while."""

    use_path: tuple[MsrpUri, ...]
    """Nearest relay first."""
    expires_at: float
    """When it is of no use any more, in the time of ``now``."""


@dataclass(slots=True)
class RelayFailed:
    """There is no path, or no further one: the last one lives on until :class:`RelayExpired`."""

    status: int
    """What the relay answered; 408 when it did not."""
    reason: str


@dataclass(slots=True)
class RelayExpired:
    """The path is of no use any more, and could not be had anew."""


Event = RelayReady | RelayFailed | RelayExpired


def chain_fault(relays: Sequence[MsrpUri]) -> str | None:
    """Return why ``relays``, nearest first, are no chain that we can use; None when they are."""
    for place, relay in enumerate(relays):
        transport = relay.transport.lower()
        if transport not in ("tcp", "ws"):
            return f"{relay} has a transport that is neither tcp nor ws"
        if transport == "ws" and not relay.secure:
            return f"{relay} has to be msrps: MSRP over WebSocket goes by TLS only (RFC 7977)"
        if transport == "ws" and place:
            return f"{relay} is not the nearest relay: relays speak TCP with each other, not WebSocket"
    return None


def sdp_path(use_path: Sequence[MsrpUri], local: MsrpUri) -> tuple[MsrpUri, ...]:
    """Return what ``a=path`` says of an endpoint behind relays: the outermost first, itself last (C-RLY-02)."""
    return (*reversed(use_path), local)


class RelayClient:
    """Asks each relay of a chain in turn for its part of the path, and again before a part expires.

    ``relays``: their URIs, nearest first. ``local``: our own URI on the connection to the first. ``expires``: seconds
    to ask for; None leaves them to the relays.
    """

    __slots__ = (
        "_digest",
        "_events",
        "_expires",
        "_expires_at",
        "_hop",
        "_local",
        "_output",
        "_path",
        "_relays",
        "_timer",
        "_transaction_id",
        "_tries",
        "_valid_until",
    )

    def __init__(
        self, relays: Sequence[MsrpUri], local: MsrpUri, digest: RelayDigest, *, expires: int | None = None
    ) -> None:
        if not relays:
            raise LocalProtocolError("there is no relay to ask")
        # configuration
        self._relays = tuple(relays)
        self._local = local
        self._digest = digest
        self._expires = expires
        # state
        self._hop = 0
        self._tries = 0
        self._transaction_id: str | None = None
        self._path: tuple[MsrpUri, ...] = ()
        self._expires_at: float | None = None
        self._valid_until: float | None = None
        """The end of the last path that we told of; None when there is none, or it has come."""
        self._timer: float | None = None
        # things to send and to tell
        self._output: list[bytes] = []
        self._events: deque[Event] = deque()

    @property
    def transaction_id(self) -> str:
        """Of the request that waits for its answer; empty when none does."""
        return self._transaction_id or ""

    @property
    def is_waiting(self) -> bool:
        """Tell whether an answer is waited for."""
        return self._transaction_id is not None

    def start(self, now: float) -> None:
        """Ask for a path, from the first relay on. An attempt under way is forgotten."""
        self._path = ()
        self._expires_at = None
        self._begin(0, now)

    def receive_response(self, response: MsrpResponse, now: float) -> bool:
        """Take a response off the connection; return whether it was to us."""
        if response.transaction_id != self._transaction_id:
            return False
        self._transaction_id = None
        if response.status == 200:
            self._receive_success(response, now)
        elif self._tries < MAX_TRIES and self._may_retry(response):
            self._send(now)
        else:
            self._fail(response.status, response.comment or f"the relay answered {response.status}", now)
        return True

    def data_to_send(self) -> bytes:
        """Return requests for the wire; ``b""`` when there are none."""
        data = b"".join(self._output)
        self._output.clear()
        return data

    def next_event(self) -> Event | None:
        """Return what happened, oldest first; None when all is told."""
        return self._events.popleft() if self._events else None

    def get_timer(self) -> float | None:
        """Return when :meth:`handle_timer` wants to be called."""
        return self._timer

    def handle_timer(self, now: float) -> None:
        """Do what is due at ``now``: ask again, or give up waiting."""
        if self._timer is None or now < self._timer:
            return
        if self._transaction_id is not None:
            self._transaction_id = None
            self._fail(408, "the relay does not answer", now)
        elif self._valid_until is not None and now >= self._valid_until:
            self._expire()
        else:
            self.start(now)

    def forget_path(self) -> None:
        """Take notice that the connection is lost, and the path with it (:rfc:`4976#section-6.3`)."""
        self._transaction_id = self._timer = self._valid_until = None
        self._output.clear()

    def _begin(self, hop: int, now: float) -> None:
        self._hop = hop
        self._tries = 0
        self._send(now)

    def _send(self, now: float) -> None:
        self._tries += 1
        self._transaction_id = transaction_id = ids.msrp_transaction_id()
        self._timer = now + AUTH_TIMEOUT
        relay = str(self._relays[self._hop])
        to_path = " ".join([*map(str, self._path), relay])
        text = f"MSRP {transaction_id} AUTH\r\n{route_headers(to_path, str(self._local))}"
        authorization = self._digest.authorize(relay)
        if authorization is not None:
            text += f"Authorization: {authorization}\r\n"
        if self._expires is not None:
            text += f"Expires: {self._expires}\r\n"
        self._output.append(f"{text}-------{transaction_id}$\r\n".encode())

    def _may_retry(self, response: MsrpResponse) -> bool:
        """Learn from a refusal; return whether that makes another try worth while."""
        if response.status == 401:
            return self._digest.receive_challenge(str(self._relays[self._hop]), _values(response, "WWW-Authenticate"))
        if response.status == 423:
            asked, self._expires = self._expires, self._bounded(response)
            return self._expires != asked
        return False

    def _bounded(self, response: MsrpResponse) -> int | None:
        """Return what to ask for within the bounds of a 423 (C-RLY-03)."""
        least, most = _seconds(response, "Min-Expires"), _seconds(response, "Max-Expires")
        expires = DEFAULT_EXPIRES if self._expires is None else self._expires
        if most is not None:
            expires = min(expires, most)
        return expires if least is None else max(expires, least)

    def _receive_success(self, response: MsrpResponse, now: float) -> None:
        # Authentication-Info is mandatory (:rfc:`4976#section-9.1`), but Kamailio leaves it out.
        # A wrong one is something else: that relay does not know our password.
        for info in _values(response, "Authentication-Info"):
            if not self._digest.receive_success(str(self._relays[self._hop]), info):
                self._fail(403, "the relay cannot prove that it knows the password", now)
                return
        try:
            part = parse_path(" ".join(_values(response, "Use-Path")))
            path = part if part[: len(self._path)] == self._path else parse_path(_joined(self._path, part))
        except ParseError as error:
            self._fail(400, f"Use-Path: {error}", now)
            return
        seconds = _seconds(response, "Expires")
        expires_at = now + (DEFAULT_EXPIRES if seconds is None else seconds)
        self._path = path
        self._expires_at = expires_at if self._expires_at is None else min(self._expires_at, expires_at)
        if self._hop + 1 < len(self._relays):
            self._begin(self._hop + 1, now)
        else:
            # Not sooner than in a second, whatever a relay says.
            self._timer = now + max(1.0, (self._expires_at - now) * REFRESH_SHARE)
            self._valid_until = self._expires_at
            self._events.append(RelayReady(path, self._expires_at))

    def _fail(self, status: int, reason: str, now: float) -> None:
        self._timer = None
        self._events.append(RelayFailed(status, reason))
        if self._valid_until is None:
            return
        if now < self._valid_until:
            left = self._valid_until - now
            self._timer = min(self._valid_until, now + max(RETRY_AFTER, left * RETRY_SHARE))
        else:
            self._expire()

    def _expire(self) -> None:
        self._timer = self._valid_until = None
        self._events.append(RelayExpired())


def _joined(path: Sequence[MsrpUri], part: Sequence[MsrpUri]) -> str:
    """Return the whole path where a relay behind others named its own part only."""
    return " ".join(map(str, (*path, *part)))


def _values(response: MsrpResponse, name: str) -> list[str]:
    return [value for key, value in response.headers if key.lower() == name.lower()]


def _seconds(response: MsrpResponse, name: str) -> int | None:
    """Return a number of seconds, None when there is none."""
    value = "".join(_values(response, name)[:1])
    return min(int(value[:9]), MAX_EXPIRES) if value.isascii() and value.isdigit() else None
