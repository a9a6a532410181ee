"""The calls that need no credentials: the page's files, health, readiness, the description of the calls."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from aiohttp import web

from gateway.http.negotiation import JSON, wanted
from gateway.http.openapi import document
from gateway.http.page import Pages
from gateway.http.routes import Route
from gateway.services import Health
from translators import model


class PublicCalls:
    """Answers probes and serves what is the same for everybody."""

    def __init__(self, health: Health, pages: Pages, routes: Sequence[Route], public_url: str) -> None:
        self._health = health
        self._pages = pages
        own = self.routes()
        self._openapi = msgspec.Raw(msgspec.json.encode(document([*routes, *own], public_url)))

    def routes(self) -> list[Route]:
        """Return the calls with their paths and bodies."""
        health = {200: model.Health, 503: model.Health}
        return [
            Route("GET", "/healthz", self.alive, "Is the process alive?", "anybody", None, health, with_head=True),
            Route("GET", "/readyz", self.ready, "Can it serve?", "anybody", None, health, with_head=True),
            Route(
                "GET",
                "/openapi.json",
                self.openapi,
                "This description",
                "anybody",
                answers={200: "application/json"},
                with_head=True,
            ),
            Route(
                "GET",
                "/rcsgw/web/{file}",
                self.file,
                "Files of the guest's page",
                "anybody",
                answers={200: "*/*"},
                with_head=True,
            ),
        ]

    async def alive(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer as long as the event loop turns."""
        return wanted(request.headers.get("Accept")).answer(model.Health(status="ok"))

    async def ready(self, request: web.BaseRequest) -> web.StreamResponse:
        """Tell whether core, store and delivery are there."""
        format = wanted(request.headers.get("Accept"))
        checks = await self._health.ready()
        good = all(state == "ok" for state in checks.values())
        return format.answer(model.Health(status="ok" if good else "unavailable", checks=checks), 200 if good else 503)

    async def openapi(self, request: web.BaseRequest) -> web.StreamResponse:
        """Give the OpenAPI document."""
        wanted(request.headers.get("Accept"))
        return JSON.raw(self._openapi)

    async def file(self, request: web.BaseRequest, file: str) -> web.StreamResponse:
        """Give a file of the page."""
        return self._pages.file(file)
