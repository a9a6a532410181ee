"""Subscribers from Kamailio's tables, in SQLite, MariaDB and PostgreSQL."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from gateway.drivers import DriverError
from gateway.services import NotAuthenticated
from gateway.users.kamailio import KamailioUsers
from sipstack.sip.digest import compute_ha1
from tests.gateway.users.tables import (
    COLUMNS,
    DOMAIN,
    HA1,
    HA1B,
    PASSWORD,
    ROWS,
    SCHEMA,
    Tables,
    sqlite_tables,
    users,
)
from translators.identifiers import parse_identifier

NO_COLUMNS: dict[str, Any] = {**dict.fromkeys(COLUMNS, ""), "states": {}}
LAB = Path(__file__).parents[3] / "config" / "kamailio" / "schema.sql"


async def lookup(driver: KamailioUsers, text: str) -> tuple[str, str | None]:
    identifier = parse_identifier(text)
    assert identifier is not None
    answer = await driver.lookup(identifier)
    return answer.known, answer.sip


async def test_in_each_kind_of_database(tables: Tables) -> None:
    """All calls once against each kind; what they have to answer in detail is below."""
    url = tables(SCHEMA + ROWS)
    driver = users(url)
    inviter = await driver.authenticate("a", PASSWORD)
    for name in ("a@cc.com", "sip:a@CC.com", "alice@cc.com", "+12015550100", "tel:+15550101", "sip:15550102@cc.com"):
        assert await driver.authenticate(name, PASSWORD) == inviter, name
        assert (inviter.uid, inviter.sip, inviter.name) == ("a", "sip:a@cc.com", "Alice"), name
        assert (inviter.state, inviter.level, inviter.may_invite) == ("active", 3, True)
        assert inviter.identities == (
            "sip:a@cc.com",
            "sip:+15550101@cc.com",
            "tel:+15550101",
            "sip:alice@cc.com",
            "sip:15550102@cc.com",
        )
    for name, password in (("a", "wrong"), ("nobody", PASSWORD), ("a@other.example", PASSWORD), ("empty", "")):
        with pytest.raises(NotAuthenticated, match="The user or the password is wrong"):
            await driver.authenticate(name, password)
    assert await driver.digest("a", DOMAIN, "MD5") == (HA1, inviter)
    assert await driver.digest("a@cc.com", DOMAIN, "MD5") == (HA1B, inviter)
    for text in ("alice@MAIL.example", "+1 201 555 0100", "+15550101", "+15550102", "sip:alice@cc.com", "sip:a@cc.com"):
        assert await lookup(driver, text) == ("yes", "sip:a@cc.com"), text
    for text in ("a@cc.com", "+15550199", "sip:b@cc.com", "sip:a@other.example", "x%@mail.example"):
        assert await lookup(driver, text) == ("no", None), text
    assert await driver.taken("sip:alice@cc.com") and not await driver.taken("sip:b@cc.com")
    states = await driver.states(["a", "s", "l", "odd@other.example", "odd", "nobody"])
    assert states == {"a": "active", "s": "suspended", "l": "lost", "odd@other.example": "unknown"}
    await driver.close()
    plain = users(url, secrets="passwords")
    assert (await plain.authenticate("s", "ps")).state == "suspended"
    with pytest.raises(NotAuthenticated):
        await plain.authenticate("empty", "")
    await plain.close()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return sqlite_tables(tmp_path)(SCHEMA + ROWS)


async def test_passwords_in_the_clear(url: str) -> None:
    driver = users(url, secrets="passwords")
    assert list(driver.digest_algorithms) == ["SHA-256", "MD5"]
    assert (await driver.authenticate("a", PASSWORD)).uid == "a"
    for name, password in (("a", "x"), ("nobody", "\0"), ("nobody", ""), ("", "")):
        with pytest.raises(NotAuthenticated):
            await driver.authenticate(name, password)
    known = await driver.digest("sip:a@cc.com", "any", "SHA-256")
    assert known is not None and known[0] == compute_ha1("sip:a@cc.com", "any", PASSWORD, "SHA-256")
    for name in ("nobody", "empty"):
        assert await driver.digest(name, DOMAIN, "MD5") is None
    await driver.close()


@pytest.mark.parametrize(
    ("username", "realm", "algorithm"),
    [("a", "other", "MD5"), ("a", DOMAIN, "SHA-256"), ("sip:a@cc.com", DOMAIN, "MD5"), ("s", DOMAIN, "MD5")],
)
async def test_hashes_answer_only_what_they_were_made_for(url: str, username: str, realm: str, algorithm: str) -> None:
    driver = users(url)
    assert list(driver.digest_algorithms) == ["MD5"]
    assert await driver.digest(username, realm, algorithm) is None
    await driver.close()


@pytest.mark.parametrize(
    ("uid", "password", "state", "level", "may_invite"),
    [
        ("s", "ps", "suspended", 5, None),
        ("l", "pl", "lost", 5, True),
        ("no", "pn", "active", 5, False),
        ("odd@other.example", "po", "unknown", None, None),
    ],
)
async def test_what_columns_say(
    url: str, uid: str, password: str, state: str, level: int | None, may_invite: bool | None
) -> None:
    driver = users(url, secrets="passwords")
    inviter = await driver.authenticate(uid, password)
    assert (inviter.uid, inviter.state, inviter.level, inviter.may_invite) == (uid, state, level, may_invite)
    await driver.close()


async def test_without_optional_columns_nothing_is_claimed(tmp_path: Path) -> None:
    """The lab's own table: ``impus`` names the identities, and there are neither e-mail addresses nor states."""
    script = LAB.read_text() + (
        f"INSERT INTO subscriber (username, domain, ha1, impus) VALUES "
        f"('a', 'cc.com', '{HA1}', 'sip:alice@cc.com, tel:+15550100'), ('a_', 'cc.com', '{HA1}', '');"
    )
    driver = users(sqlite_tables(tmp_path)(script), **NO_COLUMNS)
    inviter = await driver.authenticate("a", PASSWORD)
    assert (inviter.sip, inviter.identities) == ("sip:alice@cc.com", ("sip:alice@cc.com", "tel:+15550100"))
    assert (inviter.name, inviter.state, inviter.level, inviter.may_invite) == (None, "unknown", None, None)
    assert await lookup(driver, "alice@mail.example") == ("unknown", None)
    assert await lookup(driver, "+15550199") == ("unknown", None)
    assert await lookup(driver, "+15550100") == ("yes", "sip:alice@cc.com")
    assert await lookup(driver, "sip:alice@cc.com") == ("yes", "sip:alice@cc.com")
    # a part of an identity is none, and neither is a pattern
    for text in ("sip:lice@cc.com", "sip:alice@cc.co", "sip:%25lice@cc.com", "sip:_lice@cc.com"):
        assert await lookup(driver, text) == ("no", None), text
    assert await driver.states(["a", "b"]) == {"a": "unknown"}
    await driver.close()


