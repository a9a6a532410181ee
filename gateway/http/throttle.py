"""Token buckets against guessing: wrong credentials cost a token, right ones give it back."""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway.services import NotAuthenticated, TooManyRequests

MAX_BUCKETS = 20_000
"""Buckets of one kind; the one not touched for longest goes first. 20 000 take about 4 MiB."""


class Buckets:
    """A token bucket a key, with bounded memory.

    ``capacity`` tokens at first, refilled within ``window`` seconds. A key that was never short of tokens, or whose
    bucket is full again, needs no memory.
    """

    __slots__ = ("_buckets", "_capacity", "_rate")

    def __init__(self, capacity: int, window: float) -> None:
        self._capacity = float(capacity)
        self._rate = capacity / window
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Key → tokens left, and when that was."""

    def __len__(self) -> int:
        return len(self._buckets)

    def wait(self, key: str, now: float) -> float:
        """Return the seconds until there is a token for ``key``, 0 when there is one."""
        tokens = self._tokens(key, now)
        return 0.0 if tokens >= 1 else (1 - tokens) / self._rate

    def take(self, key: str, now: float) -> None:
        """Take a token; there must be one."""
        self._put(key, self._tokens(key, now) - 1, now)

    def give_back(self, key: str, now: float) -> None:
        """Undo a :meth:`take`."""
        self._put(key, self._tokens(key, now) + 1, now)

    def _tokens(self, key: str, now: float) -> float:
        known = self._buckets.get(key)
        if known is None:
            return self._capacity
        tokens, since = known
        return min(self._capacity, tokens + (now - since) * self._rate)

    def _put(self, key: str, tokens: float, now: float) -> None:
        if tokens >= self._capacity:
            self._buckets.pop(key, None)
            return
        self._buckets[key] = tokens, now
        self._buckets.move_to_end(key)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)


class Throttle:
    """Lets a check of credentials pass, per account and per address, before anything is sent to the core."""

    __slots__ = ("_accounts", "_addresses", "_clock")

    def __init__(self, accounts: int, addresses: int, window: float, clock: Callable[[], float]) -> None:
        self._accounts = Buckets(accounts, window)
        self._addresses = Buckets(addresses, window)
        self._clock = clock
        """Monotonic seconds."""

    @contextmanager
    def attempt(self, account: str, address: str) -> Iterator[None]:
        """Check credentials within this: both tokens come back unless they were wrong.

        :class:`TooManyRequests` when the account or the address has no token left.
        """
        account, address = account.lower(), network_of(address)
        now = self._clock()
        wait = max(self._accounts.wait(account, now), self._addresses.wait(address, now))
        if wait > 0:
            raise TooManyRequests("Too many wrong credentials.", retry_after=math.ceil(wait))
        self._accounts.take(account, now)
        self._addresses.take(address, now)
        try:
            yield
        except NotAuthenticated:
            raise
        except BaseException:
            self._give_back(account, address)
            raise
        self._give_back(account, address)

    def _give_back(self, account: str, address: str) -> None:
        now = self._clock()
        self._accounts.give_back(account, now)
        self._addresses.give_back(address, now)


def network_of(address: str) -> str:
    """Return what stands for one client: an IPv4 address, the /64 of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))
