"""Whether a file is what its selector says (:rfc:`5547#section-8.3.1`), told from its octets as they come."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sipstack.sdp_file import FileSelector

if TYPE_CHECKING:
    from hashlib import _Hash

ALGORITHMS = {"md5": "md5", "sha-1": "sha1", "sha-224": "sha224", "sha-256": "sha256", "sha-384": "sha384"}
ALGORITHMS["sha-512"] = "sha512"
"""IANA's names and Python's. What a selector has of others is not checked."""


class FileCheck:
    """Hashes a file while it comes. One that resumes has to be given the octets that are there already first.

    Hashes go from the first octet to the last. When octets come in another order, ``in_order`` turns false and a new
    check has to be fed from the file itself.
    """

    __slots__ = ("_hashes", "_selector", "in_order", "position")

    def __init__(self, selector: FileSelector) -> None:
        self._selector = selector
        self._hashes: dict[str, _Hash] = {
            name: hashlib.new(ALGORITHMS[name], usedforsecurity=False) for name in selector.hashes if name in ALGORITHMS
        }
        self.position = 0
        """Octets that were hashed."""
        self.in_order = True

    def update(self, start: int, octets: bytes | memoryview) -> None:
        """Take octets from position ``start``, counted from 0."""
        if start != self.position:
            self.in_order = False
        elif self.in_order:
            self.position += len(octets)
            for digest in self._hashes.values():
                digest.update(octets)

    def mismatch(self, size: int) -> str | None:
        """Return in words what of the selector is not so, now that ``size`` octets are there; None when all is.

        Only when ``in_order``.
        """
        selector = self._selector
        if selector.size is not None and selector.size != size:
            return f"the file has {size} octets instead of {selector.size}"
        for name, digest in self._hashes.items():
            if digest.digest() != selector.hashes[name]:
                return f"the {name} hash of the file is another one than was announced"
        return None
