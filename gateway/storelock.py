"""One gateway at a time works on a store: a lock beside its file, which ends with the process that holds it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from gateway.storage.errors import StoreError


class StoreInUse(StoreError):
    """Another process works on the store."""


class StoreLock:
    """The lock of one store. The file beside it stays: only its lock says something."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(f"{database.name}.lock")
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, at once. Raises :class:`StoreInUse`, :class:`StoreError` when the folder cannot be written."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"{self._path}: {error}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                raise StoreInUse(f"{self._path.with_suffix('')}: another rcsgw works on this store") from None
            raise StoreError(f"{self._path}: {error}") from error
        self._descriptor = descriptor

    def release(self) -> None:
        """Give it back; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
