"""Secrets are sealed to their account, and keys are kept to ourselves."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest

from gateway.secrets import Sealer, SecretsError, hash_login_secret, new_login_secret
from sipstack.sip.digest import Challenge

B = "sip:b@cc.com"


def test_login_secrets_have_128_bits_and_are_kept_hashed() -> None:
    assert len({new_login_secret() for _ in range(100)}) == 100
    assert len(bytes.fromhex(new_login_secret())) == 16
    assert hash_login_secret("ab") == hashlib.sha256(b"ab").digest()
    assert hash_login_secret("\udcff")  # whatever a client sends can be hashed


def test_key_file_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "data" / "rcsgw.key"
    sealed = Sealer.from_file(path).seal("geheim", B)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [item.name for item in path.parent.iterdir()] == ["rcsgw.key"]
    assert Sealer.from_file(path).open(sealed, B) == "geheim"


def test_sealed_bytes_belong_to_their_account_and_cannot_be_changed(tmp_path: Path) -> None:
    sealer = Sealer.from_file(tmp_path / "key")
    sealed = sealer.seal("geheim", B)
    assert b"geheim" not in sealed and sealer.seal("geheim", B) != sealed
    with pytest.raises(SecretsError, match="another account"):
        sealer.open(sealed, "sip:c@cc.com")
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(SecretsError):
            sealer.open(bytes(changed), B)
    for length in range(len(sealed)):
        with pytest.raises(SecretsError):
            sealer.open(sealed[:length], B)


def test_keys_can_be_changed(tmp_path: Path) -> None:
    path = tmp_path / "key"
    old = Sealer.from_file(path)
    sealed = old.seal("x", B)
    path.write_text(f"{'ab' * 4} {'cd' * 32}\n{path.read_text()}")
    new = Sealer.from_file(path)
    assert new.open(sealed, B) == "x"
    assert new.tombstone(B, b"h") == old.tombstone(B, b"h")
    with pytest.raises(SecretsError, match="not in the key file"):
        old.open(new.seal("x", B), B)


@pytest.mark.parametrize("text", ["", "x", f"{'ab' * 4} {'cd' * 31}", "é"])
def test_bad_key_files(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(SecretsError):
        Sealer.from_file(path)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    Sealer.from_file(path)
    path.chmod(0o644)
    with pytest.raises(SecretsError, match="0600"):
        Sealer.from_file(path)
    with pytest.raises(SecretsError):
        Sealer.from_file(tmp_path / "key" / "below")


def test_ha1_of_each_realm_and_algorithm(tmp_path: Path) -> None:
    sealer = Sealer.from_file(tmp_path / "key")
    sealed = sealer.new_sip_secret(B)
    secret = sealer.open(sealed, B)
    credentials = sealer.credentials(sealed, B, "b")
    assert credentials.username == "b"
    assert credentials.ha1("cc.com", "MD5") == hashlib.md5(f"b:cc.com:{secret}".encode()).hexdigest()
    assert credentials.ha1("x", "SHA-256") == hashlib.sha256(f"b:x:{secret}".encode()).hexdigest()
    assert secret not in repr(credentials)


def test_tombstones_depend_on_account_secret_and_key(tmp_path: Path) -> None:
    one, other = Sealer.from_file(tmp_path / "1"), Sealer.from_file(tmp_path / "2")
    hashes = {one.tombstone(B, b"x"), one.tombstone(B, b"y"), one.tombstone("sip:c", b"x"), other.tombstone(B, b"x")}
    assert len(hashes) == 4


def test_links_depend_on_file_and_key_and_survive_a_new_key() -> None:
    one, other = Sealer({b"0001": bytes(32)}), Sealer({b"0002": bytes(31) + b"1"})
    both = Sealer({b"0002": bytes(31) + b"1", b"0001": bytes(32)})
    assert len({one.link("f1"), one.link("f2"), other.link("f1")}) == 3
    assert both.link("f1") == one.link("f1") and len(one.link("f1")) == 32


def test_hashes_stand_for_a_secret_that_nobody_has_told(tmp_path: Path) -> None:
    sealer = Sealer.from_file(tmp_path / "key")
    sealed = sealer.seal_hashes({"MD5": "0123"}, "sip:b@cc.com", "b", "cc.com")
    assert sealer.ha1(sealed, "sip:b@cc.com", "b", "cc.com", "MD5") == "0123"
    for username, realm, algorithm in (("c", "cc.com", "MD5"), ("b", "other", "MD5"), ("b", "cc.com", "SHA-256")):
        with pytest.raises(SecretsError, match="not known"):
            sealer.ha1(sealed, "sip:b@cc.com", username, realm, algorithm)
    with pytest.raises(SecretsError, match="only hashes"):
        sealer.secret(sealed, "sip:b@cc.com")
    credentials = sealer.credentials(sealed, "sip:b@cc.com", "b")
    assert credentials.can_answer(Challenge("cc.com", "n")) and not credentials.can_answer(Challenge("other", "n"))
    whole = sealer.seal("geheim", "sip:b@cc.com")
    assert sealer.secret(whole, "sip:b@cc.com") == "geheim"
    assert sealer.credentials(whole, "sip:b@cc.com", "b").can_answer(Challenge("other", "n"))


def test_marks_depend_on_name_and_key_and_survive_a_new_key() -> None:
    old, new = {b"old!": bytes(32)}, {b"new!": bytes([1] * 32)}
    mark = Sealer(old).mark("b@cc.com")
    assert mark == Sealer({**new, **old}).mark("b@cc.com") and len(mark) == 22
    assert mark not in (Sealer(old).mark("c@cc.com"), Sealer(new).mark("b@cc.com"))
