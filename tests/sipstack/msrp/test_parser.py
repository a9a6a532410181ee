"""From bytes to frames: C-FRM-*, C-BAD-01 to C-BAD-09 as far as they are syntax."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipstack.errors import ParseError
from sipstack.msrp.chunk import BadRequest, Chunk, Frame, MsrpResponse, OtherRequest, Report
from sipstack.msrp.head import MAX_HEADERS, parse_byte_range
from sipstack.msrp.parser import MAX_HEAD, MAX_SKIPPED, ChunkParser
from sipstack.msrp.plain import PLAIN_RESPONSE, PLAIN_SEND
from tests.sipstack.msrp.helpers import OURS, THEIRS, answer, frame, frames_of, report, send
from tests.utils import every_chunking

VECTORS = Path(__file__).parents[2] / "vectors" / "msrp"


def merged(chunks: list[bytes]) -> list[Frame | str]:
    """Feed ``chunks`` and return the frames, pieces of a SEND joined, then the error if there was one."""
    parser = ChunkParser()
    found: list[Frame | str] = []
    partial: list[Chunk] = []
    try:
        for data in chunks:
            parser.receive_data(data)
            while (one := parser.next_frame()) is not None:
                if isinstance(one, Chunk):
                    partial.append(one)
                    if not one.flag:
                        continue
                    first = partial[0]
                    one = first.piece(0, b"".join(piece.body for piece in partial), one.flag)
                    for before, after in zip(partial, partial[1:], strict=False):
                        assert after.start == before.start + len(before.body)
                    partial = []
                found.append(one)
    except ParseError as error:
        found.append(f"{error.what} {type(error.message).__name__}")
    return found


def parse(data: bytes) -> list[Frame | str]:
    """Return what comes of ``data`` however it is cut."""
    return every_chunking(data, merged)


IDENTS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9.+%=-]{3,31}", fullmatch=True)
CHUNKS = st.builds(
    Chunk,
    transaction_id=IDENTS,
    to_path=st.just(OURS),
    from_path=st.sampled_from([THEIRS, f"{THEIRS} {OURS}"]),
    message_id=IDENTS,
    start=st.integers(1, 5),
    end=st.none() | st.integers(5, 9),
    total=st.none() | st.integers(9, 99),
    success_report=st.booleans(),
    failure_report=st.sampled_from(["yes", "no", "partial"]),
    content_type=st.sampled_from(["text/plain", "message/cpim"]),
    body=st.binary(max_size=60) | st.sampled_from([b"\r\n", b"\r\n\r\n", b"\r\n-------", b"-------abcd$\r\n"]),
    flag=st.sampled_from(["$", "+", "#"]),
    headers=st.sampled_from([(), (("X-Foo", "1"), ("Use-Nickname", '"a: b"'))]),
)
REPORTS = st.builds(
    Report,
    transaction_id=IDENTS,
    to_path=st.just(OURS),
    from_path=st.just(THEIRS),
    message_id=IDENTS,
    start=st.just(1),
    end=st.none() | st.integers(1, 9),
    total=st.none() | st.integers(9, 99),
    namespace=st.sampled_from(["000", "001"]),
    status=st.integers(100, 699),
    comment=st.sampled_from(["", "OK", "no such thing"]),
)
RESPONSES = st.builds(
    MsrpResponse,
    transaction_id=IDENTS,
    status=st.integers(0, 999),
    comment=st.sampled_from(["", "OK", "äöü"]),
    to_path=st.just(OURS),
    from_path=st.just(THEIRS),
)


def ends_early(one: Frame) -> bool:
    """Tell whether a generated body happens to hold the end-line of its own frame."""
    return isinstance(one, Chunk) and f"-------{one.transaction_id}".encode() in one.body


@settings(max_examples=60, deadline=None)
@given(
    st.lists((CHUNKS | REPORTS | RESPONSES).filter(lambda one: not ends_early(one)), min_size=1, max_size=4), st.data()
)
def test_round_trip_of_any_frames_in_any_cut(frames: list[Frame], data: st.DataObject) -> None:
    # G-O08
    octets = b"".join(map(bytes, frames))  # type: ignore[arg-type]  # each of the three has __bytes__
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=8)))
    edges = [0, *cuts, len(octets)]
    assert merged([octets[a:b] for a, b in zip(edges, edges[1:], strict=False)]) == frames


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda junk: send()[:90] + junk), st.integers(0, 200))
def test_any_octets_give_frames_or_a_parse_error(octets: bytes, cut: int) -> None:
    # C-BAD-01: and the same ones in any cut.
    assert merged([octets[:cut], octets[cut:]]) == merged([octets])


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 300), st.binary(min_size=1, max_size=6), st.integers(0, 400))
def test_a_damaged_frame_gives_the_same_in_any_cut(at: int, junk: bytes, cut: int) -> None:
    octets = send(extra="Failure-Report: partial\nSuccess-Report: yes\n") + answer("abcd1234")
    octets = octets[:at] + junk + octets[at + len(junk) :]
    assert merged([octets[:cut], octets[cut:]]) == merged([octets])


def expected() -> list[tuple[str, dict[str, object]]]:
    """Return the vectors with what is to come of them."""
    table = tomllib.loads((VECTORS / "expected.toml").read_text())
    return sorted(table.items())


@pytest.mark.parametrize(("name", "outcome"), expected())
def test_vector(name: str, outcome: dict[str, object]) -> None:
    """One file for each rule, named in ``expected.toml`` with the class of each frame and some of its fields."""
    found = parse((VECTORS / f"{name}.dat").read_bytes())
    kinds = ["error" if isinstance(one, str) else type(one).__name__ for one in found]
    assert kinds == outcome["frames"]
    for key, value in outcome.items():
        if key not in ("frames", "rule"):
            first = found[0]
            actual = getattr(first, key)
            assert (len(actual) if isinstance(actual, bytes) else actual) == value, key


def test_every_vector_is_expected() -> None:
    assert {path.stem for path in VECTORS.glob("*.dat")} == {name for name, _ in expected()}


@pytest.mark.parametrize("size", [0, 1, 24, 25, 26, 27, 2048])
def test_body_split_at_every_octet(size: int) -> None:
    # C-FRM-09: no cut hides the end-line, whatever stands before it.
    octets = send(body=b"\r\n-------d93kswow2a!"[:size].ljust(size, b"x"))
    for cut in range(len(octets) - 60, len(octets)):
        assert merged([octets[:cut], octets[cut:]]) == merged([octets])


def test_body_keeps_its_line_breaks() -> None:
    # C-FRM-06: only the last CRLF is no data.
    (chunk,) = parse(send(body=b"a\r\n\r\n"))
    assert isinstance(chunk, Chunk) and chunk.body == b"a\r\n\r\n"


def test_end_line_of_another_transaction_is_data() -> None:
    # C-FRM-08, C-FRM-09
    body = b"x\r\n-------other123$\r\n\r\n-------d93kswow2a!\r\n-------d93kswow2a$x"
    (chunk,) = parse(send(body=body))
    assert isinstance(chunk, Chunk) and chunk.body == body


def test_transaction_id_that_begins_another() -> None:
    # "+" may stand in an identifier: only the CRLF behind the flag tells.
    body = b"x\r\n-------abcd+efg$\r\n"
    (chunk,) = parse(send("abcd", body))
    assert isinstance(chunk, Chunk) and chunk.body == body


def test_same_transaction_id_twice() -> None:
    # C-BAD-07
    first, second = parse(send(body=b"one") + send(body=b"two", message_id="another1"))
    assert isinstance(first, Chunk) and isinstance(second, Chunk)
    assert (first.body, second.body) == (b"one", b"two")


@pytest.mark.parametrize("identifier", ["abc", "a" * 33, "-abcd", "ab cd"])
def test_identifiers_have_4_to_32_characters(identifier: str) -> None:
    # C-FRM-02
    (bad,) = parse(send(message_id=identifier))
    assert isinstance(bad, BadRequest)
    (error,) = parse(send(identifier))
    assert isinstance(error, str)


@pytest.mark.parametrize("identifier", ["abcd", "a" * 32, "a.-+%=1"])
def test_identifiers_of_any_permitted_kind(identifier: str) -> None:
    (chunk,) = parse(send(identifier, message_id=identifier))
    assert isinstance(chunk, Chunk) and chunk.message_id == identifier


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1-318/318", (1, 318, 318)),
        ("1-*/4300", (1, None, 4300)),
        ("2049-*/*", (2049, None, None)),
        ("1-0/0", (1, 0, 0)),
        ("0-5/5", None),
        ("5-4/9", None),
        ("2-1/9", None),
        ("1-10/9", None),
        ("x", None),
        ("1-2", None),
        ("1-2/3 ", None),
        ("1-" + "9" * 19 + "/*", None),
    ],
)
def test_byte_range(text: str, value: tuple[int, int | None, int | None] | None) -> None:
    # C-BR-01, C-BAD-05
    assert parse_byte_range(text) == value


@pytest.mark.parametrize(
    "extra",
    [
        "FooBar\n",  # C-BAD-04
        "Foo Bar: x\n",
        ": x\n",
        "Message-ID: second01\n",  # C-BAD-08
        "Byte-Range: 1-5/5\n",
        f"To-Path: {OURS}\n",
        "Failure-Report: maybe\n",
        "X: " + "y" * 4100 + "\n",
        "X: 1\n" * MAX_HEADERS,
    ],
)
def test_faults_that_are_answered(extra: str) -> None:
    bad, good = parse(send(extra=extra) + send("next1234"))
    assert isinstance(bad, BadRequest) and isinstance(good, Chunk)
    # Where nothing was said about reports, the sender wants its answer.
    assert (bad.transaction_id, bad.from_path, bad.failure_report) == ("d93kswow2a", THEIRS, "yes")


def test_wish_for_silence_is_read_from_faulty_requests_too() -> None:
    # C-BAD-11
    (bad,) = parse(send(extra="Failure-Report: no\nByte-Range: x\n"))
    assert isinstance(bad, BadRequest) and bad.failure_report == "no"


def test_headers_that_are_not_utf8() -> None:
    octets = send(extra="X-Name: ?\n").replace(b"?", b"\xff")
    (bad,) = parse(octets)
    assert isinstance(bad, BadRequest) and "UTF-8" in bad.reason


def test_head_without_end() -> None:
    # C-FRM-12, C-BAD-04: 100 kB in one header line: somebody is told, then the stream is dead.
    octets = send(extra="X: " + "y" * 100_000 + "\n")
    (error,) = merged([octets])
    assert isinstance(error, str) and error.endswith("BadRequest")
    assert merged([octets[i : i + 1000] for i in range(0, len(octets), 1000)]) == [error]
    (error,) = merged([b"MSRP abcd SEND\r\nX: " + b"y" * MAX_HEAD])
    assert isinstance(error, str) and error.endswith("NoneType")


def test_body_of_a_faulty_request_is_skipped_within_limits() -> None:
    # C-BAD-04
    body = b"z" * (MAX_SKIPPED + 100_000)
    octets = send(body=body, extra="FooBar\n")
    parser = ChunkParser()
    with pytest.raises(ParseError):
        for start in range(0, len(octets), 65536):
            parser.receive_data(octets[start : start + 65536])
            while parser.next_frame() is not None:
                pass


@pytest.mark.parametrize(
    "text",
    [
        f"MSRP abcd 200 OK\nTo-Path: {OURS}\n-------abcd$\n",
        f"MSRP abcd 200 OK\nFrom-Path: {THEIRS}\nTo-Path: {OURS}\n-------abcd$\n",
        f"MSRP abcd REPORT\nTo-Path: {OURS}\nFrom-Path: {THEIRS}\nMessage-ID: 1234\n-------abcd$\n",
        f"MSRP abcd REPORT\nTo-Path: {OURS}\nFrom-Path: {THEIRS}\nStatus: 000 200\n-------abcd$\n",
        f"MSRP abcd REPORT\nTo-Path: {OURS}\nFrom-Path: {THEIRS}\nMessage-ID: 1234\nByte-Range: 0-1/1\n"
        "Status: 000 200\n-------abcd$\n",
    ],
)
def test_nobody_answers_faulty_responses_and_reports(text: str) -> None:
    parser = ChunkParser()
    parser.receive_data(frame(text) + answer("good1234"))
    good = parser.next_frame()
    assert isinstance(good, MsrpResponse) and good.transaction_id == "good1234"
    assert parser.dropped == 1


@pytest.mark.parametrize("octets", [answer("abcd1234"), report("000 200 OK", message_id="abcd")])
def test_responses_and_reports_are_never_chunked(octets: bytes) -> None:
    # C-FRM-10
    (error,) = parse(octets[:-3] + b"+\r\n")
    assert isinstance(error, str)


@pytest.mark.parametrize(("size", "kept"), [(10_240, 1), (10_241, 0)])
def test_body_of_a_report(size: int, kept: int) -> None:
    # C-BR-09
    octets = report("000 200 OK", message_id="abcd")
    end = octets.index(b"-------k2p0")
    octets = octets[:end] + b"Content-Type: text/plain\r\n\r\n" + b"r" * size + b"\r\n" + octets[end:]
    for chunks in ([octets], [octets[:3000], octets[3000:]]):
        assert len(merged(chunks)) == kept


def test_blank_line_without_body() -> None:
    # C-FRM-07, as tolerant as it can be: the CRLF before the end-line is missing.
    (chunk,) = parse(send(body=None, extra="Content-Type: text/plain\n\n"))
    assert isinstance(chunk, Chunk) and (chunk.content_type, chunk.body, chunk.flag) == ("text/plain", b"", "$")


def test_no_headers_at_all() -> None:
    # C-BAD-03
    (error,) = parse(b"MSRP abcd SEND\r\n-------abcd$\r\n")
    assert isinstance(error, str)


def test_large_body_comes_in_pieces() -> None:
    octets = send(body=b"q" * 200_000)
    parser = ChunkParser()
    sizes = []
    for start in range(0, len(octets), 65536):
        parser.receive_data(octets[start : start + 65536])
        while (one := parser.next_frame()) is not None:
            assert isinstance(one, Chunk)
            sizes.append(len(one.body))
    assert sum(sizes) == 200_000 and len(sizes) == 4


def test_bytes_of_frames_without_optional_parts() -> None:
    bare = Report("abcd1234", OURS, THEIRS, "m123")
    assert frames_of(bytes(bare)) == [bare]
    empty = Chunk("abcd1234", OURS, THEIRS, "m123", 1, 0, 0)
    assert bytes(empty) == frame(
        f"MSRP abcd1234 SEND\nTo-Path: {OURS}\nFrom-Path: {THEIRS}\nMessage-ID: m123\nByte-Range: 1-0/0\n"
        "Success-Report: no\nFailure-Report: yes\n-------abcd1234$\n"
    )
    assert frames_of(bytes(empty)) == [empty]


def test_other_methods() -> None:
    # C-FRM-11
    octets = send(body=b"x" * 20).replace(b" SEND", b" NICKNAME")
    (other,) = parse(octets)
    assert isinstance(other, OtherRequest) and other.method == "NICKNAME"


@given(CHUNKS)
def test_the_quick_and_the_general_way_read_the_same(chunk: Chunk) -> None:
    # Header names are compared without regard to case (C-FRM-05): written otherwise, the general way reads them.
    octets = bytes(chunk)
    assert frames_of(octets) == frames_of(octets.replace(b"\r\nMessage-ID: ", b"\r\nmessage-id: "))


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(" ".join([THEIRS] * 20), id="twenty URIs"),
        pytest.param(f"{THEIRS};name=caf\u00e9", id="beyond ASCII"),
        pytest.param(f"{THEIRS}\t", id="a tab behind"),
    ],
)
def test_paths_that_are_not_plain(path: str) -> None:
    """What the quick way does not take is read nevertheless."""
    (chunk,) = frames_of(send(by=path))
    (response,) = frames_of(answer("abcd1234").replace(THEIRS.encode(), path.encode()))
    assert isinstance(chunk, Chunk) and isinstance(response, MsrpResponse)
    assert chunk.from_path == response.from_path == path.strip()


@pytest.mark.parametrize(("length", "is_quick"), [(500, True), (50_000, False)])
def test_what_is_remembered_is_short(length: int, is_quick: bool) -> None:
    """C-FRM-12: strangers cannot fill the memory with paths and types that are kept although they make no sense."""
    junk = "x" * length
    response = answer("abcd1234").replace(THEIRS.encode(), junk.encode())
    assert (PLAIN_RESPONSE.match(response) is not None) is is_quick
    assert (PLAIN_SEND.match(send(by=junk)) is not None) is is_quick
    assert (PLAIN_SEND.match(send(content_type=junk)) is not None) is is_quick
