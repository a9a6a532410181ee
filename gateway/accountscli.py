"""``rcsgw accounts``: what an operator sees of accounts and does with them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.accounts import Known, NoSuchAccount, carry_out, opened
from gateway.audit import Comparison, Finding
from gateway.config.options import config_option, configured
from gateway.config.settings import Config
from gateway.drivers import DriverError
from gateway.secrets import SecretsError
from gateway.storage.errors import StoreError
from gateway.storage.historystore import Happened
from gateway.storage.invitationstore import Invited
from sipstack.errors import SipstackError

T = TypeVar("T")

DIFFERENCES = 1
"""Exit status of an audit that leaves differences."""

PIPE_WIDTH = 400
"""Columns of a table that goes into a pipe or a file: nothing of it is broken or cut there."""

NOT_COMPARED = 3
"""Exit status of an audit that could not look."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


@click.group()
def accounts() -> None:
    """Look at temporary accounts, end them, and find what was left behind.

    All of this works while the gateway runs, and while it does not.
    """


@accounts.command("list")
@config_option
@json_option
@click.option("--inviter", "uid", default="", metavar="UID", help="Only those that this subscriber has invited.")
def list_command(config_path: Path, as_json: bool, uid: str) -> None:
    """List all accounts."""
    config = configured(config_path)

    async def read() -> list[Known]:
        async with opened(config) as known:
            return await known.everything(uid)

    found = _run(read())
    if as_json:
        _print_json([_account(item) for item in found])
        return
    rows = [
        (
            item.account.uri,
            item.account.identifier,
            item.state,
            ", ".join(one.invitation.uid for one in item.invitations),
            _yes(item.account.provisioned),
            _yes(item.account.logged_in),
            _time(max((one.invitation.expires_at for one in item.invitations), default=0.0)),
        )
        for item in found
    ]
    _print_table(("account", "person", "state", "inviters", "in core", "logged in", "until"), rows)


@accounts.command()
@config_option
@json_option
@click.argument("name")
def show(config_path: Path, as_json: bool, name: str) -> None:
    """Show all about the account NAME: a SIP URI, an e-mail address or a number."""
    config = configured(config_path)

    async def read() -> tuple[Known, dict[str, bool], list[Happened]]:
        async with opened(config) as known:
            found = await known.find(name)
            return found, await known.registrations(found.account), await known.history(found.account.uri, -1)

    found, registrations, steps = _run(read())
    if as_json:
        servers = {kind: "registered" if done else "under way" for kind, done in registrations.items()}
        _print_json(_account(found) | {"registrations": servers, "history": [_step(step) for step in steps]})
        return
    account = found.account
    facts = [
        ("account", account.uri),
        ("private identity", f"{account.impi}, realm {account.realm}"),
        ("person", f"{account.identifier} ({account.identifier_kind})"),
        ("named by", account.origin),
        ("since", _time(account.created_at)),
        ("in core", _yes(account.provisioned)),
        ("at servers", ", ".join(f"{kind} {'' if done else '(under way)'}" for kind, done in registrations.items())),
        ("logged in", _yes(account.logged_in)),
    ]
    _print_table(("", ""), facts)
    _print_table(
        ("inviter", "state", "types", "since", "until", "first login", "link"),
        [_invitation_row(item) for item in found.invitations],
    )
    _print_steps(steps)


@accounts.command()
@config_option
@json_option
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="Newest steps to print.")
@click.argument("name", default="")
def history(config_path: Path, as_json: bool, limit: int, name: str) -> None:
    """Tell who did what and when: to the account NAME, its person, or by an inviter; without NAME all.

    Those who are gone are found by their names, too, though the store knows only keyed hashes of these.
    """
    config = configured(config_path)

    async def read() -> list[Happened]:
        async with opened(config) as known:
            return await known.history(name, limit)

    steps = _run(read())
    if as_json:
        _print_json([_step(step) for step in steps])
    else:
        _print_steps(steps)


@accounts.command()
@config_option
@click.option("--inviter", "uid", default="", metavar="UID", help="End only the invitation of this subscriber.")
@click.argument("name")
def revoke(config_path: Path, uid: str, name: str) -> None:
    """End the invitations of the account NAME; the account goes as after any end."""
    config = configured(config_path)
    click.echo(_run(carry_out(config, "revoke", _uri(config, name), uid)))


@accounts.command()
@config_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.argument("name")
def purge(config_path: Path, yes: bool, name: str) -> None:
    """Delete the account NAME now, even if core or servers cannot be told of it.

    What is left behind there is found by `rcsgw accounts audit`.
    """
    config = configured(config_path)
    uri = _uri(config, name)
    if not yes:
        click.confirm(f"Delete {uri} and its conversations?", abort=True)
    click.echo(_run(carry_out(config, "purge", uri)))


