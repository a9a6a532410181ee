"""accept-types: C-SES-03, D-CPM-15."""

from __future__ import annotations

import pytest

from sipstack.msrp.mediatype import accepts, bare_type


@pytest.mark.parametrize(
    ("accept_types", "content_type", "outcome"),
    [
        (["text/plain"], "Text/Plain; charset=utf-8", True),
        (["text/plain;charset=utf-8"], "text/plain", True),
        (["text/*"], "text/html", True),
        (["text/*"], "textual/html", False),
        (["*"], "image/png", True),
        (["message/cpim", "text/plain"], "image/png", False),
        ([], "text/plain", False),
    ],
)
def test_accepts(accept_types: list[str], content_type: str, outcome: bool) -> None:
    assert accepts(accept_types, content_type) is outcome


def test_bare_type() -> None:
    assert bare_type(" Message/CPIM ; x=y") == "message/cpim"
