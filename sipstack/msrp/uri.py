"""MSRP URIs and paths (:rfc:`4975#section-6`)."""

from __future__ import annotations

import ipaddress
import re
import string
from dataclasses import dataclass

from sipstack.errors import MessageTooLarge, ParseError

DEFAULT_PORT = 2855
"""The port of a URI that names none (C-URI-03); never relied on in SDP, where a port is mandatory."""

MAX_PATH = 10
"""URIs in a path (C-FRM-12): nobody chains that many relays, and each costs a parse."""

# MSRP-URI = msrp-scheme "://" authority ["/" session-id] ";" transport *( ";" URI-parameter )
# authority as in RFC 3986; session-id = 1*( unreserved / "+" / "=" / "/" ). The numeric limits only bound the work.
_URI = re.compile(
    r"""(?P<scheme>msrps?)://
        (?:(?P<user>[A-Za-z0-9._~!$&'()*+,;=:%-]+)@)?
        (?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,=%-]+)
        (?::(?P<port>[0-9]{1,5}))?
        (?:/(?P<session_id>[A-Za-z0-9._~+=/-]+))?
        ;(?P<transport>[A-Za-z0-9]+)
        (?P<parameters>(?:;[^;\s]+)*)""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
# pct-encoded = "%" HEXDIG HEXDIG; unreserved = ALPHA / DIGIT / "-" / "." / "_" / "~" (:rfc:`3986#section-2.3`)
_ENCODED = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset(string.ascii_letters + string.digits + "-._~")
# token = 1*(%x21 / %x23-27 / %x2A-2B / %x2D-2E / %x30-39 / %x41-5A / %x5E-7E); URI-parameter = token ["=" token]
_PARAMETER = re.compile(r"([!#-'*+\-.0-9A-Z^-~]+)(?:=([!#-'*+\-.0-9A-Z^-~]+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class MsrpUri:
    """One hop of a path, such as ``msrp://192.0.2.10:2855/aV7pKe03;tcp``."""

    scheme: str
    """``msrp`` or ``msrps``, lower case."""
    host: str
    """As on the wire, an IPv6 address in its brackets."""
    port: int | None
    session_id: str | None
    """Case-sensitive; None only for relays and in answers to requests that name no session."""
    transport: str = "tcp"
    """As on the wire; ``tcp`` or, at hops that are not ours, anything else such as ``ws``."""
    parameters: tuple[tuple[str, str | None], ...] = ()
    user: str | None = None

    @classmethod
    def parse(cls, text: str) -> MsrpUri:
        """Return the URI written in ``text``, or raise :exc:`ParseError` (C-URI-01)."""
        match = _URI.fullmatch(text)
        if match is None:
            raise ParseError("MSRP URI", f"is malformed: {text[:80]!r}")
        port = match["port"]
        if port is not None and not 0 < int(port) < 65536:
            raise ParseError("MSRP URI", f"has a port out of range: {port}")
        return cls(
            scheme=match["scheme"].lower(),
            host=match["host"],
            port=None if port is None else int(port),
            session_id=match["session_id"],
            transport=match["transport"],
            parameters=_parse_parameters(match["parameters"]),
            user=match["user"],
        )

    def __str__(self) -> str:
        user = "" if self.user is None else f"{self.user}@"
        port = "" if self.port is None else f":{self.port}"
        session_id = "" if self.session_id is None else f"/{self.session_id}"
        tail = "".join(f";{name}" if value is None else f";{name}={value}" for name, value in self.parameters)
        return f"{self.scheme}://{user}{self.host}{port}{session_id};{self.transport}{tail}"

    @property
    def host_port(self) -> tuple[str, int]:
        """The host without brackets, and the port to connect to."""
        return self.host.strip("[]"), DEFAULT_PORT if self.port is None else self.port

    @property
    def secure(self) -> bool:
        """Tell whether this hop speaks TLS."""
        return self.scheme == "msrps"

    def matches(self, other: MsrpUri) -> bool:
        """Tell whether both name the same resource (:rfc:`4975#section-6.1`, C-URI-02).

        User part and parameters don't count. A port that only one of them has makes them differ.
        """
        return (
            self.session_id == other.session_id
            and self.port == other.port
            and self.scheme == other.scheme
            and self.transport.lower() == other.transport.lower()
            and canonical_host(self.host) == canonical_host(other.host)
        )


def canonical_host(host: str) -> str:
    """Return what hosts are compared by: a numeric one as an address, a name in lower case and without the
    percent-encoding of characters that need none (:rfc:`4975#section-6.1`)."""
    bare = host.strip("[]")
    if "%" in bare:
        bare = _ENCODED.sub(_decode_unreserved, bare)
    bare = bare.lower()
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        return bare


def _decode_unreserved(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if character in _UNRESERVED else match[0]


def parse_path(text: str) -> tuple[MsrpUri, ...]:
    """Return the URIs of To-Path, From-Path or ``a=path``, leftmost (nearest) first, or raise :exc:`ParseError`.

    Of a path that is too long it is a :exc:`MessageTooLarge`.
    """
    words = text.split()
    if not words:
        raise ParseError("MSRP path", "is empty")
    if len(words) > MAX_PATH:
        raise MessageTooLarge("MSRP path", f"has more than {MAX_PATH} URIs", status=400)
    return tuple(MsrpUri.parse(word) for word in words)


def _parse_parameters(text: str) -> tuple[tuple[str, str | None], ...]:
    if not text:
        return ()
    found: list[tuple[str, str | None]] = []
    for item in text[1:].split(";"):
        match = _PARAMETER.fullmatch(item)
        if match is None:
            raise ParseError("MSRP URI", f"has a malformed parameter: {item[:40]!r}")
        found.append((match[1], match[2]))
    return tuple(found)
