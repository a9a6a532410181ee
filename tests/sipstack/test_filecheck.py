"""Checking files: D-FTM-12."""

from __future__ import annotations

import hashlib

from sipstack.filecheck import FileCheck
from sipstack.sdp_file import FileSelector

FILE = b"hello file"
HASHES = {"sha-1": hashlib.sha1(FILE).digest(), "sha-256": hashlib.sha256(FILE).digest(), "new": b"x"}


def test_a_file_that_is_what_it_should_be() -> None:
    """D-FTM-12: all hashes that are known, and the size."""
    check = FileCheck(FileSelector(size=10, hashes=HASHES))
    check.update(0, FILE[:4])
    check.update(4, memoryview(FILE)[4:])
    assert (check.in_order, check.position, check.mismatch(10)) == (True, 10, None)


def test_a_corrupt_octet_is_found() -> None:
    """D-FTM-12: corrupt octet."""
    check = FileCheck(FileSelector(hashes=HASHES))
    check.update(0, b"hello filf")
    assert check.mismatch(10) == "the sha-1 hash of the file is another one than was announced"


def test_a_short_file_is_found() -> None:
    """D-FTM-12: the other selectors."""
    check = FileCheck(FileSelector(size=11))
    assert check.mismatch(10) == "the file has 10 octets instead of 11"
    assert FileCheck(FileSelector()).mismatch(10) is None


def test_another_order_is_told_of() -> None:
    """D-FTM-12: then the file has to be read again."""
    check = FileCheck(FileSelector(hashes=HASHES))
    check.update(0, FILE[:4])
    check.update(6, FILE[6:])
    check.update(4, FILE[4:6])
    assert (check.in_order, check.position) == (False, 4)
