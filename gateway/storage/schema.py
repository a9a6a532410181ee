"""Tables of the embedded store and the steps that bring an older file up to date."""

from __future__ import annotations

from collections.abc import Callable
from sqlite3 import Connection

from sqlite_utils import Database

ENTRY_COLUMNS = (
    "account_id",
    "cursor",
    "kind",
    "uid",
    "id",
    "direction",
    "state",
    "at",
    "content_type",
    "body",
    "asked",
)


class SchemaTooNew(Exception):
    """The file was written by a newer version of the program."""


def _first(db: Database) -> None:
    # AUTOINCREMENT: an id is never used again, so that a late entry of a deleted account can reach no other account
    db.execute(
        """
        CREATE TABLE IF NOT EXISTS account (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            uri TEXT NOT NULL UNIQUE,
            impi TEXT NOT NULL,
            realm TEXT NOT NULL,
            identifier_kind TEXT NOT NULL,
            identifier TEXT NOT NULL,
            sealed_secret BLOB NOT NULL,
            contact_token TEXT NOT NULL,
            instance_id TEXT NOT NULL,
            origin TEXT NOT NULL,
            provisioned INTEGER NOT NULL DEFAULT 0,
            logged_in INTEGER NOT NULL DEFAULT 0,
            cursor INTEGER NOT NULL DEFAULT 0,
            created_at REAL NOT NULL,
            floor INTEGER NOT NULL DEFAULT 0,
            UNIQUE (identifier_kind, identifier)
        )
        """
    )
    # the hot table: its key is its order on disk, and there is no second index to keep
    db.execute(
        """
        CREATE TABLE IF NOT EXISTS entry (
            account_id INTEGER NOT NULL,
            cursor INTEGER NOT NULL,
            kind TEXT NOT NULL,
            uid TEXT NOT NULL,
            id TEXT NOT NULL,
            direction TEXT NOT NULL,
            state TEXT NOT NULL,
            at REAL NOT NULL,
            content_type TEXT NOT NULL,
            body TEXT NOT NULL,
            PRIMARY KEY (account_id, cursor)
        ) WITHOUT ROWID
        """
    )
    invitation = {
        "id": int,
        "account_id": int,
        "uid": str,
        "sip": str,
        "identities": str,
        "name": str,
        "types": str,
        "note": str,
        "language": str,
        "secret_hash": bytes,
        "created_at": float,
        "expires_at": float,
        "state": str,
        "reason": str,
    }
    _create(db, "invitation", invitation, "id")
    db.table("invitation").create_index(["account_id", "uid"], unique=True, if_not_exists=True)
    db.table("invitation").create_index(["uid"], if_not_exists=True)
    db.table("invitation").create_index(["expires_at"], if_not_exists=True)
    _create(db, "registration", {"account_id": int, "type": str, "done": int}, ("account_id", "type"))
    delivery = {
        "invitation_id": int,
        "channel": str,
        "address": str,
        "sealed_link": bytes,
        "message_id": str,
        "state": str,
        "attempts": int,
        "queued_at": float,
        "next_at": float,
        "error": str,
    }
    _create(db, "delivery", delivery, "invitation_id", optional={"sealed_link"})
    db.table("delivery").create_index(["state", "next_at"], if_not_exists=True)
    _create(db, "inviter", {"uid": str, "cursor": int, "floor": int}, "uid")
    event = {"uid": str, "cursor": int, "kind": str, "at": float, "body": str}
    _create(db, "inviter_event", event, ("uid", "cursor"))
    _create(db, "tombstone", {"hash": bytes, "reason": str, "ended_at": float}, "hash")


def _files(db: Database) -> None:
    file = {
        "id": str,
        "account_id": int,
        "uid": str,
        "direction": str,
        "name": str,
        "content_type": str,
        "size": int,
        "octets": int,
        "state": str,
        "created": float,
        "until": float,
        "way": str,
        "sha1": str,
        "sha256": str,
        "transfer_id": str,
        "message_id": str,
        "url": str,
        "thumbnail": str,
        "reason": str,
        "thumbnail_url": str,
        "asked": str,
    }
    _create(db, "file", file, "id", optional={"size"})
    db.table("file").create_index(["account_id", "uid"], if_not_exists=True)


