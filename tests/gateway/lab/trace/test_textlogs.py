"""Message logs of other programs."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from gateway.lab.trace.losses import Losses
from gateway.lab.trace.segments import Sent
from gateway.lab.trace.textlogs import is_text_log, read_text_log

SIPP = b"""\
----------------------------------------------- 2026-11-22 22:48:59.661578
TCP message sent (86 bytes):

OPTIONS sip:b@example.com SIP/2.0
Call-ID: 1
Content-Length: 4

ab

----------------------------------------------- 2026-11-22\t22:48:59.761578
TCP message received [40] bytes :

SIP/2.0 200 OK
Call-ID: 1
Content-Length: 0

"""

SNGREP = b"""\
2026/11/22 12:00:00.500000 192.0.2.1:5060 -> 192.0.2.2:5061
OPTIONS sip:b@example.com SIP/2.0
Call-ID: 1

2026/11/22 12:00:01.000000 192.0.2.2:5061 -> 192.0.2.1:5060
SIP/2.0 200 OK
Call-ID: 1

"""

SIPDUMP = b"""\
====================
tag: rcv
pid: 19
process: 1
time: 1590413064.25
date: Mon May 25 13:24:24 2020
proto: tcp ipv4
srcip: 192.0.2.1
srcport: 37296
dstip: 192.0.2.2
dstport: 5060
~~~~~~~~~~~~~~~~~~~~
OPTIONS sip:b@example.com SIP/2.0\r
Call-ID: 1\r
\r
||||||||||||||||||||
====================
tag: snd
~~~~~~~~~~~~~~~~~~~~
SIP/2.0 200 OK\r
\r
||||||||||||||||||||
"""


def read(data: bytes) -> tuple[list[Sent], Losses]:
    losses = Losses()
    return list(read_text_log(io.BytesIO(data), losses)), losses


def test_sipp() -> None:
    assert is_text_log(SIPP)
    [request, response], losses = read(SIPP)
    assert request.data == b"OPTIONS sip:b@example.com SIP/2.0\r\nCall-ID: 1\r\nContent-Length: 4\r\n\r\nab\r\n"
    assert (request.source[0], request.target[0], request.transport) == ("sipp", "peer", "TCP")
    assert (response.source[0], response.target[0]) == ("peer", "sipp")
    assert round(response.at - request.at, 3) == 0.1 and not losses


def test_sngrep() -> None:
    assert is_text_log(SNGREP)
    [request, response], losses = read(SNGREP)
    assert request.data == b"OPTIONS sip:b@example.com SIP/2.0\r\nCall-ID: 1\r\n\r\n"
    assert (request.source, response.source) == (("192.0.2.1", 5060), ("192.0.2.2", 5061))
    assert response.at - request.at == 0.5 and not losses


def test_sipdump() -> None:
    assert is_text_log(SIPDUMP)
    [request], losses = read(SIPDUMP)
    assert (request.at, request.transport) == (1590413064.25, "TCP")
    assert (request.source, request.target) == (("192.0.2.1", 37296), ("192.0.2.2", 5060))
    assert request.data.endswith(b"Call-ID: 1\r\n\r\n")
    assert "without addresses" in str(losses)


def test_endless_message() -> None:
    head = SNGREP.split(b"\n")[0] + b"\n"
    found, losses = read(head + (b"x" * 1000 + b"\n") * 1100 + SNGREP)
    assert len(found) == 2 and "more than 1 MiB" in str(losses)


@given(st.sampled_from([SIPP, SNGREP, SIPDUMP]), st.binary(max_size=60), st.data())
def test_damaged_anywhere(log: bytes, rubbish: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(log)))
    read(log[:place])
    read(log[:place] + rubbish + log[place:])
    is_text_log(rubbish)
