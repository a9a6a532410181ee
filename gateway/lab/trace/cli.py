"""``rcsgw trace``: conversations of a recorded trace, and their ladders."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from gateway.lab.drawing import draw
from gateway.lab.ladder import as_json
from gateway.lab.trace.conversations import Conversation, join
from gateway.lab.trace.losses import Damaged, Losses
from gateway.lab.trace.mermaid import as_mermaid
from gateway.lab.trace.reading import Progress as Tell
from gateway.lab.trace.reading import read_any
from sipstack.flow import HostPort
from sipstack.trace import Record

PIPE_WIDTH = 160
"""Columns of what goes into a pipe."""

LONG = 20_000_000
"""Octets of a file from which on a progress bar is worth it."""


@click.group("trace")
def trace() -> None:
    """Look at what crossed the wire: captures, HEP, logs and the gateway's own traces."""


@trace.command("show")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--call", "wanted", metavar="ID", help="Draw this conversation: its number in the list, or its id.")
@click.option("--all", "whole", is_flag=True, help="Draw everything as one ladder.")
@click.option("--json", "as_lines", is_flag=True, help="JSON lines: conversations, or with --call or --all messages.")
@click.option("--mermaid", is_flag=True, help="A Mermaid sequence diagram instead of a drawing.")
@click.option("--name", "named", multiple=True, metavar="NAME=HOST:PORT", help="Who is at an address; repeatable.")
@click.option("--ascii", "plain", is_flag=True, help="Draw with ASCII characters only.")
@click.option("--width", type=click.IntRange(40, 1000), help="Columns of the drawing.  [default: the terminal's]")
def show(
    files: Sequence[Path],
    wanted: str | None,
    whole: bool,
    as_lines: bool,
    mermaid: bool,
    named: Sequence[str],
    plain: bool,
    width: int | None,
) -> None:
    """List the conversations in FILES, or draw one.

    FILES are pcap or pcapng (gzip too), HEP version 3, JSON lines of a gateway, or message logs of SIPp, sngrep and
    Kamailio's sipdump. Several files are read as one trace. SIP, MSRP, HTTP and SMTP are found by their content.
    """
    losses = Losses()
    records = _read(files, losses)
    conversations = join(records, dict(map(_named, named)))
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, soft_wrap=not sys.stdout.isatty())
    if wanted is None and not whole:
        if mermaid:
            raise click.UsageError("--mermaid draws one conversation: name it with --call, or ask for --all.")
        _list(conversations, console, as_lines)
    else:
        chosen = Conversation("all", [seen for one in conversations for seen in one.seen])
        if wanted is not None:
            chosen = _choose(conversations, wanted)
        chosen.seen.sort(key=lambda seen: seen.at)
        ladder = chosen.ladder()
        if as_lines:
            sys.stdout.write(as_json(ladder))
        elif mermaid:
            sys.stdout.write(as_mermaid(ladder))
        else:
            ascii_only = plain or not (sys.stdout.encoding or "").lower().startswith("utf")
            sys.stdout.write(draw(ladder, width=width or console.width, ascii_only=ascii_only))
    if losses:
        click.echo(f"Not everything could be read: {losses}.", err=True)


def _named(text: str) -> tuple[HostPort, str]:
    """Read NAME=HOST:PORT. Raises click.BadParameter."""
    name, _, address = text.partition("=")
    host, _, port = address.rpartition(":")
    if not name or not host or not port.isdigit():
        raise click.BadParameter(f"{text!r} is not NAME=HOST:PORT", param_hint="--name")
    return (host.strip("[]"), int(port)), name


def _read(files: Sequence[Path], losses: Losses) -> list[Record]:
    records: list[Record] = []
    for path in files:
        try:
            with _progress(path) as tell:
                records += read_any(path, losses, tell)
        except Damaged as error:
            raise click.ClickException(f"{path}: {error}.") from None
        except OSError as error:
            raise click.ClickException(f"{path}: {error.strerror or error}.") from None
    return records


@contextmanager
def _progress(path: Path) -> Iterator[Tell]:
    """Show how far a long file has been read."""
    size = path.stat().st_size
    if size < LONG or not sys.stderr.isatty():
        yield lambda done: None
        return
    columns = (TextColumn(escape(path.name)), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading", total=size)
        yield lambda done: progress.update(task, completed=done)


def _choose(conversations: Sequence[Conversation], wanted: str) -> Conversation:
    """Return the conversation with a number or an id. Raises click.ClickException."""
    if wanted.isdigit() and 0 < int(wanted) <= len(conversations):
        return conversations[int(wanted) - 1]
    found = [one for one in conversations if one.id == wanted] or [
        one for one in conversations if any(wanted in seen.part.marks for seen in one.seen)
    ]
    if not found:
        raise click.ClickException(f"No conversation is number or id {wanted!r}; there are {len(conversations)}.")
    return found[0]


def _list(conversations: Sequence[Conversation], console: Console, as_lines: bool) -> None:
    if as_lines:
        for one in conversations:
            sys.stdout.write(json.dumps(one.summary(), ensure_ascii=False) + "\n")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("", "begins (UTC)", "s", "what", "methods", "messages", "outcome", "id"):
        table.add_column(name, justify="right" if name in ("", "s", "messages") else "left", overflow="fold")
    for number, one in enumerate(conversations, 1):
        begins = f"{datetime.fromtimestamp(one.start, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]
        messages = f"{len(one.seen)} ({one.repeated} again)" if one.repeated else str(len(one.seen))
        cells = (begins, f"{one.seconds:.3f}", one.subject, " ".join(one.methods), messages, one.outcome, one.id)
        table.add_row(str(number), *map(escape, cells))
    console.print(table)
    counted = len(conversations)
    console.print(f"{counted} conversation{'' if counted == 1 else 's'}; draw one with --call NUMBER")
