"""Switches that make a lab server fail on purpose: refuse a method, or not answer at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from gateway.lab.admin import read_json
from sipstack.net.endpoint import Endpoint
from sipstack.sip.message import Request
from sipstack.sip.transaction import ServerTransaction

ANY = "*"
"""Stands for every method."""


class Faults:
    """What fails now. ``{"answers": {"INVITE": 403}, "silent": ["REGISTER"]}``; ``*`` is every method.

    Only requests outside of dialogs are concerned, so that a conversation which stands can still be ended.
    """

    def __init__(self) -> None:
        self.answers: dict[str, int] = {}
        self.silent: set[str] = set()

    def set(self, switches: Mapping[str, Any]) -> None:
        """Replace all switches; an empty mapping heals. ValueError when it makes no sense."""
        answers = {str(method).upper(): int(status) for method, status in dict(switches.get("answers", {})).items()}
        if any(not 300 <= status <= 699 for status in answers.values()):
            raise ValueError("a status is not between 300 and 699")
        silent = switches.get("silent", [])
        if not isinstance(silent, bool | list) or set(switches) - {"answers", "silent"}:
            raise ValueError("the switches are answers and silent (a list of methods, or true for all)")
        self.answers = answers
        self.silent = (
            ({ANY} if silent else set()) if isinstance(silent, bool) else {str(name).upper() for name in silent}
        )

    def get(self) -> dict[str, Any]:
        """Return the switches in the form that :meth:`set` takes."""
        return {"answers": self.answers, "silent": sorted(self.silent)}

    def take(self, endpoint: Endpoint, transaction: ServerTransaction, request: Request) -> bool:
        """Fail ``request`` if a switch says so; False: serve it."""
        if request.to.tag is not None or not (self.answers or self.silent):
            return False
        if request.method in self.silent or ANY in self.silent:
            endpoint.transactions.forget(transaction, endpoint.timers.time())
            return True
        status = self.answers.get(request.method, self.answers.get(ANY))
        if status is None:
            return False
        endpoint.reply(transaction, status)
        return True

    def add_routes(self, app: web.Application) -> None:
        """Serve GET, PUT and DELETE ``/faults``."""

        async def get(_: web.Request) -> web.Response:
            return web.json_response(self.get())

        async def put(request: web.Request) -> web.Response:
            try:
                self.set(await read_json(request))
            except (TypeError, ValueError) as error:
                raise web.HTTPBadRequest(text=str(error)) from None
            return web.json_response(self.get())

        async def delete(_: web.Request) -> web.Response:
            self.set({})
            return web.json_response(self.get())

        app.add_routes([web.get("/faults", get), web.put("/faults", put), web.delete("/faults", delete)])
