"""The two ends of a transfer, with and without a wrapper: D-FTM-08, D-FTM-12, D-FTM-13."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipstack.errors import MessageTooLarge, ParseError
from sipstack.net.fileends import HEAD_LIMIT, FilePart, FileWriter
from sipstack.net.notices import ANONYMOUS
from tests.sipstack.net.filehelpers import MemoryFile

FILE = bytes(range(256)) * 4
HEAD = ANONYMOUS.render_head("image/png", len(FILE), datetime="2026-11-22T10:15:30Z")


def writer(disk: MemoryFile, *, start: int = 0, stop: int = len(FILE), wrapped: bool = False) -> FileWriter:
    """Return a sink that writes to ``disk``."""
    return FileWriter(disk, start, stop, wrapped=wrapped, on_written=lambda octets: None)


def test_a_part_is_a_message_of_its_own() -> None:
    """D-FTM-08: octets 5001 and following of the file are octets 1 and following of the message."""
    part = FilePart(MemoryFile(FILE), 100, 300, b"head")
    assert (part.size, part.head_size) == (204, 4)
    assert part.read(0, 2) == b"he"
    assert part.read(2, 100) == b"ad"
    assert part.read(4, 1000) == FILE[100:300]
    assert part.read(104, 7) == FILE[200:207]
    assert FilePart(MemoryFile(FILE), 5, 5).size == FilePart(MemoryFile(FILE), 5, 4).size == 0


def test_a_part_is_written_where_it_belongs() -> None:
    """D-FTM-08: the same the other way round."""
    disk = MemoryFile(FILE[:100])
    sink = writer(disk, start=100)
    sink.write(10, FILE[110:])
    sink.write(0, FILE[100:110])
    assert (disk.content, sink.end, sink.is_open, sink.wrapper) == (FILE, len(FILE), True, None)


def test_no_octet_comes_behind_the_end() -> None:
    """D-FTM-12: more than was announced."""
    sink = writer(MemoryFile())
    with pytest.raises(MessageTooLarge) as caught:
        sink.write(len(FILE), b"x")
    assert caught.value.status == 413


@given(st.lists(st.integers(0, len(HEAD) + len(FILE)), max_size=6), st.randoms(use_true_random=False))
def test_a_wrapped_file_comes_in_any_pieces_and_order(cuts: list[int], chance: Random) -> None:
    """D-FTM-13: any chunking gives the same file."""
    message = HEAD + FILE
    edges = sorted({0, *cuts, len(message)})
    pieces = [(start, message[start:stop]) for start, stop in zip(edges, edges[1:], strict=False)]
    chance.shuffle(pieces)
    disk = MemoryFile()
    sink = writer(disk, wrapped=True)
    for start, piece in pieces:
        sink.write(start, piece)
    assert disk.content == FILE and sink.is_open
    assert sink.wrapper is not None and sink.wrapper.content_type == "image/png"
    # a repetition changes nothing
    sink.write(0, message[:40])
    sink.write(len(HEAD) - 3, message[len(HEAD) - 3 : len(HEAD) + 5])
    assert disk.content == FILE


def test_what_has_no_wrapper_is_given_up() -> None:
    """D-FTM-13: never more in memory than a wrapper may have."""
    sink = writer(MemoryFile(), stop=10**6, wrapped=True)
    sink.write(0, b"x" * HEAD_LIMIT)
    assert not sink.is_open
    with pytest.raises(ParseError, match="no message/cpim wrapper"):
        sink.write(HEAD_LIMIT, b"x")
    sink = writer(MemoryFile(), wrapped=True)
    with pytest.raises(ParseError) as caught:
        sink.write(0, HEAD.replace(b"Content-Length", b"Content-Transfer-Encoding: base64\r\nX"))
    assert caught.value.status == 415
