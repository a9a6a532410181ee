"""The defects of RFC 4475 and RFC 5118 (G-T01..G-T49, G-V01..G-V12), by messages of our own.

``RCSGW_TORTURE_DIR`` may name a folder with the files of the RFCs themselves: they are tried by the same rules then.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.lab.conformance.torture import VECTORS, Vector, read_foreign, vectors
from sipstack.errors import ParseError
from sipstack.sip.message import Request, Response
from sipstack.sip.parser import StreamParser, parse_message, validate
from sipstack.sip.uri import unescape
from tests.utils import every_chunking

EXPECTED = vectors()
FOREIGN = os.environ.get("RCSGW_TORTURE_DIR")

# Where the files of the RFCs go another way on a stream.
IN_THE_ARCHIVE = {
    "dblreq": "close",  # has octets behind the second request
}


def read(name: str) -> bytes:
    return EXPECTED[name].octets


def sound(data: bytes) -> Request | Response:
    message = parse_message(data)
    validate(message)
    return message


def check_datagram(data: bytes, expected: Vector) -> None:
    if expected.well_formed:
        message = sound(data)
        assert bytes(parse_message(bytes(message))) == bytes(message)
        return
    with pytest.raises(ParseError) as caught:
        sound(data)
    if expected.answer:
        assert isinstance(caught.value.message, Request)
        assert caught.value.status in expected.answer
        answer = Response.for_request(caught.value.message, caught.value.status, to_tag="t")
        assert parse_message(bytes(answer)).headers.get("Via") == caught.value.message.headers.get("Via")
    else:
        assert not isinstance(caught.value.message, Request)


def on_a_stream(chunks: list[bytes]) -> str:
    parser = StreamParser()
    outcome = []
    for chunk in chunks:
        parser.receive_data(chunk)
        while True:
            try:
                if parser.next_message() is None:
                    break
                outcome.append("message")
            except ParseError:
                outcome.append("close" if parser.failed else "error")
    return {(): "wait", ("message", "message"): "two"}.get(tuple(outcome), outcome[-1] if outcome else "")


@pytest.mark.parametrize("name", EXPECTED)
def test_datagram(name: str) -> None:
    check_datagram(read(name), EXPECTED[name])


@pytest.mark.parametrize("name", EXPECTED)
def test_stream(name: str) -> None:
    assert every_chunking(read(name), on_a_stream) == EXPECTED[name].stream


if FOREIGN is not None:
    FOLDER = FOREIGN

    @pytest.mark.parametrize("name", EXPECTED)
    def test_files_of_the_rfc(name: str) -> None:
        data = read_foreign(Path(FOLDER), name)
        check_datagram(data, EXPECTED[name])
        assert on_a_stream([data]) == IN_THE_ARCHIVE.get(name, EXPECTED[name].stream)


def test_nothing_is_forgotten() -> None:
    ids = [f"G-T{number:02}" for number in range(1, 50)] + [f"G-V{number:02}" for number in range(1, 13)]
    assert [entry.id for entry in EXPECTED.values()] == ids
    assert sorted(path.stem for path in VECTORS.glob("*.dat")) == sorted(EXPECTED)


# what must have been understood, not only accepted


def request(name: str) -> Request:
    message = sound(read(name))
    assert isinstance(message, Request)
    return message


def test_wsinv() -> None:
    message = request("wsinv")
    assert (message.to.tag, message.to.display_name) == ("t-wsinv", 'Guest "One"')
    assert (message.max_forwards, message.cseq.number, message.from_.tag) == (69, 11, "42wsinv")
    assert [(via.transport, via.port, via.branch) for via in message.vias] == [
        ("UDP", 5062, "old-style"),
        ("TCP", None, "z9hG4bKwsinv2"),
        ("UDP", None, "z9hG4bKwsinv3"),
    ]
    assert message.headers.get("X-Unheard-Of") == ";;,,;;,;"
    assert (message.contacts[0].param("extra"), message.contacts[0].param("q")) == ("one", "0.5")


def test_intmeth() -> None:
    message = request("intmeth")
    assert message.method == message.cseq.method == "Zap!%*_+`.'~-09"
    assert message.to.display_name == "BEL:\x07 NUL:\x00 DEL:\x7f"
    assert bytes(Response.for_request(message, 501, to_tag="t")).count(b"NUL:\\\x00") == 1


def test_escapes() -> None:
    assert unescape(request("esc01").uri.user or "") == "sip:guest01@ims.lab.example"
    assert request("esc01").to.uri.aor == "sip:guest01@ims.lab.example"
    assert [contact.uri.user for contact in request("escnull").contacts] == ["%00", "%00%00"]
    assert unescape(request("escnull").to.uri.user or "") == "null-\x00-null"
    assert request("esc02").method == "RE%47IST%45R"
    assert (request("esc02").to.display_name, len(request("esc02").contacts)) == ("%Z%45", 2)
    assert unescape(request("semiuri").uri.user or "") == "guest01;dept=u@lab.example"


def test_longreq_is_echoed_whole() -> None:
    message = request("longreq")
    answer = Response.for_request(message, 488, to_tag="t")
    assert len(answer.vias) == 34
    assert answer.from_ == message.from_ and answer.call_id == message.call_id


def test_dblreq_ignores_the_tail() -> None:
    assert (request("dblreq").method, request("dblreq").body) == ("REGISTER", b"")


def test_transports() -> None:
    answer = Response.for_request(request("transports"), 200, to_tag="t")
    assert [via.transport for via in answer.vias] == ["UDP", "SCTP", "TLS", "SEMAPHORE", "TCP"]


def test_mpart01_keeps_binary_bodies() -> None:
    message = request("mpart01")
    assert b"\x00\x01\x02\xff\xfe\r\n\r\n\x00" in message.body
    assert message.content_type is not None and message.content_type.param("boundary") == "cut-here"


def test_contact_parameters() -> None:
    first, second = request("cparam01").contacts[0], request("cparam02").contacts[0]
    assert (first.param("oddparam"), first.uri.param("oddparam")) == ("", None)
    assert (second.param("oddparam"), second.uri.param("oddparam")) == (None, "")
    assert request("regescrt").contacts[0].uri.headers == (("Route", "%3Csip:relay.lab.example%3E"),)


def test_unknown_schemes() -> None:
    assert (request("unkscm").uri.scheme, request("novelsc").uri.scheme) == ("labscheme-nobody-knows", "soap.beep")
    assert request("unksm2").contacts[0].uri.opaque == "17"


def test_ipv6_addresses() -> None:
    assert request("port-ambiguous").uri.host_port == ("2001:db8::10:5070", None)
    assert request("port-unambiguous").uri.host_port == ("2001:db8::10", 5070)
    for name in ("via-received-param-with-delim", "via-received-param-no-delim"):
        assert request(name).via.received == "2001:db8::9:255"
    assert request("ipv4-mapped-ipv6").contacts[0].uri.host_port == ("::ffff:192.0.2.30", 19823)
