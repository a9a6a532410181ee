"""What the raw values of a header mean: one function a header, for the typed properties of a message.

Each gets the values of all lines, in their order. :class:`ParseError` where the header is malformed or, for the
mandatory ones, missing; those that a peer may get wrong without harm never raise (A-MSG-13).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from sipstack.errors import ParseError
from sipstack.sip.address import Address
from sipstack.sip.grammar import MAX_UINT32, parse_number, split_list
from sipstack.sip.values import CSeq, MediaType, Reason, RetryAfter, WarningValue
from sipstack.sip.via import Via

DEFAULT_EXPIRES = 3600
"""Seconds taken for an Expires that makes no sense (:rfc:`3261#section-10.3`, step 7)."""

MAX_HOPS = 255
"""Largest legal Max-Forwards (:rfc:`3261#section-20.22`)."""

Value = TypeVar("Value")

# callid = word [ "@" word ]. Wider: any visible characters.
_CALL_ID = re.compile(r"[!-~]+")


def _first(name: str, values: list[str]) -> str:
    if not values:
        raise ParseError(name, "is missing")
    return values[0]


def address(values: list[str]) -> Address:
    if not values:
        raise ParseError("address", "is missing")
    return Address.parse(values[0])


def addresses(values: list[str]) -> list[Address]:
    if len(values) == 1 and "," not in values[0]:
        return [Address.parse(values[0])] if values[0] else []
    parsed: list[Address] = []
    for value in values:
        parsed += Address.parse_many(value)
    return parsed


def contacts(values: list[str]) -> list[Address]:
    return addresses([value for value in values if value != "*"] if "*" in values else values)


def vias(values: list[str]) -> list[Via]:
    if len(values) == 1 and "," not in values[0] and values[0]:
        return [Via.parse(values[0])]
    parsed: list[Via] = []
    for value in values:
        parsed += Via.parse_many(value)
    if not parsed:
        raise ParseError("Via", "is missing")
    return parsed


def call_id(values: list[str]) -> str:
    value = _first("Call-ID", values)
    if not _CALL_ID.fullmatch(value):
        raise ParseError("Call-ID")
    return value


def cseq(values: list[str]) -> CSeq:
    return CSeq.parse(_first("CSeq", values))


def content_type(values: list[str]) -> MediaType | None:
    return MediaType.parse(values[0]) if values else None


def tokens(values: list[str]) -> list[str]:
    return [item for value in values for part in value.split(",") if (item := part.strip(" \t"))]


def _number_or(otherwise: int | None, values: list[str], what: str, maximum: int) -> int | None:
    if not values:
        return None
    try:
        return parse_number(values[0], what, maximum)
    except ParseError:
        return otherwise


def max_forwards(values: list[str]) -> int | None:
    return _number_or(None, values, "Max-Forwards", MAX_HOPS)


def expires(values: list[str]) -> int | None:
    return _number_or(DEFAULT_EXPIRES, values, "Expires", MAX_UINT32)


def min_expires(values: list[str]) -> int | None:
    return _number_or(None, values, "Min-Expires", MAX_UINT32)


def retry_after(values: list[str]) -> RetryAfter | None:
    try:
        return RetryAfter.parse(values[0]) if values else None
    except ParseError:
        return None


def warnings(values: list[str]) -> list[WarningValue]:
    return _readable(values, WarningValue.parse)


def reasons(values: list[str]) -> list[Reason]:
    return _readable(values, Reason.parse)


def _readable(values: list[str], parse: Callable[[str], Value]) -> list[Value]:
    parsed: list[Value] = []
    for value in values:
        try:
            parsed.extend([parse(item) for item in split_list(value)])
        except ParseError:
            continue
    return parsed
