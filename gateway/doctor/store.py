"""Is there a store that the gateway can work with, and the key to it?"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

from gateway.config.settings import Config
from gateway.doctor.base import Check, Outcome, failed, ok, warning
from gateway.secrets import Sealer, SecretsError
from gateway.storage.schema import MIGRATIONS
from gateway.storelock import StoreInUse, StoreLock

MiB = 1024 * 1024
LEAST_SPACE, ENOUGH_SPACE = 100 * MiB, 1024 * MiB
"""Free octets below which the store will soon fail, and below which somebody should look."""

SQLITE_TIMEOUT = 1.0
"""Seconds that another process may hold the database."""


def store_checks(config: Config) -> list[Check]:
    """Return the checks of folder, database and key."""

    def check(id: str, tries: str, work: Callable[[Config], Outcome], *needs: str) -> Check:
        return Check(f"store.{id}", tries, lambda: asyncio.to_thread(work, config), needs=needs)

    return [
        check("folder", "write into the folders of store and files", _folder),
        check("lock", "see whether another process works on the store", _lock, "store.folder"),
        check("database", "open the database for writing", _database, "store.folder"),
        check("key", "open what is sealed in the store with the key file", _key, "store.database"),
        check("space", "ask for free space", _space, "store.folder"),
    ]


def _folder(config: Config) -> Outcome:
    """Write and delete a file in each; of a folder that the gateway would make, in what it would be made in."""
    folders = [(config.data_dir, "gateway.data_dir"), (config.database.parent, "storage.path")]
    if "file" in config.policy.types:
        folders.append((config.spool, "files.folder"))
    for folder, key in folders:
        there = existing(folder)
        try:
            with tempfile.TemporaryFile(dir=there):
                pass
        except OSError as error:
            remedy = f"Let {key} be a folder that the gateway's user may write to, or make {there} writable."
            return failed(f"{folder}: {error.strerror or error}", remedy)
    return ok(f"{config.data_dir} can be written")


def _lock(config: Config) -> Outcome:
    if not config.database.with_name(f"{config.database.name}.lock").exists():
        return ok("nobody works on the store")
    lock = StoreLock(config.database)
    try:
        lock.acquire()
    except StoreInUse:
        return warning(
            "a gateway works on this store",
            "Nothing, if that is the one that is examined: what only it can tell is asked of it.",
        )
    lock.release()
    return ok("nobody works on the store")


def _database(config: Config) -> Outcome:
    path = config.database
    if not path.exists():
        if config.key_file.exists():
            remedy = "Is storage.path right? If the store was lost, restore it beside its key."
            return warning(f"there is a key file but no store at {path}: a new one would begin empty", remedy)
        return ok(f"{path} does not exist yet; the first start makes it")
    remedy = "Let storage.path name the gateway's own store, or restore it from the backup."
    try:
        with contextlib.closing(_connect(path)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error as error:
        if "locked" in str(error):
            remedy = "Another process, such as a backup or a shell, holds the database: let it end."
        return failed(f"{path}: {error}", remedy)
    if version > len(MIGRATIONS):
        remedy = "Run the version of rcsgw that wrote the store, or a newer one."
        return failed(f"{path} has schema {version}, this program knows {len(MIGRATIONS)}", remedy)
    if tables and "invitation" not in tables:
        return failed(f"{path} is somebody else's database", remedy)
    state = "" if version == len(MIGRATIONS) else f"; the next start brings it from schema {version}"
    return ok(f"{path}, schema {version} of {len(MIGRATIONS)}{state}")


def _key(config: Config) -> Outcome:
    path, sealed = config.key_file, _sealed(config.database)
    if not path.exists():
        if sealed is None:
            return ok(f"{path} does not exist yet; the first start makes it")
        remedy = "Restore the key file from its backup: without it no guest can register again."
        return failed(f"{path} is missing, and the store holds what it sealed", remedy)
    try:
        sealer = Sealer.from_file(path)
    except SecretsError as error:
        return failed(str(error), f"chmod 600 {path}, or restore it from its backup.")
    if sealed is not None:
        try:
            sealer.open(*sealed)
        except SecretsError as error:
            remedy = f"Restore the key that belongs to {config.database}."
            return failed(f"{path} does not fit the store: {error}", remedy)
    return ok(f"{path} fits the store" if sealed is not None else f"{path} can be used")


def _sealed(database: Path) -> tuple[bytes, str] | None:
    """Return the sealed secret of an account and its URI; None where there is none."""
    if not database.exists():
        return None
    with contextlib.closing(_connect(database)) as connection:
        try:
            row = connection.execute(
                "SELECT sealed_secret, uri FROM account WHERE length(sealed_secret) > 0 LIMIT 1"
            ).fetchone()
        except sqlite3.Error:  # one without tables yet
            return None
    return None if row is None else (row[0], row[1])


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=SQLITE_TIMEOUT)


def _space(config: Config) -> Outcome:
    folder = existing(config.data_dir)
    free = shutil.disk_usage(folder).free
    found = f"{free // MiB} MiB free at {folder}"
    remedy = "Make room, or move gateway.data_dir (and files.folder) to a larger disk."
    if free < LEAST_SPACE:
        return failed(found, remedy)
    return ok(found) if free >= ENOUGH_SPACE else warning(found, remedy)


def existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    folder = folder.absolute()
    return next((place for place in (folder, *folder.parents) if place.exists()), folder)
