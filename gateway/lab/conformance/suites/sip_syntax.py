"""Ways to write one and the same message (:rfc:`3261#section-7.3`, :rfc:`3261#section-25`)."""

from __future__ import annotations

import re
from collections.abc import Callable

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import case
from gateway.lab.conformance.peer import answers

SUITE = "sip.parsing.syntax"
ANY = {"uas", "registrar"}

Rewrite = Callable[[bytes], bytes]


async def understood(bench: Bench, rewrite: Rewrite, what: str) -> None:
    """Send an OPTIONS as it is and rewritten: both have to be answered alike."""
    peer = await bench.sip.peer()
    plain = await peer.exchange(peer.request("OPTIONS"))
    request = peer.request("OPTIONS")
    await peer.send(rewrite(bytes(request)))
    answer = await peer.expect(answers(request, least=200), f"{what} gets no answer")
    bench.check(
        answer.response.status == plain.response.status, f"{what} gets {answer}, and {plain} when written plainly"
    )


def renamed(names: dict[str, str]) -> Rewrite:
    """Return what gives header fields other names."""

    def rewrite(octets: bytes) -> bytes:
        for name, other in names.items():
            octets = octets.replace(f"\r\n{name}:".encode(), f"\r\n{other}:".encode())
        return octets

    return rewrite


@case(
    "SIP-PAR-001",
    "RFC 3261 §7.3.3, §20",
    suite=SUITE,
    roles=ANY,
    rules=("A-MSG-11",),
    purpose="Compact names of header fields mean what the long ones mean.",
    expects="The same status as for the long names.",
)
async def compact_names_are_understood(bench: Bench) -> None:
    names = {"Via": "v", "From": "f", "To": "t", "Call-ID": "i", "Contact": "m", "Content-Length": "l"}
    await understood(bench, renamed(names), "a request with compact names")


@case(
    "SIP-PAR-002",
    "RFC 3261 §7.3.1",
    suite=SUITE,
    roles=ANY,
    rules=("A-MSG-05",),
    purpose="Names of header fields are not case-sensitive.",
    expects="The same status as for the usual names.",
)
async def names_in_any_case_are_understood(bench: Bench) -> None:
    names = {
        "Via": "vIA",
        "From": "FROM",
        "To": "tO",
        "Call-ID": "call-id",
        "CSeq": "cSEQ",
        "Max-Forwards": "MAX-forwards",
    }
    await understood(bench, renamed(names), "a request with names in other case")


@case(
    "SIP-PAR-003",
    "RFC 3261 §7.3.1",
    suite=SUITE,
    roles=ANY,
    rules=("A-MSG-04",),
    purpose="A line that begins with white space goes on with the one before.",
    expects="The same status as for one line.",
)
async def folded_lines_are_understood(bench: Bench) -> None:
    def fold(octets: bytes) -> bytes:
        return octets.replace(b";tag=", b"\r\n \t;tag=", 1).replace(b"\r\nCSeq: 1 ", b"\r\nCSeq:\r\n 1\r\n\t", 1)

    await understood(bench, fold, "a request with folded lines")


@case(
    "SIP-PAR-004",
    "RFC 3261 §7.3.1, §25.1 (HCOLON)",
    suite=SUITE,
    roles=ANY,
    rules=("A-MSG-06",),
    purpose="White space may stand before and behind the colon of a header field.",
    expects="The same status as without.",
)
async def white_space_around_colons_is_understood(bench: Bench) -> None:
    def space(octets: bytes) -> bytes:
        return re.sub(rb"\r\n(From|To|CSeq|Call-ID|Max-Forwards): ", rb"\r\n\1 \t:\t ", octets)

    await understood(bench, space, "a request with white space before its colons")


@case(
    "SIP-PAR-005",
    "RFC 3261 §8.2.2, §20, §7.3.2",
    suite=SUITE,
    roles=ANY,
    rules=("A-MSG-12", "A-MSG-13"),
    purpose="Header fields that nobody knows, or that mean nothing here, are passed over.",
    expects="The same status as without them.",
)
async def unknown_header_fields_are_passed_over(bench: Bench) -> None:
    more = b'\r\nX-Nobody-Knows: ;;,=<"\r\nMin-Expires: 7\r\nRetry-After: 5 (in a request)\r\nCSeq:'
    await understood(
        bench, lambda octets: octets.replace(b"\r\nCSeq:", more, 1), "a request with unknown header fields"
    )


