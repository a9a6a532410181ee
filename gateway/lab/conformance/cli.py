"""``rcsgw conformance``: list the cases, run them, state what the gateway implements."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.lab.conformance.case import ROLES, BadCase, Case
from gateway.lab.conformance.collect import BadSelection, Selection, load_folder, own_cases, unique
from gateway.lab.conformance.options import DEFAULT_T1, Credentials, Options
from gateway.lab.conformance.session import Plan, Session
from gateway.lab.conformance.sipp import load_scenarios
from gateway.lab.conformance.target import BadTarget
from gateway.lab.run import parse_host_port

PIPE_WIDTH = 240
"""Columns of a table that goes into a pipe or a file."""

FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)

Command = Callable[..., None]


def selection_options(command: Command) -> Command:
    """Add the options by which cases are chosen."""
    for option in (
        click.option(
            "--cases", "folders", type=FOLDER, multiple=True, help="Cases of your own: *.py and *.toml there."
        ),
        click.option("--role", "roles", multiple=True, type=click.Choice(list(ROLES)), help="What the target is."),
        click.option("--case", "case_ids", multiple=True, metavar="ID", help="This case; may hold * and ?."),
        click.option(
            "--suite", "suites", multiple=True, metavar="NAME", help="This suite, such as sip or sip.dialogs."
        ),
    ):
        command = option(command)
    return command


@click.group()
def conformance() -> None:
    """Test a SIP/MSRP element, or the gateway, against the standards.

    `rcsgw conformance run --target sip:192.0.2.1:5060` tries whatever answers there; docs/conformance-runner.md has the
    rest.
    """


@conformance.command("list")
@selection_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def list_command(
    suites: tuple[str, ...], case_ids: tuple[str, ...], roles: tuple[str, ...], folders: tuple[Path, ...], as_json: bool
) -> None:
    """List cases: id, standard, roles, purpose."""
    cases = _chosen(Selection(suites, case_ids, roles), folders)
    if as_json:
        click.echo(json.dumps([_as_dict(case) for case in cases], indent=1, ensure_ascii=False))
        return
    table = Table("case", "suite", "standard", "role", "purpose", box=None, header_style="bold")
    for case in cases:
        marks = "".join(f" ({word})" for word, there in (("slow", case.slow), ("risky", case.risky)) if there)
        table.add_row(case.id, case.suite, case.reference, ", ".join(sorted(case.roles)), escape(case.purpose + marks))
    console = _console()
    console.print(table)
    console.print(f"{len(cases)} cases", highlight=False)


@conformance.command("run")
@click.option(
    "--target",
    required=True,
    metavar="URI",
    help="SIP URI of what is tested (msrp: of a relay); `gateway`: one that is started for it.",
)
@selection_options
@click.option(
    "--to", metavar="URI", default="", help="Address of record that requests go to, where it is not the target."
)
@click.option("--ringing", metavar="URI", help="Somebody there who does not answer a call for some seconds.")
@click.option("--listen", metavar="HOST:PORT", help="Where the target calls us; default: a free port.")
@click.option("--identity", metavar="URI", help="Who we are; default: made up.")
@click.option("--user", metavar="NAME", help="Digest username for the target's registrar and proxies.")
@click.option("--password", envvar="CONFORMANCE_PASSWORD", help="Its password; better in CONFORMANCE_PASSWORD.")
@click.option("--realm", help="Realm to answer to; default: any.")
@click.option("--at", metavar="HOST:PORT", help="Where the target is reached, if not where its URI leads.")
@click.option("--trigger", metavar="COMMAND", help="Makes the target act; {action}, {uri}, {address} are filled in.")
@click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="On all requests outside of dialogs.")
@click.option(
    "--media", type=click.Choice(["audio", "msrp"]), default="audio", show_default=True, help="What calls offer."
)
@click.option(
    "--transport", type=click.Choice(["udp", "tcp"]), default="udp", help="With `--target gateway`: its core's."
)
@click.option(
    "--t1", type=click.FloatRange(0.01, 10), default=DEFAULT_T1, show_default=True, help="The target's T1, seconds."
)
@click.option("--slow", is_flag=True, help="Run cases that take a minute and longer, too.")
@click.option("--vectors", type=FOLDER, help="The messages of RFC 4475 and RFC 5118 as files.")
@click.option("--sipp", "sipp_folder", type=FOLDER, help="SIPp scenarios (*.xml) to run as well.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of all that is random.")
@click.option(
    "--mutations", type=click.IntRange(1, 100_000), default=200, show_default=True, help="By each case of robustness."
)
@click.option(
    "--rate", type=click.FloatRange(1, 1000), default=100.0, show_default=True, help="Mutations a second at most."
)
@click.option("--junit", type=FILE, help="Write JUnit XML.")
@click.option("--json", "json_file", type=FILE, help="Write JSON.")
@click.option("--html", type=FILE, help="Write one HTML page with ladders and messages of what did not pass.")
@click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), help="Keep the gateway's configuration and log."
)
def run_command(**given: Any) -> None:
    """Run cases against a target, and say what became of each.

    Exit status: 0 all cases that apply have passed; 1 some have not, or could not be run; 2 the run made no sense.
    """
    try:
        plan = _plan(given)
        session = Session(plan, _console())
        report = asyncio.run(session.run())
    except (BadTarget, BadCase, ValueError) as error:
        raise _usage(error) from None
    except OSError as error:
        raise _usage(f"{error.strerror or error}") from None
    for name, write in (("junit", session.junit), ("json_file", session.json), ("html", session.html)):
        if given[name] is not None:
            given[name].write_text(write(report), encoding="utf-8")
    raise SystemExit(session.status)


def _plan(given: dict[str, Any]) -> Plan:
    selection = Selection(given["suites"], given["case_ids"], given["roles"])
    cases = _chosen(selection, given["folders"], given["sipp_folder"])
    credentials = None
    if given["user"]:
        if given["password"] is None:
            raise ValueError("--user needs a password: CONFORMANCE_PASSWORD or --password")
        credentials = Credentials(given["user"], given["password"], given["realm"])
    options = Options(
        t1=given["t1"],
        credentials=credentials,
        identity=given["identity"],
        headers=tuple(map(_header, given["headers"])),
        media=given["media"],
        vectors=given["vectors"],
        seed=given["seed"],
        slow=given["slow"],
        mutations=given["mutations"],
        rate=given["rate"],
    )
    return Plan(
        target=given["target"],
        selection=selection,
        cases=cases,
        options=options,
        listen=parse_host_port(given["listen"]) if given["listen"] else None,
        at=parse_host_port(given["at"]) if given["at"] else None,
        to=given["to"],
        ringing=given["ringing"],
        trigger=given["trigger"],
        transport=given["transport"].upper(),
        folder=given["folder"],
    )


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise ValueError(f"--header {text!r} is not 'NAME: VALUE'")
    return name.strip(), value.strip()


@conformance.command()
@click.option("--csv", "as_csv", is_flag=True, help="CSV instead of Markdown.")
@click.option("--report", type=FILE, help="JSON report of a run, for the last verdicts.")
@click.option("--statement", type=FILE, help="docs/conformance.md of another version.")
@click.option("--cases", "folders", type=FOLDER, multiple=True, help="Cases of your own: *.py and *.toml there.")
def pics(as_csv: bool, report: Path | None, statement: Path | None, folders: tuple[Path, ...]) -> None:
    """Print the implementation conformance statement of the gateway.

    One line a rule: standard, clause, feature, whether it is supported, the cases that show it, their last verdict.
    """
    from gateway.lab.conformance import pics as statements

    try:
        rows = statements.rows(_chosen(Selection(cases=("*",)), folders), statement, report)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(statements.as_csv(rows) if as_csv else statements.as_markdown(rows), nl=False)


# what they share


def _chosen(selection: Selection, folders: Iterable[Path], scenarios: Path | None = None) -> list[Case]:
    try:
        found = [*own_cases(), *(case for folder in folders for case in load_folder(folder))]
        if scenarios is not None:
            found += load_scenarios(scenarios)
        return selection.pick(unique(found))
    except (BadCase, BadSelection) as error:
        raise _usage(error) from None


def _usage(error: object) -> click.ClickException:
    return click.UsageError(str(error))


def _as_dict(case: Case) -> dict[str, object]:
    return {
        "id": case.id,
        "suite": case.suite,
        "reference": case.reference,
        "roles": sorted(case.roles),
        "rules": list(case.rules),
        "transports": list(case.transports),
        "purpose": case.purpose,
        "expects": case.expects,
        "slow": case.slow,
        "risky": case.risky,
        "source": case.source,
    }


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=PIPE_WIDTH, highlight=False)
