"""What the fuzzers share: mutated inputs, a loop that counts outcomes, and a look at the memory."""

from __future__ import annotations

import argparse
import random
import traceback
import tracemalloc
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

VECTORS = Path(__file__).parent.parent / "tests" / "vectors"

SPLICES = [b"\r\n", b"\n", b"\r", b"\x00", b" ", b":", b"-------", b"$", b"+", b"#", b"*", b"/", b"\xff", b"\\", b"<"]
SPLICES += [b"\r\n\r\n", b"\r\n-------", b"99999999999999999999", b"MSRP abcd SEND\r\n", b"To-Path: ", b";tcp", b"0"]
SPLICES += [b">", b'"', b"&", b"&#0;", b"<!--", b"]]>", b"--", b"%00", b"=", b",", "\u0661\u2028".encode()]

SAMPLE = 2000
"""Inputs between two that are run with an eye on memory."""
PEAK = 4 << 20
"""Octets that handling one input of some kilobytes may take at most: no number in it makes us reserve more."""
GROWTH = 16 << 20
"""Octets that the process may have more at its end than after the first inputs: nothing is kept of what is over."""
MAX_FAILURES = 20
"""Inputs that break a rule after which there is enough to repair."""

Check = Callable[[random.Random, bytes], str]
"""Takes one input and returns what became of it; what it raises is a failure."""


def mutate(chance: random.Random, corpus: Sequence[bytes]) -> bytes:
    """Return one or two samples with some octets removed, doubled, replaced or put in; sometimes mere noise."""
    if chance.random() < 0.03:
        return chance.randbytes(chance.randrange(300))
    data = bytearray(b"".join(chance.choices(corpus, k=chance.choice((1, 1, 2)))))
    for _ in range(chance.choice((0, 1, 1, 2, 3, 6))):
        start = chance.randrange(len(data) + 1)
        stop = min(len(data), start + chance.randrange(12))
        piece = bytes(data[start:stop])
        data[start:stop] = chance.choice((b"", piece * 2, chance.choice(SPLICES), chance.randbytes(3)))
    return bytes(data)


def vectors(name: str) -> list[bytes]:
    """Return the samples of a folder of the tests; those that a fuzzer once found are among them."""
    return [path.read_bytes() for path in sorted((VECTORS / name).glob("*.dat"))]


def resident() -> int:
    """Return the octets of memory that the process has; 0 where nobody tells."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    except OSError:
        return 0


def run(description: str | None, checks: Mapping[str, Check], corpora: Mapping[str, Sequence[bytes]]) -> int:
    """Run the command line of a fuzzer; return the exit status."""
    arguments = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--count", type=int, default=20_000, help="inputs to try (default %(default)s)")
    arguments.add_argument("--seed", type=int, default=1, help="of the random numbers (default %(default)s)")
    arguments.add_argument("--only", choices=checks, help="try this kind of input only")
    options = arguments.parse_args()
    chance = random.Random(options.seed)
    names = [options.only] if options.only else list(checks)
    outcomes: Counter[str] = Counter()
    failures = before = 0
    for number in range(options.count):
        if number == SAMPLE:
            before = resident()
        name = chance.choice(names)
        data = mutate(chance, corpora[name])
        try:
            if number % SAMPLE:
                outcomes[checks[name](chance, data)] += 1
            else:
                watched(checks[name], chance, data)
        except Exception:
            traceback.print_exc()
            print(f"{name}: {data!r}", flush=True)
            failures += 1
            if failures >= MAX_FAILURES:
                break
    for outcome, count in sorted(outcomes.items()):
        print(f"{count:9} {outcome}")
    growth = resident() - before if before else 0
    print(f"{sum(outcomes.values())} inputs, {failures} failures, memory grew by {growth >> 10} KiB")
    return 1 if failures or growth > GROWTH else 0


def watched(check: Check, chance: random.Random, data: bytes) -> None:
    """Run one check and see that it takes no more memory than it may."""
    tracemalloc.start()
    try:
        check(chance, data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < PEAK, f"{peak} octets of memory for {len(data)}"
