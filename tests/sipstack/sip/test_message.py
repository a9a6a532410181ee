"""sipstack.sip.message: typed access, building and serialising."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from sipstack.errors import LocalProtocolError, ParseError
from sipstack.sip.address import Address
from sipstack.sip.headers import Headers
from sipstack.sip.message import Message, Request, Response
from sipstack.sip.parser import parse_message, validate
from sipstack.sip.uri import Uri
from sipstack.sip.values import CSeq, MediaType, Reason, RetryAfter, WarningValue
from tests.strategies import requests, responses

HEADERS = [
    ("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1, SIP/2.0/TCP 192.0.2.2;branch=z9hG4bK2"),
    ("v", "SIP/2.0/UDP 192.0.2.3;branch=z9hG4bK3"),
    ("From", "<sip:dana@lab.example>;tag=f"),
    ("To", "Guest <sip:guest01@ims.lab.example>"),
    ("Call-ID", "c@192.0.2.1"),
    ("CSeq", "7 INVITE"),
]


def request(*more: tuple[str, str], body: bytes = b"") -> Request:
    return Request("INVITE", "sip:guest01@ims.lab.example", [*HEADERS, *more], body)


def test_typed_access_to_mandatory_headers() -> None:
    message = request()
    assert [via.host for via in message.vias] == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    assert message.via.branch == "z9hG4bK1"
    assert (message.from_.tag, message.to.tag, message.to.display_name) == ("f", None, "Guest")
    assert (message.call_id, message.cseq) == ("c@192.0.2.1", CSeq(7, "INVITE"))
    assert message.uri == Uri("sip", "guest01", None, "ims.lab.example")


def test_absent_optional_headers() -> None:
    message = request()
    lists = (
        message.contacts,
        message.routes,
        message.record_routes,
        message.paths,
        message.service_routes,
        message.associated_uris,
        message.asserted_identities,
        message.require,
        message.supported,
        message.allow,
        message.warnings,
        message.reasons,
    )
    assert all(values == [] for values in lists)
    assert message.max_forwards is message.expires is message.min_expires is None
    assert message.content_type is None and message.retry_after is None
    assert not message.contact_star


def test_typed_access_to_optional_headers() -> None:
    address = "<sip:a@h>;x"
    message = request(
        *((name, address) for name in ("Route", "Record-Route", "Path", "Service-Route", "m")),
        *((name, f"{address}, <tel:+491>") for name in ("P-Associated-URI", "P-Asserted-Identity")),
        ("Max-Forwards", "0"),
        ("Expires", "600"),
        ("Min-Expires", "60"),
        ("c", "application/sdp"),
        ("k", "timer, path"),
        ("Supported", "gruu"),
        ("Require", "pref"),
        ("Allow", "INVITE,ACK"),
        ("Retry-After", "5"),
        ("Warning", '399 h "a, b", 300 h "c"'),
        ("Reason", "SIP;cause=200, Q.850;cause=16"),
    )
    expected = Address(Uri("sip", "a", None, "h"), None, (("x", None),))
    for values in (message.routes, message.record_routes, message.paths, message.service_routes, message.contacts):
        assert values == [expected]
    for values in (message.associated_uris, message.asserted_identities):
        assert values == [expected, Address(Uri("tel", "+491"))]
    assert (message.max_forwards, message.expires, message.min_expires) == (0, 600, 60)
    assert message.content_type == MediaType("application", "sdp")
    assert (message.supported, message.require) == (["timer", "path", "gruu"], ["pref"])
    assert message.allow == ["INVITE", "ACK"]
    assert message.retry_after == RetryAfter(5)
    assert message.warnings == [WarningValue(399, "h", "a, b"), WarningValue(300, "h", "c")]
    assert message.reasons == [Reason("SIP", 200), Reason("Q.850", 16)]


def test_harmless_mistakes_count_as_absent() -> None:
    # A-MSG-13, G-T17
    message = request(
        ("Max-Forwards", "300"),
        ("Expires", "10000000000000000000000"),
        ("Min-Expires", "soon"),
        ("Retry-After", "soon"),
        ("Warning", '1812 overture "x"'),
        ("Warning", '399 h "y"'),
        ("Warning", '"'),
        ("Reason", ";"),
        ("Supported", "a,,b"),
    )
    assert (message.max_forwards, message.expires, message.min_expires) == (None, 3600, None)
    assert (message.retry_after, message.reasons) == (None, [])
    assert message.warnings == [WarningValue(399, "h", "y")]
    assert message.supported == ["a", "b"]


@pytest.mark.parametrize("name", ["Via", "From", "To", "Call-ID", "CSeq"])
@pytest.mark.parametrize("value", [None, "", '" x', "a b c"])
def test_mandatory_headers_are_named_when_missing_or_malformed(name: str, value: str | None) -> None:
    message = request()
    if value is None:
        message.headers.remove(name)
    else:
        message.headers.set(name, value)
    attribute = {"Via": "via", "From": "from_", "To": "to", "Call-ID": "call_id", "CSeq": "cseq"}[name]
    with pytest.raises(ParseError, match=f"{name} is missing" if value is None else name) as caught:
        getattr(message, attribute)
    assert caught.value.what == name
    assert caught.value.message is message


def test_contact_star() -> None:
    message = request(("Contact", "*"))
    assert message.contact_star and message.contacts == []


def test_values_are_parsed_once_and_again_after_a_change() -> None:
    message = request()
    assert message.vias is message.vias
    message.headers.insert("Via", "SIP/2.0/UDP 192.0.2.9")
    assert message.via.host == "192.0.2.9"
    assert message.to is message.to
    message.headers = Headers([("To", "<sip:other@h>")])
    assert message.to.uri.user == "other"


def test_request_uri_is_parsed_on_first_use() -> None:
    message = Request("OPTIONS", "sip:a b@h")
    assert message.uri_text == "sip:a b@h"
    with pytest.raises(ParseError, match="Request-URI") as caught:
        _ = message.uri
    assert caught.value.message is message
    message.uri = Uri("sip", host="h")
    assert message.uri_text == "sip:h"
    message.uri = "tel:+491"
    assert message.uri.is_tel
    assert Request("OPTIONS", message.uri).uri is message.uri


def test_bytes_of_a_request() -> None:
    message = Request("MESSAGE", "sip:b@h", [("To", "<sip:b@h>"), ("X-Lab", "ä")], b"hi\x00")
    assert (
        bytes(message)
        == "MESSAGE sip:b@h SIP/2.0\r\nTo: <sip:b@h>\r\nX-Lab: ä\r\nContent-Length: 3\r\n\r\nhi\x00".encode()
    )
    assert repr(message) == "<Request 'MESSAGE sip:b@h SIP/2.0'>"
    assert "Content-Length" not in message.headers


@pytest.mark.parametrize(
    "given_length", [[("l", "9")], [("l", "3"), ("Content-Length", "3")], [("Content-Length", "x")]]
)
def test_content_length_is_always_right(given_length: list[tuple[str, str]]) -> None:
    headers = [*given_length, ("To", "<sip:b@h>")]
    message = Response(200, headers=headers, body=b"abc")
    name = given_length[0][0]
    assert bytes(message) == f"SIP/2.0 200 OK\r\n{name}: 3\r\nTo: <sip:b@h>\r\n\r\nabc".encode()
    assert message.headers.items() == headers


@pytest.mark.parametrize(
    ("method", "uri"), [("A B", "sip:h"), ("A", "sip:h x"), ("A", "sip:h\r\nVia: x"), ("A", ""), ("", "b")]
)
def test_no_request_line_with_white_space(method: str, uri: str) -> None:
    with pytest.raises(LocalProtocolError):
        bytes(Request(method, uri))


def test_reason_phrases() -> None:
    assert Response(486).reason == "Busy Here"
    assert Response(499).reason == "Bad Request"
    assert bytes(Response(100, "")).startswith(b"SIP/2.0 100 \r\n")  # A-MSG-02
    for reason in ("a\nb", "a\rb"):
        with pytest.raises(LocalProtocolError):
            bytes(Response(200, reason))
    for status in (99, 700):
        with pytest.raises(LocalProtocolError):
            Response(status)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(100, (True, False, False)), (199, (True, False, False)), (200, (False, True, True)), (603, (False, False, True))],
)
def test_classes_of_responses(status: int, kind: tuple[bool, bool, bool]) -> None:
    response = Response(status)
    assert (response.is_provisional, response.is_success, response.is_final) == kind


def test_a_bare_message_has_no_start_line() -> None:
    with pytest.raises(NotImplementedError):
        bytes(Message())


def test_answer_copies_what_the_rfc_says() -> None:
    # A-UAS-07
    message = request(("Timestamp", "54"), ("Subject", "x"))
    response = Response.for_request(message, 200, to_tag="t", headers=[("Contact", "<sip:me@h>")], body=b"b")
    assert response.headers.items() == [
        *HEADERS[:3],
        ("To", "Guest <sip:guest01@ims.lab.example>;tag=t"),
        *HEADERS[4:],
        ("Contact", "<sip:me@h>"),
    ]
    assert (response.reason, response.body) == ("OK", b"b")


def test_answer_takes_headers_that_are_written_out() -> None:
    written = Headers([("Allow", "OPTIONS"), ("Server", "x")])
    response = Response.for_request(request(), 200, to_tag="t", headers=written)
    assert response.headers.items()[-2:] == [("Allow", "OPTIONS"), ("Server", "x")]
    response.headers.set("Server", "y")
    assert written.get("Server") == "x"


def test_a_changed_header_is_read_again_and_the_others_are_not() -> None:
    message = request()
    sender, via = message.from_, message.via
    message.headers.set("To", "<sip:other@h>")
    assert message.to.uri == Uri.parse("sip:other@h")
    assert message.from_ is sender and message.via is via
    assert Message.to.key == "to"


def test_trying_has_the_timestamp_and_no_tag() -> None:
    response = Response.for_request(request(("Timestamp", "54")), 100, to_tag="t")
    assert response.headers.items() == [*HEADERS, ("Timestamp", "54")]


def test_a_tag_is_kept_and_none_is_made_up() -> None:
    message = request()
    assert Response.for_request(message, 404).to.tag is None
    message.headers.set("To", "sip:guest01@ims.lab.example;tag=old")
    assert Response.for_request(message, 404, "Gone", to_tag="t").to.tag == "old"


@pytest.mark.parametrize("to", [None, '"open <sip:a@h>'])
def test_broken_requests_can_be_answered(to: str | None) -> None:
    message = request()
    message.headers.remove("To")
    if to is not None:
        message.headers.add("To", to)
    answer = bytes(Response.for_request(message, 400, to_tag="t"))
    assert b"tag=t" not in answer
    assert answer.count(b"192.0.2.") == 4


@given(requests())
@settings(max_examples=25)
def test_request_round_trip(message: Request) -> None:
    data = bytes(message)
    again = parse_message(data)
    validate(again)
    assert isinstance(again, Request)
    assert (again.method, again.uri, again.body) == (message.method, message.uri, message.body)
    assert bytes(again) == again.raw == data


@given(responses())
@settings(max_examples=25)
def test_response_round_trip(message: Response) -> None:
    data = bytes(message)
    again = parse_message(data)
    validate(again)
    assert isinstance(again, Response)
    assert (again.status, again.reason, again.body) == (message.status, message.reason, message.body)
    assert bytes(again) == data
