"""What the target says that it can, and what it refuses (:rfc:`3261#section-8.2`, :rfc:`3261#section-11.2`)."""

from __future__ import annotations

from dataclasses import replace

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import case
from gateway.lab.conformance.peer import Peer, Received, answers
from gateway.lab.conformance.rawdialog import RawDialog
from gateway.lab.conformance.sipsteps import UNKNOWN_TAG
from sipstack import ids
from sipstack.sip.grammar import split_list
from sipstack.sip.message import Request

SUITE = "sip.capabilities"
UAS = {"uas"}
ANY = {"uas", "registrar"}

NOT_OURS = (401, 403, 404, 407, 408, 480, 503)
"""Answers that come before the target looks at what a case is about."""


async def refused(bench: Bench, peer: Peer, invite: Request, wanted: int, why: str) -> Received | None:
    """Send an INVITE that has to be refused with ``wanted``; end calls that should not have been taken."""
    answer = await peer.exchange(invite)
    status = answer.response.status
    if status < 300:
        dialog = RawDialog.calling(peer, invite, answer.response)
        await dialog.send(dialog.ack())
        await dialog.hangup()
        bench.fail(f"{why} is taken with {status}, not refused with {wanted}")
    if status in NOT_OURS:
        bench.inconclusive(f"the target refuses the call with {status} before it looks at {why}")
    bench.check(status == wanted, f"{why} gets {answer}, not {wanted}")
    return answer


@case(
    "SIP-CAP-UAS-001",
    "RFC 3261 §11.2",
    suite=SUITE,
    roles=UAS,
    rules=("A-OPT-01", "A-OPT-02"),
    purpose="An OPTIONS is answered, and the answer tells what the target can.",
    expects="A final answer; in a 200 there should be Allow, Accept, Accept-Encoding, Accept-Language and Supported.",
)
async def options_tells_capabilities(bench: Bench) -> None:
    peer = await bench.sip.peer()
    options = peer.request("OPTIONS")
    answer = await peer.exchange(options)
    bench.check(answer.response.status not in (405, 501), f"an OPTIONS gets {answer}")
    if answer.response.is_success:
        names = ("Allow", "Accept", "Accept-Encoding", "Accept-Language", "Supported")
        missing = [name for name in names if name not in answer.response.headers]
        if missing:
            bench.remark(f"the 200 to OPTIONS has no {', '.join(missing)} (SHOULD)")


@case(
    "SIP-CAP-UAS-002",
    "RFC 3261 §11.2",
    suite=SUITE,
    roles=UAS,
    rules=("A-OPT-01", "A-UAS-03"),
    purpose="An OPTIONS is answered as a call would be: also to a user who does not exist.",
    expects="The same status for OPTIONS and INVITE to a made-up user.",
)
async def options_is_answered_like_a_call(bench: Bench) -> None:
    peer = await bench.sip.peer()
    nobody = replace(bench.target.uri, user=ids.token(64))
    options = await peer.exchange(peer.request("OPTIONS", nobody))
    invite = peer.request("INVITE", nobody, body=await bench.offer())
    answer = await peer.exchange(invite)
    if answer.response.is_success:
        dialog = RawDialog.calling(peer, invite, answer.response)
        await dialog.send(dialog.ack())
        await dialog.hangup()
    asked, called = options.response.status, answer.response.status
    bench.check(
        asked == called or (asked < 300 and called < 300),
        f"OPTIONS to a made-up user gets {asked}, INVITE gets {called}",
    )


@case(
    "SIP-CAP-UAS-003",
    "RFC 3261 §8.2.2.3",
    suite=SUITE,
    roles=UAS,
    rules=("A-UAS-05",),
    purpose="Who does not have what a request requires says so.",
    expects="420, and Unsupported names what is missing, and that only.",
)
async def unknown_extension_is_refused(bench: Bench) -> None:
    peer = await bench.sip.peer()
    options = peer.request("OPTIONS", headers=[("Require", f"{UNKNOWN_TAG}, x-another")])
    answer = await peer.exchange(options)
    if answer.response.status in NOT_OURS:
        bench.inconclusive(f"the target refuses with {answer} before it looks at Require")
    bench.check(answer.response.status == 420, f"an OPTIONS that requires what nobody has gets {answer}, not 420")
    named = {part.strip().lower() for part in answer.response.headers.get("Unsupported", "").split(",")}
    bench.check(
        named == {UNKNOWN_TAG, "x-another"}, f"Unsupported of the 420 is {', '.join(sorted(named)) or 'missing'}"
    )


