"""Where MSRP peers connect to, and the URIs that tell them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from sipstack import ids
from sipstack.flow import HostPort
from sipstack.msrp.uri import DEFAULT_PORT, MsrpUri
from sipstack.sdp_msrp import DISCARD_PORT

from .handshake import TlsListener, listening_socket
from .tls import Tls
from .unclaimed import Unclaimed


class MsrpListener:
    """One TCP socket, and one for TLS when ``tls`` has a certificate.

    ``bind`` is the address to listen at (port 0: any), ``advertise`` what peers are told instead; ``tls_port`` and
    ``tls_advertise_port`` likewise, 0 for the same.
    """

    def __init__(
        self,
        bind: HostPort,
        advertise: HostPort | None = None,
        tls: Tls | None = None,
        tls_port: int = 0,
        tls_advertise_port: int = 0,
    ) -> None:
        # configuration
        self._bind = bind
        self._advertise = advertise
        self._tls = tls
        self._tls_port = tls_port
        self._tls_advertise_port = tls_advertise_port
        # state
        self._local = bind
        self._server: asyncio.Server | None = None
        self._secure: TlsListener | None = None
        self._nowhere = f"{ids.token(80)}.invalid"  # host of our URIs on WebSockets (:rfc:`7977#appendix-A`)

    async def start(self, accept: Callable[[bool], asyncio.Protocol], unclaimed: Unclaimed) -> None:
        """Listen; ``accept`` makes the protocol of a connection, secure or not; TLS handshakes are ``unclaimed``.

        Raise :exc:`OSError`.
        """
        listening = listening_socket(self._bind)
        self._server = await asyncio.get_running_loop().create_server(partial(accept, False), sock=listening)
        self._local = self._server.sockets[0].getsockname()[:2]
        if self._tls is None or self._tls.server is None:
            return
        try:
            address = self._local[0], self._tls_port
            self._secure = TlsListener(partial(accept, True), self._tls.server, unclaimed, address)
        except OSError:
            self.close()
            raise
        self._tls_port = self._secure.port

    def close(self) -> None:
        """Accept nothing more; who is in the middle of a handshake is let go."""
        for server in (self._server, self._secure):
            if server is not None:
                server.close()

    async def wait_closed(self) -> None:
        """Wait until the sockets are gone."""
        for server in (self._server, self._secure):
            if server is not None:
                await server.wait_closed()

    @property
    def port(self) -> int:
        """The port that we listen at."""
        return self._local[1]

    @property
    def tls_port(self) -> int:
        """The port that we listen at for TLS; 0 when we don't."""
        return self._tls_port if self._secure is not None else 0

    @property
    def local(self) -> HostPort:
        """The address that peers are told."""
        if self._advertise is None:
            return self._local
        return self._advertise[0], self._advertise[1] or self._local[1]

    def uri(self, secure: bool, session_id: str | None = None, *, discard_port: bool = False) -> MsrpUri:
        """Return a URI of ours; ``discard_port``: with port 9, for who can't be connected to (C-SET-02)."""
        host, port = self.local
        if secure:
            port = self._tls_advertise_port or self._tls_port or port
        port = DISCARD_PORT if discard_port else port
        return MsrpUri("msrps" if secure else "msrp", f"[{host}]" if ":" in host else host, port, session_id)

    def relay_uri(self, relay: MsrpUri) -> MsrpUri:
        """Return a new URI of our own to speak to ``relay`` with. Nobody connects to what we are on a WebSocket."""
        if relay.transport.lower() == "ws":
            return MsrpUri("msrps", self._nowhere, DEFAULT_PORT, ids.msrp_session_id(), "ws")
        return self.uri(relay.secure, ids.msrp_session_id())
