"""Free ports on loopback for programs that cannot be told to choose one themselves."""

from __future__ import annotations

import secrets
import socket

FIRST, LAST = 20_000, 32_000
"""Where they are looked for: below the range from which systems give out ports by themselves (Linux: from 32768 on), so
that no connection made in the meantime takes one."""

ATTEMPTS = 50
"""How many ports to look at before giving up; one is nearly always enough."""


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that is free for UDP and TCP right now on ``host`` (a numeric IPv4 address).

    Nothing keeps it: whoever needs it should bind it soon. Raises OSError when no port is found.
    """
    for _ in range(ATTEMPTS):
        port = FIRST + secrets.randbelow(LAST - FIRST)
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        ):
            try:
                tcp.bind((host, port))
                udp.bind((host, port))
            except OSError:
                continue
            return port
    raise OSError(f"no port on {host} is free for both UDP and TCP")
