"""URIs of :rfc:`3261#section-19.1` (sip, sips) and :rfc:`3966` (tel); other schemes are kept as opaque text."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

from sipstack.errors import ParseError
from sipstack.sip.grammar import HOST, Parameters, find_parameter, remove_parameters, replace_parameter
from sipstack.valuetype import value_type

__all__ = ["Parameters", "Uri", "escape_user", "unescape"]

MAX_PORT = 65535

KEPT = 1024
"""URIs that are kept parsed: some 600 KiB."""
KEPT_LENGTH = 128
"""Characters of the longest that is kept, so that nobody fills the memory with long ones."""

# unreserved = alphanum / mark        mark = "-" / "_" / "." / "!" / "~" / "*" / "'" / "(" / ")"
_UNRESERVED = r"A-Za-z0-9\-_.!~*'()"
_ESCAPED = r"%[0-9A-Fa-f]{2}"

# absoluteURI begins with  scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+\-.]*")
# user = 1*( unreserved / escaped / user-unreserved )   user-unreserved = "&" / "=" / "+" / "$" / "," / ";" / "?" / "/"
_USER = rf"(?:[{_UNRESERVED}&=+$,;?/]++|{_ESCAPED})++"
# password = *( unreserved / escaped / "&" / "=" / "+" / "$" / "," )
_PASSWORD = rf"(?:[{_UNRESERVED}&=+$,]++|{_ESCAPED})*+"
# SIP-URI = "sip:" [ userinfo ] hostport ...     userinfo = user [ ":" password ] "@"     hostport = host [ ":" port ]
# "@" stands raw nowhere but behind userinfo, so a user part that holds ";" or "?" can't be taken for anything else.
_SIP_URI = re.compile(rf"(?:({_USER})(?::({_PASSWORD}))?@)?({HOST})(?::(0*[0-9]{{1,5}}))?(?=[;?]|\Z)")
# uri-parameters = *( ";" pname [ "=" pvalue ])         paramchar = param-unreserved / unreserved / escaped
_PARAMCHAR = rf"(?:[{_UNRESERVED}\[\]/:&+$]++|{_ESCAPED})++"
_PARAMETER = re.compile(rf";({_PARAMCHAR})(?:=({_PARAMCHAR}))?(?=;|\Z)")
# header = hname "=" hvalue         both of ( hnv-unreserved / unreserved / escaped )
_HEADERCHAR = rf"(?:[{_UNRESERVED}\[\]/?:+$]|{_ESCAPED})"
_HEADER = re.compile(rf"({_HEADERCHAR}+)=({_HEADERCHAR}*)")
# telephone-subscriber: "+" and digits, or local digits with A-F * #; both with visual separators (RFC 3966 section 3).
# Wider: a local number may come without its phone-context.
_TELEPHONE = re.compile(r"(\+[0-9\-.()]*[0-9][0-9\-.()]*|[0-9A-Fa-f*#\-.()]*[0-9A-Fa-f*#][\-.()]*)(?=;|\Z)")
# Everything else: visible ASCII but for what delimits a URI in a header.
_OPAQUE = re.compile(r"[!-~]+")
_DELIMITERS = re.compile(r'[<>"]')

_PERCENT = re.compile(r"%([0-9A-Fa-f]{2})")
_PERCENT_RUN = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_USER_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()&=+$,;?/")
_UNRESERVED_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()")
_SEPARATORS = str.maketrans("", "", "-.()")

# Parameters that make two URIs differ when only one of them has it (RFC 3261 section 19.1.4).
_DECISIVE = ("user", "ttl", "method", "maddr", "transport")


def escape_user(text: str) -> str:
    """Return ``text`` as the user part of a URI: UTF-8, all but the characters legal there as ``%HH``."""
    return "".join(chr(octet) if octet in _USER_SAFE else f"%{octet:02X}" for octet in text.encode("utf-8", "replace"))


def unescape(text: str) -> str:
    """Undo ``%HH``; octets that are no UTF-8 become U+FFFD. ``%00`` cuts nothing off."""
    if "%" not in text:
        return text
    return _PERCENT_RUN.sub(lambda run: bytes.fromhex(run[0].replace("%", "")).decode("utf-8", "replace"), text)


def _canonical(text: str) -> str:
    """Undo the escapes that mean the same as the character; write the others in upper case.

    Only unreserved characters equal their escape (:rfc:`3261#section-19.1.4`): ``a%3Bb`` is not ``a;b``.
    """
    if "%" not in text:
        return text
    return _PERCENT.sub(_canonical_escape, text)


def _canonical_escape(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if character in _UNRESERVED_CHARACTERS else match[0].upper()


@value_type
class Uri:
    """A URI as it was written; nothing is unescaped, so that ``str`` gives it back."""

    scheme: str
    """Lower case."""
    user: str | None = None
    """Raw, with its escapes. For ``tel``: the number as written."""
    password: str | None = None
    host: str = ""
    """IPv6 in brackets, as on the wire; empty for schemes other than sip and sips."""
    port: int | None = None
    parameters: Parameters = ()
    headers: tuple[tuple[str, str], ...] = ()
    """What stands behind ``?``, raw."""
    opaque: str | None = None
    """All behind the colon, for schemes other than sip, sips and tel."""

    @classmethod
    def parse(cls, text: str) -> Uri:
        """Parse a whole URI, without ``<>``. :class:`ParseError` if it is none."""
        return _parse_again(text) if len(text) <= KEPT_LENGTH else _parse(text)

    def __str__(self) -> str:
        if self.opaque is not None:
            return f"{self.scheme}:{self.opaque}"
        text = f"{self.scheme}:"
        if self.user is not None:
            text += self.user
            if self.password is not None:
                text += f":{self.password}"
            if self.host:
                text += "@"
        text += self.host
        if self.port is not None:
            text += f":{self.port}"
        for name, value in self.parameters:
            text += f";{name}" if value is None else f";{name}={value}"
        if self.headers:
            text += "?" + "&".join(f"{name}={value}" for name, value in self.headers)
        return text

    @property
    def is_sip(self) -> bool:
        """Tell whether the scheme is ``sip`` or ``sips``."""
        return self.scheme == "sip" or self.scheme == "sips"

    @property
    def is_tel(self) -> bool:
        """Tell whether the scheme is ``tel``."""
        return self.scheme == "tel"

    def param(self, name: str) -> str | None:
        """Return the raw value of a URI parameter, ``""`` for one without value, None if it is not there."""
        return find_parameter(self.parameters, name)

    def with_param(self, name: str, value: str | None = None) -> Uri:
        """Return the URI with the parameter set; ``value`` is raw, None makes it a flag."""
        return replace(self, parameters=replace_parameter(self.parameters, name, value))

    def without_params(self, *names: str) -> Uri:
        """Return the URI without the named parameters."""
        return replace(self, parameters=remove_parameters(self.parameters, names))

    @property
    def aor(self) -> str:
        """The address-of-record as a key: no port, parameters or headers; host lower case; escapes canonical.

        ``tel`` loses its visual separators and keeps ``phone-context``; other schemes stay as they are.
        """
        if self.is_sip:
            host = self.host.lower()
            return f"{self.scheme}:{host}" if self.user is None else f"{self.scheme}:{_canonical(self.user)}@{host}"
        if self.is_tel:
            context = self.param("phone-context")
            number = f"tel:{self._digits()}"
            return f"{number};phone-context={context.lower()}" if context else number
        return str(self)

    @property
    def host_port(self) -> tuple[str, int | None]:
        """The host without brackets, and the port if there is one."""
        return self.host.strip("[]"), self.port

    def matches(self, other: Uri) -> bool:
        """Compare by :rfc:`3261#section-19.1.4` and :rfc:`3966#section-4`; this is not ``==``.

        Like the rule of the RFC it is not transitive: a parameter that only one URI has is mostly ignored.
        """
        if self.scheme != other.scheme:
            return False
        if self.is_sip:
            return self._matches_sip(other)
        if self.is_tel:
            return self._digits() == other._digits() and _folded(self.parameters) == _folded(other.parameters)
        return self.opaque == other.opaque

    def _matches_sip(self, other: Uri) -> bool:
        if self.port != other.port or self.host.lower() != other.host.lower():
            return False
        if _canonical(self.user or "") != _canonical(other.user or "") or (self.user is None) != (other.user is None):
            return False
        if _canonical(self.password or "") != _canonical(other.password or ""):
            return False
        if not (self.parameters or other.parameters or self.headers or other.headers):
            return True
        ours, theirs = _folded(self.parameters), _folded(other.parameters)
        if any(ours[name] != theirs[name] for name in ours.keys() & theirs.keys()):
            return False
        if any((name in ours) != (name in theirs) for name in _DECISIVE):
            return False
        return _header_set(self.headers) == _header_set(other.headers)

    def _digits(self) -> str:
        return (self.user or "").translate(_SEPARATORS).lower()


def _folded(parameters: Parameters) -> dict[str, str]:
    return {_canonical(name).lower(): _canonical(value or "").lower() for name, value in parameters}


def _header_set(headers: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    return sorted((_canonical(name).lower(), _canonical(value)) for name, value in headers)


def _parse(text: str) -> Uri:
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if colon and (scheme == "sip" or scheme == "sips"):
        return _parse_sip(scheme, rest)
    if not colon or not _SCHEME.fullmatch(scheme):
        raise ParseError("URI", "has no scheme")
    if scheme == "tel":
        return _parse_tel(rest)
    if not _OPAQUE.fullmatch(rest) or _DELIMITERS.search(rest):
        raise ParseError("URI")
    return Uri(scheme, opaque=rest)


# A gateway reads the URIs of its core, and of those who are talking, in every message.
_parse_again = lru_cache(KEPT)(_parse)


def _parse_sip(scheme: str, text: str) -> Uri:
    match = _SIP_URI.match(text)
    if match is None:
        raise ParseError("URI", "has a malformed user part, host or port")
    user, password, host, digits = match.groups()
    port = None
    if digits is not None and (port := int(digits)) > MAX_PORT:
        raise ParseError("URI", "has a port above 65535")
    if match.end() == len(text):
        return Uri(scheme, user, password, host, port)
    parameters, question, headers = text[match.end() :].partition("?")
    fields = _parse_headers(headers) if question else ()
    return Uri(scheme, user, password, host, port, _parse_parameters(parameters), fields)


def _parse_tel(text: str) -> Uri:
    match = _TELEPHONE.match(text)
    if match is None:
        raise ParseError("URI", "has a malformed telephone number")
    return Uri("tel", match[1], parameters=_parse_parameters(text[match.end() :]))


def _parse_parameters(text: str) -> Parameters:
    parameters: list[tuple[str, str | None]] = []
    position, end = 0, len(text)
    while position < end:
        match = _PARAMETER.match(text, position)
        if match is None:
            raise ParseError("URI", "has a malformed parameter")
        parameters.append((match[1], match[2]))
        position = match.end()
    if len(parameters) > 1 and len({name.lower() for name, _ in parameters}) < len(parameters):
        raise ParseError("URI", "has a parameter twice")
    return tuple(parameters)


def _parse_headers(text: str) -> tuple[tuple[str, str], ...]:
    headers: list[tuple[str, str]] = []
    for item in text.split("&"):
        match = _HEADER.fullmatch(item)
        if match is None:
            raise ParseError("URI", "has a malformed header")
        headers.append((match[1], match[2]))
    return tuple(headers)
