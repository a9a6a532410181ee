"""The target's server transactions (:rfc:`3261#section-17.2`, :rfc:`6026`, :rfc:`4320`): what it repeats, and when."""

from __future__ import annotations

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import case
from gateway.lab.conformance.peer import Peer, Received, answers
from gateway.lab.conformance.sipsteps import (
    UNKNOWN_TAG,
    answers_without_state,
    call,
    check_rhythm,
    gather,
    invite,
    refused_invite,
    repeats,
    ringing,
    three_repeats,
)
from sipstack import ids
from sipstack.sip.message import Request

SUITE = "sip.transactions.server"
UAS = {"uas"}
ANY = {"uas", "registrar"}


async def answered_again(bench: Bench, peer: Peer, request: Request, first: Received) -> Received:
    """Send a request once more; the answer has to be the one that it got before."""
    await peer.send(request)
    again = await peer.expect(answers(request, least=200), f"the repeated {request.method} gets no answer")
    bench.check(
        again.response.status == first.response.status,
        f"the repeated {request.method} is answered with {again.response.status}, not {first.response.status} again",
    )
    bench.check(
        again.response.headers.get("To") == first.response.headers.get("To"),
        f"the repeated {request.method} is answered anew: another To tag",
    )
    return again


@case(
    "SIP-TXN-UAS-001",
    "RFC 3261 §17.2.2",
    suite=SUITE,
    roles=ANY,
    rules=("A-NIST-01",),
    transports=("UDP",),
    purpose="A request other than INVITE that comes once more gets the same answer once more.",
    expects="The second answer has status and To tag of the first.",
)
async def repeated_request_gets_the_same_answer(bench: Bench) -> None:
    peer = await bench.sip.peer()
    options = peer.request("OPTIONS")
    first = await peer.exchange(options)
    await answered_again(bench, peer, options, first)


@case(
    "SIP-TXN-UAS-002",
    "RFC 3261 §17.2.2 (Timer J)",
    suite=SUITE,
    roles=ANY,
    rules=("A-NIST-01",),
    transports=("UDP",),
    slow=True,
    limit=40,
    purpose="Answers are kept for 64·T1, because a client may repeat its request for that long.",
    expects="A request repeated after 50·T1 gets the answer that it got at first.",
)
async def answers_are_kept_for_late_repeats(bench: Bench) -> None:
    peer = await bench.sip.peer()
    options = peer.request("OPTIONS")
    first = await peer.exchange(options)
    await bench.pause(50 * bench.options.t1)
    await answered_again(bench, peer, options, first)


@case(
    "SIP-TXN-UAS-003",
    "RFC 3261 §17.2.1",
    suite=SUITE,
    roles=ANY,
    rules=("A-IST-02",),
    purpose="An INVITE that comes again after it was refused gets the refusal again.",
    expects="Status and To tag stay the same.",
)
async def repeated_invite_is_refused_again(bench: Bench) -> None:
    peer, request, first = await refused_invite(bench)
    await answered_again(bench, peer, request, first)
    await peer.send(peer.ack(request, first.response))


@case(
    "SIP-TXN-UAS-004",
    "RFC 3261 §17.2.1 (Timer G)",
    suite=SUITE,
    roles=ANY,
    rules=("A-IST-03",),
    transports=("UDP",),
    purpose="A refusal is repeated until the ACK comes, at T1, then at doubled intervals.",
    expects="Repeated after T1, 2·T1 and 4·T1, octet by octet the same answer.",
)
async def refusal_is_repeated_until_the_ack(bench: Bench) -> None:
    peer, request, first = await refused_invite(bench)
    again = await gather(bench, peer, answers(request, least=200), three_repeats(bench))
    if not again and await answers_without_state(bench, peer, request, first):
        bench.not_applicable(f"the target answers with {first} without state, so it repeats nothing")
    await peer.send(peer.ack(request, first.response))
    check_rhythm(bench, "a refusal without ACK", [item.at for item in (first, *again)], [1, 2, 4])
    bench.check(all(item.data == first.data for item in again), "the repeated refusal is not the same message")


@case(
    "SIP-TXN-UAS-005",
    "RFC 3261 §17.2.1",
    suite=SUITE,
    roles=ANY,
    rules=("A-IST-03",),
    purpose="The ACK ends the repeating of a refusal.",
    expects="Nothing comes after the ACK.",
)
async def ack_stops_the_refusal(bench: Bench) -> None:
    peer, request, first = await refused_invite(bench)
    await peer.send(peer.ack(request, first.response))
    await bench.pause(bench.options.slack)
    peer.forget()
    await peer.silence(answers(request), "after the ACK of its refusal the target sends", 8.5 * bench.options.t1)


