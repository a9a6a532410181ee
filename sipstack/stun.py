"""The few STUN messages that keep a UDP flow open (:rfc:`5626#section-3.5.2`, :rfc:`5389`), on the port of SIP.

A binding request without attributes, and its answer with the address that it came from. Nothing else is read.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

from sipstack.flow import HostPort

__all__ = ["BindingRequest", "BindingResponse", "parse_stun"]

MAGIC_COOKIE = 0x2112A442
HEADER = struct.Struct("!HHI12s")
"""Type, length of what follows, magic cookie, transaction id (:rfc:`5389#section-6`)."""

BINDING_REQUEST = 0x0001
BINDING_RESPONSE = 0x0101
BINDING_ERROR = 0x0111
MAPPED_ADDRESS = 0x0001
ERROR_CODE = 0x0009
UNKNOWN_ATTRIBUTES = 0x000A
XOR_MAPPED_ADDRESS = 0x0020
FIRST_OPTIONAL = 0x8000
"""Attributes from here on may be passed over by who does not know them (:rfc:`5389#section-15`)."""
FAMILIES = {0x01: 4, 0x02: 16}
"""Octets of an address, by its family."""


@dataclass(frozen=True, slots=True)
class BindingRequest:
    """The question where we come from."""

    transaction: bytes
    """12 octets, chosen at random."""
    unknown: tuple[int, ...] = ()
    """Attributes in it that had to be understood and are not: the answer is an error."""

    def __bytes__(self) -> bytes:
        return _message(BINDING_REQUEST, self.transaction, b"")

    def answer(self, source: HostPort) -> bytes:
        """Return what to answer to who sent this from ``source``; 420 to what is not understood."""
        if self.unknown:
            code = struct.pack("!HBB", 0, 4, 20) + b"Unknown Attribute"
            types = struct.pack(f"!{len(self.unknown)}H", *self.unknown)
            attributes = _attribute(ERROR_CODE, code) + _attribute(UNKNOWN_ATTRIBUTES, types)
            return _message(BINDING_ERROR, self.transaction, attributes)
        return bytes(BindingResponse(self.transaction, source))


@dataclass(frozen=True, slots=True)
class BindingResponse:
    """The answer: ``mapped`` is where the request seemed to come from, None in an error."""

    transaction: bytes
    mapped: HostPort | None

    def __bytes__(self) -> bytes:
        if self.mapped is None:
            return _message(BINDING_ERROR, self.transaction, b"")
        host, port = self.mapped
        address = ipaddress.ip_address(host.partition("%")[0]).packed
        family = next(family for family, length in FAMILIES.items() if length == len(address))
        mask = _mask(self.transaction)
        value = struct.pack("!xBH", family, port ^ (MAGIC_COOKIE >> 16)) + _xor(address, mask)
        return _message(BINDING_RESPONSE, self.transaction, _attribute(XOR_MAPPED_ADDRESS, value))


def parse_stun(data: bytes) -> BindingRequest | BindingResponse | None:
    """Return the message in a datagram that is no SIP; None where it is no STUN, or none that we know.

    SIP never begins as STUN does: with two zero bits, and the magic cookie behind type and length.
    """
    if len(data) < HEADER.size:
        return None
    kind, length, cookie, transaction = HEADER.unpack_from(data)
    if cookie != MAGIC_COOKIE or length % 4 or length != len(data) - HEADER.size:
        return None
    attributes = _attributes(data[HEADER.size :])
    if attributes is None:
        return None
    if kind == BINDING_REQUEST:
        known = (MAPPED_ADDRESS, ERROR_CODE, UNKNOWN_ATTRIBUTES, XOR_MAPPED_ADDRESS)
        unknown = (name for name, _ in attributes if name < FIRST_OPTIONAL and name not in known)
        return BindingRequest(transaction, tuple(unknown))
    if kind == BINDING_ERROR:
        return BindingResponse(transaction, None)
    return BindingResponse(transaction, _mapped(attributes, transaction)) if kind == BINDING_RESPONSE else None


def _attributes(data: bytes) -> list[tuple[int, bytes]] | None:
    """Return the attributes in ``data``, whose length is a multiple of 4; None if they do not fit."""
    found = []
    position = 0
    while position < len(data):
        name, length = struct.unpack_from("!HH", data, position)
        position += 4
        if position + length > len(data):
            return None
        found.append((name, data[position : position + length]))
        position += length + -length % 4
    return found


def _mapped(attributes: list[tuple[int, bytes]], transaction: bytes) -> HostPort | None:
    """Return the address in an answer; older servers send it unmasked (:rfc:`5389#section-12.2`)."""
    values = dict(reversed(attributes))
    for name, mask in ((XOR_MAPPED_ADDRESS, _mask(transaction)), (MAPPED_ADDRESS, bytes(16))):
        value = values.get(name, b"")
        if len(value) >= 4 and FAMILIES.get(value[1]) == len(value) - 4:
            port = int.from_bytes(_xor(value[2:4], mask), "big")
            return str(ipaddress.ip_address(_xor(value[4:], mask))), port
    return None


def _mask(transaction: bytes) -> bytes:
    return MAGIC_COOKIE.to_bytes(4, "big") + transaction


def _xor(data: bytes, mask: bytes) -> bytes:
    return bytes(octet ^ other for octet, other in zip(data, mask, strict=False))


def _attribute(name: int, value: bytes) -> bytes:
    return struct.pack("!HH", name, len(value)) + value + bytes(-len(value) % 4)


def _message(kind: int, transaction: bytes, attributes: bytes) -> bytes:
    return HEADER.pack(kind, len(attributes), MAGIC_COOKIE, transaction) + attributes
