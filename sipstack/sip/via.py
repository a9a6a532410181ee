"""The Via header, :rfc:`3261#section-20.42`, with ``received`` and ``rport`` of :rfc:`3581`."""

from __future__ import annotations

import re
from dataclasses import replace

from sipstack.errors import ParseError
from sipstack.sip.grammar import (
    HOST,
    TOKEN,
    Parameters,
    find_parameter,
    format_parameters,
    parse_parameters,
    remove_parameters,
    replace_parameter,
    split_list,
    unquote,
)
from sipstack.sip.uri import MAX_PORT
from sipstack.valuetype import value_type

__all__ = ["MAGIC_COOKIE", "Via"]

MAGIC_COOKIE = "z9hG4bK"
"""Begins every branch that :rfc:`3261#section-8.1.1.7` made; without it the older matching rules apply."""

SIP_2 = "SIP/2.0"

# via-parm = sent-protocol LWS sent-by        sent-protocol = protocol-name SLASH protocol-version SLASH transport
# sent-by = host [ COLON port ]               SLASH = SWS "/" SWS      COLON = SWS ":" SWS
_VIA = re.compile(
    rf"({TOKEN})[ \t]*/[ \t]*({TOKEN})[ \t]*/[ \t]*({TOKEN})[ \t]+"
    rf"({HOST})(?:[ \t]*:[ \t]*(0*[0-9]{{1,5}}))?(?=[ \t;]|\Z)"
)


@value_type
class Via:
    """One hop of the path that a request took."""

    transport: str
    """Upper case."""
    host: str
    """As on the wire: IPv6 in brackets."""
    port: int | None = None
    parameters: Parameters = ()
    protocol: str = SIP_2
    """Name and version; something else comes only from a peer that speaks another version."""

    @classmethod
    def parse(cls, text: str) -> Via:
        """Parse one value. :class:`ParseError` if it is none, or if more follows."""
        text = text.strip(" \t")
        match = _VIA.match(text)
        if match is None:
            raise ParseError("Via", "has a malformed protocol or sent-by")
        name, version, transport, host, digits = match.groups()
        port = None
        if digits is not None and (port := int(digits)) > MAX_PORT:
            raise ParseError("Via", "has a port above 65535")
        protocol = SIP_2 if name == "SIP" and version == "2.0" else f"{name.upper()}/{version}"
        return cls(transport.upper(), host, port, parse_parameters(text, match.end(), "Via"), protocol)

    @classmethod
    def parse_many(cls, text: str) -> list[Via]:
        """Parse a comma list; an empty item is a :class:`ParseError`."""
        return [cls.parse(item) for item in split_list(text)]

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"{self.protocol}/{self.transport} {self.host}{port}{format_parameters(self.parameters)}"

    @property
    def branch(self) -> str | None:
        """The transaction's branch, None if the peer gave none."""
        return find_parameter(self.parameters, "branch") or None

    @property
    def received(self) -> str | None:
        """The address that the next hop saw, without brackets (:rfc:`5118#section-4.5`)."""
        value = find_parameter(self.parameters, "received")
        return value.strip("[]") if value else None

    @property
    def rport(self) -> int | None:
        """The port that the next hop saw; None if absent, malformed, or still a flag (then ``param`` gives ``""``)."""
        value = find_parameter(self.parameters, "rport")
        if value and len(value) <= 5 and value.isdecimal() and value.isascii() and int(value) <= MAX_PORT:
            return int(value)
        return None

    @property
    def host_port(self) -> tuple[str, int | None]:
        """The sent-by host without brackets, and the port if there is one."""
        return self.host.strip("[]"), self.port

    def param(self, name: str) -> str | None:
        """Return a parameter without quotes, ``""`` for a flag, None if it is not there."""
        value = find_parameter(self.parameters, name)
        return None if value is None else unquote(value)

    def with_param(self, name: str, value: str | None = None) -> Via:
        """Return the Via with the parameter set; None makes it a flag."""
        return replace(self, parameters=replace_parameter(self.parameters, name, value))

    def without_params(self, *names: str) -> Via:
        """Return the Via without the named parameters."""
        return replace(self, parameters=remove_parameters(self.parameters, names))
