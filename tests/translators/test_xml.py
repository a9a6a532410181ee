import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from translators import xml
from translators.model import InviteRequest, LoginRequest, MessageRequest, Messages, Problem, StatusAnswer
from translators.xml import XmlError, XmlInvalid, decode, encode


def test_sample() -> None:
    body = StatusAnswer(
        sip="sip:a@cc.com", uid="a", status="online", services=["im", "file"], at="2026-01-01T00:00:00Z"
    )
    assert encode(body) == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b"<status><sip>sip:a@cc.com</sip><uid>a</uid><status>online</status>"
        b"<services>im</services><services>file</services><at>2026-01-01T00:00:00Z</at></status>"
    )


def test_problem_is_in_the_namespace_of_the_rfc() -> None:
    body = Problem(type="/p", title="T", status=404, instance="/x", retryable=False, trace="0")
    data = encode(body)
    assert b'<problem xmlns="urn:ietf:rfc:7807">' in data
    assert b"<retryable>false</retryable>" in data
    assert decode(data, Problem) == body
    prefixed = (
        data.replace(b"<", b"<p:").replace(b"<p:/", b"</p:").replace(b"<p:?", b"<?").replace(b"xmlns=", b"xmlns:p=")
    )
    assert decode(prefixed, Problem) == body


def test_lists() -> None:
    data = b"<invite><types>im</types><email>b@cc.com</email><types> file </types></invite>"
    assert decode(data, InviteRequest).types == ["im", "file"]
    assert decode(b"<conversation/>", Messages) == Messages(messages=[])


def test_unknown_elements_and_attributes_are_skipped() -> None:
    assert (
        decode(b'<login a="b"><x><y/></x><passwd z="1">s</passwd><!-- c --><?pi?></login>', LoginRequest).passwd == "s"
    )


def test_characters_that_xml_cannot_hold() -> None:
    data = encode(LoginRequest(passwd="a\0\x1b\x85\ufffe\r\n\tb]]>"))
    assert decode(data, LoginRequest).passwd == "a\ufffd\ufffd\x85\ufffd\r\n\tb]]>"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_encodings(encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?><login><passwd>é</passwd></login>'
    assert decode(text.encode(encoding), LoginRequest).passwd == "é"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text",
        b"<login>",
        b"<login></passwd>",
        b"<login/><login/>",
        b"<other/>",
        b"<login>\xff</login>",
        b"<login><passwd>&nbsp;</passwd></login>",
        b"<!DOCTYPE login><login/>",
        b'<!DOCTYPE login [<!ENTITY a "b">]><login><passwd>&a;</passwd></login>',
        b'<!DOCTYPE login SYSTEM "file:///etc/passwd"><login/>',
        b'<?xml version="1.0" encoding="klingon"?><login/>',
        b"<login>" * 9,
        b"<login>" + b"<a/>" * xml.MAX_ELEMENTS + b"</login>",
    ],
)
def test_refused(data: bytes) -> None:
    with pytest.raises(XmlError):
        decode(data, LoginRequest)


@pytest.mark.parametrize(
    "data",
    [
        b"<invite><email>a</email><email>b</email></invite>",
        b"<invite><email><b>x</b></email></invite>",
        b"<invite><valid_for>long</valid_for></invite>",
        b"<invite><types>chess</types></invite>",
    ],
)
def test_invalid(data: bytes) -> None:
    with pytest.raises(XmlInvalid):
        decode(data, InviteRequest)


@settings(max_examples=200)
@given(st.binary(max_size=60) | st.text("<>/&;logipaswdmens \r\n!?[]'\"=\0", max_size=60).map(str.encode))
def test_any_bytes_give_a_body_or_an_error(data: bytes) -> None:
    for document in (data, b"<login><passwd>" + data + b"</passwd></login>"):
        try:
            decode(document, LoginRequest)
        except (XmlError, XmlInvalid):
            continue


@settings(max_examples=100)
@given(st.text(max_size=60))
def test_any_text_round_trips(text: str) -> None:
    """But for the few characters that XML cannot hold, which show as U+FFFD."""
    message = MessageRequest(to="a", message=text)
    shown = "".join("\ufffd" if c < " " and c not in "\t\n\r" or c in "\ufffe\uffff" else c for c in text)
    assert decode(encode(message), MessageRequest).message == shown
