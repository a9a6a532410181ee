"""The message/cpim wrapper: D-CPM-01 to D-CPM-15, C-BAD-12."""

from __future__ import annotations

import tomllib
from base64 import b64encode
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipstack.errors import LocalProtocolError, ParseError, RemoteProtocolError
from sipstack.im.cpim import CPIM_HEADERS, IMDN, MAX_HEADERS, CpimAddress, CpimMessage, CpimTemplate, escape, unescape
from sipstack.net import notices
from sipstack.net.chatmessage import unwrap
from sipstack.net.config import ACCEPT_TYPES
from tests.sipstack.msrp.helpers import OURS, THEIRS, End, acknowledge, chunks_of, messages, send
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
    """D-CPM-01, D-CPM-03, D-CPM-04, D-CPM-05, D-CPM-06, D-CPM-07, D-CPM-09, D-CPM-12, D-CPM-13: each file names its
    rule in expected.toml."""
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
    # D-CPM-02, D-CPM-04, D-CPM-06
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


def test_names_are_case_sensitive() -> None:
    # D-CPM-01: `from:` is an unknown header, so From is missing; as another header beside it, it changes nothing
    with pytest.raises(ParseError, match="CPIM From is missing"):
        parse(f"from: <im:a@x>\nTo: <im:b@x>\n{BODY}")
    assert parse(f"{HEAD}from: <im:evil@x>\nSUBJECT: x\n{BODY}").from_.uri == "im:a@x"


@pytest.mark.parametrize("blanks", ["", " ", "  "])
def test_blanks_behind_the_colon(blanks: str) -> None:
    # D-CPM-01: one is written, none or two are read
    assert parse(f"From:{blanks}<im:a@x>\nTo:{blanks}<im:b@x>\nSubject:{blanks}s\n{BODY}").subject == "s"
    octets = CpimTemplate("im:a@x", "im:b@x").render("text/plain", b"", datetime="t", message_id="m")
    for line in octets.partition(b"\r\n\r\n")[0].split(b"\r\n"):
        assert line.count(b": ") == 1 and b":  " not in line


def test_a_language() -> None:
    # D-CPM-02
    message = parse(f"{HEAD}Subject:;lang=fr Objet\n{BODY}")
    assert message.subject == "Objet" and message.headers[2].parameters == (("lang", "fr"),)


def test_a_newline_in_a_subject() -> None:
    # D-CPM-03: both ways, and not in the content
    octets = CpimTemplate("im:a@x", "im:b@x", headers=[("Subject", "caf\u00e9\nline two \\ end")]).render(
        "text/plain", b"\\n stays", datetime="t"
    )
    assert b"Subject: caf\xc3\xa9\\nline two \\\\ end\r\n" in octets
    message = CpimMessage.parse(octets)
    assert (message.subject, message.content) == ("caf\u00e9\nline two \\ end", b"\\n stays")


@pytest.mark.parametrize("value", ["2026-11-22T10:15:30Z", "2026-11-22T10:15:30.123+01:00"])
def test_a_date(value: str) -> None:
    # D-CPM-05
    assert parse(f"{HEAD}DateTime: {value}\n{BODY}").datetime == value


def test_a_prefix_counts_from_where_it_is_declared() -> None:
    # D-CPM-06: literal imdn. is taken without, because peers forget it
    early = parse(f"{HEAD}abc.Message-ID: 1\nNS: abc <urn:ietf:params:imdn>\n{BODY}")
    assert early.imdn_message_id is None
    assert parse(f"{HEAD}imdn.Message-ID: 1\n{BODY}").imdn_message_id == "1"
    other = parse(f"{HEAD}NS: imdn <urn:other>\nimdn.Message-ID: 1\n{BODY}")
    assert other.imdn_message_id is None, "declared as something else"
    both = parse(f"{HEAD}NS: c <{CPIM_HEADERS}>\nNS: <urn:x>\nSubject: theirs\nc.Subject: ours\n{BODY}")
    assert (both.subject, both.get("Subject", "urn:x")) == ("ours", "theirs")


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("Subject", None),
        ("From,To, cc", None),
        ("imdn.Disposition-Notification", None),
        ("foo.Bar", 415),
        ("Subject,imdn.Unheard", 415),
        ("", 415),
    ],
)
def test_require(value: str, status: int | None) -> None:
    # D-CPM-07: who does not know one must not process the message
    text = f"{HEAD}NS: imdn <{IMDN}>\nRequire: {value}\n{BODY}"
    if status is None:
        assert parse(text).content == b"hi"
        return
    with pytest.raises(RemoteProtocolError) as caught:
        parse(text)
    assert caught.value.status == status


