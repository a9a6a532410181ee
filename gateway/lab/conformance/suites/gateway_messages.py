"""How messages go over from HTTP to MSRP and SIP, and back."""

from __future__ import annotations

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import Case, case
from gateway.lab.conformance.httpsteps import (
    INVITER,
    answering,
    begun,
    call_in,
    check_problem,
    guest,
    refused,
    taking,
)
from gateway.lab.conformance.msrpside import MsrpLink, is_chunk
from gateway.lab.conformance.msrpsteps import response_to
from gateway.lab.conformance.peer import requests
from sipstack.im.cpim import CpimMessage
from sipstack.msrp.chunk import Chunk

GATEWAY = {"gateway"}
TEXT = "Over from HTTP: äöü 你好 \U0001f600\r\nsecond line"

REFUSALS = {
    "001": (486, 409, "peer-busy"),
    "002": (600, 409, "peer-busy"),
    "003": (603, 403, "peer-declined"),
    "004": (403, 403, "upstream-forbidden"),
    "005": (404, 404, "unknown-user"),
    "006": (410, 410, "peer-gone"),
    "007": (500, 502, "upstream-error"),
    "008": (503, 503, "upstream-unavailable"),
    "009": (482, 502, "upstream-loop"),
}
"""What INVITE is answered with → HTTP status and type of the problem."""


async def text_of(bench: Bench, link: MsrpLink) -> tuple[Chunk, str]:
    """Return the end of the next SEND with a body, not answered yet, and the text in it; empty ones are answered."""
    body = b""
    while True:
        chunk = (await link.expect(is_chunk, "the message does not come by MSRP")).chunk
        body += chunk.body
        if not chunk.flag:
            continue  # a piece of it; the end is still to come
        if body:
            break
        link.send(response_to(chunk, chunk.to_path))
    if (chunk.content_type or "").startswith("message/cpim"):
        body = CpimMessage.parse(body).content
    return chunk, body.decode()


@case(
    "GW-MSG-001",
    "RFC 4975 §5.1, RFC 9110 §15.3.1",
    suite="gateway.messages",
    roles=GATEWAY,
    rules=("C-SET-01",),
    purpose="The first message over HTTP opens a session and goes by it.",
    expects="INVITE, ACK and SEND with the very text; 200 'sent' behind the 200 to the SEND.",
)
async def message_opens_a_session(bench: Bench) -> None:
    known = await guest(bench)
    sending = await begun(known.send(INVITER, TEXT))
    await taking(bench)
    link = await bench.msrp.accepted(bench.options.answer_time)
    chunk, text = await text_of(bench, link)
    bench.check(text == TEXT, f"the text comes over as {text!r}")
    bench.check(not sending.done() or sending.result()["state"] == "pending", "HTTP says sent before MSRP does")
    link.send(response_to(chunk, chunk.to_path))
    answer = await sending
    bench.check(answer["state"] in ("sent", "pending"), f"HTTP says {answer['state']}")
    if answer["state"] == "pending":
        bench.remark("the answer to HTTP did not wait for the 200 of MSRP")


@case(
    "GW-MSG-002",
    "RFC 4975 §5.4",
    suite="gateway.messages",
    roles=GATEWAY,
    purpose="Further messages go by the session that is there.",
    expects="One INVITE for three messages, which come in order.",
)
async def session_is_used_again(bench: Bench) -> None:
    known = await guest(bench)
    first = await begun(known.send(INVITER, "one"))
    peer, _, _ = await taking(bench)
    link = await bench.msrp.accepted(bench.options.answer_time)
    for number, wanted in enumerate(("one", "two", "three")):
        sending = first if number == 0 else await begun(known.send(INVITER, wanted))
        chunk, text = await text_of(bench, link)
        bench.check(text == wanted, f"{text!r} comes, where {wanted!r} should")
        link.send(response_to(chunk, chunk.to_path))
        await sending
    await peer.silence(requests("INVITE"), "a second INVITE comes", bench.options.t1)


