"""A few inputs of each fuzzer, so that they keep running; millions are tried by hand (see CONTRIBUTING.md)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("fuzzer", ["fuzz_msrp", "fuzz_im", "fuzz_sip"])
def test_fuzzer(fuzzer: str) -> None:
    # G-O08
    command = [sys.executable, "-m", f"scripts.{fuzzer}", "--count", "3000", "--seed", "42"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
