"""The command line: ``rcsgw``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from gateway.accountscli import accounts
from gateway.clients.cli import main as guest
from gateway.config.options import config_option, configured, set_option
from gateway.config.settings import Config
from gateway.lab.conformance.cli import conformance
from gateway.lab.phonecli import main as phone
from gateway.lab.run import loop_factory, open_trace
from gateway.lab.trace.cli import trace
from sipstack.trace import Trace

SWITCH_INTERVAL = 0.001
"""Seconds after which a busy event loop lets the store's writer have the interpreter. With Python's 5 ms, each
statement of a commit could wait as long, and every message of its batch with it."""

LAB_CONFIG = Path(__file__).resolve().parents[1] / "config" / "lab.toml"
"""The lab's own configuration, wherever the command is run."""

LEVEL = click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False)

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


OUR_LOGS = ("rcsgw", "sipstack", "gateway")


def log_at(level: str) -> None:
    """Log to standard error. DEBUG is for ours: what libraries say there holds mails, statements and passwords."""
    threshold = logging.getLevelNamesMapping()[level]
    logging.basicConfig(level=max(threshold, logging.INFO), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    for name in OUR_LOGS:
        logging.getLogger(name).setLevel(threshold)


@click.group(context_settings=CONTEXT)
@click.version_option(package_name="rcsgw", prog_name="rcsgw")
def main() -> None:
    """SIP/MSRP translating gateway: an IMS subscriber chats with anybody who can open a link.

    Begin with `rcsgw lab`, which runs an embedded core, a gateway and a phone that answers.
    """


@main.command()
@config_option
@set_option
@click.option("--loop", type=click.Choice(["auto", "asyncio", "uvloop"]), default="auto", help="Event loop to use.")
def serve(config_path: Path, overrides: tuple[str, ...], loop: str) -> None:
    """Run the gateway until SIGTERM or Ctrl-C."""
    config = configured(config_path, overrides)
    log_at(config.log.level)
    with open_trace(config.file(config.log.trace) if config.log.trace else None, "gateway") as trace:
        _run_gateway(config, trace, loop)


def _run_gateway(config: Config, trace: Trace | None, loop: str) -> None:
    from gateway.app import serve as serve_gateway
    from gateway.drivers import DriverError
    from gateway.secrets import SecretsError
    from gateway.storage.errors import StoreError

    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
            runner.run(serve_gateway(config, trace=trace))
    except (OSError, DriverError, SecretsError, StoreError) as error:
        raise click.ClickException(str(error)) from error


@main.command(short_help="Run a core, an IM server, a mailbox, a gateway and A's phone, to try things.")
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=LAB_CONFIG,
    show_default="config/lab.toml",
    metavar="FILE",
    help="Configuration; the parts of the lab listen where it expects them.",
)
@set_option
@click.option("--folder", type=click.Path(path_type=Path), help="Keep the lab's state here; in memory when not given.")
@click.option("--mailbox-port", default=8026, show_default=True, help="Port of the mailbox's page; 0: a free one.")
@click.option("--no-phone", is_flag=True, help="Leave the phone of A out.")
@click.option("--log", "level", type=LEVEL, default="WARNING", show_default=True, help="Level of what is logged.")
def lab(
    config_path: Path, overrides: tuple[str, ...], folder: Path | None, mailbox_port: int, no_phone: bool, level: str
) -> None:
    """Run an embedded core, an IM server, a mailbox, a gateway and a phone for A that answers.

    All of it is one process on loopback, to try things out; none of it is a core for production.
    """
    from gateway.labrun import run_lab

    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise click.ClickException(f"{folder}: {error.strerror or error}") from error
    stack = contextlib.ExitStack()
    # the store belongs to the core whose accounts it holds: both are kept, or neither
    home = folder / "gateway" if folder is not None else stack.enter_context(tempfile.TemporaryDirectory())
    config = configured(config_path, (f"gateway.data_dir={Path(home).resolve()}", *overrides))
    log_at(level)

    async def run() -> None:
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        with open_trace(config.file(config.log.trace) if config.log.trace else None, "gateway") as trace:
            await run_lab(
                config,
                stopped,
                folder=folder,
                mailbox_port=mailbox_port,
                with_phone=not no_phone,
                trace=lambda actor: None if trace is None else trace.of(actor),
            )

    try:
        with stack:
            asyncio.run(run())
    except OSError as error:
        raise click.ClickException(f"{error.strerror or error}; is a lab running already?") from error


