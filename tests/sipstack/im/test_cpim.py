"""The message/cpim wrapper: D-CPM-01 to D-CPM-15, C-BAD-12."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipstack.errors import LocalProtocolError, ParseError, RemoteProtocolError
from sipstack.im.cpim import CPIM_HEADERS, IMDN, MAX_HEADERS, CpimAddress, CpimMessage, CpimTemplate, escape, unescape
from tests.utils import lf2crlf

VECTORS = Path(__file__).parents[2] / "vectors" / "cpim"
ANONYMOUS = "sip:anonymous@anonymous.invalid"
HEAD = "From: <im:a@x>\nTo: <im:b@x>\n"
BODY = "\nContent-Type: text/plain\n\nhi"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def parse(text: str) -> CpimMessage:
    """Parse a message written with plain line breaks."""
    return CpimMessage.parse(lf2crlf(text))


def test_template_writes_the_sample() -> None:
    # D-CPM-09: as RCS clients write it; 318 octets.
    template = CpimTemplate(
        ANONYMOUS, CpimAddress(ANONYMOUS), headers=[("imdn.Disposition-Notification", "positive-delivery, display")]
    )
    octets = template.render(
        "text/plain;charset=utf-8",
        "Grüße, Bob 👋".encode(),
        datetime="2026-11-22T10:15:30Z",
        message_id="Zk3x9QpLw27sVb",
    )
    assert octets == (VECTORS / "sample.dat").read_bytes()
    assert len(octets) == 318


def test_template_with_headers_of_one_message() -> None:
    template = CpimTemplate(ANONYMOUS, ANONYMOUS, namespaces=[("imdn", IMDN), ("x", "urn:x")])
    octets = template.render("text/plain", b"hi", datetime="2026-11-22T10:15:30Z", headers=[("x.Note", "a\\b\nc")])
    message = CpimMessage.parse(octets)
    assert message.get("Note", "urn:x") == "a\\b\nc"
    assert message.imdn_message_id is None
    assert bytes(message) == octets


@pytest.mark.parametrize(
    "arguments",
    [
        {"content_type": "text/plain\r\nX: y"},
        {"content_type": "text"},
        {"headers": [("Bad Name", "x")]},
        {"headers": [("Bad:Name", "x")]},
    ],
)
def test_template_refuses_what_cannot_be_written(arguments: dict[str, object]) -> None:
    template = CpimTemplate(ANONYMOUS, ANONYMOUS)
    values: dict[str, object] = {"content_type": "text/plain", "content": b"", "datetime": "now"} | arguments
    with pytest.raises(LocalProtocolError):
        template.render(**values)  # type: ignore[arg-type]  # the values are of many types


@pytest.mark.parametrize("uri", ["sip:a b", "sip:a>", "sip:a\r\nTo: <x>", "<sip:a>"])
def test_template_refuses_uris_that_break_out(uri: str) -> None:
    with pytest.raises(LocalProtocolError):
        CpimTemplate(uri, ANONYMOUS)


@settings(max_examples=60)
@given(TEXTS, TEXTS, st.binary(max_size=60), TEXTS)
def test_round_trip(name: str, subject: str, content: bytes, message_id: str) -> None:
    # G-O08
    sender = CpimAddress("im:p@x", name.strip())
    template = CpimTemplate(sender, ANONYMOUS, headers=[("Subject", subject.strip(" "))])
    octets = template.render("text/plain", content, datetime="2026-11-22T10:15:30Z", message_id=message_id.strip(" "))
    message = CpimMessage.parse(octets)
    assert message.from_ == sender
    assert message.subject == subject.strip(" ")
    assert message.content == content
    assert message.datetime == "2026-11-22T10:15:30Z"
    assert message.imdn_message_id == message_id.strip(" ")


@settings(max_examples=200)
@given(st.binary(max_size=120) | st.text(max_size=80).map(lambda text: lf2crlf(HEAD + text + BODY)))
def test_any_octets_give_a_message_or_an_error(octets: bytes) -> None:
    try:
        message = CpimMessage.parse(octets)
    except RemoteProtocolError as error:
        assert error.status in (400, 415)
    else:
        # D-CPM-08
        assert bytes(message) == octets


def expected() -> list[tuple[str, dict[str, object]]]:
    """Return the vectors with what is to come of them."""
    return sorted(tomllib.loads((VECTORS / "expected.toml").read_text()).items())


@pytest.mark.parametrize(("name", "outcome"), expected())
def test_vector(name: str, outcome: dict[str, object]) -> None:
    octets = (VECTORS / f"{name}.dat").read_bytes()
    if "status" in outcome:
        with pytest.raises(RemoteProtocolError) as caught:
            CpimMessage.parse(octets)
        assert caught.value.status == outcome["status"]
        return
    message = CpimMessage.parse(octets)
    assert message.content.decode() == outcome["content"]
    assert message.content_type == outcome["content_type"]
    assert message.from_.name == outcome.get("name", "")
    assert len(message.to) == outcome.get("to", 1)
    assert message.imdn_message_id == outcome.get("imdn_message_id")
    assert message.subject == outcome.get("subject")


def test_every_vector_is_expected() -> None:
    assert {path.stem for path in VECTORS.glob("*.dat")} == {name for name, _ in expected()}


def test_fields() -> None:
    message = parse(
        'From: "Doe, J" <im:j@x>\nTo: Winnie the Pooh <im:p@x>\nTo: <im:q@x>\n'
        'NS: abc <urn:ietf:params:imdn>\nabc.Message-ID: 1234\nSubject:;lang=fr;x="a\\"b" Objet\nxyz.Foo: bar\n' + BODY
    )
    assert message.from_ == CpimAddress("im:j@x", "Doe, J")
    assert message.to == (CpimAddress("im:p@x", "Winnie the Pooh"), CpimAddress("im:q@x"))
    assert message.imdn_message_id == "1234"
    subject = next(header for header in message.headers if header.name == "Subject")
    assert (subject.value, subject.parameters) == ("Objet", (("lang", "fr"), ("x", 'a"b')))
    foreign = message.headers[-1]
    assert (foreign.prefix, foreign.name, foreign.namespace) == ("xyz", "Foo", None)
    assert message.content_headers == (("Content-Type", "text/plain"),)
    assert message.datetime is None


def test_default_namespace() -> None:
    # D-CPM-06
    message = parse(f"{HEAD}NS: <urn:x>\nSubject: theirs\n{BODY}")
    assert message.subject is None
    assert message.get("Subject", "urn:x") == "theirs"
    assert CPIM_HEADERS.startswith("urn:")


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("plain ä", "plain ä"),
        ("a\\b", "a\\\\b"),
        ("\b\t\n\r", "\\b\\t\\n\\r"),
        ("\x00\x7f", "\\u0000\\u007f"),
    ],
)
def test_escape(text: str, wire: str) -> None:
    # D-CPM-03
    assert escape(text) == wire
    assert unescape(wire) == text


@pytest.mark.parametrize(
    ("wire", "text"),
    [
        ("\\u00e9", "é"),
        ("\\ud83d\\udc4b", "👋"),
        ("\\ud83d", "\ufffd"),
        ("\\\"\\'\\x", "\"'x"),
        ("\\u12", "u12"),
        ("end\\", "end"),
    ],
)
def test_unescape(wire: str, text: str) -> None:
    # D-CPM-03
    assert unescape(wire) == text


def test_address_is_quoted_when_needed() -> None:
    # D-CPM-04
    assert str(CpimAddress("im:a@x")) == "<im:a@x>"
    assert str(CpimAddress("im:a@x", "Winnie the Pooh")) == "Winnie the Pooh <im:a@x>"
    assert str(CpimAddress("im:a@x", 'Doe, "J"')) == '"Doe, \\"J\\"" <im:a@x>'
    with pytest.raises(ParseError):
        CpimAddress.parse("im:a@x")


def test_too_many_headers() -> None:
    with pytest.raises(ParseError):
        parse(HEAD + "X: y\n" * MAX_HEADERS + BODY)


def test_folded_content_header() -> None:
    message = parse(f"{HEAD}\nContent-Type: text/plain;\n charset=utf-8\n\nhi")
    assert message.content_type == "text/plain; charset=utf-8"


@pytest.mark.parametrize("line", [" folded", "nonsense"])
def test_malformed_content_header(line: str) -> None:
    with pytest.raises(ParseError):
        parse(f"{HEAD}\n{line}\nContent-Type: text/plain\n\nhi")


def test_the_head_of_a_large_content_is_read_alone() -> None:
    """D-FTM-13: a wrapped file is never in memory as a whole."""
    template = CpimTemplate(ANONYMOUS, ANONYMOUS)
    head = template.render_head("image/png", 10**9, datetime="2026-11-22T10:15:30Z")
    assert b"Content-Length: 1000000000\r\n\r\n" in head
    message, position = CpimMessage.parse_head(head + b"\x89PNG")
    assert (message.content_type, message.content, position) == ("image/png", b"", len(head))
    for end in (0, 40, len(head) - 1):
        with pytest.raises(ParseError) as caught:
            CpimMessage.parse_head(head[:end])
        assert caught.value.status == 400
    coded = head.replace(b"Content-Length: 1000000000", b"Content-Transfer-Encoding: base64")
    with pytest.raises(ParseError) as caught:
        CpimMessage.parse_head(coded)
    assert caught.value.status == 415