@case(
    "SIP-TXN-UAS-006",
    "RFC 3261 §17.2.1 (Timer G, T2)",
    suite=SUITE,
    roles=ANY,
    rules=("A-IST-03",),
    transports=("UDP",),
    slow=True,
    limit=60,
    purpose="Repeating a refusal slows down to T2 and ends at 64·T1.",
    expects="Intervals of T1, 2·T1, 4·T1, then 8·T1; nothing after 64·T1.",
)
async def refusal_is_given_up(bench: Bench) -> None:
    peer, request, first = await refused_invite(bench)
    again = await gather(bench, peer, answers(request, least=200), 66 * bench.options.t1)
    check_rhythm(bench, "a refusal without ACK", [item.at for item in (first, *again)], [1, 2, 4, 8, 8, 8, 8, 8])
    await peer.silence(answers(request, least=200), "a refusal is still repeated after 64·T1", 9 * bench.options.t1)


@case(
    "SIP-TXN-UAS-007",
    "RFC 3261 §13.3.1.4",
    suite=SUITE,
    roles=UAS,
    rules=("A-IST-05",),
    purpose="A 2xx to INVITE is repeated until its ACK comes, by whichever transport.",
    expects="Repeated after T1, 2·T1 and 4·T1.",
)
async def success_is_repeated_until_the_ack(bench: Bench) -> None:
    made = await call(bench, ack=False)
    again = await gather(bench, made.peer, answers(made.invite, least=200), three_repeats(bench))
    check_rhythm(bench, "a 2xx without ACK", [item.at for item in (made.answer, *again)], [1, 2, 4])


@case(
    "SIP-TXN-UAS-008",
    "RFC 3261 §13.3.1.4",
    suite=SUITE,
    roles=UAS,
    rules=("A-IST-05",),
    purpose="The ACK ends the repeating of a 2xx.",
    expects="No further 2xx after the ACK.",
)
async def ack_stops_the_success(bench: Bench) -> None:
    made = await call(bench)
    await bench.pause(bench.options.slack)
    made.peer.forget()
    await made.peer.silence(answers(made.invite), "after the ACK of its 2xx the target sends", 8.5 * bench.options.t1)


@case(
    "SIP-TXN-UAS-009",
    "RFC 6026 §7.1",
    suite=SUITE,
    roles=UAS,
    rules=("A-IST-04",),
    purpose="An INVITE that comes again after its 2xx begins no second call.",
    expects="No answer, or the 2xx with the same To tag.",
)
async def repeated_invite_begins_no_second_call(bench: Bench) -> None:
    made = await call(bench)
    await made.peer.send(made.invite)
    for received in await gather(bench, made.peer, answers(made.invite, least=101), 3 * bench.options.t1):
        same = received.response.headers.get("To") == made.response.headers.get("To")
        bench.check(same or received.response.status >= 300, f"the repeated INVITE is answered anew: {received}")
        if not same:
            bench.remark(f"the repeated INVITE gets {received}, where RFC 6026 has it absorbed")


@case(
    "SIP-TXN-UAS-010",
    "RFC 3261 §13.3.1.4",
    suite=SUITE,
    roles=UAS,
    rules=("A-IST-05",),
    slow=True,
    limit=60,
    purpose="A 2xx whose ACK never comes is given up after 64·T1, and the call ended.",
    expects="No 2xx after 64·T1; a BYE should come.",
)
async def success_without_ack_is_given_up(bench: Bench) -> None:
    made = await call(bench, ack=False)
    await bench.pause(67 * bench.options.t1)
    if not any(item.message is not None and item.message.cseq.method == "BYE" for item in made.peer.queue):
        bench.remark("no BYE for a 2xx without ACK (SHOULD)")
    made.peer.queue[:] = [item for item in made.peer.queue if not answers(made.invite)(item)]
    await made.peer.silence(answers(made.invite), "a 2xx is still repeated after 64·T1", 9 * bench.options.t1)


@case(
    "SIP-TXN-UAS-011",
    "RFC 3261 §17.2.1, §8.2",
    suite=SUITE,
    roles=ANY,
    rules=("A-IST-03",),
    purpose="An ACK is never answered, neither one that fits nor one out of nowhere.",
    expects="Silence, and an OPTIONS is answered as before.",
)
async def acks_get_no_answer(bench: Bench) -> None:
    peer = await bench.sip.peer()
    ack = peer.request("ACK", to=f"<{bench.target.aor}>;tag={ids.tag()}")
    await peer.send(ack)
    await peer.silence(answers(ack), "an ACK out of nowhere is answered", 2 * bench.options.t1)
    await peer.exchange(peer.request("OPTIONS"))


