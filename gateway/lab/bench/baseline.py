"""The baseline: a bare aiohttp handler that parses the same JSON and answers as much."""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import web

from gateway.lab.run import ready
from translators.model import MessageAnswer, MessageRequest

_decoder = msgspec.json.Decoder(MessageRequest)
_encoder = msgspec.json.Encoder()


async def handle(request: web.Request) -> web.Response:
    """Parse a message, answer ``sent``."""
    message = _decoder.decode(await request.read())
    answer = MessageAnswer(id=message.to, state="sent")
    return web.Response(body=_encoder.encode(answer), content_type="application/json")


async def serve() -> None:
    """Listen on a free port until killed."""
    app = web.Application()
    app.router.add_post("/rcsgw/invitee/message", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    ready("baseline", http=runner.addresses[0][:2])
    await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.run(serve())
    except ImportError:
        asyncio.run(serve())
