"""Bodies as JSON or as XML: a client chooses one, everything else is the same."""

from __future__ import annotations

from typing import Protocol, TypeVar

import msgspec

from translators import xml
from translators.model import Body

T = TypeVar("T", bound=Body)


class Codec(Protocol):
    """Reads and writes the bodies of the gateway's HTTP face."""

    @property
    def media_type(self) -> str:
        """For Content-Type and Accept."""

    @property
    def stream_types(self) -> str:
        """Accept of the event stream."""

    def encode(self, body: Body) -> bytes:
        """Return a whole document."""

    def decode(self, data: bytes, model: type[T]) -> T:
        """Read one. Raise ValueError for what does not fit."""


class Json:
    """JSON, the default."""

    media_type = "application/json"
    stream_types = "text/event-stream"

    def encode(self, body: Body) -> bytes:
        """Return a whole document."""
        return msgspec.json.encode(body)

    def decode(self, data: bytes, model: type[T]) -> T:
        """Read one. Raise ValueError for what does not fit."""
        return msgspec.json.decode(data, type=model)


class Xml:
    """XML: the same tree with element names equal to the JSON keys."""

    media_type = "application/xml"
    stream_types = "text/event-stream, application/xml"

    def encode(self, body: Body) -> bytes:
        """Return a whole document."""
        return xml.encode(body)

    def decode(self, data: bytes, model: type[T]) -> T:
        """Read one. Raise ValueError for what does not fit."""
        return xml.decode(data, model)
