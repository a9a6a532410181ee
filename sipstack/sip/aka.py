"""Digest by AKA (:rfc:`3310`, :rfc:`4169`): the password comes from a SIM's secret and the challenge itself.

:class:`Usim` is the account's side of 3GPP TS 33.102: it checks that the network knows the secret too and that the
challenge is a new one, and gives what :class:`~sipstack.sip.digest.DigestClient` answers with. The other side, which
a lab's core needs, is :func:`make_nonce` and :func:`resynchronized`.
"""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, field

from sipstack.sip.digest_hash import base_algorithm
from sipstack.sip.milenage import AMF_OCTETS, BLOCK, MAC_OCTETS, SQN_OCTETS, Keys, Milenage, xor

AKA_V1 = "AKAV1-MD5"
AKA_V2 = "AKAV2-MD5"
AKA_ALGORITHMS = frozenset({AKA_V1, AKA_V2})
"""As :func:`~sipstack.sip.digest_hash.base_algorithm` writes them."""

AUTN_OCTETS = SQN_OCTETS + AMF_OCTETS + MAC_OCTETS
AUTS_OCTETS = SQN_OCTETS + MAC_OCTETS

INDEX_BITS = 5
"""Low bits of an SQN that only tell which counter of the network made it (TS 33.102 Annex C.1.1.1)."""
INDEXES = 1 << INDEX_BITS

RESYNC_AMF = bytes(AMF_OCTETS)
"""What stands for AMF in MAC-S (TS 33.102 §6.3.3, B-AKA-04)."""

_V2_PASSWORD = b"http-digest-akav2-password"


def is_aka(algorithm: str | None) -> bool:
    """Tell whether a digest algorithm takes its password from a SIM."""
    return base_algorithm(algorithm) in AKA_ALGORITHMS


@dataclass(frozen=True, slots=True)
class AkaAnswer:
    """How a challenge is to be answered."""

    password: bytes = field(default=b"", repr=False)
    """For digest as with any password; empty when AUTS goes along (:rfc:`3310#section-3.4`)."""
    auts: str | None = None
    """Base64: the challenge was genuine and too old, and this tells the network where we are."""
    is_answered: bool = True
    """False: the network does not know our secret. It gets an empty response and no proof (B-AKA-03)."""


class Usim:
    """One account: the secret, and the newest sequence numbers that the network has used.

    A number counts as new when it is above the last one with the same index (TS 33.102 Annex C.2), so that vectors of
    several registrars may overtake each other.
    """

    __slots__ = ("_milenage", "_on_accepted", "_sequences")

    def __init__(
        self, milenage: Milenage, *, sqn: int | None = None, on_accepted: Callable[[int], None] | None = None
    ) -> None:
        """``sqn`` is the highest number of an earlier life, None where there was none. ``on_accepted`` is called with
        the highest number whenever it rises, to be kept for the next life."""
        self._milenage = milenage
        self._on_accepted = on_accepted
        # What is not known of an earlier life is taken as a network leaves it that only counts up.
        sequence, index = (-1, INDEXES) if sqn is None else (sqn >> INDEX_BITS, sqn % INDEXES)
        self._sequences = [sequence if i <= index else sequence - 1 for i in range(INDEXES)]

    def __repr__(self) -> str:
        return "<Usim>"

    def answer(self, nonce: str, algorithm: str | None) -> AkaAnswer | None:
        """Return how to answer a challenge; None for a nonce that holds no RAND and AUTN (B-AKA-01)."""
        try:
            octets = b64decode(nonce, validate=True)
        except (binascii.Error, ValueError):
            return None
        if len(octets) < BLOCK + AUTN_OCTETS:
            return None
        rand, autn = octets[:BLOCK], octets[BLOCK : BLOCK + AUTN_OCTETS]
        keys = self._milenage.keys(rand)
        hidden, amf, mac = autn[:SQN_OCTETS], autn[SQN_OCTETS:-MAC_OCTETS], autn[-MAC_OCTETS:]
        sqn = xor(hidden, keys.ak)
        if not hmac.compare_digest(mac, self._milenage.mac_a(rand, sqn, amf)):
            return AkaAnswer(is_answered=False)
        if not self._accept(int.from_bytes(sqn)):
            return AkaAnswer(auts=b64encode(self._auts(rand)).decode())
        return AkaAnswer(aka_password(keys, algorithm))

    def _accept(self, sqn: int) -> bool:
        sequence, index = sqn >> INDEX_BITS, sqn % INDEXES
        if sequence <= self._sequences[index]:
            return False
        before = max(self._sequences)
        self._sequences[index] = sequence
        if sequence > before and self._on_accepted is not None:
            self._on_accepted(sqn)
        return True

    def _auts(self, rand: bytes) -> bytes:
        highest = max(self._sequences)
        sqn = (highest << INDEX_BITS | self._sequences.index(highest)).to_bytes(SQN_OCTETS)
        mac = self._milenage.mac_s(rand, sqn, RESYNC_AMF)
        return xor(sqn, self._milenage.resync_ak(rand)) + mac


def aka_password(keys: Keys, algorithm: str | None) -> bytes:
    """Return the digest password: RES (:rfc:`3310#section-3.3`), or what :rfc:`4169#section-2.1` makes of all keys."""
    if base_algorithm(algorithm) == AKA_V2:
        return b64encode(hmac.digest(keys.res + keys.ik + keys.ck, _V2_PASSWORD, "md5"))
    return keys.res


# the network's side


def make_nonce(milenage: Milenage, rand: bytes, sqn: int, amf: bytes) -> str:
    """Return the nonce that challenges an account with ``rand`` (16 octets) and a sequence number."""
    octets = sqn.to_bytes(SQN_OCTETS)
    hidden = xor(octets, milenage.keys(rand).ak)
    return b64encode(rand + hidden + amf + milenage.mac_a(rand, octets, amf)).decode()


def resynchronized(milenage: Milenage, rand: bytes, auts: str) -> int | None:
    """Return the number that an account says it is at; None when AUTS is malformed or not from the account."""
    try:
        octets = b64decode(auts, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(octets) != AUTS_OCTETS:
        return None
    sqn = xor(octets[:SQN_OCTETS], milenage.resync_ak(rand))
    if not hmac.compare_digest(octets[SQN_OCTETS:], milenage.mac_s(rand, sqn, RESYNC_AMF)):
        return None
    return int.from_bytes(sqn)
