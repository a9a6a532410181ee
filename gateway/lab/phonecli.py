"""The phone as a program: in a terminal for people, or with JSON lines and HTTP control for other programs."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from gateway.lab.admin import AdminServer
from gateway.lab.behaviour import FILES, ON_FILE, ON_INVITE, ON_MESSAGE, RECEIPTS, Behaviour
from gateway.lab.inviter import Inviter
from gateway.lab.phone import Phone, PhoneEvent, PhoneOptions, explain
from gateway.lab.phonecontrol import build_app
from gateway.lab.play import Player, ScriptFailed
from gateway.lab.run import emit, parse_host_port, ready, serve_until_signal, trace_option
from gateway.lab.script import Script, ScriptError, load
from gateway.lab.terminal import Terminal
from gateway.lab.tui.book import ContactFile
from sipstack.errors import SipstackError
from sipstack.sip.uri import Uri
from sipstack.trace import Trace


@dataclass(slots=True)
class ControlledPhone:
    """A phone and the HTTP server that drives it, as one service."""

    phone: Phone
    host: str
    port: int
    admin: AdminServer = field(init=False)

    async def start(self) -> None:
        """Register, then listen."""
        self.admin = AdminServer(build_app(self.phone), self.host, self.port)
        await self.phone.start()
        await self.admin.start()

    async def close(self) -> None:
        """Stop both."""
        await self.admin.close()
        await self.phone.close()


MODES = {
    "control": Behaviour(),
    "lines": Behaviour(on_message="accept"),
    "screen": Behaviour(on_invite="ask", on_message="accept", on_file="ask", receipts="seen"),
    "script": Behaviour(on_invite="ask", on_message="accept", on_file="ask"),
}
"""What the phone does by itself, where no option says otherwise."""


def parse_action(text: str) -> str | int:
    """Return a number as status, anything else as the name of an action."""
    return int(text) if text.isdecimal() else text


@click.command()
@click.option("--aor", default="sip:a@cc.com", show_default=True, help="Public identity.")
@click.option(
    "--password", envvar="RCSGW_PHONE_PASSWORD", default="", help="Password of A; or from RCSGW_PHONE_PASSWORD."
)
@click.option("--username", default="", help="Private identity; the user part of --aor when not given.")
@click.option(
    "--proxy", default="", metavar="URI", help="Outbound proxy, such as 'sip:127.0.0.1:5060;transport=tcp;lr'."
)
@click.option("--name", default=None, help="Display name.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address for SIP and MSRP.")
@click.option("--port", default=0, help="SIP port; 0: a free one.")
@click.option("--msrp-port", default=0, help="MSRP port; 0: a free one.")
@click.option("--on-invite", help=f"{', '.join(ON_INVITE)}, or a SIP status; on the screen and in scripts ask.")
@click.option("--on-message", help=f"{', '.join(ON_MESSAGE)}, or an MSRP status; with --control echo, else accept.")
@click.option("--line", "lines", multiple=True, help="A line for --on-message script; may be repeated.")
@click.option(
    "--receipts", type=click.Choice(RECEIPTS), help="What it tells who asks; on the screen seen, else display."
)
@click.option("--on-file", help=f"{', '.join(ON_FILE)}, or a SIP status; on the screen and in scripts ask.")
@click.option("--files", type=click.Choice(FILES), default="both", show_default=True, help="How it takes files.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="For files that come; gone at the end if not given.",
)
@click.option("--content-server", default="", metavar="URL", help="Where files go whose links are sent.")
@click.option("--no-sessions", is_flag=True, help="A device without session mode: SIP MESSAGE only.")
@click.option("--plain", is_flag=True, help="Line by line instead of a screen.")
@click.option("--contacts", type=click.Path(dir_okay=False, path_type=Path), help="File that keeps the contacts.")
@click.option("--script", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Play this, then end.")
@click.option("--json", "as_json", is_flag=True, help="With --script: what happens as JSON lines.")
@click.option("--control", metavar="HOST:PORT", help="No terminal: driven by HTTP here, events as JSON lines.")
@click.option("--quiet", is_flag=True, help="With --control: only the line that says ready.")
@click.option("--cutter", is_flag=True, help="MSRP over a wire that PUT /behaviour {cut_after} can cut.")
@click.option("--gateway", default="", metavar="URL", help="Gateway to invite by, such as http://127.0.0.1:8080.")
@click.option("--uid", default="", help="User for the gateway; the user part of --aor when not given.")
@trace_option("A's phone")
def main(
    aor: str,
    password: str,
    username: str,
    proxy: str,
    name: str | None,
    host: str,
    port: int,
    msrp_port: int,
    on_invite: str | None,
    on_message: str | None,
    lines: tuple[str, ...],
    receipts: str | None,
    on_file: str | None,
    files: str,
    folder: Path | None,
    content_server: str,
    no_sessions: bool,
    plain: bool,
    contacts: Path | None,
    script: Path | None,
    as_json: bool,
    control: str | None,
    quiet: bool,
    cutter: bool,
    gateway: str,
    uid: str,
    trace: Trace | None,
) -> None:
    """A's phone: registers, chats, sends files, invites.

    In a terminal it has a screen (extra `tui`), or goes line by line. With --script it plays a script: exit status 0
    when all of it went well, 1 when not, 2 when it can't be read. With --control other programs drive it.
    """
    if control is not None:
        mode = "control"
    elif script is not None:
        mode = "script"
    else:
        mode = terminal_mode(plain=plain, is_terminal=sys.stdin.isatty() and sys.stdout.isatty())
    given = {"on_invite": on_invite, "on_message": on_message, "on_file": on_file}
    changes: dict[str, Any] = {key: parse_action(value) for key, value in given.items() if value is not None}
    changes |= {} if receipts is None else {"receipts": receipts}
    try:
        behaviour = replace(MODES[mode], **changes, script=lines, files=files, sessions=not no_sessions)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    options = PhoneOptions(aor, password, username, proxy, name, host, port, msrp_port)
    options.behaviour, options.cutter = behaviour, cutter
    options.folder, options.content_server = folder, content_server
    inviter = _inviter(gateway, uid or aor.removeprefix("sip:").partition("@")[0], password)
    try:
        if control is not None:
            _run_controlled(options, control, quiet, trace)
        elif script is not None:
            asyncio.run(_run_script(options, _script(script), inviter, as_json, trace))
        elif mode == "screen":
            asyncio.run(_run_screen(options, inviter, _contacts(contacts), trace))
        else:
            asyncio.run(_run_lines(options, inviter, trace))
    except SipstackError as error:
        hint = "" if proxy else " (no --proxy was given)"
        raise click.ClickException(f"cannot register: {explain(error)}{hint}") from None
    except ScriptFailed as error:
        raise click.ClickException(str(error)) from None


def terminal_mode(*, plain: bool, is_terminal: bool) -> str:
    """Return ``screen`` where there can be one, else ``lines``; say so where only a package is missing."""
    if plain or not is_terminal:
        return "lines"
    if importlib.util.find_spec("textual") is None:
        click.echo("The phone's screen needs textual: pip install 'rcsgw[tui]'. Going on line by line.", err=True)
        return "lines"
    return "screen"


def _inviter(gateway: str, user: str, password: str) -> Inviter | None:
    try:
        return Inviter(gateway, user, password) if gateway else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--gateway") from None


def _script(path: Path) -> Script:
    try:
        return load(path)
    except (ScriptError, OSError) as error:
        raise click.UsageError(str(error)) from None


def _run_controlled(options: PhoneOptions, control: str, quiet: bool, trace: Trace | None) -> None:
    phone = Phone(options, on_event=None if quiet else tell_as_json, trace=trace)
    service = ControlledPhone(phone, *parse_host_port(control))
    serve_until_signal(service, lambda: ready("phone", sip=phone.address, http=service.admin.address))


def tell_as_json(event: PhoneEvent) -> None:
    """Write an event as a JSON line."""
    fields = event.view()
    emit(fields.pop("kind"), **fields)


@asynccontextmanager
async def _started(phone: Phone) -> AsyncIterator[Phone]:
    try:
        await phone.start()
        yield phone
    finally:
        await phone.close()


async def _run_script(
    options: PhoneOptions, script: Script, inviter: Inviter | None, as_json: bool, trace: Trace | None
) -> None:
    def tell(words: str) -> None:
        if as_json:
            emit("step", text=words.strip())
        else:
            click.echo(words)

    phone = Phone(options, on_event=tell_as_json if as_json else None, trace=trace)
    player = Player(script, phone, inviter, tell)
    async with _started(phone):
        if as_json:
            ready("phone", sip=phone.address)
        await player.play()


async def _run_lines(options: PhoneOptions, inviter: Inviter | None, trace: Trace | None) -> None:
    terminal = Terminal(inviter=inviter)
    terminal.phone = Phone(options, on_event=terminal.show, trace=trace)
    async with _started(terminal.phone):
        await terminal.run()


def _contacts(path: Path | None) -> ContactFile | None:
    try:
        return None if path is None else ContactFile(path)
    except (ValueError, OSError) as error:
        raise click.BadParameter(str(error), param_hint="--contacts") from None


async def _run_screen(
    options: PhoneOptions, inviter: Inviter | None, contacts: ContactFile | None, trace: Trace | None
) -> None:
    from gateway.lab.tui.app import PhoneApp
    from gateway.lab.tui.ladder import Tape

    proxy = Uri.parse(options.proxy).host_port if options.proxy else None
    tape = Tape(None if proxy is None or proxy[1] is None else (proxy[0], proxy[1]))
    recorder = Trace("phone", tape, time.time) if trace is None else trace.also(tape)
    async with _started(Phone(options, trace=recorder)) as phone:
        await PhoneApp(phone, tape, inviter=inviter, contacts=contacts).run_async()


if __name__ == "__main__":
    main()
