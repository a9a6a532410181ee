"""Rules of :rfc:`4975` as a peer sees them on one connection: each test names the lines of part C that it shows."""

from __future__ import annotations

import re

import pytest

from sipstack.errors import LocalProtocolError, MessageTooLarge
from sipstack.msrp.chunk import BadRequest, Chunk, MsrpResponse
from sipstack.msrp.connection import MAX_FAULTS
from sipstack.msrp.events import FaultNoted
from sipstack.msrp.head import MAX_HEADERS
from sipstack.msrp.message import MessageState
from sipstack.msrp.reception import PARTIAL_TIMEOUT
from sipstack.msrp.uri import MAX_PATH, MsrpUri
from tests.sipstack.msrp.helpers import OURS, THEIRS, End, answer, frame, frames_of, messages, report, send


@pytest.fixture
def end() -> End:
    return End()


def statuses(end: End) -> list[int]:
    """Return the codes of the responses that are to be sent."""
    return [one.status for one in end.output_frames() if isinstance(one, MsrpResponse)]


# Frames


@pytest.mark.parametrize(
    "start", [b"msrp abcd SEND", b"MSRP abcd send", b"MSRP abcd Send", b"MSRP/1.0 abcd SEND", b"MSRP abcd 2000 OK"]
)
def test_start_lines_are_upper_case_and_without_version(end: End, start: bytes) -> None:
    # C-FRM-01
    end.session()
    end.receive(send("abcd").replace(b"MSRP abcd SEND", start))
    assert end.connection.is_closing and end.output() == b""


def test_from_path_first(end: End) -> None:
    # C-FRM-04, C-BAD-03
    end.session()
    end.receive(
        frame(
            f"MSRP abcd1234 SEND\nFrom-Path: {THEIRS}\nTo-Path: {OURS}\nMessage-ID: 12345678\nContent-Type: a/b\n",
            b"x",
            "-------abcd1234$",
        )
    )
    assert statuses(end) == [400] and not end.connection.is_closing


def test_content_type_is_the_last_header_that_we_send(end: End) -> None:
    # C-FRM-04, C-FRM-05
    end.session().send(b"x", "text/plain")
    head = end.output().partition(b"\r\n\r\n")[0].decode().split("\r\n")
    assert [line.partition(": ")[0] for line in head[1:]] == [
        "To-Path",
        "From-Path",
        "Message-ID",
        "Byte-Range",
        "Success-Report",
        "Failure-Report",
        "Content-Type",
    ]


def test_header_names_in_any_case_but_not_folded(end: End) -> None:
    # C-FRM-05
    end.session()
    octets = send(extra="SUCCESS-REPORT: NO\nfailure-report: Yes\n")
    octets = octets.replace(b"To-Path", b"to-path").replace(b"From-Path", b"FROM-PATH")
    (message,) = messages(end.receive(octets))
    message.accept()
    assert statuses(end) == [200]
    end.receive(send("tid00002", extra="X-Long: one\n two\n"))
    assert statuses(end) == [400]


@pytest.mark.parametrize("character", ["\r", "\n", "\0", "\x7f"])
def test_control_characters_in_headers(end: End, character: str) -> None:
    # C-FRM-05, RFC 4975 section 9: utf8text has none. Of a response they would come back in our next request.
    end.session()
    octets = send(extra="X-Name: a?b\n").replace(b"?", character.encode())
    end.receive(octets)
    assert statuses(end) == [400]
    end.receive(octets.replace(b"/s2b", b"/s2" + character.encode()))
    (response,) = end.output_frames()
    assert isinstance(response, MsrpResponse) and response.to_path == THEIRS.replace("/s2b", "/s2?")
    end.receive(answer("abcd1234").replace(b"\r\n----", b"\r\nX-Name: a%cb\r\n----" % character.encode()))
    assert end.connection.dropped == 1


def test_mime_headers_are_kept(end: End) -> None:
    # C-FRM-11, C-FRM-14: a transfer encoding must not be there; the body is what it is.
    end.session()
    octets = send(body=b"aGVsbG8=", extra="Content-Transfer-Encoding: base64\nContent-ID: <a@b>\n")
    (message,) = messages(end.receive(octets))
    assert message.body == b"aGVsbG8="
    assert dict(message.headers)["Content-ID"] == "<a@b>"


