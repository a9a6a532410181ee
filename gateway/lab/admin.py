"""What the small HTTP servers of the lab share: start, stop, JSON in and out. For loopback; nothing is protected."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from sipstack.flow import HostPort, join_host_port


class AdminServer:
    """Serves an aiohttp application on one address; ``address`` is known after :meth:`start`."""

    def __init__(self, app: web.Application, host: str = "127.0.0.1", port: int = 0) -> None:
        self._runner = web.AppRunner(app, access_log=None)
        self._wanted = host, port
        self.address: HostPort = (host, port)

    @property
    def url(self) -> str:
        """``http://host:port`` without slash at the end."""
        return f"http://{join_host_port(self.address)}"

    async def start(self) -> None:
        """Listen. OSError when the port is taken."""
        await self._runner.setup()
        await web.TCPSite(self._runner, *self._wanted).start()
        host, port = self._runner.addresses[0][:2]
        self.address = (host, port)

    async def close(self) -> None:
        """Stop listening and end open requests."""
        await self._runner.cleanup()


async def read_json(request: web.Request) -> dict[str, Any]:
    """Return the JSON object in the body; 400 with a text when it is none."""
    try:
        body = await request.json()
    except ValueError:
        raise web.HTTPBadRequest(text="the body is no JSON") from None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="the body is no JSON object")
    return body
