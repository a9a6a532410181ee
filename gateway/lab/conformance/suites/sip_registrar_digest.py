"""The target as a registrar that wants to know who registers (:rfc:`3261#section-22`, :rfc:`8760`)."""

from __future__ import annotations

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import case
from gateway.lab.conformance.registrant import UNAUTHORIZED, Registrant
from sipstack.errors import ParseError
from sipstack.sip.digest_hash import Challenge, compute_ha1, digest_response
from sipstack.sip.grammar import quote
from sipstack.sip.message import Request, Response

SUITE = "sip.registration.digest"
REGISTRAR = {"registrar"}


async def challenged(bench: Bench) -> tuple[Registrant, Request, Response, Challenge]:
    """Send a REGISTER without credentials; the registrar has to challenge it for the case to go on."""
    if bench.options.credentials is None:
        bench.not_applicable("nobody gave a user and a password")
    guest = Registrant(bench, await bench.sip.peer())
    bench.later(guest.remove)
    request = guest.request([f"<{guest.contact}>"])
    answer = await guest.peer.exchange(request)
    if answer.response.is_success:
        bench.not_applicable("the registrar lets everybody in")
    if answer.response.status not in UNAUTHORIZED:
        bench.inconclusive(f"a REGISTER without credentials gets {answer}")
    for value in answer.response.headers.get_all("WWW-Authenticate"):
        try:
            challenge = Challenge.parse(value)
        except ParseError:
            continue
        if challenge.is_supported:
            return guest, request, answer.response, challenge
    bench.inconclusive(f"{answer} has no challenge that can be answered")


def answered(bench: Bench, guest: Registrant, challenge: Challenge, **changes: str) -> Request:
    """Return a REGISTER that answers a challenge; ``changes`` replace what goes into the digest, or ``response``."""
    given = bench.options.credentials
    if given is None:
        bench.not_applicable("nobody gave a user and a password")
    request = guest.request([f"<{guest.contact}>"])
    fields = {
        "nonce": challenge.nonce,
        "uri": request.uri_text,
        "nc": "00000001",
        "cnonce": "0a4f113b",
        "password": given.password,
        **changes,
    }
    qop = challenge.chosen_qop
    response = fields.get("response") or digest_response(
        ha1=compute_ha1(given.user, challenge.realm, fields["password"], challenge.algorithm or "MD5"),
        method="REGISTER",
        uri=fields["uri"],
        nonce=fields["nonce"],
        algorithm=challenge.algorithm,
        qop=qop,
        nc=fields["nc"],
        cnonce=fields["cnonce"],
    )
    parts = [
        f"username={quote(given.user)}",
        f"realm={quote(challenge.realm)}",
        f"nonce={quote(fields['nonce'])}",
        f"uri={quote(fields['uri'])}",
        f"response={quote(response)}",
    ]
    if challenge.algorithm is not None:
        parts.append(f"algorithm={challenge.algorithm}")
    if challenge.opaque is not None:
        parts.append(f"opaque={quote(challenge.opaque)}")
    if qop is not None:
        parts += [f"qop={qop}", f"nc={fields['nc']}", f"cnonce={quote(fields['cnonce'])}"]
    request.headers.add("Authorization", f"Digest {', '.join(parts)}")
    return request


@case(
    "SIP-REG-DIG-001",
    "RFC 3261 §22.1, §22.2, §20.44",
    suite=SUITE,
    roles=REGISTRAR,
    rules=("A-DIG-05", "A-DIG-10"),
    purpose="Who does not say who they are is asked.",
    expects="401 with WWW-Authenticate: a Digest challenge with realm, nonce and qop.",
)
async def stranger_is_challenged(bench: Bench) -> None:
    _, _, response, challenge = await challenged(bench)
    bench.check(response.status == 401, f"a registrar challenges with 401, not {response.status}")
    bench.check(challenge.realm, "the realm of the challenge is empty")
    if not challenge.qop:
        bench.remark("the challenge has no qop (RFC 8760 §2.6 wants one)")