def test_we_name_no_transfer_encoding(end: End) -> None:
    # C-FRM-14
    end.session().send(b"\0\xff\r\n", "application/octet-stream")
    octets = end.output()
    assert b"Transfer-Encoding" not in octets and b"\r\n\r\n\0\xff\r\n\r\n-------" in octets


@pytest.mark.parametrize(
    "octets",
    [
        send(extra="X: " + "y" * 4100 + "\n"),
        send(extra="X: 1\n" * MAX_HEADERS),
        send(by=" ".join([THEIRS] * (MAX_PATH + 1))),
        send(to=" ".join([OURS] * (MAX_PATH + 1))),
    ],
    ids=["header line", "headers", "From-Path", "To-Path"],
)
def test_what_exceeds_a_limit_is_answered_and_the_connection_closed(end: End, octets: bytes) -> None:
    # C-FRM-12
    end.session()
    end.receive(octets)
    assert statuses(end) == [400]
    assert end.connection.is_closing and isinstance(end.connection.error, MessageTooLarge)


def test_response_without_comment(end: End) -> None:
    # C-FRM-13
    message = end.session().send(b"x", "text/plain")
    (chunk,) = end.output_frames()
    assert isinstance(chunk, Chunk)
    end.receive(answer(chunk.transaction_id, 200, ""))
    assert message.state is MessageState.SENT


def test_response_that_is_chunked_closes_the_connection(end: End) -> None:
    # C-FRM-10: it is not taken as an answer.
    message = end.session().send(b"x", "text/plain")
    (chunk,) = end.output_frames()
    assert isinstance(chunk, Chunk)
    end.receive(answer(chunk.transaction_id)[:-3] + b"+\r\n")
    assert message.state is MessageState.PENDING and end.connection.is_closing


# URIs


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        ("msrp://ex%61mple.com:1/a;tcp", "msrp://example.COM:1/a;tcp", True),
        ("msrp://a%7Eb:1/a;tcp", "msrp://a~b:1/a;tcp", True),
        ("msrp://a%2Cb:1/a;tcp", "msrp://a%2cb:1/a;tcp", True),
        ("msrp://a%2Cb:1/a;tcp", "msrp://a,b:1/a;tcp", False),
        ("msrp://a%zz:1/a;tcp", "msrp://azz:1/a;tcp", False),
        ("msrp://192.0.2.1/a;tcp", "msrp://192.0.2.1:2855/a;tcp", False),
        ("msrp://h:1;tcp", "msrp://h:1/a;tcp", False),
    ],
)
def test_uris_are_compared_after_percent_decoding(left: str, right: str, equal: bool) -> None:
    # C-URI-02, RFC 4975 section 6.1: only what needs no encoding is decoded.
    assert MsrpUri.parse(left).matches(MsrpUri.parse(right)) is equal
    assert MsrpUri.parse(right).matches(MsrpUri.parse(left)) is equal


def test_uri_without_transport(end: End) -> None:
    # C-URI-01
    end.session()
    end.receive(send(by=THEIRS.removesuffix(";tcp")))
    assert statuses(end) == [400]


# Messages and chunks


def test_one_send_without_byte_range_is_a_message(end: End) -> None:
    # C-BR-01, C-BR-07
    end.session()
    (message,) = messages(end.receive(send().replace(b"Byte-Range: 1-5/5\r\n", b"")))
    assert message.body == b"hello"


def test_chunks_of_10240_octets_with_exact_ranges(end: End) -> None:
    # C-BR-10
    end.session()
    body = bytes(range(256)) * 100
    found = []
    for start in range(0, len(body), 10_240):
        part = body[start : start + 10_240]
        flag = "$" if start + len(part) == len(body) else "+"
        ranges = f"{start + 1}-{start + len(part)}/{len(body)}"
        found += messages(end.receive(send(f"tid{start:05}", part, byte_range=ranges, flag=flag)))
    assert [message.body for message in found] == [body]


def test_a_chunk_shorter_or_longer_than_it_says(end: End) -> None:
    # C-BR-06, C-FRM-09: what counts is what is there.
    end.session()
    end.receive(send("tid00001", b"abc", byte_range="1-5/6", flag="+"))
    (message,) = messages(end.receive(send("tid00002", b"def", byte_range="4-4/6")))
    assert message.body == b"abcdef"


