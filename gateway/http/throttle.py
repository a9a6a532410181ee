"""Token buckets against guessing: wrong credentials cost a token, right ones nothing; each look-up costs one."""

from __future__ import annotations

import ipaddress
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway.services import NotAuthenticated, TooManyLookups, TooManyRequests
from translators.identifiers import parse_identifier

_REST = re.compile(r"[;?].*", re.DOTALL)
"""Parameters and headers of a URI."""

MAX_BUCKETS = 20_000
"""Buckets of one kind; the one not touched for longest goes first. 20 000 take about 4 MiB."""

MAX_RUNNING_ACCOUNT = 128
"""Checks of one account at once: so many tabs and clients of one guest may start together, and no more guesses."""

MAX_RUNNING_ADDRESS = 2048
"""Checks from one address at once: a whole office, or a proxy that is not declared, may start together."""


class Buckets:
    """A token bucket a key, with bounded memory.

    ``capacity`` tokens at first, refilled within ``window`` seconds; one must be left for a check to begin, and a wrong
    one costs one. Wrong checks that ran at the same time may leave a debt. A key whose bucket is full needs no memory.
    """

    __slots__ = ("_buckets", "_capacity", "_max_running", "_rate", "_running")

    def __init__(self, capacity: int, window: float, max_running: int) -> None:
        self._capacity = float(capacity)
        self._rate = capacity / window
        self._max_running = max_running
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Key → tokens left, and when that was."""
        self._running: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def wait(self, key: str, now: float) -> float:
        """Return the seconds until a check for ``key`` may begin, 0 when it may."""
        if self._running.get(key, 0) >= self._max_running:
            return 1.0
        tokens = self._tokens(key, now)
        return 0.0 if tokens >= 1 else (1 - tokens) / self._rate

    def begin(self, key: str) -> None:
        """Note that a check runs."""
        self._running[key] = self._running.get(key, 0) + 1

    def end(self, key: str, *, wrong: bool, now: float) -> None:
        """Note that a check has ended; ``wrong`` costs a token."""
        running = self._running[key] - 1
        if running:
            self._running[key] = running
        else:
            del self._running[key]
        if wrong:
            self._buckets[key] = self._tokens(key, now) - 1, now
            self._buckets.move_to_end(key)
            if len(self._buckets) > MAX_BUCKETS:
                self._buckets.popitem(last=False)

    def _tokens(self, key: str, now: float) -> float:
        known = self._buckets.get(key)
        if known is None:
            return self._capacity
        tokens = known[0] + (now - known[1]) * self._rate
        if tokens >= self._capacity:
            del self._buckets[key]
            return self._capacity
        return tokens


class Throttle:
    """Lets a check of credentials pass, per account and per address, before anything is sent to the core."""

    __slots__ = ("_accounts", "_addresses", "_clock")

    def __init__(self, accounts: int, addresses: int, window: float, clock: Callable[[], float]) -> None:
        self._accounts = Buckets(accounts, window, MAX_RUNNING_ACCOUNT)
        self._addresses = Buckets(addresses, window, MAX_RUNNING_ADDRESS)
        self._clock = clock
        """Monotonic seconds."""

    @contextmanager
    def attempt(self, account: str, address: str) -> Iterator[None]:
        """Check credentials within this: :class:`NotAuthenticated` out of it costs a token of both.

        Raises :class:`TooManyRequests` when the account or the address has none left.
        """
        account, address = key_of(account), network_of(address)
        now = self._clock()
        wait = max(self._accounts.wait(account, now), self._addresses.wait(address, now))
        if wait > 0:
            raise TooManyRequests("Too many wrong credentials.", retry_after=math.ceil(wait))
        self._accounts.begin(account)
        self._addresses.begin(address)
        wrong = False
        try:
            yield
        except NotAuthenticated:
            wrong = True
            raise
        finally:
            now = self._clock()
            self._accounts.end(account, wrong=wrong, now=now)
            self._addresses.end(address, wrong=wrong, now=now)


class Lookups:
    """Bounds how many people one subscriber can look up, so that nobody reads out the list of subscribers."""

    __slots__ = ("_buckets", "_clock")

    def __init__(self, count: int, window: float, clock: Callable[[], float]) -> None:
        """``count`` look-ups within ``window`` seconds; ``clock`` returns monotonic seconds."""
        self._buckets = Buckets(count, window, count)
        self._clock = clock

    @contextmanager
    def asking(self, uid: str, *, reveals: type[Exception] | None = None) -> Iterator[None]:
        """Look somebody up within this. It costs a token; with ``reveals`` only where that exception tells something.

        Raises :class:`TooManyLookups` when the subscriber has none left.
        """
        wait = self._buckets.wait(uid, self._clock())
        if wait > 0:
            raise TooManyLookups("Too many look-ups.", retry_after=math.ceil(wait))
        self._buckets.begin(uid)
        told = reveals is None
        try:
            yield
        except Exception as error:
            told = told or (reveals is not None and isinstance(error, reveals))
            raise
        finally:
            self._buckets.end(uid, wrong=told, now=self._clock())


def key_of(account: str) -> str:
    """Return what the ways to write one account share: port, parameters, headers, escapes and case change nothing."""
    name = _REST.sub("", account)
    parsed = parse_identifier(name) if ":" in name else None
    name = parsed.value if parsed is not None else name
    return (name.partition(":")[2] or name).lower()


def network_of(address: str) -> str:
    """Return what stands for one client: an IPv4 address, the /64 of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
