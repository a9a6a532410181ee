"""Feed the SIP parsers with broken messages: each is accepted or refused by a ParseError, nothing else happens.

Run it from the top of the repository: ``python -m scripts.fuzz_sip --count 20000 --seed 7``. The same seed gives the
same octets. What breaks a rule is printed as a Python literal, ready for a regression test; the exit status is 1 then.
"""

from __future__ import annotations

import argparse
import random
import sys
import traceback
from collections import Counter

from gateway.lab.conformance.torture import VECTORS
from sipstack.errors import ParseError
from sipstack.sip.message import Message, Request, Response
from sipstack.sip.parser import StreamParser, parse_message, validate

SPLICES = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\x00",
    b" ",
    b"\t",
    b'"',
    b"\\",
    b"<",
    b">",
    b";",
    b",",
    b":",
    b"@",
    b"%00",
    b"=",
    b"\xff",
]
SPLICES += [
    b"\r\n ",
    b"\r\n\r\n",
    b"[",
    b"]",
    b"4294967296",
    b"-1",
    b"sip:",
    b"tel:",
    b"*",
    b"(",
    b")",
    "\u0661".encode(),
]

TYPED = [name for name in dir(Message) if isinstance(getattr(Message, name), property)]


def mutate(chance: random.Random, corpus: list[bytes]) -> bytes:
    """Return a message with some octets removed, doubled, replaced or put in."""
    data = chance.choice(corpus)
    for _ in range(chance.choice((0, 1, 1, 2, 3, 8))):
        position = chance.randrange(len(data) + 1)
        length = chance.choice((0, 1, 1, 2, 5, 40))
        kind = chance.randrange(4)
        if kind == 0:
            data = data[:position] + data[position + length :]
        elif kind == 1:
            data = data[:position] + chance.choice(SPLICES) * chance.choice((1, 1, 2, 300)) + data[position:]
        elif kind == 2:
            data = data[:position] + chance.randbytes(length) + data[position + length :]
        else:
            other = chance.choice(corpus)
            data = data[:position] + other[chance.randrange(len(other)) :]
    return data


def check_datagram(data: bytes) -> str:
    """Return what became of a datagram."""
    try:
        message = parse_message(data)
        validate(message)
    except ParseError as error:
        if isinstance(error.message, Request):
            bytes(Response.for_request(error.message, error.status, to_tag="t"))
            return f"answered {error.status}"
        return "dropped"
    for name in TYPED:  # validate promises that these can be read now
        getattr(message, name)
    written = bytes(message)
    again = parse_message(written)
    validate(again)
    assert bytes(again) == written, "what we write reads differently"
    return "accepted"


def on_a_stream(chunks: list[bytes]) -> list[str]:
    """Return what a stream parser says to the chunks."""
    parser = StreamParser()
    said: list[str] = []
    for chunk in chunks:
        parser.receive_data(chunk)
        while True:
            try:
                message = parser.next_message()
            except ParseError as error:
                said.append(str(error))
                continue
            if message is None:
                break
            said.append(repr(message.raw))
    return said


def check_stream(data: bytes, chance: random.Random) -> None:
    """Check that the cuts make no difference."""
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(4))
    edges = [0, *cuts, len(data)]
    chunks = [data[start:end] for start, end in zip(edges, edges[1:], strict=False)]
    assert on_a_stream(chunks) == on_a_stream([data]), "the cuts made a difference"


def main() -> int:
    """Run and return the exit status."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=10_000, help="messages to try (default %(default)s)")
    options.add_argument("--seed", type=int, default=1, help="of the random numbers (default %(default)s)")
    arguments = options.parse_args()
    chance = random.Random(arguments.seed)
    corpus = [path.read_bytes() for path in sorted(VECTORS.glob("*.dat"))]
    outcomes: Counter[str] = Counter()
    for _ in range(arguments.count):
        data = mutate(chance, corpus)
        try:
            outcomes[check_datagram(data)] += 1
            check_stream(data, chance)
        except Exception:
            traceback.print_exc()
            print(f"by {data!r}")
            outcomes["FAILED"] += 1
    for outcome, number in outcomes.most_common():
        print(f"{number:8} {outcome}")
    return 1 if outcomes["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())
