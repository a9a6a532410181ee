"""The main job over a Kamailio whose subscribers are in MariaDB or PostgreSQL, as Kamailio's own scripts make them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.lab.kamailio import has_module, is_available
from tests.e2e.client import text_in
from tests.e2e.cores import SubscriberTables
from tests.e2e.world import kamailio_world
from tests.servers import SqlServer

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("name", ["mariadb", "postgresql"])
async def test_a_guest_registers_from_a_row_in_a_database_server(
    request: pytest.FixtureRequest, tmp_path: Path, name: str
) -> None:
    module = {"mariadb": "db_mysql", "postgresql": "db_postgres"}[name]
    if not is_available() or not has_module(module):
        pytest.skip(f"kamailio or its module {module} is not installed")
    server: SqlServer = request.getfixturevalue(name)
    tables = SubscriberTables(server)
    async with kamailio_world(tmp_path, tables=tables) as world:
        phone = await world.phone("a", on_message="script", script=("Nice to meet you",))
        guest = await world.invite()
        [(domain, mark, impus)] = tables.run("SELECT domain, password, impus FROM subscriber WHERE username = 'b'")
        assert (domain, mark[:6], impus) == ("cc.com", "rcsgw-", "sip:b@cc.com")
        assert (await guest.login()).status == 200
        assert await world.core.is_registered("b")
        assert (await guest.status()).json["status"] == "online"
        await guest.say("abcdefg")
        assert (await phone.wait_for("message")).text == "abcdefg"
        await guest.wait_for_event(text_in("Nice to meet you"))
        # the core asks its tables whom it knows: C has an account and no phone
        other = await world.guest("c", "d@cc.com")
        assert (await other.status("sip:c@cc.com")).json["status"] == "offline"
        assert (await guest.logout()).status == (await other.logout()).status == 204
        assert world.core.accounts() == {"a", "c"}
