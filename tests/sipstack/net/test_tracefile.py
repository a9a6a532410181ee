from __future__ import annotations

import threading
from pathlib import Path

import pytest

from sipstack.net import tracefile
from sipstack.net.tracefile import TraceFile, dump_record, load_record, mask, read_trace
from sipstack.trace import StateRecord, Trace, WireRecord


@pytest.mark.parametrize(
    ("data", "masked"),
    [
        (b'Authorization: Digest username="b", response="0f0f"', b'Authorization: Digest username="b", response="***"'),
        (b"GET / HTTP/1.1\r\nAuthorization: Basic YTpi\r\n", b"GET / HTTP/1.1\r\nAuthorization: Basic ***\r\n"),
        (b"GET /session/sip:b@cc.com?passwd=abc HTTP/1.1", b"GET /session/sip:b@cc.com?passwd=*** HTTP/1.1"),
        (b'{"account":"b","passwd":"a\\"b"}', b'{"account":"b","passwd":"***"}'),
        (b"<passwd>abc</passwd>", b"<passwd>***</passwd>"),
        (b"AUTH PLAIN AGEAYg==\r\n", b"AUTH PLAIN ***\r\n"),
        (b"hello", b"hello"),
    ],
)
def test_secrets_are_masked(data: bytes, masked: bytes) -> None:
    assert mask(data) == masked


@pytest.mark.parametrize(
    "record",
    [
        WireRecord(1.5, "core", "SIP", "UDP", "in", ("::1", 5060), ("192.0.2.1", 9), b"OPTIONS sip:a@b SIP/2.0\r\n"),
        WireRecord(2.0, "core", "MSRP", "TCP", "out", None, None, b"\xff\x00"),
        StateRecord(3.0, "core", "dialog", "early", "180"),
        StateRecord(3.0, "core", "dialog", "early"),
    ],
)
def test_record_survives_the_line(record: WireRecord | StateRecord) -> None:
    assert load_record(dump_record(record)) == record


def test_file_is_written_in_order_and_appended(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    for start in (0, 3):
        sink = TraceFile(path)
        trace = Trace("a", sink, lambda: 1.0)
        for number in range(start, start + 3):
            trace.state("s", str(number))
        sink.close()
        sink.close()
        assert sink.dropped == 0
    assert [record.state for record in read_trace(path) if isinstance(record, StateRecord)] == list("012345")


def test_cut_last_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(dump_record(StateRecord(1.0, "a", "s", "x")) + '\n{"at": 1', encoding="utf-8")
    assert list(read_trace(path)) == [StateRecord(1.0, "a", "s", "x")]


def test_full_queue_drops_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()

    def slow(record: WireRecord | StateRecord) -> str:
        gate.wait(10)
        return "{}"

    monkeypatch.setattr(tracefile, "dump_record", slow)
    sink = TraceFile(tmp_path / "trace.jsonl", limit=2)
    for _ in range(10):
        sink(StateRecord(1.0, "a", "s", "x"))
    assert sink.dropped >= 7
    gate.set()
    sink.close()
