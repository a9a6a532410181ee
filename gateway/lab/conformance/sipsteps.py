"""Steps that SIP cases share: a call to the target, a call from it, what repeats and when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.peer import Match, Peer, Received, answers, requests
from gateway.lab.conformance.rawdialog import RawDialog
from sipstack import ids
from sipstack.flow import RELIABLE
from sipstack.sip.message import Request, Response
from sipstack.sip.uri import Uri

STRANGE_MEDIUM = b"m=x-strange 40002 x-proto/x-none 0\r\n"
"""A medium that nobody takes."""

STATELESS = (401, 407, 420)
"""Refusals that servers like to send without a transaction."""

Fields = Iterable[tuple[str, str]]

UNKNOWN_TAG = "x-no-such-extension"
"""An option tag that nobody supports: what requires it has to be refused with 420."""

LACKING = (405, 415, 420, 488, 501, 505, 606)
"""Answers by which a target says that it can't, rather than that it won't now."""


@dataclass(slots=True)
class Call:
    """A call that we made and the target took."""

    peer: Peer
    invite: Request
    answer: Received
    """Its first 2xx."""
    dialog: RawDialog

    @property
    def response(self) -> Response:
        """The 2xx."""
        return self.answer.response


@dataclass(slots=True)
class Visit:
    """A call that the target made and we took."""

    peer: Peer
    invite: Received
    response: Response
    """Our 2xx."""
    dialog: RawDialog
    ack: Received


# the target is called


async def invite(bench: Bench, headers: Fields = (), *, uri: Uri | str | None = None) -> tuple[Peer, Request]:
    """Return a new address of ours and a sound INVITE from it with an offer, not sent yet."""
    peer = await bench.sip.peer()
    return peer, peer.request("INVITE", uri, headers, await bench.offer())


async def call(bench: Bench, headers: Fields = (), *, ack: bool = True, offer: bool = True) -> Call:
    """Call the target; it has to take the call, else the case is inconclusive or does not apply.

    The call is ended behind the case. Without ``ack`` the 2xx is left unacknowledged.
    """
    peer = await bench.sip.peer()
    request = peer.request("INVITE", headers=headers, body=await bench.offer() if offer else b"")
    answer = await peer.exchange(request)
    need_success(bench, answer)
    dialog = RawDialog.calling(peer, request, answer.response)

    async def end() -> None:
        if not ack:
            await dialog.send(dialog.ack())
        await dialog.hangup()

    bench.later(end)
    if ack:
        await dialog.send(dialog.ack(body=b"" if offer else await bench.offer()))
    return Call(peer, request, answer, dialog)


def need_success(bench: Bench, answer: Received) -> None:
    """End the case unless the target took our call."""
    status = answer.response.status
    if status in LACKING:
        bench.not_applicable(f"the target answers our call with {status}")
    if status >= 300:
        bench.inconclusive(f"the target does not take our call: {status}")


async def refused_invite(bench: Bench) -> tuple[Peer, Request, Received]:
    """Send an INVITE that has to be refused, and return what refused it; no ACK is sent.

    First one whose offer nobody can take: what is refused for less may be refused without a transaction.
    """
    session = (await bench.offer()).partition(b"m=")[0]
    peer = await bench.sip.peer()
    hopeless = peer.request("INVITE", body=session + STRANGE_MEDIUM)
    needy = peer.request("INVITE", headers=[("Require", UNKNOWN_TAG)], body=await bench.offer())
    for request in (hopeless, needy):
        await peer.send(request)
        answer = await peer.need(
            answers(request, least=200), "the target does not answer an INVITE", bench.options.answer_time
        )
        if answer.response.status >= 300:
            return peer, request, answer
        dialog = RawDialog.calling(peer, request, answer.response)
        await dialog.send(dialog.ack())
        await dialog.hangup()
    bench.inconclusive("the target takes every call, also those that it has to refuse")


async def answers_without_state(bench: Bench, peer: Peer, request: Request, refusal: Received) -> bool:
    """Tell whether a refusal was sent without a transaction (:rfc:`3261#section-8.2.7`): repeated when asked only."""
    if refusal.response.status not in STATELESS:
        return False
    await peer.send(request)
    again = await peer.receive(None, answers(request, least=200))
    return again is not None and again.response.headers.get("To") == refusal.response.headers.get("To")


async def ringing(bench: Bench, headers: Fields = ()) -> tuple[Peer, Request, Received]:
    """Call a user who does not answer soon, and return the first provisional answer above 100, or the 100.

    The call is cancelled behind the case.
    """
    if bench.target.ringing is None:
        bench.not_applicable("nobody named a user who rings for a while (--ringing)")
    peer, request = await invite(bench, headers, uri=bench.target.ringing)
    await peer.send(request)
    answer = await peer.need(answers(request), "the target does not answer an INVITE")
    while answer.response.status == 100:
        further = await peer.receive(None, answers(request, least=101))
        if further is None:
            break
        answer = further
    if answer.response.status >= 200:
        if answer.response.status < 300:
            dialog = RawDialog.calling(peer, request, answer.response)
            await dialog.send(dialog.ack())
            bench.later(dialog.hangup)
        else:
            await peer.send(peer.ack(request, answer.response))
        bench.inconclusive(f"the user who should ring answers with {answer.response.status}")

    async def end() -> None:
        await peer.send(peer.cancel(request))
        refusal = await peer.receive(4 * bench.options.t1, answers(request, least=300))
        if refusal is not None:
            await peer.send(peer.ack(request, refusal.response))

    bench.later(end)
    return peer, request, answer


# the target calls


async def invited(bench: Bench) -> tuple[Peer, Received]:
    """Make the target call us. What it repeats before we answer is dropped when the case ends."""
    return await bench.triggered("invite")


async def taken(bench: Bench, headers: Fields = (), *, contact: str | None = None) -> Visit:
    """Make the target call us, and take the call with its ACK. It is ended behind the case."""
    peer, received = await invited(bench)
    response = await peer.respond(
        received, 200, [("Contact", contact or peer.contact), *headers], await bench.offer(setup="passive")
    )
    dialog = RawDialog.called(peer, received.request, response)
    call_id = received.request.call_id
    ack = await peer.need(requests("ACK", call_id), "the target does not acknowledge our 200")
    bench.later(dialog.hangup)
    return Visit(peer, received, response, dialog, ack)


async def refuse(peer: Peer, received: Received, status: int = 480) -> Response:
    """Refuse the target's INVITE and wait a moment for its ACK."""
    response = await peer.respond(received, status)
    await peer.receive(None, requests("ACK", received.request.call_id))
    return response


