"""One ``rcsgw conformance run``: target and cases put together, progress and result shown."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from gateway.lab.conformance import page, report
from gateway.lab.conformance.case import Case
from gateway.lab.conformance.collect import Selection
from gateway.lab.conformance.options import Options
from gateway.lab.conformance.report import BAD, Report
from gateway.lab.conformance.runner import Result, Runner, exit_status
from gateway.lab.conformance.target import BadTarget, CommandTrigger, Target, read_target
from gateway.lab.conformance.verdict import Ended, Verdict
from gateway.lab.processes import ProcessFailed
from sipstack.errors import ParseError
from sipstack.flow import HostPort
from sipstack.sip.uri import Uri

GATEWAY = "gateway"
"""The word that stands for a gateway of our own instead of a URI."""

DEFAULT_ROLES = ("uas", "uac", "registrar", "msrp")
"""What a foreign element is tried as when nobody says; cases find out themselves what it lacks."""

COLOURS = {
    Verdict.PASS: "green",
    Verdict.FAIL: "bold red",
    Verdict.ERROR: "bold magenta",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.NOT_APPLICABLE: "dim",
    Verdict.NOT_RUN: "dim",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What the user has asked for."""

    target: str
    selection: Selection
    cases: Sequence[Case]
    options: Options
    listen: HostPort | None = None
    at: HostPort | None = None
    """Where the target is reached, if not where its URI leads."""
    to: str = ""
    ringing: str | None = None
    trigger: str | None = None
    transport: str = "UDP"
    """Of a gateway of our own: by which it calls its core."""
    folder: Path | None = None
    """Where a gateway of our own keeps its files; None: nowhere for long."""


class Session:
    """Runs a plan and tells about it on a console."""

    junit = staticmethod(report.as_junit)
    json = staticmethod(report.as_json)
    html = staticmethod(page.as_page)

    def __init__(self, plan: Plan, console: Console) -> None:
        self.plan = plan
        self.console = console
        self.status = 1
        """Exit status, once it has run."""

    async def run(self) -> Report:
        """Run everything. Raises BadTarget, OSError; ValueError for a URI that is none."""
        plan = self.plan
        started, begun = time.time(), time.monotonic()
        async with self._bench() as (runner, cases):
            with self._progress(len(cases)) as tell, _interruptible(runner):
                results = await runner.run(cases, tell)
        done = Report(plan.target, results, started, time.monotonic() - begun, self._settings())
        self.status = 1 if runner.stopped else exit_status(results, plan.selection.names)
        self._show(done)
        return done

    @asynccontextmanager
    async def _bench(self) -> AsyncIterator[tuple[Runner, Sequence[Case]]]:
        plan = self.plan
        if plan.target != GATEWAY:
            async with Runner(self._foreign(), plan.options, listen=plan.listen) as runner:
                if plan.trigger:
                    trigger = CommandTrigger(plan.trigger)
                    runner.target.act, runner.sip.after_case = trigger.act, trigger.stop
                yield runner, plan.cases
            return
        from gateway.lab.conformance.gatewaytarget import HOST, OwnGateway, own_options, own_target

        target, options = own_target(), own_options(plan.options)
        if plan.selection.roles:
            target.roles = plan.selection.roles
        target.calls_by = plan.transport
        async with contextlib.AsyncExitStack() as stack:
            folder = plan.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="conformance-")))
            folder.mkdir(parents=True, exist_ok=True)
            runner = await stack.enter_async_context(Runner(target, options, listen=plan.listen or (HOST, 0)))
            try:
                gateway = OwnGateway(runner.sip, target, folder.resolve(), plan.transport)
                await stack.enter_async_context(gateway)
            except (ProcessFailed, Ended) as error:
                raise BadTarget(f"the gateway does not start: {error}") from None
            target.gateway, target.act = gateway, gateway.act
            yield runner, plan.cases

    def _foreign(self) -> Target:
        plan = self.plan
        target = read_target(plan.target, plan.selection.roles or DEFAULT_ROLES, plan.at)
        target.to = plan.to
        if plan.ringing:
            try:
                target.ringing = Uri.parse(plan.ringing)
            except ParseError as error:
                raise BadTarget(f"--ringing {plan.ringing!r}: {error}") from None
        return target

    def _settings(self) -> dict[str, object]:
        options = self.plan.options
        settings: dict[str, object] = {"t1": options.t1, "media": options.media, "seed": options.seed}
        if self.plan.selection.roles:
            settings["roles"] = ", ".join(self.plan.selection.roles)
        return settings

    # telling

    @contextlib.contextmanager
    def _progress(self, total: int) -> Iterator[Callable[[Result], None]]:
        if not self.console.is_terminal:
            yield self._line
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task("running", total=total)

            def tell(result: Result) -> None:
                progress.update(task, advance=1, description=result.case.id.ljust(24))
                if result.verdict in BAD:
                    self._line(result)

            yield tell

    def _line(self, result: Result) -> None:
        if result.verdict is Verdict.NOT_APPLICABLE and not result.role:
            return  # nobody has asked for that kind of element
        colour = COLOURS[result.verdict]
        told = "; ".join(filter(None, [result.reason, *result.remarks]))
        words = f"[{colour}]{result.verdict.value:<14}[/] {result.case.id:<26}"
        self.console.print(f"{words} {result.seconds:6.2f} s  {escape(told)}".rstrip())

    def _show(self, done: Report) -> None:
        table = Table("suite", *(verdict.value for verdict in Verdict), box=None, header_style="bold")
        for name, results in done.suites.items():
            counted = [sum(result.verdict is verdict for result in results) for verdict in Verdict]
            table.add_row(
                name,
                *(
                    f"[{COLOURS[verdict]}]{count}[/]" if count else "·"
                    for verdict, count in zip(Verdict, counted, strict=True)
                ),
            )
        self.console.print()
        self.console.print(table)
        for result in done.results:
            if result.verdict in BAD:
                self.console.print(
                    f"\n{result.case.id}  {escape(result.case.reference)}  {result.verdict.value}", style="bold"
                )
                self.console.print(f"  {escape(result.case.purpose)}\n  {escape(result.reason)}")
        counts = ", ".join(f"{count} {verdict}" for verdict, count in done.counts.items()) or "no case"
        self.console.print(f"\n{escape(done.target)}: {counts}, {done.seconds:.1f} s")


@contextlib.contextmanager
def _interruptible(runner: Runner) -> Iterator[None]:
    """Let the first Ctrl-C end the run with a report of what was done; the second one ends it at once."""
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        runner.stop()

    with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):  # only the main thread may have handlers
        loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
            loop.remove_signal_handler(signal.SIGINT)
