"""SQL of the steps that an account goes: known to core and servers or not, logged in or not, come at all."""

from __future__ import annotations

from sqlite3 import Connection

from gateway.storage import history


def set_provisioned(connection: Connection, account_id: int, provisioned: bool) -> None:
    """Note whether the core knows the account."""
    changed = connection.execute(
        "UPDATE account SET provisioned = ? WHERE id = ? AND provisioned <> ?", (provisioned, account_id, provisioned)
    )
    if changed.rowcount:
        history.note(connection, account_id, "provisioned" if provisioned else "deprovisioned")


def set_registered(connection: Connection, account_id: int, kind: str, done: bool) -> None:
    """Note that a second registration begins or is done."""
    connection.execute(
        "INSERT OR REPLACE INTO registration (account_id, type, done) VALUES (?, ?, ?)", (account_id, kind, done)
    )
    if done:
        history.note(connection, account_id, "registered", why=kind)


def registered(connection: Connection, kind: str) -> dict[str, bool]:
    """Return SIP URI → done of the second registrations of a type."""
    query = "SELECT uri, done FROM registration JOIN account ON account.id = account_id WHERE type = ?"
    return {uri: bool(done) for uri, done in connection.execute(query, (kind,))}


def forget_registration(connection: Connection, account_id: int, kind: str) -> None:
    """Note that a second registration is undone."""
    gone = connection.execute("DELETE FROM registration WHERE account_id = ? AND type = ?", (account_id, kind))
    if gone.rowcount:
        history.note(connection, account_id, "deregistered", why=kind)


def set_logged_in(connection: Connection, account_id: int, logged_in: bool) -> None:
    """Remember whether to register this account after a restart."""
    changed = connection.execute(
        "UPDATE account SET logged_in = ? WHERE id = ? AND logged_in <> ?", (logged_in, account_id, logged_in)
    )
    if changed.rowcount:
        history.note(connection, account_id, "login" if logged_in else "logout", "guest")


def come(connection: Connection, invitation_id: int, client: bytes, now: float) -> bool:
    """Note who was the first to come by an invitation's secret; tell whether it is this client."""
    changed = connection.execute(
        "UPDATE invitation SET came_at = ?, client = ? WHERE id = ? AND came_at = 0", (now, client, invitation_id)
    )
    if changed.rowcount:
        history.note_invitation(connection, invitation_id, "first-login", "guest")
        return True
    row = connection.execute("SELECT client FROM invitation WHERE id = ?", (invitation_id,)).fetchone()
    return row is not None and bytes(row[0]) == client
