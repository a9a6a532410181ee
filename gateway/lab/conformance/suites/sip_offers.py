"""Offers and answers (:rfc:`3264`) with the target called, reliable provisional answers and session timers."""

from __future__ import annotations

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import case
from gateway.lab.conformance.peer import Peer, Received, answers
from gateway.lab.conformance.rawdialog import RawDialog
from gateway.lab.conformance.sipsteps import STRANGE_MEDIUM, Call, call, gather, need_success, ringing
from sipstack.errors import ParseError
from sipstack.sip.grammar import parse_number
from sipstack.sip.message import Request, Response

SUITE = "sip.offers"
UAS = {"uas"}

SDP_ORDER = "vosiuepcbtrzka"
"""Order of the lines of a session; media come behind (:rfc:`4566#section-5`)."""


def described(bench: Bench, response: Response) -> list[str]:
    """Return the lines of the description in a 2xx; fail when there is none that can be read."""
    kind = response.content_type
    bench.check(response.body, "the 2xx has no description")
    bench.check(
        kind is not None and (kind.type, kind.subtype) == ("application", "sdp"),
        f"the body of the 2xx is {kind}, not application/sdp",
    )
    lines = response.body.decode("utf-8", "replace").split("\r\n")
    bench.check(lines[-1] == "", "the description does not end with CRLF")
    return lines[:-1]


def media(lines: list[str]) -> list[str]:
    """Return the m-lines."""
    return [line for line in lines if line.startswith("m=")]


async def offered(bench: Bench, body: bytes) -> Call:
    """Call the target with an offer of our own."""
    peer = await bench.sip.peer()
    invite = peer.request("INVITE", body=body)
    answer = await peer.exchange(invite)
    need_success(bench, answer)
    dialog = RawDialog.calling(peer, invite, answer.response)
    bench.later(dialog.hangup)
    await dialog.send(dialog.ack())
    return Call(peer, invite, answer, dialog)


@case(
    "SIP-SDP-UAS-001",
    "RFC 3264 §6",
    suite=SUITE,
    roles=UAS,
    rules=("A-OA-01",),
    purpose="An answer has a line for each medium of the offer, in its order.",
    expects="As many m-lines as offered, each of the medium and protocol offered; port 0 for what nobody knows.",
)
async def answer_has_all_media(bench: Bench) -> None:
    offer = await bench.offer() + STRANGE_MEDIUM
    made = await offered(bench, offer)
    asked, got = media(offer.decode().split("\r\n")), media(described(bench, made.response))
    bench.check(len(got) == len(asked), f"{len(asked)} media were offered, the answer has {len(got)}")
    for one, other in zip(asked, got, strict=True):
        bench.check(one.split()[0] == other.split()[0], f"{one!r} is answered with {other!r}")
    bench.check(got[-1].split()[1] == "0", f"a medium that nobody knows is answered with {got[-1]!r}, not with port 0")


@case(
    "SIP-SDP-UAS-002",
    "RFC 3264 §6.1",
    suite=SUITE,
    roles=UAS,
    rules=("A-OA-01",),
    purpose="A medium that is taken is taken as it was offered.",
    expects="The protocol of the m-line in the answer is that of the offer.",
)
async def answer_keeps_the_protocol(bench: Bench) -> None:
    made = await call(bench)
    asked = media(made.invite.body.decode().split("\r\n"))
    got = media(described(bench, made.response))
    bench.check(got, "the answer has no media")
    bench.check(
        got[0].split()[2:3] == asked[0].split()[2:3], f"{asked[0]!r} is answered with {got[0]!r}: another protocol"
    )


@case(
    "SIP-SDP-UAS-003",
    "RFC 4566 §5, RFC 3264 §5",
    suite=SUITE,
    roles=UAS,
    rules=("A-OA-04",),
    purpose="A description has the lines that it must have, in the order that it must have them.",
    expects="v=0, o=, s=, t=; c= for the session or each medium; the order of RFC 4566.",
)
async def answer_is_a_sound_description(bench: Bench) -> None:
    made = await call(bench)
    lines = described(bench, made.response)
    bench.check(all(line[1:2] == "=" for line in lines), "a line of the description is no letter and '='")
    first = next((index for index, line in enumerate(lines) if line.startswith("m=")), len(lines))
    session = [line[0] for line in lines[:first]]
    bench.check(lines[0] == "v=0", f"the description begins with {lines[0]!r}")
    for letter in "ost":
        bench.check(letter in session, f"the description has no {letter}=")
    ranks = [SDP_ORDER.find(letter) for letter in session if letter not in "tr"]
    bench.check(min(ranks) >= 0 and ranks == sorted(ranks), f"the session has its lines as {''.join(session)}")
    origin = lines[1][2:].split(" ")
    bench.check(len(origin) == 6, f"{lines[1]!r} has {len(origin)} parts instead of six")
    bench.check(origin[1].isdigit() and origin[2].isdigit(), f"session and version in {lines[1]!r} are no numbers")
    if "c" not in session:
        live = [part for part in "\n".join(lines[first:]).split("m=")[1:] if part.split()[1] != "0"]
        bench.check(all("\nc=" in part for part in live), "there is no c= for the session, and a medium has none")


