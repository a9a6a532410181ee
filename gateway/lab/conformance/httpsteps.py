"""Steps that cases of the gateway role share: a guest over HTTP on one side, the raw core on the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, Any

from gateway.lab.conformance.bench import Bench, sdp
from gateway.lab.conformance.peer import Peer, Received, requests
from gateway.lab.conformance.sipside import Handler
from gateway.lab.guest import Guest, Refused
from sipstack.sip.message import Response

if TYPE_CHECKING:
    from gateway.lab.conformance.gatewaytarget import OwnGateway

INVITER = "sip:a@conformance.example"


def gateway_of(bench: Bench) -> OwnGateway:
    """Return the gateway that the runner has started; the case does not apply to others, whose core we are not."""
    if bench.target.gateway is None:
        bench.not_applicable("only a gateway that the runner starts has the runner as its core (--target gateway)")
    return bench.target.gateway


async def guest(bench: Bench) -> Guest:
    """Return a guest who is logged in; they log out behind the case."""
    known = await gateway_of(bench).new_guest()
    bench.later(lambda: _leave(known))
    return known


async def _leave(known: Guest) -> None:
    try:
        await known.logout()
    except Refused:
        return  # the case has ended the invitation


async def refused(bench: Bench, call: Awaitable[object], what: str) -> Refused:
    """Return the problem that an HTTP call has to be answered with."""
    try:
        answer = await call
    except Refused as problem:
        return problem
    bench.fail(f"{what} is answered with success: {answer}")


def answering(status: int, headers: tuple[tuple[str, str], ...] = ()) -> Handler:
    """Return what answers each request with one status."""

    async def answer(peer: Peer, received: Received) -> None:
        await peer.respond(received, status, headers)

    return answer


def check_problem(bench: Bench, problem: Refused, wanted: int, kind: str, code: int | None) -> None:
    """Compare a problem with the HTTP status, the type and the SIP code that it should have."""
    name = str(problem.problem.get("type", "")).rpartition("/")[2]
    bench.check(
        (problem.status, name) == (wanted, kind), f"HTTP says {problem.status} {name}, and {wanted} {kind} is right"
    )
    told: Any = problem.problem.get("sip") or {}
    bench.check(told.get("code") == code, f"the problem names the SIP code {told.get('code')}, not {code}")


async def taking(bench: Bench) -> tuple[Peer, Received, Response]:
    """Wait for the gateway's INVITE and take it with an MSRP answer; returns it and our 200."""
    peer = await bench.sip.listen()
    received = await peer.need(requests("INVITE"), "the gateway sends no INVITE", bench.options.answer_time)
    body = sdp(bench.sip.host, path=str(await bench.msrp.listen()), setup="passive")
    response = await peer.respond(received, 200, [("Contact", peer.contact)], body)
    await peer.need(requests("ACK", received.request.call_id), "the gateway does not acknowledge our 200")
    return peer, received, response


async def call_in(bench: Bench, method: str, known: Guest, **fields: Any) -> tuple[Peer, Received]:
    """Send a request to a guest from the inviter's device, and return its final answer."""
    peer = await bench.sip.peer()
    contact = gateway_of(bench).contacts[known.account]
    request = peer.request(method, contact, to=f"<{known.account}>", **fields)
    return peer, await peer.exchange(request)


async def begun(call: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Make an HTTP call while the case goes on."""
    task = asyncio.create_task(call)
    await asyncio.sleep(0)
    return task
