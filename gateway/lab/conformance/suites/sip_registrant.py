"""The target as it registers with us (:rfc:`3261#section-10.2`)."""

from __future__ import annotations

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import case
from gateway.lab.conformance.peer import Match, Received, requests
from gateway.lab.conformance.registering import BRIEF, challenge, refreshed, register, welcome
from sipstack.sip.message import Request
from sipstack.sip.uri import Uri

SUITE = "sip.registration.registrant"
UAC = {"uac"}


def another_than(*seen: Received) -> Match:
    """Match a REGISTER of a new transaction."""
    branches = {item.request.via.branch for item in seen}
    return lambda item: requests("REGISTER")(item) and item.request.via.branch not in branches


def expiry(request: Request) -> int | None:
    """Return the seconds that a REGISTER asks for."""
    value = request.contacts[0].param("expires") if request.contacts else None
    return int(value) if value is not None and value.isdigit() else request.expires


def same_contacts(one: Request, other: Request) -> bool:
    """Tell whether two REGISTERs are for the same Contacts."""
    return len(one.contacts) == len(other.contacts) and all(
        first.uri.matches(second.uri) for first, second in zip(one.contacts, other.contacts, strict=True)
    )


@case(
    "SIP-REG-RT-001",
    "RFC 3261 §10.2",
    suite=SUITE,
    roles=UAC,
    rules=("A-REG-01", "A-UAC-01"),
    purpose="A REGISTER goes to a domain and names whose binding it is about.",
    expects="Request-URI without a user; To without a tag, From, Call-ID, CSeq, a Contact.",
)
async def register_has_what_it_must(bench: Bench) -> None:
    peer, received = await register(bench)
    await welcome(peer, received)
    request = received.request
    bench.check(request.uri.user is None, f"the Request-URI {request.uri_text} has a user")
    bench.check("@" not in request.uri_text, f"the Request-URI {request.uri_text} has an @")
    bench.check(request.to.uri.is_sip, f"To is {request.to}, no SIP URI")
    bench.check(request.to.tag is None, "To of a REGISTER has a tag")
    bench.check(request.from_.tag, "From of a REGISTER has no tag")
    bench.check(request.cseq.method == "REGISTER", f"CSeq of a REGISTER says {request.cseq.method}")
    bench.check(request.contacts or request.contact_star, "a REGISTER that is to bind has no Contact")


@case(
    "SIP-REG-RT-002",
    "RFC 3261 §22.2, §8.1.3.5, §8.1.1.7",
    suite=SUITE,
    roles=UAC,
    rules=("A-DIG-10", "A-UAC-03", "A-UAC-09"),
    purpose="A challenged REGISTER is sent again as a request of its own.",
    expects="Another branch, CSeq one higher; Call-ID and From should stay.",
)
async def challenged_register_is_sent_again(bench: Bench) -> None:
    peer, received = await register(bench)
    again = await challenge(bench, peer, received)
    await welcome(peer, again)
    first, second = received.request, again.request
    bench.check(second.via.branch != first.via.branch, "the REGISTER with credentials has the branch of the first")
    if second.call_id == first.call_id:
        bench.check(
            second.cseq.number == first.cseq.number + 1,
            f"CSeq of the REGISTER with credentials is {second.cseq.number}, of the first {first.cseq.number}",
        )
    else:
        bench.remark("the REGISTER with credentials has a new Call-ID (SHOULD be the same)")


@case(
    "SIP-REG-RT-003",
    "RFC 3261 §10.2.4, §10.2",
    suite=SUITE,
    roles=UAC,
    rules=("A-UAC-02", "A-REG-06"),
    purpose="A refresh belongs to the registration that it refreshes.",
    expects="The same Contact; the same Call-ID, as it should be, with the next CSeq.",
)
async def refresh_belongs_to_the_registration(bench: Bench) -> None:
    peer, received = await register(bench)
    again = await refreshed(bench, peer, received)
    await welcome(peer, again)
    first, second = received.request, again.request
    if second.call_id != first.call_id:
        bench.remark("a refresh has a new Call-ID (SHOULD be the same)")
    else:
        bench.check(
            second.cseq.number == first.cseq.number + 1,
            f"CSeq of the refresh is {second.cseq.number}, of the REGISTER before {first.cseq.number}",
        )
    bench.check(same_contacts(first, second), "the refresh is for another Contact")


