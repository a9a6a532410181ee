"""docs/api.md: every call is there, and its samples are what the structs say."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from tests.gateway.http.fakes import running
from translators import model, xml
from translators.model import Body

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text("utf-8")
PAIRS = re.findall(r"```json\n(.*?)```\n\n```xml\n(.*?)```", PAGE, re.DOTALL)
MODELS = [
    kind for kind in vars(model).values() if isinstance(kind, type) and issubclass(kind, Body) and kind is not Body
]


@pytest.mark.parametrize(("in_json", "in_xml"), PAIRS)
def test_samples_agree(in_json: str, in_xml: str) -> None:
    root = re.sub(r"^<\?.*?\?>\s*", "", in_xml)[1:].split()[0].partition(">")[0]
    found = []
    for kind in MODELS:
        if kind.element == root:
            try:
                found.append((msgspec.json.decode(in_json, type=kind), xml.decode(in_xml.encode(), kind)))
            except (msgspec.ValidationError, xml.XmlInvalid):
                continue
    assert found, f"no body is a <{root}> like this"
    assert all(left == right for left, right in found)


def test_every_pair_was_found() -> None:
    assert PAGE.count("```json") == PAGE.count("```xml") == len(PAIRS)


async def test_every_call_is_described() -> None:
    async with running() as house, house.client.get("/openapi.json") as answer:
        paths = (await answer.json())["paths"]
    for path, calls in paths.items():
        for method in calls:
            assert f"{method.upper()} {path}" in PAGE, (method, path)
