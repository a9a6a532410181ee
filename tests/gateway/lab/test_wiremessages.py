"""Recorded bytes become labelled messages, however they were cut, and whatever is wrong with them."""

from __future__ import annotations

import pytest

from gateway.lab.wiremessages import sip_part, splitters
from gateway.lab.wiretext import Splitter, chunked_end, plain_path

INVITE = (
    b"INVITE sip:a:pw@cc.com;user=phone?x=y SIP/2.0\r\n"
    b"Via: SIP/2.0/TCP 127.0.0.1:5070;branch=z9hG4bK1\r\n"
    b"From: <sip:b@cc.com>;tag=1\r\nTo: <sip:a@cc.com>\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n"
    b"Content-Type: application/sdp\r\nContent-Length: 4\r\n\r\nv=0\n"
)
RINGING = (
    b"SIP/2.0 180 Ringing\r\nVia: SIP/2.0/TCP 127.0.0.1:5070;branch=z9hG4bK1\r\n"
    b"From: <sip:b@cc.com>;tag=1\r\nTo: <sip:a@cc.com>;tag=2\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\n"
    b"Content-Length: 0\r\n\r\n"
)
REGISTER = (
    b"REGISTER sip:cc.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK2\r\n"
    b"From: <sip:b@cc.com>;tag=1\r\nTo: <sip:b@cc.com>\r\nCall-ID: c2\r\nCSeq: 2 REGISTER\r\nMax-Forwards: 70\r\n"
    b"Contact: <sip:t@127.0.0.1:5070>;expires=0\r\n"
    b'Authorization: Digest username="b", response="***"\r\nContent-Length: 0\r\n\r\n'
)
SEND = (
    b"MSRP abcd SEND\r\nTo-Path: msrp://h:1/s;tcp\r\nFrom-Path: msrp://h:2/t;tcp\r\nMessage-ID: m1234\r\n"
    b"Byte-Range: 1-7/7\r\nContent-Type: text/plain\r\n\r\nabcdefg\r\n-------abcd$\r\n"
)


def labels(splitter: Splitter, *pieces: bytes) -> list[str]:
    return [part.label for piece in pieces for part in splitter.receive_data(piece)]


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_sip_over_a_stream(size: int) -> None:
    stream, _ = splitters("SIP", "TCP")
    assert labels(stream, *cut(b"\r\n\r\n" + INVITE + b"\r\n\r\n" + RINGING + REGISTER, size)) == [
        "INVITE sip:a@cc.com (SDP)",
        "180 Ringing (INVITE)",
        "REGISTER sip:b@cc.com Expires 0 +credentials",
    ]


def test_a_masked_body_does_not_swallow_the_next_message() -> None:
    short = INVITE.replace(b"Content-Length: 4", b"Content-Length: 99")
    stream, _ = splitters("SIP", "TCP")
    assert labels(stream, short, RINGING) == [
        "INVITE sip:a@cc.com (malformed Content-Length)",
        "180 Ringing (INVITE)",
    ]


def test_datagrams_and_keep_alives() -> None:
    datagrams, _ = splitters("SIP", "UDP")
    assert labels(datagrams, REGISTER, b"\r\n\r\n", b"\0", b"hello") == [
        "REGISTER sip:b@cc.com Expires 0 +credentials",
        "SIP? hello",
    ]


@pytest.mark.parametrize(
    ("line", "label"),
    [
        (b"OPTIONS tel:+49151;phone-context=x SIP/2.0", "OPTIONS tel:+49151"),
        (b"MESSAGE urn:service:sos SIP/2.0", "MESSAGE urn:service:sos"),
        (b"BYE sip:t@[::1]:5070;transport=tcp SIP/2.0", "BYE sip:t@[::1]"),
        (b"BYE sip:h SIP/2.0", "BYE sip:h"),
    ],
)
def test_request_uris_are_shown_plainly(line: bytes, label: str) -> None:
    data = INVITE.replace(b"INVITE sip:a:pw@cc.com;user=phone?x=y SIP/2.0", line).replace(
        b"1 INVITE", b"1 " + line.split(b" ")[0]
    )
    assert sip_part(data).label.startswith(label + " (SDP)")


def test_register_with_star_and_with_expires_header() -> None:
    star = REGISTER.replace(b"<sip:t@127.0.0.1:5070>;expires=0", b"*\r\nExpires: 0")
    assert " Expires 0" in sip_part(star).label
    lasting = REGISTER.replace(b";expires=0", b"")
    assert sip_part(lasting).label == "REGISTER sip:b@cc.com +credentials"


@pytest.mark.parametrize("size", [1, 50, 10_000])
def test_msrp_frames_and_their_answers(size: int) -> None:
    out, back = splitters("MSRP", "TCP")
    assert labels(out, *cut(SEND, size)) == ["MSRP SEND 7 B"]
    answer = b"MSRP abcd 200 OK\r\nTo-Path: msrp://h:2/t;tcp\r\nFrom-Path: msrp://h:1/s;tcp\r\n-------abcd$\r\n"
    report = (
        b"MSRP efgh REPORT\r\nTo-Path: msrp://h:2/t;tcp\r\nFrom-Path: msrp://h:1/s;tcp\r\nMessage-ID: m1234\r\n"
        b"Byte-Range: 1-7/7\r\nStatus: 000 200\r\n-------efgh$\r\n"
    )
    assert labels(back, *cut(answer + report, size)) == ["MSRP 200 OK", "MSRP REPORT 200"]