def test_a_passing_message_is_not_touched() -> None:
    # D-CPM-08: not even what we would write differently
    octets = b"To:<im:b@x>\nFrom:  a <im:a@x>\nX-Unknown:y\n\nContent-type:text/plain\ncontent-ID: <1>\n\nhi\r\n"
    assert bytes(CpimMessage.parse(octets)) == octets


def test_an_image_inline() -> None:
    # D-CPM-09: transfer encodings are undone, whatever their case; lengths count what is on the wire
    image = bytes(range(256))
    encoded = b64encode(image)
    head = lf2crlf(f"{HEAD}\nContent-Type: image/png\nContent-Transfer-Encoding: BASE64\n")
    message = CpimMessage.parse(head + b"Content-Length: %d\r\n\r\n" % len(encoded) + encoded)
    assert (message.content_type, message.content) == ("image/png", image)
    quoted = CpimMessage.parse(
        lf2crlf(f"{HEAD}\nContent-Type: text/plain\nContent-Transfer-Encoding: Quoted-Printable\n\ngr=C3=BC=\n=C3=9Fe")
    )
    assert quoted.content.decode() == "gr\u00fc\u00dfe"


def test_we_list_cpim_first() -> None:
    # D-CPM-10: "a gateway MUST list message/cpim first"
    for accept_types in (ACCEPT_TYPES, notices.ACCEPT_TYPES):
        assert accept_types[0] == "message/cpim"


def test_wrapped_first_then_cut() -> None:
    # D-CPM-11: Byte-Range counts octets of the wrapper, whose headers are in the first chunk only
    template = CpimTemplate(ANONYMOUS, ANONYMOUS)
    wrapped = template.render("text/plain", b"x" * 20_000, datetime="2026-11-22T10:15:30Z", message_id="m1")
    end = End()
    session = end.session(remote=f"msrp://relay:1/x;tcp {THEIRS}")
    session.send(wrapped, "message/cpim")
    chunks = []
    while fresh := chunks_of(end.output()):
        chunks += fresh
        acknowledge(end, fresh)
    assert len(chunks) == 3 and b"".join(chunk.body for chunk in chunks) == wrapped
    assert [chunk.total for chunk in chunks] == [len(wrapped)] * 3
    assert [b"From: " in chunk.body for chunk in chunks] == [True, False, False]
    other = End(local=THEIRS)
    other.session(remote=OURS)
    received = []
    for number, start in enumerate(range(0, len(wrapped), 8192)):
        part = wrapped[start : start + 8192]
        octets = send(
            f"tid0000{number}",
            part,
            byte_range=f"{start + 1}-{start + len(part)}/{len(wrapped)}",
            content_type="message/cpim",
            to=THEIRS,
            by=OURS,
            flag="$" if start + len(part) == len(wrapped) else "+",
        )
        received += messages(other.receive(octets))
    assert unwrap("message/cpim", received[0].body).body == b"x" * 20_000


@pytest.mark.parametrize("content_type", ["message/cpim", "Message/CPIM", "MESSAGE/CPIM ;charset=utf-8"])
def test_the_outer_type(content_type: str) -> None:
    # D-CPM-15
    assert unwrap(content_type, lf2crlf(HEAD + BODY)).body == b"hi"


def test_length_two_off() -> None:
    # D-CPM-13: a CRLF too many, or counted though it is not there
    head = lf2crlf(f"{HEAD}\nContent-Type: text/plain\nContent-Length: ")
    assert CpimMessage.parse(head + b"2\r\n\r\nhi\r\n").content == b"hi\r\n"
    assert CpimMessage.parse(head + b"4\r\n\r\nhi").content == b"hi"
    for wrong in (b"1\r\n\r\nhi", b"4\r\n\r\nhi\r\nxx", b"2\r\n\r\nhixx", b"99\r\n\r\nhi"):
        with pytest.raises(ParseError):
            CpimMessage.parse(head + wrong)
