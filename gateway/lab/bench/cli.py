"""``scripts/bench``: figures as ratios to a baseline that is measured in the same run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress, TaskID

from gateway.lab.bench.guests import memory
from gateway.lab.bench.login import login_rates
from gateway.lab.bench.message import message_rates, status_rates
from gateway.lab.bench.msrp import file_rates, parse_rates
from gateway.lab.bench.msrp import message_rates as msrp_message_rates
from gateway.lab.bench.network import FSYNC
from gateway.lab.bench.sip import STRANGERS, Missing, build_rates
from gateway.lab.bench.sip import parse_rates as sip_parse_rates
from gateway.lab.bench.siptransactions import transaction_answers
from gateway.lab.run import loop_factory

FILE_TURNS = 8
"""How often the file is sent."""
SIP = ("sip-parse", "sip-build", "sip-transactions")
"""What ``sip`` stands for."""
MSRP = ("msrp-parse", "msrp-message", "msrp-file")
"""What ``msrp`` stands for."""
GROUPS = {"sip": SIP, "msrp": MSRP}
KIB_LIMIT = 40
"""KiB of resident memory that a guest may cost at most."""


class Report:
    """Prints figures: a line for people, or one JSON object each."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._console = Console(stderr=True)

    @contextlib.contextmanager
    def progress(self, what: str, total: float) -> Iterator[Callable[[float, str | None], None]]:
        """Show a bar, or, where nobody sees one, a line for each step; the yielded call sets how far it is."""
        is_seen, step = self._console.is_terminal, what
        with Progress(console=self._console, transient=True, disable=not is_seen) as progress:
            task: TaskID = progress.add_task(what, total=total)

            def show(done: float, text: str | None = None) -> None:
                nonlocal step
                progress.update(task, completed=done, description=text or what)
                if not is_seen and text is not None and text != step:
                    self._console.print(f"{what}: {text}")
                    step = text

            yield show

    def figure(self, name: str, value: float, baseline: float, unit: str, **more: Any) -> None:
        """Print one figure; ``ratio`` is value to baseline."""
        ratio = value / baseline if baseline else 0.0
        if self._as_json:
            fields = {"name": name, "value": value, "baseline": baseline, "ratio": ratio, "unit": unit, **more}
            click.echo(json.dumps(fields))
            return
        notes = ", ".join(f"{key} {item}" for key, item in more.items())
        click.echo(f"{name:16} {value:10.1f} {unit:16} baseline {baseline:10.1f}   ratio {ratio:.2f}   {notes}")


@click.command()
@click.argument("figures", nargs=-1, type=click.Choice(["message", "login", "status", "guests", *GROUPS, *SIP, *MSRP]))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a figure.")
@click.option("--seconds", default=8.0, show_default=True, help="How long message and status are measured.")
@click.option("--connections", default=128, show_default=True, help="Requests under way at once.")
@click.option("--logins", default=300, show_default=True, help="How many log in.")
@click.option("--guests", "count", default=10000, show_default=True, help="How many guests `guests` logs in.")
def main(figures: tuple[str, ...], as_json: bool, seconds: float, connections: int, logins: int, count: int) -> None:
    """Measure FIGURES (default: message, login, status); each beside its baseline in the same run.

    Load, gateway and peer are processes of their own on loopback; the store is durable. `msrp` is all three figures of
    the MSRP stack alone, without a gateway, `sip` those of the SIP stack; what these need besides (the extra `bench`,
    SIPp) is left out with a word where it is missing, and the exit status is 1. `guests` takes minutes: when all are
    there it waits 40 seconds more, until the last transactions have ended, before it looks at the memory again.
    """
    report = Report(as_json)
    if not as_json:
        click.echo(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    chosen = figures or ("message", "login", "status")
    missing = False
    for name in (each for group in chosen for each in GROUPS.get(group, (group,))):
        with tempfile.TemporaryDirectory(prefix="rcsgw-bench-", dir="/var/tmp") as folder:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                try:
                    runner.run(_measure(name, Path(folder), report, seconds, connections, logins, count))
                except Missing as error:
                    missing = True
                    click.echo(f"!!! NOT MEASURED: {name}: {error}", err=True)
    if missing:
        raise SystemExit(1)


async def _measure(
    name: str, folder: Path, report: Report, seconds: float, connections: int, logins: int, count: int
) -> None:
    loop = asyncio.get_running_loop()
    more: dict[str, Any] = {"fsync": FSYNC}
    if name in SIP:
        await _measure_sip(name, folder, report, seconds)
        return
    if name in MSRP:
        await _measure_msrp(name, folder, report, seconds)
        return
    if name == "guests":
        with report.progress("guests", count) as show:
            used = await memory(folder, count, lambda what, done, of: show(done * count / of, what))
        kib = used.per_guest / 1024
        settled = round((used.settled - used.before) / used.guests / 1024, 1)
        report.figure("guests", kib, KIB_LIMIT, "KiB a guest", guests=count, settled=settled, **more)
        return
    if name == "login":
        done = 0
        with report.progress(name, 2 * logins) as show:

            def tick() -> None:
                nonlocal done
                done += 1
                show(done, None)

            rates = await login_rates(folder, logins, tick)
        report.figure(name, rates.gateway, rates.baseline, "log-ins/s", logins=logins, **more)
        return
    measure = message_rates if name == "message" else status_rates
    with report.progress(name, 2 * seconds) as show:
        started = loop.time()
        ticker = asyncio.ensure_future(_tick_along(show, started, 2 * seconds))
        rates = await measure(folder, seconds, connections, lambda: None)
        ticker.cancel()
    report.figure(name, rates.gateway, rates.baseline, "answers/s", connections=connections, **more)


async def _measure_sip(name: str, folder: Path, report: Report, seconds: float) -> None:
    with report.progress(name, 1):
        if name == "sip-transactions":
            ours, theirs = await transaction_answers(folder)
            report.figure(
                name,
                ours.rate,
                theirs.rate,
                "answers/CPU s",
                lost=ours.lost,
                clock=round(ours.right / ours.seconds),
                baseline_clock=round(theirs.right / theirs.seconds),
                baseline_lost=theirs.lost,
            )
            return
        more: dict[str, Any] = {}
        if name == "sip-parse":
            rates = await asyncio.to_thread(sip_parse_rates, seconds)
            strangers = await asyncio.to_thread(sip_parse_rates, seconds, STRANGERS)
            more["strangers"] = round(strangers.value / strangers.baseline, 2)
        else:
            rates = await asyncio.to_thread(build_rates, seconds)
    report.figure(name, rates.value, rates.baseline, "messages/CPU s", **more)


async def _measure_msrp(name: str, folder: Path, report: Report, seconds: float) -> None:
    with report.progress(name, 2 * seconds) as show:
        started = asyncio.get_running_loop().time()
        ticker = asyncio.ensure_future(_tick_along(show, started, 2 * seconds))
        if name == "msrp-parse":
            rates, unit = await asyncio.to_thread(parse_rates, seconds), "frames/s"
        elif name == "msrp-message":
            rates, unit = await msrp_message_rates(folder, seconds), "messages/s"
        else:
            rates, unit = await file_rates(folder, FILE_TURNS), "MiB/s"
        ticker.cancel()
    report.figure(name, rates.value, rates.baseline, unit)


async def _tick_along(show: Callable[[float, str | None], None], started: float, seconds: float) -> None:
    """Move the bar with the time; the load itself must not be slowed by drawing."""
    while (passed := asyncio.get_running_loop().time() - started) < seconds:
        show(passed, None)
        await asyncio.sleep(0.5)


if __name__ == "__main__":
    main()