@case(
    "SIP-SDP-UAS-004",
    "RFC 3264 §6",
    suite=SUITE,
    roles=UAS,
    rules=("A-OA-04",),
    purpose="An answer says nothing of its own about times.",
    expects="The t= of the offer.",
)
async def answer_keeps_the_times(bench: Bench) -> None:
    made = await call(bench)
    lines = described(bench, made.response)
    bench.check("t=0 0" in lines, f"t= of the answer is {[line for line in lines if line.startswith('t=')]}")


@case(
    "SIP-SDP-UAS-005",
    "RFC 3261 §13.2.1, §14.2",
    suite=SUITE,
    roles=UAS,
    rules=("A-OA-03",),
    purpose="Whoever is called without an offer makes one.",
    expects="A description in the 2xx to an INVITE without a body.",
)
async def call_without_offer_gets_one(bench: Bench) -> None:
    made = await call(bench, offer=False)
    bench.check(media(described(bench, made.response)), "the offer in the 2xx has no media")


@case(
    "SIP-SDP-UAS-006",
    "RFC 3264 §8, RFC 4566 §5.2",
    suite=SUITE,
    roles=UAS,
    rules=("A-OA-02",),
    purpose="A session keeps its name in o= as long as it lasts.",
    expects="The second answer has the same user, session and address in o=; version and text change together.",
)
async def second_answer_names_the_same_session(bench: Bench) -> None:
    made = await call(bench)
    before = described(bench, made.response)
    invite = made.dialog.request("INVITE", body=made.invite.body)
    answer = await made.peer.exchange(invite)
    if not answer.response.is_success:
        bench.inconclusive(f"an INVITE that changes nothing gets {answer}")
    await made.dialog.send(made.dialog.ack(invite.cseq.number))
    after = described(bench, answer.response)
    old, new = before[1].split(" "), after[1].split(" ")
    bench.check(old[:2] + old[3:] == new[:2] + new[3:], f"{before[1]!r} has become {after[1]!r}: another session")
    if old[2] == new[2]:
        bench.check(before == after, "the description has changed, its version has not")


@case(
    "SIP-REL-UAS-001",
    "RFC 3262 §3",
    suite=SUITE,
    roles=UAS,
    rules=("A-PRK-01",),
    purpose="Provisional answers are reliable for those only who know what that is.",
    expects="Neither RSeq nor Require: 100rel in an answer to an INVITE that does not say 100rel.",
)
async def provisional_answers_are_plain_unless_asked(bench: Bench) -> None:
    _, _, early = await ringing(bench)
    bench.check("RSeq" not in early.response.headers, f"{early} has RSeq, though nobody said 100rel")
    bench.check("100rel" not in early.response.require, f"{early} requires 100rel, though nobody said so")


