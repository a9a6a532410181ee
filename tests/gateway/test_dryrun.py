"""A dry run says what would be done, and touches nothing."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.storage.leasestore import Lease
from gateway.storage.sqlite import SqliteStore
from tests.gateway.provisioning.test_kamailio import LAB, SERIAL

CONFIG = """
[gateway]
data_dir = "data"
[core]
domain = "cc.com"
outbound_proxy = "sip:127.0.0.1:9;lr"
[accounts]
naming = "identifier"
[policy]
types = ["im", "file"]
"""
SIP = """
[interaction]
driver = "sip"
[interaction.sip]
im = "sip:im.cc.com"
file = "sip:file.cc.com"
identity = "sip:rcsgw@cc.com"
"""


def run(folder: Path, text: str, identifier: str = "b@cc.com", *options: str, fails: bool = False) -> str:
    """Return what the command prints; the folder holds the same files before and after."""
    config = folder / "gateway.toml"
    config.write_text(CONFIG + text)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    result = CliRunner().invoke(main, ["provisioning", "dry-run", "--config", str(config), *options, identifier])
    assert (result.exit_code != 0) is fails, result.output
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    return result.output


def subscribers(folder: Path) -> Path:
    path = folder / "kamailio.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(LAB.format(serial=SERIAL["sqlite"]))
    return path


def test_statements_and_sip_messages(tmp_path: Path) -> None:
    subscribers(tmp_path)
    text = '[provisioning]\ndriver = "kamailio"\nkamailio = { database = "kamailio.db" }\n' + SIP
    lines = run(tmp_path, text).splitlines()
    assert lines[0] == "account sip:b@cc.com, private identity b, realm cc.com: the name is free"
    assert lines[1] == "first registration (kamailio), then its end:"
    assert lines[2].startswith(f"  SQL in {tmp_path}/kamailio.db: INSERT INTO subscriber (username, domain,")
    assert "'***', '***', 'sip:b@cc.com');" in lines[2]
    requests = [line.strip() for line in lines if "REGISTER sip:" in line or "Expires" in line]
    assert requests == [
        line
        for server in ("im", "file")
        for line in (
            f"SIP REGISTER sip:{server}.cc.com SIP/2.0",
            "Expires: 2592000",
            f"SIP REGISTER sip:{server}.cc.com SIP/2.0",
            "Expires: 0",
        )
    ]
    assert "      Contact: <sip:127.0.0.1:5070>" in lines


def test_a_name_that_somebody_has(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(subscribers(tmp_path))) as connection, connection:
        connection.execute("INSERT INTO subscriber (username, domain) VALUES ('b', 'cc.com')")
    text = '[provisioning]\ndriver = "kamailio"\nkamailio = { database = "kamailio.db" }\n'
    assert "not ours" in run(tmp_path, text, fails=True)


def test_the_next_account_of_a_pool(tmp_path: Path) -> None:
    (tmp_path / "pool.csv").write_text("uri,password\nsip:g1@cc.com,geheim\nsip:g2@cc.com,geheim\n")
    text = '[provisioning]\ndriver = "pool"\npool = { file = "pool.csv" }\n'
    assert "the next guest gets sip:g1@cc.com" in run(tmp_path, text)

    async def lease() -> None:
        store = SqliteStore(tmp_path / "data" / "rcsgw.db")
        await store.open()
        await store.put_lease(Lease("sip:g1@cc.com", "pool", "email", "b@x.org"))
        await store.close()

    asyncio.run(lease())
    output = run(tmp_path, text)
    assert "2 accounts, 1 out, 0 returned" in output and "the next guest gets sip:g2@cc.com" in output
    assert "geheim" not in output


def test_drivers_with_nothing_to_do_and_drivers_that_cannot_say(tmp_path: Path) -> None:
    output = run(tmp_path, "")
    assert output.count("nothing to do") == 3
    output = run(tmp_path, '[provisioning]\ndriver = "tests.gateway.test_dryrun:Silent"\n')
    assert "the driver cannot say what it would do" in output
    up_center = '[users]\ndriver = "http"\nhttp = { url = "https://up.example", allocate = true }\n'
    assert run(tmp_path, up_center + SIP).endswith(
        "the UP Center names the accounts, and makes them known everywhere\n"
    )


def test_requests(tmp_path: Path) -> None:
    lab = '[provisioning]\ndriver = "lab"\nlab = { url = "http://127.0.0.1:9" }\n'
    assert "Cannot connect" in run(tmp_path, lab, fails=True)
    call = '{ path = "/{kind}/{user}" }'
    interaction = (
        f'[interaction]\ndriver = "http"\nhttp = {{ url = "https://x.org", create = {call}, delete = {call} }}\n'
    )
    output = run(tmp_path, interaction)
    assert "  PUT https://x.org/file/b\n  DELETE https://x.org/file/b\n" in output


def test_a_number_is_read_as_in_an_invitation(tmp_path: Path) -> None:
    assert "is neither" in run(tmp_path, "", "0151 12345678", fails=True)
    output = run(tmp_path, "", "0151 12345678", "--set", "gateway.region=DE")
    assert "account sip:+4915112345678@cc.com" in output


@pytest.mark.parametrize("identifier", ["sip:b@cc.com", "nobody", ""])
def test_who_is_meant(tmp_path: Path, identifier: str) -> None:
    assert "is neither an e-mail address nor a number" in run(tmp_path, "", identifier, fails=True)


class Silent:
    """A driver of a lab's own."""

    async def taken(self, uri: str, impi: str, realm: str) -> bool:
        return False

    async def close(self) -> None:
        pass
