"""Dialogs that the target began (:rfc:`3261#section-12`, :rfc:`3261#section-13.2.2.4`, :rfc:`3261#section-15.1.1`)."""

from __future__ import annotations

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import case
from gateway.lab.conformance.peer import Received, requests
from gateway.lab.conformance.rawdialog import RawDialog
from gateway.lab.conformance.sipsteps import Visit, gather, invited, tag, taken

SUITE = "sip.dialogs.calling"
UAC = {"uac"}


async def hung_up(bench: Bench, visit: Visit) -> Received:
    """Make the target end the call, and answer its BYE."""
    await bench.trigger("bye")
    bye = await visit.peer.need(
        requests("BYE", visit.dialog.call_id), "the target does not end the call", bench.options.answer_time
    )
    await visit.peer.respond(bye, 200)
    return bye


@case(
    "SIP-DLG-UAC-001",
    "RFC 3261 §12.1.2, §12.2.1.1",
    suite=SUITE,
    roles=UAC,
    rules=("A-DLG-03", "A-DLG-05"),
    purpose="What the target sends in the dialog goes by the proxies that want to stay in the path.",
    expects="Route of ACK and BYE is Record-Route of the 2xx turned round, Request-URI our Contact.",
)
async def routes_are_turned_round(bench: Bench) -> None:
    listener = await bench.sip.listen()
    by = f";transport={listener.transport.lower()}"
    near, far = f"<sip:near@{listener.sent_by}{by};lr>", f"<sip:far@{listener.sent_by}{by};lr;x=1>"
    visit = await taken(bench, [("Record-Route", f"{far}, {near}")])
    bye = await hung_up(bench, visit)
    for item in (visit.ack, bye):
        request = item.request
        routes = [str(route) for route in request.routes]
        bench.check(routes == [near, far], f"Route of the {request.method} is {', '.join(routes) or 'missing'}")
        contact = visit.response.contacts[0].uri
        bench.check(request.uri.matches(contact), f"the {request.method} goes to {request.uri_text}, not to {contact}")


@case(
    "SIP-DLG-UAC-002",
    "RFC 3261 §12.2.1.1",
    suite=SUITE,
    roles=UAC,
    rules=("A-DLG-05",),
    purpose="A strict router gets the request as its own.",
    expects="Request-URI is the first route, without lr; our Contact is the last Route.",
)
async def strict_router_gets_its_own_uri(bench: Bench) -> None:
    listener = await bench.sip.listen()
    by = f";transport={listener.transport.lower()}"
    visit = await taken(bench, [("Record-Route", f"<sip:strict@{listener.sent_by}{by}>")])
    ack, contact = visit.ack.request, visit.response.contacts[0].uri
    bench.check(ack.uri.user == "strict", f"the ACK goes to {ack.uri_text}, not to the strict router")
    routes = ack.routes
    bench.check(routes and routes[-1].uri.matches(contact), f"our Contact is not the last Route of the ACK: {routes}")


@case(
    "SIP-DLG-UAC-003",
    "RFC 3261 §12.2.1.1",
    suite=SUITE,
    roles=UAC,
    rules=("A-DLG-04",),
    purpose="Requests in the dialog are numbered one after the other.",
    expects="CSeq of the BYE is that of the INVITE and one.",
)
async def cseq_rises_by_one(bench: Bench) -> None:
    visit = await taken(bench)
    bye = (await hung_up(bench, visit)).request
    first = visit.invite.request.cseq.number
    bench.check(bye.cseq.number == first + 1, f"CSeq of the BYE is {bye.cseq.number}, of the INVITE {first}")


@case(
    "SIP-DLG-UAC-004",
    "RFC 3261 §12.2.1.1",
    suite=SUITE,
    roles=UAC,
    rules=("A-DLG-04",),
    purpose="A request in the dialog carries its name.",
    expects="From and Call-ID of the INVITE, our tag in To, a branch of its own.",
)
async def bye_carries_the_dialog(bench: Bench) -> None:
    visit = await taken(bench)
    bye, invite = (await hung_up(bench, visit)).request, visit.invite.request
    bench.check(bye.from_.tag == invite.from_.tag, "From of the BYE has another tag than the INVITE")
    bench.check(bye.to.tag == visit.response.to.tag, "To of the BYE lacks our tag")
    bench.check(bye.via.branch not in (invite.via.branch, visit.ack.request.via.branch), "the BYE has a used branch")


