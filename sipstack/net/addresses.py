"""What an endpoint tells others of where it is: Via and Contact, by transport."""

from __future__ import annotations

from sipstack import ids
from sipstack.flow import HostPort, join_host_port
from sipstack.net.client import new_via
from sipstack.sip.routing import default_port
from sipstack.sip.uri import Uri


class OwnAddresses:
    """``local`` is told where UDP and TCP are, ``tls_port`` where TLS is at the same host, None when it is nowhere."""

    __slots__ = ("_bound", "_nowhere", "_tls_port", "local", "sent_by")

    def __init__(self, local: HostPort, bound: str, tls_port: int | None) -> None:
        """``bound`` is the host that the sockets are bound to."""
        self.local = local
        self.sent_by = self._at(local[1])
        self._bound = bound
        self._tls_port = tls_port
        # Nobody can connect to what is behind a WebSocket, and each client shall have another host (RFC 7118,
        # sections 5.1 and 5.2).
        self._nowhere = f"{ids.token(80)}.invalid"

    def via(self, transport: str) -> str:
        """Return a new Via value for a request by ``transport``."""
        return new_via(transport, self._sent_by(transport))

    def uri(self, user: str | None = None, transport: str | None = None, *, secure: bool = False) -> Uri:
        """Return a URI that leads to us by ``transport``, as in Via; None leaves it open. ``secure`` makes it ``sips``,
        where TLS goes without saying."""
        parameters: tuple[tuple[str, str | None], ...] = ()
        if transport in ("WS", "WSS"):
            parameters = (("transport", "ws"),)
            return Uri("sips" if secure else "sip", user, None, self._nowhere, None, parameters)
        host, port = self.local
        if transport == "TLS":
            port = self._tls_port or port
        if transport is not None and not secure:
            parameters = (("transport", transport.lower()),)
        return Uri("sips" if secure else "sip", user, None, f"[{host}]" if ":" in host else host, port, parameters)

    def is_reachable_by(self, transport: str) -> bool:
        """Tell whether anybody can connect to us by ``transport``, or send to us: else we have to have connected."""
        return transport not in ("WS", "WSS") and (transport != "TLS" or self._tls_port is not None)

    def is_ours(self, uri: Uri) -> bool:
        """Tell whether ``uri`` names us by the advertised or bound address."""
        host, port = uri.host_port
        secure = uri.scheme == "sips" or (uri.param("transport") or "").lower() == "tls"
        port = port or default_port("TLS" if secure else "UDP")
        return host.lower() in (self.local[0].lower(), self._bound) and port in (self.local[1], self._tls_port)

    def _sent_by(self, transport: str) -> str:
        if transport in ("WS", "WSS"):
            return self._nowhere
        return self._at(self._tls_port) if transport == "TLS" and self._tls_port else self.sent_by

    def _at(self, port: int) -> str:
        return join_host_port((self.local[0], port))
