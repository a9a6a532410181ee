"""What the target reports, and what it does with reports and responses (:rfc:`4975#section-7.1.2` and 7.1.3)."""

from __future__ import annotations

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import case
from gateway.lab.conformance.msrpside import answers_to, is_chunk, is_report
from gateway.lab.conformance.msrpsteps import report, response_to, session, visited, written

SUITE = "msrp.reports"
MSRP = {"msrp"}

LONG = "The target shall stop in the middle of what it writes when it is told to. " * 12_000
"""Far more than sockets hold: who goes on regardless is seen."""


@case(
    "MSRP-REP-001",
    "RFC 4975 §7.1.2",
    suite=SUITE,
    roles=MSRP,
    rules=("C-RSP-02", "C-RSP-03"),
    purpose="Who asks for a success report gets it when the message is whole.",
    expects="A REPORT with our From-Path as its To-Path, the Message-ID, the Byte-Range and Status 000 200.",
)
async def success_report(bench: Bench) -> None:
    chat = await session(bench)
    chunk = chat.message("report this", success=True)
    await chat.taken(chunk)
    told = (await chat.link.expect(is_report, "no success report comes")).report
    bench.check(told.to_path == chat.path, f"To-Path of the REPORT is {told.to_path}, not {chat.path}")
    bench.check(told.from_path == chat.remote, f"From-Path of the REPORT is {told.from_path}, not {chat.remote}")
    bench.check(told.message_id == chunk.message_id, "the REPORT is about another Message-ID")
    bench.check(
        (told.namespace, told.status) == ("000", 200), f"Status of the REPORT is {told.namespace} {told.status:03}"
    )
    size = len(chunk.body)
    bench.check(
        (told.start, told.end) == (1, size), f"the REPORT is about octets {told.start} to {told.end}, not 1 to {size}"
    )


@case(
    "MSRP-REP-002",
    "RFC 4975 §7.1.1",
    suite=SUITE,
    roles=MSRP,
    rules=("C-RSP-02",),
    purpose="Who asks for no success report gets none.",
    expects="200, and no REPORT, with Success-Report no.",
)
async def no_success_report(bench: Bench) -> None:
    chat = await session(bench)
    await chat.taken(chat.message("do not report this"))
    await chat.link.silence(is_report, "a success report comes that nobody asked for", 3 * bench.options.t1)


@case(
    "MSRP-REP-003",
    "RFC 4975 §7.1.1, §7.1.2",
    suite=SUITE,
    roles=MSRP,
    rules=("C-RSP-02", "C-BAD-11"),
    purpose="Success reports and responses are asked for apart from each other.",
    expects="A REPORT with Success-Report yes and Failure-Report no.",
)
async def report_where_no_response_is_wanted(bench: Bench) -> None:
    chat = await session(bench)
    chunk = chat.message("report this, but do not answer", success=True, failure="no")
    chat.link.send(chunk)
    told = (await chat.link.expect(is_report, "no success report comes")).report
    bench.check(told.message_id == chunk.message_id, "the REPORT is about another Message-ID")


@case(
    "MSRP-REP-004",
    "RFC 4975 §7.1.2, §7.3.2",
    suite=SUITE,
    roles={"msrp", "uac"},
    rules=("C-RSP-03",),
    purpose="A REPORT about a message of the target is not answered either.",
    expects="Nothing comes back.",
)
async def report_to_the_target(bench: Bench) -> None:
    chat, first = await visited(bench)
    chunks = await written(chat, first)
    told = report(chat, chunks[0].message_id)
    chat.link.send(told)
    await chat.link.silence(answers_to(told.transaction_id), "a REPORT is answered", 2 * bench.options.t1)


@case(
    "MSRP-REP-005",
    "RFC 4975 §7.3.2, §10.5",
    suite=SUITE,
    roles={"msrp", "uac"},
    rules=("C-RSP-07",),
    purpose="413 asks the sender to stop the message.",
    expects="What is under way is ended by #, and no more chunks of that message follow.",
)
async def message_that_is_refused_in_the_middle(bench: Bench) -> None:
    chat, first = await visited(bench, LONG)
    received = first
    while not received.chunk.body:
        if received.chunk.flag:
            chat.link.send(response_to(received.chunk, chat.path))
        received = await chat.link.expect(is_chunk, "the target writes nothing", bench.options.answer_time)
    refused = received.chunk
    chat.link.send(response_to(refused, chat.path, 413, "Stop"))
    ended = bench.now() + bench.options.patience
    size = 0
    while (further := await chat.link.receive(max(0.0, ended - bench.now()), is_chunk)) is not None:
        chunk = further.chunk
        if chunk.message_id != refused.message_id:
            continue
        size += len(chunk.body)
        if chunk.flag == "#":
            return
    bench.check(size < len(LONG) // 2, f"{size} octets more of the message came behind 413")