@case(
    "SIP-REL-UAS-002",
    "RFC 3262 §3",
    suite=SUITE,
    roles=UAS,
    rules=("A-PRK-01", "A-PRK-02", "A-PRK-03", "A-PRK-05"),
    purpose="A caller who requires 100rel gets reliable provisional answers, or is told that there are none.",
    expects="420 with Unsupported: 100rel, or RSeq and Require: 100rel in each answer from 101 to 199, repeated until "
    "the PRACK, which gets 200.",
)
async def required_reliability_is_had_or_refused(bench: Bench) -> None:
    peer = await bench.sip.peer()
    uri = bench.target.ringing or bench.target.uri
    invite = peer.request("INVITE", uri, [("Require", "100rel"), ("Supported", "100rel")], await bench.offer())
    await peer.send(invite)
    early = await peer.need(answers(invite, least=101), "an INVITE that requires 100rel gets no answer")
    response = early.response
    if response.status >= 200:
        await settle(bench, peer, invite, early)
        return
    bench.check("RSeq" in response.headers, f"{early} has no RSeq, though 100rel was required")
    bench.check("100rel" in response.require, f"{early} lacks Require: 100rel")
    again = await gather(bench, peer, answers(invite, least=101), 3.5 * bench.options.t1 + bench.options.slack)
    bench.check(again, f"a reliable {response.status} without PRACK is not repeated")
    dialog = RawDialog.calling(peer, invite, response)
    number = response.headers.get("RSeq", "0")
    wrong = await peer.exchange(dialog.request("PRACK", [("RAck", f"{int(number) + 50} {invite.cseq}")]))
    bench.check(wrong.response.status == 481, f"a PRACK for nothing gets {wrong}, not 481")
    right = await peer.exchange(dialog.request("PRACK", [("RAck", f"{number} {invite.cseq}")]))
    bench.check(right.response.is_success, f"a PRACK that fits gets {right}")
    await bench.pause(bench.options.slack)
    peer.queue[:] = [item for item in peer.queue if not (answers(invite)(item) and item.data == early.data)]
    await peer.silence(lambda item: item.data == early.data, "after its PRACK the target sends", 8 * bench.options.t1)
    bench.later(dialog.hangup)


async def settle(bench: Bench, peer: Peer, invite: Request, final: Received) -> None:
    """An INVITE that required 100rel was answered at once: 420 has to name it, a 2xx needs no provisional answer."""
    response = final.response
    if response.is_success:
        dialog = RawDialog.calling(peer, invite, response)
        await dialog.send(dialog.ack())
        bench.later(dialog.hangup)
        return
    await peer.send(peer.ack(invite, response))
    if response.status == 420:
        named = response.headers.get("Unsupported", "")
        bench.check("100rel" in named.lower(), f"Unsupported of the 420 is {named!r}")
    else:
        need_success(bench, final)


@case(
    "SIP-STM-UAS-001",
    "RFC 4028 §9",
    suite=SUITE,
    roles=UAS,
    rules=("A-STM-02", "A-STM-03"),
    purpose="Who agrees on a session timer says for how long and who refreshes, and never longer than asked.",
    expects="Session-Expires in the 2xx of at most what was asked, with a refresher; Require: timer when that is the "
    "caller. No session timer at all is fine, too.",
)
async def session_timer_is_agreed_on(bench: Bench) -> None:
    made = await call(bench, [("Supported", "timer"), ("Session-Expires", "1800")])
    value = made.response.headers.get("Session-Expires")
    if value is None:
        bench.not_applicable("the target wants no session timer")
    text, _, parameters = value.partition(";")
    bench.check(text.strip().isdigit(), f"Session-Expires is {value!r}")
    bench.check(int(text) <= 1800, f"Session-Expires is {value!r}, more than the 1800 asked for")
    refresher = dict(part.strip().lower().partition("=")[::2] for part in parameters.split(";")).get("refresher")
    bench.check(refresher in ("uac", "uas"), f"Session-Expires {value!r} does not say who refreshes")
    if refresher == "uac":
        bench.check("timer" in made.response.require, "we are to refresh, but the 2xx lacks Require: timer")


@case(
    "SIP-STM-UAS-002",
    "RFC 4028 §5, §9",
    suite=SUITE,
    roles=UAS,
    rules=("A-STM-02",),
    purpose="Whoever finds a session timer too short says what it takes.",
    expects="422 with Min-SE of 90 or more for Session-Expires: 90; taking the call is fine, too.",
)
async def too_short_a_timer_is_explained(bench: Bench) -> None:
    peer = await bench.sip.peer()
    headers = [("Supported", "timer"), ("Session-Expires", "90")]
    invite = peer.request("INVITE", headers=headers, body=await bench.offer())
    answer = await peer.exchange(invite)
    if answer.response.is_success:
        dialog = RawDialog.calling(peer, invite, answer.response)
        await dialog.send(dialog.ack())
        bench.later(dialog.hangup)
        return
    if answer.response.status != 422:
        need_success(bench, answer)
    try:
        least = parse_number(answer.response.headers.get("Min-SE", "").partition(";")[0].strip(), "Min-SE")
    except ParseError:
        bench.fail("a 422 has no Min-SE")
    bench.check(least >= 90, f"Min-SE of the 422 is {least}, below 90")
