"""``rcsgw guest``: the standalone client of an invited person."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Any

import click

from gateway.clients.codec import Codec, Json, Xml
from gateway.clients.errors import ClientError
from gateway.clients.jsonlines import JsonLines
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
        guest = RcsGuest(link, secret=secret or "", codec=_codec(xml))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    try:
        why = asyncio.run(_json_lines(guest, poll) if as_json else _screen(guest, poll))
    except ClientError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        return
    if why:
        click.echo(why, err=True)


def _codec(xml: bool) -> Codec:
    return Xml() if xml else Json()


async def _screen(guest: RcsGuest, polls: bool) -> str:
    try:
        from gateway.clients.tui.app import GuestApp
    except ModuleNotFoundError as error:
        raise ClientError("the terminal client needs textual: pip install 'rcsgw[tui]'; or use --json") from error
    async with aclosing(guest):
        return await GuestApp(guest, polls=polls).run_async() or ""


async def _json_lines(guest: RcsGuest, polls: bool) -> str:
    def write(line: dict[str, Any]) -> None:
        print(json.dumps(line, ensure_ascii=False), flush=True)

    async with guest:
        return f"The session is over: {await JsonLines(guest, write).run(standard_input(), polls=polls)}."
