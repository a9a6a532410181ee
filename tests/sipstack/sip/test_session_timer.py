"""Session timers on a virtual clock: A-STM-01 to A-STM-06."""

from __future__ import annotations

import pytest

from sipstack.errors import ParseError
from sipstack.sip.message import Request, Response
from sipstack.sip.session_timer import Due, IntervalTooSmall, SessionExpires, SessionTimer, min_se

from .helpers import make_request


def invite(*headers: tuple[str, str], timer: bool = True) -> Request:
    return make_request("INVITE", headers=[*headers, *([("Supported", "path, Timer")] if timer else [])])


def answer(status: int = 200, **headers: str) -> Response:
    fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Response.for_request(invite(), status, to_tag="b1", headers=fields)


def agreed(interval: int, refresher: str, now: float = 0.0) -> SessionTimer:
    timer = SessionTimer()
    timer.response_received(answer(Session_Expires=f"{interval};refresher={refresher}"), now)
    return timer


class TestHeaders:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("1800", SessionExpires(1800)),
            (" 1800 ;refresher=UAC", SessionExpires(1800, "uac")),
            ("90;x=1;Refresher=uas", SessionExpires(90, "uas")),
            ("90;refresher=both", SessionExpires(90)),
        ],
    )
    def test_session_expires(self, text: str, value: SessionExpires) -> None:
        """A-STM-01."""
        assert SessionExpires.parse(text) == value
        assert SessionExpires.parse(str(value)) == value

    def test_what_is_none(self) -> None:
        with pytest.raises(ParseError, match="Session-Expires"):
            SessionExpires.parse("soon")
        assert SessionExpires.of(invite(("Session-Expires", "soon"))) is None
        assert SessionExpires.of(invite(("x", "100"))) == SessionExpires(100)
        assert (min_se(invite()), min_se(invite(("Min-SE", "120;x"))), min_se(invite(("Min-SE", "a")))) == (0, 120, 0)


class TestClient:
    def test_first_request(self) -> None:
        """A-STM-01: 1800 s by default, never less than 90, and nothing where none is wanted."""
        assert SessionTimer().request_headers() == [("Session-Expires", "1800")]
        assert SessionTimer(60).request_headers() == [("Session-Expires", "90")]
        assert SessionTimer(0).request_headers() == []
        assert SessionTimer(200, 300).request_headers() == [("Session-Expires", "300"), ("Min-SE", "300")]

    def test_422_raises_the_interval(self) -> None:
        """A-STM-02: the largest Min-SE of all of them; it is of no interest to the dialog that comes about."""
        timer = SessionTimer(600)
        assert timer.raise_interval(answer(422, Min_SE="1000"))
        assert timer.raise_interval(answer(422, Min_SE="700"))
        assert timer.request_headers() == [("Session-Expires", "1000"), ("Min-SE", "1000")]
        timer.response_received(answer(Session_Expires="1000;refresher=uac", Require="timer"), 5.0)
        assert timer.request_headers() == [("Session-Expires", "1000;refresher=uac")]
        assert not timer.raise_interval(answer(422))
        assert timer.raise_interval(answer(422, Min_SE="2000"))
        assert timer.request_headers() == [("Session-Expires", "2000;refresher=uac"), ("Min-SE", "2000")]

    def test_422_again_and_again(self) -> None:
        timer = SessionTimer()
        assert [timer.raise_interval(answer(422, Min_SE="9999")) for _ in range(4)] == [True, True, True, False]

    def test_no_session_expires_no_timer(self) -> None:
        """A-STM-06: also when it ran before."""
        timer = agreed(1800, "uac")
        timer.response_received(answer(), 900.0)
        assert (timer.get_timer(), timer.interval) == (None, 0)
        assert timer.request_headers() == []

    def test_interval_that_is_illegal(self) -> None:
        assert agreed(1, "uac").interval == 90

    def test_refresher_missing(self) -> None:
        timer = SessionTimer()
        timer.response_received(answer(Session_Expires="90"), 0.0)
        assert timer.refreshing


