"""Reliable provisional responses on a virtual clock: A-PRK-01 to A-PRK-04."""

from __future__ import annotations

import pytest

from sipstack import ids
from sipstack.errors import LocalProtocolError, ParseError
from sipstack.sip.message import Request, Response
from sipstack.sip.reliable import RAck, ReliableOrder, ReliableResponses, reliable_number, takes_reliable
from sipstack.sip.timers import TimerValues

from .helpers import make_request


def ringing(status: int = 180, body: bytes = b"", **headers: str) -> Response:
    return Response.for_request(make_request("INVITE"), status, to_tag="b1", headers=list(headers.items()), body=body)


def prack(rack: str | None) -> Request:
    return make_request("PRACK", number=2, to_tag="b1", headers=[] if rack is None else [("RAck", rack)])


def responses() -> ReliableResponses:
    return ReliableResponses(make_request("INVITE"), TimerValues())


class TestHeaders:
    @pytest.mark.parametrize(
        ("header", "expected"),
        [("Supported: 100rel", True), ("Require: timer, 100REL", True), ("Supported: path", False)],
    )
    def test_who_takes_them(self, header: str, expected: bool) -> None:
        """A-PRK-01."""
        name, _, value = header.partition(": ")
        assert takes_reliable(make_request("INVITE", headers=[(name, value)])) is expected

    @pytest.mark.parametrize(
        ("response", "number"),
        [
            (ringing(180, Require="100rel", RSeq="4"), 4),
            (ringing(199, Require="100rel", RSeq="4294967295"), 4294967295),
            (ringing(100, Require="100rel", RSeq="4"), None),
            (ringing(200, Require="100rel", RSeq="4"), None),
            (ringing(180, RSeq="4"), None),
            (ringing(180, Require="100rel"), None),
            (ringing(180, Require="100rel", RSeq="0"), None),
            (ringing(180, Require="100rel", RSeq="x"), None),
            (ringing(180, Require="100rel", RSeq="4294967296"), None),
        ],
    )
    def test_which_responses_want_a_prack(self, response: Response, number: int | None) -> None:
        """A-PRK-01, A-PRK-03: never a 100."""
        assert reliable_number(response) == number

    def test_rack(self) -> None:
        """A-PRK-03."""
        assert RAck.of(prack(" 776656 \t1 INVITE")) == RAck(776656, 1, "INVITE")
        assert str(RAck(776656, 1, "INVITE")) == "776656 1 INVITE"
        for text in (None, "1 INVITE", "1 1 INVITE x", "1 4294967296 INVITE"):
            with pytest.raises(ParseError, match="RAck") as caught:
                RAck.of(prack(text))
            assert caught.value.status == 400


def test_order_at_the_client() -> None:
    """A-PRK-03: repeats and gaps are neither acknowledged nor looked at."""
    order = ReliableOrder()
    outcomes = [order.receive(ringing(), number) for number in (7, 7, 9, 8, 8, 9, 7)]
    assert [None if rack is None else rack.number for rack in outcomes] == [7, None, None, 8, None, 9, None]
    assert outcomes[0] == RAck(7, 1, "INVITE")


class TestServer:
    def test_numbers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A-PRK-01: from 1 to 2**31 - 1 at first, then one more each time, one at a time (A-PRK-04)."""
        for token, first in (("00000000", 1), ("7ffffffe", 2**31 - 1), ("7fffffff", 1), ("ffffffff", 2)):
            monkeypatch.setattr(ids, "token", lambda bits, token=token: token)
            reliable, response, second = responses(), ringing(), ringing(183)
            reliable.send(response, 0.0)
            assert (response.headers.get("Require"), response.headers.get("RSeq")) == ("100rel", str(first))
            with pytest.raises(LocalProtocolError, match="not acknowledged"):
                reliable.send(second, 1.0)
            assert reliable.receive(prack(f"{first} 1 INVITE"))
            reliable.send(second, 2.0)
            assert second.headers.get("RSeq") == str(first + 1)

    def test_repeated_without_limit_to_the_pause(self) -> None:
        """A-PRK-02, H-03: T1, 2*T1, 4*T1 …, and 64*T1 after the first it is given up."""
        reliable, response = responses(), ringing()
        assert reliable.get_timer() is None and not reliable.is_pending
        reliable.send(response, 10.0)
        times = []
        while (timer := reliable.get_timer()) is not None and not reliable.gave_up(timer):
            assert reliable.handle_timer(timer - 0.1) is None
            assert reliable.handle_timer(timer) is response
            times.append(timer - 10.0)
        assert times == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
        assert timer == 42.0 and reliable.handle_timer(42.0) is None

    def test_acknowledged(self) -> None:
        """A-PRK-04: what matches nothing is told apart; repeating ends."""
        reliable, response = responses(), ringing(183, b"v=0")
        reliable.send(response, 0.0)
        number = int(response.headers.get("RSeq", ""))
        assert reliable.has_body_pending
        for rack in (f"{number + 1} 1 INVITE", f"{number} 2 INVITE", f"{number} 1 UPDATE"):
            assert not reliable.receive(prack(rack))
        assert reliable.receive(prack(f"{number} 1 INVITE"))
        assert not reliable.is_pending and not reliable.has_body_pending
        assert reliable.get_timer() is None and reliable.handle_timer(99.0) is None
        assert not reliable.receive(prack(f"{number} 1 INVITE"))

    def test_final_response_comes_first(self) -> None:
        """ "If the UAS does send a final response [...] it MUST be prepared to process PRACK requests"."""
        reliable, response = responses(), ringing()
        reliable.send(response, 0.0)
        assert not reliable.has_body_pending
        reliable.stop()
        assert reliable.get_timer() is None and not reliable.gave_up(99.0)
        assert reliable.receive(prack(f"{response.headers.get('RSeq')} 1 INVITE"))