@case(
    "SIP-REG-DIG-002",
    "RFC 3261 §22.4",
    suite=SUITE,
    roles=REGISTRAR,
    rules=("A-DIG-01", "A-DIG-02"),
    purpose="The right answer to the challenge lets in.",
    expects="2xx.",
)
async def right_password_lets_in(bench: Bench) -> None:
    guest, _, _, challenge = await challenged(bench)
    answer = await guest.peer.exchange(answered(bench, guest, challenge))
    bench.check(answer.response.is_success, f"the right credentials get {answer}")


@case(
    "SIP-REG-DIG-003",
    "RFC 3261 §22.1",
    suite=SUITE,
    roles=REGISTRAR,
    rules=("A-DIG-02",),
    purpose="A wrong password does not let in.",
    expects="401 or 403.",
)
async def wrong_password_is_refused(bench: Bench) -> None:
    guest, _, _, challenge = await challenged(bench)
    answer = await guest.peer.exchange(answered(bench, guest, challenge, password="wrong-for-sure"))
    bench.check(answer.response.status in (401, 403, 407), f"a wrong password gets {answer}")


@case(
    "SIP-REG-DIG-004",
    "RFC 3261 §22.4, RFC 7616 §5.4",
    suite=SUITE,
    roles=REGISTRAR,
    rules=("A-DIG-08",),
    purpose="A nonce that the registrar never gave lets nobody in.",
    expects="A new challenge; it should say stale=true, as the password was right.",
)
async def made_up_nonce_is_refused(bench: Bench) -> None:
    guest, _, _, challenge = await challenged(bench)
    answer = await guest.peer.exchange(answered(bench, guest, challenge, nonce="bWFkZS11cA=="))
    bench.check(answer.response.status in (401, 403, 407), f"a made-up nonce gets {answer}")


@case(
    "SIP-REG-DIG-005",
    "RFC 3261 §22.4, RFC 7616 §3.4.6",
    suite=SUITE,
    roles=REGISTRAR,
    rules=("A-DIG-05",),
    purpose="An answer made for another request should not let in.",
    expects="A digest over the URI of another domain should be refused, unless a proxy changed the Request-URI.",
)
async def answer_for_another_uri_is_refused(bench: Bench) -> None:
    guest, _, _, challenge = await challenged(bench)
    answer = await guest.peer.exchange(answered(bench, guest, challenge, uri="sip:elsewhere.lab.example"))
    if answer.response.is_success:
        bench.remark(f"credentials made for the URI of another domain get {answer}")


@case(
    "SIP-REG-DIG-006",
    "RFC 3261 §22.4",
    suite=SUITE,
    roles=REGISTRAR,
    rules=("A-DIG-03",),
    purpose="An empty answer to the challenge does not let in.",
    expects="401 or 403, or 400.",
)
async def empty_answer_is_refused(bench: Bench) -> None:
    guest, _, _, challenge = await challenged(bench)
    request = answered(bench, guest, challenge, response="0" * 32)
    request.headers.set("Authorization", request.headers.get("Authorization", "").replace("0" * 32, ""))
    answer = await guest.peer.exchange(request)
    bench.check(answer.response.status in (400, 401, 403, 407), f"an empty answer to the challenge gets {answer}")


@case(
    "SIP-REG-DIG-007",
    "RFC 7616 §3.4, §3.4.5",
    suite=SUITE,
    roles=REGISTRAR,
    rules=("A-DIG-07",),
    purpose="A nonce counted up is taken again, or renewed.",
    expects="2xx, or a challenge that says stale=true, to the second use with nc=00000002.",
)
async def nonce_is_counted_up(bench: Bench) -> None:
    guest, _, _, challenge = await challenged(bench)
    if not challenge.qop:
        bench.not_applicable("the challenge has no qop")
    first = await guest.peer.exchange(answered(bench, guest, challenge))
    bench.check(first.response.is_success, f"the right credentials get {first}")
    second = await guest.peer.exchange(answered(bench, guest, challenge, nc="00000002"))
    if not second.response.is_success:
        bench.check(second.response.status in UNAUTHORIZED, f"the second use of a nonce gets {second}")
        if "stale=true" not in second.response.headers.get("WWW-Authenticate", "").lower().replace('"', ""):
            bench.remark("a used nonce with the right password is refused without stale=true")
