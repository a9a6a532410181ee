"""Files in session descriptions: D-FTM-01 to D-FTM-05, D-FTM-08 to D-FTM-11."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipstack.errors import LocalProtocolError, ParseError
from sipstack.msrp.uri import parse_path
from sipstack.sdp import MediaDescription, SessionDescription
from sipstack.sdp_file import (
    MAX_SELECTORS,
    MAX_SIZE,
    FileAttributes,
    FileRange,
    FileSelector,
    describe_file,
)
from sipstack.sdp_msrp import MsrpMedia, msrp_answer, msrp_media, msrp_offer
from tests.sipstack.test_sdp import MINIMUM
from tests.strategies import tokens

SHA = hashlib.sha1(b"hello file").digest()
HEX = "03:A7:98:D0:1A:51:80:55:10:2D:D7:8F:8B:41:1C:BD:00:D7:A9:7B"
NOTES = FileSelector("notes.txt", "text/plain", 10, {"sha-1": SHA})
SAMPLE = (
    "m=message 2855 TCP/MSRP *\n"
    "a=sendonly\n"
    "a=accept-types:message/cpim\n"
    "a=accept-wrapped-types:*\n"
    "a=setup:actpass\n"
    "a=path:msrp://192.0.2.10:2855/fT93kqpz;tcp\n"
    f'a=file-selector:name:"notes.txt" type:text/plain size:10 hash:sha-1:{HEX}\n'
    "a=file-transfer-id:q8WnT2pLzvYx0b4R\n"
    "a=file-disposition:attachment\n"
    'a=file-date:creation:"Sun, 22 Nov 2026 10:15:30 +0000"\n'
    "a=file-icon:cid:id2@alicepc.example.com\n"
    "a=file-range:1-*\n"
)
FILE = FileAttributes(
    NOTES,
    "q8WnT2pLzvYx0b4R",
    "attachment",
    {"creation": "Sun, 22 Nov 2026 10:15:30 +0000"},
    FileRange(1),
    "id2@alicepc.example.com",
)


def description(text: str) -> SessionDescription:
    """Return the description with these media."""
    return SessionDescription.parse(MINIMUM + text)


def of(*attributes: str) -> FileAttributes | None:
    """Return what a medium with these attributes says about a file."""
    return FileAttributes.of(MediaDescription("message", 9, "TCP/MSRP", ("*",), [("a", text) for text in attributes]))


def test_the_sample_is_read_and_written() -> None:
    """D-FTM-01, D-FTM-03, D-FTM-08, D-FTM-09, D-FTM-10: one attribute line each."""
    assert FileAttributes.of(description(SAMPLE).media[0]) == FILE
    assert [f"a={line}" for line in FILE.attributes()] == SAMPLE.splitlines()[6:]


def test_selectors_come_in_any_order() -> None:
    """D-FTM-01: order-free parse, several blanks, lower case hex."""
    text = f'hash:sha-1:{HEX.lower()} size:10   type:text/plain name:"notes.txt"'
    assert FileSelector.parse(text) == NOTES
    assert FileSelector.parse(f" size:10 size:11 colour:red {text} ") == NOTES


def test_there_may_be_several_hashes() -> None:
    """D-FTM-01: several hash selectors, upper case when we write them."""
    digest = hashlib.sha256(b"hello file").digest()
    selector = FileSelector(hashes={"sha-1": SHA, "sha-256": digest})
    assert str(selector) == f"hash:sha-1:{HEX} hash:sha-256:{digest.hex(':').upper()}"
    assert FileSelector.parse(f"{selector} hash:SHA-1:{'00:' * 19}00 hash:new:01") == FileSelector(
        hashes={**selector.hashes, "new": b"\x01"}
    )


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ('a"b.txt', "a%22b.txt"),
        ("100%.txt", "100%25.txt"),
        ("../etc", "..%2Fetc"),
        ("c:\\x", "c%3A%5Cx"),
        ("a\r\nb\0", "a%0D%0Ab%00"),
        ("a\u2028\x85", "a%E2%80%A8%C2%85"),
        ("My cool picture.jpg", "My cool picture.jpg"),
        ("Grüße 👋.txt", "Grüße 👋.txt"),
    ],
)
def test_what_cannot_stand_in_a_name_is_escaped(name: str, written: str) -> None:
    """D-FTM-02: NUL CR LF quote percent and path characters."""
    assert str(FileSelector(name)) == f'name:"{written}"'
    assert FileSelector.parse(f'name:"{written}"').name == name


def test_names_of_others_are_read_as_they_come() -> None:
    """D-FTM-02: ``name:"a%22b.txt"``, ``..%2fetc``; lone percent signs and octets that are no UTF-8."""
    names = ['"a%22b.txt"', '"..%2fetc"', '"50% off"', '"%ff"', "bare.txt", '""']
    assert [FileSelector.parse(f"name:{name}").name for name in names] == [
        'a"b.txt',
        "../etc",
        "50% off",
        "\ufffd",
        "bare.txt",
        None,
    ]
    assert str(FileSelector("")) == ""
    assert str(FileSelector("\ud800")) == 'name:"%3F"'


def test_a_type_has_its_parameters_in_quotes() -> None:
    """D-FTM-01: parameters are encoded anew between header and selector."""
    selector = FileSelector(content_type='text/plain; charset=utf-8; x="a \\"b\\""')
    assert str(selector) == 'type:text/plain;charset="utf-8";x="a %22b%22"'
    assert FileSelector.parse(str(selector)).content_type == 'text/plain;charset=utf-8;x="a \\"b\\""'
    assert FileSelector.parse("type:text/plain;charset=utf-8").content_type == "text/plain;charset=utf-8"
    with pytest.raises(LocalProtocolError, match="media type"):
        str(FileSelector(content_type="plain"))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('name:"a', "malformed"),
        ("nonsense", "malformed"),
        ("size:ten", "size is no number"),
        (f"size:{MAX_SIZE + 1}", "size is no number"),
        ("type:text", "type is malformed"),
        ('type:a/b;x="%0d%0aX: y"', "line break"),
        ("hash:sha-1", "hash is malformed"),
        ("hash:sha-1:0", "hash is malformed"),
        ("hash:sha-1:00", "hash is no sha-1: 1 octets"),
        ("x:y " * (MAX_SELECTORS + 1), f"more than {MAX_SELECTORS}"),
    ],
)
def test_malformed_selectors_are_refused(text: str, what: str) -> None:
    """D-FTM-01: a typed error that says what is wrong."""
    with pytest.raises(ParseError, match=what):
        FileSelector.parse(text)


def test_two_selectors_fit_when_nothing_differs() -> None:
    """D-FTM-03, D-FTM-05: the same file."""
    assert NOTES.fits(FileSelector(size=10)) and FileSelector(size=10).fits(NOTES)
    assert FileSelector(content_type="Text/Plain").fits(NOTES)
    assert FileSelector().fits(NOTES)
    assert not NOTES.fits(FileSelector("other.txt", size=10))
    assert not NOTES.fits(FileSelector(hashes={"sha-1": bytes(20)}))


@pytest.mark.parametrize("text", ["", "1", "0-5", "5-4", "a-b", "1-2-3", f"{MAX_SIZE + 1}-*", f"1-{MAX_SIZE + 1}"])
def test_malformed_ranges_are_refused(text: str) -> None:
    """D-FTM-08: counted from 1."""
    with pytest.raises(ParseError, match="file-range"):
        of("file-selector:size:1", f"file-range:{text}")


def test_a_range_tells_how_much_will_come() -> None:
    """D-FTM-08: octets of the file."""
    assert FileRange.parse("1-32349") == FileRange(1, 32349)
    assert [FileRange(1).length(10), FileRange(5).length(10), FileRange(5, 7).length(10)] == [10, 6, 3]
    assert [FileRange(5, 99).length(10), FileRange(11).length(10), FileRange(20).length(10)] == [6, 0, 0]
    assert (FILE.start, FILE.length) == (1, 10)
    rest = FILE.resumed(5, "new")
    assert (rest.start, rest.length, rest.transfer_id, rest.selector) == (5, 6, "new", NOTES)
    assert "file-range:5-*" in rest.attributes()
    assert FileAttributes(NOTES).length == 10
    assert FileAttributes(FileSelector("x")).length is None
    assert FileAttributes(NOTES).start == 1


def test_a_file_is_to_be_rendered_unless_it_says_otherwise() -> None:
    """D-FTM-09: the default is ``render``."""
    for texts in ([], ["file-disposition:render"], ["file-disposition: "], ["file-disposition:a b"]):
        found = of("file-selector:size:1", *texts)
        assert found is not None and found.disposition == "render"
    found = of("file-selector:size:1", "file-disposition:Attachment")
    assert found is not None and found.disposition == "attachment"


def test_what_is_only_told_may_be_malformed() -> None:
    """D-FTM-10: an icon that is no cid URL, dates that are none."""
    found = of("file-selector:size:1", "file-icon:http://h/x", "file-date:soon")
    assert found == FileAttributes(FileSelector(size=1))
    found = of("file-selector:size:1", "file-icon:cid:a%2Bb@h", 'file-date:read:"x" creation:"y"')
    assert found is not None
    assert (found.icon, found.dates) == ("a+b@h", {"read": "x", "creation": "y"})


@pytest.mark.parametrize(
    "file",
    [
        FileAttributes(NOTES, "a b"),
        FileAttributes(NOTES, disposition="a\r\nb"),
        FileAttributes(NOTES, dates={"read": 'x"'}),
        FileAttributes(NOTES, dates={"read": "x\n"}),
    ],
)
def test_nothing_of_ours_breaks_a_line(file: FileAttributes) -> None:
    """D-FTM-01: what the grammar cannot hold is refused here."""
    with pytest.raises(LocalProtocolError):
        file.attributes()


def test_a_malformed_identifier_is_refused() -> None:
    """D-FTM-03: it has to be copied, so it must be a token."""
    with pytest.raises(ParseError, match="file-transfer-id"):
        of("file-selector:size:1", "file-transfer-id:a b")


def test_media_without_files_say_nothing_about_any() -> None:
    """D-FTM-06: what has no selector is no file."""
    assert of("path:x") is None


def test_a_selector_without_selectors_is_a_capability() -> None:
    """D-FTM-11: ``a=file-selector`` alone."""
    capability = of("file-selector")
    assert capability is not None and capability.selector.is_empty


def answer(text: str, file: FileAttributes) -> MediaDescription:
    """Return the medium with which an offer of or for a file is accepted."""
    offer = description(text)
    answered = msrp_answer(
        offer,
        local=("192.0.2.20", 7777),
        path=parse_path("msrp://192.0.2.20:7777/s2bQ81xT;tcp"),
        accept_types=("message/cpim",),
        session_id=1,
        version=1,
    )
    medium = answered.media[0]
    describe_file(medium, file, "recvonly" if msrp_media(offer).direction == "sendonly" else "sendonly")
    return medium


def test_a_push_is_accepted_with_the_same_selector_and_identifier() -> None:
    """D-FTM-04: recvonly; selector, id and range copied; neither icon nor disposition nor dates."""
    medium = answer(SAMPLE, FILE.answer())
    assert [value for _, value in medium.lines] == [
        "accept-types:message/cpim",
        "setup:passive",
        "path:msrp://192.0.2.20:7777/s2bQ81xT;tcp",
        "recvonly",
        f'file-selector:name:"notes.txt" type:text/plain size:10 hash:sha-1:{HEX}',
        "file-transfer-id:q8WnT2pLzvYx0b4R",
        "file-range:1-*",
    ]


def test_a_pull_is_accepted_with_the_whole_selector() -> None:
    """D-FTM-05: sendonly; the answer tells all about the file that was found."""
    wanted = SAMPLE.replace("sendonly", "recvonly").replace('name:"notes.txt" type:text/plain size:10 ', "")
    found = FileAttributes.of(description(wanted).media[0])
    assert found is not None and found.selector == FileSelector(hashes={"sha-1": SHA})
    medium = answer(wanted, found.answer(NOTES))
    assert medium.attribute("sendonly") == ""
    assert FileAttributes.of(medium) == FileAttributes(NOTES, FILE.transfer_id, range=FileRange(1))


def test_a_refusal_mirrors_selector_and_identifier() -> None:
    """D-FTM-03, D-FTM-04: port 0, both to the letter."""
    medium = description(SAMPLE.replace("size:10", "SIZE:10  x:y").replace("TCP/MSRP *", "TCP/MSRP *\nb=AS:9")).media[0]
    refused = medium.refused()
    assert (refused.port, refused.lines) == (
        0,
        [("a", f'file-selector:name:"notes.txt" type:text/plain SIZE:10  x:y hash:sha-1:{HEX}')]
        + [("a", "file-transfer-id:q8WnT2pLzvYx0b4R")],
    )
    assert MediaDescription("message", 7, "x", (), [("a", "file-selector")]).refused().lines == [("a", "file-selector")]


def test_our_offer_tells_who_sends() -> None:
    """D-FTM-04: sendonly, in place of the direction of a chat."""
    path = parse_path("msrp://192.0.2.20:7777/s2bQ81xT;tcp")
    offer = msrp_offer(
        local=("192.0.2.20", 7777), path=path, setup="actpass", accept_types=("*",), session_id=1, version=1
    )
    describe_file(offer.media[0], FILE, "sendonly")
    read = SessionDescription.parse(bytes(offer))
    medium: MsrpMedia = msrp_media(read)
    assert (medium.direction, FileAttributes.of(read.media[0])) == ("sendonly", FILE)
    assert "sendrecv" not in str(read)


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
TYPES = st.builds(
    lambda kind, parameter: f"{kind}{parameter}",
    st.sampled_from(["image/png", "text/plain", "application/x.y+z"]),
    st.sampled_from(["", ";charset=utf-8", ';name="a b"', ';x="\\"%"']),
)
SELECTORS = st.builds(
    FileSelector,
    name=st.none() | NAMES,
    content_type=st.none() | TYPES,
    size=st.none() | st.integers(0, MAX_SIZE),
    hashes=st.dictionaries(
        tokens().map(lambda name: f"x{name}".lower()), st.binary(min_size=1, max_size=40), max_size=3
    ),
)
RANGES = st.builds(
    lambda start, more: FileRange(start, None if more is None else start + more),
    st.integers(1, 2**40),
    st.none() | st.integers(0, 2**40),
)
FILES = st.builds(
    FileAttributes,
    selector=SELECTORS,
    transfer_id=st.just("") | tokens(),
    disposition=st.sampled_from(["render", "attachment", "icon"]),
    dates=st.dictionaries(
        st.sampled_from(["creation", "modification", "read"]), st.just("Sun, 22 Nov 2026 1:2:3 +0000")
    ),
    range=st.none() | RANGES,
    icon=st.none() | tokens().map(lambda name: f"{name}@h"),
)


@given(FILES)
def test_files_survive_writing_and_reading(file: FileAttributes) -> None:
    """D-FTM-01: whatever is written is read again, through a whole description."""
    read = description("m=message 7 TCP/MSRP *\n" + "".join(f"a={line}\n" for line in file.attributes()))
    assert FileAttributes.of(read.media[0]) == file


@given(
    st.text(st.characters(exclude_characters="\r\n\0"), max_size=60) | st.text('name:"%2fsizehash -/;=x1', max_size=60)
)
def test_arbitrary_text_gives_a_file_or_a_typed_error(text: str) -> None:
    """D-FTM-01: nothing but ParseError, and what was read can be written."""
    for name in ("file-selector", "file-transfer-id", "file-range", "file-date", "file-icon", "file-disposition"):
        try:
            found = of("file-selector", f"{name}:{text}") if name != "file-selector" else of(f"{name}:{text}")
        except ParseError:
            continue
        assert found is not None
        str(found.selector)
