"""Torture messages stay as odd as they are when they are made fit for a target."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.peer import Peer
from gateway.lab.conformance.torture import read_foreign, vectors
from gateway.lab.conformance.tortured import fitted
from gateway.lab.conformance.verdict import Verdict
from sipstack.errors import ParseError
from sipstack.sip.message import Request, Response
from sipstack.sip.parser import parse_message, validate

from .helpers import element, made, running


async def silent(peer: Peer, received: object) -> None:
    """An element that only has an address."""


def sound(octets: bytes) -> Request | Response | None:
    try:
        message = parse_message(octets)
        validate(message)
    except ParseError:
        return None
    return message


async def test_what_is_odd_stays_and_answers_find_us() -> None:
    async def look(bench: Bench) -> None:
        peer = await bench.sip.peer()
        for vector in vectors().values():
            octets = fitted(bench, peer, vector)
            message = sound(octets)
            bench.check((message is not None) == vector.well_formed, f"{vector.name} is not what it was")
            bench.check(octets != fitted(bench, peer, vector) or vector.name in ("insuf", "badbranch"), vector.name)
            bench.check(
                b"@ims.lab.example" not in octets.partition(b"\r\n")[0] or vector.name == "intmeth", vector.name
            )
            if isinstance(message, Request):
                bench.check(message.via.port == peer.address[1], f"answers to {vector.name} go elsewhere")

    async with element(silent) as target, running(target) as runner:
        result = await runner.run_case(made(look))
    assert (result.verdict, result.reason) == (Verdict.PASS, "")


def test_a_folder_without_the_message_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="neither wsinv.dat nor wsinv"):
        read_foreign(tmp_path, "wsinv")


def test_what_archives_have_lost_is_mended(tmp_path: Path) -> None:
    plain = vectors()["ipv6-in-sdp"].octets.replace(b"\r\n", b"\n").replace(b"Content-Length: ", b"Content-Length: 9")
    (tmp_path / "ipv6-in-sdp").write_bytes(plain)
    mended = sound(read_foreign(tmp_path, "ipv6-in-sdp"))
    assert mended is not None and mended.body.endswith(b"\r\n")
