"""Traces of several processes become one drawing; the drawing itself is kept in tests/traces and read by reviewers."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gateway.lab import drawing as module
from gateway.lab.drawing import draw
from gateway.lab.ladder import Arrow, as_json, build_ladder, main
from sipstack.flow import HostPort
from sipstack.net.tracefile import dump_record
from sipstack.trace import Record, StateRecord, WireRecord

from .test_wiremessages import INVITE, REGISTER, RINGING, SEND

TRACES = Path(__file__).parents[2] / "traces"
START = 1_767_225_600.0  # 2026-01-01 00:00:00 UTC

GATEWAY = ("127.0.0.1", 5070)
CORE = ("127.0.0.1", 5060)
PHONE = ("127.0.0.1", 5090)
HTTP = ("127.0.0.1", 8080)
BROWSER = ("127.0.0.1", 40001)
GATEWAY_MSRP = ("127.0.0.1", 2855)
PHONE_MSRP = ("127.0.0.1", 2856)
GATEWAY_MAIL = ("127.0.0.1", 40002)
MAILBOX = ("127.0.0.1", 2525)


class Recorder:
    """Two sides of a wire, each with its own record of what crossed it."""

    def __init__(self) -> None:
        self.now = START
        self.records: dict[str, list[Record]] = {}

    def crosses(
        self,
        protocol: str,
        data: bytes,
        source: tuple[str | None, HostPort],
        target: tuple[str | None, HostPort],
        transport: str = "TCP",
    ) -> None:
        """Send ``data``; an actor None records nothing."""
        for direction, (actor, local), remote in (("out", source, target[1]), ("in", target, source[1])):
            self.now += 0.001
            if actor is not None:
                record = WireRecord(self.now, actor, protocol, transport, direction, local, remote, data)
                self.records.setdefault(actor, []).append(record)

    def changes(self, actor: str, subject: str, state: str) -> None:
        self.records.setdefault(actor, []).append(StateRecord(self.now, actor, subject, state))

    def all(self) -> list[Record]:
        return [record for records in self.records.values() for record in records]


def conversation() -> Recorder:
    """A guest sends one message; every kind of hop is in it."""
    wire = Recorder()
    gateway, core, phone = ("gateway", GATEWAY), ("core", CORE), ("A's phone", PHONE)
    wire.crosses("HTTP", b"POST /rcsgw/invitee/user HTTP/1.1\r\n\r\n", (None, BROWSER), ("gateway", HTTP))
    wire.crosses("HTTP", b"HTTP/1.1 201 Created\r\n\r\n", ("gateway", HTTP), (None, BROWSER))
    wire.crosses("SMTP", b"EHLO gw\r\n", ("gateway", GATEWAY_MAIL), (None, MAILBOX))
    wire.crosses("SIP", REGISTER, gateway, core, "UDP")
    wire.now += 0.5
    wire.crosses("SIP", REGISTER, gateway, core, "UDP")
    wire.changes("gateway", "registration sip:b@cc.com", "REGISTERED")
    wire.crosses("HTTP", b"POST /rcsgw/invitee/message HTTP/1.1\r\n\r\n", (None, BROWSER), ("gateway", HTTP))
    wire.crosses("SIP", INVITE, gateway, core)
    forwarded = INVITE.replace(b"Via:", b"Via: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK9\r\nVia:", 1)
    wire.crosses("SIP", forwarded, core, phone)
    wire.crosses("SIP", RINGING, phone, core)
    wire.crosses("SIP", RINGING, core, gateway)
    gateway_msrp, phone_msrp = ("gateway", GATEWAY_MSRP), ("A's phone", PHONE_MSRP)
    answer = b"MSRP %b 200 OK\r\nTo-Path: msrp://h:2/t;tcp\r\nFrom-Path: msrp://h:1/s;tcp\r\n-------%b$\r\n"
    wire.crosses("MSRP", SEND, gateway_msrp, phone_msrp)
    wire.crosses("MSRP", answer % (b"abcd", b"abcd"), phone_msrp, gateway_msrp)
    for number in range(4):
        last = number == 3
        chunk = SEND.replace(b"abcd", b"cdef%d" % number).replace(b"cdef%defg" % number, b"abcdefg")
        chunk = chunk.replace(b"m1234", b"m9999").replace(b"1-7/7", b"%d-*/28" % (1 + 7 * number))
        wire.crosses("MSRP", chunk if last else chunk.replace(b"$\r\n", b"+\r\n"), gateway_msrp, phone_msrp)
        wire.crosses("MSRP", answer % ((b"cdef%d" % number,) * 2), phone_msrp, gateway_msrp)
    wire.crosses("HTTP", b"HTTP/1.1 200 OK\r\n\r\n", ("gateway", HTTP), (None, BROWSER))
    return wire


def test_the_drawing_is_as_reviewed() -> None:
    drawn = draw(build_ladder(conversation().all(), states=True), width=120)
    golden = TRACES / "ladder.txt"
    if os.environ.get("UPDATE_TRACES"):
        golden.write_text(drawn, encoding="utf-8")
    assert drawn == golden.read_text(encoding="utf-8")
    assert max(map(len, drawn.splitlines())) <= 120


def test_both_sides_of_a_hop_become_one_arrow() -> None:
    ladder = build_ladder(conversation().all())
    invites = [
        (line.source, line.target, line.received_at is not None)
        for line in ladder.lines
        if isinstance(line, Arrow) and line.label.startswith("INVITE")
    ]
    assert invites == [("gateway", "core", True), ("core", "A's phone", True)]
    assert ladder.actors == ["inviter", "guest", "gateway", "core", "A's phone", "mailbox"]


def test_one_side_is_enough() -> None:
    both, one = conversation(), conversation()
    del one.records["core"], one.records["A's phone"]
    labels = [line.label for line in build_ladder(one.all()).lines if isinstance(line, Arrow)]
    whole = [line for line in build_ladder(both.all()).lines if isinstance(line, Arrow)]
    assert labels == [line.label for line in whole if "gateway" in (line.source, line.target)]
    assert "127.0.0.1:5060" in build_ladder(one.all()).actors
    assert "kamailio" in build_ladder(one.all(), names={CORE: "kamailio"}).actors
    assert "kamailio" in build_ladder(one.all(), names={"SIP": "kamailio"}).actors


def test_a_listener_on_all_addresses_is_found() -> None:
    sent = WireRecord(1.0, "gateway", "SIP", "UDP", "out", ("0.0.0.0", 5070), CORE, REGISTER)
    came = WireRecord(1.1, "core", "SIP", "UDP", "in", ("0.0.0.0", 5060), GATEWAY, REGISTER)
    ladder = build_ladder([came, sent])
    assert [(line.source, line.target) for line in ladder.lines if isinstance(line, Arrow)] == [("gateway", "core")]
    alone = build_ladder([WireRecord(1.0, "gateway", "SIP", "UDP", "out", None, CORE, REGISTER), came])
    assert alone.actors == ["gateway", "core"]


def test_a_mailbox_that_recorded_mail_got_it_from_the_gateway() -> None:
    came = WireRecord(1.0, "mailbox", "SMTP", "TCP", "in", MAILBOX, GATEWAY_MAIL, b"MAIL FROM:<gw@x>\r\n")
    answered = WireRecord(1.1, "mailbox", "SMTP", "TCP", "out", MAILBOX, GATEWAY_MAIL, b"250 OK\r\n")
    ladder = build_ladder([came, answered])
    ends = [(line.source, line.target) for line in ladder.lines if isinstance(line, Arrow)]
    assert ends == [("gateway", "mailbox"), ("mailbox", "gateway")]


def test_a_column_can_be_left_out() -> None:
    whole = build_ladder(conversation().all(), states=True)
    part = whole.without("core")
    assert "core" not in part.actors and 0 < len(part.lines) < len(whole.lines)


def test_what_an_actor_sends_to_itself_and_to_nobody_known() -> None:
    own = WireRecord(1.0, "core", "SIP", "UDP", "out", CORE, CORE, REGISTER)
    lost = WireRecord(1.1, "core", "SIP", "UDP", "out", CORE, None, REGISTER)
    ladder = build_ladder([own, lost])
    assert [line.target for line in ladder.lines if isinstance(line, Arrow)] == ["core", "?"]
    assert "↻" in draw(ladder)


def test_retransmissions_are_marked_and_long_messages_folded() -> None:
    labels = [line.label for line in build_ladder(conversation().all()).lines if isinstance(line, Arrow)]
    assert "REGISTER sip:b@cc.com Expires 0 +credentials again" in labels
    assert "MSRP SEND 7 B of 28 ×3" in labels
    assert "MSRP 200 OK ×3" in labels


def test_nothing_secret_is_drawn() -> None:
    wire = Recorder()
    request = b"GET /rcsgw/invitee/session/sip:b@cc.com?passwd=geheim HTTP/1.1\r\nAuthorization: Basic Z2VoZWlt\r\n\r\n"
    wire.crosses("HTTP", request, (None, BROWSER), ("gateway", HTTP))
    ladder = build_ladder(wire.all())
    for text in (draw(ladder), as_json(ladder)):
        assert "geheim" not in text and "Z2VoZWlt" not in text
        assert "/rcsgw/invitee/session/sip:b@cc.com?…" in text


def test_json_has_an_object_an_arrow() -> None:
    rows = [json.loads(line) for line in as_json(build_ladder(conversation().all(), states=True)).splitlines()]
    invite = next(row for row in rows if row.get("method") == "INVITE")
    assert (invite["from"], invite["to"], invite["call_id"], invite["cseq"]) == ("gateway", "core", "c1", "1 INVITE")
    assert invite["received_at"] > invite["at"]
    assert any(row.get("count") == 3 for row in rows)
    assert any(row.get("state") == "registration sip:b@cc.com REGISTERED" for row in rows)


def test_the_command_reads_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = []
    for actor, records in conversation().records.items():
        file = tmp_path / f"{actor}.jsonl"
        file.write_text("".join(dump_record(record) + "\n" for record in records), encoding="utf-8")
        files.append(str(file))
    assert main([*files, "--width", "120"]) == 0
    drawn = capsys.readouterr().out
    assert "INVITE sip:a@cc.com (SDP)" in drawn
    assert main([*files[:1], "--name", "kamailio=127.0.0.1:5060"]) == 0
    assert "kamailio" in capsys.readouterr().out
    assert main([*files, "--ascii"]) == 0
    assert capsys.readouterr().out.isascii()
    assert main([*files, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["from"] == "inviter"


def test_an_empty_trace_says_so() -> None:
    assert draw(build_ladder([])) == "nothing was recorded\n"


def test_long_ladders_repeat_their_head_and_short_terminals_cut_labels() -> None:
    wire = Recorder()
    for number in range(module.HEADER_EVERY + 1):
        data = REGISTER.replace(b"Call-ID: c2", b"Call-ID: %d" % number)
        wire.crosses("SIP", data, ("gateway", GATEWAY), ("core", CORE), "UDP")
    drawn = draw(build_ladder(wire.all()), width=60)
    assert drawn.count("gateway") == 2
    assert all(len(line) <= 60 for line in drawn.splitlines()[1:]) and "…" in drawn
