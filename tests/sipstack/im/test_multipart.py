"""Bodies of several parts: C-RSP-10."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipstack.errors import ParseError
from sipstack.im.multipart import ALTERNATIVE, MAX_DEPTH, MAX_HEAD, MAX_PARTS, MIXED, Part, choose, parse_parts
from tests.utils import lf2crlf

TYPE = f'{MIXED}; boundary="limit"'


def of(*parts: str, subtype: str = "mixed", boundary: str = "limit") -> Part:
    """Return a body with these parts, each with its headers."""
    text = "".join(f"--{boundary}\n{part}\n" for part in parts) + f"--{boundary}--\n"
    return Part(f"multipart/{subtype}; boundary={boundary}", lf2crlf(text))


def inside(body: Part) -> str:
    """Return ``body`` as a part of another one."""
    return f"Content-Type: {body.content_type}\n\n" + body.body.decode().replace("\r\n", "\n")


def plain(text: str) -> str:
    """Return a part of plain text."""
    return f"Content-Type: text/plain\n\n{text}"


def shown(body: Part, *accepted: str) -> Part | None:
    """Return what is shown to somebody who takes these types."""
    return choose(body.content_type, body.body, lambda content_type: content_type.partition(";")[0] in accepted)


@pytest.mark.parametrize(
    ("octets", "parts"),
    [
        (b"--limit\r\nContent-Type: a/b\r\n\r\nx\r\n--limit--", [("a/b", b"x")]),
        (b"before\r\n--limit\r\n\r\nx\r\n\r\n--limit--\r\nbehind", [("text/plain", b"x\r\n")]),
        (
            b"--limit \t\r\ncontent-type:\r\n A/B\r\n\r\nx\r\n--limit\r\n\r\n\r\n--limit--",
            [("A/B", b"x"), ("text/plain", b"")],
        ),
        (b"--limit\r\nContent-Type: a/b\r\n--limit--", [("a/b", b"")]),
        (b"--limit\r\n\r\n--limited\r\n --limit\r\n--limit--", [("text/plain", b"--limited\r\n --limit")]),
        (b"--limit\r\nContent-Transfer-Encoding: BASE64\r\n\r\naGVsbG8=\r\n--limit--", [("text/plain", b"hello")]),
        (
            b"--limit\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=\r\n=C3=9Fe\r\n--limit--",
            [("text/plain", "Grüße".encode())],
        ),
    ],
)
def test_parts(octets: bytes, parts: list[tuple[str, bytes]]) -> None:
    assert [(part.content_type, part.body) for part in parse_parts(TYPE, octets)] == parts


@pytest.mark.parametrize(
    ("content_type", "octets", "status"),
    [
        (MIXED, b"--limit\r\n\r\nx\r\n--limit--", 400),
        (TYPE, b"--limit\r\n\r\nx", 400),
        (TYPE, b"", 400),
        (TYPE, b"--limit--", 400),
        (TYPE, b"--limit\r\nContent-Transfer-Encoding: base64\r\n\r\na\r\n--limit--", 400),
        (TYPE, b"--limit\r\nContent-Type: a/b\rX: y\r\n\r\nx\r\n--limit--", 400),
        (TYPE, b"--limit\r\n\r\nx\r\n" * (MAX_PARTS + 1) + b"--limit--", 413),
        (TYPE, b"--limit\r\nX: " + b"y" * MAX_HEAD + b"\r\n\r\nx\r\n--limit--", 413),
    ],
)
def test_malformed(content_type: str, octets: bytes, status: int) -> None:
    with pytest.raises(ParseError) as caught:
        parse_parts(content_type, octets)
    assert caught.value.status == status


def test_most_parts_that_are_taken() -> None:
    assert len(parse_parts(TYPE, b"--limit\r\n\r\nx\r\n" * MAX_PARTS + b"--limit--")) == MAX_PARTS


def test_the_last_alternative_that_is_taken() -> None:
    # C-RSP-10
    body = of(plain("plain"), "Content-Type: text/html\n\n<b>rich</b>", "Content-Type: a/b\n\nx", subtype="Alternative")
    assert shown(body, "text/plain") == Part("text/plain", b"plain")
    assert shown(body, "text/plain", "text/html") == Part("text/html", b"<b>rich</b>")
    assert shown(body, "c/d") is None
    assert ALTERNATIVE == "multipart/alternative"


def test_text_of_what_is_mixed() -> None:
    # C-RSP-10: nothing of the text is lost; unknown subtypes count as mixed.
    image = "Content-Type: image/png\n\nPNG"
    for subtype in ("mixed", "Mixed", "signed"):
        body = of(image, plain("one"), plain("two"), subtype=subtype)
        assert shown(body, "text/plain", "image/png") == Part("text/plain", b"one\n\ntwo")
        assert shown(body, "image/png") == Part("image/png", b"PNG")
    assert shown(of(image, plain("one")), "text/plain", "image/png") == Part("text/plain", b"one")


def test_bodies_inside_each_other() -> None:
    body = of(plain("inside"), subtype="alternative", boundary="inner")
    assert shown(of(inside(body)), "text/plain") == Part("text/plain", b"inside")
    for depth in range(MAX_DEPTH):
        body = of(inside(body), boundary=f"level{depth}")
    with pytest.raises(ParseError) as caught:
        shown(body, "text/plain")
    assert caught.value.status == 413


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from([b"--limit", b"--", b"\r\n", b"Content-Type: a/b", b"x", b" ", b"\xff", b":"]), max_size=20
    )
)
def test_any_octets(pieces: list[bytes]) -> None:
    # G-O08
    octets = b"".join(pieces)
    try:
        parts = parse_parts(TYPE, octets)
    except ParseError:
        return
    assert sum(len(part.body) for part in parts) <= len(octets)
