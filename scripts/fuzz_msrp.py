"""Feed MSRP connections, CPIM and SDP with broken input: it is taken, answered or refused by a typed error.

Run it from the top of the repository: ``python -m scripts.fuzz_msrp --count 20000 --seed 7``. The same seed gives the
same octets. What breaks a rule is printed as a Python literal, ready for a regression test; the exit status is 1 then.
"""

from __future__ import annotations

import argparse
import random
import sys
import traceback
from collections import Counter
from pathlib import Path

from sipstack.errors import RemoteProtocolError
from sipstack.im.cpim import CpimMessage
from sipstack.msrp.connection import MsrpConnection
from sipstack.msrp.message import IncomingMessage
from sipstack.msrp.session import MsrpSession
from sipstack.msrp.table import SessionTable
from sipstack.msrp.uri import MsrpUri
from sipstack.sdp import SessionDescription
from sipstack.sdp_msrp import msrp_media

VECTORS = Path(__file__).parent.parent / "tests" / "vectors"
OURS = MsrpUri.parse("msrp://192.0.2.10:2855/aV7pKe03;tcp")
SPLICES = [b"\r\n", b"\n", b"\r", b"\x00", b" ", b":", b"-------", b"$", b"+", b"#", b"*", b"/", b"\xff", b"\\", b"<"]
SPLICES += [b"\r\n\r\n", b"\r\n-------", b"99999999999999999999", b"MSRP abcd SEND\r\n", b"To-Path: ", b";tcp", b"0"]


def mutate(chance: random.Random, corpus: list[bytes]) -> bytes:
    """Return one or two vectors with some octets removed, doubled, replaced or put in."""
    data = bytearray(b"".join(chance.choices(corpus, k=chance.choice((1, 1, 2)))))
    for _ in range(chance.choice((0, 1, 1, 2, 3, 6))):
        start = chance.randrange(len(data) + 1)
        stop = min(len(data), start + chance.randrange(12))
        piece = bytes(data[start:stop])
        data[start:stop] = chance.choice((b"", piece * 2, chance.choice(SPLICES), chance.randbytes(3)))
    return bytes(data)


def run_msrp(data: bytes, cuts: list[int]) -> tuple[list[bytes], bool]:
    """Return the bodies that arrive and whether the connection is to be closed, for one way to cut ``data``."""
    table = SessionTable()
    table.add(MsrpSession(OURS, max_size=100_000))
    connection = MsrpConnection(table, 0.0)
    bodies: list[bytes] = []
    edges = [0, *cuts, len(data)]
    for start, stop in zip(edges, edges[1:], strict=False):
        connection.receive_data(data[start:stop], 0.0)
        while (event := connection.next_event()) is not None:
            if isinstance(event, IncomingMessage):
                bodies.append(event.body)
                event.accept()
        while connection.data_to_send(0.0):
            pass
    closing = connection.is_closing
    connection.handle_timer(100.0)
    connection.receive_eof()
    return bodies, closing


def check_msrp(chance: random.Random, data: bytes) -> str:
    """Feed ``data`` whole and cut; the outcome must be the same."""
    whole = run_msrp(data, [])
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(1, 8)))
    assert run_msrp(data, cuts) == whole, f"cut at {cuts}"
    return f"msrp {'closed' if whole[1] else 'open'}, {len(whole[0])} messages"


def check_cpim(chance: random.Random, data: bytes) -> str:
    """Parse ``data`` and look at everything."""
    try:
        message = CpimMessage.parse(data)
    except RemoteProtocolError as error:
        return f"cpim {error.status}"
    assert bytes(message) == data
    for value in (message.subject, message.datetime, message.imdn_message_id):
        assert value is None or value.encode() is not None, "a value that can't be written"
    return "cpim accepted"


def check_sdp(chance: random.Random, data: bytes) -> str:
    """Parse ``data``, write it and parse it again."""
    try:
        description = SessionDescription.parse(data)
        assert SessionDescription.parse(str(description)) == description
        msrp_media(description)
    except RemoteProtocolError as error:
        return f"sdp {error.status}"
    return "sdp accepted"


CHECKS = {"msrp": check_msrp, "cpim": check_cpim, "sdp": check_sdp}


def main() -> int:
    """Run the command line; return the exit status."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--count", type=int, default=20_000, help="inputs to try")
    arguments.add_argument("--seed", type=int, default=1)
    options = arguments.parse_args()
    chance = random.Random(options.seed)
    corpora = {name: [path.read_bytes() for path in sorted((VECTORS / name).glob("*.dat"))] for name in CHECKS}
    outcomes: Counter[str] = Counter()
    for _ in range(options.count):
        name = chance.choice(list(CHECKS))
        data = mutate(chance, corpora[name])
        try:
            outcomes[CHECKS[name](chance, data)] += 1
        except Exception:
            traceback.print_exc()
            print(f"{name}: {data!r}")
            return 1
    for outcome, count in sorted(outcomes.items()):
        print(f"{count:7} {outcome}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
