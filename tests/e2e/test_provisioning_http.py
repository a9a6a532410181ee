"""Both registrations by requests from templates: here at the administrations of the lab's core and IM server."""

from __future__ import annotations

import re

from tests.e2e.conftest import Start, one_core
from tests.e2e.cores import EmbeddedCore
from tests.e2e.world import DOMAIN, World

pytestmark = one_core

TABLES = """[provisioning]
driver = "http"
[provisioning.http]
url = "{core}"
create.path = "/subscribers/{{impi}}"
create.json = {{ password = "{{password}}", impus = ["{{uri}}"], note = "rcsgw" }}
delete.path = "/subscribers/{{impi}}"
exists.path = "/subscribers/{{impi}}"
[interaction]
driver = "http"
[interaction.http]
url = "{im_server}"
create.path = "/accounts/{{uri}}"
delete.path = "/accounts/{{uri}}"
"""


async def restart_with(world: World, tables: str) -> None:
    """Start the gateway anew, with other tables for the two registrations."""
    await world.stop_gateway()
    kept = re.split(r"(?m)^(?=\[)", world.config_text)
    world.config_text = "".join(table for table in kept if not table.startswith(("[provisioning", "[interaction")))
    world.config_text += tables
    await world.start_gateway()


async def test_a_guest_with_an_account_that_requests_have_made(start: Start) -> None:
    world = await start()
    assert isinstance(world.core, EmbeddedCore)
    core, im_server = world.core.core, world.im_server
    await restart_with(world, TABLES.format(core=core.admin.url, im_server=im_server.admin.url))
    phone = await world.phone("a")
    world.core.put("b", "somebody's")
    guest = await world.guest()
    assert guest.account != f"sip:b@{DOMAIN}", "the service knows that name already"
    impi = guest.user.partition("@")[0]
    assert core.subscribers.notes() == {impi: "rcsgw"}
    assert im_server.accounts.all() == [guest.account]
    await guest.say("abcdefg")
    assert (await phone.wait_for("message")).peer == guest.account
    assert (await guest.logout()).status == 204
    assert world.core.accounts() == {"a", "b", "c"}
    assert im_server.accounts.all() == []