# what repeats


def repeats(bench: Bench) -> bool:
    """Tell whether the case's transport makes elements repeat what is not answered."""
    return bench.sip.transport not in RELIABLE


async def gather(bench: Bench, peer: Peer, match: Match, seconds: float) -> list[Received]:
    """Take everything that matches in the next ``seconds``."""
    found: list[Received] = []
    end = bench.now() + seconds
    while (left := end - bench.now()) > 0:
        received = await peer.receive(left, match)
        if received is not None:
            found.append(received)
    return found


def three_repeats(bench: Bench) -> float:
    """Return the seconds in which what is repeated after T1, 2·T1 and 4·T1 has come, and the next one has not."""
    return min(7.5 * bench.options.t1 + 2 * bench.options.slack, 14 * bench.options.t1)


def check_rhythm(bench: Bench, what: str, times: Sequence[float], intervals: Sequence[float]) -> None:
    """Fail unless there are that many ``intervals``, in units of T1, between the first of ``times`` and those after."""
    wanted = [interval * bench.options.t1 for interval in intervals]
    seen = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    told = ", ".join(f"{interval:.2f}" for interval in seen) or "never"
    bench.check(
        len(wanted) <= len(seen) <= len(wanted) + 2
        and all(abs(real - want) <= bench.options.tolerance(want) for real, want in zip(seen, wanted, strict=False)),
        f"{what} should be repeated after {', '.join(f'{want:.2f}' for want in wanted)} s, and is after {told}",
    )


def same_message(first: Received, second: Received) -> bool:
    """Tell whether two messages are one and the same, but for what a server on the way may add."""
    one, two = first.message, second.message
    if one is None or two is None:
        return False
    return one.start_line() == two.start_line() and all(
        one.headers.get(name) == two.headers.get(name) for name in ("Call-ID", "CSeq", "From", "To", "Contact")
    )


def tag() -> str:
    """Return a new tag."""
    return ids.tag()
