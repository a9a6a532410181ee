"""Which call answers which method and path."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote

from aiohttp import web

from gateway.http.problems import MethodNotAllowed, NoSuchPath
from translators.from_http import FieldError
from translators.model import Body

Call = Callable[..., Awaitable[web.StreamResponse]]
"""Takes the request and the values of the path's placeholders; raises what problems.py knows."""

_TOKEN = re.compile(r"^(/i/|/rcsgw/delivery/[^/]*/).+")

Caller = Literal["inviter", "guest", "anybody"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter or header that a call understands."""

    name: str
    description: str
    type: Literal["string", "integer", "number"] = "string"
    place: Literal["query", "header"] = "query"


@dataclass(frozen=True, slots=True)
class Route:
    """One call as a client sees it."""

    method: str
    path: str
    """With placeholders, ``/rcsgw/user/{identifier}``; a placeholder is a whole segment."""
    call: Call
    summary: str
    caller: Caller
    body: type[Body] | str | None = None
    """What the request carries: a body, or the media type of something else."""
    answers: Mapping[int, type[Body] | str | None] = field(default_factory=dict)
    """Status → body, or the media type of something else, or None where there is no body."""
    parameters: tuple[Parameter, ...] = ()
    shows_page: bool = False
    """Browsers get the page instead, without credentials."""
    with_head: bool = False
    """HEAD is answered by the same call."""


class Router:
    """Finds the call for a request: one look-up for a path without placeholders, else segment by segment."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.plain: dict[str, dict[str, Call]] = {}
        self._templates: dict[tuple[str | None, ...], dict[str, Call]] = {}
        for route in routes:
            segments = tuple(None if segment.startswith("{") else segment for segment in route.path.split("/"))
            methods = self._templates.setdefault(segments, {})
            methods[route.method] = route.call
            if route.with_head:
                methods["HEAD"] = route.call
            if None not in segments:
                self.plain[route.path] = methods

    def find(self, method: str, raw_path: str) -> tuple[Call, list[str]]:
        """Return the call and the values of its placeholders.

        ``raw_path`` is as it came over the wire: a segment may be percent-encoded or not. Raises :class:`NoSuchPath`
        and :class:`MethodNotAllowed`.
        """
        segments = [_unquote(segment) for segment in raw_path.split("/")]
        allowed: set[str] = set()
        for template, methods in self._templates.items():
            if not _matches(template, segments):
                continue
            call = methods.get(method)
            if call is not None:
                return call, [value for name, value in zip(template, segments, strict=True) if name is None]
            allowed.update(methods)
        if allowed:
            raise MethodNotAllowed(tuple(sorted(allowed)))
        raise NoSuchPath("Nothing is at this path.")


def without_token(path: str) -> str:
    """Return a path as logs may hold it: some end in a token that opens something."""
    return _TOKEN.sub(r"\1***", path)


def _matches(template: tuple[str | None, ...], segments: list[str]) -> bool:
    return len(template) == len(segments) and all(
        bool(value) if name is None else name == value for name, value in zip(template, segments, strict=True)
    )


def _unquote(segment: str) -> str:
    if "%" not in segment:
        return segment
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise FieldError("path", "holds escapes that are not UTF-8") from None
