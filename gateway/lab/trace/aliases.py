"""Which addresses of a capture belong to one element: what it listens on, and the ports that it sends from.

Nobody says so in a capture, but the messages do: the top Via of a request is where its sender wants the answer, the
From-Path of MSRP is where its sender is, and who first sends a description is where its path leads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway.lab.ladder import Sighting
from gateway.lab.trace.recognition import name_of
from sipstack.errors import RemoteProtocolError
from sipstack.flow import HostPort
from sipstack.msrp.uri import MsrpUri
from sipstack.sip.via import Via

_VIA = re.compile(rb"(?im)^(?:via|v)[ \t]*:[ \t]*([^\r\n]+)")
_PATH = re.compile(rb"(?m)^a=path:([^\r\n ]+)")
_FROM_PATH = re.compile(rb"(?im)^from-path[ \t]*:[ \t]*([^\r\n ]+)")


class Aliases:
    """Addresses of one element, each with the one by which the element is named."""

    def __init__(self) -> None:
        self._named: dict[HostPort, HostPort] = {}

    def of(self, address: HostPort) -> HostPort:
        """Return the address by which its element is named."""
        while (further := self._named.get(address)) is not None:
            address = further
        return address

    def same(self, address: HostPort, named: HostPort) -> None:
        """Note that both belong to one element, which ``named`` names; the first to say so of an address is right."""
        one, other = self.of(address), self.of(named)
        if one != other:
            self._named[one] = other


def find_aliases(seen: Iterable[Sighting]) -> Aliases:
    """Return what the messages of a capture tell of addresses. Takes them in order of time."""
    aliases = Aliases()
    described: set[HostPort] = set()
    for sighting in seen:
        record, data = sighting.record, sighting.part.key
        if record.local is None or record.remote is None or record.actor != name_of(record.local):
            continue  # an element's own record, which says who it is
        source = record.local if record.direction == "out" else record.remote
        if record.protocol == "SIP":
            if "status" not in sighting.part.fields:
                _sent_from(aliases, source, data)
            for path in _PATH.findall(data):
                place = _msrp_place(path)
                if place is not None and place not in described:
                    described.add(place)
                    aliases.same(place, source)
        elif record.protocol == "MSRP":
            match = _FROM_PATH.search(record.data)
            place = None if match is None else _msrp_place(match[1])
            if place is not None and place[0] == source[0]:
                aliases.same(source, place)
    return aliases


def _sent_from(aliases: Aliases, source: HostPort, data: bytes) -> None:
    match = _VIA.search(data)
    if match is None:
        return
    try:
        via = Via.parse_many(match[1].decode("utf-8", "replace"))[0]
    except RemoteProtocolError:
        return
    host, port = via.host_port
    place = (host, port or 5060)
    if place[0] == source[0]:
        aliases.same(source, place)


def _msrp_place(text: bytes) -> HostPort | None:
    try:
        place = MsrpUri.parse(text.decode("ascii", "replace")).host_port
    except RemoteProtocolError:
        return None
    return place if place[1] != 9 else None
