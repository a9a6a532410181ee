"""Free ports on loopback for programs that cannot be told to choose one themselves."""

from __future__ import annotations

import socket

ATTEMPTS = 50
"""How many ports to look at before giving up; one is nearly always enough."""


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that is free for UDP and TCP right now on ``host`` (a numeric IPv4 address).

    Nothing keeps it: whoever needs it should bind it soon. Raises OSError when no port is found.
    """
    for _ in range(ATTEMPTS):
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        ):
            tcp.bind((host, 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind((host, port))
            except OSError:
                continue
            return port
    raise OSError(f"no port on {host} is free for both UDP and TCP")
