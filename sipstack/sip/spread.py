"""In which order servers are tried (:rfc:`2782`): by rank, and among equals by weight, at random or by who asks."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate
from typing import Generic, TypeVar

from sipstack import ids
from sipstack.valuetype import value_type

T = TypeVar("T")

LEAST_WEIGHT = 0.001
"""What weight 0 counts: next to nothing beside the others, and all the same among its like."""


@value_type
class Server(Generic[T]):
    """One SRV record, or what stands for one where there is none."""

    targets: tuple[T, ...]
    """Its addresses, tried in this order."""
    name: str
    """Host and port: tells it from others of its rank, whatever its address is today."""
    rank: tuple[int, ...] = ()
    """Lower comes first: its place among the services of a domain, then its priority."""
    weight: int = 0


def spread(servers: Iterable[Server[T]], key: str | None = None) -> list[T]:
    """Return the targets of ``servers`` in the order to try them.

    Without ``key`` those of one rank are drawn at random by weight. With it each key has its own order, always the
    same, and all keys together share the servers by weight: whoever loses their first server goes to their second, and
    comes back to the first; nobody else moves.
    """
    waiting = sorted(servers, key=lambda server: (server.rank, server.weight))
    ordered: list[Server[T]] = []
    while waiting:
        equals = [server for server in waiting if server.rank == waiting[0].rank]
        del waiting[: len(equals)]
        ordered += equals if len(equals) == 1 else _drawn(equals) if key is None else _chosen(equals, key)
    return [target for server in ordered for target in server.targets]


def _drawn(servers: list[Server[T]]) -> list[Server[T]]:
    """Draw as :rfc:`2782` describes it: the lightest come first in the list of running sums."""
    drawn = []
    while servers:
        sums = list(accumulate(server.weight for server in servers))
        # The first sum that is not less than a number drawn from 0 to all of it.
        drawn.append(servers.pop(bisect_left(sums, ids.uniform(0, sums[-1]))))
    return drawn


def _chosen(servers: list[Server[T]], key: str) -> list[Server[T]]:
    """Order by weighted rendezvous hashing: each server's number for this key is drawn from an exponential
    distribution with its weight as rate, and the least is first with a probability that is its share."""

    def number(server: Server[T]) -> float:
        digest = hashlib.blake2b(f"{key} {server.name}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
        drawn = (int.from_bytes(digest) + 1) / (1 << 64)
        return -math.log(drawn) / (server.weight or LEAST_WEIGHT)

    return sorted(servers, key=number)
