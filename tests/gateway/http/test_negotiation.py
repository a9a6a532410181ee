"""Formats by Accept and Content-Type."""

from __future__ import annotations

import pytest

from gateway.http.negotiation import (
    JSON,
    XML,
    Format,
    asked_for,
    sent_in,
    stream_format,
    wanted,
    wanted_for_problem,
    wants_stream,
)
from gateway.http.problems import NotAcceptable, UnsupportedMediaType


@pytest.mark.parametrize(
    ("accept", "format"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/json", JSON),
        ("application/xml", XML),
        ("text/xml", XML),
        ("Application/XML; charset=utf-8", XML),
        ("application/problem+xml", XML),
        ("application/xml, */*", XML),
        ("application/xml;q=0.5, application/json;q=0.4", XML),
        ("application/xml;q=0.4, application/json;q=0.5", JSON),
        ("application/xml, application/json", JSON),
        ("application/xml;q=0, */*;q=0.1", JSON),
        ("text/html, application/xml;q=0.9, */*;q=0.8", XML),
        ("application/json;q=nonsense, application/xml;q=0.1", XML),
    ],
)
def test_wanted(accept: str | None, format: Format) -> None:
    assert wanted(accept) is format
    assert wanted_for_problem(accept) is format


@pytest.mark.parametrize("accept", ["text/html", "image/*", "application/json;q=0", "", "nonsense", "a" * 10000])
def test_not_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        wanted(accept)
    assert wanted_for_problem(accept) is JSON


@pytest.mark.parametrize(
    ("accept", "format"),
    [
        (None, None),
        ("*/*", None),
        ("application/*", None),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", None),
        ("application/json", JSON),
        ("application/json, */*", JSON),
        ("text/xml", XML),
        ("application/xml;q=0", None),
    ],
)
def test_asked_for(accept: str | None, format: Format | None) -> None:
    """Only this lets GET of the link log in."""
    assert asked_for(accept) is format


@pytest.mark.parametrize(
    ("content_type", "format"),
    [
        ("application/json", JSON),
        ("application/json; charset=UTF-8", JSON),
        ('application/json; charset="utf-8"', JSON),
        ("application/xml", XML),
        ("text/xml; charset=iso-8859-1", XML),
    ],
)
def test_sent_in(content_type: str, format: Format) -> None:
    assert sent_in(content_type) is format


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/json; charset=utf-16", "application/problem+json"]
)
def test_not_understood(content_type: str | None) -> None:
    with pytest.raises(UnsupportedMediaType):
        sent_in(content_type)


def test_streams() -> None:
    assert not wants_stream(None)
    assert not wants_stream("*/*")
    assert not wants_stream("text/event-stream;q=0")
    assert wants_stream("text/event-stream, application/xml")
    assert stream_format("text/event-stream") is JSON
    assert stream_format("text/event-stream, */*") is JSON
    assert stream_format("text/event-stream, application/xml") is XML
    assert stream_format("text/event-stream, application/xml;q=0") is JSON
