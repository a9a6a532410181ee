"""What every test run gets: a list of allowed skips, and no process left behind.

With ``-n`` (pytest-xdist) the tests run in several processes, the workers, and this is loaded in each of them and in
the process that hands out the tests and writes the summary.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import coverage
import pytest
from hypothesis import HealthCheck, settings

measured: coverage.Coverage | None = None
if {"COVERAGE_RUN", "PYTEST_XDIST_WORKER"} <= os.environ.keys():
    # `coverage run` measures no other process than the one it starts. Here, before anything else is imported.
    measured = coverage.Coverage(data_suffix=True)
    measured.start()

pytest_plugins = ["tests.servers"]

# A loaded machine must not fail a test, and two runs must test the same; chance is for scripts/fuzz_*.py.
settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

ALLOWED_SKIPS = Path(__file__).parent / "skips.toml"

PR_SET_CHILD_SUBREAPER = 36
"""Linux ``prctl`` option: orphaned grandchildren become our children, so that daemons are seen too."""

WITH_SERVERS = (
    "crash",
    "e2e",
    "gateway/lab",
    "gateway/provisioning",
    "gateway/test_crash",
    "gateway/test_database",
    "gateway/test_page",
    "gateway/users",
    "interop",
    "sipstack/net",
)
"""Below here tests depend on the machine too: on ports, on other programs, on how long these take. One that fails is
run once more, and the summary names it (RERUN): that is a fault to look for, and none that stops everybody's work."""

LEFT = "left_behind"
"""Key under which a worker tells of processes that its tests left behind."""

GRACE = 5.0
"""Seconds that child processes get to end after the last test."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests with servers their second chance."""
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).as_posix().startswith(WITH_SERVERS):
            item.add_marker(pytest.mark.flaky(reruns=1))


class Measuring:
    """Measures coverage while tests of the measured parts run, and lets the others have their speed.

    What is covered by chance only, when something else is tested, is not covered.
    """

    PARTS = ("sipstack", "translators")

    def __init__(self, coverage: coverage.Coverage) -> None:
        self.coverage = coverage
        self.goes_on = True  # since before the first import

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        wanted = item.path.relative_to(Path(__file__).parent).parts[0] in self.PARTS
        if wanted and not self.goes_on:
            self.coverage.start()
        elif self.goes_on and not wanted:
            self.coverage.stop()
        self.goes_on = wanted

    def pytest_sessionfinish(self) -> None:
        self.coverage.stop()
        self.coverage.save()


class SkipGuard:
    """Collects what was skipped; with ``--strict-skips`` a skip that skips.toml does not name fails the run."""

    def __init__(self, allowed: dict[str, str], strict: bool) -> None:
        self.allowed = allowed
        self.strict = strict
        self.unlisted: list[str] = []

    def note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        """Take one report; expected failures are no skips."""
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        if not any(fnmatchcase(report.nodeid, pattern) for pattern in self.allowed):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            self.unlisted.append(f"{report.nodeid}: {reason}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.note(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.strict and self.unlisted and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.strict and self.unlisted:
            terminalreporter.section("skips that tests/skips.toml does not name", red=True)
            for line in self.unlisted:
                terminalreporter.line(line)


class ProcessGuard:
    """Fails the run when a test leaves a process behind, and ends that process. Workers tell what they had to end."""

    def __init__(self) -> None:
        self.left: list[str] = []
        self.watching = sys.platform == "linux" and _become_subreaper()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        # A worker that crashed has told nothing.
        self.left += getattr(node, "workeroutput", {}).get(LEFT, [])

    # last: when the workers, our children too, have ended
    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.watching:
            self._end_children()
        output = getattr(session.config, "workeroutput", None)
        if output is not None:  # this is a worker
            output[LEFT] = self.left
        elif self.left and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _end_children(self) -> None:
        deadline = time.monotonic() + GRACE
        while (left := descendants(os.getpid())) and time.monotonic() < deadline:
            time.sleep(0.05)
        for pid, command in left.items():
            self.left.append(f"{pid}: {command}")
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.left:
            terminalreporter.section("processes left behind by tests", red=True)
            for line in self.left:
                terminalreporter.line(line)


def _become_subreaper() -> bool:
    return bool(ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def descendants(ancestor: int) -> dict[int, str]:
    """Return pid → command line of all live processes below ``ancestor``, from /proc."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # "pid (command) state ppid …"; the command may hold anything, parentheses too
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        if state != "Z":
            parents[int(entry.name)] = int(parent)
    below: dict[int, str] = {}
    for pid in parents:
        above: int | None = pid
        while above is not None and above != ancestor:
            above = parents.get(above)
        if above == ancestor and pid != ancestor:
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if "multiprocessing.resource_tracker" not in command:  # of this process; ends with it
                below[pid] = command.strip()
    return below


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--strict-skips", action="store_true", help="fail on skips that tests/skips.toml does not name")


def pytest_configure(config: pytest.Config) -> None:
    entries = tomllib.loads(ALLOWED_SKIPS.read_text()).get("skip", [])
    allowed = {entry["test"]: entry["reason"] for entry in entries}
    config.pluginmanager.register(SkipGuard(allowed, config.getoption("--strict-skips")), "skip-guard")
    config.pluginmanager.register(ProcessGuard(), "process-guard")
    if measured is not None:
        config.pluginmanager.register(Measuring(measured), "measuring")