def _create(
    db: Database,
    name: str,
    columns: dict[str, type],
    key: str | tuple[str, ...],
    optional: frozenset[str] | set[str] = frozenset(),
) -> None:
    db.table(name).create(columns, pk=key, not_null=set(columns) - optional, if_not_exists=True)


def _asked(db: Database) -> None:
    # what the sender of a message wants to be told of it; a column, as a table of its own would be a second INSERT for
    # nearly every message of an inviter
    if "asked" not in db.table("entry").columns_dict:
        db.execute("ALTER TABLE entry ADD COLUMN asked TEXT NOT NULL DEFAULT ''")


def _invited(db: Database) -> None:
    # one row an invitation, for a day: also of those that are over and of accounts that are deleted
    db.table("invited").create({"uid": str, "at": float}, not_null={"uid", "at"}, if_not_exists=True)
    for columns in (["uid", "at"], ["at"]):
        db.table("invited").create_index(columns, if_not_exists=True)


def _channels(db: Database) -> None:
    # all channels of a delivery in their order, what was tried before the present one, and how many attempts may have
    # got through without our knowledge
    columns = db.table("delivery").columns_dict
    for name, kind in (("channels", "TEXT NOT NULL DEFAULT '[]'"), ("tried", "TEXT NOT NULL DEFAULT '[]'")):
        if name not in columns:
            db.execute(f"ALTER TABLE delivery ADD COLUMN {name} {kind}")
    if "doubtful" not in columns:
        db.execute("ALTER TABLE delivery ADD COLUMN doubtful INTEGER NOT NULL DEFAULT 0")
    db.execute("UPDATE delivery SET channels = json_array(channel) WHERE channels = '[]'")
    db.table("delivery").create_index(["state", "channel", "next_at"], if_not_exists=True)
    reference = {"channel": str, "reference": str, "invitation_id": int, "delivered": int}
    _create(db, "delivery_reference", reference, ("channel", "reference"))
    db.table("delivery_reference").create_index(["invitation_id"], if_not_exists=True)
    db.table("invitation").create_index(["secret_hash"], if_not_exists=True)  # by which a short link is found


def _leases(db: Database) -> None:
    lease = {
        "key": str,
        "origin": str,
        "identifier_kind": str,
        "identifier": str,
        "request": str,
        "free_at": float,
    }
    _create(db, "lease", lease, ("origin", "key"), optional={"free_at"})


def _history(db: Database) -> None:
    history = {
        "id": int,
        "at": float,
        "account_id": int,
        "account": str,
        "identifier": str,
        "uid": str,
        "step": str,
        "actor": str,
        "why": str,
        "detail": str,
    }
    _create(db, "history", history, "id")
    for column in ("account_id", "account", "identifier", "uid", "at"):
        db.table("history").create_index([column], if_not_exists=True)
    order = {"id": int, "kind": str, "account": str, "uid": str, "result": str}
    _create(db, "operator_order", order, "id", optional={"result"})
    # when somebody came by the secret for the first time (0: not yet), and a keyed hash of what tells their client
    columns = db.table("invitation").columns_dict
    for name, kind in (("came_at", "REAL NOT NULL DEFAULT 0"), ("client", "BLOB NOT NULL DEFAULT x''")):
        if name not in columns:
            db.execute(f"ALTER TABLE invitation ADD COLUMN {name} {kind}")


def _sims(db: Database) -> None:
    # for as long as the store: an account of a pool comes back, and its network goes on counting
    _create(db, "sim", {"impi": str, "sqn": int}, "impi")


MIGRATIONS: tuple[Callable[[Database], None], ...] = (
    _first,
    _asked,
    _files,
    _invited,
    _channels,
    _leases,
    _history,
    _sims,
)
"""Step n brings ``user_version`` n to n + 1. A step may run twice when the process dies in it."""


def migrate(connection: Connection) -> None:
    """Bring the schema up to date. Raises :class:`SchemaTooNew`."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise SchemaTooNew(f"the store has schema {version}, this program knows {len(MIGRATIONS)}")
    db = Database(connection)
    for number in range(version, len(MIGRATIONS)):
        MIGRATIONS[number](db)
        connection.execute(f"PRAGMA user_version = {number + 1}")