def test_200_for_the_peers_message_leaves_amid_an_upload(end: End) -> None:
    # C-BR-04: not one more octet of the 3 MB goes before the response, wherever the upload is.
    session = end.session()
    upload = session.send(bytes(3_000_000), "application/octet-stream")
    end.connection.data_to_send(end.clock())
    answers = 0
    while upload.written < upload.size:
        answers += 1
        (message,) = messages(end.receive(send(f"tid{answers:05}", message_id=f"number{answers:05}")))
        message.accept()
        before, found, _ = end.connection.data_to_send(end.clock()).partition(f"MSRP tid{answers:05} 200".encode())
        assert found and re.fullmatch(rb"(\r\n-------[A-Za-z0-9]+[+]\r\n)?", before), "an end-line at most"
    assert answers > 10


def test_unfinished_message_that_stood_still(end: End) -> None:
    # C-BR-11: what goes on behind the gap is told so; from its beginning on the message is welcome again.
    session = end.session()
    end.receive(send("tid00001", b"abc", byte_range="1-*/9", flag="+"))
    end.advance(PARTIAL_TIMEOUT + 1)
    assert session.partial_touched("87652491kzp") is None
    end.receive(send("tid00002", b"def", byte_range="4-*/9", flag="+"))
    end.receive(send("tid00003", b"ghi", byte_range="7-9/9"))
    assert statuses(end) == [200, 413, 413]
    end.receive(send("tid00004", b"abc", byte_range="1-*/6", flag="+"))
    (message,) = messages(end.receive(send("tid00005", b"xyz", byte_range="4-6/6")))
    assert message.body == b"abcxyz"


def test_unfinished_message_that_stood_still_goes_on_before_our_timer(end: End) -> None:
    # C-BR-11
    end.session()
    end.receive(send("tid00001", b"abc", byte_range="1-*/6", flag="+"))
    end.clock.advance(PARTIAL_TIMEOUT + 1)
    assert end.receive(send("tid00002", b"def", byte_range="4-*/6")) == []
    assert statuses(end) == [200, 413]


@pytest.mark.parametrize("refused", [True, False])
def test_abort_of_what_is_gone_already(end: End, refused: bool) -> None:
    # C-BR-08: "#" is a success whatever it ends.
    end.session(max_size=100)
    end.receive(send("tid00001", b"abc", byte_range="1-*/101" if refused else "1-*/9", flag="+"))
    end.advance(PARTIAL_TIMEOUT + 1)
    end.receive(send("tid00002", b"d", byte_range="4-*/9", flag="#"))
    assert statuses(end) == [413 if refused else 200, 200]


def test_message_whose_length_changes_is_noted(end: End) -> None:
    # C-BAD-05
    end.session()
    end.receive(send("tid00001", b"abc", byte_range="1-3/*", flag="+"))
    assert end.receive(send("tid00002", b"def", byte_range="4-6/9", flag="+")) == []
    noted, message = end.receive(send("tid00003", b"ghij", byte_range="7-10/10"))
    assert isinstance(noted, FaultNoted) and "10 octets now, 9 before" in noted.reason
    assert messages([message])[0].body == b"abcdefghij"


# Responses


@pytest.mark.parametrize("method", ["NICKNAME", "AUTH"])
@pytest.mark.parametrize("octets", [send(body=None), send(byte_range="x")], ids=["unknown", "faulty"])
def test_responses_to_other_methods_go_the_whole_way_back(end: End, method: str, octets: bytes) -> None:
    # C-RSP-06, C-FRM-11, RFC 4975 section 7.2
    end.session()
    path = f"msrp://relay:1/x;tcp {THEIRS}"
    end.receive(octets.replace(THEIRS.encode(), path.encode()).replace(b" SEND", f" {method}".encode()))
    (response,) = end.output_frames()
    assert isinstance(response, MsrpResponse) and response.status == 501 and response.to_path == path


def test_malformed_request_by_relays(end: End) -> None:
    # C-RSP-06, C-BAD-02
    end.session()
    path = f"msrp://relay:1/x;tcp {THEIRS}"
    end.receive(send(by=path, byte_range="x") + send("tid00002", by=path, extra="FooBar\n").replace(b" SEND", b" AUTH"))
    by_send, by_auth = end.output_frames()
    assert isinstance(by_send, MsrpResponse) and by_send.to_path == "msrp://relay:1/x;tcp"
    assert isinstance(by_auth, MsrpResponse) and by_auth.to_path == path and by_auth.status == 400


