"""CANCEL as the target sends it (:rfc:`3261#section-9.1`)."""

from __future__ import annotations

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import case
from gateway.lab.conformance.peer import Peer, Received, requests
from gateway.lab.conformance.sipsteps import invited, tag

SUITE = "sip.transactions.client"
UAC = {"uac"}


async def ringing_here(bench: Bench) -> tuple[Peer, Received, str]:
    """Make the target call us, let it ring; returns the tag that we gave."""
    peer, received = await invited(bench)
    ours = tag()
    await peer.respond(received, 180, [("Contact", peer.contact)], to_tag=ours)
    return peer, received, ours


async def finish(peer: Peer, received: Received, ours: str) -> None:
    """End a cancelled INVITE."""
    await peer.respond(received, 487, to_tag=ours)
    await peer.receive(None, requests("ACK", received.request.call_id))


@case(
    "SIP-TXN-UAC-020",
    "RFC 3261 §9.1",
    suite=SUITE,
    roles=UAC,
    rules=("A-CAN-02",),
    purpose="A CANCEL names exactly the INVITE that it is about.",
    expects="One Via, that of the INVITE with its branch; the same Request-URI, Call-ID, From, To and CSeq number; no "
    "Require.",
)
async def cancel_fits_its_invite(bench: Bench) -> None:
    peer, received, ours = await ringing_here(bench)
    _, item = await bench.triggered("cancel")
    await peer.respond(item, 200, to_tag=ours)
    await finish(peer, received, ours)
    cancel, request = item.request, received.request
    bench.check(len(cancel.vias) == 1, f"the CANCEL has {len(cancel.vias)} Vias instead of one")
    bench.check(cancel.via.branch == request.via.branch, "the CANCEL has another branch than its INVITE")
    bench.check(cancel.uri_text == request.uri_text, f"the CANCEL goes to {cancel.uri_text}")
    bench.check(cancel.call_id == request.call_id, "the CANCEL has another Call-ID")
    bench.check(cancel.from_ == request.from_, f"From of the CANCEL is {cancel.from_}")
    bench.check(cancel.to == request.to, f"To of the CANCEL is {cancel.to}, in the INVITE {request.to}")
    bench.check(cancel.cseq.number == request.cseq.number, f"the CANCEL has CSeq {cancel.cseq.number}")
    bench.check(not cancel.require, "the CANCEL has Require")


@case(
    "SIP-TXN-UAC-021",
    "RFC 3261 §9.1",
    suite=SUITE,
    roles=UAC,
    rules=("A-CAN-01",),
    purpose="An INVITE that got no answer at all is not cancelled yet.",
    expects="No CANCEL before the first provisional answer, one soon after it.",
)
async def cancel_waits_for_a_provisional(bench: Bench) -> None:
    peer, received = await invited(bench)
    call_id = received.request.call_id
    await bench.trigger("cancel")
    await peer.silence(requests("CANCEL", call_id), "before any answer comes", 2 * bench.options.t1)
    ours = tag()
    await peer.respond(received, 180, [("Contact", peer.contact)], to_tag=ours)
    item = await peer.receive(None, requests("CANCEL", call_id))
    if item is None:
        await finish(peer, received, ours)
        bench.remark("the wish to cancel is forgotten when the provisional answer comes")
        return
    await peer.respond(item, 200, to_tag=ours)
    await finish(peer, received, ours)


@case(
    "SIP-TXN-UAC-022",
    "RFC 3261 §9.1, §17.1.1.3",
    suite=SUITE,
    roles=UAC,
    rules=("A-CAN-03", "A-MAT-01"),
    purpose="The answer to a CANCEL is not the answer to its INVITE.",
    expects="The 487 that follows gets its ACK.",
)
async def cancelled_invite_is_acknowledged(bench: Bench) -> None:
    peer, received, ours = await ringing_here(bench)
    _, item = await bench.triggered("cancel")
    await peer.respond(item, 200, to_tag=ours)
    call_id = received.request.call_id
    await peer.silence(requests("ACK", call_id), "after the answer to its CANCEL the target sends", bench.options.t1)
    await peer.respond(received, 487, to_tag=ours)
    await peer.expect(requests("ACK", call_id), "the 487 gets no ACK")


@case(
    "SIP-TXN-UAC-023",
    "RFC 3261 §9.1, §13.2.2.4",
    suite=SUITE,
    roles=UAC,
    rules=("A-CAN-03",),
    purpose="A call that is taken while it is cancelled is acknowledged.",
    expects="An ACK of the 2xx, then a BYE.",
)
async def call_taken_while_cancelled_is_acknowledged(bench: Bench) -> None:
    peer, received, ours = await ringing_here(bench)
    _, item = await bench.triggered("cancel")
    await peer.respond(item, 200, to_tag=ours)
    body = await bench.offer(setup="passive")
    call_id = received.request.call_id
    await peer.respond(received, 200, [("Contact", peer.contact)], body, to_tag=ours)
    await peer.expect(requests("ACK", call_id), "a 2xx that crosses the CANCEL gets no ACK")
    bye = await peer.receive(None, requests("BYE", call_id))
    if bye is None:
        bench.remark("a call that was taken while it was cancelled is not ended")
        return
    await peer.respond(bye, 200)