def refusal_case(number: str, code: int, status: int, kind: str) -> Case:
    """Return the case for one row of :data:`REFUSALS`."""

    async def refused_invitation(bench: Bench) -> None:
        known = await guest(bench)
        bench.sip.answer_in_case("INVITE", answering(code))
        problem = await refused(bench, known.send(INVITER, "in vain"), f"a message whose INVITE gets {code}")
        check_problem(bench, problem, status, kind, code)

    return case(
        f"GW-REF-{number}",
        "RFC 3261 §21, RFC 9457 §3",
        suite="gateway.refusals",
        roles=GATEWAY,
        rules=("E-MAP-01",),
        purpose=f"An INVITE that is refused with {code} is told to the guest as what it is.",
        expects=f"HTTP {status} with the type {kind} and the SIP code {code}.",
    )(refused_invitation)


CASES = [refusal_case(number, *row) for number, row in REFUSALS.items()]


@case(
    "GW-MSG-003",
    "RFC 4975 §10.5, RFC 9457 §3",
    suite="gateway.messages",
    roles=GATEWAY,
    rules=("E-MAP-05",),
    purpose="What MSRP refuses fails over HTTP.",
    expects="A problem that is no 5xx, or the state failed, when the SEND gets 413.",
)
async def message_that_msrp_refuses(bench: Bench) -> None:
    known = await guest(bench)
    sending = await begun(known.send(INVITER, "too much"))
    await taking(bench)
    link = await bench.msrp.accepted(bench.options.answer_time)
    chunk, _ = await text_of(bench, link)
    link.send(response_to(chunk, chunk.to_path, 413, "Too much"))
    problem = await refused(bench, sending, "a message that MSRP refuses")
    bench.check(problem.status == 413, f"MSRP says 413, HTTP {problem.status}")


@case(
    "GW-MSG-004",
    "RFC 3428 §7, RFC 9110 §15.3.1",
    suite="gateway.messages",
    roles=GATEWAY,
    rules=("B-PGR-03",),
    purpose="A SIP MESSAGE of the inviter reaches the guest.",
    expects="200, and an event with the very text.",
)
async def page_of_the_inviter(bench: Bench) -> None:
    known = await guest(bench)
    await known.listen()
    _, answer = await call_in(bench, "MESSAGE", known, body=TEXT.encode(), content_type="text/plain;charset=utf-8")
    bench.check(answer.response.status in (200, 202), f"a MESSAGE of the inviter gets {answer.response.status}")
    try:
        await known.wait_for("message", direction="in", message=TEXT)
    except TimeoutError:
        bench.fail("the guest gets no event with that text")


@case(
    "GW-MSG-005",
    "RFC 3261 §21.4.4, RFC 3325 §9",
    suite="gateway.messages",
    roles=GATEWAY,
    rules=("B-CHT-05",),
    purpose="Nobody but inviters gets through to a guest.",
    expects="403 to a MESSAGE of a subscriber who has invited nobody, and no event.",
)
async def page_of_a_stranger(bench: Bench) -> None:
    known = await guest(bench)
    await known.listen()
    _, answer = await call_in(
        bench,
        "MESSAGE",
        known,
        headers=[("P-Asserted-Identity", "<sip:stranger@conformance.example>")],
        from_="<sip:stranger@conformance.example>;tag=s1",
        body=b"let me in",
        content_type="text/plain",
    )
    bench.check(answer.response.status == 403, f"a MESSAGE of a stranger gets {answer.response.status}, not 403")
    bench.check(not any(event["kind"] == "message" for event in known.events), "the guest is told of it")


@case(
    "GW-INJ-001",
    "RFC 3261 §7.3, RFC 9110 §15.5",
    suite="gateway.injection",
    roles=GATEWAY,
    rules=("A-URI-04",),
    purpose="Nothing that comes over HTTP breaks out of a SIP header.",
    expects="An error of the 4xx class for each, and no request with the injected header.",
)
async def line_breaks_in_addresses(bench: Bench) -> None:
    known = await guest(bench)
    peer = await bench.sip.listen()
    for target in (
        "sip:a@conformance.example\r\nX-Injected: yes",
        "sip:a@conformance.example%0d%0aX-Injected: yes",
        "sip:a@conformance.example>;X-Injected=yes",
        "sip:a\x00@conformance.example",
        '"sip:a@conformance.example',
    ):
        problem = await refused(bench, known.send(target, "injected"), f"a message to {target!r}")
        bench.check(400 <= problem.status < 500, f"a message to {target!r} is answered with {problem.status}")
    await peer.silence(lambda item: b"Injected" in item.data, "an injected header is sent", bench.options.t1)
