"""``name-addr`` and ``addr-spec`` with header parameters: From, To, Contact, Route and their like."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

from sipstack.errors import ParseError
from sipstack.sip.grammar import (
    QUOTED,
    Parameters,
    clean,
    find_parameter,
    format_parameters,
    parse_parameters,
    quote,
    remove_parameters,
    replace_parameter,
    split_list,
    unquote,
)
from sipstack.sip.uri import Uri
from sipstack.valuetype import value_type

__all__ = ["Address", "Parameters"]

KEPT = 1024
"""Addresses that are kept parsed, without those that a tag makes unique: some 600 KiB."""
KEPT_LENGTH = 256
"""Characters of the longest that is kept, so that nobody fills the memory with long ones."""
TAG = ";tag="

# name-addr = [ display-name ] LAQUOT addr-spec RAQUOT         display-name = *(token LWS) / quoted-string
# No LWS is needed before "<" (RFC 4475 section 3.1.1.6). Wider: UTF-8 in an unquoted name.
_WORD = r"[A-Za-z0-9\-.!%*_+`'~\u0080-\U0010ffff]++"
_NAME_ADDR = re.compile(rf"(?:({QUOTED})|({_WORD}(?:[ \t]++{_WORD})*))?[ \t]*<([^<>]*+)>", re.DOTALL)
# An addr-spec without brackets ends at the first ";": what follows belongs to the header (RFC 3261 section 20).
_ADDR_SPEC = re.compile(r'[^;,?<>" \t]+')


@value_type
class Address:
    """A URI with a display name and the parameters of the header it stands in."""

    uri: Uri
    display_name: str | None = None
    """Without quotes and escapes; None where there is none, ``""`` for an empty quoted one."""
    parameters: Parameters = ()
    """Header parameters as on the wire, quotes kept."""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Parse one header value. :class:`ParseError` if it is no address, or if more follows."""
        return _parse(text) if TAG in text or len(text) > KEPT_LENGTH else _parse_again(text)

    @classmethod
    def parse_many(cls, text: str) -> list[Address]:
        """Parse a comma list; an empty text gives an empty list, an empty item :class:`ParseError`."""
        return [cls.parse(item) for item in split_list(text)]

    def __str__(self) -> str:
        name = "" if self.display_name is None else f"{quote(self.display_name)} "
        return f"{name}<{self.uri}>{format_parameters(self.parameters)}"

    @property
    def tag(self) -> str | None:
        """The ``tag`` of a From or To header, None if it has none."""
        return find_parameter(self.parameters, "tag") or None

    def param(self, name: str) -> str | None:
        """Return a header parameter without quotes and escapes, ``""`` for a flag, None if it is not there."""
        value = find_parameter(self.parameters, name)
        return None if value is None else unquote(value)

    def with_param(self, name: str, value: str | None = None) -> Address:
        """Return the address with the parameter set. ``value`` as on the wire; quotes are added where it needs them."""
        return replace(self, parameters=replace_parameter(self.parameters, name, value))

    def without_params(self, *names: str) -> Address:
        """Return the address without the named header parameters."""
        return replace(self, parameters=remove_parameters(self.parameters, names))


def _parse(text: str) -> Address:
    text = text.strip(" \t")
    if text.startswith("<") and (end := text.find(">")) > 0:
        return Address(Uri.parse(text[1:end]), None, parse_parameters(text, end + 1, "address"))
    match = _NAME_ADDR.match(text)
    if match is None:
        match = _ADDR_SPEC.match(text)
        if match is None:
            raise ParseError("address", "is neither name-addr nor addr-spec")
        return Address(Uri.parse(match[0]), None, parse_parameters(text, match.end(), "address"))
    quoted, words, uri = match.groups()
    name = clean(" ".join(words.split()) if quoted is None else unquote(quoted))
    return Address(Uri.parse(uri), name, parse_parameters(text, match.end(), "address"))


# Where somebody is reached, and by which way, is the same in message after message.
_parse_again = lru_cache(KEPT)(_parse)
