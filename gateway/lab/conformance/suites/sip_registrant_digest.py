"""The target as it answers our challenges (:rfc:`3261#section-22`, :rfc:`7616`, :rfc:`8760`)."""

from __future__ import annotations

import re

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import case
from gateway.lab.conformance.peer import Received, requests
from gateway.lab.conformance.registering import (
    challenge,
    check_response,
    credentials_of,
    digest_challenge,
    nonce,
    realm,
    refreshed,
    register,
    welcome,
)
from sipstack.sip.values import parse_auth_params

SUITE = "sip.registration.digest"
UAC = {"uac"}


def fields_of(received: Received, *, proxy: bool = False) -> dict[str, str]:
    """Return the credentials that a REGISTER has."""
    return credentials_of(received.request, proxy=proxy) or {}


@case(
    "SIP-REG-DIG-020",
    "RFC 3261 §22.4",
    suite=SUITE,
    roles=UAC,
    rules=("A-DIG-01", "A-DIG-02", "A-DIG-05", "A-DIG-13"),
    purpose="Credentials answer the challenge that was made.",
    expects="Its realm, nonce, opaque and algorithm, the Request-URI, qop, cnonce and nc, and the right response.",
)
async def credentials_answer_the_challenge(bench: Bench) -> None:
    peer, received = await register(bench)
    asked = digest_challenge(bench)
    again = await challenge(bench, peer, received, asked)
    await welcome(peer, again)
    fields, wanted = fields_of(again), parse_auth_params(asked)[1]
    for name in ("realm", "nonce", "opaque", "algorithm"):
        bench.check(fields.get(name) == wanted[name], f"{name} is {fields.get(name)!r}, not {wanted[name]!r}")
    bench.check(fields.get("qop") == "auth", f"qop is {fields.get('qop')!r}, not auth")
    bench.check(fields.get("cnonce"), "there is no cnonce")
    bench.check(fields.get("uri") == again.request.uri_text, f"uri is {fields.get('uri')!r}, not the Request-URI")
    check_response(bench, again.request, fields)


@case(
    "SIP-REG-DIG-021",
    "RFC 3261 §25.1, RFC 7616 §3.4",
    suite=SUITE,
    roles=UAC,
    rules=("A-DIG-06",),
    purpose="Credentials are quoted where the grammar has quotes, and nowhere else.",
    expects="username, realm, nonce, uri, response, cnonce and opaque quoted; algorithm, qop and nc not; nc of eight "
    "hexadecimal digits.",
)
async def credentials_are_written_by_the_grammar(bench: Bench) -> None:
    peer, received = await register(bench)
    again = await challenge(bench, peer, received)
    await welcome(peer, again)
    text = again.request.headers.get("Authorization", "")
    for name in ("username", "realm", "nonce", "uri", "response", "cnonce", "opaque"):
        bench.check(not re.search(rf'(?i)[ ,]{name}\s*=\s*[^"\s]', text), f"{name} is not quoted")
    for name in ("algorithm", "qop", "nc"):
        bench.check(not re.search(rf'(?i)[ ,]{name}\s*=\s*"', text), f"{name} is quoted")
    count = fields_of(again).get("nc", "")
    bench.check(re.fullmatch("[0-9a-f]{8}", count), f"nc is {count!r}, not eight hexadecimal digits")


@case(
    "SIP-REG-DIG-022",
    "RFC 7616 §3.4 (nc)",
    suite=SUITE,
    roles=UAC,
    rules=("A-DIG-07",),
    purpose="Each use of a nonce is counted.",
    expects="nc=00000001 at first; a refresh with the same nonce has nc=00000002.",
)
async def nonce_is_counted(bench: Bench) -> None:
    peer, received = await register(bench)
    again = await challenge(bench, peer, received)
    first = fields_of(again)
    bench.check(first.get("nc") == "00000001", f"nc of a new nonce is {first.get('nc')}")
    refresh = await refreshed(bench, peer, again)
    await welcome(peer, refresh)
    second = fields_of(refresh)
    if second.get("nonce") != first.get("nonce"):
        return  # waits to be challenged again
    bench.check(second.get("nc") == "00000002", f"nc of the second use of a nonce is {second.get('nc')}")
    check_response(bench, refresh.request, second)


@case(
    "SIP-REG-DIG-023",
    "RFC 7616 §3.3 (stale)",
    suite=SUITE,
    roles=UAC,
    rules=("A-DIG-08",),
    purpose="A nonce that is too old is no wrong password.",
    expects="After stale=true the REGISTER comes with the new nonce.",
)
async def stale_nonce_is_replaced(bench: Bench) -> None:
    peer, received = await register(bench)
    again = await challenge(bench, peer, received)
    fresh = nonce()
    third = await challenge(bench, peer, again, digest_challenge(bench, nonce=f'"{fresh}"', stale="true"))
    await welcome(peer, third)
    fields = fields_of(third)
    bench.check(fields.get("nonce") == fresh, "after stale=true the old nonce is used again")
    check_response(bench, third.request, fields)


