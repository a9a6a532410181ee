"""Kamailio's tables for tests, in each kind of database: as the distribution makes them, with columns of a lab."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from gateway.config.users import UsersKamailioSection
from gateway.database import Database
from gateway.users.kamailio import KamailioUsers
from sipstack.sip.digest import compute_ha1
from tests.servers import SqlServer

DOMAIN = "cc.com"
PASSWORD = "pä:ss"
HA1 = compute_ha1("a", DOMAIN, PASSWORD, "MD5")
HA1B = compute_ha1(f"a@{DOMAIN}", DOMAIN, PASSWORD, "MD5")

SCHEMA = """
CREATE TABLE subscriber (
    username VARCHAR(64) NOT NULL DEFAULT '', domain VARCHAR(64) NOT NULL DEFAULT '',
    password VARCHAR(64) NOT NULL DEFAULT '', ha1 VARCHAR(128) NOT NULL DEFAULT '',
    ha1b VARCHAR(128) NOT NULL DEFAULT '', email_address VARCHAR(128), full_name VARCHAR(64), status VARCHAR(16),
    class INTEGER, can_invite INTEGER, msisdn VARCHAR(32), UNIQUE (username, domain)
);
CREATE TABLE dbaliases (
    alias_username VARCHAR(64) NOT NULL, alias_domain VARCHAR(64) NOT NULL,
    username VARCHAR(64) NOT NULL, domain VARCHAR(64) NOT NULL
);
CREATE TABLE uri (username VARCHAR(64) NOT NULL, domain VARCHAR(64) NOT NULL, uri_user VARCHAR(64) NOT NULL);
"""
"""As ``kamdbctl create`` makes them in 5.6, and an operator's six columns more."""

ROWS = f"""
INSERT INTO subscriber VALUES
    ('a', 'cc.com', '{PASSWORD}', '{HA1}', '{HA1B}', 'Alice@mail.example', 'Alice', 'A', 3, 1, '+12015550100');
INSERT INTO subscriber VALUES ('s', 'cc.com', 'ps', '', '', NULL, NULL, 'S', 5, NULL, NULL);
INSERT INTO subscriber VALUES ('l', 'cc.com', 'pl', '', '', NULL, NULL, 'lost', 5, 1, NULL);
INSERT INTO subscriber VALUES ('low', 'cc.com', 'pw', '', '', NULL, NULL, 'active', 1, 1, NULL);
INSERT INTO subscriber VALUES ('no', 'cc.com', 'pn', '', '', NULL, NULL, 'Active', 5, 0, NULL);
INSERT INTO subscriber VALUES ('odd', 'other.example', 'po', '', '', NULL, NULL, 'what', NULL, NULL, NULL);
INSERT INTO subscriber VALUES ('empty', 'cc.com', '', '', '', NULL, NULL, 'A', 9, 1, NULL);
INSERT INTO dbaliases VALUES ('alice', 'cc.com', 'a', 'cc.com');
INSERT INTO dbaliases VALUES ('+15550101', 'cc.com', 'a', 'cc.com');
INSERT INTO uri VALUES ('a', 'cc.com', '15550102');
"""

COLUMNS = {
    "email": "email_address",
    "phone": "msisdn",
    "name": "full_name",
    "state": "status",
    "level": "class",
    "may_invite": "can_invite",
}

Tables = Callable[[str], str]
"""Runs a script in a database of its own and returns its URL."""


def sqlite_tables(folder: Path) -> Tables:
    def make(script: str) -> str:
        path = folder / "kamailio.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(script)
        return str(path)

    return make


def server_tables(server: SqlServer) -> Tables:
    return lambda script: server.url(server.new_database(script))


def users(url: str, *, timeout: float = 10.0, cache: float = 0.0, **section: object) -> KamailioUsers:
    """Return the driver for a database; ``section`` are keys of ``[users.kamailio]``."""
    values = {"states": {"A": "active", "S": "suspended"}, **COLUMNS, **section}
    # tests give keys of the configuration as they stand in the file
    settings = UsersKamailioSection(cache=cache, **values)  # type: ignore[arg-type]
    return KamailioUsers(Database(url, timeout=timeout), settings, domain=DOMAIN, realm=DOMAIN)
