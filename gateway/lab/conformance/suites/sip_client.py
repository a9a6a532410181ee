"""The target's client transactions (:rfc:`3261#section-17.1`): what it sends until we answer, and its ACK."""

from __future__ import annotations

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import case
from gateway.lab.conformance.peer import Match, Peer, Received, requests
from gateway.lab.conformance.sipsteps import (
    check_rhythm,
    gather,
    invited,
    refuse,
    same_message,
    tag,
    taken,
    three_repeats,
)
from sipstack import ids
from sipstack.sip.message import Request, Response

SUITE = "sip.transactions.client"
UAC = {"uac"}
COOKIE = "z9hG4bK"


def of_branch(received: Received, method: str | None = None) -> Match:
    """Match what has the branch of a request, by its own method or another one."""
    first = received.request

    def match(item: Received) -> bool:
        request = item.message
        return (
            isinstance(request, Request)
            and request.method == (method or first.method)
            and request.via.branch == first.via.branch
        )

    return match


def need_datagrams(bench: Bench, received: Received) -> None:
    """End the case when the target's request came by a stream, as one too long for a datagram does (§18.1.1)."""
    if received.flow.reliable:
        bench.not_applicable(
            f"{received.request.method} of {len(received.data)} octets comes by {received.flow.transport}"
        )


async def unanswered(bench: Bench, action: str, seconds: float) -> tuple[Peer, list[Received]]:
    """Make the target send a request, and return all copies that come in ``seconds`` without an answer."""
    peer, first = await bench.triggered(action)
    need_datagrams(bench, first)
    return peer, [first, *await gather(bench, peer, of_branch(first), seconds)]


def check_request(bench: Bench, received: Received) -> Request:
    """Fail unless a request outside of dialogs has what every one must have (:rfc:`3261#section-8.1.1`)."""
    request = received.request
    bench.check(received.fault is None, f"it does not parse: {received.fault}")
    for name in ("Via", "To", "From", "Call-ID", "CSeq", "Max-Forwards"):
        bench.check(request.headers.count(name) >= 1, f"{request.method} has no {name}")
    bench.check(request.to.tag is None, f"{request.method} outside of a dialog has a To tag")
    bench.check(request.from_.tag, f"{request.method} has no From tag")
    bench.check(request.cseq.method == request.method, f"CSeq of {request.method} says {request.cseq.method}")
    bench.check(request.cseq.number < 2**31, f"CSeq {request.cseq.number} is not below 2^31")
    branch = request.via.branch or ""
    bench.check(branch.startswith(COOKIE) and len(branch) > len(COOKIE), f"branch {branch!r} is not {COOKIE} and more")
    if request.max_forwards != 70:
        bench.remark(f"Max-Forwards is {request.headers.get('Max-Forwards')}, not 70 (SHOULD)")
    return request


@case(
    "SIP-TXN-UAC-001",
    "RFC 3261 §8.1.1",
    suite=SUITE,
    roles=UAC,
    rules=("A-MSG-14", "A-UAC-01", "A-UAC-03"),
    purpose="An INVITE has all that every request must have, and one Contact.",
    expects="To without tag, From with one, CSeq, Call-ID, Max-Forwards, a Via with a branch of RFC 3261, one Contact.",
)
async def invite_has_what_it_must(bench: Bench) -> None:
    peer, received = await invited(bench)
    await refuse(peer, received)
    request = check_request(bench, received)
    bench.check(len(request.contacts) == 1, f"INVITE has {len(request.contacts)} Contacts instead of one")
    bench.check(request.contacts[0].uri.is_sip, f"the Contact {request.contacts[0]} is no SIP URI")


@case(
    "SIP-TXN-UAC-002",
    "RFC 3261 §8.1.1.4, §8.1.1.7, §19.3",
    suite=SUITE,
    roles=UAC,
    rules=("A-UAC-02", "A-UAC-03"),
    purpose="Two calls have nothing in common that tells them apart.",
    expects="Different branches, Call-IDs and From tags.",
)
async def calls_are_told_apart(bench: Bench) -> None:
    peer, first = await invited(bench)
    await refuse(peer, first)
    _, second = await invited(bench)
    await refuse(peer, second)
    one, other = first.request, second.request
    bench.check(one.via.branch != other.via.branch, "two INVITEs have one branch")
    bench.check(one.call_id != other.call_id, "two calls have one Call-ID")
    bench.check(one.from_.tag != other.from_.tag, "two calls have one From tag")


