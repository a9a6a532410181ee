"""Registration events of a real notifier: Kamailio's presence, presence_reginfo and pua_reginfo."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gateway.lab.kamailio import Kamailio, has_module
from sipstack.im.reginfo import AorInfo
from sipstack.net.config import EndpointConfig
from sipstack.net.endpoint import Endpoint
from sipstack.net.regwatch import RegistrationWatch
from sipstack.net.subscriber import Subscriber
from sipstack.net.useragent import Identity, UserAgent
from sipstack.sip.subscription import SubscriptionEnded
from sipstack.sip.uri import Uri
from tests.interop.conftest import needs_kamailio
from tests.sipstack.net.helpers import Phone
from tests.sipstack.net.helpers import until as wait_until

pytestmark = pytest.mark.interop

PATIENCE = 3.0
"""Seconds for a notification, which comes in some milliseconds or never."""

TABLES = Path("/usr/share/kamailio/db_sqlite")


@pytest.fixture
async def registrar(tmp_path: Path) -> AsyncIterator[Kamailio]:
    needs_kamailio()
    if not (has_module("presence_reginfo") and has_module("pua_reginfo")):
        pytest.skip("kamailio-presence-modules is not installed")
    folder = tmp_path / "config"
    folder.mkdir()
    shutil.copy(Path(__file__).parent / "regevents" / "kamailio.cfg", folder)
    schema = "".join((TABLES / f"{name}-create.sql").read_text() for name in ("standard", "presence"))
    (folder / "schema.sql").write_text(schema)
    async with Kamailio(tmp_path / "core", config_folder=folder) as core:
        yield core


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with Endpoint(EndpointConfig(msrp=False)) as endpoint:
        yield endpoint


def agent_of(core: Kamailio, endpoint: Endpoint, user: str, phone: Phone | None = None) -> UserAgent:
    return UserAgent(
        endpoint,
        Identity(Uri.parse(f"sip:{user}@cc.com")),
        domain=Uri.parse("sip:cc.com"),
        outbound_proxy=Uri.parse(core.sip_uri).with_param("transport", "tcp"),
        handler=phone,
    )


async def until(condition: Callable[[], object]) -> None:
    """Wait until ``condition`` holds."""
    await wait_until(condition, PATIENCE)


def told_of(endpoint: Endpoint, count: int) -> bool:
    """Tell whether so many subscriptions stand: what happens before they do, Kamailio may tell nobody."""
    subscribers = [user for user in endpoint.subscriptions.values() if isinstance(user, Subscriber) and user.active]
    return len(subscribers) == count


@pytest.mark.flaky(reruns=4)  # its workers may lose a notification to one another: then nobody is told, and we time out
async def test_kamailio_tells_who_comes_and_goes(registrar: Kamailio, endpoint: Endpoint) -> None:
    """B-REG-08, A-EXT-04: one who watches is told; one who is dropped by an operator (``ul.rm``) registers again."""
    said: list[AorInfo] = []
    ends: list[SubscriptionEnded] = []
    watcher = agent_of(registrar, endpoint, "c")
    await watcher.register()
    watch = RegistrationWatch(watcher, Uri.parse("sip:g@cc.com"), said.extend, ends.append)
    watch.start()
    await until(lambda: told_of(endpoint, 1))
    guest = agent_of(registrar, endpoint, "g", phone := Phone())
    guest.watch_registration = True
    await guest.register()
    await until(lambda: told_of(endpoint, 2))
    await guest.register()  # refreshed: now all who have subscribed are told
    await until(lambda: any(watch.table.contacts))
    told = len(said)
    await registrar.rpc("ul.rm", "location", "g@cc.com")
    await until(lambda: len(phone.events) == 3)
    assert guest.registered
    await until(lambda: "terminated" in [info.state for info in said[told:]] and said[-1].state == "active")
    assert await registrar.rpc("ul.lookup", "location", "g@cc.com")
    await guest.close()
    await until(lambda: said[-1].state == "terminated")
    assert not any(watch.table.contacts) and ends == []
    watch.stop()
    await until(lambda: endpoint.subscriptions == {})
    await watcher.close()
