"""A home subscriber server with one account that has a SIM, by Diameter (RFC 6733) over the Cx interface of 3GPP
TS 29.229: as much as Kamailio's S-CSCF asks for when somebody registers by AKA."""

from __future__ import annotations

import asyncio
import contextlib
import os
from base64 import b64decode, b64encode
from dataclasses import dataclass, field

from sipstack.sip.aka import make_nonce, resynchronized
from sipstack.sip.milenage import BLOCK, Milenage

CX = 16777216
TGPP = 10415
SUCCESS = 2001

CAPABILITIES, SERVER_ASSIGNMENT, MULTIMEDIA_AUTH, WATCHDOG, DISCONNECT = 257, 301, 303, 280, 282
REQUEST, PROXIABLE = 0x80, 0x40
VENDOR, MANDATORY = 0x80, 0x40

# codes of AVPs
USER_NAME, HOST_ADDRESS, AUTH_APPLICATION, VENDOR_APPLICATION, SESSION = 1, 257, 258, 260, 263
ORIGIN_HOST, SUPPORTED_VENDOR, VENDOR_ID, RESULT, PRODUCT, AUTH_STATE, ORIGIN_REALM = 264, 265, 266, 268, 269, 277, 296
# those of 3GPP
PUBLIC_IDENTITY, USER_DATA, ITEMS, SCHEME, AUTHENTICATE, AUTHORIZATION, ITEM, ITEM_NUMBER = (
    601,
    606,
    607,
    608,
    609,
    610,
    612,
    613,
)
CONFIDENTIALITY_KEY, INTEGRITY_KEY = 625, 626


def avp(code: int, value: bytes | str | int, vendor: int = 0) -> bytes:
    """Return one AVP, padded."""
    data = value.encode() if isinstance(value, str) else value.to_bytes(4) if isinstance(value, int) else value
    head = 12 if vendor else 8
    flags = MANDATORY | (VENDOR if vendor else 0)
    text = code.to_bytes(4) + bytes([flags]) + (head + len(data)).to_bytes(3) + (vendor.to_bytes(4) if vendor else b"")
    return text + data + bytes(-len(data) % 4)


def avps(data: bytes) -> dict[int, bytes]:
    """Return code → value, the last where one comes twice."""
    found = {}
    while len(data) >= 8:
        code, flags, length = int.from_bytes(data[:4]), data[4], int.from_bytes(data[5:8])
        found[code] = data[12 if flags & VENDOR else 8 : length]
        data = data[length + -length % 4 :]
    return found


def message(command: int, flags: int, hop: bytes, body: bytes) -> bytes:
    """Return a message; ``hop`` are its two identifiers of four octets each."""
    application = CX if command in (SERVER_ASSIGNMENT, MULTIMEDIA_AUTH) else 0
    head = (1).to_bytes(1) + (20 + len(body)).to_bytes(3) + bytes([flags]) + command.to_bytes(3)
    return head + application.to_bytes(4) + hop + body


@dataclass
class Hss:
    """The server, and what it knows of its one account. ``async with`` connects it to an S-CSCF."""

    milenage: Milenage
    realm: str
    impi: str
    impu: str
    sqn: int = 1000
    resynchronizations: list[int] = field(default_factory=list)
    """Numbers that the account has said to be at."""
    vectors: int = 0
    _task: asyncio.Task[None] | None = None

    async def connect(self, port: int) -> None:
        """Connect to the S-CSCF and serve it until :meth:`close`."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        vendor = avp(VENDOR_APPLICATION, avp(VENDOR_ID, TGPP) + avp(AUTH_APPLICATION, CX))
        body = self._origin + avp(HOST_ADDRESS, b"\x00\x01\x7f\x00\x00\x01") + avp(VENDOR_ID, TGPP)
        body += avp(PRODUCT, "test hss") + avp(SUPPORTED_VENDOR, TGPP) + vendor
        writer.write(message(CAPABILITIES, REQUEST, os.urandom(8), body))
        self._task = asyncio.create_task(self._serve(reader, writer))

    async def close(self) -> None:
        """Hang up."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @property
    def _origin(self) -> bytes:
        return avp(ORIGIN_HOST, f"hss.{self.realm}") + avp(ORIGIN_REALM, self.realm)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readexactly(20)
                body = await reader.readexactly(int.from_bytes(head[1:4]) - 20)
                if head[4] & REQUEST:
                    command = int.from_bytes(head[5:8])
                    answer = self._answer(command, avps(body))
                    writer.write(message(command, head[4] & PROXIABLE, head[12:20], answer))
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    def _answer(self, command: int, asked: dict[int, bytes]) -> bytes:
        answer = avp(RESULT, SUCCESS) + self._origin
        if command not in (MULTIMEDIA_AUTH, SERVER_ASSIGNMENT):
            return answer
        vendor = avp(VENDOR_APPLICATION, avp(VENDOR_ID, TGPP) + avp(AUTH_APPLICATION, CX))
        answer = avp(SESSION, asked[SESSION]) + vendor + answer + avp(AUTH_STATE, 1) + avp(USER_NAME, self.impi)
        if command == SERVER_ASSIGNMENT:
            return answer + avp(USER_DATA, self._profile, TGPP)
        self._resynchronize(avps(asked.get(ITEM, b"")).get(AUTHORIZATION, b""))
        return answer + avp(PUBLIC_IDENTITY, self.impu, TGPP) + avp(ITEMS, 1, TGPP) + self._vector()

    def _resynchronize(self, told: bytes) -> None:
        """Take RAND and AUTS, where the S-CSCF passes them on."""
        if told:
            sqn = resynchronized(self.milenage, told[:BLOCK], b64encode(told[BLOCK:]).decode())
            assert sqn is not None, "the AUTS is not the account's"
            self.resynchronizations.append(sqn)
            self.sqn = sqn

    def _vector(self) -> bytes:
        self.sqn += 33
        self.vectors += 1
        rand = os.urandom(BLOCK)
        keys = self.milenage.keys(rand)
        return avp(
            ITEM,
            avp(ITEM_NUMBER, 1, TGPP)
            + avp(SCHEME, "Digest-AKAv1-MD5", TGPP)
            + avp(AUTHENTICATE, b64decode(make_nonce(self.milenage, rand, self.sqn, bytes(2))), TGPP)
            + avp(AUTHORIZATION, keys.res, TGPP)
            + avp(CONFIDENTIALITY_KEY, keys.ck, TGPP)
            + avp(INTEGRITY_KEY, keys.ik, TGPP),
            TGPP,
        )

    @property
    def _profile(self) -> str:
        identity = f"<PublicIdentity><Identity>{self.impu}</Identity></PublicIdentity>"
        return (
            f'<?xml version="1.0" encoding="UTF-8"?><IMSSubscription><PrivateID>{self.impi}</PrivateID>'
            f"<ServiceProfile>{identity}</ServiceProfile></IMSSubscription>"
        )