class TestServer:
    @pytest.mark.parametrize(
        ("timer", "asked", "refresher", "requires"),
        [
            (False, "", "uas", False),
            (True, "", "uas", True),
            (True, ";refresher=uac", "uac", True),
            (True, ";refresher=uas", "uas", True),
            (False, ";refresher=uac", "uas", False),
        ],
    )
    def test_table_2(self, timer: bool, asked: str, refresher: str, requires: bool) -> None:
        """A-STM-03; the last line cannot happen, as the table says."""
        session = SessionTimer()
        request = invite(("Session-Expires", f"600{asked}"), timer=timer)
        session.request_received(request)
        headers = [("Session-Expires", f"600;refresher={refresher}")]
        assert session.answer(request, 0.0) == headers + ([("Require", "timer")] if requires else [])
        assert session.refreshing is (refresher == "uas")

    def test_interval_too_small(self) -> None:
        """A-STM-02: who knows no timers can be refused below 90 only."""
        session = SessionTimer(1800, 300)
        with pytest.raises(IntervalTooSmall) as caught:
            session.request_received(invite(("Session-Expires", "299")))
        assert (caught.value.status, caught.value.minimum) == (422, 300)
        session.request_received(invite(("Session-Expires", "299"), timer=False))
        with pytest.raises(IntervalTooSmall):
            session.request_received(invite(("Session-Expires", "89"), timer=False))

    def test_we_ask_where_the_client_does_not(self) -> None:
        assert SessionTimer(600).answer(invite(), 0.0)[0] == ("Session-Expires", "600;refresher=uas")
        assert SessionTimer(600).answer(invite(("Min-SE", "700")), 0.0)[0] == ("Session-Expires", "700;refresher=uas")
        assert SessionTimer(600).answer(invite(timer=False), 0.0) == []
        assert SessionTimer(0).answer(invite(), 0.0) == []

    @pytest.mark.parametrize(("refresher", "role"), [("uac", "uas"), ("uas", "uac")])
    def test_roles_stay(self, refresher: str, role: str) -> None:
        """A request inside the dialog that names nobody, or no interval, leaves all as it was."""
        for headers in ([("Session-Expires", "600")], []):
            session = agreed(600, refresher)
            assert session.answer(invite(*headers), 1.0)[0] == ("Session-Expires", f"600;refresher={role}")

    def test_min_se_of_the_peer_is_repeated(self) -> None:
        """ "The UAC MUST insert the Min-SE [...] if it has received a session refresh request [...] that contained"."""
        session = agreed(600, "uas")
        session.request_received(invite(("Session-Expires", "600"), ("Min-SE", "120")))
        assert session.request_headers() == [("Session-Expires", "600;refresher=uas"), ("Min-SE", "120")]


class TestTime:
    @pytest.mark.parametrize(
        ("interval", "refresh", "end"), [(90, 45, 60), (96, 48, 64), (120, 60, 88), (1800, 900, 1768)]
    )
    def test_instants(self, interval: int, refresh: float, end: float) -> None:
        """A-STM-04: half of it; and min(32, a third) before its end where the peer should have refreshed (H-18)."""
        ours, theirs = agreed(interval, "uac", 1000.0), agreed(interval, "uas", 1000.0)
        assert (ours.get_timer(), theirs.get_timer()) == (1000.0 + refresh, 1000.0 + end)
        assert ours.handle_timer(999.0 + refresh) is None
        assert ours.handle_timer(1000.0 + refresh) is Due.REFRESH
        assert ours.get_timer() is None and ours.handle_timer(2000.0 + end) is None, "the refresh is under way"
        assert theirs.handle_timer(1000.0 + end) is Due.END
        assert theirs.get_timer() is None

    def test_each_2xx_begins_anew(self) -> None:
        timer = agreed(90, "uac")
        assert timer.handle_timer(45.0) is Due.REFRESH
        timer.response_received(answer(Session_Expires="90;refresher=uac"), 46.0)
        assert timer.get_timer() == 91.0
        timer.answer(invite(("Session-Expires", "90;refresher=uac")), 50.0)
        assert timer.get_timer() == 110.0, "the peer refreshes from now on"

    def test_refused_refresh(self) -> None:
        """A-STM-05: other errors than 408 and 481 go on until the end; the same one is not asked for again."""
        timer = agreed(90, "uac")
        assert timer.handle_timer(45.0) is Due.REFRESH
        timer.refresh_failed(46.0, 500)
        assert timer.get_timer() == 53.0
        assert timer.handle_timer(53.0) is Due.REFRESH
        timer.refresh_failed(53.0, 500)
        assert timer.get_timer() == 60.0 and timer.handle_timer(60.0) is Due.END

    def test_other_errors_are_tried_again_a_few_times(self) -> None:
        timer = agreed(1800, "uac")
        times, now = [], 900.0
        for status in (500, 503, None, 504, 501, 500):
            assert timer.handle_timer(now) is Due.REFRESH
            timer.refresh_failed(now, status)
            now = timer.get_timer() or 0.0
            times.append(now)
        assert times == [1334.0, 1551.0, 1659.5, 1713.75, 1740.875, 1768.0]

    def test_pause_that_the_peer_asks_for(self) -> None:
        """491 and Retry-After; one that is longer than the session is of no use."""
        timer = agreed(90, "uac")
        for _ in range(2):
            assert timer.handle_timer(timer.get_timer() or 0.0) is Due.REFRESH
            timer.refresh_failed(46.0, 491, 2.5)
            assert timer.get_timer() == 48.5
        timer.handle_timer(48.5)
        timer.refresh_failed(49.0, 500, 100.0)
        assert timer.get_timer() == 60.0

    def test_answer_that_comes_too_late(self) -> None:
        timer = agreed(90, "uac")
        timer.handle_timer(45.0)
        timer.refresh_failed(77.0, 500)
        assert timer.get_timer() == 60.0 and timer.handle_timer(77.0) is Due.END

    def test_dialog_that_is_over(self) -> None:
        timer = agreed(90, "uac")
        timer.stop()
        assert timer.get_timer() is None
