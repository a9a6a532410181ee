"""The client of relays: C-RLY-01, C-RLY-02, C-RLY-03, C-RLY-04, C-RLY-05, C-RLY-06, C-RLY-07."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sipstack.errors import LocalProtocolError
from sipstack.msrp.chunk import MsrpResponse, Report
from sipstack.msrp.events import Event
from sipstack.msrp.message import IncomingMessage, MessageState
from sipstack.msrp.relay import (
    AUTH_TIMEOUT,
    DEFAULT_EXPIRES,
    MAX_EXPIRES,
    MAX_TRIES,
    RETRY_AFTER,
    RETRY_SHARE,
    RelayClient,
    RelayExpired,
    RelayFailed,
    RelayReady,
    chain_fault,
    sdp_path,
)
from sipstack.msrp.session import MsrpSession
from sipstack.msrp.uri import MsrpUri, parse_path
from tests.sipstack.msrp.helpers import OURS, THEIRS, End, answer, chunks_of, frame, frames_of, send
from tests.utils import Clock

NEAR = "msrps://near.example:2855;tcp"
FAR = "msrps://far.example:2855;tcp"
B = "msrps://near.example:9000/jui787s2f;tcp"
C = "msrps://far.example:9000/mywdEe1233;tcp"


class Digest:
    """Notes what it is asked, and answers as told."""

    def __init__(self) -> None:
        self.challenges: list[tuple[str, list[str]]] = []
        self.infos: list[tuple[str, str]] = []
        self.accepts = True
        self.believes = True

    def authorize(self, uri: str) -> str | None:
        known = [at for at, _ in self.challenges if at == uri]
        return f'Digest uri="{uri}", nc={len(known)}' if known else None

    def receive_challenge(self, uri: str, challenges: Sequence[str]) -> bool:
        self.challenges.append((uri, list(challenges)))
        return self.accepts

    def receive_success(self, uri: str, info: str) -> bool:
        self.infos.append((uri, info))
        return self.believes


class Talk:
    """A client and the relays' side of the conversation."""

    def __init__(self, *relays: str, expires: int | None = None) -> None:
        self.clock = Clock()
        self.digest = Digest()
        self.client = RelayClient(
            [MsrpUri.parse(uri) for uri in relays or (NEAR,)], MsrpUri.parse(OURS), self.digest, expires=expires
        )
        self.client.start(self.clock())

    def request(self) -> str:
        """Return the request that is to be sent, without its identifiers."""
        text = self.client.data_to_send().decode()
        self.tid = text.split(" ")[1]
        assert text.startswith(f"MSRP {self.tid} AUTH\r\n") and text.endswith(f"-------{self.tid}$\r\n")
        return text.replace("\r\n", "\n").replace(self.tid, "tid")

    def answer(self, status: int, *headers: str) -> None:
        """Answer the last request."""
        lines = "".join(f"{header}\n" for header in headers)
        data = frame(f"MSRP {self.tid} {status} x\nTo-Path: {OURS}\nFrom-Path: {NEAR}\n{lines}-------{self.tid}$\n")
        (response,) = frames_of(data)
        assert isinstance(response, MsrpResponse) and bytes(response) == data
        assert self.client.receive_response(response, self.clock())

    def advance(self, seconds: float) -> None:
        self.client.handle_timer(self.clock.advance(seconds))


def test_path_of_one_relay() -> None:
    # C-RLY-01
    talk = Talk()
    assert talk.request() == f"MSRP tid AUTH\nTo-Path: {NEAR}\nFrom-Path: {OURS}\n-------tid$\n"
    assert talk.client.next_event() is None
    assert talk.client.is_waiting and talk.client.transaction_id == talk.tid
    talk.answer(401, 'WWW-Authenticate: Digest realm="r", qop="auth", nonce="n"')
    assert talk.digest.challenges == [(NEAR, ['Digest realm="r", qop="auth", nonce="n"'])]
    assert f'\nAuthorization: Digest uri="{NEAR}", nc=1\n' in talk.request()
    talk.answer(200, f"Use-Path: {B}", "Expires: 100", 'authentication-info: rspauth="a"')
    assert talk.digest.infos == [(NEAR, 'rspauth="a"')]
    assert talk.client.next_event() == RelayReady(parse_path(B), talk.clock() + 100)
    assert talk.client.data_to_send() == b"" and talk.client.next_event() is None
    assert not talk.client.is_waiting and talk.client.transaction_id == ""