@case(
    "SIP-TXN-UAC-003",
    "RFC 3261 §17.1.1.2 (Timer A)",
    suite=SUITE,
    roles=UAC,
    rules=("A-ICT-02",),
    transports=("UDP",),
    purpose="An INVITE without any answer is repeated at T1, then at doubled intervals.",
    expects="Copies after T1, 2·T1 and 4·T1, all the same.",
)
async def invite_is_repeated(bench: Bench) -> None:
    peer, copies = await unanswered(bench, "invite", three_repeats(bench))
    await refuse(peer, copies[0])
    check_rhythm(bench, "an INVITE without an answer", [item.at for item in copies], [1, 2, 4])
    bench.check(all(same_message(copies[0], item) for item in copies), "the copies of the INVITE differ")


@case(
    "SIP-TXN-UAC-004",
    "RFC 3261 §17.1.1.2 (Timer B)",
    suite=SUITE,
    roles=UAC,
    rules=("A-ICT-02",),
    transports=("UDP",),
    slow=True,
    limit=60,
    purpose="An INVITE that nobody answers is given up after 64·T1.",
    expects="Seven copies, the last after 63·T1, none later.",
)
async def invite_is_given_up(bench: Bench) -> None:
    peer, copies = await unanswered(bench, "invite", 66 * bench.options.t1)
    check_rhythm(bench, "an INVITE without an answer", [item.at for item in copies], [1, 2, 4, 8, 16, 32])
    await peer.silence(of_branch(copies[0]), "an INVITE is still repeated after 64·T1", 10 * bench.options.t1)


@case(
    "SIP-TXN-UAC-005",
    "RFC 3261 §17.1.1.2",
    suite=SUITE,
    roles=UAC,
    rules=("A-ICT-01",),
    transports=("UDP",),
    purpose="A provisional answer ends the repeating of an INVITE.",
    expects="No further copy after a 100.",
)
async def provisional_stops_the_invite(bench: Bench) -> None:
    peer, received = await invited(bench)
    need_datagrams(bench, received)
    await peer.respond(received, 100)
    await bench.pause(bench.options.slack)
    peer.queue[:] = [item for item in peer.queue if not of_branch(received)(item)]
    late = await peer.receive(4 * bench.options.t1, of_branch(received))
    if late is not None:
        bench.remark("the INVITE is repeated after a provisional answer (SHOULD NOT)")
    await refuse(peer, received)


@case(
    "SIP-TXN-UAC-006",
    "RFC 3261 §17.1.1.3",
    suite=SUITE,
    roles=UAC,
    rules=("A-ICT-03", "A-ICT-04"),
    purpose="The ACK of a refusal belongs to the transaction of its INVITE.",
    expects="One Via, that of the INVITE with its branch; the same Request-URI, From, Call-ID and CSeq number; "
    "the To of the refusal with its tag.",
)
async def ack_of_a_refusal_fits_its_invite(bench: Bench) -> None:
    peer, received = await invited(bench)
    refusal = await peer.respond(received, 486)
    call_id = received.request.call_id
    item = await peer.expect(requests("ACK", call_id), "a refused INVITE gets no ACK")
    ack, request = item.request, received.request
    bench.check(len(ack.vias) == 1, f"the ACK of a refusal has {len(ack.vias)} Vias instead of one")
    bench.check(ack.via.branch == request.via.branch, "the ACK of a refusal has another branch than its INVITE")
    bench.check((ack.via.host, ack.via.port) == (request.via.host, request.via.port), "its Via names another sender")
    bench.check(ack.uri_text == request.uri_text, f"the ACK goes to {ack.uri_text}, not {request.uri_text}")
    bench.check(ack.cseq.number == request.cseq.number, f"the ACK has CSeq {ack.cseq.number}")
    bench.check(ack.cseq.method == "ACK", f"CSeq of the ACK says {ack.cseq.method}")
    bench.check(ack.from_ == request.from_, f"From of the ACK is {ack.from_}")
    bench.check(ack.to.tag == refusal.to.tag, "the ACK lacks the To tag of the refusal")
    bench.check(
        ack.headers.get_all("Route") == request.headers.get_all("Route"), "the ACK has not the Route of its INVITE"
    )


