"""The calls that need no credentials: the page's files, health, readiness, what describes calls and problems."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from textwrap import fill

import msgspec
from aiohttp import web

from gateway.http.explained import EXPLAINED
from gateway.http.negotiation import JSON, wanted
from gateway.http.openapi import document
from gateway.http.page import Pages
from gateway.http.problems import NoSuchPath
from gateway.http.routes import Route
from gateway.services import Health
from translators import model

LINE = 100
"""Characters of a line of text."""


class HealthCalls:
    """Answers the probes of operators."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._check: asyncio.Future[dict[str, str]] | None = None

    def routes(self) -> list[Route]:
        """Return the calls with their paths and bodies."""
        answers = {200: model.Health, 503: model.Health}
        return [
            Route("GET", "/healthz", self.alive, "Is the process alive?", "anybody", None, answers, with_head=True),
            Route("GET", "/readyz", self.ready, "Can it serve?", "anybody", None, answers, with_head=True),
        ]

    async def alive(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer as long as the event loop turns."""
        return wanted(request.headers.get("Accept")).answer(model.Health(status="ok"))

    async def ready(self, request: web.BaseRequest) -> web.StreamResponse:
        """Tell whether core and store are there; however many ask at once, each is asked once."""
        format = wanted(request.headers.get("Accept"))
        if self._check is None or self._check.done():
            self._check = asyncio.ensure_future(self._health.ready())
        checks = await asyncio.shield(self._check)
        good = all(state == "ok" for state in checks.values())
        return format.answer(model.Health(status="ok" if good else "unavailable", checks=checks), 200 if good else 503)


class PublicCalls:
    """Serves what is the same for everybody. ``routes`` are the other calls that the description is to have."""

    def __init__(self, pages: Pages, routes: Sequence[Route], public_url: str) -> None:
        self._pages = pages
        own = self.routes()
        self._openapi = msgspec.Raw(msgspec.json.encode(document([*routes, *own], public_url)))

    def routes(self) -> list[Route]:
        """Return the calls with their paths and bodies."""
        return [
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
                "/problems/{type}",
                self.problem,
                "What a type of problem means",
                "anybody",
                answers={200: "text/plain"},
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

    async def openapi(self, request: web.BaseRequest) -> web.StreamResponse:
        """Give the OpenAPI document."""
        wanted(request.headers.get("Accept"))
        return JSON.raw(self._openapi)

    async def problem(self, request: web.BaseRequest, type: str) -> web.StreamResponse:
        """Explain the type of a problem: its URL is what :func:`gateway.http.problems.describe` writes."""
        text = EXPLAINED.get(type)
        if text is None:
            raise NoSuchPath("There is no such type of problem.")
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Server": "rcsgw"}
        body = f"{type}\n\n{fill(text, LINE)}\n"
        return web.Response(text=body, content_type="text/plain", charset="utf-8", headers=headers)

    async def file(self, request: web.BaseRequest, file: str) -> web.StreamResponse:
        """Give a file of the page."""
        return self._pages.file(file, request)
