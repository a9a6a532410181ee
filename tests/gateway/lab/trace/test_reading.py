"""Files of every kind, told apart by what they begin with."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.lab.trace.hep import HepPacket
from gateway.lab.trace.losses import Damaged, Losses
from gateway.lab.trace.reading import read_any
from sipstack.net.tracefile import dump_record
from sipstack.trace import Record, StateRecord, WireRecord
from tests.gateway.lab.trace import captures
from tests.gateway.lab.trace.test_textlogs import SNGREP

A, B = ("192.0.2.1", 5060), ("192.0.2.2", 5061)
OPTIONS = b"OPTIONS sip:b@example.com SIP/2.0\r\nCall-ID: 1\r\n\r\n"
FRAME = captures.ethernet(captures.udp(A, B, OPTIONS))
OWN = WireRecord(1.0, "gateway", "SIP", "UDP", "out", A, B, OPTIONS)
CHANGE = StateRecord(2.0, "gateway", "registration sip:b@example.com", "registered")


def read(path: Path) -> tuple[list[Record], Losses]:
    losses = Losses()
    return list(read_any(path, losses)), losses


FILES: dict[str, bytes] = {
    "pcap": captures.classic([(1.0, FRAME)]),
    "pcapng": captures.pcapng([(1.0, FRAME)]),
    "hep": bytes(HepPacket(1.0, "UDP", A, B, OPTIONS)),
    "jsonl": "".join(dump_record(item) + "\n" for item in (OWN, CHANGE)).encode(),
    "txt": SNGREP,
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_kinds(tmp_path: Path, kind: str, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "trace"
    path.write_bytes(pack(FILES[kind]))
    found, losses = read(path)
    first = found[0]
    assert isinstance(first, WireRecord) and not losses
    assert (first.protocol, first.local, first.remote, first.data) == ("SIP", A, B, OPTIONS)


def test_states_of_our_own_traces(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_bytes(FILES["jsonl"] + b'{"at": 1}\nno json\n[]\n')
    found, losses = read(path)
    assert found == [OWN, CHANGE] and losses.counts() == {"a line that is no record": 3}


def test_packed_file_that_breaks_off(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_bytes(gzip.compress(FILES["pcap"] * 50)[:-9])
    _, losses = read(path)
    assert losses


@pytest.mark.parametrize("data", [b"", b"what is this?\n", gzip.compress(b"\0" * 100, mtime=0)])
def test_no_trace(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "trace"
    path.write_bytes(data)
    with pytest.raises(Damaged, match="no trace"):
        read(path)


def test_progress(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_bytes(FILES["pcap"])
    told: list[int] = []
    assert list(read_any(path, Losses(), told.append))
    assert told[-1] == len(FILES["pcap"])
