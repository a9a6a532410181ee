"""Small XML documents, of instant messaging and others, read with expat into a tree: no DOCTYPE, no entities, few
elements."""

from __future__ import annotations

from collections.abc import Iterator
from xml.parsers import expat

from sipstack.errors import MessageTooLarge, ParseError

MAX_OCTETS = 16 * 1024
"""Octets of one document; a notification has some hundreds."""

MAX_ELEMENTS = 64
"""Elements of one document; a notification has ten, and peers add a few of their own."""

MAX_DEPTH = 8
"""Elements inside each other; a notification has four, the deepest of the gateway's own bodies five."""

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'

_ILLEGAL = {code: "\ufffd" for code in (*range(0x20), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF) if code not in (9, 10)}
_ILLEGAL |= {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"}
_ILLEGAL_IN_VALUE = _ILLEGAL | {ord('"'): "&quot;", ord("\t"): "&#9;", ord("\n"): "&#10;"}


class Element:
    """An element as it was read."""

    __slots__ = ("attributes", "children", "name", "namespace", "text")

    def __init__(self, namespace: str, name: str, attributes: dict[str, str]) -> None:
        self.namespace = namespace
        self.name = name
        self.attributes = attributes
        """Values by name; the name of one with a prefix is its namespace, a blank, and the local name."""
        self.children: list[Element] = []
        self.text = ""
        """Its own character data, with the blanks around it."""

    def all(self, name: str) -> Iterator[Element]:
        """Yield the children of that name in the same namespace."""
        return (child for child in self.children if child.name == name and child.namespace == self.namespace)

    def value(self, name: str) -> str | None:
        """Return the text of the first child of that name, None when there is none or it is blank."""
        return next((child.text.strip() or None for child in self.all(name)), None)


def parse(what: str, data: bytes, *, max_octets: int | None = MAX_OCTETS, max_elements: int = MAX_ELEMENTS) -> Element:
    """Return the root element of a document that errors call ``what``; ``max_octets`` is None where its size was
    checked before.

    Raise :exc:`ParseError` for anything but XML without DOCTYPE, :exc:`MessageTooLarge` beyond the limits.
    """
    if max_octets is not None and len(data) > max_octets:
        raise MessageTooLarge(what, f"has more than {max_octets} octets", status=413)
    return _Reader(what, max_elements).read(data)


def write(text: str) -> str:
    """Return ``text`` as it may stand between two tags; what XML cannot hold shows as U+FFFD."""
    return text.translate(_ILLEGAL)


def write_value(text: str) -> str:
    """Return ``text`` as it may stand in an attribute between double quotes, as :func:`write` does."""
    return text.translate(_ILLEGAL_IN_VALUE)


class _Reader:
    def __init__(self, what: str, max_elements: int) -> None:
        self._what = what
        self._max_elements = max_elements
        self._root: Element | None = None
        self._open: list[Element] = []
        self._count = 0

    def read(self, data: bytes) -> Element:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        try:
            parser.Parse(data.lstrip(b" \t\r\n"), True)
        except expat.ExpatError as error:
            reason = f"{expat.errors.messages[error.code]} in line {error.lineno}"
            raise ParseError(self._what, f"is not XML: {reason}") from None
        except LookupError:
            raise ParseError(self._what, "has an unknown encoding") from None
        assert self._root is not None  # expat accepts no document without a root
        return self._root

    def _doctype(self, *_: object) -> None:
        raise ParseError(self._what, "has a DOCTYPE, which is refused")

    def _start(self, full_name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > self._max_elements or len(self._open) >= MAX_DEPTH:
            raise MessageTooLarge(self._what, "is nested too deep or has too many elements", status=413)
        namespace, _blank, name = full_name.rpartition(" ")
        element = Element(namespace, name, attributes)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self._root = element
        self._open.append(element)

    def _end(self, _: str) -> None:
        self._open.pop()

    def _characters(self, text: str) -> None:
        self._open[-1].text += text
