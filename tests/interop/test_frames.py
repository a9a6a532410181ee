"""Foreign readers take every kind of MSRP frame that we send: tshark, and Kamailio as a relay."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import get_args

import pytest

from gateway.lab.kamailio import Kamailio
from sipstack.msrp.chunk import REASONS, Chunk, FailureReport, Frame, MsrpResponse, OtherRequest, Report
from tests.e2e.world import eventually
from tests.interop import capture
from tests.interop.capture import dissect
from tests.interop.conftest import needs_kamailio
from tests.interop.frames import FLAGS, METHODS, Paths, auths, methods_written, reports, responses, sends
from tests.interop.pcap import write_segments
from tests.interop.relayend import RelayEnd
from tests.interop.test_tshark import cut_msrp, first_line, is_sound
from tests.sipstack.msrp.helpers import OURS, THEIRS, frames_of
from tests.sipstack.net.certificates import write_certificate

pytestmark = pytest.mark.interop

RELAYS = "msrp://192.0.2.30:2855/s1;tcp msrps://relay.example:2855/s2;tcp"

DIRECT = Paths(OURS, THEIRS)
RELAYED = Paths(OURS, f"{RELAYS} {THEIRS}", "msrp://192.0.2.40:2855/s3;tcp")


def every_kind(paths: Paths) -> dict[str, bytes]:
    """Return all frames by kind."""
    back = paths.remote
    return {**sends(paths), **reports(paths, back), **responses(paths, back), **auths(paths)}


def test_no_kind_is_missing() -> None:
    """What :mod:`sipstack.msrp` can write is in the catalogue; a new kind fails here until it is there."""
    assert methods_written() == METHODS
    frames = [frame for data in every_kind(DIRECT).values() for frame in frames_of(data)]
    chunks = [frame for frame in frames if isinstance(frame, Chunk)]
    assert {type(frame) for frame in frames} >= {kind for kind in get_args(Frame) if "__bytes__" in vars(kind)}
    assert {frame.method for frame in frames if isinstance(frame, OtherRequest)} == {"AUTH"}
    assert {chunk.flag for chunk in chunks if chunk.flag} == FLAGS
    assert {chunk.failure_report for chunk in chunks} == set(get_args(FailureReport))
    assert {chunk.success_report for chunk in chunks} == {True, False}
    assert {chunk.content_type is None for chunk in chunks} == {True, False}
    assert {frame.status for frame in frames if isinstance(frame, MsrpResponse)} >= REASONS.keys()
    assert {frame.status < 300 for frame in frames if isinstance(frame, Report)} == {True, False}


@pytest.mark.parametrize("paths", [DIRECT, RELAYED], ids=["direct", "relayed"])
async def test_tshark_reads_every_kind(paths: Paths, tmp_path: Path) -> None:
    if not capture.is_available():
        pytest.skip("tshark and dumpcap are not installed")
    kinds = {kind: cut_msrp(data) for kind, data in every_kind(paths).items()}
    del kinds["hard to read"]
    frames = [(kind, frame) for kind, several in kinds.items() for frame in several]
    file = tmp_path / "frames.pcap"
    # Transaction ids repeat here: each frame has a connection of its own.
    ports = [(("127.0.0.1", 10_000 + number), ("127.0.0.1", 2855)) for number in range(len(frames))]
    write_segments(file, [(ports[number], frame) for number, (_, frame) in enumerate(frames)])
    dissection = await dissect(file, msrp=[2855])
    assert dissection.complaints == []
    assert len(dissection.msrp) == len(frames)
    for (kind, frame), fields in zip(frames, dissection.msrp, strict=True):
        assert first_line(fields) == frame.partition(b"\r\n")[0].decode(), kind
        assert is_sound(fields), (kind, fields)
        read = [fields["to.path"], fields["from.path"]]
        assert read == [value.split(b": ")[1].decode() for value in frame.split(b"\r\n")[1:3]], kind


@asynccontextmanager
async def behind_a_relay(folder: Path, secure: bool) -> AsyncIterator[tuple[Kamailio, RelayEnd, RelayEnd]]:
    """Start a relay, and two ends that have paths through it."""
    needs_kamailio()
    certificate, key = write_certificate(folder, "relay")
    async with Kamailio(folder / "core", domain="cc.com", msrp=True, certificate=certificate, key=key) as core:
        for name in ("a", "b"):
            core.add_subscriber(name, f"secret of {name}")
        async with (
            RelayEnd(core, "a", "secret of a", secure=secure) as a,
            RelayEnd(core, "b", "secret of b", secure=secure) as b,
        ):
            yield core, a, b


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
async def test_the_relay_passes_every_kind(tmp_path: Path, secure: bool) -> None:
    async with behind_a_relay(tmp_path, secure) as (core, a, b):
        assert [b"Authorization: " in request for request in a.asked] == [False, True]
        from_path, unanswered = "", []
        for kind, data in sends(Paths(a.local, b.path, a.use_path)).items():
            frames = cut_msrp(data)
            await a.write(data)
            arrived = await b.read_requests(len(frames))
            assert [below_paths(frame) for frame in arrived] == [below_paths(frame) for frame in frames], kind
            to_path, from_path = paths_of(arrived[0])
            assert to_path == b.local and from_path.split(" ")[-1] == a.local, kind
            unanswered += [frame.split(b" ")[1].decode() for frame in arrived]
        # Responses go to the relay only, which has answered for itself: it has to read them.
        back = Paths(b.local, a.path, b.use_path)
        for data in responses(back, from_path, unanswered.pop).values():
            await b.write(data)
        for kind, data in reports(back, from_path).items():
            await b.write(data)
            [report] = await a.read_requests(1)
            assert below_paths(report) == below_paths(data), kind
            assert paths_of(report)[0] == a.local, kind
        assert malformed(core) == []


async def test_the_relay_would_complain(tmp_path: Path) -> None:
    """What the test above rests on: that Kamailio reads what it passes on."""
    async with behind_a_relay(tmp_path, False) as (core, a, b):
        good = sends(Paths(a.local, b.path, a.use_path))["empty"]
        await a.write(good.replace(b"To-Path", b"To-Psth"))
        await eventually(lambda: malformed(core))


def below_paths(frame: bytes) -> tuple[bytes, bytes]:
    """Return start line and all but the paths of a frame, which relays leave alone."""
    start, to_path, from_path, rest = frame.split(b"\r\n", 3)
    assert to_path.startswith(b"To-Path: ") and from_path.startswith(b"From-Path: ")
    return start, rest


def paths_of(frame: bytes) -> tuple[str, str]:
    """Return To-Path and From-Path."""
    to_path, from_path = frame.decode("utf-8", "replace").split("\r\n", 3)[1:3]
    return to_path.removeprefix("To-Path: "), from_path.removeprefix("From-Path: ")


def malformed(core: Kamailio) -> list[str]:
    """Return what Kamailio logged as wrong."""
    return [line for line in core.log.read_text().splitlines() if re.search("(ERROR|WARNING|CRITICAL): (msrp|<)", line)]