async def test_identities_in_a_table_of_their_own(tmp_path: Path) -> None:
    script = (
        SCHEMA
        + ROWS
        + (
            "CREATE TABLE impu (uri VARCHAR(128), impi VARCHAR(64), domain VARCHAR(64));"
            "INSERT INTO impu VALUES ('sip:zoe@cc.com', 'a', 'cc.com'), ('tel:+15550107', 'a', 'cc.com');"
        )
    )
    driver = users(sqlite_tables(tmp_path)(script))
    inviter = await driver.authenticate("zoe@cc.com", PASSWORD)
    assert inviter.sip == "sip:zoe@cc.com" and "tel:+15550107" in inviter.identities
    assert await lookup(driver, "+15550107") == ("yes", "sip:zoe@cc.com")
    await driver.close()


async def test_a_proof_is_remembered_for_a_while(url: str) -> None:
    driver = users(url, cache=30.0)
    clock = [0.0]
    driver._proofs._clock = lambda: clock[0]
    await driver.authenticate("a", PASSWORD)
    with sqlite3.connect(url) as connection:
        connection.execute("DELETE FROM subscriber")
    connection.close()
    assert (await driver.authenticate("a", PASSWORD)).uid == "a"
    clock[0] = 30.0
    with pytest.raises(NotAuthenticated):
        await driver.authenticate("a", PASSWORD)
    await driver.close()


@pytest.mark.parametrize(
    ("section", "script", "text"),
    [
        ({"state": "nope"}, SCHEMA, "no column nope in table subscriber"),
        ({"table": "nothere"}, SCHEMA, "no column username in table nothere"),
        ({"secrets": "passwords", "email": ""}, "CREATE TABLE subscriber (username, domain)", "no column password"),
    ],
)
async def test_tables_that_do_not_fit(tmp_path: Path, section: dict[str, Any], script: str, text: str) -> None:
    driver = users(sqlite_tables(tmp_path)(script), **section)
    with pytest.raises(DriverError, match=text) as caught:
        await driver.authenticate("a", PASSWORD)
    assert not caught.value.temporary
    await driver.close()


async def test_names_are_no_statements(url: str) -> None:
    driver = users(url)
    for name in ("' OR 1=1 --", "a' --", "sip:a'@cc.com", "a\0", "%", "\udcff"):
        with pytest.raises((NotAuthenticated, DriverError)):
            await driver.authenticate(name, PASSWORD)
    await driver.close()


SCRIPTS = Path("/usr/share/kamailio")
"""Where Debian's packages keep what makes Kamailio's tables."""

DISTRIBUTION = {"sqlite": "db_sqlite", "mysql": "mysql", "postgresql": "postgres"}

PEOPLE = f"""
INSERT INTO subscriber (username, domain, ha1, ha1b) VALUES ('a', 'cc.com', '{HA1}', '{HA1B}');
INSERT INTO dbaliases (alias_username, alias_domain, username, domain)
    VALUES ('alice', 'cc.com', 'a', 'cc.com'), ('+15550100', 'cc.com', 'a', 'cc.com');
INSERT INTO uri (username, domain, uri_user) VALUES ('a', 'cc.com', 'al');
"""


@pytest.mark.interop
async def test_tables_as_the_distribution_makes_them(tables: Tables, tables_kind: str) -> None:
    """Nothing but what ``kamdbctl create`` leaves behind: no column of a lab, all aliases."""
    folder = SCRIPTS / DISTRIBUTION[tables_kind]
    if not folder.is_dir():
        pytest.skip(f"kamailio's {tables_kind} package is not installed")
    names = ("standard", "auth_db", "alias_db", "uri_db")
    script = "\n".join((folder / f"{name}-create.sql").read_text() for name in names)
    driver = users(tables(script + PEOPLE), **NO_COLUMNS)
    inviter = await driver.authenticate("sip:al@cc.com", PASSWORD)
    assert inviter.identities == (
        "sip:a@cc.com",
        "sip:+15550100@cc.com",
        "tel:+15550100",
        "sip:alice@cc.com",
        "sip:al@cc.com",
    )
    assert (inviter.uid, inviter.state, inviter.level, inviter.may_invite) == ("a", "unknown", None, None)
    assert await lookup(driver, "+15550100") == ("yes", "sip:a@cc.com")
    assert await lookup(driver, "+15550101") == ("no", None)
    assert await lookup(driver, "a@mail.example") == ("unknown", None)
    await driver.close()