@accounts.command("audit")
@config_option
@json_option
@click.option("--fix", is_flag=True, help="Delete what belongs to nobody, make known again what is missing.")
@click.pass_context
def audit_command(context: click.Context, config_path: Path, as_json: bool, fix: bool) -> None:
    """Compare the store with the core and the interaction servers.

    Exit status: 0 when they agree (or do after --fix), 1 when something differs, 3 when they could not be compared.
    """
    config = configured(config_path)

    async def look() -> tuple[Comparison, Sequence[Finding]]:
        async with opened(config) as known:
            return await known.audit(fix=fix)

    try:
        comparison, left = _run(look())
    except click.ClickException as error:
        error.show()
        context.exit(NOT_COMPARED)
    if as_json:
        _print_json(_audit(comparison, left))
    else:
        _print_audit(comparison, left)
    context.exit(DIFFERENCES if left else 0)


# one call


def _uri(config: Config, name: str) -> str:
    """Return the SIP URI of the account that a name means."""

    async def find() -> str:
        async with opened(config) as known:
            return (await known.find(name)).account.uri

    return _run(find())


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Do it; end the program with one sentence where that is not possible."""
    try:
        return asyncio.run(work)
    except (NoSuchAccount, StoreError, SecretsError, DriverError, SipstackError, OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None


# what is printed


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(*columns, show_header=any(columns), box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(escape, row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)
    console.print(table)


def _print_steps(steps: Sequence[Happened]) -> None:
    rows = [
        (_time(step.at), step.actor, step.step, step.why, step.account, step.identifier, step.uid, step.detail)
        for step in steps
    ]
    _print_table(("at", "by", "what", "why", "account", "person", "inviter", "said"), rows)


def _print_audit(comparison: Comparison, left: Sequence[Finding]) -> None:
    if comparison.findings:
        rows = [(one.place, one.kind, one.name, "" if one in left else "put right") for one in comparison.findings]
        _print_table(("where", "what", "account", ""), rows)
    for place in comparison.silent:
        click.echo(f"{place}: cannot tell what it knows, not compared")
    if not comparison.findings:
        accounts = "1 account" if comparison.accounts == 1 else f"{comparison.accounts} accounts"
        click.echo(f"{accounts}, {'no differences' if comparison.compared else 'nothing to compare them with'}")


def _audit(comparison: Comparison, left: Sequence[Finding]) -> dict[str, Any]:
    findings = [
        {"place": one.place, "kind": one.kind, "name": one.name, "fixed": one not in left}
        for one in comparison.findings
    ]
    return {"accounts": comparison.accounts, "findings": findings, "not_compared": list(comparison.silent)}


def _account(known: Known) -> dict[str, Any]:
    account = known.account
    return {
        "account": account.uri,
        "impi": account.impi,
        "realm": account.realm,
        "identifier": account.identifier,
        "origin": account.origin,
        "created_at": _time(account.created_at),
        "state": known.state,
        "provisioned": account.provisioned,
        "logged_in": account.logged_in,
        "invitations": [_invitation(item) for item in known.invitations],
    }


def _invitation(item: Invited) -> dict[str, Any]:
    invitation, delivery = item.invitation, item.delivery
    return {
        "inviter": invitation.uid,
        "state": invitation.state,
        "reason": invitation.reason,
        "types": list(invitation.types),
        "created_at": _time(invitation.created_at),
        "expires_at": _time(invitation.expires_at),
        "first_login": _time(invitation.came_at) or None,
        "delivery": None
        if delivery is None
        else {
            "channel": delivery.channel,
            "state": delivery.state,
            "attempts": delivery.attempts,
            "error": delivery.error,
        },
    }


def _invitation_row(item: Invited) -> tuple[str, ...]:
    invitation, delivery = item.invitation, item.delivery
    return (
        invitation.uid,
        f"{invitation.state} {invitation.reason}".strip(),
        ", ".join(invitation.types),
        _time(invitation.created_at),
        _time(invitation.expires_at),
        _time(invitation.came_at),
        "" if delivery is None else f"{delivery.channel}: {delivery.state} {delivery.error}".strip(),
    )


def _step(step: Happened) -> dict[str, Any]:
    return {
        "at": _time(step.at),
        "by": step.actor,
        "step": step.step,
        "why": step.why,
        "account": step.account,
        "identifier": step.identifier,
        "inviter": step.uid,
        "detail": step.detail,
    }


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at else ""


def _yes(value: bool) -> str:
    return "yes" if value else "no"
