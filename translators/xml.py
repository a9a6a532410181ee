"""Structs ↔ XML: the tree of the JSON form, with element names equal to the JSON keys and a list as a repeated element.

The root element is the struct's ``element``; problem details are in the namespace of :rfc:`9457#appendix-B`. Reading
refuses DOCTYPE, so there are no entities to expand, and has limits; attributes and unknown elements are skipped, as
unknown keys are in JSON.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar
from xml.sax.saxutils import escape

import msgspec
from msgspec import inspect

from sipstack.errors import ParseError
from sipstack.im import xmltree

from .model import Body

T = TypeVar("T", bound=Body)

DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'

PROBLEM_NAMESPACE = "urn:ietf:rfc:7807"
"""RFC 9457 keeps the namespace of its predecessor."""

MAX_ELEMENTS = 2000
"""Elements of one document; a page of 100 messages has about 1000."""

_ILLEGAL = {code: "\ufffd" for code in (*range(0x20), 0xFFFE, 0xFFFF) if chr(code) not in "\t\n\r"}
"""Characters that XML 1.0 cannot hold, not even escaped (§2.2)."""

_ENTITIES = {"\r": "&#13;"}
"""A bare CR would be read back as LF (XML 1.0 §2.11)."""


class XmlError(ValueError):
    """A document is not XML, has a DOCTYPE, exceeds a limit, or has another root element than it should."""


class XmlInvalid(ValueError):
    """A document is XML, and its values do not fit; the text names the element."""


def encode(body: Body) -> bytes:
    """Return a whole document."""
    return DECLARATION + encode_element(body)


def encode_element(body: Body) -> bytes:
    """Return the root element only, for use inside an event stream."""
    root = body.element
    opening = f'{root} xmlns="{PROBLEM_NAMESPACE}"' if root == "problem" else root
    out = [f"<{opening}>"]
    _write_members(msgspec.to_builtins(body), out)
    out.append(f"</{root}>")
    return "".join(out).encode()


def _write_members(members: dict[str, Any], out: list[str]) -> None:
    for name, value in members.items():
        for item in value if isinstance(value, list) else (value,):
            out.append(f"<{name}>")
            if isinstance(item, dict):
                _write_members(item, out)
            else:
                out.append(_text(item))
            out.append(f"</{name}>")


def _text(value: object) -> str:
    if isinstance(value, str):
        return escape(value.translate(_ILLEGAL), _ENTITIES)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def decode(data: bytes, model: type[T]) -> T:
    """Read a document into a struct.

    :class:`XmlError` when it cannot be read, :class:`XmlInvalid` when a value does not fit the model.
    """
    try:
        root = xmltree.parse("The body", data, max_octets=None, max_elements=MAX_ELEMENTS)
    except ParseError as error:
        raise XmlError(str(error)) from None
    if root.name != model.element:
        raise XmlError(f"The root element is not <{model.element}>")
    try:
        return msgspec.convert(_struct(root, _plan(model)), model, strict=False)
    except msgspec.ValidationError as error:
        raise XmlInvalid(str(error)) from None


@cache
def _plan(model: type[Body]) -> inspect.StructType:
    """Return the members of a model; made once, there are few models."""
    info = inspect.type_info(model)
    assert isinstance(info, inspect.StructType)
    return info


def _struct(node: xmltree.Element, plan: inspect.StructType) -> dict[str, Any]:
    """Return the members of an element as the JSON form has them; single values stay text."""
    values: dict[str, Any] = {}
    for field in plan.fields:
        name = field.encode_name
        found = [child for child in node.children if child.name == name]
        kind = _bare(field.type)
        if isinstance(kind, inspect.ListType):
            if found or field.required:
                values[name] = [_value(child, _bare(kind.item_type)) for child in found]
        elif len(found) > 1:
            raise XmlInvalid(f"there is more than one <{name}>")
        elif found:
            values[name] = _value(found[0], kind)
    return values


def _value(node: xmltree.Element, kind: inspect.Type) -> Any:
    if isinstance(kind, inspect.StructType):
        return _struct(node, kind)
    if isinstance(kind, inspect.DictType):
        return {child.name: child.text for child in node.children}
    if node.children:
        raise XmlInvalid(f"<{node.name}> holds elements where text belongs")
    return node.text if isinstance(kind, inspect.StrType) else node.text.strip()


def _bare(kind: inspect.Type) -> inspect.Type:
    """Return the type behind ``| None``."""
    if isinstance(kind, inspect.UnionType):
        return _bare(next(item for item in kind.types if not isinstance(item, inspect.NoneType)))
    return kind
