"""docs/up-center.md: its samples are what the driver understands, its configuration is right, its table is complete."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway import policy
from gateway.config.load import loads
from gateway.services import ServiceError, TooManyLookups
from gateway.users import contract

PAGE = (Path(__file__).parents[3] / "docs" / "up-center.md").read_text("utf-8")

BODIES: dict[str, tuple[type[Any], type[Any]]] = {
    "/authenticate": (contract.Credentials, contract.Authenticated),
    "/lookup": (contract.Person, contract.Known),
    "/states": (contract.Uids, contract.States),
    "/allocate": (contract.Order, contract.Allocated),
}
"""Calls with samples: what is sent, and what is answered."""


def samples() -> list[tuple[str, str, Any]]:
    """Return (call, ``POST`` or ``200``, body) of all samples."""
    found, call = [], ""
    pattern = r"^    (POST (/\w+)|200) +(\{.*?\})(?=\n    (?:POST|200)|\n\n|\Z)"
    for match in re.finditer(pattern, PAGE, re.MULTILINE | re.DOTALL):
        call = match[2] or call
        found.append((call, match[1][:4].strip(), json.loads(match[3])))
    return found


def test_samples_are_what_the_driver_sends_and_reads() -> None:
    seen = set()
    for call, side, body in samples():
        kind = BODIES[call][0 if side == "POST" else 1]
        decoded = msgspec.convert(body, kind)
        if side == "POST":
            assert json.loads(msgspec.json.encode(decoded)) == body, call
        seen.add((call, side))
    assert seen == {(call, side) for call in BODIES for side in ("POST", "200")}


def test_every_refusal_is_in_the_table() -> None:
    own: set[type[ServiceError]] = {TooManyLookups}
    for item in vars(policy).values():
        if isinstance(item, type) and issubclass(item, ServiceError) and item.__module__ == "gateway.policy":
            own.add(item)
    assert len(own) == 10
    api = (Path(__file__).parents[3] / "docs" / "api.md").read_text("utf-8")
    for kind in own:
        row = re.search(rf"^\|.*\| {kind.status} .*`{kind.type}`", PAGE, re.MULTILINE)
        assert row, kind
        assert re.search(rf"^\| {kind.status} \| .*`{kind.type}`", api, re.MULTILINE), kind


@pytest.mark.parametrize("text", re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))
def test_configurations_are_right(text: str) -> None:
    assert loads(text).users.http.allocate
