"""The lab's UP Center as others see it: its program, its administration, its accounts at the embedded core."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner

from gateway.lab.core import Core, CoreOptions
from gateway.lab.imserver import ImServer
from gateway.lab.interaction import InteractionOptions
from gateway.lab.upcenter import NetworkAccounts, Subscriber, UpCenter, UpCenterOptions, main, read_subscribers
from tests.gateway.lab.test_alone import run

ALLOCATE = {"identifier": {"kind": "email", "value": "b@x"}, "inviter": {"uid": "a", "sip": "sip:a@cc.com"}}


async def test_as_a_program(tmp_path: Path) -> None:
    """Subscribers from the command line and from a file; the gateway is let in by its token, people by passwords."""
    file = tmp_path / "people.json"
    file.write_text(json.dumps([{"uid": "c", "password": "pc", "identities": ["sip:c@cc.com"], "state": "lost"}]))
    options = ("--port", "0", "--subscriber", "a:pa", "--file", str(file), "--token", "t")
    async with run("gateway.lab.upcenter", *options) as ready, aiohttp.ClientSession(ready["url"]) as http:
        assert ready["actor"] == "up-center"
        async with http.post("/authenticate", json={"user": "a", "password": "pa"}) as answer:
            assert answer.status == 401, "without the token"
        http.headers["Authorization"] = "Bearer t"
        for user, password, state in (("a", "pa", "active"), ("sip:c@cc.com", "pc", "lost"), ("c", "pa", None)):
            async with http.post("/authenticate", json={"user": user, "password": password}) as answer:
                found = (await answer.json())["user"]
                assert (found and found["state"]) == state
        async with http.post("/lookup", json=["no object"]) as answer:
            assert answer.status == 400
        async with http.post("/lookup", json={"kind": "email"}) as answer:
            assert answer.status == 400


async def test_administration() -> None:
    options = UpCenterOptions(subscribers=(Subscriber("a", "pa", ("sip:a@cc.com",)),))
    async with UpCenter(options) as center, aiohttp.ClientSession(center.url) as http:
        async with http.put("/admin/subscribers/a", json={"state": "suspended", "level": 3}) as answer:
            assert answer.status == 200 and "password" not in await answer.json()
        async with http.post("/states", json={"uids": ["a", "b"]}) as answer:
            assert await answer.json() == {"states": {"a": "suspended"}}
        for path, body, status in (("b", {"state": "lost"}, 404), ("a", {"uid": "z"}, 400), ("a", [], 400)):
            async with http.put(f"/admin/subscribers/{path}", json=body) as answer:
                assert answer.status == status


async def test_accounts_in_the_network() -> None:
    """An account works in core and IM server as soon as it has been allocated, and no more once it is released."""
    async with Core(CoreOptions()) as core, ImServer(InteractionOptions()) as server:
        network = NetworkAccounts(core.admin.url, [server.admin.url])
        options = UpCenterOptions(accounts=1, made=network.made, gone=network.gone)
        async with UpCenter(options) as center, aiohttp.ClientSession(center.url) as http:
            async with http.post("/allocate", json=ALLOCATE) as answer:
                account = (await answer.json())["account"]
            subscriber = core.subscribers.get(account["impi"])
            assert subscriber is not None and subscriber.impus == (account["sip"],) and server.serves(account["sip"])
            for _ in range(2):
                async with http.post("/release", json={"sip": account["sip"]}) as answer:
                    assert answer.status == 200
            assert core.subscribers.usernames() == [] and not server.serves(account["sip"])
            await core.close()
            async with http.post("/allocate", json=ALLOCATE) as answer:
                assert answer.status == 502 and center.accounts == {}, "an account that the core has not got is none"


async def test_an_interaction_server_takes_addresses_only() -> None:
    async with ImServer(InteractionOptions()) as server, aiohttp.ClientSession(server.admin.url) as http:
        async with http.put("/accounts/no%20address") as answer:
            assert answer.status == 400
        assert server.accounts.all() == []


@pytest.mark.parametrize("text", ["", "{}", '[{"uid": "a"}]', '[{"uid": 1, "password": "p", "identities": []}]'])
def test_files_that_are_no_subscribers(tmp_path: Path, text: str) -> None:
    file = tmp_path / "people.json"
    file.write_text(text)
    result = CliRunner().invoke(main, ["--file", str(file)])
    assert result.exit_code == 1 and str(file) in result.output


def test_subscribers_with_all_fields(tmp_path: Path) -> None:
    file = tmp_path / "people.json"
    values = {"uid": "a", "password": "p", "identities": ["tel:+15550100", "sip:a@cc.com"], "emails": ["a@x"]}
    file.write_text(json.dumps([values | {"level": 3, "may_invite": False, "name": "Alice"}]))
    (subscriber,) = read_subscribers(file)
    assert subscriber.sip == "sip:a@cc.com" and subscriber.emails == ("a@x",) and "'p'" not in repr(subscriber)
    assert subscriber.view()["may_invite"] is False
