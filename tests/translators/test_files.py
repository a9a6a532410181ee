"""Names, media types and ranges of files: D-FTM-02, D-FTH-05."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translators.files import (
    ContentRange,
    RangeNotSatisfiable,
    byte_range,
    content_range,
    disposition,
    is_listed,
    media_type,
    named_file,
    safe_name,
)
from translators.from_http import FieldError


def test_names_are_made_safe() -> None:
    """D-FTM-02; ``tests/sipstack/test_filename.py`` has the rest."""
    assert safe_name("../../etc/passwd", "image/jpeg") == "passwd"
    assert safe_name("..", "image/jpeg") == safe_name(None, "image/jpeg") == "file.jpg"
    assert safe_name("", "x/y") == "file"


@given(st.text(max_size=400))
def test_any_name_survives_its_header(name: str) -> None:
    safe = safe_name(name, "text/plain")
    assert named_file(disposition(safe)) == safe


def test_media_types() -> None:
    assert media_type("Content-Type", "Image/JPEG; q=1") == "image/jpeg"
    assert media_type("Content-Type", None) == media_type("Content-Type", " ") == "application/octet-stream"
    for wrong in ("image", "a/b/c", "text/pl ain", "x/" + "y" * 200):
        with pytest.raises(FieldError, match="media type"):
            media_type("Content-Type", wrong)


def test_lists_of_media_types() -> None:
    assert is_listed("image/png", ["text/plain", "image/*"])
    assert is_listed("image/png", ["image/png"]) and is_listed("image/png", ["*/*"]) and is_listed("image/png", ["*"])
    assert not is_listed("image/png", ["text/*", "image/jpeg"]) and not is_listed("image/png", [])


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (None, None),
        ("attachment", None),
        ("attachment; filename=a.txt", "a.txt"),
        ('form-data; name="file"; filename="a \\"b\\".txt"', 'a "b".txt'),
        ("attachment; filename=\"x\"; filename*=UTF-8''%e2%82%ac%20rates", "€ rates"),
        ("attachment; FileName*=iso-8859-1'en'%A3", "£"),
        ("attachment; filename=x; filename*=koi8-r''%C1", "x"),
        ("attachment; filename=x; filename*=broken", "x"),
    ],
)
def test_names_in_content_disposition(header: str | None, name: str | None) -> None:
    assert named_file(header) == name


def test_content_disposition() -> None:
    assert disposition("a b.txt") == 'attachment; filename="a b.txt"'
    assert disposition("é.txt", inline=True) == "inline; filename=\"_.txt\"; filename*=UTF-8''%C3%A9.txt"


def test_content_range() -> None:
    assert content_range("bytes 0-499/1000") == ContentRange(0, 500, 1000)
    assert content_range("Bytes 5-5/*") == ContentRange(5, 6, None)
    assert content_range("bytes */10") == ContentRange(0, 0, 10)
    for wrong in ("bytes 5-4/10", "bytes 0-10/10", "0-1/2", "bytes a-b/c", "bytes 0-1", f"bytes 0-{'9' * 20}/*"):
        with pytest.raises(FieldError):
            content_range(wrong)


@pytest.mark.parametrize(
    ("header", "size", "range"),
    [
        (None, 10, None),
        ("bytes=0-4", 10, (0, 5)),
        ("bytes=5-", 10, (5, 10)),
        ("bytes = 5-100", 10, (5, 10)),
        ("bytes=-3", 10, (7, 10)),
        ("bytes=-30", 10, (0, 10)),
        ("bytes=-", 10, None),
        ("bytes=5-4", 10, None),
        ("bytes=0-1,3-4", 10, None),
        ("lines=0-1", 10, None),
        (f"bytes=0-{'9' * 200}", 10, None),
    ],
)
def test_ranges_of_a_download(header: str | None, size: int, range: tuple[int, int] | None) -> None:
    assert byte_range(header, size) == range


@pytest.mark.parametrize(("header", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-5", 0)])
def test_ranges_behind_the_end(header: str, size: int) -> None:
    with pytest.raises(RangeNotSatisfiable):
        byte_range(header, size)