@case(
    "SIP-DLG-UAC-005",
    "RFC 3261 §13.2.2.4",
    suite=SUITE,
    roles=UAC,
    rules=("A-INV-02", "A-ICT-06"),
    purpose="When two take the call, both are acknowledged, and one of them is let go.",
    expects="An ACK for each 2xx with its own To tag; a BYE for one of them.",
)
async def two_that_take_the_call_are_acknowledged(bench: Bench) -> None:
    visit = await taken(bench)
    peer, other = visit.peer, tag()
    response = await peer.respond(
        visit.invite, 200, [("Contact", peer.contact)], await bench.offer(setup="passive"), to_tag=other
    )
    ack = await peer.expect(requests("ACK", visit.dialog.call_id), "a second 2xx with another To tag gets no ACK")
    bench.check(ack.request.to.tag == other, "the second 2xx is acknowledged with the tag of the first")
    bye = await peer.receive(None, requests("BYE", visit.dialog.call_id))
    if bye is not None:
        await peer.respond(bye, 200)
        return
    bench.remark("the target keeps both calls that came of one INVITE")
    bench.later(RawDialog.called(peer, visit.invite.request, response).hangup)


@case(
    "SIP-DLG-UAC-006",
    "RFC 3261 §12.1.2, §13.2.2.4",
    suite=SUITE,
    roles=UAC,
    rules=("A-DLG-01", "A-DLG-03"),
    purpose="Another one than the one who rings may take the call.",
    expects="The ACK has the tag of the 2xx, not that of the 180.",
)
async def who_takes_the_call_is_not_who_rang(bench: Bench) -> None:
    peer, received = await invited(bench)
    await peer.respond(received, 180, [("Contact", peer.contact)], to_tag=tag())
    ours = tag()
    response = await peer.respond(
        received, 200, [("Contact", peer.contact)], await bench.offer(setup="passive"), to_tag=ours
    )
    call_id = received.request.call_id
    ack = await peer.expect(requests("ACK", call_id), "a 2xx with another tag than the 180 gets no ACK")
    bench.later(RawDialog.called(peer, received.request, response).hangup)
    bench.check(ack.request.to.tag == ours, "the ACK has the tag of who rang, not of who took the call")


@case(
    "SIP-DLG-UAC-007",
    "RFC 3261 §15.1.2",
    suite=SUITE,
    roles=UAC,
    rules=("A-INV-09",),
    purpose="The called one may end the call.",
    expects="200 to our BYE; the next one should get 481.",
)
async def called_one_may_end_the_call(bench: Bench) -> None:
    visit = await taken(bench)
    answer = await visit.dialog.hangup()
    bench.check(answer.response.status == 200, f"our BYE gets {answer}")
    again = await visit.dialog.hangup()
    if again.response.status != 481:
        bench.remark(f"a BYE after the end gets {again}, not 481 (SHOULD)")


@case(
    "SIP-DLG-UAC-008",
    "RFC 3261 §12.2.2",
    suite=SUITE,
    roles=UAC,
    rules=("A-DLG-07",),
    purpose="An INVITE in the dialog moves its other end to a new Contact.",
    expects="The BYE that follows has our new Contact as Request-URI.",
)
async def new_contact_is_used(bench: Bench) -> None:
    visit = await taken(bench)
    moved = f"sip:moved@{visit.peer.sent_by};transport={visit.peer.transport.lower()}"
    invite = visit.dialog.request("INVITE", [("Contact", f"<{moved}>")], visit.response.body)
    answer = await visit.peer.exchange(invite)
    if not answer.response.is_success:
        bench.inconclusive(f"an INVITE that changes our Contact only gets {answer}")
    await visit.dialog.send(visit.dialog.ack(invite.cseq.number))
    await bench.pause(bench.options.slack)
    bye = (await hung_up(bench, visit)).request
    bench.check(bye.uri.user == "moved", f"after our move the BYE goes to {bye.uri_text}, not to {moved}")


