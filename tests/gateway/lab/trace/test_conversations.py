"""What belongs together, who is who, and what became of it."""

from __future__ import annotations

from gateway.lab.ladder import Arrow
from gateway.lab.trace.conversations import QUIET, Conversation, join
from sipstack.flow import HostPort
from sipstack.trace import Record, WireRecord

CORE, A, B = ("192.0.2.1", 5060), ("192.0.2.2", 5060), ("192.0.2.3", 5060)
A_OUT, A_MSRP, B_MSRP, B_OUT = ("192.0.2.2", 41000), ("192.0.2.2", 2855), ("192.0.2.3", 2855), ("192.0.2.3", 42000)
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Tape:
    """Records as a capture has them."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.at = 0.0

    def add(self, source: HostPort, target: HostPort, text: str, protocol: str = "SIP", transport: str = "TCP") -> None:
        self.at += 0.01
        near, far = sorted((source, target))
        direction = "out" if near == source else "in"
        actor = f"{near[0]}:{near[1]}"
        data = text.replace("\n", "\r\n").encode()
        self.records.append(WireRecord(self.at, actor, protocol, transport, direction, near, far, data))

    def request(
        self, source: HostPort, target: HostPort, method: str, call: str, via: HostPort, more: str = ""
    ) -> None:
        """Send a request; ``more`` is its description, or further headers."""
        body, headers = (more, "") if more.startswith("v=0") else ("", more)
        self.add(source, target, message(f"{method} sip:b@example.com SIP/2.0", method, call, via, headers, body))

    def response(self, source: HostPort, target: HostPort, status: int, method: str, call: str, body: str = "") -> None:
        self.add(source, target, message(f"SIP/2.0 {status} X", method, call, A, "", body))


def message(start: str, method: str, call: str, via: HostPort, headers: str, body: str) -> str:
    """Return a SIP message with plain line ends."""
    length = len(body.replace("\n", "\r\n"))
    about = "Content-Type: application/sdp\n" if body else ""
    return (
        f"{start}\nVia: SIP/2.0/TCP {via[0]}:{via[1]};branch=z9hG4bK{call}\nFrom: <sip:a@example.com>;tag=1\n"
        f"To: <sip:b@example.com>\nCall-ID: {call}\nCSeq: 1 {method}\n"
        f"{headers}{about}Content-Length: {length}\n\n{body}"
    )


def sdp(place: HostPort, session: str) -> str:
    return (
        f"v=0\no=- 1 1 IN IP4 {place[0]}\ns=-\nc=IN IP4 {place[0]}\nt=0 0\nm=message {place[1]} TCP/MSRP *\n"
        f"a=accept-types:text/plain\na=path:msrp://{place[0]}:{place[1]}/{session};tcp\n"
    )


def chat() -> Tape:
    tape = Tape()
    tape.request(A_OUT, CORE, "INVITE", "c1", A, sdp(A_MSRP, "s1"))
    tape.request(CORE, B, "INVITE", "c1", CORE, sdp(A_MSRP, "s1"))
    tape.response(B, CORE, 200, "INVITE", "c1", sdp(B_MSRP, "s2"))
    tape.response(CORE, A_OUT, 200, "INVITE", "c1", sdp(B_MSRP, "s2"))
    send = (
        "MSRP d93kswow SEND\nTo-Path: msrp://192.0.2.2:2855/s1;tcp\nFrom-Path: msrp://192.0.2.3:2855/s2;tcp\n"
        "Message-ID: m1xx\nByte-Range: 1-2/2\nContent-Type: text/plain\n\nhi\n-------d93kswow$\n"
    )
    tape.add(B_OUT, A_MSRP, send, "MSRP")
    answer = (
        "MSRP d93kswow 200 OK\nTo-Path: msrp://192.0.2.3:2855/s2;tcp\nFrom-Path: msrp://192.0.2.2:2855/s1;tcp\n"
        "-------d93kswow$\n"
    )
    tape.add(A_MSRP, B_OUT, answer, "MSRP")
    return tape


def ways(conversation: Conversation) -> list[tuple[str, str, str]]:
    return [(line.source, line.target, line.label) for line in conversation.ladder().lines if isinstance(line, Arrow)]


def test_sip_and_msrp_of_a_chat() -> None:
    [conversation] = join(chat().records)
    assert conversation.protocols == ["SIP", "MSRP"] and conversation.methods == ["INVITE", "SEND"]
    assert (conversation.id, conversation.outcome, conversation.repeated) == ("c1", "200", 0)
    assert conversation.subject == "INVITE sip:b@example.com (SDP)"
    assert conversation.summary()["messages"] == 6


def test_ports_of_one_element_are_one_column() -> None:
    [conversation] = join(chat().records)
    a, b, core = "192.0.2.2:5060", "192.0.2.3:5060", "192.0.2.1:5060"
    assert [way[:2] for way in ways(conversation)] == [(a, core), (core, b), (b, core), (core, a), (b, a), (a, b)]


def test_names_of_the_user() -> None:
    [conversation] = join(chat().records, {A_MSRP: "alice", CORE: "core"})
    assert ways(conversation)[0][:2] == ("alice", "core")


def test_calls_stay_apart() -> None:
    tape = Tape()
    for call in ("c1", "c2"):
        tape.request(A, CORE, "OPTIONS", call, A)
    tape.response(CORE, A, 480, "OPTIONS", "c2")
    assert [(one.id, one.outcome) for one in join(tape.records)] == [("c1", "no answer"), ("c2", "480")]


def test_challenge_is_no_outcome_when_it_is_answered() -> None:
    tape = Tape()
    tape.request(A, CORE, "REGISTER", "c1", A)
    tape.response(CORE, A, 401, "REGISTER", "c1")
    assert join(tape.records)[0].outcome == "401"
    tape.request(A, CORE, "REGISTER", "c1", A, "Authorization: Digest\n")
    tape.response(CORE, A, 200, "REGISTER", "c1")
    assert join(tape.records)[0].outcome == "200"


def test_http_and_sip_by_the_trace_id() -> None:
    tape = Tape()
    tape.add(
        ("192.0.2.9", 5), ("192.0.2.2", 80), f"POST /m HTTP/1.1\ntraceparent: 00-{TRACE}-00f067aa0ba902b7-01\n"
        "Content-Length: 0\n\n", "HTTP",
    )  # fmt: skip
    tape.request(A, CORE, "INVITE", "c1", A, f"Session-ID: {TRACE};remote=00000000000000000000000000000000\n")
    [conversation] = join(tape.records)
    assert conversation.protocols == ["HTTP", "SIP"]


def test_what_turns_out_to_belong_together() -> None:
    """MSRP that is seen before the SDP that names its path."""
    tape = chat()
    first = tape.records[-2]
    assert isinstance(first, WireRecord)
    first.at = -1.0
    assert len(join(tape.records)) == 1


def test_http_without_a_mark() -> None:
    tape = Tape()
    client, server = ("192.0.2.9", 5), ("192.0.2.2", 80)
    for _ in range(2):
        tape.add(client, server, "GET /healthz HTTP/1.1\n\n", "HTTP")
        tape.add(server, client, "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "HTTP")
    tape.at += QUIET + 1
    tape.add(client, server, "GET /readyz HTTP/1.1\n\n", "HTTP")
    assert [(len(one.seen), one.outcome) for one in join(tape.records)] == [(4, "200"), (1, "no answer")]


def test_repeated_messages_are_counted() -> None:
    tape = Tape()
    for _ in range(3):
        tape.request(A, CORE, "OPTIONS", "c1", A)
    [conversation] = join(tape.records)
    assert conversation.repeated == 2


def test_nothing() -> None:
    assert join([]) == []
    tape = Tape()
    tape.response(CORE, A, 200, "INVITE", "c1")
    assert (join(tape.records)[0].subject, join(tape.records)[0].outcome) == ("?", "no request")
