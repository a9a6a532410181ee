"""How the target puts messages together, and how it cuts its own (:rfc:`4975#section-7.1.1` and 7.3.1)."""

from __future__ import annotations

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import case
from gateway.lab.conformance.msrpside import is_report
from gateway.lab.conformance.msrpsteps import Session, session, visited, written
from sipstack import ids
from sipstack.msrp.chunk import Chunk, Flag

SUITE = "msrp.chunking"
MSRP = {"msrp"}

TEXT = "0123456789abcdefghijklmnopqrstuvwxyz" * 20
"""Long enough to be cut in several places."""

LONG = "What the target shall write is longer than one request may be without letting others through. " * 400

LARGEST_FIXED = 2048
"""Octets; a longer body is sent such that it can be interrupted (§7.1.1)."""


class Pieces:
    """A message of some hundred octets, of which pieces are sent."""

    def __init__(self, chat: Session, text: str = TEXT) -> None:
        self.chat = chat
        self.type, self.body = chat.content(text)
        self.id = ids.message_id()

    def piece(self, first: int, last: int, flag: Flag, *, end: int | None = -1, total: int | None = -1) -> Chunk:
        """Return the SEND with octets ``first`` to ``last``, counted from 1; ``end`` and ``total`` are what its range
        says, the truth if they are not given."""
        return self.chat.chunk(
            self.body[first - 1 : last],
            self.type,
            start=first,
            end=last if end == -1 else end,
            total=len(self.body) if total == -1 else total,
            flag=flag,
            message_id=self.id,
            success=True,
        )

    async def take(self, *pieces: Chunk) -> None:
        """Send pieces, each of which has to get 200."""
        for piece in pieces:
            await self.chat.taken(piece, what=f"octets {piece.start} to {piece.end or '*'} of a message")

    async def whole(self) -> None:
        """The target says that it has all of it."""
        await self.chat.whole(self.id, len(self.body))


@case(
    "MSRP-CHK-001",
    "RFC 4975 §5.1, §7.3.1",
    suite=SUITE,
    roles=MSRP,
    rules=("C-BR-01", "C-BR-03"),
    purpose="A message may come in several chunks.",
    expects="200 to each, and success reports about all octets.",
)
async def message_in_three_chunks(bench: Bench) -> None:
    message = Pieces(await session(bench))
    last = len(message.body)
    await message.take(message.piece(1, 100, "+"), message.piece(101, 250, "+"), message.piece(251, last, "$"))
    await message.whole()


@case(
    "MSRP-CHK-002",
    "RFC 4975 §7.3.1",
    suite=SUITE,
    roles=MSRP,
    rules=("C-BR-03", "C-BR-06"),
    purpose="Chunks are put together by their Byte-Range, in whichever order they come.",
    expects="200 to each, and success reports about all octets once they are all there.",
)
async def chunks_in_another_order(bench: Bench) -> None:
    message = Pieces(await session(bench))
    last = len(message.body)
    await message.take(message.piece(251, last, "$"), message.piece(1, 100, "+"), message.piece(101, 250, "+"))
    await message.whole()


@case(
    "MSRP-CHK-003",
    "RFC 4975 §7.3.1",
    suite=SUITE,
    roles=MSRP,
    rules=("C-BR-06",),
    purpose="The last chunk does not end a message of which other octets are missing.",
    expects="No success report about octets that were not sent.",
)
async def last_chunk_before_the_rest(bench: Bench) -> None:
    chat = await session(bench)
    message = Pieces(chat)
    last = len(message.body)
    await message.take(message.piece(1, 100, "+"), message.piece(251, last, "$"))
    while (received := await chat.link.receive(2 * bench.options.t1, is_report)) is not None:
        told = received.report
        start, end = told.start or 1, told.end or last
        bench.check(
            told.message_id != message.id or end <= 100 or start >= 251,
            f"a success report about octets {start} to {end}; 101 to 250 were not sent",
        )


@case(
    "MSRP-CHK-004",
    "RFC 4975 §7.3.1",
    suite=SUITE,
    roles=MSRP,
    rules=("C-BR-06",),
    purpose="Octets may come twice.",
    expects="200 to each chunk, and success reports about all octets.",
)
async def chunks_that_overlap(bench: Bench) -> None:
    message = Pieces(await session(bench))
    last = len(message.body)
    await message.take(message.piece(1, 200, "+"), message.piece(101, 300, "+"), message.piece(251, last, "$"))
    await message.whole()


@case(
    "MSRP-CHK-005",
    "RFC 4975 §7.1.1, §9",
    suite=SUITE,
    roles=MSRP,
    rules=("C-BR-01", "C-BR-02"),
    purpose="A sender need not know where a chunk will end, nor how long the message is.",
    expects="200 to chunks with * in their Byte-Range, and success reports about all octets.",
)
async def ranges_that_say_nothing(bench: Bench) -> None:
    message = Pieces(await session(bench))
    last = len(message.body)
    await message.take(
        message.piece(1, 100, "+", end=None, total=None),
        message.piece(101, last, "$", end=None, total=None),
    )
    await message.whole()


