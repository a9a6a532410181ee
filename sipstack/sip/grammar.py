"""The lexical rules of :rfc:`3261#section-25.1` that all header values share.

Each expression stands under its production. Every use is a whole-string match or a match that starts at a known
position, and no expression can match the same text in two ways: the time is linear in the length of the input.

Received text is UTF-8; octets that are none stand in it as surrogate escapes, so that they go out again unchanged.
"""

from __future__ import annotations

import re

from sipstack.errors import LocalProtocolError, ParseError

Parameters = tuple[tuple[str, str | None], ...]
"""Names and values in their order, as on the wire (escapes and quotes kept); None is a parameter without ``=``."""

# token = 1*(alphanum / "-" / "." / "!" / "%" / "*" / "_" / "+" / "`" / "'" / "~")
TOKEN = r"[A-Za-z0-9\-.!%*_+`'~]+"

# quoted-string = SWS DQUOTE *(qdtext / quoted-pair) DQUOTE
# Control characters inside are let through: they can do no harm there, and CR and LF never get this far.
QUOTED = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'

# host = hostname / IPv4address / IPv6reference
# Wider than the grammar: "_" in names (common in labs), any top label, and hexadecimal digits, colons and dots in any
# order between brackets, because RFC 5118 section 4.10 asks to accept three colons in a row.
HOST = r"(?:[A-Za-z0-9_][A-Za-z0-9_\-]*+(?:\.[A-Za-z0-9_][A-Za-z0-9_\-]*+)*+\.?|\[[0-9A-Fa-f:.]+\])"

# gen-value = token / host / quoted-string
# Wider: "=", "/", "@" and more are seen in tags and branches, and RFC 5118 section 4.5 wants received=2001:db8::1 as
# well as received=[2001:db8::1]. What separates values or begins a URI header stays out.
UNQUOTED_VALUE = r"[A-Za-z0-9\-.!%*_+`'~\[\]:/@&$=()#^|{}]+"

MAX_UINT32 = 2**32 - 1

SHORT_NUMBER = 10
"""Digits of the largest number that 32 bits hold; longer ones may only bring leading zeros."""

