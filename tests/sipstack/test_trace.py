from __future__ import annotations

from sipstack.trace import Record, StateRecord, Trace, WireRecord


def test_wire_and_state_are_stamped_and_handed_on() -> None:
    records: list[Record] = []
    trace = Trace("gateway", records.append, lambda: 12.5)
    trace.wire("SIP", "UDP", "out", ("192.0.2.1", 5060), ("192.0.2.2", 5062), b"OPTIONS")
    trace.state("dialog 1", "confirmed", "200")
    trace.state("dialog 1", "terminated")
    assert records == [
        WireRecord(12.5, "gateway", "SIP", "UDP", "out", ("192.0.2.1", 5060), ("192.0.2.2", 5062), b"OPTIONS"),
        StateRecord(12.5, "gateway", "dialog 1", "confirmed", "200"),
        StateRecord(12.5, "gateway", "dialog 1", "terminated", ""),
    ]


def test_recorders_of_several_actors_share_a_sink() -> None:
    records: list[Record] = []
    trace = Trace("gateway", records.append, lambda: 1.5)
    trace.of("phone").state("dialog", "confirmed")
    assert records == [StateRecord(1.5, "phone", "dialog", "confirmed", "")]


def test_a_record_for_two() -> None:
    file: list[Record] = []
    screen: list[Record] = []
    trace = Trace("phone", file.append, lambda: 1.5).also(screen.append)
    trace.state("dialog", "confirmed")
    assert file == screen == [StateRecord(1.5, "phone", "dialog", "confirmed", "")]