def test_paths_by_the_rule() -> None:
    # C-RLY-02: Use-Path "B C" makes the SDP path "C B A".
    own = MsrpUri.parse(OURS)
    assert [str(uri) for uri in sdp_path(parse_path(f"{B} {C}"), own)] == [C, B, OURS]


@pytest.mark.parametrize("use_path", [f"{B} {C}", C], ids=["whole path", "own part"])
def test_two_relays(use_path: str) -> None:
    # C-RLY-07: by the rule, whichever of the two a relay says; the sample of RFC 4976 section 5.1 says neither.
    talk = Talk(NEAR, FAR)
    talk.request()
    talk.answer(200, f"Use-Path: {B}", "Expires: 50")
    assert talk.client.next_event() is None
    assert f"To-Path: {B} {FAR}\nFrom-Path: {OURS}\n" in talk.request()
    talk.answer(401, "WWW-Authenticate: x")
    assert f"To-Path: {B} {FAR}\n" in (again := talk.request()) and f'uri="{FAR}"' in again
    talk.answer(200, f"Use-Path: {use_path}", "Expires: 80")
    # The first to expire counts.
    assert talk.client.next_event() == RelayReady(parse_path(f"{B} {C}"), talk.clock() + 50)


def test_refresh() -> None:
    talk = Talk()
    talk.request()
    talk.answer(200, f"Use-Path: {B}", "Expires: 100")
    talk.client.next_event()
    due = talk.client.get_timer()
    assert due == talk.clock() + 80
    talk.advance(79)
    assert talk.client.data_to_send() == b""
    talk.advance(1)
    talk.request()
    talk.answer(200, f"Use-Path: {C}", "Expires: 100")
    assert talk.client.next_event() == RelayReady(parse_path(C), talk.clock() + 100)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ((), DEFAULT_EXPIRES),
        (("Expires: soon",), DEFAULT_EXPIRES),
        (("Expires: 0",), 0),
        (("Expires: 99999999999",), MAX_EXPIRES),
    ],
)
def test_expires(header: tuple[str, ...], seconds: int) -> None:
    talk = Talk()
    talk.request()
    talk.answer(200, f"Use-Path: {B}", *header)
    assert talk.client.next_event() == RelayReady(parse_path(B), talk.clock() + seconds)
    due = talk.client.get_timer()
    assert due is not None and due >= talk.clock() + 1


@pytest.mark.parametrize(
    ("asked", "bounds", "then"),
    [
        (10, ["Min-Expires: 60"], 60),
        (9000, ["Max-Expires: 1800"], 1800),
        (None, ["Max-Expires: 300"], 300),
        (10, ["Min-Expires: 60", "Max-Expires: 1800"], 60),
    ],
)
def test_bounds(asked: int | None, bounds: list[str], then: int) -> None:
    # C-RLY-03
    talk = Talk(expires=asked)
    assert ("Expires" in talk.request()) == (asked is not None)
    talk.answer(423, *bounds)
    assert f"\nExpires: {then}\n" in talk.request()
    talk.answer(200, f"Use-Path: {B}")
    assert isinstance(talk.client.next_event(), RelayReady)


def test_bounds_that_say_nothing() -> None:
    talk = Talk(expires=100)
    talk.request()
    talk.answer(423)
    assert talk.client.next_event() == RelayFailed(423, "x")


def test_wrong_password() -> None:
    talk = Talk()
    talk.request()
    talk.digest.accepts = False
    talk.answer(401, "WWW-Authenticate: Basic")
    assert talk.client.next_event() == RelayFailed(401, "x")
    assert talk.client.get_timer() is None
    talk.advance(1000)
    assert talk.client.data_to_send() == b""