@case(
    "SIP-CAP-UAS-004",
    "RFC 3261 §8.2.1",
    suite=SUITE,
    roles=UAS,
    rules=("A-UAS-02",),
    purpose="A method that nobody knows is refused, with a list of those that are.",
    expects="501 or 405; a 405 has Allow.",
)
async def unknown_method_is_refused(bench: Bench) -> None:
    peer = await bench.sip.peer()
    answer = await peer.exchange(peer.request("XUNHEARDOF"))
    status = answer.response.status
    if status in NOT_OURS:
        bench.inconclusive(f"the target refuses with {status} before it looks at the method")
    bench.check(status in (405, 501), f"a method that nobody knows gets {answer}, not 405 or 501")
    allowed = "Allow" in answer.response.headers
    bench.check(allowed or status == 501, "the 405 has no Allow")
    if not allowed:
        bench.remark("the 501 has no Allow (recommended in RFC 4475)")


@case(
    "SIP-CAP-UAS-005",
    "RFC 3261 §8.2.3",
    suite=SUITE,
    roles=UAS,
    rules=("A-UAS-06",),
    purpose="A body of a type that nobody knows is refused, with a list of those that are.",
    expects="415 with Accept.",
)
async def unknown_body_is_refused(bench: Bench) -> None:
    peer = await bench.sip.peer()
    invite = peer.request("INVITE", body=b"what is this?\r\n", content_type="application/x-nobody-knows")
    answer = await refused(bench, peer, invite, 415, "a body of an unknown type")
    if answer is not None:
        bench.check("Accept" in answer.response.headers, "the 415 has no Accept")


@case(
    "SIP-CAP-UAS-006",
    "RFC 3261 §8.2.3",
    suite=SUITE,
    roles=UAS,
    rules=("A-UAS-06", "A-MSG-26"),
    purpose="A body in an encoding that nobody knows is refused, with a list of those that are.",
    expects="415 with Accept-Encoding.",
)
async def unknown_encoding_is_refused(bench: Bench) -> None:
    peer = await bench.sip.peer()
    invite = peer.request("INVITE", headers=[("Content-Encoding", "x-squeezed")], body=await bench.offer())
    answer = await refused(bench, peer, invite, 415, "a body in an unknown encoding")
    if answer is not None:
        bench.check("Accept-Encoding" in answer.response.headers, "the 415 has no Accept-Encoding")


@case(
    "SIP-CAP-UAS-007",
    "RFC 3261 §8.2.3, RFC 5621 §8",
    suite=SUITE,
    roles=UAS,
    rules=("A-MSG-27",),
    purpose="A body that need not be understood is no reason to refuse.",
    expects="An OPTIONS with an optional body of an unknown type is answered as without it.",
)
async def optional_body_is_ignored(bench: Bench) -> None:
    peer = await bench.sip.peer()
    plain = await peer.exchange(peer.request("OPTIONS"))
    options = peer.request(
        "OPTIONS",
        headers=[("Content-Disposition", "x-decoration;handling=optional")],
        body=b"what is this?\r\n",
        content_type="application/x-nobody-knows",
    )
    answer = await peer.exchange(options)
    bench.check(answer.response.status == plain.response.status, f"an optional unknown body makes {plain} a {answer}")


@case(
    "SIP-CAP-UAS-008",
    "RFC 3261 §11.2",
    suite=SUITE,
    roles=UAS,
    rules=("A-OPT-02",),
    purpose="A body in the answer to OPTIONS is of a type that the asker takes.",
    expects="No body other than of the type in Accept.",
)
async def options_answer_heeds_accept(bench: Bench) -> None:
    peer = await bench.sip.peer()
    answer = await peer.exchange(peer.request("OPTIONS", headers=[("Accept", "text/x-nobody-writes")]))
    kind = answer.response.content_type
    bench.check(not answer.response.body, f"the answer to OPTIONS has a body of {kind}, which Accept does not name")


@case(
    "SIP-CAP-UAS-009",
    "RFC 3261 §11.2, §13.3.1.4",
    suite=SUITE,
    roles=UAS,
    rules=("A-OPT-03",),
    purpose="An OPTIONS makes no dialog, so its answer comes once.",
    expects="Nothing further after the answer.",
)
async def options_is_answered_once(bench: Bench) -> None:
    peer = await bench.sip.peer()
    options = peer.request("OPTIONS")
    await peer.send(options)
    await peer.final(options)
    await peer.silence(answers(options, least=200), "the answer to OPTIONS is repeated", 2 * bench.options.t1)