phone.short_help = "Be A's phone in the terminal: receive and answer chats, invite people."
main.add_command(phone, "phone")
main.add_command(accounts, "accounts")
main.add_command(guest, "guest")
main.add_command(conformance, "conformance")
main.add_command(trace, "trace")


@main.group()
def config() -> None:
    """Look at configuration files."""


@config.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
def check(path: Path) -> None:
    """Name every mistake in a configuration file with its key and line."""
    configured(path)
    click.echo(f"{path}: ok")


@main.command(short_help="Try everything that the gateway needs, and say what is wrong.")
@config_option
@set_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--only", multiple=True, metavar="SEAM", help="Only this seam (core) or check (core.tcp), and its needs.")
@click.option("--timeout", type=click.FloatRange(min=0.1), metavar="SECONDS", help="Patience for each check.")
@click.option("--mail-to", default="", metavar="ADDRESS", help="Ask the mail server whether it takes mails to ADDRESS.")
def doctor(
    config_path: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    only: tuple[str, ...],
    timeout: float | None,
    mail_to: str,
) -> None:
    """Try every seam for real: store, names, certificates, public address, core, MSRP, users, servers that send links.

    A throw-away account is made known to the core, registered and taken away again; no message is sent to anybody.
    Works while the gateway runs, and before its first start. Exit status: 0 nothing failed, 1 something failed, 2 the
    configuration cannot be read.
    """
    from gateway.doctor import command

    try:
        config = configured(config_path, overrides)
    except click.UsageError:
        raise
    except click.ClickException as error:
        command.tell([command.unreadable(config_path, error.message)], json=as_json)
        raise SystemExit(command.UNREADABLE) from None
    verdict = command.examine_and_tell(config, only=only, timeout=timeout, mail_to=mail_to, json=as_json)
    raise SystemExit(command.SOMETHING_FAILED if verdict == "failed" else 0)


@main.group()
def provisioning() -> None:
    """Look at how accounts get known to the core and to interaction servers."""


@provisioning.command("dry-run")
@config_option
@set_option
@click.argument("identifier", default="guest@example.org")
def dry_run(config_path: Path, overrides: tuple[str, ...], identifier: str) -> None:
    """Say what an invitation of IDENTIFIER, an e-mail address or number, would do there; change nothing.

    Databases are looked at, so they have to answer; nothing is written, no HTTP request or SIP message is sent that
    could change anything, and secrets are shown as ***.
    """
    from gateway.drivers import DriverError
    from gateway.dryrun import dry_run as lines_of
    from gateway.secrets import SecretsError

    try:
        lines = asyncio.run(lines_of(configured(config_path, overrides), identifier))
    except (DriverError, SecretsError, OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    for line in lines:
        click.echo(line)


def _ask_password(context: click.Context, parameter: click.Parameter, value: str | None) -> str:
    """Return a password that was not given: asked for, or the first line of what is piped in."""
    if value is None and sys.stdin.isatty():
        value = click.prompt("Password", hide_input=True)
    password = value or sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise click.UsageError("there is no password: set RCSGW_PASSWORD, or pipe it in")
    return password


@main.command()
@click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="Where the gateway listens.")
@click.option("--user", required=True, help="UID or public identity of the inviting subscriber.")
@click.option(
    "--password",
    callback=_ask_password,
    envvar="RCSGW_PASSWORD",
    help="Asked for, or from RCSGW_PASSWORD, or the first line of standard input.",
)
@click.option("--type", "types", multiple=True, type=click.Choice(["im", "file"]), help="May be given more than once.")
@click.option(
    "--valid-for",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How long the invitation is valid.",
)
@click.option("--note", help="A line of your own.")
@click.option("--language", help="Language of what is sent, such as en or zh.")
@click.option("--via", type=click.Choice(["email", "sms", "mms"]), help="The only channel to use.")
@click.argument("identifier")
def invite(url: str, user: str, password: str, identifier: str, **options: Any) -> None:
    """Invite somebody by e-mail address or phone number."""
    import aiohttp

    from gateway.lab.inviter import InviteFailed, Inviter

    try:
        view = asyncio.run(Inviter(url, user, password).invite(identifier, **options))
    except TimeoutError:
        raise click.ClickException(f"{url} does not answer") from None
    except (InviteFailed, aiohttp.ClientError, OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{view['identifier']} is {view['account']}, {view['state']}, until {view['valid_until']}")
    if delivery := view.get("delivery"):
        why = f", {delivery['error']}" if "error" in delivery else ""
        click.echo(f"link by {delivery['channel']}: {delivery['state']}{why}")


if __name__ == "__main__":
    sys.exit(main())
