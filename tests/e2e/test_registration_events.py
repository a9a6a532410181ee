"""The core tells of registrations (RFC 3680): guests who are dropped, inviters who leave and come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sipstack.im.reginfo import ContactEvent
from tests.e2e.client import kind
from tests.e2e.cores import EmbeddedCore
from tests.e2e.world import World, embedded_world, eventually

SLOW_PROBES = 'bind = "127.0.0.1:0"\ntrusted = ["127.0.0.0/8"]\nprobe_interval = "1h"'
FOLLOWING = '\nregistration_events = true\ninviter_events = true\nservice_account = "sip:c@cc.com"\n'


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A network whose core lets c watch everybody, and a gateway that probes once an hour only."""
    more = f'{FOLLOWING}service_password = "carol-pw"'
    async with embedded_world(tmp_path, sip=SLOW_PROBES, more_core=more, watchers=("c",)) as world:
        yield world


def core_of(world: World) -> EmbeddedCore:
    assert isinstance(world.core, EmbeddedCore)
    return world.core


async def test_the_core_drops_a_guest(world: World) -> None:
    """B-REG-08: the guest is registered again at once; one who is rejected is told, and comes back when allowed to."""
    embedded = core_of(world)
    await world.phone("a")
    guest = await world.guest("a")
    user = next(name for name in embedded.accounts() if name.startswith("b"))
    await eventually(lambda: any("reg" in text and "NOTIFY" in text for text in world.received("NOTIFY")))
    assert embedded.core.drop(user, ContactEvent.DEACTIVATED)
    await eventually(lambda: len(world.received("NOTIFY")) >= 3)
    assert await embedded.is_registered(user)
    assert await guest.http.events() == [], "the guest notices nothing"
    assert embedded.core.drop(user, ContactEvent.REJECTED)
    event = await guest.wait_for_event(kind("session", state="failed"))
    assert event["session"]["reason"] == "The network has ended the registration: rejected."
    assert not await embedded.is_registered(user)
    assert (await guest.send("hello")).status in (200, 202)  # the next call registers again
    await guest.wait_for_event(kind("session", state="restored"))


async def test_a_core_that_tells_nothing_of_inviters(tmp_path: Path) -> None:
    """It refuses the service account's SUBSCRIBE: probes alone tell who is there."""
    probing = 'bind = "127.0.0.1:0"\ntrusted = ["127.0.0.0/8"]\nprobe_interval = 0.2'
    more = f'{FOLLOWING}service_password = "carol-pw"'
    async with embedded_world(tmp_path, sip=probing, more_core=more) as world:
        phone, guest = await world.phone("a"), await world.guest("a")
        assert (await guest.status()).json["status"] == "online"
        await eventually(lambda: world.received("SIP/2.0 403"))
        await phone.go_offline()
        event = await guest.wait_for_event(kind("status", status="offline"))
        assert event["status"]["cause"]["code"] == 480


async def test_an_inviter_leaves_and_comes(world: World) -> None:
    """Told by the core, long before the next probe; and it is status only: the invitation goes on."""
    phone = await world.phone("a")
    guest = await world.guest("a")
    assert (await guest.status()).json["status"] == "online"
    await eventually(lambda: [text for text in world.received("NOTIFY") if 'aor="sip:a@cc.com"' in text])
    await phone.go_offline()
    event = await guest.wait_for_event(kind("status", status="offline"))
    assert event["status"]["services"] == ["im"], "what A has is remembered"
    await phone.go_online()
    await guest.wait_for_event(kind("status", status="online"))
    assert (await guest.send("still here")).status in (200, 202)
