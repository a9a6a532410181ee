"""Milenage, the functions of 3GPP TS 35.206 by which a SIM and its home network prove themselves to each other.

The block cipher is given: AES-128 under the account's key K, one block in, one block out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

BlockCipher = Callable[[bytes], bytes]
"""Encrypts one block of 16 octets under K."""

BLOCK = 16
SQN_OCTETS = 6
AMF_OCTETS = 2
MAC_OCTETS = 8

# Rotations in octets and constants of section 4.1: r1…r5 are 64, 0, 32, 64 and 96 bits, c1…c5 end in 0, 1, 2, 4, 8.
_ROTATIONS = (8, 0, 4, 8, 12)
_CONSTANTS = tuple(bytes(BLOCK - 1) + bytes([last]) for last in (0, 1, 2, 4, 8))


@dataclass(frozen=True, slots=True)
class Keys:
    """What one RAND gives: the answer, and the keys for what is sent from then on."""

    res: bytes
    ck: bytes
    ik: bytes
    ak: bytes
    """Hides the SQN in AUTN."""


def derive_opc(encrypt: BlockCipher, op: bytes) -> bytes:
    """Return OPc, the operator's constant OP as one account has it."""
    return xor(encrypt(op), op)


class Milenage:
    """The functions f1 to f5* of one account."""

    __slots__ = ("_encrypt", "_opc")

    def __init__(self, encrypt: BlockCipher, opc: bytes) -> None:
        """``opc`` has 16 octets; :func:`derive_opc` makes it of OP."""
        if len(opc) != BLOCK:
            raise ValueError(f"OPc has {len(opc)} octets, not {BLOCK}")
        self._encrypt = encrypt
        self._opc = opc

    def keys(self, rand: bytes) -> Keys:
        """Return what f2, f3, f4 and f5 give."""
        start = self._start(rand)
        second = self._out(1, start)
        return Keys(res=second[8:], ck=self._out(2, start), ik=self._out(3, start), ak=second[:SQN_OCTETS])

    def resync_ak(self, rand: bytes) -> bytes:
        """Return AK of f5*, which hides the SQN in AUTS."""
        return self._out(4, self._start(rand))[:SQN_OCTETS]

    def mac_a(self, rand: bytes, sqn: bytes, amf: bytes) -> bytes:
        """Return MAC-A of f1: the network's proof in AUTN."""
        return self._macs(rand, sqn, amf)[:MAC_OCTETS]

    def mac_s(self, rand: bytes, sqn: bytes, amf: bytes) -> bytes:
        """Return MAC-S of f1*: the account's proof in AUTS."""
        return self._macs(rand, sqn, amf)[MAC_OCTETS:]

    def _start(self, rand: bytes) -> bytes:
        return self._encrypt(xor(rand, self._opc))

    def _macs(self, rand: bytes, sqn: bytes, amf: bytes) -> bytes:
        turned = _rotate(xor((sqn + amf) * 2, self._opc), _ROTATIONS[0])
        return xor(self._encrypt(xor(xor(self._start(rand), turned), _CONSTANTS[0])), self._opc)

    def _out(self, index: int, start: bytes) -> bytes:
        turned = _rotate(xor(start, self._opc), _ROTATIONS[index])
        return xor(self._encrypt(xor(turned, _CONSTANTS[index])), self._opc)


def xor(left: bytes, right: bytes) -> bytes:
    """Return the exclusive or of two texts of the same length."""
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _rotate(block: bytes, octets: int) -> bytes:
    return block[octets:] + block[:octets]
