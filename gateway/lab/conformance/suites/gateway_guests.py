"""How a guest's HTTP calls become SIP: login, status, logout."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import Case, case
from gateway.lab.conformance.httpsteps import (
    INVITER,
    answering,
    begun,
    gateway_of,
    guest,
    refused,
)
from gateway.lab.conformance.peer import requests
from gateway.lab.guest import Guest, Refused

GATEWAY = {"gateway"}
CHAT = '<sip:a@192.0.2.1>;+g.oma.sip-im;+g.3gpp.icsi-ref="urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.session"'

STATUSES: dict[str, tuple[int, tuple[tuple[str, str], ...], str]] = {
    "001": (200, (("Contact", CHAT),), "online"),
    "002": (200, (("Contact", CHAT + ";automata"),), "offline"),
    "003": (200, (("Contact", "<sip:a@192.0.2.1>"),), "not-rcs"),
    "004": (480, (), "offline"),
    "005": (408, (), "offline"),
    "006": (404, (), "not-rcs"),
    "007": (604, (), "not-rcs"),
    "008": (403, (), "unknown"),
    "009": (500, (), "unknown"),
    "010": (503, (), "not-reachable"),
}
"""What OPTIONS is answered with → what the guest is told."""


@case(
    "GW-LOG-001",
    "RFC 3261 §10.2, TS 24.229 §5.1.1",
    suite="gateway.login",
    roles=GATEWAY,
    rules=("A-REG-01", "B-REG-01"),
    purpose="A login over HTTP registers the guest at the core.",
    expects="REGISTER for the account, and no answer to HTTP before the answer to it.",
)
async def login_registers(bench: Bench) -> None:
    gateway = gateway_of(bench)
    known = await gateway.invited()
    peer = await bench.sip.listen()
    bench.sip.hand_over("REGISTER")
    login = await begun(known.login())
    received = await peer.need(requests("REGISTER"), "a login sends no REGISTER", bench.options.answer_time)
    request = received.request
    bench.check(request.to.uri.aor == known.account, f"the REGISTER is for {request.to.uri.aor}, not {known.account}")
    bench.check("@" not in request.uri_text, f"its Request-URI {request.uri_text} is no domain")
    bench.check(not login.done(), "HTTP is answered before REGISTER is")
    contact = request.contacts[0].uri
    gateway.contacts[known.account] = contact
    await peer.respond(received, 200, [("Contact", f"<{contact}>;expires=3600")])
    answer = await login
    bench.check(answer["account"] == known.account, "the login answer names another account")
    await leave(bench, known)


async def leave(bench: Bench, known: Guest) -> None:
    """Log out, and let the runner answer what that sends."""
    bench.sip.answer_in_case("REGISTER", answering(200))
    bench.later(lambda: _logout(known))


async def _logout(known: Guest) -> None:
    try:
        await known.logout()
    except Refused:
        return


@case(
    "GW-LOG-002",
    "RFC 9110 §15, E-MAP-01",
    suite="gateway.login",
    roles=GATEWAY,
    rules=("E-MAP-01",),
    purpose="A core that refuses the account is no fault of the guest's.",
    expects="A problem of the 5xx class or 403, which names the SIP code.",
)
async def login_that_the_core_refuses(bench: Bench) -> None:
    gateway = gateway_of(bench)
    known = await gateway.invited()
    bench.sip.answer_in_case("REGISTER", answering(403))
    problem = await refused(bench, known.login(), "a login that the core refuses with 403")
    bench.check(problem.status != 401, "the guest is told 401, as if the secret were wrong")
    told = problem.problem.get("sip") or {}
    bench.check(told.get("code") == 403, f"the problem names the SIP code {told.get('code')}, not 403")


@case(
    "GW-LOG-003",
    "RFC 9110 §15.5.2",
    suite="gateway.login",
    roles=GATEWAY,
    purpose="A wrong secret opens nothing, and nothing is sent to the core for it.",
    expects="401, and no REGISTER.",
)
async def login_with_a_wrong_secret(bench: Bench) -> None:
    gateway = gateway_of(bench)
    known = await gateway.invited()
    peer = await bench.sip.listen()
    bench.sip.hand_over("REGISTER")
    stranger = Guest(gateway.url, known.account, "wrong-" * 4)
    async with stranger:
        problem = await refused(bench, stranger.login(), "a login with a wrong secret")
    bench.check(problem.status == 401, f"a wrong secret is answered with {problem.status}, not 401")
    await peer.silence(requests("REGISTER"), "a REGISTER is sent for it", 2 * bench.options.t1)


@case(
    "GW-LOG-004",
    "RFC 3261 §10.2.2, §15",
    suite="gateway.login",
    roles=GATEWAY,
    rules=("A-REG-05",),
    purpose="A logout takes the registration back before it is answered.",
    expects="REGISTER with an expiry of 0 for the same Contact, then 204; no further call is let in.",
)
async def logout_deregisters(bench: Bench) -> None:
    gateway = gateway_of(bench)
    known = await gateway.new_guest()
    contact = gateway.contacts[known.account]
    peer = await bench.sip.listen()
    bench.sip.hand_over("REGISTER")
    leaving = await begun(known.logout())
    received = await peer.need(requests("REGISTER"), "a logout sends no REGISTER", bench.options.answer_time)
    request = received.request
    expires = request.contacts[0].param("expires") or str(request.expires)
    bench.check(expires == "0", f"the REGISTER asks for {expires} s")
    bench.check(request.contacts[0].uri == contact, "it takes back another Contact")
    bench.check(not leaving.done(), "HTTP is answered before REGISTER is")
    await peer.respond(received, 200)
    await leaving
    problem = await refused(bench, known.status(INVITER), "a status call behind the logout")
    bench.check(problem.status in (401, 410), f"a call behind the logout gets {problem.status}")


def status_case(number: str, status: int, headers: tuple[tuple[str, str], ...], wanted: str) -> Case:
    """Return the case for one row of :data:`STATUSES`."""

    async def status_of_the_inviter(bench: Bench) -> None:
        known = await guest(bench)
        bench.sip.answer_in_case("OPTIONS", answering(status, headers))
        answer = await until_probed(bench, lambda: known.status(INVITER), status, wanted)
        bench.check(answer["status"] == wanted, f"OPTIONS gets {status}, and the guest is told {answer['status']}")
        told = answer.get("cause") or {}
        bench.check(told.get("code") == status, f"the answer names the SIP code {told.get('code')}, not {status}")
        services = answer["services"]
        bench.check(wanted != "online" or "im" in services, f"the chat tag is there, but not the service: {services}")

    words = " with the chat tag" if headers and "oma" in headers[0][1] else " without feature tags" if headers else ""
    return case(
        f"GW-STA-{number}",
        "RCC.07 §2.6, RFC 3261 §11",
        suite="gateway.status",
        roles=GATEWAY,
        rules=("B-CAP-05",),
        purpose=f"An inviter whose OPTIONS is answered by {status}{words} is {wanted}.",
        expects=f"Status {wanted} with the SIP code {status}.",
    )(status_of_the_inviter)


async def until_probed(
    bench: Bench, ask: Callable[[], Awaitable[dict[str, Any]]], status: int, wanted: str
) -> dict[str, Any]:
    """Ask until the gateway has probed the inviter again: it does so once for all guests, and not at every call."""
    end = bench.now() + bench.options.answer_time + 2
    while True:
        answer = await ask()
        told = answer.get("cause") or {}
        if (told.get("code") == status and answer["status"] == wanted) or bench.now() > end:
            return answer
        await bench.pause(0.2)


CASES = [status_case(number, *row) for number, row in STATUSES.items()]


@case(
    "GW-STA-020",
    "RFC 9110 §15.5.4",
    suite="gateway.status",
    roles=GATEWAY,
    purpose="Nobody learns of the status of somebody who has not invited them.",
    expects="403, and no OPTIONS.",
)
async def status_of_a_stranger(bench: Bench) -> None:
    known = await guest(bench)
    peer = await bench.sip.listen()
    problem = await refused(bench, known.status("sip:stranger@conformance.example"), "the status of a stranger")
    bench.check(problem.status == 403, f"the status of a stranger is answered with {problem.status}, not 403")
    await peer.silence(
        lambda item: requests("OPTIONS")(item) and "stranger" in item.request.uri_text,
        "OPTIONS is sent to the stranger",
        2 * bench.options.t1,
    )