@case(
    "SIP-PAR-006",
    "RFC 3261 §7.1",
    suite=SUITE,
    roles=ANY,
    rules=("A-MSG-01",),
    purpose="The version of the protocol is not case-sensitive.",
    expects="sip/2.0 is taken as SIP/2.0.",
)
async def version_in_lower_case_is_understood(bench: Bench) -> None:
    await understood(bench, lambda octets: octets.replace(b" SIP/2.0\r\n", b" sip/2.0\r\n", 1), "a request of sip/2.0")


@case(
    "SIP-PAR-007",
    "RFC 3261 §7.1, §25.1",
    suite=SUITE,
    roles={"uas"},
    rules=("A-MSG-01",),
    purpose="Methods are case-sensitive.",
    expects="invite is a method that nobody knows: no call.",
)
async def method_in_lower_case_is_another_method(bench: Bench) -> None:
    peer = await bench.sip.peer()
    request = peer.request("invite", body=await bench.offer())
    await peer.send(request)
    answer = await peer.need(answers(request, least=101), "a method in lower case gets no answer")
    bench.check(answer.response.status >= 300, f"the method 'invite' is taken as INVITE: {answer}")


@case(
    "SIP-PAR-008",
    "RFC 3261 §20.14, §18.3",
    suite=SUITE,
    roles=ANY,
    rules=("A-MSG-17",),
    transports=("UDP",),
    purpose="A datagram needs no Content-Length.",
    expects="The same status as with one.",
)
async def datagram_without_length_is_understood(bench: Bench) -> None:
    def without(octets: bytes) -> bytes:
        return re.sub(rb"\r\nContent-Length: \d+", b"", octets)

    await understood(bench, without, "a datagram without Content-Length")


@case(
    "SIP-PAR-009",
    "RFC 3261 §19.1.4, §8.2.6.2",
    suite=SUITE,
    roles=ANY,
    rules=("A-MSG-09",),
    purpose="Without brackets a parameter behind From is the header's: the tag is a tag.",
    expects="The same status as with brackets.",
)
async def addresses_without_brackets_are_understood(bench: Bench) -> None:
    def bare(octets: bytes) -> bytes:
        return re.sub(rb"\r\nFrom: <([^>;]*)>", rb"\r\nFrom: \1", octets)

    await understood(bench, bare, "a From without brackets")


@case(
    "SIP-PAR-010",
    "RFC 3261 §8.1.1.5, §20.16",
    suite=SUITE,
    roles=ANY,
    rules=("A-MSG-21",),
    purpose="CSeq may be as high as 2^31-1.",
    expects="The same status as for 1, with the CSeq unchanged.",
)
async def high_cseq_is_understood(bench: Bench) -> None:
    peer = await bench.sip.peer()
    plain = await peer.exchange(peer.request("OPTIONS"))
    request = peer.request("OPTIONS", cseq=2**31 - 1)
    answer = await peer.exchange(request)
    bench.check(answer.response.status == plain.response.status, f"CSeq 2^31-1 gets {answer}")
    bench.check(answer.response.cseq == request.cseq, f"CSeq came back as {answer.response.headers.get('CSeq')}")


@case(
    "SIP-PAR-011",
    "RFC 3261 §7.3.1",
    suite=SUITE,
    roles=ANY,
    rules=("A-MSG-07", "A-MSG-08"),
    purpose="Values of one kind may stand in one line or in several.",
    expects="Require in two lines is refused for both of its tags.",
)
async def several_lines_are_one_list(bench: Bench) -> None:
    peer = await bench.sip.peer()
    request = peer.request("OPTIONS")
    request.headers.add("Require", "x-no-such-one")
    request.headers.add("Require", "x-no-such-two")
    answer = await peer.exchange(request)
    if answer.response.status != 420:
        bench.not_applicable(f"the target does not look at Require: {answer}")
    named = {part.strip() for value in answer.response.headers.get_all("Unsupported") for part in value.split(",")}
    wanted = {"x-no-such-one", "x-no-such-two"}
    bench.check(named >= wanted, f"Unsupported leaves out {', '.join(sorted(wanted - named))}")
