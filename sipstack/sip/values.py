"""Header values that are neither addresses nor Via: CSeq, media types, Retry-After, Warning, Reason, credentials."""

from __future__ import annotations

import re

from sipstack.errors import ParseError
from sipstack.sip.grammar import (
    QUOTED,
    TOKEN,
    Parameters,
    clean,
    find_parameter,
    format_parameters,
    parse_number,
    parse_parameters,
    quote,
    split_list,
    unquote,
)
from sipstack.sip.reasons import METHODS
from sipstack.valuetype import value_type

MAX_CAUSE = 999

# CSeq = 1*DIGIT LWS Method
_CSEQ = re.compile(rf"([0-9]+)[ \t]+({TOKEN})")
# media-type = m-type SLASH m-subtype *(SEMI m-parameter)
_MEDIA_TYPE = re.compile(rf"({TOKEN})[ \t]*/[ \t]*({TOKEN})")
# warning-value = warn-code SP warn-agent SP warn-text
_WARNING = re.compile(rf"([0-9]{{3}})[ \t]+([^ \t\",]+)[ \t]+({QUOTED})", re.DOTALL)
# reason-value = protocol *(SEMI reason-params)    (RFC 3326 section 2)
_PROTOCOL = re.compile(TOKEN)
# Retry-After = delta-seconds [ comment ] *( SEMI retry-param )
_SECONDS = re.compile(r"([0-9]+)[ \t]*")
# comment = LPAREN *( ctext / quoted-pair / comment ) RPAREN
_COMMENT_PIECE = re.compile(r"[()]|\\.|[^()\\]+", re.DOTALL)
_DEPTH = {"(": 1, ")": -1}
# challenge = auth-scheme LWS auth-param *(COMMA auth-param)      auth-param = token EQUAL ( token / quoted-string )
_SCHEME = re.compile(rf"({TOKEN})[ \t]+")
_AUTH_PARAM = re.compile(rf"({TOKEN})[ \t]*=[ \t]*({QUOTED}|[^\s\",]*)", re.DOTALL)


@value_type
class CSeq:
    """:rfc:`3261#section-20.16`."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> CSeq:
        """Parse; :class:`ParseError` also for a number above 2**32 - 1."""
        digits, _, method = text.partition(" ")
        if method in METHODS:
            return cls(parse_number(digits, "CSeq"), method)
        match = _CSEQ.fullmatch(text.strip(" \t"))
        if match is None:
            raise ParseError("CSeq")
        return cls(parse_number(match[1], "CSeq"), match[2])

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


@value_type
class MediaType:
    """The value of Content-Type, or one of Accept: :rfc:`3261#section-20.15`."""

    type: str
    subtype: str
    parameters: Parameters = ()

    @classmethod
    def parse(cls, text: str) -> MediaType:
        """Parse; :class:`ParseError` if it is no media type."""
        text = text.strip(" \t")
        match = _MEDIA_TYPE.match(text)
        if match is None:
            raise ParseError("media type")
        return cls(match[1], match[2], parse_parameters(text, match.end(), "media type"))

    def __str__(self) -> str:
        return f"{self.type}/{self.subtype}{format_parameters(self.parameters)}"

    @property
    def full(self) -> str:
        """``type/subtype`` in lower case, to compare with."""
        return f"{self.type}/{self.subtype}".lower()

    def param(self, name: str) -> str | None:
        """Return a parameter without quotes, ``""`` for a flag, None if it is not there."""
        value = find_parameter(self.parameters, name)
        return None if value is None else unquote(value)


@value_type
class RetryAfter:
    """:rfc:`3261#section-20.33`."""

    seconds: int
    duration: int | None = None
    """Seconds that the called party will be there, once it is."""
    comment: str | None = None

    @classmethod
    def parse(cls, text: str) -> RetryAfter:
        """Parse; :class:`ParseError` also for more than 2**32 - 1 seconds."""
        text = text.strip(" \t")
        match = _SECONDS.match(text)
        if match is None:
            raise ParseError("Retry-After")
        position = _skip_comment(text, match.end())
        comment = clean(text[match.end() + 1 : position - 1]) if position > match.end() else None
        parameters = parse_parameters(text, position, "Retry-After")
        duration = find_parameter(parameters, "duration")
        return cls(
            parse_number(match[1], "Retry-After"),
            None if duration is None else parse_number(duration, "Retry-After duration"),
            comment,
        )

    def __str__(self) -> str:
        text = str(self.seconds)
        if self.comment is not None:
            text += f" ({self.comment})"
        return text if self.duration is None else f"{text};duration={self.duration}"


@value_type
class WarningValue:
    """One value of Warning: :rfc:`3261#section-20.43`."""

    code: int
    agent: str
    text: str
    """Without quotes."""

    @classmethod
    def parse(cls, text: str) -> WarningValue:
        """Parse one value; :class:`ParseError` if it is none."""
        match = _WARNING.fullmatch(text.strip(" \t"))
        if match is None:
            raise ParseError("Warning")
        return cls(int(match[1]), match[2], clean(unquote(match[3])))

    def __str__(self) -> str:
        return f"{self.code:03} {self.agent} {quote(self.text)}"


@value_type
class Reason:
    """One value of Reason: :rfc:`3326#section-2`."""

    protocol: str
    cause: int | None = None
    text: str | None = None
    """Without quotes."""

    @classmethod
    def parse(cls, text: str) -> Reason:
        """Parse one value; :class:`ParseError` if it is none."""
        text = text.strip(" \t")
        match = _PROTOCOL.match(text)
        if match is None:
            raise ParseError("Reason")
        parameters = parse_parameters(text, match.end(), "Reason")
        cause = find_parameter(parameters, "cause")
        comment = find_parameter(parameters, "text")
        return cls(
            match[0],
            None if cause is None else parse_number(cause, "Reason cause", MAX_CAUSE),
            None if comment is None else clean(unquote(comment)),
        )

    def __str__(self) -> str:
        text = self.protocol
        if self.cause is not None:
            text += f";cause={self.cause}"
        return text if self.text is None else f"{text};text={quote(self.text)}"


def parse_auth_params(value: str) -> tuple[str, dict[str, str]]:
    """Split a challenge or credentials into the scheme as written and its parameters.

    Names come in lower case, values without quotes and escapes. :class:`ParseError` for anything else, also for a
    parameter that comes twice (:rfc:`7616#section-3.3`).
    """
    value = value.strip(" \t")
    match = _SCHEME.match(value)
    if match is None:
        raise ParseError("credentials", "have no scheme or no parameters")
    parameters: dict[str, str] = {}
    for item in split_list(value[match.end() :]):
        if not item:  # the list rule of HTTP, where this grammar comes from, allows ", ,"
            continue
        pair = _AUTH_PARAM.fullmatch(item)
        if pair is None or (name := pair[1].lower()) in parameters:
            raise ParseError("credentials", "have a malformed or repeated parameter")
        parameters[name] = unquote(pair[2])
    return match[1], parameters


def _skip_comment(text: str, position: int) -> int:
    """Return where the comment at ``position`` ends; comments nest, and ``\\`` escapes (:rfc:`3261#section-25.1`)."""
    if not text.startswith("(", position):
        return position
    depth = 0
    for match in _COMMENT_PIECE.finditer(text, position):
        depth += _DEPTH.get(match[0], 0)
        if depth == 0:
            return match.end()
    raise ParseError("comment", "is not closed")