def test_relay_that_is_never_content() -> None:
    talk = Talk()
    for _ in range(MAX_TRIES):
        talk.request()
        talk.answer(401, "WWW-Authenticate: x")
    assert talk.client.data_to_send() == b""
    assert isinstance(talk.client.next_event(), RelayFailed)


def test_relay_that_knows_no_password() -> None:
    talk = Talk()
    talk.request()
    talk.digest.believes = False
    talk.answer(200, f"Use-Path: {B}", "Authentication-Info: rspauth=x")
    event = talk.client.next_event()
    assert isinstance(event, RelayFailed) and event.status == 403


@pytest.mark.parametrize("header", [(), ("Use-Path: nonsense",)])
def test_no_use_path(header: tuple[str, ...]) -> None:
    # C-WS-02: without a path there are no sessions.
    talk = Talk()
    talk.request()
    talk.answer(200, *header)
    event = talk.client.next_event()
    assert isinstance(event, RelayFailed) and "Use-Path" in event.reason


def test_other_refusal_and_silence() -> None:
    talk = Talk()
    talk.request()
    (response,) = frames_of(frame(f"MSRP {talk.tid} 403\nTo-Path: {OURS}\nFrom-Path: {NEAR}\n-------{talk.tid}$\n"))
    assert isinstance(response, MsrpResponse)
    assert talk.client.receive_response(response, talk.clock())
    assert talk.client.next_event() == RelayFailed(403, "the relay answered 403")
    assert not talk.client.receive_response(response, talk.clock())
    talk.client.start(talk.clock())
    talk.request()
    talk.advance(AUTH_TIMEOUT)
    assert talk.client.next_event() == RelayFailed(408, "the relay does not answer")


def test_no_relay() -> None:
    with pytest.raises(LocalProtocolError):
        RelayClient([], MsrpUri.parse(OURS), Digest())


@pytest.mark.parametrize(
    ("relays", "fault"),
    [
        ("", None),
        ("msrp://r:1;tcp", None),
        # C-WS-01: by TLS only, and only from us to the nearest
        ("msrps://r:443;WS msrps://s:2855;tcp", None),
        ("msrps://r:1;udp", "neither tcp nor ws"),
        ("msrp://r:80;ws", "has to be msrps"),
        ("msrps://s:2855;tcp msrps://r:443;ws", "is not the nearest"),
    ],
)
def test_chains_that_can_be_used(relays: str, fault: str | None) -> None:
    found = chain_fault([MsrpUri.parse(uri) for uri in relays.split()])
    assert found is None if fault is None else fault in (found or "")


def ready(seconds: int = 400) -> Talk:
    """Return a talk whose path lives for some seconds from now."""
    talk = Talk()
    talk.request()
    talk.answer(200, f"Use-Path: {B}", f"Expires: {seconds}")
    assert isinstance(talk.client.next_event(), RelayReady)
    return talk


def test_refresh_that_fails_is_tried_again_while_the_path_lives() -> None:
    # C-RLY-03: re-AUTH before expiry. C-RLY-05: at Expires the path is dead.
    talk = ready()
    talk.advance(320)
    talk.request()
    talk.answer(503)
    assert talk.client.next_event() == RelayFailed(503, "x") and talk.client.next_event() is None
    # 80 s are left: 30 are more than a quarter of that
    assert talk.client.get_timer() == talk.clock() + RETRY_AFTER
    talk.advance(RETRY_AFTER)
    talk.request()
    talk.advance(AUTH_TIMEOUT)
    assert talk.client.next_event() == RelayFailed(408, "the relay does not answer")
    assert talk.client.get_timer() == talk.clock() + 20
    talk.advance(20)
    assert talk.client.next_event() == RelayExpired()
    assert talk.client.get_timer() is None and talk.client.data_to_send() == b""
    talk.client.start(talk.clock())
    talk.request()
    talk.answer(503)
    assert talk.client.next_event() == RelayFailed(503, "x") and talk.client.get_timer() is None


