"""Every vector against a whole connection, those that fuzzing found among them: no cut makes a difference (G-O08)."""

from __future__ import annotations

from pathlib import Path

import pytest

from sipstack.msrp.chunk import Chunk, MsrpResponse, Report
from sipstack.msrp.parser import ChunkParser
from sipstack.msrp.stream import IncomingStream, Sink
from tests.sipstack.msrp.helpers import End, messages
from tests.utils import every_chunking

VECTORS = sorted((Path(__file__).parents[2] / "vectors" / "msrp").glob("*.dat"))


class Bowl:
    """A sink in memory."""

    def __init__(self) -> None:
        self.octets = bytearray()

    def write(self, start: int, data: bytes) -> None:
        """Keep ``data``."""
        self.octets.extend(bytes(max(0, start - len(self.octets))))
        self.octets[start : start + len(data)] = data


def outcome(chunks: list[bytes], *, streams: bool) -> tuple[list[bytes], list[str], bool]:
    """Return the bodies that come, what is answered, and whether the connection is to be closed."""
    end, bowls, bodies = End(), dict[IncomingStream, Bowl](), []
    session = end.session(max_size=100_000)

    def take(stream: IncomingStream) -> Sink:
        bowls[stream] = Bowl()
        return bowls[stream]

    if streams:
        session.on_stream = take
    for chunk in chunks:
        for message in messages(end.receive(chunk)):
            body = message.body if message.stream is None else bytes(bowls[message.stream].octets[: message.size])
            bodies.append(body)
            message.accept()
    written = end.output()
    parser = ChunkParser()
    parser.receive_data(written)
    answers = []
    while (frame := parser.next_frame()) is not None:
        assert isinstance(frame, Chunk | MsrpResponse | Report), f"we wrote {frame}"
        answers.append(f"{frame.transaction_id} {frame.status}" if isinstance(frame, MsrpResponse) else "report")
    assert not parser.dropped
    return bodies, sorted(answers), end.connection.is_closing


@pytest.mark.parametrize("streams", [False, True], ids=["memory", "sink"])
@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_vector_in_any_cut(path: Path, streams: bool) -> None:
    every_chunking(path.read_bytes(), lambda chunks: outcome(chunks, streams=streams))


def test_message_whose_type_was_forgotten_once() -> None:
    # C-FRM-04: refused with 400, taken when it comes again with its type.
    (path,) = (path for path in VECTORS if path.stem == "type-forgotten-once")
    for streams in (False, True):
        bodies, answers, closing = outcome([path.read_bytes()], streams=streams)
        assert bodies == [b"repeated"] and answers == ["tid008x000 400"] and not closing