@pytest.mark.parametrize(
    ("status", "ends_session"),
    [
        (400, False),
        (401, False),
        (403, False),
        (404, False),
        (413, False),
        (415, False),
        (423, False),
        (424, False),
        (425, False),
        (428, False),
        (481, True),
        (501, False),
        (506, True),
        (399, False),
        (699, False),
    ],
)
def test_each_code_fails_its_message_and_some_the_session(end: End, status: int, ends_session: bool) -> None:
    # C-RSP-09
    session = end.session()
    session.send(b"x", "text/plain", message_id="refused1", on_done=end.on_done)
    (chunk,) = end.output_frames()
    assert isinstance(chunk, Chunk)
    end.receive(answer(chunk.transaction_id, status, ""))
    assert end.done == [("refused1", "failed", status)]
    assert session.closed is ends_session


def test_success_report_on_the_wire(end: End, monkeypatch: pytest.MonkeyPatch) -> None:
    # C-RSP-02, C-RSP-03: one report on everything, with these headers and no others.
    monkeypatch.setattr("sipstack.ids.msrp_transaction_id", lambda: "k2p0Zq7x")
    end.session()
    (message,) = messages(end.receive(send(extra="Failure-Report: no\nSuccess-Report: yes\n")))
    message.accept()
    assert end.output() == frame(
        f"MSRP k2p0Zq7x REPORT\nTo-Path: {THEIRS}\nFrom-Path: {OURS}\nMessage-ID: 87652491kzp\n"
        "Byte-Range: 1-5/5\nStatus: 000 200 OK\n-------k2p0Zq7x$\n"
    )


@pytest.mark.parametrize("wish", ["Success-Report: no\n", "", "Success-Report: partial\n"])
def test_no_report_unless_asked_for(end: End, wish: str) -> None:
    # C-RSP-02
    end.session()
    (message,) = messages(end.receive(send(extra=wish)))
    message.accept()
    assert [type(one) for one in end.output_frames()] == [MsrpResponse]


def test_reports_get_no_octet_back(end: End) -> None:
    # C-RSP-03: neither a report on what we sent nor on what we did not, whole or malformed.
    end.session().send(b"x", "text/plain", message_id="known001")
    end.output()
    for message_id in ("known001", "unknown1"):
        end.receive(report("000 200 OK", message_id=message_id, byte_range="1-1/1"))
        end.receive(report("nonsense", message_id=message_id))
    assert end.output() == b"" and end.connection.dropped == 2


def test_session_that_ends_before_the_report(end: End) -> None:
    # C-RSP-11: the 200 came from the relay only; what nobody reported on is unknown.
    session = end.session(remote=f"msrp://relay:1/x;tcp {THEIRS}")
    message = session.send(b"x", "text/plain", message_id="relayed1", success_report=True)
    (chunk,) = end.output_frames()
    assert isinstance(chunk, Chunk)
    end.receive(answer(chunk.transaction_id))
    end.connection.detach(session, end.clock())
    assert session.close() == [message]
    assert message.state is MessageState.UNKNOWN


@pytest.mark.parametrize("wish", ["yes", "partial", "no"])
def test_failure_that_shows_after_the_200(end: End, monkeypatch: pytest.MonkeyPatch, wish: str) -> None:
    # C-RSP-04: the report names the octets that there really were, and the sender may try again.
    monkeypatch.setattr("sipstack.ids.msrp_transaction_id", lambda: "k2p0Zq7x")
    end.session()
    relayed = f"msrp://relay:1/x;tcp {THEIRS}"
    wishes = f"Failure-Report: {wish}\n"
    end.receive(send("tid00001", b"abc", byte_range="1-*/*", by=relayed, extra=wishes, flag="+"))
    (message,) = messages(end.receive(send("tid00002", b"def", byte_range="4-*/*", by=relayed, extra=wishes)))
    message.accept()
    end.output()
    message.report_failure(408)
    expected = frame(
        f"MSRP k2p0Zq7x REPORT\nTo-Path: {relayed}\nFrom-Path: {OURS}\nMessage-ID: 87652491kzp\n"
        "Byte-Range: 1-6/6\nStatus: 000 408 Request Timeout\n-------k2p0Zq7x$\n"
    )
    assert end.output() == (b"" if wish == "no" else expected)
    assert len(messages(end.receive(send("tid00003", by=relayed)))) == 1
    with pytest.raises(LocalProtocolError):
        message.report_failure(200)


