"""The documents of files by HTTP: D-FTH-01, D-FTH-02, and the resume information of D-FTH-04."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipstack.errors import LocalProtocolError, ParseError
from sipstack.im.fthttp import MAX_NAME, MAX_SIZE, MAX_URL, UNKNOWN_TYPE, FileInfo, FtHttp, ResumeInfo
from tests.utils import lf2crlf

BEACH = lf2crlf(
    """<?xml version="1.0" encoding="UTF-8"?>
<file xmlns="urn:gsma:params:xml:ns:rcs:rcs:fthttp">
  <file-info type="thumbnail">
    <file-size>3912</file-size>
    <content-type>image/jpeg</content-type>
    <data url="https://ft.lab.example/d/t-55" until="2026-11-29T10:15:30Z"/>
  </file-info>
  <file-info type="file" file-disposition="render">
    <file-size>183724</file-size>
    <file-name>beach.jpg</file-name>
    <content-type>image/jpeg</content-type>
    <data url="https://ft.lab.example/d/f-55" until="2026-11-29T10:15:30Z"/>
  </file-info>
</file>"""
)
UNTIL = "2026-11-29T10:15:30Z"
FILE = FileInfo("https://ft.lab.example/d/f-55", 183724, "image/jpeg", "beach.jpg", UNTIL, "render")
THUMBNAIL = FileInfo("https://ft.lab.example/d/t-55", 3912, "image/jpeg", until=UNTIL)
DATA = '<data url="https://h/f"/>'


def document(*infos: str, attributes: str = "") -> bytes:
    """Return a document with these file-infos."""
    return f"<file{attributes}>{''.join(infos)}</file>".encode()


def info(inside: str, kind: str = 'type="file"') -> str:
    """Return a file-info."""
    return f"<file-info {kind}>{inside}</file-info>"


def test_the_sample_of_the_rule_is_written_to_the_letter() -> None:
    """D-FTH-01: the sample."""
    assert bytes(FtHttp(FILE, THUMBNAIL)) == BEACH
    assert FtHttp.parse(BEACH) == FtHttp(FILE, THUMBNAIL)


def test_file_and_thumbnail_come_in_any_order() -> None:
    """D-FTH-01: order free."""
    parts = [
        info(f"<file-size>{size}</file-size>{DATA}", f'type="{kind}"') for size, kind in ((1, "file"), (2, "thumbnail"))
    ]
    for order in (parts, parts[::-1]):
        found = FtHttp.parse(document(*order))
        assert (found.file.size, found.thumbnail and found.thumbnail.size) == (1, 2)


@pytest.mark.parametrize("kinds", [[], ["thumbnail"], ["file", "file"], ["file", "thumbnail", "thumbnail"], ["other"]])
def test_there_is_one_file_and_at_most_one_thumbnail(kinds: list[str]) -> None:
    """D-FTH-01: exactly one file, zero or one thumbnail."""
    infos = [info(f"<file-size>1</file-size>{DATA}", f'type="{kind}"') for kind in kinds]
    with pytest.raises(ParseError, match="file-info is there for"):
        FtHttp.parse(document(*infos))


def test_a_name_on_a_thumbnail_is_not_looked_at() -> None:
    """D-FTH-01: file-name only on the file."""
    named = f"<file-size>1</file-size><file-name>x</file-name>{DATA}"
    found = FtHttp.parse(document(info(named), info(named, 'type="thumbnail"')))
    assert found.thumbnail is not None
    assert (found.file.name, found.thumbnail.name) == ("x", None)
    rendered = bytes(FtHttp(FILE, FileInfo("https://h/t", 1, name="t.jpg", playing_length=3)))
    assert b"t.jpg" not in rendered and b"playing-length" not in rendered


def test_a_voice_note_tells_its_length_in_an_element_or_in_the_disposition() -> None:
    """D-FTH-01: playing-length, and timelen in the disposition."""
    note = FtHttp(FileInfo("https://h/v", 9, "audio/amr", disposition="render", playing_length=12))
    data = bytes(note)
    assert b"<am:playing-length>12</am:playing-length>" in data
    assert b'xmlns:am="urn:gsma:params:xml:ns:rcs:rcs:rram"' in data
    assert FtHttp.parse(data) == note
    inside = f"<file-size>9</file-size>{DATA}"
    found = FtHttp.parse(document(info(inside, 'type="file" file-disposition="Render; timelen=7"'))).file
    assert (found.disposition, found.playing_length) == ("render", 7)
    bad = f"<playing-length>soon</playing-length>{inside}"
    found = FtHttp.parse(document(info(bad, 'type="file" file-disposition="attachment"'))).file
    assert (found.disposition, found.playing_length) == ("attachment", None)


@pytest.mark.parametrize(
    "data",
    [
        document(info(f"<file-size>5</file-size>{DATA}")),
        b"\r\n" + document(info(f"<file-size> 5\n</file-size>{DATA}")),
        document(info('<file-size>5</file-size><data url = "https://h/f"  until = "" />')),
        document(
            info(f"<file-size>5</file-size>{DATA}"), attributes=' xmlns="urn:gsma:params:xml:ns:rcs:rcs:up:fthttpext"'
        ),
        document(
            info(
                f"<x:new><file-size>7</file-size></x:new><file-size>5</file-size>{DATA}<x:branded-url>u</x:branded-url>"
            ),
            info("", 'type="preview"'),
            "<note/>",
            attributes=' xmlns:x="urn:gsma:params:xml:ns:rcs:rcs:up:fthttpext"',
        ),
        b"<f:file xmlns:f='urn:f'>" + info(f"<file-size>5</file-size>{DATA}").encode() + b"</f:file>",
    ],
)
def test_what_peers_forget_or_add_is_tolerated(data: bytes) -> None:
    """D-FTH-02: no xmlns, other namespaces, blanks, missing until, unknown elements."""
    assert FtHttp.parse(data) == FtHttp(FileInfo("https://h/f", 5, UNKNOWN_TYPE))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"<other/>", "root element 'other'"),
        (b"<file", "is not XML"),
        (b'<!DOCTYPE file [<!ENTITY a "b">]><file/>', "DOCTYPE"),
        (document(info(DATA)), "file-size is missing"),
        (document(info(f"<file-size>1k</file-size>{DATA}")), "file-size is no number"),
        (document(info(f"<file-size>-1</file-size>{DATA}")), "file-size is no number"),
        (document(info(f"<file-size>{MAX_SIZE + 1}</file-size>{DATA}")), "file-size is no number"),
        (document(info("<file-size>1</file-size>")), "data url is missing"),
        (document(info('<file-size>1</file-size><data url="file:///etc/passwd"/>')), "data url is no URL"),
        (document(info('<file-size>1</file-size><data url="https://h/a b"/>')), "data url is no URL"),
        (document(info(f'<file-size>1</file-size><data url="https://h/{"a" * MAX_URL}"/>')), "data url has more"),
        (
            document(info(f"<file-size>1</file-size><file-name>{'a' * (MAX_NAME + 1)}</file-name>{DATA}")),
            "file-name has",
        ),
        (document(info(f"<file-size>1</file-size><content-type>a/b\nX: y</content-type>{DATA}")), "content-type is no"),
        (document(info(f"<file-size>1</file-size>{DATA}") * 40), "too many elements"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(data: bytes, what: str) -> None:
    """D-FTH-02: tolerance ends where a file cannot be fetched."""
    with pytest.raises(ParseError, match=what):
        FtHttp.parse(data)


def test_a_document_is_not_written_with_a_url_that_nobody_could_fetch() -> None:
    """D-FTH-01: ``data`` has a URL."""
    with pytest.raises(LocalProtocolError, match="no URL of a file"):
        bytes(FtHttp(FileInfo("ftp://h/f", 1)))


NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), min_size=1, max_size=40
)
INFOS = st.builds(
    FileInfo,
    url=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='<>"'), min_size=1).map(
        "https://h/".__add__
    ),
    size=st.integers(0, MAX_SIZE),
    content_type=st.sampled_from(["image/png", "text/plain; charset=utf-8", "application/x.y+z"]),
    until=st.none() | st.just(UNTIL),
    disposition=st.sampled_from([None, "render", "attachment"]),
)


@given(INFOS, NAMES.filter(lambda text: text == text.strip()), st.none() | st.integers(0, 10**6), st.none() | INFOS)
def test_documents_survive_writing_and_reading(
    file: FileInfo, name: str, length: int | None, thumbnail: FileInfo | None
) -> None:
    """D-FTH-01: parse(bytes(x)) == x."""
    file = FileInfo(file.url, file.size, file.content_type, name, file.until, file.disposition, length)
    assert FtHttp.parse(bytes(FtHttp(file, thumbnail))) == FtHttp(file, thumbnail)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_arbitrary_octets_give_a_document_or_a_typed_error(data: bytes) -> None:
    """D-FTH-02: nothing but ParseError."""
    for reader in (FtHttp.parse, ResumeInfo.parse):
        try:
            reader(data)
        except ParseError:
            pass


def test_how_much_of_an_upload_is_there_is_told() -> None:
    """D-FTH-04: file-resume-info."""
    told = ResumeInfo(0, 599, "https://ft.lab.example/u/7?a=1&b=2")
    assert bytes(told) == lf2crlf(
        """<?xml version="1.0" encoding="UTF-8"?>
<file-resume-info>
  <file-range start="0" end="599"/>
  <data url="https://ft.lab.example/u/7?a=1&amp;b=2"/>
</file-resume-info>"""
    )
    assert ResumeInfo.parse(bytes(told)) == told


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"<file/>", "root element"),
        (b"<file-resume-info/>", "file-range is missing"),
        (b'<file-resume-info><file-range start="0" end="x"/></file-resume-info>', "file-range is no number"),
        (b'<file-resume-info><file-range start="0" end="1"/></file-resume-info>', "data url is missing"),
    ],
)
def test_resume_information_that_makes_no_sense_is_refused(data: bytes, what: str) -> None:
    """D-FTH-04: nothing to resume by."""
    with pytest.raises(ParseError, match=what):
        ResumeInfo.parse(data)
