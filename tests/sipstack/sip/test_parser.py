"""sipstack.sip.parser: A-MSG-01..04, 12..14, 17..22, 24..26, 28..30 and A-OUT-02, and the checks of validate."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipstack.errors import MessageTooLarge, ParseError
from sipstack.sip.message import Request, Response
from sipstack.sip.parser import Limits, StreamParser, parse_message, validate
from tests.strategies import requests
from tests.utils import every_chunking

FIELDS = b"""\
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1
From: <sip:dana@lab.example>;tag=f
To: <sip:guest01@ims.lab.example>
Call-ID: c1
CSeq: 1 OPTIONS
""".replace(b"\n", b"\r\n")
OPTIONS = b"OPTIONS sip:guest01@ims.lab.example SIP/2.0\r\n"
OK = b"SIP/2.0 200 OK\r\n"


def message(more: bytes = b"", body: bytes = b"", start: bytes = OPTIONS, fields: bytes = FIELDS) -> bytes:
    return start + fields + more.replace(b"\n", b"\r\n") + b"\r\n" + body


def sound(data: bytes) -> Request | Response:
    parsed = parse_message(data)
    validate(parsed)
    return parsed


def refused(data: bytes) -> ParseError:
    with pytest.raises(ParseError) as caught:
        sound(data)
    return caught.value


# datagrams


def test_datagram() -> None:
    data = b"\r\n\r\n" + message(b"Content-Type: text/plain\nContent-Length: 0000003\n", b"abcdef")
    parsed = sound(data)
    assert isinstance(parsed, Request)
    # A-MSG-20: leading zeros; A-MSG-17: what is behind Content-Length is ignored
    assert (parsed.method, parsed.body, parsed.raw) == ("OPTIONS", b"abc", data)
    assert parsed.headers.get("To") == "<sip:guest01@ims.lab.example>"


def test_without_content_length_the_body_goes_to_the_end() -> None:
    assert sound(message(b"Content-Type: a/b\n", b"ab\x00\r\n\r\ncd\xff")).body == b"ab\x00\r\n\r\ncd\xff"


@pytest.mark.parametrize(
    "start", [b"SIP/2.0 100 \r\n", b"SIP/2.0 100\r\n", "SIP/2.0 200 好的\r\n".encode(), b"sip/2.0 603 \xff no\r\n"]
)
def test_status_lines(start: bytes) -> None:
    # A-MSG-02, A-MSG-28
    parsed = sound(message(start=start))
    assert isinstance(parsed, Response)
    assert parsed.status in (100, 200, 603) and parsed.reason in ("", "好的", "\ufffd no")


@pytest.mark.parametrize(
    "start",
    [
        b"SIP/2.0\r\n",
        b"SIP/2.0 \r\n",
        b"SIP/2.0 20 OK\r\n",
        b"SIP/2.0 099 OK\r\n",
        b"SIP/2.0 700 OK\r\n",
        b"SIP/2.0  200 OK\r\n",
        b"SIP/2.0 2000 OK\r\n",
        b"SIP/2.0 4294967301 x\r\n",
        b"SIP/3.0 200 OK\r\n",
        b"SIP/2.0 200 OK\rVia: x\r\n",
        b"SIP/2.0 200 OK\nVia: x\r\n",
        b"SIP/2.0 200 O\x00K\r\n",
        b"SIP/2.0 \xd9\xa2\xd9\xa0\xd9\xa0 OK\r\n",
    ],
)
def test_bad_status_lines_are_dropped(start: bytes) -> None:
    assert refused(message(start=start)).message is None


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"OPTIONS  sip:h SIP/2.0\r\n", 400),
        (b"OPTIONS sip:h  SIP/2.0\r\n", 400),
        (b" OPTIONS sip:h SIP/2.0\r\n", 400),
        (b"OPTIONS SIP/2.0\r\n", 400),
        (b"OPTIONS sip:a@h; lr SIP/2.0\r\n", 400),
        (b"OPTIONS <sip:a@h> SIP/2.0\r\n", 400),
        (b"OPTIONS sip:a@h?Route=%3Csip:x%3E SIP/2.0\r\n", 400),
        (b"OPT\xc3\xa4 sip:h SIP/2.0\r\n", 400),
        (b"OPTIONS sip:h SIP/7.0\r\n", 505),  # A-MSG-03
        (b"OPTIONS sip:" + b"a" * 10_000 + b" SIP/2.0\r\n", 414),  # A-MSG-30
    ],
)
def test_bad_request_lines_are_answered(start: bytes, status: int) -> None:
    error = refused(message(start=start))
    assert error.status == status
    assert isinstance(error.message, Request)
    assert error.message.call_id == "c1"
    assert Response.for_request(error.message, error.status, to_tag="t").via.branch == "z9hG4bK1"


@pytest.mark.parametrize("start", [b"", b"\r\n", b"hello\r\n", b"GET / HTTP/1.1\r\n", b"\x00\x00\x00\x00"])
def test_other_protocols_are_dropped(start: bytes) -> None:
    assert refused(message(start=start)).message is None
    assert refused(start).message is None


def test_trailing_spaces_and_a_lower_case_version_are_let_through() -> None:
    assert isinstance(sound(message(start=b"OPTIONS sip:h sip/2.0  \r\n")), Request)


def test_method_is_case_sensitive() -> None:
    # A-MSG-01: an unknown method, not INVITE
    parsed = sound(message(start=b"invite sip:h SIP/2.0\r\n", fields=FIELDS.replace(b"OPTIONS", b"invite")))
    assert isinstance(parsed, Request) and parsed.method == "invite"


@pytest.mark.parametrize("length", [b"-1", b"x", b"", b"4294967296", b"1 2", b"3, 3"])
def test_malformed_content_length(length: bytes) -> None:
    error = refused(message(b"Content-Length: " + length + b"\n"))
    assert (error.what, error.status, type(error.message)) == ("Content-Length", 400, Request)


def test_content_length_against_the_datagram() -> None:
    assert refused(message(b"Content-Type: a/b\nl: 4\n", b"abc")).what == "Content-Length"
    assert refused(message(b"l: 3\nContent-Length: 4\n", b"abcd")).what == "Content-Length"
    assert sound(message(b"Content-Type: a/b\nl: 3\nContent-Length: 03\n", b"abc")).body == b"abc"


def test_broken_header_blocks() -> None:
    assert refused(message(b"nonsense\n")).what == "header line"
    assert refused(message(fields=FIELDS + b"X: a\nVia: b\r\n")).what == "header block"
    error = refused(message()[:-2])
    assert (error.what, type(error.message)) == ("header block", Request)
    assert refused(message(start=OK, fields=FIELDS + b"nonsense\r\n")).message is not None


def test_limits() -> None:
    # A-MSG-29
    assert refused(message(b"X-Lab: " + b"a" * 70_000 + b"\n")).status == 513
    assert refused(message(b"X-Lab: a\n" * 300)).status == 513
    assert refused(message(b"Route: <sip:h;lr>\n" * 129)).status == 513
    assert sound(message(b"Route: <sip:h;lr>\n" * 128)).routes
    assert refused(message(b"Content-Type: a/b\n", b"a" * (1024 * 1024 + 1))).status == 513
    error = refused(message(b"Via: SIP/2.0/UDP h" + b",SIP/2.0/UDP h" * 128 + b"\n"))
    assert isinstance(error, MessageTooLarge) and error.what == "Via"


# validation


@pytest.mark.parametrize(
    ("method", "change", "more", "what", "status"),
    [
        ("OPTIONS", (b"Call-ID: c1\r\n", b""), b"", "Call-ID", 400),
        ("OPTIONS", (b"c1", b"a b"), b"", "Call-ID", 400),
        ("OPTIONS", (b"<sip:guest01", b'"<sip:guest01'), b"", "To", 400),
        ("OPTIONS", (b"z9hG4bK1", b"Z9hG4bk"), b"", "Via", 400),
        ("OPTIONS", (b"", b""), b"CSeq: 1 OPTIONS\n", "CSeq", 400),
        ("OPTIONS", (b"", b""), b"t: <sip:x@h>\n", "To", 400),
        ("OPTIONS", (b"", b""), b"Max-Forwards: 1\nMax-Forwards: 2\n", "Max-Forwards", 400),
        ("OPTIONS", (b"1 OPTIONS", b"1 INVITE"), b"", "CSeq", 400),
        ("NEWMETHOD", (b"1 NEWMETHOD", b"1 INVITE"), b"", "CSeq", 501),
        ("OPTIONS", (b"1 OPTIONS", b"4294967296 OPTIONS"), b"", "CSeq", 400),
        ("OPTIONS", (b"", b""), b"Contact: sip:a@h?x=y\n", "Contact", 400),
        ("OPTIONS", (b"", b""), b"Route: x\n", "Route", 400),
        ("OPTIONS", (b"", b""), b"P-Asserted-Identity: x\n", "P-Asserted-Identity", 400),
        ("OPTIONS", (b"", b""), b"Content-Type: x\n", "Content-Type", 400),
        ("INVITE", (b"", b""), b"", "Contact", 400),
        ("INVITE", (b"", b""), b"Contact: <sip:a@h>,<sip:b@h>\n", "Contact", 400),
        ("INVITE", (b"", b""), b"Contact: *\n", "Contact", 400),
        ("REGISTER", (b"", b""), b"Contact: *\n", "Contact", 400),
        ("REGISTER", (b"", b""), b"Contact: *\nExpires: 1\n", "Contact", 400),
        ("REGISTER", (b"", b""), b"Contact: *\nContact: *\nExpires: 0\n", "Contact", 400),
        ("REGISTER", (b"", b""), b"Contact: *\nContact: <sip:a@h>\nExpires: 0\n", "Contact", 400),
        ("REGISTER", (b"", b""), b"Contact: *, <sip:a@h>\nExpires: 0\n", "Contact", 400),
    ],
)
def test_unsound_requests(method: str, change: tuple[bytes, bytes], more: bytes, what: str, status: int) -> None:
    # A-MSG-10, A-MSG-13, A-MSG-14, A-MSG-21, A-MSG-24
    fields = FIELDS.replace(b"OPTIONS", method.encode()).replace(*change)
    error = refused(message(more, start=OPTIONS.replace(b"OPTIONS", method.encode()), fields=fields))
    assert (error.what, error.status) == (what, status)
    assert isinstance(error.message, Request)


@pytest.mark.parametrize(
    ("method", "change", "more"),
    [
        ("REGISTER", (b"", b""), b"Contact: *\nExpires: 0\n"),
        ("INVITE", (b"", b""), b"m: <sip:a@h>\n"),
        ("INVITE", (b"branch=z9hG4bK1", b"x"), b""),  # as RFC 2543 had it
        ("OPTIONS", (b";branch=z9hG4bK1", b""), b""),
        ("OPTIONS", (b";tag=f", b""), b""),
        (
            "OPTIONS",
            (b"", b""),
            b'Date: yesterday\nSubject: "\nWarning: nonsense\nRequire: "\n',
        ),  # A-MSG-12, A-MSG-13, A-MSG-25
        ("OPTIONS", (b"", b""), b"Max-Forwards: 0\nExpires: 99999999999\n"),  # A-MSG-22
    ],
)
def test_sound_requests(method: str, change: tuple[bytes, bytes], more: bytes) -> None:
    fields = FIELDS.replace(b"OPTIONS", method.encode()).replace(*change)
    sound(message(more, start=OPTIONS.replace(b"OPTIONS", method.encode()), fields=fields))


def test_a_body_needs_a_type_in_requests() -> None:
    # A-MSG-26
    assert refused(message(body=b"abc")).what == "Content-Type"
    assert sound(message(body=b"abc", start=OK)).body == b"abc"


# streams


def collect(chunks: list[bytes], limits: Limits | None = None) -> tuple[list[str], bool, int]:
    """Return what a stream parser makes of the chunks, whether it failed, and the pings it saw."""
    parser = StreamParser() if limits is None else StreamParser(limits)
    outcome: list[str] = []
    pings = 0
    for chunk in chunks:
        parser.receive_data(chunk)
        while True:
            try:
                parsed = parser.next_message()
            except ParseError as error:
                outcome.append(f"{error.status} {error.what} {type(error.message).__name__}")
                continue
            if parsed is None:
                break
            outcome.append(f"{parsed.start_line()} {parsed.body!r}")
            assert parsed.raw is not None and parsed.raw.endswith(parsed.body) and parsed.raw.lstrip() == parsed.raw
        pings += parser.take_pings()
    return outcome, parser.failed, pings


def test_stream_of_messages_and_keep_alives() -> None:
    # A-MSG-18, A-MSG-19, A-OUT-02
    first = message(b"Content-Type: a/b\nl: 6\n", b"\r\n\r\nab")
    second = message(b"l: 0\n", start=OK)
    data = b"\r\n\r\n" + first + b"\r\n" + second + b"\r\n\r\n\r\n\r\n" + second
    outcome, failed, pings = every_chunking(data, collect)
    assert outcome == [
        "OPTIONS sip:guest01@ims.lab.example SIP/2.0 b'\\r\\n\\r\\nab'",
        "SIP/2.0 200 OK b''",
        "SIP/2.0 200 OK b''",
    ]
    assert (failed, pings) == (False, 3)


def test_a_bad_start_line_spoils_only_its_message() -> None:
    good = message(b"l: 0\n")
    bad = message(b"Content-Type: a/b\nl: 2\n", b"ab", start=b"OPTIONS sip:h SIP/7.0\r\n")
    worse = message(b"l: 0\n", start=b"SIP/2.0 2000 OK\r\n")
    outcome, failed, _ = every_chunking(bad + worse + good, collect)
    assert outcome == [
        "505 SIP version Request",
        "400 status line NoneType",
        "OPTIONS sip:guest01@ims.lab.example SIP/2.0 b''",
    ]
    assert not failed


@pytest.mark.parametrize(
    ("data", "outcome"),
    [
        (message(), "400 Content-Length Request"),
        (message(b"l: -1\n"), "400 Content-Length Request"),
        (message(b"l: 1\nl: 2\n", b"a"), "400 Content-Length Request"),
        (message(b"l: 1048577\n"), "513 body Request"),
        (message(b"nonsense\nl: 0\n"), "400 header line Request"),
        (message(b"l: 0\n", fields=FIELDS + b"X: a\nl: 9\r\n"), "400 header block Request"),
        (message(b"l: 0\n" + b"X-Lab: a\n" * 300), "513 header block Request"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "400 Content-Length NoneType"),
        (message(start=OK), "400 Content-Length Response"),
    ],
)
def test_lost_framing_ends_the_stream(data: bytes, outcome: str) -> None:
    assert every_chunking(data + message(b"l: 0\n"), collect) == ([outcome], True, 0)


def test_endless_headers_are_refused_without_growing() -> None:
    # A-MSG-29: 1 MiB header block
    limits = Limits(header_block=500)
    endless = message()[:-2] + b"X-Lab: " + b"a" * 2000
    assert every_chunking(endless, lambda chunks: collect(chunks, limits)) == (["513 header block Request"], True, 0)
    parser = StreamParser()
    with pytest.raises(MessageTooLarge):
        for _ in range(1024):
            parser.receive_data(b"a" * 1024)
            assert parser.next_message() is None
    assert parser.next_message() is None


def test_nothing_is_returned_before_the_body_is_there() -> None:
    parser = StreamParser()
    parser.receive_data(message(b"Content-Type: a/b\nl: 3\n", b"ab"))
    assert parser.next_message() is None
    parser.receive_data(b"c")
    parsed = parser.next_message()
    assert parsed is not None and parsed.body == b"abc"
    assert parser.next_message() is None


@given(st.lists(requests(), min_size=1, max_size=3))
@settings(max_examples=8)
def test_any_messages_come_out_as_they_went_in(messages: list[Request]) -> None:
    parser = StreamParser()
    parser.receive_data(b"".join(bytes(each) for each in messages))
    for each in messages:
        parsed = parser.next_message()
        assert parsed is not None and bytes(parsed) == bytes(each)


@given(st.binary(max_size=200) | st.text('SIP/2.0 \r\nVia:<>;,"=@', max_size=100).map(str.encode))
@settings(max_examples=100)
def test_any_octets_are_a_message_or_a_parse_error(data: bytes) -> None:
    try:
        sound(data)
    except ParseError:
        pass
    collect([data])
