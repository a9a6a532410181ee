"""The UDP socket of an endpoint.

Written on the bare socket instead of asyncio's datagram transport for one reason: an unconnected socket learns of an
unreachable destination only through the error queue (``IP_RECVERR`` of Linux), and a dead next hop should fail its
transactions now (A-UAC-05), not after 64·T1.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import select
import socket
import struct
import sys
from collections.abc import Callable

from sipstack.flow import MAPPED, HostPort, host_port

RECEIVE_SIZE = 65_535
"""The largest datagram there is (A-TRN-02)."""

RECEIVE_BATCH = 64
"""Datagrams read in one turn of the loop before others have theirs."""

SOCKET_BUFFER = 4 * 1024 * 1024
"""Octets the kernel may hold for us: a burst of some thousand messages. The kernel may give less."""

_IP_RECVERR = 11
_IPV6_RECVERR = 25
_MSG_ERRQUEUE = 0x2000


class UdpSocket:
    """Sends and receives datagrams.

    ``on_data(data, remote)`` is called for each datagram, ``on_error(remote)`` when the network says that
    ``remote`` cannot be reached.
    """

    def __init__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        on_data: Callable[[bytes, HostPort], None],
        on_error: Callable[[HostPort], None],
    ) -> None:
        self._socket = sock
        self._loop = loop
        self._on_data = on_data
        self._on_error = on_error
        self._is_ipv6 = sock.family == socket.AF_INET6
        self.local: HostPort = sock.getsockname()[:2]
        self.dropped = 0
        """Datagrams that found the send buffer full; to the peers this is loss, which SIP repairs."""
        sock.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER)
        self._readable_file = sock.fileno()
        if sys.platform == "linux":
            if self._is_ipv6:
                sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
            else:
                sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
            # A waiting error makes libuv drop a socket from its poll. An epoll around the socket is merely readable.
            self._epoll = select.epoll()
            self._epoll.register(sock.fileno(), select.EPOLLIN)
            self._readable_file = self._epoll.fileno()
        loop.add_reader(self._readable_file, self._readable)

    def send(self, data: bytes, remote: HostPort) -> bool:
        """Send a datagram; return False when the system refuses to (no route, too long)."""
        if self._is_ipv6 and ":" not in remote[0]:
            remote = MAPPED + remote[0], remote[1]  # bound to all addresses, it has both families
        # The socket reports an error that an earlier datagram brought at the next call, whoever that is for.
        for _ in range(2):
            try:
                self._socket.sendto(data, remote)
            except (BlockingIOError, InterruptedError):
                self.dropped += 1
            except OSError:
                if self._drain_errors():
                    continue
                return False
            return True
        return False

    def close(self) -> None:
        """Stop receiving and close the socket."""
        self._loop.remove_reader(self._readable_file)
        if sys.platform == "linux":
            self._epoll.close()
        self._socket.close()

    def _readable(self) -> None:
        for _ in range(RECEIVE_BATCH):
            if self._socket.fileno() < 0:
                return
            try:
                data, address = self._socket.recvfrom(RECEIVE_SIZE)
            except (BlockingIOError, InterruptedError):
                self._drain_errors()
                return
            except OSError:
                self._drain_errors()
                continue
            self._on_data(data, host_port(address))

    def _drain_errors(self) -> bool:
        """Report what the error queue holds; return True when there was something."""
        found = False
        if sys.platform != "linux":
            return found
        with contextlib.suppress(OSError):
            while self._socket.fileno() >= 0:
                # The original destination comes as the address, the sock_extended_err as ancillary data.
                _, ancillary, _, address = self._socket.recvmsg(0, 512, _MSG_ERRQUEUE)
                found = True
                if address and any(_is_fatal(data) for _, kind, data in ancillary if kind in (11, 25)):
                    # From the loop, because a sender may be in the middle of its own work.
                    self._loop.call_soon(self._on_error, host_port(address))
        return found


def _is_fatal(extended_error: bytes) -> bool:
    """Tell whether a ``sock_extended_err`` is a hard error: not "message too long", which path discovery brings."""
    if len(extended_error) < 8:
        return False
    number: int = struct.unpack_from("=I", extended_error)[0]
    return number != errno.EMSGSIZE
