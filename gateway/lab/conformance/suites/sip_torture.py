"""The 49 torture messages of :rfc:`4475` and the 12 of :rfc:`5118`: what a target makes of them, and that it lives.

One case for each row of ``vectors/torture.toml``. With ``--vectors`` the RFC's own files are sent.
"""

from __future__ import annotations

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import Case, case
from gateway.lab.conformance.peer import Peer, Received
from gateway.lab.conformance.rawdialog import RawDialog
from gateway.lab.conformance.torture import Vector, vectors
from gateway.lab.conformance.tortured import fitted
from sipstack.errors import ParseError, SipstackError
from sipstack.flow import RELIABLE
from sipstack.sip.message import Request, Response
from sipstack.sip.parser import parse_message

SUITE = "sip.parsing.torture"

EXPECTED = {
    "accept": "An answer that does not call it a syntax error.",
    "reject": "It is refused.",
    "either": "An answer, whichever.",
    "drop": "No answer.",
}

UNFRAMED = ("clerr", "ncl", "mcl01", "inv2543")
"""On a stream nobody knows where these end: waiting and closing are right, too."""

ELSEWHERE = ("intmeth", "esc01", "ipv6-good", "port-ambiguous", "port-unambiguous")
"""Messages whose Request-URI is not the target's."""

PASSED_ON = ("esc02",)
"""Messages with a method that proxies may pass on."""


async def alive(bench: Bench, peer: Peer, when: str) -> Request:
    """Send an OPTIONS, which has to be answered somehow: before the message to begin with, behind it to go on."""
    options = peer.request("OPTIONS")
    answer = await _answer_to(peer, options)
    if answer is None and when == "before":
        bench.inconclusive("the target answers no OPTIONS")
    bench.check(answer is not None, "the target answers no OPTIONS any more")
    return options


async def _answer_to(peer: Peer, request: Request) -> Received | None:
    call_id = request.call_id

    def match(item: Received) -> bool:
        return (
            isinstance(item.message, Response) and item.message.headers.get("Call-ID") == call_id
        ) and item.message.is_final

    for _ in range(3):
        await peer.send(request)
        answer = await peer.receive(None, match)
        if answer is not None:
            return answer
    return None


def is_final(item: Received) -> bool:
    """Match the final answer to whatever was sent."""
    return isinstance(item.message, Response) and item.message.is_final


async def tortured(bench: Bench, vector: Vector) -> None:
    """Send one message, judge what comes, and see that the target lives on."""
    peer = await bench.sip.peer()
    before = await alive(bench, peer, "before")
    octets = fitted(bench, peer, vector)
    await peer.send(octets)

    def to_it(item: Received) -> bool:
        return isinstance(item.message, Response) and item.message.headers.get("Call-ID") != before.call_id

    if vector.verdict == "drop":
        await peer.silence(to_it, "it is answered", bench.options.slack)
    else:
        answer = await peer.receive(None, lambda item: to_it(item) and item.response.status > 100)
        if answer is None:
            answer = await peer.receive(0, to_it)
        judge(bench, vector, answer.response.status if answer is not None else None)
        if answer is not None:
            await settle(peer, octets, answer)
        if vector.name == "dblreq" and peer.transport not in RELIABLE:
            await peer.silence(to_it, "what stands behind the end of the message is answered, too", bench.options.slack)
    probe = peer if peer.transport not in RELIABLE else await bench.sip.peer()
    await alive(bench, probe, "behind")


def judge(bench: Bench, vector: Vector, status: int | None) -> None:
    """Compare the answer with what the section asks for."""
    if status is None:
        _judge_silence(bench, vector)
    elif vector.verdict == "accept":
        _judge_accepted(bench, vector, status)
    elif vector.verdict == "reject" and status not in vector.asked:
        asked = " or ".join(map(str, vector.asked))
        bench.check(
            status >= 300 or vector.level != "must", f"it is taken with {status}, and has to be refused: {asked}"
        )
        bench.remark(f"it gets {status}; the section asks for {asked}")


def _judge_silence(bench: Bench, vector: Vector) -> None:
    """Broken messages may be dropped; sound ones are answered by whom they are for (:rfc:`3261#section-8.2`)."""
    if vector.verdict != "accept":
        if not (bench.sip.transport in RELIABLE and vector.name in UNFRAMED):
            bench.remark("it is not answered (an answer is what the section would like)")
        return
    passed_on = bench.role != "uas" and vector.name in PASSED_ON
    if passed_on or vector.name in ELSEWHERE or bench.options.vectors is not None:
        bench.inconclusive("it is not answered, and may be for somebody else")
    bench.fail("it is well formed, and not answered")


def _judge_accepted(bench: Bench, vector: Vector, status: int) -> None:
    if status in (400, 505):
        bench.check(vector.level != "must", f"it is well formed, and gets {status}")
        bench.remark(f"it gets {status}, though the section wants it to be tolerated")
    elif status in vector.unwanted and bench.role == "uas":
        bench.remark(f"it gets {status}, which the section does not want of a user agent")
    elif vector.asked and status not in vector.asked:
        bench.check(status >= 300, f"it is taken with {status}, though nobody knows its method")
        bench.remark(f"it gets {status}; the section has {' or '.join(map(str, vector.asked))}")


async def settle(peer: Peer, octets: bytes, answer: Received) -> None:
    """End what an INVITE may have begun, as far as it can be read."""
    try:
        request = parse_message(octets)
    except ParseError as error:
        if not isinstance(error.message, Request):
            return
        request = error.message
    if not isinstance(request, Request) or request.method != "INVITE":
        return
    try:
        if answer.response.is_provisional:
            await peer.send(peer.cancel(request))
            final = await peer.receive(None, is_final)
            answer = final if final is not None else answer
        if answer.response.is_success:
            dialog = RawDialog.calling(peer, request, answer.response)
            dialog.routes.clear()
            await dialog.send(dialog.ack())
            await dialog.send(dialog.request("BYE"))
        elif answer.response.is_final:
            await peer.send(peer.ack(request, answer.response))
    except SipstackError:
        return  # too broken for that


def case_of(vector: Vector) -> Case:
    """Return the case of one message."""
    asked = f" The section names {' or '.join(map(str, vector.asked))}." if vector.asked else ""

    async def torture(bench: Bench) -> None:
        await tortured(bench, vector)

    torture.__name__ = f"torture_{vector.name}"
    return case(
        f"SIP-PAR-{vector.id.removeprefix('G-')}",
        vector.section,
        suite=SUITE,
        roles={"uas", "registrar"},
        rules=(vector.id,),
        purpose=f"{vector.name}: {vector.defect}.",
        expects=EXPECTED[vector.verdict] + asked,
    )(torture)


CASES = [case_of(vector) for vector in vectors().values()]
