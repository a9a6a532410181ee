"""The HTTP face: listener, dispatch, and what a request costs before and after its call.

It stands on aiohttp's low-level server instead of ``web.Application``: one dictionary look-up leads to a call, and one
``except`` turns whatever leaves it into problem details, so that there is neither a chain of middlewares in the way of
a message nor an error that is shown in another form.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path

from aiohttp import web

from gateway import correlation
from gateway.config.settings import HttpSection, ThrottleSection, split_host_port
from gateway.http.auth import Origins, parse_networks
from gateway.http.brand import brand_files
from gateway.http.calls import Face
from gateway.http.content import ContentCalls
from gateway.http.delivery import LinkCalls, ReportCalls
from gateway.http.events import Streams
from gateway.http.files import FileCalls
from gateway.http.guest import GuestCalls
from gateway.http.inviter import InviterCalls
from gateway.http.negotiation import wanted_for_problem
from gateway.http.page import WEB, Pages
from gateway.http.problems import as_service_error, describe, extra_headers
from gateway.http.public import HealthCalls, PublicCalls
from gateway.http.routes import Route, Router, without_token
from gateway.http.server import Detached, Server
from gateway.http.throttle import Lookups, Throttle
from gateway.services import Services
from sipstack.trace import Trace

log = logging.getLogger("rcsgw.http")

BACKLOG = 4096
"""Connections that the kernel keeps while we are busy: a whole town of guests may come at once."""

DRAIN = 5.0
"""Seconds that running calls have to finish when the server stops."""


class HttpServer:
    """Serves the calls of ``services``.

    ``public_url`` is where clients find us, without a slash at its end; ``trace`` records what crosses the wire.
    """

    def __init__(
        self,
        services: Services,
        http: HttpSection,
        throttle: ThrottleSection,
        *,
        public_url: str = "",
        trace: Trace | None = None,
        web_dir: Path = WEB,
        page_files: Mapping[str, bytes] | None = None,
    ) -> None:
        self._http = http
        self._throttle = throttle
        self._services = services
        self._public_url = public_url.rstrip("/")
        self._trace = trace
        self._web_dir = web_dir
        self._page_files = brand_files() if page_files is None else page_files
        self._runners: list[web.ServerRunner] = []
        self.streams: Streams
        self.port = 0
        """Where we listen, once started."""
        self.operator_port = 0
        """Where health and readiness are, if they have a listener of their own."""

    @property
    def url(self) -> str:
        """Where we listen, for clients on this machine."""
        scheme = "https" if self._http.certificate else "http"
        host = split_host_port(self._http.listen)[0]
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    async def start(self) -> None:
        """Listen; OSError when an address is taken, ssl.SSLError for a bad certificate."""
        loop = asyncio.get_running_loop()
        self.streams = Streams(self._http.stream_ping, self._http.stream_timeout)
        limits = self._throttle
        face = Face(
            Origins(parse_networks(self._http.trusted_proxies)),
            Throttle(limits.logins, limits.addresses, limits.window, loop.time),
            Lookups(limits.lookups, limits.lookup_window, loop.time),
            self.streams,
            self._http.max_body,
            self._http.max_wait,
        )
        pages = Pages(self._web_dir, self._http.frame_ancestors, self._page_files)
        guests = GuestCalls(face, self._services.guests, pages)
        routes = [
            *InviterCalls(face, self._services.inviters).routes(),
            *guests.routes(),
            *FileCalls(guests.guest).routes(),
        ]
        if self._services.content is not None:
            routes += ContentCalls(face, self._services.content, self._services.inviters).routes()
        if self._services.links is not None:
            routes += LinkCalls(self._services.links, pages).routes()
        if self._services.reports is not None:
            routes += ReportCalls(self._services.reports).routes()
        health = HealthCalls(self._services.health).routes()
        routes += PublicCalls(pages, [*routes, *health], self._public_url).routes()
        operators = self._http.operator_listen
        try:
            if operators:
                self.operator_port = await self._listen(operators, health)
            self.port = await self._listen(self._http.listen, routes if operators else [*routes, *health], self._tls())
        except BaseException:
            await self.close()
            raise
        log.info("listening for HTTP on %s", self.url)

    async def _listen(self, address: str, routes: Sequence[Route], tls: ssl.SSLContext | None = None) -> int:
        """Serve calls at ``host:port``; return the port."""
        dispatch = Dispatch(Router(routes), self._public_url)
        server = Server(dispatch.handle, error_answer=dispatch.refuse, max_body=self._http.max_body, trace=self._trace)
        runner = web.ServerRunner(server, shutdown_timeout=DRAIN)
        self._runners.append(runner)
        await runner.setup()
        host, port = split_host_port(address)
        await web.TCPSite(runner, host, port, backlog=BACKLOG, ssl_context=tls).start()
        bound: int = runner.addresses[0][1]
        return bound

    async def close(self) -> None:
        """Stop listening, end the streams, let running calls finish."""
        runners, self._runners = self._runners, []
        for runner in runners:
            for site in list(runner.sites):
                await site.stop()
        if runners:
            self.streams.close()
        for runner in runners:
            await runner.cleanup()

    def _tls(self) -> ssl.SSLContext | None:
        if not self._http.certificate:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._http.certificate, self._http.key or None)
        return context


class Dispatch:
    """Leads requests to calls and exceptions to problem details."""

    __slots__ = ("_plain", "_public_url", "_router")

    def __init__(self, router: Router, public_url: str) -> None:
        self._router = router
        self._plain = router.plain
        self._public_url = public_url

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; nothing but cancellation leaves this."""
        correlation.begin(request.headers.get("traceparent"))
        try:
            methods = self._plain.get(request.rel_url.raw_path)
            if methods is not None:
                call = methods.get(request.method)
                if call is not None:
                    return await call(request)
            call, values = self._router.find(request.method, request.rel_url.raw_path)
            return await call(request, *values)
        except Exception as error:
            if isinstance(error, ConnectionError) and request.transport is None:
                return Detached()  # the client has gone, nobody reads an answer
            return self._problem(request, error)

    def refuse(self, request: web.BaseRequest, error: Exception) -> web.Response:
        """Answer what never became a call: it is no HTTP, or exceeds a limit of the parser."""
        correlation.begin(request.headers.get("traceparent"))
        return self._problem(request, error)

    def _problem(self, request: web.BaseRequest, error: Exception) -> web.Response:
        """Return the problem details of an exception."""
        refusal = as_service_error(error)
        trace = correlation.current()
        if refusal.status == 500:
            log.error("%s %s failed, trace %s", request.method, without_token(request.path), trace, exc_info=error)
        problem = describe(refusal, public_url=self._public_url, instance=request.path, trace=trace)
        response = wanted_for_problem(request.headers.get("Accept")).problem(problem, refusal.status)
        response.headers.update(extra_headers(refusal))
        return response