@case(
    "SIP-REG-RT-004",
    "RFC 3261 §10.2.8",
    suite=SUITE,
    roles=UAC,
    rules=("A-REG-03",),
    purpose="A time that was too short is asked for longer.",
    expects="After 423 a REGISTER for Min-Expires at least, or none.",
)
async def too_brief_asks_for_longer(bench: Bench) -> None:
    peer, received = await register(bench)
    least = (expiry(received.request) or 3600) + 600
    await peer.respond(received, 423, [("Min-Expires", str(least))])
    again = await peer.receive(None, another_than(received))
    if again is None:
        bench.remark("after a 423 the target gives up (MAY go on)")
        return
    await welcome(peer, again)
    asked = expiry(again.request)
    bench.check(asked is not None and asked >= least, f"{least} s are the least, {asked} are asked for")


@case(
    "SIP-REG-RT-005",
    "RFC 3261 §10.2.4, §10.3 step 8",
    suite=SUITE,
    roles=UAC,
    rules=("A-REG-02", "A-REG-06"),
    limit=40,
    purpose="The time that was given counts, not the time that was asked for, nor that of others' bindings.",
    expects="A refresh before the few seconds of its own binding are over.",
)
async def given_time_counts(bench: Bench) -> None:
    peer, received = await register(bench)
    others = f"<sip:other@{peer.sent_by}>;expires=7200"
    await welcome(peer, received, BRIEF, [("Contact", others)])
    again = await peer.receive(BRIEF + bench.options.slack, another_than(received))
    if again is None:
        bench.remark(f"a binding of {BRIEF} s is not refreshed in time")
        return
    await welcome(peer, again)


@case(
    "SIP-REG-RT-006",
    "RFC 3261 §10.2.2",
    suite=SUITE,
    roles=UAC,
    rules=("A-REG-05",),
    purpose="Who leaves says so for its own Contact.",
    expects="A REGISTER with the Contact of before (or *) and expires=0.",
)
async def leaving_removes_the_binding(bench: Bench) -> None:
    peer, received = await register(bench)
    await welcome(peer, received)
    await bench.pause(bench.options.slack)
    _, again = await bench.triggered("unregister")
    await peer.respond(again, 200)
    request = again.request
    bench.check(expiry(request) == 0, f"a REGISTER that leaves asks for {expiry(request)} s")
    if not request.contact_star:
        bench.check(same_contacts(received.request, request), "it leaves with another Contact than it came")


@case(
    "SIP-REG-RT-007",
    "RFC 3261 §10.2",
    suite=SUITE,
    roles=UAC,
    rules=("A-REG-04",),
    purpose="One REGISTER after the other.",
    expects="No second one before the first is answered.",
)
async def one_register_at_a_time(bench: Bench) -> None:
    peer, received = await register(bench)
    await bench.trigger("reregister")
    await peer.silence(another_than(received), "before the REGISTER is answered", 3 * bench.options.t1)
    await welcome(peer, received)


@case(
    "SIP-REG-RT-008",
    "RFC 3608 §6.1",
    suite=SUITE,
    roles=UAC,
    rules=("A-REG-08", "B-REG-05"),
    purpose="A Service-Route is the way of all requests that follow.",
    expects="It stands in Route of the next OPTIONS, which comes by it; n/a to who has no Service-Route.",
)
async def service_route_is_used(bench: Bench) -> None:
    peer, received = await register(bench)
    route = f"sip:orig@{peer.sent_by};transport={peer.transport.lower()};lr"
    await welcome(peer, received, 600, [("Service-Route", f"<{route}>")])
    await bench.pause(bench.options.slack)
    _, probe = await bench.triggered("options")
    await peer.respond(probe, 200, [("Contact", peer.contact)])
    uris = [item.uri for item in probe.request.routes]
    if not uris:
        bench.not_applicable("the target has no Service-Route (RFC 3608 is an extension)")
    bench.check(
        any(uri.matches(Uri.parse(route)) for uri in uris),
        f"Route of the OPTIONS is {probe.request.headers.get('Route')}",
    )