def test_msrp_oddities() -> None:
    out, _ = splitters("MSRP", "TCP")
    auth = b"MSRP abce AUTH\r\nTo-Path: msrp://h:1/s;tcp\r\nFrom-Path: msrp://h:2/t;tcp\r\n-------abce$\r\n"
    given_up = SEND.replace(b"-------abcd$", b"-------abcd#")
    empty = (
        auth.replace(b"abce", b"abcf")
        .replace(b"AUTH", b"SEND")
        .replace(b"tcp\r\n---", b"tcp\r\nMessage-ID: m1235\r\n---")
    )
    bad = SEND.replace(b"Byte-Range: 1-7/7", b"Byte-Range: 9-7/7")
    assert labels(out, auth + given_up + empty + bad) == [
        "MSRP AUTH",
        "MSRP SEND 7 B (given up)",
        "MSRP SEND (empty)",
        "MSRP SEND (malformed: Byte-Range is malformed)",
    ]
    assert labels(out, b"GET / HTTP/1.1\r\n\r\n", SEND)[1:] == [f"MSRP? {len(SEND)} B"]


@pytest.mark.parametrize("size", [1, 13, 10_000])
def test_http_requests_and_responses(size: int) -> None:
    requests, responses = splitters("HTTP", "TCP")
    sent = (
        b"POST /rcsgw/invitee/message HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"
        b"GET /rcsgw/invitee/session/sip:b@cc.com?passwd=geheim HTTP/1.1\r\nHost: h\r\n\r\n"
        b"HEAD /i/Token HTTP/1.1\r\n\r\n"
    )
    assert labels(requests, *cut(sent, size)) == [
        "POST /rcsgw/invitee/message",
        "GET /rcsgw/invitee/session/sip:b@cc.com?…",
        "HEAD /i/…",
    ]
    answered = (
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\n\r\n"
        b"HTTP/1.1 204 No Content\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"
    )
    assert labels(responses, *cut(answered, size)) == [
        "100 Continue (POST message)",
        "200 OK (POST message)",
        "204 No Content (GET session)",
        "200 OK (HEAD …)",
    ]


@pytest.mark.parametrize("size", [1, 13, 10_000])
def test_server_sent_events_are_shown_one_by_one(size: int) -> None:
    requests, responses = splitters("HTTP", "TCP")
    assert labels(requests, b"GET /rcsgw/invitee/events HTTP/1.1\r\n\r\n") == ["GET /rcsgw/invitee/events"]

    def chunk(data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data)

    stream = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunk(b": alive\n\n")
        + chunk(b"id: 1\nevent: message\ndata: {}\n\n")
        + chunk(b"data: {}\n\n")
        + b"0\r\n\r\n"
    )
    assert labels(responses, *cut(stream, size)) == [
        "200 OK (GET events) event stream",
        "event: message",
        "event: event",
    ]


def test_http_that_is_none_and_http_cut_short_by_masking() -> None:
    requests, responses = splitters("HTTP", "TCP")
    assert labels(requests, b"hello\r\n") == ["HTTP? 7 B"]
    assert labels(requests, b"POST /a HTTP/1.1\r\nContent-Length: 30\r\n\r\n{", b"GET /b HTTP/1.1\r\n\r\n") == [
        "POST /a",
        "GET /b",
    ]
    assert labels(responses, b"HTTP/1.0 200\r\n\r\n") == ["200 (POST a)"]
    assert labels(splitters("HTTP", "TCP")[1], b"HTTP/1.0 200\r\n\r\n") == ["200"]


def test_smtp_shows_verbs_and_sizes_only() -> None:
    client, server = splitters("SMTP", "TCP")
    assert labels(server, b"220 mx\r\n") == ["SMTP 220"]
    assert labels(client, b"EHLO gw\r\n") == ["SMTP EHLO"]
    assert labels(server, b"250-mx\r\n250 AUTH LOGIN\r\n") == ["SMTP 250"]
    assert labels(client, b"AUTH LOGIN\r\n") == ["SMTP AUTH"]
    assert labels(server, b"334 x\r\n") == ["SMTP 334"]
    assert labels(client, b"Z2VoZWlt\r\n") == ["SMTP (credentials)"]
    assert labels(server, b"235 ok\r\n") == ["SMTP 235"]
    assert labels(client, b"MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n") == [
        "SMTP MAIL FROM",
        "SMTP RCPT TO",
        "SMTP DATA",
    ]
    assert labels(server, b"354 go\r\n") == ["SMTP 354"]
    assert labels(client, b"Subject: x\r\n", b"\r\nhttps://link\r\n.\r\nQUIT\r\n") == ["SMTP mail 31 B", "SMTP QUIT"]


def test_smtp_behind_starttls_is_only_counted() -> None:
    client, server = splitters("SMTP", "TCP")
    assert labels(client, b"STARTTLS\r\n") == ["SMTP STARTTLS"]
    assert labels(server, b"220 go\r\n") == ["SMTP 220"]
    assert labels(client, b"\x16\x03\x01") == ["TLS 3 B"]


def test_other_protocols_are_counted() -> None:
    assert labels(splitters("SMPP", "TCP")[0], b"1234") == ["SMPP 4 B"]


def test_small_pieces() -> None:
    assert plain_path("/gw/i/abc?x") == "/gw/i/…?…"
    assert plain_path("/invitee") == "/invitee"
    assert chunked_end(b"zz\r\n", 0) == 4
    assert chunked_end(b"5\r\nhel", 0) is None
    assert chunked_end(b"0\r\n", 0) is None
