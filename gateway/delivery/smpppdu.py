"""PDUs of SMPP 3.4: smpplib writes and reads them; this is what the rest sees of it.

Nothing else of smpplib is used: its client has a blocking socket, its cutting of texts tears characters apart.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

from smpplib import command_codes, consts, exceptions, smpp

HEADER = struct.Struct(">LLLL")
"""command_length, command_id, command_status, sequence_number (SMPP 3.4 §3.2)."""

MAX_LENGTH = 1 << 16
"""Octets of one PDU: a message_payload can have 64 kB nearly; more is no PDU but a stream that we are lost in."""

RESPONSE = 0x8000_0000
"""Bit of command_id."""

RECEIPTED_MESSAGE_ID = 0x001E
MESSAGE_STATE = 0x0427
MESSAGE_PAYLOAD = 0x0424
ADDITIONAL_STATUS_INFO_TEXT = 0x001D

ROK = 0x00
RINVCMDLEN = 0x02
RINVCMDID = 0x03
RSYSERR = 0x08
RX_T_APPN = 0x64

_NAMES = {code: name.removeprefix("SMPP_") for name, code in vars(consts).items() if name.startswith("SMPP_ESME_R")}


class PduError(ValueError):
    """Octets that are no PDU. ``status`` is what a generic_nack tells about it."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Pdu:
    """A PDU that came in."""

    command: str
    """Its name in the specification, such as ``submit_sm_resp``."""
    status: int
    sequence: int
    fields: dict[str, Any] = field(default_factory=dict, repr=False)
    """Mandatory fields that were there: octets or numbers."""
    options: dict[int, bytes] = field(default_factory=dict, repr=False)
    """Optional parameters, by their tag; the first of each."""

    @property
    def is_response(self) -> bool:
        """Tell whether it answers one of ours."""
        return self.command.endswith("_resp") or self.command == "generic_nack"

    def text(self, name: str) -> str:
        """Return a C-octet string field, empty where it is not there."""
        value = self.fields.get(name)
        return value.decode("latin-1") if isinstance(value, bytes) else ""

    def number(self, name: str) -> int:
        """Return a number field, 0 where it is not there."""
        value = self.fields.get(name)
        return value if isinstance(value, int) else 0

    def option_text(self, tag: int) -> str:
        """Return an optional C-octet string; some servers leave its closing NUL out."""
        return self.options.get(tag, b"").partition(b"\0")[0].decode("latin-1")


class _NoSequence:
    """What smpplib asks for a number; the link gives them."""

    sequence = 0

    def next_sequence(self) -> int:
        return 0


_NO_SEQUENCE = _NoSequence()


def write(command: str, sequence: int, *, status: int = ROK, **fields: Any) -> bytes:
    """Return a PDU; ``fields`` are named as in the specification, octet strings as bytes, the rest as str or int."""
    pdu = smpp.make_pdu(command, client=_NO_SEQUENCE, status=status, **fields)
    pdu.sequence = sequence
    octets = pdu.generate()
    assert isinstance(octets, bytes)
    return octets


def body_length(header: bytes) -> int:
    """Return how many octets follow a header. Raises :class:`PduError`."""
    length, *_ = HEADER.unpack(header)
    if not HEADER.size <= length <= MAX_LENGTH:
        raise PduError(f"a PDU of {length} octets", RINVCMDLEN)
    return int(length) - HEADER.size


def read(octets: bytes) -> Pdu:
    """Read a whole PDU. Raises :class:`PduError`, whose status tells what is wrong."""
    _, identifier, status, sequence = HEADER.unpack_from(octets)
    options: dict[int, bytes] = {}

    def read_options(rest: bytes) -> None:
        options.update(_options(rest))

    try:
        name = command_codes.get_command_name(identifier)
        if name in ("outbind", "submit_multi", "cancel_sm", "replace_sm"):
            raise exceptions.UnknownCommandError(name)
        pdu = smpp.make_pdu(name, client=_NO_SEQUENCE)
        # smpplib stops at a parameter that it does not expect in this command; servers send what they like
        pdu.parse_optional_params = read_options
        pdu.parse(octets)
    except exceptions.UnknownCommandError:
        raise PduError(f"unknown command 0x{identifier:08x}", RINVCMDID) from None
    except (struct.error, TypeError) as error:
        raise PduError(f"a broken PDU, command 0x{identifier:08x}: {error}", RINVCMDLEN) from None
    fields = {key: value for key in pdu.params if (value := getattr(pdu, key, None)) is not None}
    return Pdu(name, status, sequence, fields, options)


def status_name(status: int) -> str:
    """Return a command_status in words for logs and errors, such as ``ESME_RTHROTTLED (0x58)``."""
    return f"{_NAMES.get(status, 'command_status')} (0x{status:02x})"


def _options(rest: bytes) -> dict[int, bytes]:
    """Read optional parameters: tag, length, value (SMPP 3.4 §5.3); what is cut off at the end is left out."""
    found: dict[int, bytes] = {}
    position = 0
    while position + 4 <= len(rest):
        tag, length = struct.unpack_from(">HH", rest, position)
        value = rest[position + 4 : position + 4 + length]
        if len(value) == length:
            found.setdefault(tag, value)
        position += 4 + length
    return found
