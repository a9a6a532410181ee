"""Being the registrar of a target: its REGISTER, challenges to it, and whether it answers them right."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.peer import Peer, Received, requests
from gateway.lab.conformance.verdict import NotApplicable
from sipstack import ids
from sipstack.errors import ParseError
from sipstack.sip.digest_hash import compute_ha1, digest_response
from sipstack.sip.message import Request
from sipstack.sip.values import parse_auth_params

REALM = "conformance.lab.example"

DEFAULT_SECONDS = 3600

BRIEF = 4
"""Seconds of a binding that is to be refreshed while we look."""


async def register(bench: Bench) -> tuple[Peer, Received]:
    """Make the target register with us. Credentials that it still has from before are no matter of this."""
    return await bench.triggered("register")


async def welcome(
    peer: Peer, received: Received, seconds: int = DEFAULT_SECONDS, headers: Iterable[tuple[str, str]] = ()
) -> None:
    """Take a REGISTER: 200 with the binding that it asks for. ``headers`` come before it."""
    given = [("Contact", f"<{contact.uri}>;expires={seconds}") for contact in received.request.contacts]
    await peer.respond(received, 200, [*headers, *given])


async def refreshed(bench: Bench, peer: Peer, received: Received) -> Received:
    """Take a REGISTER for a few seconds, and return the one that refreshes it, asked for where that can be done."""
    await welcome(peer, received, BRIEF)
    await bench.pause(bench.options.slack)
    with contextlib.suppress(NotApplicable):  # then it has to come by itself
        await bench.trigger("reregister")
    branch = received.request.via.branch
    return await peer.need(
        lambda item: requests("REGISTER")(item) and item.request.via.branch != branch,
        f"a binding of {BRIEF} s is not refreshed",
        BRIEF + bench.options.patience,
    )


def realm(bench: Bench) -> str:
    """Return the realm in which the target has credentials."""
    given = bench.options.credentials
    return (given.realm if given is not None else None) or REALM


def nonce() -> str:
    """Return a new nonce."""
    return ids.token(96)


def digest_challenge(bench: Bench, **fields: str) -> str:
    """Return a challenge with MD5 and qop="auth"; an empty field is left out."""
    wanted = {
        "realm": f'"{realm(bench)}"',
        "nonce": f'"{nonce()}"',
        "algorithm": "MD5",
        "qop": '"auth"',
        "opaque": '"0paque-Value=="',
        **fields,
    }
    return "Digest " + ", ".join(f"{name}={value}" for name, value in wanted.items() if value)


async def challenge(bench: Bench, peer: Peer, received: Received, *challenges: str, status: int = 401) -> Received:
    """Challenge a REGISTER and return the one that answers. The case is inconclusive when none comes.

    Without ``challenges`` one of :func:`digest_challenge`.
    """
    name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
    await peer.respond(received, status, [(name, value) for value in challenges or (digest_challenge(bench),)])
    first = received.request
    again = await peer.need(
        lambda item: (
            requests("REGISTER")(item)
            and (item.request.via.branch, item.request.cseq) != (first.via.branch, first.cseq)
        ),
        f"the target does not answer the challenge of a {status}",
    )
    if credentials_of(again.request, proxy=status == 407) is None:
        bench.fail(f"the REGISTER behind a {status} has no credentials")
    return again


def credentials_of(request: Request, *, proxy: bool = False) -> dict[str, str] | None:
    """Return the parameters of the credentials of a request, by lower-case name; None when there are none."""
    for value in request.headers.get_all("Proxy-Authorization" if proxy else "Authorization"):
        try:
            scheme, fields = parse_auth_params(value)
        except ParseError:
            continue
        if scheme.lower() == "digest" and fields.get("response"):
            return {name.lower(): text for name, text in fields.items()}
    return None


def check_response(bench: Bench, request: Request, fields: dict[str, str]) -> None:
    """Fail unless the target's answer to a challenge is what its password makes (:rfc:`3261#section-22.4`)."""
    given = bench.options.credentials
    if given is None:
        bench.remark("nobody gave the target's password: its digest was not checked")
        return
    algorithm = fields.get("algorithm")
    expected = digest_response(
        ha1=compute_ha1(fields.get("username", ""), fields.get("realm", ""), given.password, algorithm or "MD5"),
        method=request.method,
        uri=fields.get("uri", ""),
        nonce=fields.get("nonce", ""),
        algorithm=algorithm,
        qop=fields.get("qop"),
        nc=fields.get("nc", ""),
        cnonce=fields.get("cnonce", ""),
        body=request.body,
    )
    bench.check(fields.get("username") == given.user, f"username is {fields.get('username')!r}, not {given.user!r}")
    bench.check(fields.get("response") == expected, "the response of the credentials is not what the password makes")
