"""The frame in which each part of the lab runs as a process of its own: trace file, ready line, stop by signal."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click

from sipstack.flow import HostPort, join_host_port
from sipstack.net.tracefile import TraceFile
from sipstack.trace import Trace

R = TypeVar("R")


class Service(Protocol):
    """What can be started and closed."""

    async def start(self) -> None:
        """Be there for others when this returns."""

    async def close(self) -> None:
        """Give everything back."""


def emit(event: str, **fields: object) -> None:
    """Write one event as a JSON line to standard output, for the program that started us."""
    sys.stdout.write(json.dumps({"event": event, **fields}, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def ready(actor: str, **addresses: HostPort | str) -> None:
    """Write the event ``ready`` with the addresses as ``host:port``."""
    texts = {name: value if isinstance(value, str) else join_host_port(value) for name, value in addresses.items()}
    emit("ready", actor=actor, **texts)


@contextlib.contextmanager
def open_trace(path: Path | None, actor: str) -> Iterator[Trace | None]:
    """Yield a trace that appends to ``path``, or None without a path. Ends the program if that cannot be written."""
    if path is None:
        yield None
        return
    try:
        file = TraceFile(path)
    except OSError as error:
        raise click.ClickException(f"the trace cannot be written: {error}") from None
    try:
        yield Trace(actor, file, time.time)
    finally:
        file.close()


def trace_option(actor: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Give a command the options ``--trace`` and ``--actor``; it gets the open trace as argument ``trace``."""

    def decorate(command: Callable[..., R]) -> Callable[..., R]:
        @click.option(
            "--trace", "trace_path", type=click.Path(path_type=Path), help="Append what crosses the wire here."
        )
        @click.option("--actor", default=actor, show_default=True, help="Name in the trace.")
        @wraps(command)
        def wrapped(*args: Any, trace_path: Path | None, actor: str, **options: Any) -> R:
            with open_trace(trace_path, actor) as trace:
                return command(*args, trace=trace, **options)

        return wrapped

    return decorate


def loop_factory(name: str = "auto") -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes event loops: uvloop's, where ``name`` is ``uvloop``, or ``auto`` and it is installed."""
    if name == "asyncio":
        return None
    try:
        uvloop = importlib.import_module("uvloop")
    except ImportError:
        if name == "uvloop":
            raise click.ClickException("uvloop is not installed; pip install 'rcsgw[fast]'") from None
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def serve_until_signal(service: Service, on_ready: Callable[[], None]) -> None:
    """Run a service until SIGTERM or SIGINT. Ends the program in words where it cannot listen."""
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_serve(service, on_ready))
    except OSError as error:
        raise click.ClickException(error.strerror or str(error)) from error


async def _serve(service: Service, on_ready: Callable[[], None]) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        await service.start()
        on_ready()
        await stopped.wait()
    finally:
        await service.close()


def parse_host_port(text: str) -> HostPort:
    """Return ``host:port`` as a pair; click's error when it is none."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal():
        raise click.BadParameter(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)