@pytest.mark.parametrize("status", ["000 413", "000 413 Stop", "000 500", "001 200", "001 413", "999 500"])
def test_reports_count_like_responses_in_namespace_zero_only(end: End, status: str) -> None:
    # C-RSP-05: a range that did not arrive ends the session; a refusal of the message does not.
    session = end.session()
    session.send(b"x", "text/plain", message_id="reported", on_done=end.on_done)
    end.output()
    end.receive(report(status, message_id="reported", byte_range="1-1/1"))
    code = int(status[4:7])
    assert end.done == ([("reported", "failed", code)] if status.startswith("000") else [])
    assert session.closed is (status == "000 500")


def test_direction_stops_payload_only(end: End) -> None:
    # C-SES-05: notifications, typing and reports flow on, and so does a SEND without content.
    session = end.session(attach=False, remote=None)
    session.may_send = False
    early = session.send(b"x", "text/plain", on_done=end.on_done)
    assert (early.state, early.status) == (MessageState.FAILED, 403)
    session.may_send = True
    queued = session.send(b"x", "text/plain", on_done=end.on_done)
    session.may_send = False
    session.open((MsrpUri.parse(THEIRS),))
    assert queued.status == 403
    end.connection.attach(session)
    session.send(b"<imdn/>", "message/imdn+xml", is_control=True)
    session.send_empty()
    (message,) = messages(end.receive(send(extra="Success-Report: yes\n")))
    message.accept()
    assert [type(one).__name__ for one in end.output_frames()] == ["MsrpResponse", "Report", "Chunk", "Chunk"]


# Faults


def test_faults_are_counted_and_told_though_not_answered(end: End) -> None:
    # C-BAD-11
    end.session()
    (event,) = end.receive(send(byte_range="x", extra="Failure-Report: no\n"))
    assert isinstance(event, FaultNoted) and "Byte-Range" in event.reason
    assert end.output() == b"" and end.connection.faults == 1


@pytest.mark.parametrize("byte_range", ["0-5/5", "5-4/9", "1-10/9"])
def test_impossible_ranges(end: End, byte_range: str) -> None:
    # C-BAD-05
    end.session()
    end.receive(send(byte_range=byte_range))
    assert statuses(end) == [400]


def test_total_that_changes(end: End) -> None:
    # C-BAD-05: the chunk that ends in "$" says how long the message is.
    end.session()
    end.receive(send("tid00001", b"abc", byte_range="1-3/9", flag="+"))
    (message,) = messages(end.receive(send("tid00002", b"def", byte_range="4-6/6")))
    assert message.body == b"abcdef"


@pytest.mark.parametrize("header", ["Message-ID: second01", "Byte-Range: 1-5/5", f"To-Path: {OURS}", "FROM-PATH: x"])
def test_repeated_headers(end: End, header: str) -> None:
    # C-BAD-08
    end.session()
    end.receive(send(extra=f"{header}\n"))
    assert statuses(end) == [400]


def test_message_without_id(end: End) -> None:
    # C-BAD-09
    end.session()
    end.receive(send().replace(b"Message-ID: 87652491kzp\r\n", b""))
    assert statuses(end) == [400]


def test_faults_that_are_forgiven(end: End) -> None:
    # C-BAD-02, C-BAD-10: the end-line is found, what follows counts; a sound request in between begins anew.
    end.session()
    for number in range(3 * MAX_FAULTS):
        end.receive(send("tid00001", byte_range="x"))
        (message,) = messages(end.receive(send("tid00002", message_id=f"sound{number:03}")))
        message.accept()
    assert statuses(end) == [400, 200] * (3 * MAX_FAULTS)
    assert not end.connection.is_closing and end.connection.faults == 3 * MAX_FAULTS


def test_late_response(end: End) -> None:
    # C-BAD-06: to what has timed out, and to nothing at all.
    message = end.session().send(b"x", "text/plain")
    (chunk,) = end.output_frames()
    assert isinstance(chunk, Chunk)
    end.advance(31)
    assert end.receive(answer(chunk.transaction_id) + answer("zzzz")) == []
    assert message.state is MessageState.UNKNOWN and not end.connection.is_closing


def test_parser_marks_only_limits_as_such() -> None:
    # C-FRM-12, C-BAD-04
    (slip,) = frames_of(send(extra="FooBar\n"))
    (limit,) = frames_of(send(extra="X: 1\n" * MAX_HEADERS))
    assert isinstance(slip, BadRequest) and not slip.over_limit
    assert isinstance(limit, BadRequest) and limit.over_limit
