"""Free ports on loopback for programs that cannot be told to choose one themselves."""

from __future__ import annotations

import itertools
import secrets
import socket
from collections.abc import Iterator

FIRST, LAST = 20_000, 32_000
"""Where they are looked for: below the range from which systems give out ports by themselves (Linux: from 32768 on), so
that no connection made in the meantime takes one."""

ATTEMPTS = 50
"""How many ports to look at before giving up; one is nearly always enough."""


def _walk() -> Iterator[int]:
    start = secrets.randbelow(LAST - FIRST)
    for step in itertools.count():
        yield FIRST + (start + step) % (LAST - FIRST)


_candidates = _walk()
"""Each process goes its own way round, so that it gives no port twice before the first taker has bound it."""


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that is free for UDP and TCP right now on ``host`` (a numeric address).

    Nothing keeps it: whoever needs it should bind it soon. Raises OSError when no port is found.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in itertools.islice(_candidates, ATTEMPTS):
        with (
            socket.socket(family, socket.SOCK_STREAM) as tcp,
            socket.socket(family, socket.SOCK_DGRAM) as udp,
        ):
            try:
                tcp.bind((host, port))
                udp.bind((host, port))
            except OSError:
                continue
            return port
    raise OSError(f"no port on {host} is free for both UDP and TCP")