@case(
    "SIP-TXN-UAS-012",
    "RFC 3261 §17.2.3",
    suite=SUITE,
    roles=ANY,
    rules=("A-MAT-02",),
    transports=("UDP",),
    purpose="The branch alone does not tell transactions: one of another sender is another transaction.",
    expects="Two senders with one branch get an answer each, with their own Call-ID.",
)
async def same_branch_of_another_sender_is_another_transaction(bench: Bench) -> None:
    one, other = await bench.sip.peer(), await bench.sip.peer()
    first, second = one.request("OPTIONS"), other.request("OPTIONS")
    second.headers.set("Via", f"SIP/2.0/UDP {other.sent_by};branch={first.via.branch};rport")
    await one.exchange(first)
    await other.send(second)
    answer = await other.expect(answers(second, least=200), "a request with a branch that another sender had, too")
    bench.check(answer.response.call_id == second.call_id, "it gets the answer to the other sender's request")


@case(
    "SIP-TXN-UAS-013",
    "RFC 3261 §17.2.3",
    suite=SUITE,
    roles=ANY,
    rules=("A-MAT-03",),
    transports=("UDP",),
    purpose="A request without a branch is matched by the rules of RFC 2543.",
    expects="It is answered, and its repetition gets the same answer.",
)
async def requests_without_branch_are_matched_too(bench: Bench) -> None:
    peer = await bench.sip.peer()
    options = peer.request("OPTIONS", headers=[("Via", f"SIP/2.0/UDP {peer.sent_by}")])
    await peer.send(options)
    first = await peer.expect(answers(options, least=200), "a request without a branch gets no answer")
    await answered_again(bench, peer, options, first)


@case(
    "SIP-TXN-UAS-014",
    "RFC 4320 §4.1",
    suite=SUITE,
    roles=ANY,
    rules=("A-NIT-01", "A-NIT-02"),
    purpose="Requests other than INVITE get no provisional answer but a late 100.",
    expects="Nothing from 101 to 199 and, by UDP, no 100 at once.",
)
async def no_provisional_answers_but_to_invite(bench: Bench) -> None:
    peer = await bench.sip.peer()
    options = peer.request("OPTIONS")
    begun = bench.now()
    await peer.send(options)
    await peer.final(options)
    early = await peer.receive(0, answers(options, most=199))
    if early is None:
        return
    bench.check(early.response.status == 100, f"an OPTIONS is answered with {early} first")
    if repeats(bench):
        bench.check(early.at - begun > 3.5 * bench.options.t1, "an OPTIONS gets a 100 before Timer E has reached T2")


@case(
    "SIP-TXN-UAS-015",
    "RFC 3261 §17.2.1",
    suite=SUITE,
    roles=ANY,
    rules=("A-IST-01",),
    purpose="An INVITE gets an answer within 200 ms, so that it is not repeated for nothing.",
    expects="100 or anything above within 200 ms.",
)
async def invite_is_answered_soon(bench: Bench) -> None:
    peer, request = await invite(bench, [("Require", UNKNOWN_TAG)])
    begun = bench.now()
    await peer.send(request)
    answer = await peer.need(answers(request), "the target does not answer an INVITE")
    final = answer if answer.response.is_final else await peer.final(request)
    await peer.send(peer.ack(request, final.response))
    late = answer.at - begun
    bench.check(late <= 0.2 + bench.options.slack, f"the first answer to an INVITE takes {late:.2f} s")


@case(
    "SIP-TXN-UAS-016",
    "RFC 3261 §17.2.1",
    suite=SUITE,
    roles=UAS,
    rules=("A-IST-02",),
    purpose="An INVITE that comes again while the user is asked gets the last provisional answer again.",
    expects="The same status with the same To tag.",
)
async def repeated_invite_gets_the_provisional_again(bench: Bench) -> None:
    peer, request, first = await ringing(bench)
    await peer.send(request)
    again = await peer.expect(answers(request), "the INVITE that comes again gets no answer")
    bench.check(again.response.status == first.response.status, f"{again} instead of {first}")
    bench.check(
        again.response.headers.get("To") == first.response.headers.get("To"), "another To tag in the repetition"
    )


@case(
    "SIP-TXN-UAS-017",
    "RFC 3261 §8.2.2.2",
    suite=SUITE,
    roles=UAS,
    rules=("A-UAS-04",),
    purpose="One INVITE that comes by two ways at once makes one call.",
    expects="482 for the second.",
)
async def merged_invite_is_refused(bench: Bench) -> None:
    peer, request, _ = await ringing(bench)
    merged = Request("INVITE", request.uri_text, request.headers.copy(), request.body)
    merged.headers.set("Via", peer.via)
    await peer.send(merged)
    answer = await peer.receive(None, answers(merged, least=101))
    if answer is None or answer.response.status != 482:
        bench.remark(f"a merged INVITE gets {answer or 'no answer'}, not 482 (SHOULD)")
    if answer is None or answer.response.status < 200:
        await peer.send(peer.cancel(merged))
        answer = await peer.receive(None, answers(merged, least=200))
    if answer is not None and answer.response.status >= 300:
        await peer.send(peer.ack(merged, answer.response))