@case(
    "SIP-TXN-UAC-007",
    "RFC 3261 §17.1.1.2",
    suite=SUITE,
    roles=UAC,
    rules=("A-ICT-03",),
    transports=("UDP",),
    purpose="Each copy of a refusal gets an ACK.",
    expects="A second ACK for the same refusal sent again.",
)
async def repeated_refusal_gets_another_ack(bench: Bench) -> None:
    peer, received = await invited(bench)
    need_datagrams(bench, received)
    refusal = await peer.respond(received, 486)
    call_id = received.request.call_id
    await peer.need(requests("ACK", call_id), "a refused INVITE gets no ACK")
    await peer.send(refusal, received)
    await peer.expect(requests("ACK", call_id), "a refusal that comes again gets no ACK")


@case(
    "SIP-TXN-UAC-008",
    "RFC 3261 §13.2.2.4, §8.1.1.7",
    suite=SUITE,
    roles=UAC,
    rules=("A-ICT-05",),
    purpose="The ACK of a 2xx is a request of its own in the dialog.",
    expects="Another branch than the INVITE, its CSeq number, the Contact of the 2xx as Request-URI.",
)
async def ack_of_a_success_is_its_own(bench: Bench) -> None:
    visit = await taken(bench)
    ack, request = visit.ack.request, visit.invite.request
    bench.check(ack.via.branch != request.via.branch, "the ACK of a 2xx has the branch of the INVITE")
    bench.check(ack.cseq.number == request.cseq.number, f"the ACK has CSeq {ack.cseq.number}")
    bench.check(ack.cseq.method == "ACK", f"CSeq of the ACK says {ack.cseq.method}")
    bench.check(ack.to.tag == visit.response.to.tag, "the ACK lacks the To tag of the 2xx")
    bench.check(ack.from_.tag == request.from_.tag, "the ACK has another From tag")
    contact = visit.response.contacts[0].uri
    bench.check(ack.uri.matches(contact), f"the ACK goes to {ack.uri_text}, not to the Contact {contact}")


@case(
    "SIP-TXN-UAC-009",
    "RFC 3261 §13.2.2.4",
    suite=SUITE,
    roles=UAC,
    rules=("A-ICT-05",),
    purpose="Each copy of a 2xx gets an ACK.",
    expects="A second ACK for the same 2xx sent again.",
)
async def repeated_success_gets_another_ack(bench: Bench) -> None:
    visit = await taken(bench)
    await visit.peer.send(visit.response, visit.invite)
    await visit.peer.expect(requests("ACK", visit.dialog.call_id), "a 2xx that comes again gets no ACK")


@case(
    "SIP-TXN-UAC-010",
    "RFC 3261 §17.1.2.2 (Timer E)",
    suite=SUITE,
    roles=UAC,
    rules=("A-NICT-01",),
    transports=("UDP",),
    purpose="A request other than INVITE without any answer is repeated at T1, then at doubled intervals.",
    expects="Copies of an OPTIONS after T1, 2·T1 and 4·T1, all the same.",
)
async def options_is_repeated(bench: Bench) -> None:
    peer, copies = await unanswered(bench, "options", three_repeats(bench))
    await peer.respond(copies[0], 200)
    check_rhythm(bench, "an OPTIONS without an answer", [item.at for item in copies], [1, 2, 4])
    bench.check(all(same_message(copies[0], item) for item in copies), "the copies of the OPTIONS differ")


@case(
    "SIP-TXN-UAC-011",
    "RFC 3261 §17.1.2.2 (Timer E, Timer F)",
    suite=SUITE,
    roles=UAC,
    rules=("A-NICT-01",),
    transports=("UDP",),
    slow=True,
    limit=60,
    purpose="Repeating an OPTIONS slows down to T2 and ends at 64·T1.",
    expects="Intervals of T1, 2·T1, 4·T1, then 8·T1; nothing after 64·T1.",
)
async def options_is_given_up(bench: Bench) -> None:
    peer, copies = await unanswered(bench, "options", 66 * bench.options.t1)
    check_rhythm(bench, "an OPTIONS without an answer", [item.at for item in copies], [1, 2, 4, 8, 8, 8, 8, 8])
    await peer.silence(of_branch(copies[0]), "an OPTIONS is still repeated after 64·T1", 10 * bench.options.t1)