@case(
    "SIP-CAP-UAS-010",
    "RFC 3428 §7",
    suite=SUITE,
    roles=UAS,
    rules=("A-EXT-06",),
    purpose="A text by MESSAGE makes no dialog and carries nothing back.",
    expects="A final answer; a 2xx has neither Contact nor body.",
)
async def message_carries_nothing_back(bench: Bench) -> None:
    peer = await bench.sip.peer()
    answer = await peer.exchange(peer.request("MESSAGE", body=b"Are you there?", content_type="text/plain"))
    response = answer.response
    if response.status in (405, 415, 501):
        bench.not_applicable(f"the target takes no texts: {answer}")
    if response.is_success:
        bench.check("Contact" not in response.headers, "the 2xx to MESSAGE has a Contact")
        bench.check(not response.body, "the 2xx to MESSAGE has a body")


@case(
    "SIP-CAP-UAS-011",
    "RFC 3261 §8.2.6.2",
    suite=SUITE,
    roles=ANY,
    rules=("A-UAS-07",),
    purpose="An answer carries what tells which request it is for, unchanged.",
    expects="From, Call-ID and CSeq as they came, To with a tag added.",
)
async def answer_carries_what_came(bench: Bench) -> None:
    peer = await bench.sip.peer()
    options = peer.request(
        "OPTIONS",
        from_=f'"O\'Hara, \\"Di\\"" <{peer.identity};x=1>;tag={ids.tag()};x-odd=Value',
        call_id=f"{ids.token(32)}-CaSe@lab.example",
        cseq=4711,
    )
    response = (await peer.exchange(options)).response
    for name in ("Call-ID", "CSeq"):
        bench.check(
            response.headers.get(name) == options.headers.get(name), f"{name} came back as {response.headers.get(name)}"
        )
    bench.check(response.from_ == options.from_, f"From came back as {response.headers.get('From')}")
    bench.check(response.to.uri.matches(options.to.uri), f"To came back as {response.headers.get('To')}")
    bench.check(response.to.tag, f"the {response.status} has no To tag")


@case(
    "SIP-CAP-UAS-012",
    "RFC 3261 §8.2.6.2, §18.2.2",
    suite=SUITE,
    roles=ANY,
    rules=("A-UAS-07", "A-MSG-07"),
    purpose="An answer goes back the way that the request came.",
    expects="All Via values of the request, in its order.",
)
async def vias_come_back_in_order(bench: Bench) -> None:
    peer = await bench.sip.peer()
    further = [f"SIP/2.0/TCP p{number}.lab.example:5070;branch={ids.branch()};x={number}" for number in range(3)]
    options = peer.request(
        "OPTIONS", headers=[("Via", peer.via), ("Via", f"{further[0]}, {further[1]}"), ("Via", further[2])]
    )
    response = (await peer.exchange(options)).response
    came = [part for value in response.headers.get_all("Via") for part in split_list(value)]
    bench.check(len(came) == 4, f"four Vias went, {len(came)} came back")
    bench.check(
        [via.branch for via in response.vias] == [via.branch for via in options.vias],
        "the Vias came back in another order",
    )


@case(
    "SIP-CAP-UAC-001",
    "RFC 3261 §11.1, §8.1.1",
    suite=SUITE,
    roles={"uac"},
    rules=("A-OPT-02", "A-UAC-01"),
    purpose="The target asks for capabilities as every request is made.",
    expects="All mandatory headers, no To tag; there should be an Accept.",
)
async def options_of_the_target_is_sound(bench: Bench) -> None:
    peer, received = await bench.triggered("options")
    await peer.respond(received, 200, [("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS"), ("Contact", peer.contact)])
    request = received.request
    bench.check(received.fault is None, f"it does not parse: {received.fault}")
    for name in ("Via", "To", "From", "Call-ID", "CSeq", "Max-Forwards"):
        bench.check(request.headers.count(name) >= 1, f"OPTIONS has no {name}")
    bench.check(request.to.tag is None, "OPTIONS outside of a dialog has a To tag")
    bench.check(request.from_.tag, "OPTIONS has no From tag")
    if "Accept" not in request.headers:
        bench.remark("OPTIONS has no Accept (SHOULD)")


@case(
    "SIP-CAP-UAC-002",
    "RFC 3428 §4",
    suite=SUITE,
    roles={"uac"},
    rules=("A-EXT-06",),
    purpose="A text that the target sends makes no dialog.",
    expects="A MESSAGE without Contact, of at most 1300 octets by UDP.",
)
async def message_of_the_target_is_sound(bench: Bench) -> None:
    peer, received = await bench.triggered("message")
    await peer.respond(received, 200)
    request = received.request
    bench.check("Contact" not in request.headers, "the MESSAGE has a Contact")
    bench.check(request.to.tag is None, "the MESSAGE has a To tag")
    bench.check(received.flow.reliable or len(received.data) <= 1300, f"the MESSAGE has {len(received.data)} octets")
