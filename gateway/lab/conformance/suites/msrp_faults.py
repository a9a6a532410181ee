"""What the target does with requests that are wrong (:rfc:`4975#section-7.3` and 10)."""

from __future__ import annotations

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import case
from gateway.lab.conformance.msrpside import answers_to
from gateway.lab.conformance.msrpsteps import Session, frame, report, session
from gateway.lab.conformance.verdict import Inconclusive
from sipstack import ids
from sipstack.msrp.chunk import MsrpResponse
from sipstack.msrp.uri import MsrpUri

SUITE = "msrp.faults"
MSRP = {"msrp"}


async def refused(chat: Session, what: str, tid: str, octets: bytes, wanted: int) -> None:
    """Send a request that is wrong: it must not be taken, and ``wanted`` is what the standard names."""
    status = (await chat.answer(octets, tid)).response.status
    chat.bench.check(status >= 300, f"{what} is answered with {status}")
    if status != wanted:
        chat.bench.remark(f"{what} is answered with {status}, not {wanted}")


def spoiled(chat: Session, tid: str, *lines: str, to_path: str = "") -> bytes:
    """Return a SEND with these headers behind its paths, and a body."""
    content_type, body = chat.content("spoiled")
    return frame(
        tid,
        "SEND",
        f"To-Path: {to_path or chat.remote}",
        f"From-Path: {chat.path}",
        *lines,
        f"Content-Type: {content_type}",
        body=body,
    )


@case(
    "MSRP-BAD-001",
    "RFC 4975 §9, §10.2",
    suite=SUITE,
    roles=MSRP,
    rules=("C-BAD-02", "C-BAD-05"),
    purpose="A Byte-Range that is none makes a request unintelligible.",
    expects="400, and the session goes on.",
)
async def byte_range_that_is_none(bench: Bench) -> None:
    chat = await session(bench)
    tid = ids.msrp_transaction_id()
    octets = spoiled(chat, tid, f"Message-ID: {ids.message_id()}", "Byte-Range: x")
    await refused(chat, "a SEND with 'Byte-Range: x'", tid, octets, 400)
    await chat.alive()


@case(
    "MSRP-BAD-002",
    "RFC 4975 §7.1, §9",
    suite=SUITE,
    roles=MSRP,
    rules=("C-BAD-09",),
    purpose="A SEND has a Message-ID.",
    expects="400 to one without, and the session goes on.",
)
async def message_without_id(bench: Bench) -> None:
    chat = await session(bench)
    tid = ids.msrp_transaction_id()
    await refused(chat, "a SEND without Message-ID", tid, spoiled(chat, tid), 400)
    await chat.alive()


@case(
    "MSRP-BAD-003",
    "RFC 4975 §7.3.1, §10.9",
    suite=SUITE,
    roles=MSRP,
    rules=("C-URI-05", "C-SET-07"),
    purpose="A request for a session that there is not is refused.",
    expects="481",
)
async def session_that_there_is_not(bench: Bench) -> None:
    chat = await session(bench)
    near = chat.media.path[-1]
    unknown = str(MsrpUri(near.scheme, near.host, near.port, ids.msrp_session_id(), near.transport))
    tid = ids.msrp_transaction_id()
    octets = spoiled(chat, tid, f"Message-ID: {ids.message_id()}", to_path=unknown)
    status = (await chat.answer(octets, tid)).response.status
    bench.check(status == 481, f"a SEND for an unknown session is answered with {status}, not 481")


@case(
    "MSRP-BAD-004",
    "RFC 4975 §7.3.1, §10.10",
    suite=SUITE,
    roles=MSRP,
    rules=("C-URI-05",),
    purpose="A session belongs to the connection by which its first request came.",
    expects="506 to a request for it by another connection; the first goes on.",
)
async def session_of_another_connection(bench: Bench) -> None:
    chat = await session(bench)
    other = await bench.msrp.connect(chat.media.path[0].host_port, secure=chat.media.secure)
    chunk = chat.message("by another connection")
    other.send(chunk)
    answer = await other.expect(answers_to(chunk.transaction_id), "the request gets no response")
    status = answer.response.status
    bench.check(status == 506, f"a SEND by a second connection is answered with {status}, not 506")
    await chat.alive()


@case(
    "MSRP-BAD-005",
    "RFC 4975 §7.2",
    suite=SUITE,
    roles=MSRP,
    rules=("C-BAD-06",),
    purpose="A response that belongs to nothing is ignored.",
    expects="Nothing comes back, and the session goes on.",
)
async def response_to_nothing(bench: Bench) -> None:
    chat = await session(bench)
    tid = ids.msrp_transaction_id()
    chat.link.send(MsrpResponse(tid, 200, "OK", chat.remote, chat.path))
    await chat.link.silence(answers_to(tid), "a response is answered", 2 * bench.options.t1)
    await chat.alive()


