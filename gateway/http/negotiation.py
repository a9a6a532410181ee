"""JSON or XML: what the client sent by Content-Type, what it wants by Accept."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Protocol, TypeVar

import msgspec
from aiohttp import HttpVersion11, web
from multidict import CIMultiDict

from gateway.http.problems import NotAcceptable, UnsupportedMediaType
from gateway.http.server import Ready
from translators import xml
from translators.model import Body

T = TypeVar("T", bound=Body)

Headers = CIMultiDict[str]

MAX_ACCEPT = 512
"""Characters of an Accept header that is looked at; browsers send 150."""

CACHED = 256
"""Different Accept and Content-Type values that are remembered; real clients bring a handful."""


class _Decode(Protocol):
    def __call__(self, data: bytes, model: type[T], /) -> T: ...


class Format:
    """One of the two formats: how bodies are read and written, and the headers that go with them."""

    __slots__ = ("_headers", "_heads", "_heads_at", "_problem_headers", "decode", "encode", "encode_event", "name")

    def __init__(
        self,
        name: str,
        decode: _Decode,
        encode: Callable[[Body], bytes],
        encode_event: Callable[[Body], bytes],
    ) -> None:
        self.name = name
        self.decode = decode
        self.encode = encode
        self.encode_event = encode_event
        """As :attr:`encode`, for inside an event stream."""
        self._headers = _base_headers(f"application/{name}")
        self._heads: dict[int, bytes] = {}
        """Status → head of a quick answer, with the date of this second."""
        self._heads_at = 0
        self._problem_headers = _base_headers(f"application/problem+{name}")

    def answer(self, body: Body, status: int = 200, location: str | None = None) -> web.Response:
        """Return the response that carries ``body``."""
        headers = self._headers.copy()
        if location is not None:
            headers["Location"] = location
        return web.Response(body=self.encode(body), status=status, headers=headers)

    def quick(self, request: web.BaseRequest, body: Body, status: int) -> web.StreamResponse:
        """Return as :meth:`answer` does, for the calls that come most often: the head is made once a second."""
        if request.version != HttpVersion11 or not request.keep_alive:
            return self.answer(body, status)
        now = int(time.time())
        if now != self._heads_at:
            self._heads_at = now
            self._heads.clear()
        head = self._heads.get(status)
        if head is None:
            head = self._heads[status] = self._head(status, now)
        return Ready(status, head, self.encode(body))

    def _head(self, status: int, now: int) -> bytes:
        """Return a response up to the value of Content-Length."""
        fields = [*self._headers.items(), ("Date", formatdate(now, usegmt=True))]
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in fields)]
        return "\r\n".join([*lines, "Content-Length: "]).encode()

    def raw(self, data: msgspec.Raw) -> web.Response:
        """Return the response that carries a body encoded before."""
        return web.Response(body=bytes(data), headers=self._headers.copy())

    def problem(self, body: Body, status: int) -> web.Response:
        """Return the response that carries problem details."""
        return web.Response(body=self.encode(body), status=status, headers=self._problem_headers.copy())


def _base_headers(media_type: str) -> Headers:
    return CIMultiDict(
        {
            "Content-Type": media_type,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Server": "rcsgw",
        }
    )


def _decode_json(data: bytes, model: type[T]) -> T:
    return msgspec.json.decode(data, type=model)


_encode_json = msgspec.json.Encoder().encode

JSON = Format("json", _decode_json, _encode_json, _encode_json)
XML = Format("xml", xml.decode, xml.encode, xml.encode_element)

_NAMES = {
    "application/json": JSON,
    "application/problem+json": JSON,
    "application/xml": XML,
    "application/problem+xml": XML,
    "text/xml": XML,
}


def wanted(accept: str | None) -> Format:
    """Return the format that an Accept header asks for, JSON if it leaves the choice; :class:`NotAcceptable` (406)."""
    if accept is None:
        return JSON
    found = _best(accept[:MAX_ACCEPT])
    if found is None:
        raise NotAcceptable("Answers are application/json or application/xml.")
    return found


def wanted_for_problem(accept: str | None) -> Format:
    """Return the format for an error: as :func:`wanted`, and JSON where nothing fits."""
    return (JSON if accept is None else _best(accept[:MAX_ACCEPT])) or JSON


@lru_cache(CACHED)
def _best(accept: str) -> Format | None:
    """Weigh both formats (RFC 9110 §12.5.1); a named type beats one that a wildcard stands for."""
    ranges = media_ranges(accept)
    weights = {}
    for format, names in ((JSON, ("json",)), (XML, ("xml",))):
        named = [ranges[name] for name, known in _NAMES.items() if known.name in names and name in ranges]
        if named:
            weights[format.name] = (max(named), 1)
        else:
            weights[format.name] = (ranges.get("application/*", ranges.get("*/*", 0.0)), 0)
    best = XML if weights["xml"] > weights["json"] else JSON
    return best if weights[best.name][0] > 0 else None


def media_ranges(accept: str) -> dict[str, float]:
    """Return media range → weight of an Accept header; ranges that cannot be read are left out."""
    ranges: dict[str, float] = {}
    for item in accept.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = min(max(float(parameter[2:]), 0.0), 1.0)
                except ValueError:
                    weight = 0.0
        if "/" in name:
            ranges[name] = weight
    return ranges


@lru_cache(CACHED)
def _asked(accept: str) -> Format | None:
    ranges = media_ranges(accept)
    if any(ranges.get(name, 0.0) > 0 for name in ("text/html", "application/xhtml+xml")):
        return None
    if not any(ranges.get(name, 0.0) > 0 for name in _NAMES):
        return None
    return _best(accept)


def asked_for(accept: str | None) -> Format | None:
    """Return the format if JSON or XML is named and no web page is; None for browsers, scanners and ``*/*``.

    Browsers name ``application/xml`` too, but always beside ``text/html``.
    """
    return None if accept is None else _asked(accept[:MAX_ACCEPT])


def wants_stream(accept: str | None) -> bool:
    """Tell whether Accept names ``text/event-stream``."""
    return accept is not None and media_ranges(accept[:MAX_ACCEPT]).get("text/event-stream", 0.0) > 0


def stream_format(accept: str) -> Format:
    """Return the format of the data in an event stream: XML if Accept names it beside the stream and not JSON."""
    ranges = media_ranges(accept[:MAX_ACCEPT])
    ranges.pop("*/*", None)
    named = {name: weight for name, weight in ranges.items() if name in _NAMES}
    return (_best(", ".join(f"{name};q={weight}" for name, weight in named.items())) or JSON) if named else JSON


def sent_in(content_type: str | None) -> Format:
    """Return the format of a request body; :class:`UnsupportedMediaType` (415) for anything but JSON and XML."""
    found = _sent(content_type[:MAX_ACCEPT]) if content_type is not None else None
    if found is None:
        raise UnsupportedMediaType("Send application/json or application/xml, in UTF-8.")
    return found


@lru_cache(CACHED)
def _sent(content_type: str) -> Format | None:
    name, *parameters = (part.strip().lower() for part in content_type.split(";"))
    found = None if "problem" in name else _NAMES.get(name)
    charsets = [part[8:].strip('"') for part in parameters if part.startswith("charset=")]
    if found is JSON and any(charset not in ("utf-8", "utf8", "us-ascii") for charset in charsets):
        return None
    return found
