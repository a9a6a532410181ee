"""A SIP server of the lab: one endpoint, a proxy on it, faults that can be switched on, and admin HTTP."""

from __future__ import annotations

from abc import abstractmethod

from aiohttp import web

from gateway.lab.admin import AdminServer
from gateway.lab.faults import Faults
from gateway.lab.part import Part
from gateway.lab.proxy import Proxy
from sipstack.flow import HostPort
from sipstack.net.config import EndpointConfig
from sipstack.net.endpoint import Endpoint
from sipstack.net.tls import SipTls
from sipstack.sip.message import Request
from sipstack.sip.transaction import ServerTransaction
from sipstack.trace import Trace


class Node(Part):
    """Answers REGISTER and decides about requests that open something; what is inside a dialog goes along its route."""

    def __init__(
        self, name: str, host: str, port: int, http_port: int, trace: Trace | None, tls: SipTls | None = None
    ) -> None:
        """``name`` stands in User-Agent and Server; ports 0 are free ones, as is that for ``tls``."""
        self.faults = Faults()
        config = EndpointConfig(bind_host=host, bind_port=port, msrp=False, user_agent=f"rcsgw lab {name}")
        config.tls, config.tls_port = tls, 0
        self.endpoint = Endpoint(config, trace=trace)
        self.proxy = Proxy(self.endpoint)
        self._http = host, http_port
        self.admin: AdminServer

    async def start(self) -> None:
        """Listen for SIP and HTTP. OSError when a port is taken."""
        await self.endpoint.start()
        self.prepare()
        self.endpoint.on_request = self._request_received
        app = self.build_app()
        self.faults.add_routes(app)
        self.admin = AdminServer(app, *self._http)
        await self.admin.start()

    async def close(self) -> None:
        """Stop listening."""
        await self.admin.close()
        await self.endpoint.close()

    @property
    def address(self) -> HostPort:
        """Where SIP is spoken, by UDP and TCP."""
        return self.endpoint.local

    def prepare(self) -> None:
        """Called when the addresses are known, before the first request."""
        return

    @abstractmethod
    def build_app(self) -> web.Application:
        """Return the admin HTTP; ``/faults`` comes by itself."""

    @abstractmethod
    def register(self, transaction: ServerTransaction, request: Request) -> None:
        """Answer a REGISTER."""

    @abstractmethod
    def route(self, transaction: ServerTransaction, request: Request) -> None:
        """Answer or forward a request outside of any dialog."""

    def take_in_dialog(self, transaction: ServerTransaction, request: Request) -> bool:
        """Answer a request inside a dialog of our own; False for one that is to be passed on."""
        return False

    def _request_received(self, transaction: ServerTransaction, request: Request) -> bool:
        if self.faults.take(self.endpoint, transaction, request):
            return True
        if request.method == "REGISTER":
            self.register(transaction, request)
        elif request.to.tag is not None:
            if self.take_in_dialog(transaction, request):
                return True
            self.proxy.relay_in_dialog(transaction, request)
        elif not self.proxy.refuse_loop(transaction, request):
            self.route(transaction, request)
        return True
