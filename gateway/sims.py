"""Accounts that prove themselves with the secret of a SIM instead of a password (IMS AKA): keys, and numbers used.

K stays sealed, and is opened for the moments in which a challenge is answered; OPc, of no use without it, is not. The
highest sequence number that a network has used for an account is kept in the store, so that a challenge cannot be
played again after a restart.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gateway.storage.errors import StoreError
from sipstack.sip.aka import Usim
from sipstack.sip.digest import Credentials
from sipstack.sip.milenage import BLOCK, BlockCipher, Milenage, derive_opc

log = logging.getLogger("rcsgw.sims")

KEY = re.compile(rf"[0-9A-Fa-f]{{{2 * BLOCK}}}")


class SimError(ValueError):
    """Keys of a SIM cannot be used; the text names the field, and never a key."""


def aes(key: bytes) -> BlockCipher:
    """Return AES-128 under a key, one block at a time."""
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update


@dataclass(frozen=True, slots=True)
class SimKeys:
    """The secret that a SIM shares with its home network."""

    k: bytes = field(repr=False)
    opc: bytes = field(repr=False)

    @classmethod
    def parse(cls, k: str, op: str = "", opc: str = "") -> Self:
        """Read keys of 32 hex digits; ``opc``, or ``op`` of which it is made. Raises :class:`SimError`."""
        for name, value in (("k", k), ("op", op), ("opc", opc)):
            if value and not KEY.fullmatch(value):
                raise SimError(f"{name} is not {2 * BLOCK} hex digits")
        if not k:
            raise SimError("k is missing")
        if bool(op) == bool(opc):
            raise SimError("needs op or opc, and not both")
        key = bytes.fromhex(k)
        return cls(key, bytes.fromhex(opc) if opc else derive_opc(aes(key), bytes.fromhex(op)))

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read lines ``k = …`` and ``opc = …`` (or ``op = …``). Raises :class:`SimError`, OSError."""
        found = {"k": "", "op": "", "opc": ""}
        for number, line in enumerate(path.read_text(encoding="ascii", errors="replace").splitlines(), 1):
            name, equals, value = (part.strip() for part in line.partition("="))
            if not line.strip() or line.startswith("#"):
                continue
            if not equals or name.lower() not in found:
                raise SimError(f"{path}: line {number} is none of k = …, op = …, opc = …")
            found[name.lower()] = value
        try:
            return cls.parse(**found)
        except SimError as error:
            raise SimError(f"{path}: {error}") from None

    @property
    def text(self) -> str:
        """The form that is sealed; :meth:`parse` reads its two words."""
        return f"{self.k.hex()} {self.opc.hex()}"


class SequenceStore(Protocol):
    """The part of :class:`gateway.storage.store.Store` about SIMs."""

    async def sequence_numbers(self) -> Mapping[str, int]:
        """Return private identity → highest sequence number used."""

    async def put_sequence_number(self, impi: str, sqn: int) -> None:
        """Note that a number was used, unless a higher one was."""


class Sims:
    """Makes the credentials of accounts with a SIM, and keeps account of the numbers that were used."""

    def __init__(self, store: SequenceStore | None = None) -> None:
        """Without ``store`` numbers are forgotten with the process: for those who only try an account."""
        self._store = store
        self._known: dict[str, int] = {}
        self._writing: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Read what was used before. Raises StoreError."""
        if self._store is not None:
            self._known.update(await self._store.sequence_numbers())

    async def close(self) -> None:
        """Write what waits."""
        if self._writing:
            await asyncio.wait(self._writing)

    def credentials(self, impi: str, read: Callable[[], SimKeys]) -> Credentials:
        """Return credentials that answer AKA; ``read`` opens the keys whenever they are needed."""
        milenage = Milenage(lambda block: aes(read().k)(block), read().opc)
        usim = Usim(milenage, sqn=self._known.get(impi), on_accepted=lambda sqn: self._accepted(impi, sqn))
        return Credentials.from_usim(impi, usim)

    def _accepted(self, impi: str, sqn: int) -> None:
        self._known[impi] = max(sqn, self._known.get(impi, 0))
        if self._store is not None:
            task = asyncio.get_running_loop().create_task(self._note(self._store, impi, sqn))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def _note(self, store: SequenceStore, impi: str, sqn: int) -> None:
        try:
            await store.put_sequence_number(impi, sqn)
        except StoreError as error:
            log.warning("%s: its sequence number is not kept: %s", impi, error)