def test_refresh_that_works_at_the_second_try() -> None:
    talk = ready(80_000)
    talk.advance(64_000)
    talk.request()
    talk.answer(503)
    assert talk.client.get_timer() == talk.clock() + 16_000 * RETRY_SHARE
    talk.advance(4000)
    talk.request()
    talk.answer(200, f"Use-Path: {C}", "Expires: 60")
    assert isinstance(talk.client.next_event(), RelayFailed)
    assert talk.client.next_event() == RelayReady(parse_path(C), talk.clock() + 60)


def test_answer_that_comes_after_the_end_of_the_path() -> None:
    talk = ready(100)
    talk.advance(80)
    talk.request()
    talk.advance(AUTH_TIMEOUT)
    assert isinstance(talk.client.next_event(), RelayFailed)
    assert talk.client.next_event() == RelayExpired()


def test_path_dies_with_its_connection() -> None:
    # C-RLY-05
    talk = ready()
    talk.advance(320)
    assert talk.client.is_waiting
    talk.client.forget_path()
    assert not talk.client.is_waiting and talk.client.get_timer() is None and talk.client.data_to_send() == b""
    talk.advance(1000)
    assert talk.client.next_event() is None


RELAYED = f"{B} {THEIRS}"


def behind_relay() -> tuple[End, MsrpSession]:
    """Return an end behind a relay, with a session that somebody has bound."""
    end = End()
    session = MsrpSession(MsrpUri.parse(OURS), max_size=1 << 20, owner=None, use_path=parse_path(B))
    session.open(parse_path(THEIRS))
    end.table.add(session)
    end.connection.attach(session)
    return end, session


def test_relay_that_splits_and_merges() -> None:
    # C-RLY-05: of one Message-ID a relay may make other chunks than the sender did (RFC 4976 section 6.4.1).
    body = bytes(range(100, 200))
    cuts = [(0, 30), (30, 31), (31, 90), (90, 100)]
    end, session = behind_relay()
    found: list[Event] = []
    for number, (begin, stop) in enumerate(cuts):
        data = send(
            f"splitted{number}",
            body[begin:stop],
            byte_range=f"{begin + 1}-{'*' if number % 2 else stop}/100",
            to=session.local,
            by=RELAYED,
            flag="$" if stop == 100 else "+",
        )
        found += end.receive(data)
    (message,) = (event for event in found if isinstance(event, IncomingMessage))
    assert message.body == body
    message.accept()
    # C-RLY-06: From-Path has several URIs; the answers go to the leftmost only.
    answers = [one for one in frames_of(end.output()) if isinstance(one, MsrpResponse)]
    assert [answer.to_path for answer in answers] == [B] * 4


def test_report_goes_by_all_hops() -> None:
    # C-RLY-06, C-RSP-03
    end, session = behind_relay()
    data = send(to=session.local, by=RELAYED, extra="Success-Report: yes\n")
    (message,) = (event for event in end.receive(data) if isinstance(event, IncomingMessage))
    message.accept()
    answer, report = frames_of(end.output())
    assert answer.to_path == B and isinstance(report, Report) and report.to_path == RELAYED


def test_timeout_that_the_relay_reports() -> None:
    # C-RLY-05: 408 by REPORT, 30 s after the relay gave up the next hop: as if we had waited ourselves (C-RSP-01).
    end, session = behind_relay()
    message = session.send(b"hello", "text/plain")
    (sent,) = chunks_of(end.output())
    assert sent.to_path == f"{B} {THEIRS}" and sent.success_report
    end.receive(answer(sent.transaction_id).replace(THEIRS.encode(), B.encode()))
    state = message.state
    assert state is MessageState.PENDING
    end.receive(report_from("000 408 Timeout", message.message_id))
    assert message.state is MessageState.UNKNOWN and message.status == 408


def report_from(status: str, message_id: str) -> bytes:
    """Return a REPORT that a relay has made."""
    return frame(
        f"MSRP k2p0Zq7x REPORT\nTo-Path: {OURS}\nFrom-Path: {B}\nMessage-ID: {message_id}\nByte-Range: 1-5/5\n"
        f"Status: {status}\n-------k2p0Zq7x$\n"
    )
