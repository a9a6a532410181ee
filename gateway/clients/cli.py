"""``rcsgw guest``: the standalone client of an invited person."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import aclosing
from typing import Any

import click

from gateway.clients.codec import Codec, Json, Xml
from gateway.clients.errors import ClientError
from gateway.clients.jsonlines import JsonLines
from gateway.clients.link import InviteLink
from gateway.clients.rcsguest import RcsGuest
from gateway.terminal.stdin import standard_input


@click.command(short_help="Chat as the invited person, in a terminal.")
@click.argument("link")
@click.option("--json", "as_json", is_flag=True, help="Commands in and events out as JSON, one object a line.")
@click.option("--xml", is_flag=True, help="Speak XML with the gateway instead of JSON.")
@click.option("--poll", is_flag=True, help="Fetch events by long polls instead of a stream.")
@click.option("--secret", envvar="RCSGW_SECRET", help="Password of the invitation, if the link does not carry it.")
def main(link: str, as_json: bool, xml: bool, poll: bool, secret: str | None) -> None:
    """Open the invitation LINK: https://…, or rcsgw://… as the web page's button has it.

    Leaving the program does not log out: the link opens the conversation again until the invitation ends.
    """
    try:
        parsed = InviteLink.parse(link)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if not as_json:
        _need_terminal()
        if not (secret or parsed.secret or parsed.token):
            secret = click.prompt("Password of the invitation", hide_input=True)
    guest = RcsGuest(link, secret=secret or "", codec=_codec(xml))
    status = 0
    try:
        if as_json:
            why = asyncio.run(_json_lines(guest, poll))
        else:
            why, status = asyncio.run(_screen(guest, poll))
    except ClientError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        return
    if why:
        click.echo(why, err=True)
    sys.exit(status)


def _need_terminal() -> None:
    """End the program where no screen can be drawn."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") == "dumb":
        raise click.ClickException("the screen needs a terminal that can place text; use --json without one")


def _codec(xml: bool) -> Codec:
    return Xml() if xml else Json()


async def _screen(guest: RcsGuest, polls: bool) -> tuple[str, int]:
    """Return why it ended and the exit status: 1 where the link opened nothing."""
    try:
        from gateway.clients.tui.app import GuestApp
    except ModuleNotFoundError as error:
        raise ClientError("the terminal client needs textual: pip install 'rcsgw[tui]'; or use --json") from error
    async with aclosing(guest):
        app = GuestApp(guest, polls=polls)
        why = await app.run_async() or ""
        return why, app.return_code or 0


async def _json_lines(guest: RcsGuest, polls: bool) -> str:
    def write(line: dict[str, Any]) -> None:
        print(json.dumps(line, ensure_ascii=False), flush=True)

    async with guest:
        why = await JsonLines(guest, write).run(standard_input(), polls=polls)
    return "" if why == "end-of-input" else f"The session is over: {why}."
