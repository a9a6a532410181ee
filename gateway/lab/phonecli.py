"""The phone as a program: in a terminal for people, or with JSON lines and HTTP control for other programs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import click

from gateway.lab.admin import AdminServer
from gateway.lab.behaviour import FILES, ON_FILE, ON_INVITE, ON_MESSAGE, RECEIPTS, Behaviour
from gateway.lab.inviter import Inviter
from gateway.lab.phone import Phone, PhoneEvent, PhoneOptions, explain
from gateway.lab.phonecontrol import build_app
from gateway.lab.run import emit, parse_host_port, ready, serve_until_signal, trace_option
from gateway.lab.terminal import Terminal
from sipstack.errors import SipstackError
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
@click.option("--on-invite", default="accept", show_default=True, help=f"{', '.join(ON_INVITE)}, or a SIP status.")
@click.option(
    "--on-message",
    default=None,
    help=f"{', '.join(ON_MESSAGE)}, or an MSRP status; in the terminal accept, with --control echo when not given.",
)
@click.option("--line", "script", multiple=True, help="A line for --on-message script; may be repeated.")
@click.option(
    "--receipts", type=click.Choice(RECEIPTS), default="display", show_default=True, help="What it tells who asks."
)
@click.option("--on-file", default="accept", show_default=True, help=f"{', '.join(ON_FILE)}, or a SIP status.")
@click.option("--files", type=click.Choice(FILES), default="both", show_default=True, help="How it takes files.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="For files that come; gone at the end if not given.",
)
@click.option("--content-server", default="", metavar="URL", help="Where files go whose links are sent.")
@click.option("--no-sessions", is_flag=True, help="A device without session mode: SIP MESSAGE only.")
@click.option("--control", metavar="HOST:PORT", help="No terminal: driven by HTTP here, events as JSON lines.")
@click.option("--quiet", is_flag=True, help="With --control: only the line that says ready.")
@click.option("--cutter", is_flag=True, help="MSRP over a wire that PUT /behaviour {cut_after} can cut.")
@click.option("--gateway", default="", metavar="URL", help="Gateway for /invite, such as http://127.0.0.1:8080.")
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
    on_invite: str,
    on_message: str | None,
    script: tuple[str, ...],
    receipts: str,
    on_file: str,
    files: str,
    folder: Path | None,
    content_server: str,
    no_sessions: bool,
    control: str | None,
    quiet: bool,
    cutter: bool,
    gateway: str,
    uid: str,
    trace: Trace | None,
) -> None:
    """A's phone: registers, is online, receives and answers chats; in the terminal it also invites."""
    try:
        act = on_message or ("accept" if control is None else "echo")
        behaviour = Behaviour(
            parse_action(on_invite),
            parse_action(act),
            script,
            receipts,
            files,
            parse_action(on_file),
            sessions=not no_sessions,
        )
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    options = PhoneOptions(aor, password, username, proxy, name, host, port, msrp_port)
    options.behaviour, options.cutter = behaviour, cutter
    options.folder, options.content_server = folder, content_server
    try:
        if control is not None:
            _run_controlled(options, control, quiet, trace)
        else:
            user = uid or aor.removeprefix("sip:").partition("@")[0]
            asyncio.run(_run_terminal(options, _inviter(gateway, user, password), trace))
    except SipstackError as error:
        hint = "" if proxy else " (no --proxy was given)"
        raise click.ClickException(f"cannot register: {explain(error)}{hint}") from None


def _inviter(gateway: str, user: str, password: str) -> Inviter | None:
    try:
        return Inviter(gateway, user, password) if gateway else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--gateway") from None


def _run_controlled(options: PhoneOptions, control: str, quiet: bool, trace: Trace | None) -> None:
    def tell(event: PhoneEvent) -> None:
        fields = event.view()
        emit(fields.pop("kind"), **fields)

    phone = Phone(options, on_event=None if quiet else tell, trace=trace)
    service = ControlledPhone(phone, *parse_host_port(control))
    serve_until_signal(service, lambda: ready("phone", sip=phone.address, http=service.admin.address))


async def _run_terminal(options: PhoneOptions, inviter: Inviter | None, trace: Trace | None) -> None:
    terminal = Terminal(inviter=inviter)
    terminal.phone = Phone(options, on_event=terminal.show, trace=trace)
    try:
        await terminal.phone.start()
        await terminal.run()
    finally:
        await terminal.phone.close()


if __name__ == "__main__":
    main()
