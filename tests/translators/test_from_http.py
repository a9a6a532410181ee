import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from translators.from_http import (
    FieldError,
    FieldTooLarge,
    check_composing,
    check_invite,
    check_message,
    check_receipt,
    invitee,
    key,
    line,
    name,
    text_body,
)
from translators.identifiers import Identifier, Kind
from translators.model import ComposingRequest, InviteRequest, MessageRequest, ReceiptRequest

BREAKS = "\r\n\0\x0b\x0c\x1c\x1d\x1e\x7f\x85\u2028\u2029"


@settings(max_examples=200)
@given(st.text(max_size=40), st.sampled_from(BREAKS), st.text(max_size=10))
def test_no_line_break_passes(before: str, evil: str, after: str) -> None:
    for check in (name, line, key):
        with pytest.raises(FieldError) as caught:
            check("f", before + evil + after)
        assert caught.value.field == "f"


@settings(max_examples=200)
@given(st.text(max_size=40))
def test_what_passes_is_one_line(text: str) -> None:
    for check in (name, line, key):
        try:
            passed = check("f", text)
        except FieldError:
            continue
        assert len(passed.splitlines()) <= 1
        if check is not line:
            assert not set(passed) & set('<> "')


def test_what_may_pass() -> None:
    assert name("to", "sip:a@cc.com;x=1") == "sip:a@cc.com;x=1"
    assert name("to", "sip:名@例.cn") == "sip:名@例.cn"
    assert line("note", 'Hi <you> & "me"\t!') == 'Hi <you> & "me"\t!'
    assert key("id", "550e8400-e29b") == "550e8400-e29b"
    for check in (name, key):
        with pytest.raises(FieldError):
            check("f", "")


def test_typing_and_receipts() -> None:
    typing, seen = ComposingRequest(to="a", state="active"), ReceiptRequest(id='<m "1">')
    assert check_composing(typing) is typing and check_receipt(seen) is seen
    with pytest.raises(FieldError):
        check_composing(ComposingRequest(to="a b", state="idle"))
    with pytest.raises(FieldError):
        check_receipt(ReceiptRequest(id="a\nb"))


def test_text_body() -> None:
    assert text_body("a\r\nb", 10) == "a\r\nb"
    assert text_body("é" * 5, 10) == "é" * 5
    with pytest.raises(FieldTooLarge) as caught:
        text_body("é" * 6, 10)
    assert "10 octets" in caught.value.detail
    for bad in ("", "a\0b"):
        with pytest.raises(FieldError):
            text_body(bad, 10)


def test_message() -> None:
    request = MessageRequest(to="a", message="x")
    assert check_message(request) is request
    assert check_message(MessageRequest(to="a", message="x", id="k")).id == "k"
    with pytest.raises(FieldError):
        check_message(MessageRequest(to="a b", message="x"))
    with pytest.raises(FieldError):
        check_message(MessageRequest(to="a", message="x", id="k k"))


def test_invite() -> None:
    def read_number(text: str) -> Identifier:
        return Identifier(Kind.PHONE, text.replace(" ", ""))

    found = invitee(InviteRequest(email="b@cc.com", note="hi", language="zh-Hans", via="email"), read_number)
    assert (found.kind, found.value) == (Kind.EMAIL, "b@cc.com")
    assert invitee(InviteRequest(phone="+49 151 12345678"), read_number).value == "+4915112345678"
    for number in ("(0151) 123/456-78", "0049 151 12345678", "+49 (0)151.12345678"):
        check_invite(InviteRequest(phone=number))


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (InviteRequest(), "email"),
        (InviteRequest(email="b@cc.com", phone="+4915112345678"), "email"),
        (InviteRequest(email="b"), "email"),
        (InviteRequest(phone="b"), "phone"),
        (InviteRequest(phone="12"), "phone"),
        (InviteRequest(phone="+49151\n12345678"), "phone"),
        (InviteRequest(phone="0" * 41), "phone"),
        (InviteRequest(email="b@cc.com", note="a\nb"), "note"),
        (InviteRequest(email="b@cc.com", language="-"), "language"),
        (InviteRequest(email="b@cc.com", via="E Mail"), "via"),
    ],
)
def test_bad_invite(request_: InviteRequest, field: str) -> None:
    with pytest.raises(FieldError) as caught:
        check_invite(request_)
    assert caught.value.field == field
