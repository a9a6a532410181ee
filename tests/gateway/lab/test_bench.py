"""The MSRP figures come out, whatever they are on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.lab.bench import msrp


def test_parser_and_its_baseline_read_the_same() -> None:
    rates = msrp.parse_rates(0.01)
    assert rates.value > 0 and rates.baseline > 0


async def test_messages(tmp_path: Path) -> None:
    rates = await msrp.message_rates(tmp_path, 0.2)
    assert rates.value > 0 and rates.baseline > 0


async def test_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(msrp, "FILE_SIZE", 8 << 20)
    rates = await msrp.file_rates(tmp_path, 1)
    assert rates.value > 0 and rates.baseline > 0
    assert (tmp_path / "received").read_bytes() == (tmp_path / "file").read_bytes()
