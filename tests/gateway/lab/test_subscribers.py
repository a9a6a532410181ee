"""The subscriber table of the embedded core."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from pathlib import Path

import pytest

from gateway.lab.subscribers import SCHEMA, IdentityTaken, Subscriber, SubscriberTable, canonical
from sipstack.errors import ParseError


def test_survives_a_restart(tmp_path: Path) -> None:
    table = SubscriberTable(tmp_path / "core.db")
    assert table.put(Subscriber.from_password("a", "secret", "cc.com", ["sip:a@cc.com", "tel:+49-151-1"]))
    table.close()
    table = SubscriberTable(tmp_path / "core.db")
    found = table.get("a")
    assert found is not None
    assert found.impus == ("sip:a@cc.com", "tel:+491511")
    assert found.ha1["MD5"] == hashlib.md5(b"a:cc.com:secret").hexdigest()
    assert table.owner("tel:+491511") == "a"
    assert len(table) == 1
    table.close()


def test_each_algorithm_has_its_hash() -> None:
    table = SubscriberTable()
    table.put(Subscriber.from_password("a", "secret", "cc.com"))
    assert table.ha1("a", "cc.com", "MD5") == hashlib.md5(b"a:cc.com:secret").hexdigest()
    assert table.ha1("a", "cc.com", "SHA-256") == hashlib.sha256(b"a:cc.com:secret").hexdigest()
    assert table.ha1("a", "cc.com", "SHA-512-256") is not None
    assert table.ha1("a", "elsewhere", "MD5") is None
    assert table.ha1("a", "cc.com", "FOO") is None
    assert table.ha1("nobody", "cc.com", "MD5") is None
    table.close()


def test_default_identity_of_a_private_one_with_domain() -> None:
    assert Subscriber.from_password("b@cc.com", "secret", "cc.com").impus == ("sip:b@cc.com",)


def test_replacing_drops_the_old_identities() -> None:
    table = SubscriberTable()
    assert table.put(Subscriber("a", "cc.com", "cc.com", {"MD5": "00"}, ("sip:a@cc.com", "sip:alice@cc.com")))
    assert not table.put(Subscriber("a", "cc.com", "cc.com", {"MD5": "11"}, ("sip:a@cc.com",)))
    assert table.owner("sip:alice@cc.com") is None
    assert table.ha1("a", "cc.com", "MD5") == "11"
    assert table.ha1("a", "cc.com", "SHA-256") is None
    table.close()


def test_an_identity_has_one_owner() -> None:
    table = SubscriberTable()
    table.put(Subscriber.from_password("a", "secret", "cc.com"))
    table.put(Subscriber.from_password("b", "secret", "cc.com"))
    with pytest.raises(IdentityTaken):
        table.put(Subscriber.from_password("b", "secret", "cc.com", ["sip:a@cc.com"]))
    assert table.identities("b") == ("sip:b@cc.com",)
    table.close()


def test_deleting() -> None:
    table = SubscriberTable()
    table.put(Subscriber.from_password("a", "secret", "cc.com"))
    assert table.usernames() == ["a"]
    assert table.delete("a")
    assert not table.delete("a")
    assert table.get("a") is None
    assert table.owner("sip:a@cc.com") is None
    table.close()


def test_canonical_identities() -> None:
    assert canonical(["sip:%61@CC.com", "sip:a@cc.com;user=phone"]) == ("sip:a@cc.com",)
    with pytest.raises(ParseError):
        canonical(["a@cc.com"])


def test_notes_and_a_file_from_before_there_were_any(tmp_path: Path) -> None:
    path = tmp_path / "core.db"
    with contextlib.closing(sqlite3.connect(path)) as old:
        old.executescript(SCHEMA.replace(",\n    note           TEXT NOT NULL DEFAULT ''", ""))
        old.execute("INSERT INTO subscriber VALUES ('old', 'cc.com', 'cc.com', '00', '', '')")
        old.commit()
    table = SubscriberTable(path)
    table.put(Subscriber("new", "cc.com", "cc.com", {"MD5": "00"}, ("sip:new@cc.com",), "mine"))
    assert table.notes() == {"new": "mine"}
    old_one = table.get("old")
    assert old_one is not None and (old_one.note, old_one.ha1) == ("", {"MD5": "00"})
    table.close()
