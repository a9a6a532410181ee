"""How the target cuts a stream into MSRP frames and writes its own (:rfc:`4975#section-7` and 9)."""

from __future__ import annotations

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import case
from gateway.lab.conformance.msrpside import answers_to
from gateway.lab.conformance.msrpsteps import Session, frame, session
from sipstack import ids
from sipstack.msrp.chunk import Chunk

SUITE = "msrp.framing"
MSRP = {"msrp"}


async def counted(chat: Session, body: bytes, content_type: str, chunk: Chunk | None = None) -> None:
    """Send a body that is hard to cut, and have the target say how long it found it to be."""
    sent = chunk or chat.chunk(body, content_type, success=True)
    await chat.taken(sent, what="a message that is hard to cut")
    await chat.whole(sent.message_id, len(body))


@case(
    "MSRP-FRM-001",
    "RFC 4975 §7.2",
    suite=SUITE,
    roles=MSRP,
    rules=("C-RSP-06", "C-FRM-01"),
    purpose="The response to a SEND goes back to the hop that it came from, and names the session as its origin.",
    expects="200 whose To-Path is our URI, whose From-Path is the URI that we sent to, ended by $.",
)
async def response_turns_the_paths_around(bench: Bench) -> None:
    chat = await session(bench)
    response = await chat.taken(chat.message())
    bench.check(response.to_path == chat.path, f"To-Path of the response is {response.to_path}, not {chat.path}")
    bench.check(
        response.from_path == chat.remote, f"From-Path of the response is {response.from_path}, not {chat.remote}"
    )


@case(
    "MSRP-FRM-002",
    "RFC 4975 §9",
    suite=SUITE,
    roles=MSRP,
    rules=("C-FRM-05",),
    purpose="Names of headers and the words yes, no and partial are read without regard to case.",
    expects="200",
)
async def names_of_headers_in_any_case(bench: Bench) -> None:
    chat = await session(bench)
    content_type, body = chat.content("in any case")
    tid = ids.msrp_transaction_id()
    await chat.taken(
        frame(
            tid,
            "SEND",
            f"to-path: {chat.remote}",
            f"FROM-PATH: {chat.path}",
            f"message-id: {ids.message_id()}",
            f"bYTE-rANGE: 1-{len(body)}/{len(body)}",
            "failure-report: YES",
            f"content-type: {content_type}",
            body=body,
        ),
        tid,
        "a SEND with header names in other cases",
    )


@case(
    "MSRP-FRM-003",
    "RFC 4975 §9",
    suite=SUITE,
    roles=MSRP,
    rules=("C-FRM-02",),
    purpose="Identifiers have 4 to 32 characters, among them . - + % and =.",
    expects="200 with the same identifier.",
)
async def identifiers_of_any_form(bench: Bench) -> None:
    chat = await session(bench)
    for tid in ("a1.Z", "0-+%=.abcdefghijklmnopqrstuvwxyz"[:32]):
        await chat.taken(chat.message(transaction_id=tid), what=f"a SEND with the transaction id {tid}")


@case(
    "MSRP-FRM-004",
    "RFC 4975 §7.1, §9",
    suite=SUITE,
    roles=MSRP,
    rules=("C-FRM-06",),
    purpose="The line break in front of the end-line is not part of the body, one before it is.",
    expects="A success report about exactly the octets that were sent.",
)
async def body_that_ends_with_a_line_break(bench: Bench) -> None:
    chat = await session(bench)
    content_type, body = chat.content("two lines\r\n\r\n")
    await counted(chat, body, content_type)


@case(
    "MSRP-FRM-005",
    "RFC 4975 §7.3.1",
    suite=SUITE,
    roles=MSRP,
    rules=("C-FRM-09",),
    purpose="Only the end-line with the identifier of the request ends it.",
    expects="A success report about all octets.",
)
async def body_with_the_end_line_of_another_request(bench: Bench) -> None:
    chat = await session(bench)
    content_type, body = chat.content(f"before\r\n-------{ids.msrp_transaction_id()}$\r\nMSRP abcd SEND\r\nbehind")
    await counted(chat, body, content_type)


@case(
    "MSRP-FRM-006",
    "RFC 4975 §9",
    suite=SUITE,
    roles=MSRP,
    rules=("C-FRM-08",),
    purpose="An end-line has one of the flags $, + and #; what looks like one but has another is data.",
    expects="A success report about all octets.",
)
async def body_with_an_end_line_without_flag(bench: Bench) -> None:
    chat = await session(bench)
    tid = ids.msrp_transaction_id()
    content_type, body = chat.content(f"before\r\n-------{tid}!\r\nbehind\r\n------{tid}$\r\nend")
    await counted(chat, body, content_type, chat.chunk(body, content_type, success=True, transaction_id=tid))


