"""Disposition notifications: D-IMD-01 to D-IMD-13."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipstack.errors import LocalProtocolError, MessageTooLarge, ParseError
from sipstack.im import xmltree
from sipstack.im.cpim import CpimMessage, CpimTemplate
from sipstack.im.imdn import (
    CONTENT_TYPE,
    DISPOSITION,
    MAX_ROUTES,
    RCS_REQUEST,
    Disposition,
    Imdn,
    ImdnRequest,
    is_notification_type,
    request,
)
from tests.utils import lf2crlf

NS = 'xmlns="urn:ietf:params:xml:ns:imdn"'
DELIVERED = lf2crlf(
    """<?xml version="1.0" encoding="UTF-8"?>
<imdn xmlns="urn:ietf:params:xml:ns:imdn">
  <message-id>Zk3x9QpLw27sVb</message-id>
  <datetime>2026-11-22T10:15:30Z</datetime>
  <recipient-uri>sip:bob@ims.lab.example</recipient-uri>
  <delivery-notification><status><delivered/></status></delivery-notification>
</imdn>"""
)
SAMPLE = Imdn("Zk3x9QpLw27sVb", "delivery", Disposition.DELIVERED, "2026-11-22T10:15:30Z", "sip:bob@ims.lab.example")
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), min_size=1).filter(
    lambda text: text == text.strip()
)
SAYINGS = st.sampled_from(
    [
        ("delivery", Disposition.DELIVERED),
        ("delivery", Disposition.FAILED),
        ("delivery", Disposition.ERROR),
        ("processing", Disposition.PROCESSED),
        ("processing", Disposition.STORED),
        ("processing", Disposition.FORBIDDEN),
        ("display", Disposition.DISPLAYED),
        ("display", Disposition.FORBIDDEN),
    ]
)


def document(body: str, attributes: str = NS) -> bytes:
    """Return a notification with this inside."""
    return f"<imdn {attributes}>{body}</imdn>".encode()


def status(kind: str, inside: str) -> bytes:
    """Return a notification about the message x."""
    name = f"{kind}-notification"
    return document(f"<message-id>x</message-id><{name}><status>{inside}</status></{name}>")


def test_the_sample_both_ways() -> None:
    # D-IMD-03: the very octets of the sample
    assert Imdn.parse(DELIVERED) == SAMPLE
    assert bytes(SAMPLE) == DELIVERED and len(DELIVERED) == 317


@given(SAYINGS, TEXTS, st.none() | TEXTS)
@settings(max_examples=60)
def test_what_is_written_is_read(saying: tuple[str, Disposition], message_id: str, other: str | None) -> None:
    kind, disposition = saying
    notification = Imdn(message_id, kind, disposition, other, other, other, other)  # type: ignore[arg-type]  # Literal
    assert Imdn.parse(bytes(notification)) == notification


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
@settings(max_examples=200)
def test_anything_is_a_notification_or_an_error(octets: bytes) -> None:
    with pytest.raises(ParseError):
        Imdn.parse(octets)


@pytest.mark.parametrize(
    ("kind", "inside", "expected"),
    [
        # D-IMD-04: each kind has its own words; others are kept as unknown
        ("delivery", "<delivered/>", Disposition.DELIVERED),
        ("delivery", "<failed/>", Disposition.FAILED),
        ("delivery", "<forbidden/>", Disposition.FORBIDDEN),
        ("delivery", "<error/>", Disposition.ERROR),
        ("delivery", "<displayed/>", Disposition.UNKNOWN),
        ("display", "<displayed/>", Disposition.DISPLAYED),
        ("processing", "<stored/>", Disposition.STORED),
        ("processing", "<lost/>", Disposition.UNKNOWN),
        ("processing", "", Disposition.UNKNOWN),
        # D-IMD-13: an extension beside the status does not change what it means
        ("delivery", '<interworking xmlns="urn:x">sms</interworking><delivered/>', Disposition.DELIVERED),
        ("delivery", '<delivered xmlns="urn:x"/>', Disposition.UNKNOWN),
    ],
)
def test_dispositions(kind: str, inside: str, expected: Disposition) -> None:
    assert Imdn.parse(status(kind, inside)).disposition is expected


@pytest.mark.parametrize(
    "octets",
    [
        # D-IMD-12: what peers forget or add
        status("delivery", "<delivered/>"),
        b"\xef\xbb\xbf" + status("delivery", "<delivered/>"),
        b"\r\n" + status("delivery", "<delivered/>") + b"\r\n",
        b'<i:imdn xmlns:i="urn:ietf:params:xml:ns:imdn"><i:message-id> x\n</i:message-id><i:delivery-notification>'
        b"<i:status><i:delivered/></i:status></i:delivery-notification></i:imdn>",
        document(
            "<message-id>x</message-id><datetime/><new>&lt;1&gt;</new>"
            "<delivery-notification><status><delivered/></status></delivery-notification>"
        ),
    ],
)
def test_tolerance(octets: bytes) -> None:
    assert Imdn.parse(octets) == Imdn("x", "delivery", Disposition.DELIVERED)


def test_a_notification_without_status() -> None:
    octets = document("<message-id>x</message-id><display-notification/>")
    assert Imdn.parse(octets).disposition is Disposition.UNKNOWN


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"no",
        b"<imdn/>",
        b'<other xmlns="urn:ietf:params:xml:ns:imdn"/>',
        document("<delivery-notification/>"),
        document("<message-id> </message-id><delivery-notification/>"),
        document("<message-id>x</message-id>"),
        document("<message-id>x</message-id><delivery-notification/><display-notification/>"),
        b'<?xml version="1.0" encoding="klingon"?><imdn/>',
        # D-IMD-12: no DTD, so that there are no entities to expand or fetch
        b'<!DOCTYPE imdn [<!ENTITY a "b">]>' + status("delivery", "<delivered/>"),
        b'<!DOCTYPE imdn SYSTEM "http://x/">' + status("delivery", "<delivered/>"),
    ],
)
def test_what_is_no_notification(octets: bytes) -> None:
    with pytest.raises(ParseError) as caught:
        Imdn.parse(octets)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "octets",
    [
        document("x" * xmltree.MAX_OCTETS),
        document("<a/>" * xmltree.MAX_ELEMENTS),
        document("<a>" * xmltree.MAX_DEPTH + "</a>" * xmltree.MAX_DEPTH),
    ],
)
def test_limits(octets: bytes) -> None:
    with pytest.raises(MessageTooLarge) as caught:
        Imdn.parse(octets)
    assert caught.value.status == 413


def test_what_cannot_be_said_is_not_written() -> None:
    with pytest.raises(LocalProtocolError):
        bytes(Imdn("x", "display", Disposition.DELIVERED))
    assert Imdn.parse(bytes(Imdn("<&>\x01", "display", Disposition.DISPLAYED))).message_id == "<&>\ufffd"


def asking(*headers: tuple[str, str], message_id: str | None = "m1", content_type: str = "text/plain") -> CpimMessage:
    """Return a message with these headers."""
    template = CpimTemplate("sip:a@x", "sip:b@x", headers=headers)
    return CpimMessage.parse(
        template.render(content_type, b"hi", datetime="2026-11-22T10:15:30Z", message_id=message_id)
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("positive-delivery, display", {"positive-delivery", "display"}),
        ("negative-delivery,processing ,DISPLAY", {"negative-delivery", "processing", "display"}),
        ("display,reply", {"display"}),
    ],
)
def test_what_a_message_asks_for(value: str, expected: set[str]) -> None:
    # D-IMD-01
    asked = ImdnRequest.of(asking(("imdn.Disposition-Notification", value)))
    assert asked is not None and asked.wanted == expected
    assert (asked.message_id, asked.datetime) == ("m1", "2026-11-22T10:15:30Z")


def test_what_asks_for_nothing() -> None:
    header = ("imdn.Disposition-Notification", "display")
    assert ImdnRequest.of(None) is None
    assert ImdnRequest.of(asking()) is None, "D-IMD-02: an id alone asks for nothing"
    assert ImdnRequest.of(asking(header, message_id=None)) is None
    assert ImdnRequest.of(asking(("imdn.Disposition-Notification", "reply"))) is None
    # D-IMD-06: nothing is told about a notification, whatever it asks for
    assert ImdnRequest.of(asking(header, content_type=CONTENT_TYPE)) is None


def test_answers_only_what_was_asked() -> None:
    # D-IMD-06, D-IMD-07; D-IMD-08: there is no way to answer with processing
    positive = ImdnRequest("m1", frozenset({"positive-delivery"}), "t")
    assert positive.delivered() == Imdn("m1", "delivery", Disposition.DELIVERED, "t")
    assert (positive.displayed(), positive.failed()) == (None, None)
    others = ImdnRequest("m1", frozenset({"negative-delivery", "display", "processing"}), None)
    assert others.delivered() is None
    assert others.displayed() == Imdn("m1", "display", Disposition.DISPLAYED)
    assert others.failed() == Imdn("m1", "delivery", Disposition.FAILED)


def test_the_way_back() -> None:
    # D-IMD-09: the record route in the same order, Original-To as it must be
    routes = [("imdn.IMDN-Record-Route", f"<sip:p{number}@x>") for number in range(MAX_ROUTES + 1)]
    headers = [("imdn.Disposition-Notification", "display"), *routes, ("imdn.Original-To", "Bob <sip:bob@x>")]
    asked = ImdnRequest.of(asking(*headers))
    assert asked is not None
    assert asked.headers == tuple(("imdn.IMDN-Route", route) for _, route in routes[:MAX_ROUTES])
    displayed = asked.displayed()
    assert displayed is not None and displayed.original_recipient_uri == "sip:bob@x"
    bare = ImdnRequest("m1", frozenset({"display"}), original_to="sip:bob@x").displayed()
    assert bare is not None and bare.original_recipient_uri == "sip:bob@x"


def test_a_notification_in_its_wrapper() -> None:
    # D-IMD-05
    octets = CpimTemplate("sip:b@x", "sip:a@x").render(
        CONTENT_TYPE, bytes(SAMPLE), datetime="2026-11-22T10:15:31Z", message_id="new", content_headers=[DISPOSITION]
    )
    wrapped = CpimMessage.parse(octets)
    assert dict(wrapped.content_headers)["Content-Disposition"] == "notification"
    assert (wrapped.imdn_message_id, wrapped.from_.uri, Imdn.parse(wrapped.content)) == ("new", "sip:b@x", SAMPLE)
    assert octets.splitlines()[6:9] == [
        b"Content-Type: message/imdn+xml",
        b"Content-Disposition: notification",
        b"Content-Length: 317",
    ]


def test_how_to_ask() -> None:
    # D-IMD-13
    assert request(("display", "positive-delivery")) == RCS_REQUEST
    for nonsense in ((), ("reply",)):
        with pytest.raises(LocalProtocolError):
            request(nonsense)
    assert is_notification_type("Message/IMDN+xml; charset=utf-8") and not is_notification_type("text/plain")