@case(
    "SIP-TXN-UAC-012",
    "RFC 3261 §17.1.2.2 (Timer E in Proceeding)",
    suite=SUITE,
    roles=UAC,
    rules=("A-NICT-02",),
    transports=("UDP",),
    limit=40,
    purpose="After a provisional answer a request other than INVITE is repeated every T2.",
    expects="The next copy when Timer E fires, the one behind it 8·T1 later.",
)
async def provisional_slows_options_down(bench: Bench) -> None:
    peer, received = await bench.triggered("options")
    await peer.respond(received, 100)
    await bench.pause(bench.options.slack)
    peer.queue[:] = [item for item in peer.queue if not of_branch(received)(item)]
    copies = await gather(bench, peer, of_branch(received), 18 * bench.options.t1)
    await peer.respond(received, 200)
    bench.check(copies, "an OPTIONS is not repeated after a 100, though only a final answer ends that")
    check_rhythm(bench, "an OPTIONS after a 100", [item.at for item in copies[-2:]], [8])


async def not_fooled(bench: Bench, peer: Peer, received: Received, spoiled: Response, why: str) -> None:
    """Send a response that is not for the target's OPTIONS: it has to go on repeating it."""
    await peer.send(spoiled, received)
    await bench.pause(bench.options.slack)
    peer.queue[:] = [item for item in peer.queue if not of_branch(received)(item)]
    await peer.expect(of_branch(received), why, 9 * bench.options.t1)


@case(
    "SIP-TXN-UAC-013",
    "RFC 3261 §17.1.3",
    suite=SUITE,
    roles=UAC,
    rules=("A-MAT-01",),
    transports=("UDP",),
    purpose="A response with another branch is none to this request.",
    expects="The OPTIONS is repeated as if nothing had come.",
)
async def response_of_another_branch_is_ignored(bench: Bench) -> None:
    peer, received = await bench.triggered("options")
    wrong = Response.for_request(received.request, 200, to_tag=tag())
    wrong.headers.set("Via", wrong.headers.get("Via", "").replace(received.request.via.branch or "", ids.branch()))
    await not_fooled(bench, peer, received, wrong, "a 200 with another branch ends the OPTIONS")
    await peer.respond(received, 200)


@case(
    "SIP-TXN-UAC-014",
    "RFC 3261 §17.1.3",
    suite=SUITE,
    roles=UAC,
    rules=("A-MAT-01",),
    transports=("UDP",),
    purpose="A response with the method of another request in CSeq is none to this request.",
    expects="The OPTIONS is repeated as if nothing had come.",
)
async def response_of_another_method_is_ignored(bench: Bench) -> None:
    peer, received = await bench.triggered("options")
    wrong = Response.for_request(received.request, 200, to_tag=tag())
    wrong.headers.set("CSeq", f"{received.request.cseq.number} INVITE")
    await not_fooled(bench, peer, received, wrong, "a 200 whose CSeq says INVITE ends the OPTIONS")
    await peer.respond(received, 200)


@case(
    "SIP-TXN-UAC-015",
    "RFC 3261 §8.1.3.2",
    suite=SUITE,
    roles=UAC,
    rules=("A-UAC-06",),
    purpose="A status that nobody knows means what x00 of its class means.",
    expects="199 leaves the INVITE pending, 499 refuses it and gets an ACK.",
)
async def unknown_status_codes_are_understood(bench: Bench) -> None:
    peer, received = await invited(bench)
    call_id = received.request.call_id
    await peer.respond(received, 199)
    await peer.silence(requests("ACK", call_id), "a 199 gets", 2 * bench.options.t1)
    await peer.respond(received, 499)
    await peer.expect(requests("ACK", call_id), "a 499 gets no ACK")
    await peer.silence(
        lambda item: requests("INVITE", call_id)(item) and not same(item, received.request),
        "after a 499 the target sends",
        2 * bench.options.t1,
    )


@case(
    "SIP-TXN-UAC-016",
    "RFC 3261 §8.1.3.4",
    suite=SUITE,
    roles=UAC,
    rules=("A-UAC-08",),
    purpose="A redirection to where the call came from does not go round in circles.",
    expects="The 302 gets its ACK; the same URI is not tried again.",
)
async def redirection_to_itself_ends(bench: Bench) -> None:
    peer, received = await invited(bench)
    request = received.request
    await peer.respond(received, 302, [("Contact", f"<{request.uri_text}>")])
    await peer.expect(requests("ACK", request.call_id), "a 302 gets no ACK")
    await peer.silence(
        lambda item: requests("INVITE")(item) and item.request.uri_text == request.uri_text and not same(item, request),
        "a URI that sent the call to itself is tried again",
        3 * bench.options.t1 + bench.options.slack,
    )


def same(item: Received, request: Request) -> bool:
    """Tell whether this is a copy of that request."""
    return item.request.via.branch == request.via.branch
