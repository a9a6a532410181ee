"""The files of the guest's page: few, small, all asked for at once, from nobody else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.http.page import WEB
from tests.gateway.http.fakes import SECRET, House, running

LIMIT = 60_000
"""Octets of all files, packed."""

PAGE = f"/rcsgw/invitee/session/sip:b@cc.com?passwd={SECRET}"

MODULES = sorted(file.name for file in WEB.glob("*.js"))


async def fetch(house: House, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and the body as it came over the wire."""
    async with house.client.get(path, headers={"Accept-Encoding": "identity", **headers}, auto_decompress=False) as got:
        return got.status, {name.lower(): value for name, value in got.headers.items()}, await got.read()


async def test_all_of_it_is_below_the_limit_and_loaded_in_one_round() -> None:
    async with running() as house:
        _, _, page = await fetch(house, PAGE)
        named = set(re.findall(rb'(?:href|src)="\.\./\.\./web/([^"]+)"', page))
        assert {name.encode() for name in MODULES} <= named, "a module would be found only when another one is read"
        total = 0
        for path in (PAGE, *(f"/rcsgw/web/{name.decode()}" for name in sorted(named))):
            status, headers, body = await fetch(house, path, **{"Accept-Encoding": "gzip, br"})
            assert status == 200 and (headers.get("content-encoding") == "gzip" or len(body) < 500), path
            total += len(body)
        assert total < LIMIT


@pytest.mark.parametrize("file", sorted(WEB.iterdir()), ids=lambda file: file.name)
def test_nobody_else_is_asked_for_anything(file: Path) -> None:
    """Addresses in the files are names of formats, never places to load from."""
    text = file.read_text()
    assert set(re.findall(r"https?://[\w.-]+", text)) <= {"http://www.w3.org"}


async def test_a_file_that_has_not_changed_is_not_sent_again() -> None:
    async with running() as house:
        status, headers, body = await fetch(house, "/rcsgw/web/app.js")
        assert (status, headers["cache-control"], body) == (200, "no-cache", (WEB / "app.js").read_bytes())
        status, again, body = await fetch(house, "/rcsgw/web/app.js", **{"If-None-Match": headers["etag"]})
        assert (status, body, again["etag"]) == (304, b"", headers["etag"])
        status, _, _ = await fetch(house, "/rcsgw/web/app.js", **{"If-None-Match": '"other"'})
        assert status == 200


@pytest.mark.parametrize(
    ("accept", "packed"), [("gzip", True), ("br, gzip;q=0.5", True), ("gzip;q=0", False), ("br", False), ("", False)]
)
async def test_files_are_packed_for_whom_that_suits(accept: str, packed: bool) -> None:
    async with running() as house:
        _, headers, _ = await fetch(house, "/rcsgw/web/app.js", **{"Accept-Encoding": accept})
        assert ("content-encoding" in headers) is packed
        assert headers["vary"] == "Accept-Encoding"
