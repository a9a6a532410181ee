"""sipstack.sip.headers: A-MSG-04..07, A-MSG-11, A-URI-04."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sipstack.errors import LocalProtocolError
from sipstack.sip.headers import COMPACT_FORMS, Headers, parse_headers

FIELDS = [("Via", "a"), ("f", "b"), ("X-Lab", "c"), ("VIA", "d, e"), ("x-lab", "")]


def test_order_and_spelling_are_kept() -> None:
    headers = Headers(FIELDS)
    assert headers.items() == FIELDS
    assert list(headers) == ["Via", "f", "X-Lab", "VIA", "x-lab"]
    assert len(headers) == 5
    assert headers.fields() == "Via: a\r\nf: b\r\nX-Lab: c\r\nVIA: d, e\r\nx-lab: \r\n"
    assert repr(headers) == f"Headers({FIELDS!r})"


def test_names_compare_without_case_and_compact_equals_long() -> None:
    headers = Headers(FIELDS)
    assert headers.get("v") == headers.get("vIa") == headers.get("Via") == "a"
    assert headers.get("FROM") == "b"
    assert headers.get("X-LAB") == "c"
    assert headers.get_all("V") == ["a", "d, e"]
    assert headers.get_list("via") == ["a", "d", "e"]
    assert headers.get_all("From") == ["b"] and headers.get_all("To") == []
    assert headers.count("x-LAB") == 2
    assert headers.counts() == {"via": 2, "from": 1, "x-lab": 2}
    assert "F" in headers and "To" not in headers and 5 not in headers
    assert headers.get("To") is None and headers.get("To", "none") == "none"


@pytest.mark.parametrize(("short", "long"), COMPACT_FORMS.items())
def test_compact_forms(short: str, long: str) -> None:
    # A-MSG-11
    assert Headers([(short, "x")]).get(long) == Headers([(long, "x")]).get(short.upper()) == "x"


def test_get_list_leaves_out_empty_items() -> None:
    assert Headers([("Supported", ""), ("k", "a,, b")]).get_list("Supported") == ["a", "b"]


def test_set_replaces_all_at_the_place_of_the_first() -> None:
    headers = Headers(FIELDS)
    headers.set("via", "new")
    assert headers.items() == [("Via", "new"), ("f", "b"), ("X-Lab", "c"), ("x-lab", "")]
    headers.set("From", "z")
    headers.set("To", "t")
    assert headers.items() == [("Via", "new"), ("f", "z"), ("X-Lab", "c"), ("x-lab", ""), ("To", "t")]


def test_insert_goes_before_the_first_of_its_name_or_to_the_top() -> None:
    headers = Headers([("From", "f"), ("v", "1")])
    headers.insert("Via", "0")
    headers.insert("Record-Route", "r")
    assert headers.items() == [("Record-Route", "r"), ("From", "f"), ("Via", "0"), ("v", "1")]


def test_remove() -> None:
    headers = Headers(FIELDS)
    headers.remove("x-lab")
    headers.remove("To")
    headers.remove_first("v")
    headers.remove_first("To")
    assert headers.items() == [("f", "b"), ("VIA", "d, e")]


def test_copy_is_independent() -> None:
    headers = Headers(FIELDS)
    other = headers.copy()
    other.add("To", "x")
    assert "To" not in headers
    other = Headers()
    other.copy_from(headers, "From", "Via", "To")
    assert other.items() == [("f", "b"), ("Via", "a"), ("VIA", "d, e")]


def test_extending_keeps_the_lines_of_the_other() -> None:
    headers, other = Headers([("To", "x")]), Headers([("m", "<sip:b@h>"), ("VIA", "v")])
    version = headers.version
    headers.extend(other)
    headers.add("To", "y")
    assert headers.items() == [("To", "x"), ("m", "<sip:b@h>"), ("VIA", "v"), ("To", "y")]
    assert headers.version > version
    assert other.items() == [("m", "<sip:b@h>"), ("VIA", "v")]


def test_every_change_counts() -> None:
    headers = Headers(FIELDS)
    versions = [headers.version]
    changes: list[Callable[[], None]] = [
        lambda: headers.add("To", "x"),
        lambda: headers.set("To", "y"),
        lambda: headers.set("Via", "z"),
        lambda: headers.set("Expires", "1"),
        lambda: headers.insert("Via", "z"),
        lambda: headers.remove("From"),
        lambda: headers.remove_first("Via"),
        lambda: headers.copy_from(Headers(FIELDS), "Via"),
    ]
    for change in changes:
        change()
        versions.append(headers.version)
    assert sorted(set(versions)) == versions


@pytest.mark.parametrize("value", ["a\r\nVia: b", "a\nb", "a\rb", "a\x00b"])
def test_line_breaks_are_refused(value: str) -> None:
    # A-URI-04
    headers = Headers([("To", "x")])
    for change in (headers.add, headers.set, headers.insert):
        with pytest.raises(LocalProtocolError, match="To"):
            change("To", value)
        with pytest.raises(LocalProtocolError, match="X-Lab"):
            change("X-Lab", value)
    with pytest.raises(LocalProtocolError):
        Headers([("From", value)])
    assert headers.items() == [("To", "x")]


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nb", "ä"])
def test_names_must_be_tokens(name: str) -> None:
    with pytest.raises(LocalProtocolError):
        Headers([(name, "x")])


def test_block_with_folding_and_white_space() -> None:
    # A-MSG-04, A-MSG-06
    headers, error = parse_headers(
        "Max-Forwards   :  70\r\nTo: <sip:a@h>\r\n  ;tag=x\r\n\t\r\nX-Lab \t:\r\n a\r\nl:0", 10
    )
    assert error is None
    assert headers.items() == [("Max-Forwards", "70"), ("To", "<sip:a@h> ;tag=x"), ("X-Lab", "a"), ("l", "0")]


def test_empty_block() -> None:
    headers, error = parse_headers("", 10)
    assert (len(headers), error) == (0, None)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("Via: a\r\nTo\r\nFrom: b", "header line"),
        ("Via: a\r\nnonsense\r\nFrom: b", "header line"),
        ("Via: a\r\n: x\r\nFrom: b", "header line"),
        ("Via: a\r\nX Lab: x\r\nFrom: b\r\nY Lab: y", "header line"),
        ("Via: a\r\n\r\nFrom: b", "header line"),
        ("Via: a\r\nFrom: b\nTo: c", "header block"),
        ("Via: a\r\nFrom: b\rTo: c\r\nTo", "header block"),
        ("Via: a\r\nFrom: b\x00", "header block"),
        ("Via: a\r\nFrom: b\r\n" + "To: c\r\n" * 99 + "To", "header block"),
    ],
)
def test_what_is_readable_of_a_broken_block_is_kept(text: str, what: str) -> None:
    headers, error = parse_headers(text, 20)
    assert error is not None and error.what == what
    assert headers.get("Via") == "a" and (headers.get("From") or "").startswith("b")
    # nothing that could end a line gets into an answer
    assert "\n" not in headers.fields().replace("\r\n", "") and "\r" not in headers.fields().replace("\r\n", "")


def test_too_many_lines() -> None:
    headers, error = parse_headers("\r\n".join(["To: c"] * 21), 20)
    assert error is not None and error.status == 513
    assert len(headers) == 20
