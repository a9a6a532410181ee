"""The baselines: bare aiohttp handlers that parse the same JSON and answer as much, without doing anything."""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import web

from gateway.lab.run import loop_factory, ready
from translators.model import MessageAnswer, MessageRequest, StatusAnswer

_decoder = msgspec.json.Decoder(MessageRequest)
_encoder = msgspec.json.Encoder()


async def handle(request: web.Request) -> web.Response:
    """Parse a message, answer ``sent``."""
    message = _decoder.decode(await request.read())
    answer = MessageAnswer(id=message.to, state="sent")
    return web.Response(body=_encoder.encode(answer), content_type="application/json")


async def status(request: web.Request) -> web.Response:
    """Answer a status that nobody asked the network for."""
    sip = request.match_info["inviter"]
    answer = StatusAnswer(sip=sip, uid="a", status="online", services=["im"], at="2026-01-01T00:00:00.000Z")
    return web.Response(body=_encoder.encode(answer), content_type="application/json")


async def serve() -> None:
    """Listen on a free port until killed."""
    app = web.Application()
    app.router.add_post("/rcsgw/invitee/message", handle)
    app.router.add_get("/rcsgw/invitee/status/{inviter}", status)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    ready("baseline", http=runner.addresses[0][:2])
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve())