_TOKEN = re.compile(TOKEN)
_NUMBER = re.compile(r"0*([0-9]{1,10})")
_WIRE_VALUE = re.compile(f"{UNQUOTED_VALUE}|{QUOTED}", re.DOTALL)
# generic-param = token [ EQUAL gen-value ], after SEMI = SWS ";" SWS
_PARAMETER = re.compile(
    rf"[ \t]*;[ \t]*({TOKEN})(?:[ \t]*=[ \t]*({UNQUOTED_VALUE}|{QUOTED}))?(?=[ \t]*(?:;|\Z))", re.DOTALL
)
_PLAIN_PARAMETERS = re.compile(rf"(?:;{TOKEN}(?:={UNQUOTED_VALUE})?)+")
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_TO_ESCAPE = re.compile(r'(["\\\x00])')
# What no header value holds: it could end a line for somebody. NUL is legal as a quoted-pair only.
LINE_BREAK = re.compile(r"[\r\n]|(?<!\\)\x00")
# What a comma list is made of; a lone quote or angle bracket matches nothing.
_LIST_PIECE = re.compile(rf'[^,"<]+|{QUOTED}|<[^<>"]*>', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


def is_token(text: str) -> bool:
    """Tell whether ``text`` is a ``token``."""
    return _TOKEN.fullmatch(text) is not None


def refuse_line_breaks(text: str, what: str) -> None:
    """Raise :class:`LocalProtocolError` if ``text`` holds CR, LF or a NUL that is no quoted-pair."""
    if "\r" in text or "\n" in text or ("\x00" in text and LINE_BREAK.search(text) is not None):
        raise LocalProtocolError(f"{what} must not hold line breaks or NUL")


def clean(text: str) -> str:
    """Replace what was not UTF-8 on the wire by U+FFFD: text that others store or show."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def quote(text: str) -> str:
    """Return ``text`` as a quoted-string; :class:`LocalProtocolError` if it holds a line break."""
    if "\r" in text or "\n" in text:
        raise LocalProtocolError("a quoted string must not hold line breaks")
    return '"' + _TO_ESCAPE.sub(r"\\\1", text) + '"'


def unquote(text: str) -> str:
    """Return what a quoted-string means; any other text is returned as it is."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    inner = text[1:-1]
    return _QUOTED_PAIR.sub(r"\1", inner) if "\\" in inner else inner


def parse_number(text: str, what: str, maximum: int = MAX_UINT32) -> int:
    """Return ``1*DIGIT`` as a number; leading zeros are legal. :class:`ParseError` when larger than ``maximum``."""
    if len(text) <= SHORT_NUMBER and text.isdecimal() and text.isascii() and (number := int(text)) <= maximum:
        return number
    match = _NUMBER.fullmatch(text)
    if match is None or (number := int(match[1])) > maximum:
        raise ParseError(what, "is not a number in its range")
    return number


def parse_seconds(text: str | None) -> int | None:
    """Return delta-seconds (:rfc:`3261#section-20.19`), None where there are none; more than 2**32-1 are as many."""
    if text is None or not text.isascii() or not text.isdecimal():
        return None
    digits = text.lstrip("0")
    return min(int(digits or "0"), MAX_UINT32) if len(digits) <= SHORT_NUMBER else MAX_UINT32


def parse_parameters(text: str, position: int, what: str) -> Parameters:
    """Parse ``*( SEMI generic-param )`` from ``position`` to the end of ``text``.

    :class:`ParseError` names ``what``: an empty parameter, a broken value, or a name that comes twice
    (:rfc:`3261#section-7.3.1`).
    """
    if position == len(text):
        return ()
    parameters: list[tuple[str, str | None]] = []
    if _PLAIN_PARAMETERS.fullmatch(text, position) is not None:
        # As nearly all are written: one match for all of them, and splitting does the rest.
        for parameter in text[position + 1 :].split(";"):
            name, equals, value = parameter.partition("=")
            parameters.append((name, value if equals else None))
    else:
        end = len(text.rstrip(" \t"))
        while position < end:
            match = _PARAMETER.match(text, position)
            if match is None:
                raise ParseError(what, "has a malformed parameter", offset=position)
            parameters.append((match[1], match[2]))
            position = match.end()
    if len(parameters) > 1 and len({name.lower() for name, _ in parameters}) < len(parameters):
        raise ParseError(what, "has a parameter twice")
    return tuple(parameters)


def format_parameters(parameters: Parameters) -> str:
    """Return ``;name=value…``; a value that could not stand as it is gets quotes."""
    text = ""
    for name, value in parameters:
        if value is None:
            text += f";{name}"
        elif _WIRE_VALUE.fullmatch(value) is not None:
            text += f";{name}={value}"
        else:
            text += f";{name}={quote(value)}"
    return text


def find_parameter(parameters: Parameters, name: str) -> str | None:
    """Return the value as on the wire, ``""`` for a parameter without value, None if it is not there."""
    for key, value in parameters:
        if key == name or key.lower() == name.lower():
            return value or ""
    return None


def replace_parameter(parameters: Parameters, name: str, value: str | None) -> Parameters:
    """Return the parameters with ``name`` set to ``value``, at its place or at the end."""
    wanted = name.lower()
    replaced = tuple((key, value) if key.lower() == wanted else (key, old) for key, old in parameters)
    if find_parameter(parameters, name) is None:
        return (*replaced, (name, value))
    return replaced


def remove_parameters(parameters: Parameters, names: tuple[str, ...]) -> Parameters:
    """Return the parameters without those of the given names."""
    unwanted = {name.lower() for name in names}
    return tuple(item for item in parameters if item[0].lower() not in unwanted)


def split_list(value: str) -> list[str]:
    """Split at the commas that are neither quoted nor between ``<`` and ``>``; no item for an empty value.

    Empty items are kept, for whoever parses them to refuse. :class:`ParseError` on an open quote or bracket.
    """
    if "," not in value:
        value = value.strip(" \t")
        return [value] if value else []
    items: list[str] = []
    position = start = 0
    end = len(value)
    while position < end:
        if value[position] == ",":
            items.append(value[start:position].strip(" \t"))
            position = start = position + 1
            continue
        match = _LIST_PIECE.match(value, position)
        if match is None:
            raise ParseError("comma list", "has an open quote or bracket", offset=position)
        position = match.end()
    items.append(value[start:].strip(" \t"))
    return items