@case(
    "SIP-REG-DIG-024",
    "RFC 3261 §22.1",
    suite=SUITE,
    roles=UAC,
    rules=("A-REG-10",),
    purpose="Credentials that were refused are not tried again.",
    expects="After a second 401 for the same nonce none with that nonce comes.",
)
async def refused_credentials_are_not_tried_again(bench: Bench) -> None:
    peer, received = await register(bench)
    asked = digest_challenge(bench)
    again = await challenge(bench, peer, received, asked)
    await peer.respond(again, 401, [("WWW-Authenticate", asked)])
    refused, branch = fields_of(again), again.request.via.branch

    def tried_again(item: Received) -> bool:
        return (
            requests("REGISTER")(item)
            and item.request.via.branch != branch
            and fields_of(item).get("nonce") == refused.get("nonce")
        )

    await peer.silence(tried_again, "with credentials that were just refused", 3 * bench.options.t1)


@case(
    "SIP-REG-DIG-025",
    "RFC 8760 §2.4",
    suite=SUITE,
    roles=UAC,
    rules=("A-DIG-04",),
    purpose="A challenge in an algorithm that nobody knows is passed over.",
    expects="The second challenge, with MD5, is answered.",
)
async def unknown_algorithm_is_passed_over(bench: Bench) -> None:
    peer, received = await register(bench)
    unknown = digest_challenge(bench, algorithm="X-NOBODY-KNOWS")
    again = await challenge(bench, peer, received, unknown, digest_challenge(bench))
    await welcome(peer, again)
    fields = fields_of(again)
    bench.check(fields.get("algorithm", "MD5").upper() == "MD5", f"algorithm is {fields.get('algorithm')!r}")
    check_response(bench, again.request, fields)


@case(
    "SIP-REG-DIG-026",
    "RFC 7616 §3.4.1, RFC 3261 §22.4",
    suite=SUITE,
    roles=UAC,
    rules=("A-DIG-02", "A-DIG-05"),
    purpose="A challenge without qop is answered as RFC 2069 has it.",
    expects="Neither qop nor cnonce nor nc, and the response of the short form.",
)
async def challenge_without_qop_is_answered(bench: Bench) -> None:
    peer, received = await register(bench)
    again = await challenge(bench, peer, received, digest_challenge(bench, qop=""))
    await welcome(peer, again)
    fields = fields_of(again)
    for name in ("qop", "cnonce", "nc"):
        bench.check(name not in fields, f"there was no qop in the challenge, but {name} is in the answer")
    check_response(bench, again.request, fields)


@case(
    "SIP-REG-DIG-027",
    "RFC 8760 §2.4",
    suite=SUITE,
    roles=UAC,
    rules=("A-DIG-03", "A-DIG-04"),
    purpose="Of several algorithms the first one that is known is used.",
    expects="SHA-256 before MD5, as it should be; the right response in any case.",
)
async def first_algorithm_is_used(bench: Bench) -> None:
    peer, received = await register(bench)
    again = await challenge(
        bench, peer, received, digest_challenge(bench, algorithm="SHA-256"), digest_challenge(bench)
    )
    await welcome(peer, again)
    fields = fields_of(again)
    if fields.get("algorithm") != "SHA-256":
        bench.remark(f"of SHA-256 and MD5 the target takes {fields.get('algorithm')} (SHOULD take the first)")
    check_response(bench, again.request, fields)


@case(
    "SIP-REG-DIG-028",
    "RFC 3261 §22.4",
    suite=SUITE,
    roles=UAC,
    rules=("A-DIG-05", "A-DIG-14"),
    purpose="Of several qop one that was offered is used.",
    expects='auth or auth-int to qop="auth-int,auth", and the right response.',
)
async def qop_is_one_of_those_offered(bench: Bench) -> None:
    peer, received = await register(bench)
    again = await challenge(bench, peer, received, digest_challenge(bench, qop='"auth-int,auth"'))
    await welcome(peer, again)
    fields = fields_of(again)
    bench.check(fields.get("qop") in ("auth", "auth-int"), f"qop is {fields.get('qop')!r}")
    check_response(bench, again.request, fields)


@case(
    "SIP-REG-DIG-029",
    "RFC 3261 §22.3",
    suite=SUITE,
    roles=UAC,
    rules=("A-DIG-10",),
    purpose="Proxies are answered in a header field of their own.",
    expects="After 407 the REGISTER has Proxy-Authorization with the right response.",
)
async def proxies_are_answered(bench: Bench) -> None:
    peer, received = await register(bench)
    again = await challenge(bench, peer, received, status=407)
    await welcome(peer, again)
    fields = fields_of(again, proxy=True)
    bench.check(fields.get("realm") == realm(bench), f"realm is {fields.get('realm')!r}")
    check_response(bench, again.request, fields)