@case(
    "MSRP-BAD-006",
    "RFC 4975 §7.1.2, §7.3.2",
    suite=SUITE,
    roles=MSRP,
    rules=("C-RSP-03",),
    purpose="REPORTs are never answered, and one about nothing that is known is ignored.",
    expects="Nothing comes back, and the session goes on.",
)
async def report_about_nothing(bench: Bench) -> None:
    chat = await session(bench)
    told = report(chat, ids.message_id())
    chat.link.send(told)
    await chat.link.silence(answers_to(told.transaction_id), "a REPORT is answered", 2 * bench.options.t1)
    await chat.alive()


@case(
    "MSRP-BAD-007",
    "RFC 4975 §7.1.1, §7.2",
    suite=SUITE,
    roles=MSRP,
    rules=("C-BAD-11", "C-FRM-11"),
    purpose="With Failure-Report no the sender gets neither response nor report, whatever is wrong.",
    expects="Nothing comes back.",
)
async def silence_where_no_report_is_wanted(bench: Bench) -> None:
    chat = await session(bench)
    sound = chat.message("no answer, please", failure="no")
    tid = ids.msrp_transaction_id()
    wrong = spoiled(chat, tid, f"Message-ID: {ids.message_id()}", "Byte-Range: x", "Failure-Report: no")
    chat.link.send(sound)
    chat.link.send(wrong)
    for name, sent in (("sound", sound.transaction_id), ("wrong", tid)):
        await chat.link.silence(
            answers_to(sent), f"a {name} SEND with 'Failure-Report: no' is answered", 2 * bench.options.t1
        )
    await chat.alive()


@case(
    "MSRP-BAD-008",
    "RFC 4975 §7.2",
    suite=SUITE,
    roles=MSRP,
    rules=("C-RSP-09",),
    purpose="With Failure-Report partial the sender is told of errors only.",
    expects="No response to a sound request, an error response to a wrong one.",
)
async def only_errors_where_partial_reports_are_wanted(bench: Bench) -> None:
    chat = await session(bench)
    sound = chat.message("only errors, please", failure="partial")
    chat.link.send(sound)
    await chat.link.silence(
        answers_to(sound.transaction_id),
        "a sound SEND with 'Failure-Report: partial' is answered",
        2 * bench.options.t1,
    )
    tid = ids.msrp_transaction_id()
    octets = spoiled(chat, tid, f"Message-ID: {ids.message_id()}", "Byte-Range: x", "Failure-Report: partial")
    await refused(chat, "a wrong SEND with 'Failure-Report: partial'", tid, octets, 400)


@case(
    "MSRP-BAD-009",
    "RFC 4975 §7.3.1, §10.6",
    suite=SUITE,
    roles=MSRP,
    rules=("C-RSP-10",),
    purpose="A type that the target has not listed is refused.",
    expects="415, and the session goes on.",
)
async def type_that_is_not_listed(bench: Bench) -> None:
    chat = await session(bench)
    unknown = "application/x-conformance"
    if chat.media.accepts(unknown):
        bench.not_applicable("the target takes every type")
    answer = await chat.answer(chat.chunk(b"unknown", unknown))
    bench.check(answer.response.status == 415, f"an unlisted type gets {answer.response.status}, not 415")
    await chat.alive()


@case(
    "MSRP-BAD-010",
    "RFC 4975 §7.3.1",
    suite=SUITE,
    roles=MSRP,
    rules=("C-URI-05",),
    purpose="An endpoint is the end of To-Path; a request that goes on from there is not for it.",
    expects="An error response to a SEND with one URI more behind the target's.",
)
async def path_that_goes_on(bench: Bench) -> None:
    chat = await session(bench)
    tid = ids.msrp_transaction_id()
    further = f"{chat.remote} msrp://192.0.2.1:2855/{ids.msrp_session_id()};tcp"
    octets = spoiled(chat, tid, f"Message-ID: {ids.message_id()}", to_path=further)
    await refused(chat, "a SEND whose To-Path goes on", tid, octets, 481)


@case(
    "MSRP-BAD-011",
    "RFC 4975 §9",
    suite=SUITE,
    roles=MSRP,
    rules=("C-BAD-08",),
    purpose="A Message-ID stands once in a request.",
    expects="400 to a SEND with two, and the session goes on.",
)
async def two_message_ids(bench: Bench) -> None:
    chat = await session(bench)
    tid = ids.msrp_transaction_id()
    octets = spoiled(chat, tid, f"Message-ID: {ids.message_id()}", f"Message-ID: {ids.message_id()}")
    status = (await chat.answer(octets, tid)).response.status
    if status != 400:
        bench.remark(f"a SEND with two Message-IDs is answered with {status}, not 400")
    await chat.alive()


@case(
    "MSRP-BAD-012",
    "RFC 4975 §9",
    suite=SUITE,
    roles=MSRP,
    rules=("C-BAD-01",),
    purpose="Octets that are no MSRP do no harm to others.",
    expects="The target can be called again afterwards.",
)
async def octets_that_are_no_msrp(bench: Bench) -> None:
    chat = await session(bench)
    chat.link.send(bench.random.randbytes(1024) + b"\r\n")
    if not await chat.link.hangup(bench.options.patience):
        bench.remark("the connection stays open behind octets that are no MSRP")
    try:
        second = await session(bench)
    except Inconclusive as error:
        bench.fail(f"the target can't be called behind octets that are no MSRP: {error}")
    await second.alive()
