"""SIPp's scenarios as cases: each is played once by the real SIPp against the target, and judged by its exit status.

``NAME.xml`` calls the target; ``uas_NAME.xml`` waits for a call, to which the target is triggered. ``NAME.csv`` beside
it is its injection file. Scenarios find ``[service]`` (the user part of the target's URI), ``[aor]`` (its address of
record) and ``[identity]`` (ours).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import BadCase, Case
from gateway.lab.conformance.verdict import Failed, Inconclusive, NotApplicable
from gateway.lab.ports import free_port

PROGRAM = "sipp"
SUITE = "sipp"

SECONDS = 60.0
"""How long one scenario may take at T1 = 0.5 s."""

MAX_LOG = 20_000
"""Characters of each of SIPp's files that go into the report."""

MAX_SCENARIO = 1_000_000
"""Octets of one scenario."""

# SIPp's manual, "Exit codes".
OK, CALL_FAILED, INTERNAL, NO_CALL = 0, 1, 97, 99

TRANSPORTS = {"UDP": "u1", "TCP": "t1"}


def load_scenarios(folder: Path) -> list[Case]:
    """Return a case for each scenario of a folder. Raises BadCase when there is none, or one can't be read."""
    found = [_case(path) for path in sorted(folder.glob("*.xml"))]
    if not found:
        raise BadCase(f"{folder} has no SIPp scenarios (*.xml)")
    return found


def _case(path: Path) -> Case:
    calls_us = path.name.startswith("uas_")

    async def play(bench: Bench) -> None:
        await _play(bench, path, calls_us)

    return Case(
        id="SIPP-" + re.sub("[^A-Z0-9]+", "-", path.stem.upper()).strip("-"),
        reference=f"SIPp scenario {path.name}",
        suite=SUITE,
        roles=frozenset({"uac" if calls_us else "uas"}),
        purpose=_name(path),
        run=play,
        expects="SIPp counts one call that went as its scenario says.",
        transports=tuple(TRANSPORTS),
        limit=SECONDS,
        source=str(path),
    )


def _name(path: Path) -> str:
    """Return what a scenario calls itself."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if len(text) > MAX_SCENARIO:
        raise BadCase(f"{path} has more than {MAX_SCENARIO} characters")
    # SIPp's own document type names a file that nobody has, and entities are no part of scenarios
    text = re.sub(r"<!DOCTYPE[^>\[]*>", "", text)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise BadCase(f"{path} defines entities")
    try:
        root = ElementTree.fromstring(re.sub(r"<\?xml[^>]*\?>", "", text).strip())
    except ElementTree.ParseError as error:
        raise BadCase(f"{path} is no scenario: {error}") from None
    return root.get("name") or path.stem


async def _play(bench: Bench, path: Path, calls_us: bool) -> None:
    program = shutil.which(PROGRAM)
    if program is None:
        raise NotApplicable("SIPp is not installed")
    if calls_us and bench.target.gateway is not None:
        raise NotApplicable("the gateway calls its core, which is the runner")
    port = free_port() if ":" not in bench.sip.host else 0
    with tempfile.TemporaryDirectory(prefix="conformance-sipp-") as folder:
        command = [program, *_arguments(bench, path, port, Path(folder))]
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            if calls_us:
                await bench.pause(0.5)  # SIPp doesn't tell when it listens
                await bench.target.trigger("invite", uri=f"sip:sipp@{bench.sip.host}:{port}")
            _, said = await process.communicate()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            bench.attach(_log(Path(folder)))
    _judge(process.returncode, said.decode(errors="replace").strip())


def _arguments(bench: Bench, path: Path, port: int, folder: Path) -> list[str]:
    target = bench.target
    host = f"[{target.hop[0]}]" if ":" in target.hop[0] else target.hop[0]
    patience = int(bench.options.answer_time * 1000)
    injected = path.with_suffix(".csv")
    return [
        *(f"{host}:{target.hop[1]}", "-sf", str(path.resolve()), "-m", "1", "-l", "1", "-nostdin"),
        *("-i", bench.sip.host, "-p", str(port), "-t", TRANSPORTS[bench.sip.transport]),
        *("-recv_timeout", str(patience), "-timeout", f"{max(1, int(SECONDS * bench.options.t1 / 0.5))}s"),
        *("-s", target.uri.user or "service", "-key", "aor", target.aor),
        *("-key", "identity", bench.options.identity or f"sip:sipp@{bench.sip.host}:{port}"),
        *("-trace_msg", "-message_file", str(folder / "messages"), "-trace_err", "-error_file", str(folder / "errors")),
        *(("-inf", str(injected.resolve())) if injected.exists() else ()),
    ]


def _log(folder: Path) -> str:
    parts = []
    for name in ("errors", "messages"):
        file = folder / name
        if file.exists() and (text := file.read_text(errors="replace").strip()):
            parts.append(f"SIPp's {name}:\n{text[-MAX_LOG:]}")
    return "\n\n".join(parts)


def _judge(status: int | None, said: str) -> None:
    if status == OK:
        return
    if status == CALL_FAILED:
        raise Failed("SIPp counts a failed call")
    if status in (INTERNAL, NO_CALL):
        raise Inconclusive("SIPp made no call to its end")
    raise Inconclusive(f"SIPp ended with {status}: {said[-300:]}" if said else f"SIPp ended with {status}")