@case(
    "MSRP-FRM-007",
    "RFC 4975 §5.1",
    suite=SUITE,
    roles=MSRP,
    rules=("C-FRM-09",),
    purpose="A stream may be cut anywhere on its way.",
    expects="200 to a request that comes octet by octet.",
)
async def request_that_comes_octet_by_octet(bench: Bench) -> None:
    chat = await session(bench)
    chunk = chat.message("octet by octet")
    octets = bytes(chunk)
    for place in range(len(octets) - 1):
        chat.link.send(octets[place : place + 1])
        await bench.pause(0)
    await chat.taken(octets[-1:], chunk.transaction_id, "a SEND that comes octet by octet")


@case(
    "MSRP-FRM-008",
    "RFC 4975 §5.1, §7.1.1",
    suite=SUITE,
    roles=MSRP,
    rules=("C-RSP-08",),
    purpose="A sender need not wait for the response to a request before it sends the next.",
    expects="200 to each of ten requests that come at once.",
)
async def ten_requests_at_once(bench: Bench) -> None:
    chat = await session(bench)
    chunks = [chat.message(f"number {number}") for number in range(10)]
    chat.link.send(b"".join(map(bytes, chunks)))
    for number, chunk in enumerate(chunks):
        received = await chat.link.expect(answers_to(chunk.transaction_id), f"request {number} of 10 gets no response")
        bench.check(received.response.status == 200, f"request {number} of 10 gets {received.response.status}")


@case(
    "MSRP-FRM-009",
    "RFC 4975 §7.1, §9",
    suite=SUITE,
    roles=MSRP,
    rules=("C-FRM-07", "C-SET-09"),
    purpose="A SEND without a body is a request like others, at any time.",
    expects="200 to one with Byte-Range 1-0/0, and to one without Byte-Range.",
)
async def empty_requests(bench: Bench) -> None:
    chat = await session(bench)
    await chat.taken(chat.chunk(), what="an empty SEND")
    tid = ids.msrp_transaction_id()
    lines = (f"To-Path: {chat.remote}", f"From-Path: {chat.path}", f"Message-ID: {ids.message_id()}")
    await chat.taken(frame(tid, "SEND", *lines), tid, "an empty SEND without Byte-Range")


@case(
    "MSRP-FRM-010",
    "RFC 4975 §9",
    suite=SUITE,
    roles=MSRP,
    rules=("C-FRM-11",),
    purpose="Headers that the target does not know are ignored.",
    expects="200",
)
async def unknown_headers(bench: Bench) -> None:
    chat = await session(bench)
    await chat.taken(
        chat.message(headers=(("X-Conformance", "yes"), ("Unheard-Of", 'a, b; c="d"'))), what="a SEND with new headers"
    )


@case(
    "MSRP-FRM-011",
    "RFC 4975 §7.3, §10.8",
    suite=SUITE,
    roles=MSRP,
    rules=("C-FRM-11",),
    purpose="A method that the target does not know is refused as such.",
    expects="501, and the session goes on.",
)
async def unknown_method(bench: Bench) -> None:
    chat = await session(bench)
    tid = ids.msrp_transaction_id()
    lines = (f"To-Path: {chat.remote}", f"From-Path: {chat.path}", f"Message-ID: {ids.message_id()}")
    answer = await chat.answer(frame(tid, "CONFORM", *lines), tid)
    bench.check(answer.response.status == 501, f"an unknown method gets {answer.response.status}, not 501")
    await chat.alive()


@case(
    "MSRP-FRM-012",
    "RFC 4975 §9",
    suite=SUITE,
    roles=MSRP,
    rules=("C-FRM-04",),
    purpose="Behind the paths headers may come in any order; Content-Type is the last.",
    expects="200",
)
async def headers_in_another_order(bench: Bench) -> None:
    chat = await session(bench)
    content_type, body = chat.content("in another order")
    tid = ids.msrp_transaction_id()
    await chat.taken(
        frame(
            tid,
            "SEND",
            f"To-Path: {chat.remote}",
            f"From-Path: {chat.path}",
            "Failure-Report: yes",
            f"Byte-Range: 1-{len(body)}/{len(body)}",
            "Success-Report: no",
            f"Message-ID: {ids.message_id()}",
            f"Content-Type: {content_type}",
            body=body,
        ),
        tid,
        "a SEND with its headers in another order",
    )


@case(
    "MSRP-FRM-013",
    "RFC 4975 §7.2",
    suite=SUITE,
    roles=MSRP,
    rules=("C-FRM-10",),
    purpose="A request has one response.",
    expects="One 200 to a SEND, and nothing more with its transaction id.",
)
async def one_response_to_a_request(bench: Bench) -> None:
    chat = await session(bench)
    chunk = chat.message("answer once")
    await chat.taken(chunk)
    await chat.link.silence(answers_to(chunk.transaction_id), "one request is answered twice", 2 * bench.options.t1)
