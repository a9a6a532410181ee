"""OPTIONS from SIPp over UDP, answered by our endpoint and by PJSUA, each a process of its own."""

from __future__ import annotations

import asyncio
import csv
import os
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from gateway.lab.bench.network import module
from gateway.lab.bench.sip import Missing
from gateway.lab.ports import free_port
from gateway.lab.processes import Children, ProcessFailed

COUNT = 30_000
"""OPTIONS a turn."""
WARM_UP = 2_000
TURNS = 2
OUTSTANDING = 64
"""OPTIONS under way at once: enough that the one who answers never waits, few enough that no buffer overflows."""
PATIENCE = 1000
"""Milliseconds until one that is not answered counts as lost. None is sent twice."""
LIMIT = 120.0
"""Seconds that a run of SIPp may take."""

SCENARIO = f"""\
<?xml version="1.0" encoding="UTF-8"?>
<scenario name="OPTIONS">
  <send>
    <![CDATA[
      OPTIONS sip:bench@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      Max-Forwards: 70
      From: <sip:sipp@[local_ip]:[local_port]>;tag=[pid]SIPp[call_number]
      To: <sip:bench@[remote_ip]:[remote_port]>
      Call-ID: [call_id]
      CSeq: 1 OPTIONS
      Contact: <sip:sipp@[local_ip]:[local_port]>
      Accept: application/sdp
      Content-Length: 0

    ]]>
  </send>
  <recv response="200" timeout="{PATIENCE}"/>
</scenario>
"""


@dataclass(slots=True)
class Answers:
    """What one side did in all turns."""

    right: int = 0
    """OPTIONS that got their 200 the first time."""
    lost: int = 0
    processor: float = 0.0
    """Seconds that the answering process ran, the kernel's work for it included."""
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Answers in a second of the processor."""
        return self.right / self.processor


async def transaction_answers(folder: Path) -> tuple[Answers, Answers]:
    """Return what our endpoint and what PJSUA answered. :class:`Missing` without SIPp or ``pjsua2``.

    What is compared is processor time: SIPp wants a core for itself, so on a machine that is busy or small both sides
    wait for it, and answers a second of the clock would say more about SIPp.
    """
    if shutil.which("sipp") is None:
        raise Missing("SIPp is not installed: apt-get install sip-tester")
    if find_spec("pjsua2") is None:
        raise Missing("the package pjsua2-python is not installed: pip install 'rcsgw[bench]'")
    (folder / "options.xml").write_text(SCENARIO)
    ours, theirs = Answers(), Answers()
    for turn in range(TURNS):
        for name, answers in (("sipanswerer", ours), ("pjsuaanswerer", theirs)):
            await _measure(folder, name, turn, answers)
    return ours, theirs


async def _measure(folder: Path, name: str, turn: int, answers: Answers) -> None:
    """Start one side anew, ask it, and add what came of it."""
    async with Children(folder) as children:
        child = await children.start(f"{name}-{turn}", module(f"gateway.lab.bench.{name}", str(free_port())))
        address = (await child.ready())["sip"]
        assert child.pid is not None
        await _ask(folder, address, WARM_UP)
        before, started = _processor_time(child.pid), asyncio.get_running_loop().time()
        right, lost = await _ask(folder, address, COUNT)
        answers.seconds += asyncio.get_running_loop().time() - started
        answers.processor += _processor_time(child.pid) - before
        answers.right += right
        answers.lost += lost


async def _ask(folder: Path, address: str, count: int) -> tuple[int, int]:
    """Run SIPp; return how many of ``count`` OPTIONS were answered, and how many were not."""
    statistics = folder / "options.csv"
    statistics.unlink(missing_ok=True)
    options = ["-sf", "options.xml", "-i", "127.0.0.1", "-p", str(free_port()), "-nr", "-nostdin"]
    load = ["-m", str(count), "-l", str(OUTSTANDING), "-r", str(count), "-rp", "100"]
    trace = ["-trace_stat", "-stf", statistics.name, "-fd", "1"]
    command = ["sipp", *options, *load, *trace, address]
    with (folder / "sipp.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(*command, cwd=folder, stdout=log, stderr=log)
        try:
            async with asyncio.timeout(LIMIT):
                status = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if status not in (0, 1):  # 1: some were lost
        raise ProcessFailed(f"SIPp ends with {status}: {(folder / 'sipp.log').read_text(errors='replace')[-2000:]}")
    with statistics.open() as lines:
        last = list(csv.DictReader(lines, delimiter=";"))[-1]
    return int(last["SuccessfulCall(C)"]), int(last["FailedCall(C)"])


def _processor_time(pid: int) -> float:
    """Return the seconds that a process has run, all threads, in user mode and in the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
