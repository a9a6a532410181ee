"""SIP by itself: reading and writing messages, beside the package ``sipmessage`` doing the same in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec

from gateway.lab.bench.msrp import Rates
from sipstack import ids
from sipstack.sip.address import Address
from sipstack.sip.headers import CSeq, Headers
from sipstack.sip.message import Request, Response
from sipstack.sip.parser import parse_message

MESSAGES = 64
"""Different messages that are read or written in turn: so many people are talking."""
STRANGERS = 4000
"""So many that nobody's address is still known when they come again."""

INVITE = """\
INVITE sip:guest{number:04}@biloxi.example.com SIP/2.0
Via: SIP/2.0/UDP pc{number}.atlanta.example.com:5060;branch={branch};rport
Max-Forwards: 70
To: Bob <sip:guest{number:04}@biloxi.example.com>
From: "Alice Liddell" <sip:alice{number}@atlanta.example.com>;tag={tag}
Call-ID: {call_id}
CSeq: 314159 INVITE
Contact: <sip:alice{number}@pc{number}.atlanta.example.com:5060;transport=udp>
Allow: INVITE, ACK, CANCEL, OPTIONS, BYE
Content-Type: application/sdp
Content-Length: 110

v=0
o=alice 53655765 2353687637 IN IP4 192.0.2.1
s=-
c=IN IP4 192.0.2.1
t=0 0
m=message 7654 TCP/MSRP *
"""

Seen = tuple[str | None, str | None, str | None, str | None, str | None, int, str, str | None]
"""Via branch; user and tag of From and To; number and method of CSeq; user of Contact."""


SIPMESSAGE_MISSING = "the package sipmessage is not installed: pip install 'rcsgw[bench]'"


class Missing(Exception):
    """Something that a figure needs is not installed; the text says what, and how to get it."""


def parse_rates(seconds: float, count: int = MESSAGES) -> Rates:
    """Return INVITEs of 600 octets a second that are read, with typed access to Via branch, From, To, CSeq and
    Contact, ``count`` different ones in turn. :class:`Missing` without ``sipmessage``."""
    if find_spec("sipmessage") is None:
        raise Missing(SIPMESSAGE_MISSING)
    from gateway.lab.bench import sippeer

    messages = invites(count)
    for octets in messages:
        assert seen(octets) == sippeer.seen(octets), "both read the same"
    return _in_turns(
        seconds, lambda: [read(octets) for octets in messages], lambda: [sippeer.read(octets) for octets in messages]
    )


def build_rates(seconds: float) -> Rates:
    """Return messages a second that are made from their parts and written: MESSAGE requests, and 200s to INVITEs that
    were read. :class:`Missing` without ``sipmessage``."""
    if find_spec("sipmessage") is None:
        raise Missing(SIPMESSAGE_MISSING)
    from gateway.lab.bench import sippeer

    octets = invites(MESSAGES)
    ours, theirs = [parse_message(each) for each in octets], sippeer.parse(octets)
    fields = [request_fields(number) for number in range(MESSAGES)]
    assert _sorted(write(ours, fields)) == _sorted(sippeer.write(theirs, fields)), "both write the same"
    return _in_turns(seconds, lambda: write(ours, fields), lambda: sippeer.write(theirs, fields))


def invites(count: int) -> list[bytes]:
    """Return INVITEs, each by another caller to another guest."""
    return [
        INVITE.format(number=number, branch=ids.branch(), tag=ids.tag(), call_id=ids.call_id())
        .replace("\n", "\r\n")
        .encode()
        for number in range(count)
    ]


def read(octets: bytes) -> tuple[str | None, Address, Address, CSeq, list[Address]]:
    """Read an INVITE; return its Via branch, From, To, CSeq and Contacts."""
    message = parse_message(octets)
    return message.via.branch, message.from_, message.to, message.cseq, message.contacts


def seen(octets: bytes) -> Seen:
    """Return what :func:`read` has read, to be compared."""
    branch, sender, receiver, cseq, contacts = read(octets)
    ends = sender.uri.user, sender.tag, receiver.uri.user, receiver.tag
    return branch, *ends, cseq.number, cseq.method, contacts[0].uri.user


Work = Callable[[], Sequence[object]]
"""Reads or writes messages and returns what came of it."""

Fields = tuple[str, list[tuple[str, str]], bytes]
"""Request-URI, header fields, body."""


def request_fields(number: int) -> Fields:
    """Return what a MESSAGE is made of."""
    uri = f"sip:guest{number}@biloxi.example.com"
    fields = [
        ("Via", f"SIP/2.0/UDP 192.0.2.1:5060;branch={ids.branch()};rport"),
        ("Max-Forwards", "70"),
        ("From", f"<sip:alice{number}@atlanta.example.com>;tag={ids.tag()}"),
        ("To", f"<{uri}>"),
        ("Call-ID", ids.call_id()),
        ("CSeq", "1 MESSAGE"),
        ("P-Preferred-Identity", f"<sip:alice{number}@atlanta.example.com>"),
        ("User-Agent", "bench"),
        ("Content-Type", "text/plain"),
        ("Content-Length", "28"),
    ]
    return uri, fields, b"Shall we meet at the station"


def write(invitations: list[Request | Response], requests: list[Fields]) -> list[bytes]:
    """Answer the invitations and make the requests; return what goes to the wire."""
    written = []
    for invitation in invitations:
        assert isinstance(invitation, Request)
        headers = [("Contact", "<sip:bob@192.0.2.4>"), ("Server", "bench"), ("Content-Length", "0")]
        written.append(bytes(Response.for_request(invitation, 200, to_tag="a6c85cf0c6d30a31", headers=headers)))
    for uri, fields, body in requests:
        written.append(bytes(Request("MESSAGE", uri, Headers(fields), body)))
    return written


def _sorted(messages: list[bytes]) -> list[list[bytes]]:
    return [sorted(message.split(b"\r\n")) for message in messages]


def _in_turns(seconds: float, ours: Work, theirs: Work) -> Rates:
    """Run both until the time is over; return the messages a second of processor time."""
    counts, spent = [0, 0], [0.0, 0.0]
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline or not all(spent):
        for number, work in enumerate((ours, theirs)):
            started = time.process_time()
            counts[number] += len(work())
            spent[number] += time.process_time() - started
    return Rates(counts[0] / spent[0], counts[1] / spent[1])
