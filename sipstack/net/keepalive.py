"""Noticing that a peer is gone whose connection says nothing: the kernel asks, nobody here keeps a timer for it.

A phone that loses its network closes nothing. :rfc:`4975` has no rule for that but the 30 seconds of each SEND, and a
chat may be silent for long. So the kernel probes idle connections, and gives up on octets that nobody acknowledges.
"""

from __future__ import annotations

import socket

IDLE = 45
"""Seconds of silence before the first probe: before the mappings of common NATs and firewalls go (a minute and up)."""
INTERVAL = 5
"""Seconds between probes that stay unanswered."""
PROBES = 3
"""Probes without an answer after which the peer is gone."""
UNACKNOWLEDGED = IDLE + PROBES * INTERVAL
"""Seconds that octets may stay unacknowledged before the connection is given up. Linux lets this limit overrule the
number of probes, so it must not be less than all of them take. A peer that reads nothing for so long is gone too."""


def keep_alive(raw: socket.socket) -> None:
    """Have the kernel break a TCP connection, with ETIMEDOUT, about a minute after its peer has vanished.

    Where a system lacks one of the options, its own times count: two hours for a silent connection.
    """
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {
        "TCP_KEEPIDLE": IDLE,
        "TCP_KEEPINTVL": INTERVAL,
        "TCP_KEEPCNT": PROBES,
        "TCP_USER_TIMEOUT": UNACKNOWLEDGED * 1000,
    }
    for name, value in options.items():
        option = getattr(socket, name, None)
        if option is not None:
            raw.setsockopt(socket.IPPROTO_TCP, option, value)
