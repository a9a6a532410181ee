"""A peer that vanishes without closing anything (C-SET-05)."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sipstack.net import keepalive
from sipstack.net.hub import MsrpHub

from .test_hub import MakeHub, join, make_hub

__all__ = ["make_hub"]

ROOT = Path(__file__).parents[3]


def options_of(hub: MsrpHub) -> list[list[int]]:
    """Return what the kernel was told about each connection of a hub."""
    found = []
    for link in hub._links.values():
        assert link.transport is not None
        raw = link.transport.get_extra_info("socket")
        names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        values = [raw.getsockopt(socket.IPPROTO_TCP, name) for name in names]
        found.append([raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), *values])
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other options")
async def test_both_ends_watch_the_connection(make_hub: MakeHub) -> None:
    # C-SET-05
    left, right = await make_hub(), await make_hub()
    ours, _, theirs, _ = join(left, right)
    await ours.until(lambda: ours.opened == 1)
    await theirs.until(lambda: theirs.opened == 1)
    expected = [1, keepalive.IDLE, keepalive.INTERVAL, keepalive.PROBES, keepalive.UNACKNOWLEDGED * 1000]
    assert options_of(left) == options_of(right) == [expected]


def test_probes_have_their_time() -> None:
    # Linux: a lower limit of unacknowledged octets would end connections at the first probe that is lost.
    assert keepalive.UNACKNOWLEDGED >= keepalive.IDLE + keepalive.INTERVAL * keepalive.PROBES


async def test_systems_without_these_options(make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT"):
        monkeypatch.delattr(socket, name, raising=False)
    left, right = await make_hub(), await make_hub()
    ours, *_ = join(left, right)
    await ours.until(lambda: ours.opened == 1)


def may_make_networks() -> bool:
    """Tell whether this machine lets us have a network namespace."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    return subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.interop
@pytest.mark.skipif(not may_make_networks(), reason="needs root, unshare and ip")
@pytest.mark.parametrize("state", ["idle", "busy"])
def test_cut_network_is_noticed(state: str) -> None:
    # C-SET-05: with times of a second; the session fails whether octets were under way or not.
    command = ["unshare", "-n", sys.executable, "-m", "tests.sipstack.net.cutoff", state]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert "Connection timed out 0" in done.stdout, done.stderr
