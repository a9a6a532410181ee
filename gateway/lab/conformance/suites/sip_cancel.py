"""CANCEL as the target takes it (:rfc:`3261#section-9.2`)."""

from __future__ import annotations

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import case
from gateway.lab.conformance.peer import Peer, answers, requests
from gateway.lab.conformance.sipsteps import UNKNOWN_TAG, Fields, call, refused_invite, ringing
from sipstack.sip.address import Address
from sipstack.sip.message import Request

SUITE = "sip.transactions.cancel"
UAS = {"uas"}


@case(
    "SIP-TXN-CAN-001",
    "RFC 3261 §9.2",
    suite=SUITE,
    roles=UAS,
    rules=("A-CAN-04",),
    purpose="A CANCEL is answered, and ends the INVITE with 487.",
    expects="200 to the CANCEL, 487 to the INVITE.",
)
async def cancel_ends_the_invite(bench: Bench) -> None:
    peer, request, _ = await ringing(bench)
    cancel = peer.cancel(request)
    await peer.send(cancel)
    answer = await peer.expect(answers(cancel, least=200), "the CANCEL gets no answer")
    bench.check(answer.response.status == 200, f"a CANCEL that fits gets {answer}")
    final = await peer.expect(answers(request, least=200), "the cancelled INVITE gets no final answer")
    await peer.send(peer.ack(request, final.response))
    bench.check(final.response.status == 487, f"the cancelled INVITE gets {final}")
    if Address.parse(answer.response.headers.get("To", "")).tag != final.response.to.tag:
        bench.remark("the answers to CANCEL and INVITE have different To tags (SHOULD be the same)")


@case(
    "SIP-TXN-CAN-002",
    "RFC 3261 §9.2",
    suite=SUITE,
    roles=UAS,
    rules=("A-CAN-04",),
    purpose="A CANCEL for nothing is answered.",
    expects="A final answer, which should be 481.",
)
async def cancel_of_nothing_is_answered(bench: Bench) -> None:
    peer = await bench.sip.peer()
    cancel = peer.request("CANCEL")
    await peer.send(cancel)
    answer = await peer.expect(answers(cancel, least=200), "a CANCEL for nothing gets no answer")
    if answer.response.status != 481:
        bench.remark(f"a CANCEL for nothing gets {answer}, not 481 (SHOULD)")


@case(
    "SIP-TXN-CAN-003",
    "RFC 3261 §9.2",
    suite=SUITE,
    roles=UAS,
    rules=("A-CAN-04",),
    purpose="A CANCEL that comes too late changes nothing.",
    expects="A refused INVITE stays refused: no 487 instead of what refused it.",
)
async def late_cancel_changes_nothing(bench: Bench) -> None:
    peer, request, first = await refused_invite(bench)
    cancel = peer.cancel(request)
    await peer.send(cancel)
    await peer.expect(answers(cancel, least=200), "the CANCEL of a refused INVITE gets no answer")
    await peer.send(peer.ack(request, first.response))
    other = await peer.receive(
        bench.options.slack, lambda item: answers(request, least=200)(item) and item.data != first.data
    )
    bench.check(other is None, f"after a late CANCEL the INVITE is answered again: {other}")


@case(
    "SIP-TXN-CAN-004",
    "RFC 3261 §9.2",
    suite=SUITE,
    roles=UAS,
    rules=("A-CAN-04",),
    purpose="A call that was taken outlives a CANCEL of its INVITE.",
    expects="No BYE, no 487; an OPTIONS in the dialog gets 200.",
)
async def taken_call_outlives_a_cancel(bench: Bench) -> None:
    made = await call(bench)
    cancel = made.peer.cancel(made.invite)
    await made.peer.send(cancel)
    await made.peer.expect(answers(cancel, least=200), "the CANCEL of an answered INVITE gets no answer")
    probe = await made.peer.exchange(made.dialog.request("OPTIONS"))
    bench.check(probe.response.status != 481, "the call is gone after a late CANCEL")
    await made.peer.silence(requests("BYE", made.dialog.call_id), "the call is ended after a late CANCEL", 0)


@case(
    "SIP-TXN-CAN-005",
    "RFC 3261 §8.2.2.3",
    suite=SUITE,
    roles=UAS,
    rules=("A-UAS-05",),
    purpose="Require means nothing in a CANCEL.",
    expects="A CANCEL that requires what nobody has is processed like any other.",
)
async def require_in_cancel_is_ignored(bench: Bench) -> None:
    peer, request, _ = await ringing(bench)
    cancel = peer.cancel(request)
    cancel.headers.add("Require", UNKNOWN_TAG)
    await peer.send(cancel)
    answer = await peer.need(answers(cancel, least=200), "the CANCEL gets no answer")
    bench.check(answer.response.status == 200, f"a CANCEL with Require gets {answer}")
    final = await peer.need(answers(request, least=200), "the cancelled INVITE gets no final answer")
    await peer.send(peer.ack(request, final.response))


@case(
    "SIP-TXN-CAN-006",
    "RFC 3261 §8.2.2.3, §17.2.1",
    suite=SUITE,
    roles={"uas", "registrar"},
    rules=("A-UAS-05",),
    transports=("UDP",),
    purpose="Require means nothing in an ACK.",
    expects="An ACK that requires what nobody has ends the repeating of a refusal.",
)
async def require_in_ack_is_ignored(bench: Bench) -> None:
    if await goes_on(bench, *await acknowledged(bench)):
        bench.inconclusive("the target does not heed an ACK without Require either")
    peer, request = await acknowledged(bench, [("Require", UNKNOWN_TAG)])
    bench.check(not await goes_on(bench, peer, request), "the target does not heed an ACK with Require")


async def acknowledged(bench: Bench, headers: Fields = ()) -> tuple[Peer, Request]:
    """Have an INVITE refused, and acknowledge that with some header fields more."""
    peer, request, first = await refused_invite(bench)
    ack = peer.ack(request, first.response)
    for name, value in headers:
        ack.headers.add(name, value)
    await peer.send(ack)
    return peer, request


async def goes_on(bench: Bench, peer: Peer, request: Request) -> bool:
    """Tell whether a refusal is still repeated."""
    await bench.pause(bench.options.slack)
    peer.forget()
    return await peer.receive(8.5 * bench.options.t1, answers(request)) is not None
