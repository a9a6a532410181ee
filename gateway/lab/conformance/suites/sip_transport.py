"""How messages come and go: framing of streams, and where answers are sent (:rfc:`3261#section-18`, :rfc:`3581`)."""

from __future__ import annotations

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import case
from gateway.lab.conformance.peer import Received, answers
from sipstack import ids
from sipstack.sip.message import Response

SUITE = "sip.transport"
ANY = {"uas", "registrar"}
STREAMS = ("TCP", "TLS")


@case(
    "SIP-TRN-001",
    "RFC 3261 §18.2.1, §18.2.2",
    suite=SUITE,
    roles=ANY,
    rules=("A-TRN-03", "A-TRN-04"),
    transports=("UDP",),
    purpose="An answer goes to where the request came from when the Via names another host.",
    expects="received with our address in the top Via, the answer at the port of the Via.",
)
async def received_is_added(bench: Bench) -> None:
    peer = await bench.sip.peer()
    host, port = peer.address
    via = f"SIP/2.0/UDP elsewhere.lab.example:{port};branch={ids.branch()}"
    request = peer.request("OPTIONS", headers=[("Via", via)])
    await peer.send(request)
    answer = await peer.expect(answers(request, least=200), "a request whose Via names another host gets no answer")
    received = answer.response.via.param("received")
    bench.check(received is not None and received.strip("[]") == host, f"received is {received}, we are at {host}")


@case(
    "SIP-TRN-002",
    "RFC 3581 §4",
    suite=SUITE,
    roles=ANY,
    rules=("A-TRN-06",),
    transports=("UDP",),
    purpose="Who asks for it by rport is answered at the port that they send from.",
    expects="The answer comes back to it from the address asked, with rport and received filled in.",
)
async def rport_is_filled_in(bench: Bench) -> None:
    peer, other = await bench.sip.peer(), await bench.sip.peer()
    via = f"SIP/2.0/UDP {other.sent_by};branch={ids.branch()};rport"
    request = peer.request("OPTIONS", headers=[("Via", via)])
    await peer.send(request)
    answer = await peer.receive(None, answers(request, least=200))
    if answer is None:
        elsewhere = await other.receive(0, answers(request, least=200))
        if elsewhere is None:
            bench.inconclusive("the target answers no OPTIONS")
        bench.not_applicable("the target has no rport (RFC 3581 is an extension)")
    top = answer.response.via
    bench.check(top.param("rport") == str(peer.address[1]), f"rport is {top.param('rport')!r}")
    bench.check(top.param("received"), "rport is filled in, but there is no received")
    bench.check(answer.flow.remote == bench.target.hop, f"the answer comes from {answer.flow.remote}")


@case(
    "SIP-TRN-003",
    "RFC 3261 §18.2.2",
    suite=SUITE,
    roles=ANY,
    rules=("A-TRN-04",),
    transports=STREAMS,
    purpose="An answer goes back on the connection that the request came by.",
    expects="It comes on that connection, though the Via names another port.",
)
async def answer_comes_on_the_connection(bench: Bench) -> None:
    peer, other = await bench.sip.peer(), await bench.sip.peer()
    via = f"SIP/2.0/{peer.transport} {other.sent_by};branch={ids.branch()}"
    request = peer.request("OPTIONS", headers=[("Via", via)])
    await peer.send(request)
    answer = await peer.expect(answers(request, least=200), "no answer comes on the connection of the request")
    bench.check(answer.flow == await peer.flow(), "the answer comes on a connection of its own")


@case(
    "SIP-TRN-004",
    "RFC 3261 §7.5",
    suite=SUITE,
    roles=ANY,
    rules=("A-MSG-19",),
    transports=STREAMS,
    purpose="Empty lines before a message mean nothing on a stream.",
    expects="A request behind two of them is answered.",
)
async def empty_lines_are_skipped(bench: Bench) -> None:
    peer = await bench.sip.peer()
    request = peer.request("OPTIONS")
    await peer.send(b"\r\n\r\n" + bytes(request))
    await peer.expect(answers(request, least=200), "a request behind empty lines gets no answer")


@case(
    "SIP-TRN-005",
    "RFC 3261 §18.3",
    suite=SUITE,
    roles=ANY,
    rules=("A-MSG-18",),
    transports=STREAMS,
    purpose="Content-Length, and nothing else, ends a message on a stream.",
    expects="Two requests that come in one piece are both answered.",
)
async def two_requests_in_one_piece(bench: Bench) -> None:
    peer = await bench.sip.peer()
    one, other = peer.request("OPTIONS"), peer.request("OPTIONS")
    await peer.send(bytes(one) + bytes(other))
    await peer.expect(answers(one, least=200), "of two requests in one piece the first gets no answer")
    await peer.expect(answers(other, least=200), "of two requests in one piece the second gets no answer")


@case(
    "SIP-TRN-006",
    "RFC 3261 §18.3",
    suite=SUITE,
    roles=ANY,
    rules=("A-MSG-18",),
    transports=STREAMS,
    purpose="A message may come in as many pieces as the network likes.",
    expects="A request in small pieces is answered once.",
)
async def request_in_many_pieces(bench: Bench) -> None:
    peer = await bench.sip.peer()
    request = peer.request("OPTIONS")
    octets = bytes(request)
    for start in range(0, len(octets), 16):
        await peer.send(octets[start : start + 16])
        await bench.pause(0.001)
    await peer.expect(answers(request, least=200), "a request that comes in pieces gets no answer")
    await peer.silence(
        answers(request, least=200), "a request that comes in pieces is answered twice", bench.options.slack
    )


@case(
    "SIP-TRN-007",
    "RFC 3261 §18.2.1",
    suite=SUITE,
    roles=ANY,
    rules=("A-TRN-02",),
    transports=("UDP",),
    purpose="Datagrams may be as long as UDP has them.",
    expects="An OPTIONS of 30 000 octets is answered.",
)
async def long_datagram_is_taken(bench: Bench) -> None:
    peer = await bench.sip.peer()
    request = peer.request("OPTIONS")
    for number in range(30):
        request.headers.add(f"X-Padding-{number}", "p" * 980)
    await peer.send(request)
    answer = await peer.expect(answers(request, least=200), "an OPTIONS of 30 000 octets gets no answer")
    if answer.response.status == 513:
        bench.remark("30 000 octets are too many for the target (513)")


@case(
    "SIP-TRN-008",
    "RFC 3261 §18.1.2, §8.1.3.3",
    suite=SUITE,
    roles={"uac"},
    rules=("A-UAC-07",),
    transports=("UDP",),
    purpose="A response with a second Via is not for whoever made the request.",
    expects="The target should go on repeating its OPTIONS.",
)
async def response_with_two_vias_is_dropped(bench: Bench) -> None:
    peer, received = await bench.triggered("options")
    wrong = Response.for_request(received.request, 200, to_tag=ids.tag())
    wrong.headers.add("Via", f"SIP/2.0/UDP 255.255.255.255;branch={ids.branch()}")
    await peer.send(wrong, received)
    await bench.pause(bench.options.slack)

    def copy(item: Received) -> bool:
        return bool(item.data) and item.data[:8] == b"OPTIONS " and item.request.call_id == received.request.call_id

    peer.queue[:] = [item for item in peer.queue if not copy(item)]
    if await peer.receive(9 * bench.options.t1, copy) is None:
        bench.remark("a response with two Vias is taken (SHOULD be discarded)")
    await peer.respond(received, 200)
