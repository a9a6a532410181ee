"""The file of a pool: accounts that somebody has made in the core beforehand, as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.accountsource import SourcedAccount
from gateway.sims import SimError, SimKeys
from sipstack.errors import ParseError
from sipstack.sip.uri import Uri

COLUMNS = frozenset({"uri", "impi", "realm", "password", "ha1_md5", "ha1_sha256", "k", "op", "opc"})
"""``uri`` is needed, and a password, a hash of it, or the keys of a SIM; ``docs/provisioning.md`` explains them."""

HASHES = {"ha1_md5": ("MD5", 32), "ha1_sha256": ("SHA-256", 64)}
"""Column → algorithm and hex digits."""

MAX_ACCOUNTS = 200_000
"""Accounts of one pool: their credentials stay in memory, some 500 octets each."""

MAX_OCTETS = MAX_ACCOUNTS * 512
"""Size of the file, before anything of it is read."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class PoolError(Exception):
    """The file cannot be used; the text names line and column, and never a password."""


def read_pool(path: Path, realm: str) -> dict[str, SourcedAccount]:
    """Return SIP URI → account, in the order of the file. ``realm`` stands for one that a line leaves out.

    Raises :class:`PoolError`.
    """
    try:
        if path.stat().st_size > MAX_OCTETS:
            raise PoolError(f"{path}: is larger than {MAX_OCTETS} octets")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PoolError(f"{path}: cannot be read: {error}") from error
    accounts: dict[str, SourcedAccount] = {}
    try:
        for line, row in _rows(text):
            account = _account(row, realm, line)
            if account.uri in accounts:
                raise PoolError(f"line {line}: uri {account.uri} is there twice")
            accounts[account.uri] = account
            if len(accounts) > MAX_ACCOUNTS:
                raise PoolError(f"line {line}: a pool has at most {MAX_ACCOUNTS} accounts")
    except PoolError as error:
        raise PoolError(f"{path}: {error}") from None
    return accounts


def _rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and columns of each row; empty lines and those that begin with ``#`` are passed over."""
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    delimiter = ";" if first.count(";") > first.count(",") else ","
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    names: list[str] = []
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if not any(cells) or cells[0].startswith("#"):
                continue
            if not names:
                names = _header(cells, reader.line_num)
            elif len(cells) > len(names):
                raise PoolError(f"line {reader.line_num}: has more columns than the first line")
            else:
                yield reader.line_num, dict(zip(names, cells, strict=False))
    except csv.Error as error:
        raise PoolError(f"line {reader.line_num}: {error}") from None
    if not names:
        raise PoolError("line 1: the names of the columns are missing")


def _header(cells: list[str], line: int) -> list[str]:
    names = [cell.lower() for cell in cells]
    if unknown := sorted(set(names) - COLUMNS):
        raise PoolError(f"line {line}: unknown column {unknown[0]!r}; there are {', '.join(sorted(COLUMNS))}")
    if len(set(names)) < len(names):
        raise PoolError(f"line {line}: has a column twice")
    if "uri" not in names:
        raise PoolError(f"line {line}: the column uri is missing")
    return names


def _account(row: Mapping[str, str], realm: str, line: int) -> SourcedAccount:
    for name, cell in row.items():
        if _CONTROL.search(cell):
            raise PoolError(f"line {line}: {name} holds a control character")
    text = row["uri"] if ":" in row["uri"] else f"sip:{row['uri']}"
    try:
        uri = Uri.parse(text)
    except ParseError as error:
        raise PoolError(f"line {line}: uri: {error}") from None
    if not uri.is_sip or not uri.user or uri.aor != text:
        raise PoolError(f"line {line}: uri {text} is no plain SIP URI such as sip:guest1@ims.example")
    return SourcedAccount(
        uri=text,
        impi=row.get("impi") or uri.user,
        realm=row.get("realm") or realm,
        origin="pool",
        secret=row.get("password", ""),
        ha1=_hashes(row, line),
        sim=_sim(row, line),
    )


def _hashes(row: Mapping[str, str], line: int) -> dict[str, str]:
    hashes = {}
    for name, (algorithm, digits) in HASHES.items():
        value = row.get(name, "").lower()
        if value and not re.fullmatch(rf"[0-9a-f]{{{digits}}}", value):
            raise PoolError(f"line {line}: {name} is not {digits} hex digits")
        if value:
            hashes[algorithm] = value
    if not hashes and not row.get("password") and not row.get("k"):
        raise PoolError(f"line {line}: needs a password or a hash, or k with op or opc")
    return hashes


def _sim(row: Mapping[str, str], line: int) -> SimKeys | None:
    keys = {name: row.get(name, "") for name in ("k", "op", "opc")}
    if not any(keys.values()):
        return None
    if row.get("password") or any(row.get(name) for name in HASHES):
        raise PoolError(f"line {line}: has both a password and the keys of a SIM")
    try:
        return SimKeys.parse(**keys)
    except SimError as error:
        raise PoolError(f"line {line}: {error}") from None