@case(
    "MSRP-CHK-006",
    "RFC 4975 §7.1.1, §7.3.1",
    suite=SUITE,
    roles=MSRP,
    rules=("C-BR-06", "C-FRM-09"),
    purpose="How much came counts, not the end that Byte-Range announces: a chunk may be interrupted.",
    expects="Success reports about all octets of a message whose first chunk broke off early.",
)
async def chunk_that_broke_off(bench: Bench) -> None:
    message = Pieces(await session(bench))
    last = len(message.body)
    first = message.piece(1, 100, "+", end=last)
    await message.take(first, message.piece(101, last, "$"))
    await message.whole()


@case(
    "MSRP-CHK-007",
    "RFC 4975 §5.1",
    suite=SUITE,
    roles=MSRP,
    rules=("C-BR-05",),
    purpose="Chunks of two messages may alternate.",
    expects="200 to each, and success reports about both messages.",
)
async def two_messages_by_turns(bench: Bench) -> None:
    chat = await session(bench)
    one, other = Pieces(chat), Pieces(chat, TEXT[::-1])
    await one.take(one.piece(1, 300, "+"))
    await other.take(other.piece(1, 200, "+"))
    await one.take(one.piece(301, len(one.body), "$"))
    await other.take(other.piece(201, len(other.body), "$"))
    reports = {one.id: len(one.body), other.id: len(other.body)}
    for message_id, size in reports.items():
        await chat.whole(message_id, size)


@case(
    "MSRP-CHK-008",
    "RFC 4975 §7.1, §7.3.1",
    suite=SUITE,
    roles=MSRP,
    rules=("C-BR-08",),
    purpose="A message that its sender gives up is thrown away.",
    expects="A response to the request that is ended by #, and no success report about its octets.",
)
async def message_that_is_given_up(bench: Bench) -> None:
    chat = await session(bench)
    message = Pieces(chat)
    last = len(message.body)
    await message.take(message.piece(1, 100, "+"))
    await chat.answer(message.piece(101, 200, "#", end=None))
    while (received := await chat.link.receive(2 * bench.options.t1, is_report)) is not None:
        told = received.report
        bench.check(
            told.message_id != message.id or told.status != 200 or (told.end or last) <= 100,
            "a success report about a message that was given up",
        )
    await chat.alive()


@case(
    "MSRP-CHK-009",
    "RFC 4975 §7.3.1",
    suite=SUITE,
    roles=MSRP,
    rules=("C-BR-10",),
    purpose="A receiver takes chunks of any size; some clients send 10 240 octets with a fixed end.",
    expects="200 to each, and success reports about all octets.",
)
async def large_chunks_with_a_fixed_end(bench: Bench) -> None:
    chat = await session(bench)
    message = Pieces(chat, TEXT * 30)
    last = len(message.body)
    if chat.media.max_size is not None and chat.media.max_size < last:
        bench.not_applicable(f"the target takes no more than {chat.media.max_size} octets")
    await message.take(message.piece(1, 10_240, "+"), message.piece(10_241, last, "$"))
    await message.whole()


@case(
    "MSRP-CHK-010",
    "RFC 4975 §8.6, §10.5",
    suite=SUITE,
    roles=MSRP,
    rules=("C-BR-13",),
    purpose="More than the size that the target has named is too much.",
    expects="413 to a chunk of a message that says it is longer.",
)
async def message_longer_than_the_limit(bench: Bench) -> None:
    chat = await session(bench)
    if chat.media.max_size is None:
        bench.not_applicable("the target names no max-size")
    content_type, body = chat.content(TEXT)
    chunk = chat.chunk(body, content_type, flag="+", end=None, total=chat.media.max_size + 1)
    status = (await chat.answer(chunk)).response.status
    if status != 413:
        bench.remark(f"a message longer than max-size is answered with {status}, not 413")


@case(
    "MSRP-CHK-011",
    "RFC 4975 §7.1, §7.1.1",
    suite=SUITE,
    roles={"msrp", "uac"},
    rules=("C-BR-01", "C-BR-02", "C-BR-05", "C-FRM-03"),
    purpose="What the target sends in chunks follows on without gaps, under one Message-ID, and lets others through.",
    expects="Ranges that touch, one type, one Message-ID; more than 2048 octets only with * as the end.",
)
async def chunks_of_the_target(bench: Bench) -> None:
    chat, first = await visited(bench, LONG)
    chunks = await written(chat, first)
    expected = 1
    for chunk in chunks:
        bench.check(chunk.start == expected, f"octet {expected} should follow, {chunk.start} does")
        bench.check(chunk.message_id == chunks[0].message_id, "the Message-ID changes between the chunks of a message")
        bench.check(chunk.content_type == chunks[0].content_type, "the type changes between the chunks of a message")
        bench.check(
            chunk.end is None or len(chunk.body) <= LARGEST_FIXED,
            f"a chunk of {len(chunk.body)} octets with a fixed end can't be interrupted",
        )
        expected += len(chunk.body)
    bench.check(chunks[-1].flag == "$", f"the last chunk ends with {chunks[-1].flag}")
    total = chunks[-1].total
    bench.check(total in (None, expected - 1), f"the range says {total} octets, {expected - 1} came")