@case(
    "SIP-DLG-UAC-009",
    "RFC 3261 §14.1",
    suite=SUITE,
    roles=UAC,
    rules=("A-INV-05",),
    limit=60,
    purpose="Two INVITEs that cross in a dialog are not sent again at once.",
    expects="After 491 the one who made the Call-ID waits 2.1 s at least.",
)
async def crossing_invites_wait(bench: Bench) -> None:
    visit = await taken(bench)
    _, item = await bench.triggered("reinvite")
    begun = bench.now()
    refusal = await visit.peer.respond(item, 491, to_tag=visit.response.to.tag)
    call_id = visit.dialog.call_id
    await visit.peer.expect(requests("ACK", call_id), "a 491 gets no ACK")

    def new(received: Received) -> bool:
        return requests("INVITE", call_id)(received) and received.request.via.branch != refusal.via.branch

    again = await visit.peer.receive(4.5, new)
    if again is None:
        return
    await visit.peer.respond(again, 488, to_tag=visit.response.to.tag)
    await visit.peer.receive(None, requests("ACK", call_id))
    bench.check(again.at - begun >= 2.1 - 0.05, f"after a 491 the INVITE comes again after {again.at - begun:.1f} s")


@case(
    "SIP-DLG-UAC-010",
    "RFC 3261 §14.1, §12.2.1.1",
    suite=SUITE,
    roles=UAC,
    rules=("A-OA-02", "A-DLG-04"),
    purpose="A second INVITE of the target belongs to the dialog and offers for the same session.",
    expects="Both tags, CSeq one higher, a Contact; the same session in o=.",
)
async def reinvite_belongs_to_the_dialog(bench: Bench) -> None:
    visit = await taken(bench)
    _, item = await bench.triggered("reinvite")
    body = visit.response.body if item.request.body else await bench.offer(setup="passive")
    await visit.peer.respond(item, 200, [("Contact", visit.peer.contact)], body)
    await visit.peer.expect(requests("ACK", visit.dialog.call_id), "the 2xx of the second INVITE gets no ACK")
    first, second = visit.invite.request, item.request
    bench.check(second.to.tag == visit.response.to.tag, "To of the second INVITE lacks our tag")
    bench.check(second.from_.tag == first.from_.tag, "From of the second INVITE has another tag")
    bench.check(second.cseq.number > first.cseq.number, f"CSeq of the second INVITE is {second.cseq.number}")
    bench.check(len(second.contacts) == 1, f"the second INVITE has {len(second.contacts)} Contacts")
    if second.body and first.body:
        old, new = (origin(body.decode("utf-8", "replace")) for body in (first.body, second.body))
        bench.check(old == new, f"the second offer is for another session: {new}, not {old}")


def origin(description: str) -> list[str]:
    """Return what o= says of the session, without its version."""
    line = next((line for line in description.split("\r\n") if line.startswith("o=")), "o=")
    parts = line[2:].split(" ")
    return parts[:2] + parts[3:]


@case(
    "SIP-DLG-UAC-011",
    "RFC 3261 §17.1.1.3, §12.1.2",
    suite=SUITE,
    roles=UAC,
    rules=("A-DLG-01", "A-ICT-03"),
    purpose="A call that rang and is refused is over.",
    expects="An ACK for the refusal, and neither BYE nor CANCEL.",
)
async def refused_after_ringing_is_over(bench: Bench) -> None:
    peer, received = await invited(bench)
    ours = tag()
    await peer.respond(received, 180, [("Contact", peer.contact)], to_tag=ours)
    await peer.respond(received, 486, to_tag=ours)
    call_id = received.request.call_id
    await peer.expect(requests("ACK", call_id), "a refusal after 180 gets no ACK")
    for item in await gather(bench, peer, lambda item: item.message is not None, 2 * bench.options.t1):
        method = getattr(item.message, "method", "")
        bench.check(
            item.message is None or item.message.call_id != call_id or method in ("ACK", "INVITE"),
            f"after a refusal the target sends {method}",
        )
