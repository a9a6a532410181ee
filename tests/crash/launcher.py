"""Starts gateways quickly: a process that has imported everything and forks one for each command.

Commands are lines of JSON on standard input, each answered by one on standard output: ``{"start": [ARGUMENTS of
rcsgw], "log": FILE, "plan": null or the fields of Plan}`` gives ``{"pid"}``; ``{"wait": PID}`` gives ``{"status"}``,
negative for the signal that ended it. A gateway dies with its launcher.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from gateway import app, cli
from tests.crash.points import Plan, install

PR_SET_PDEATHSIG = 1
"""Linux ``prctl`` option: the signal to get when the parent ends."""


def main() -> None:
    """Serve commands until the end of standard input."""
    assert app is not None  # imported here, so that no gateway has to
    for line in sys.stdin:
        command = json.loads(line)
        answer = {"pid": start(command)} if "start" in command else {"status": wait(command["wait"])}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def start(command: dict[str, Any]) -> int:
    """Fork a gateway; return its process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        log = os.open(command["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        if command["plan"] is not None:
            plan = command["plan"]
            install(Plan(Path(plan["armed"]), Path(plan["points"]), plan["number"], plan["side"]))
        cli.main(command["start"], standalone_mode=False)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def wait(pid: int) -> int:
    """Wait for the end of a gateway."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    main()
