"""B-CAP-05: SIPp as A's device answers OPTIONS in each way of the table, through Kamailio; what the guest is told."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import presence
from gateway.lab.ports import free_port
from tests.e2e.world import DOMAIN, PASSWORDS, World
from tests.interop.sipp import Sipp

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("needs_sipp")]

CHAT = ";+g.oma.sip-im"
FILES = f'{CHAT};+g.3gpp.icsi-ref="urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.filetransfer"'

TABLE = [
    ("200 OK", FILES, "online", ["file", "im"]),
    ("480 Temporarily Unavailable", "", "offline", ["file", "im"]),
    ("403 Forbidden", "", "unknown", ["file", "im"]),
    ("500 Server Internal Error", "", "unknown", ["file", "im"]),
    ("503 Service Unavailable", "", "unknown", ["file", "im"]),  # a proxy makes 500 of it (RFC 3261 section 16.7)
    ("504 Server Time-out", "", "not-reachable", ["file", "im"]),
    ("200 OK", f"{CHAT};automata", "offline", ["im"]),
    ("200 OK", "", "not-rcs", []),
    ("480 Temporarily Unavailable", "", "offline", []),
    ("200 OK", CHAT, "online", ["im"]),
    ("404 Not Found", "", "not-rcs", []),
    ("604 Does Not Exist Anywhere", "", "not-rcs", []),
]
"""Answer and tags → status and services; those known last stay where nothing new is said, and end with 404."""


async def test_each_answer_and_what_it_means(kamailio_net: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "FRESH", 0.0)
    world, port = kamailio_net, free_port()
    keys: dict[str, Any] = {"user": "a", "domain": DOMAIN, "contact_port": port}
    async with Sipp(world.folder, "register", world.core.address, credentials=("a", PASSWORDS["a"]), **keys) as sipp:
        await sipp.finish()
    guest = await world.guest("a")
    for answer, tags, status, services in TABLE:
        said: dict[str, Any] = {"status": answer, "tags": tags}
        async with Sipp(world.folder, "uas_options", world.core.address, port=port, **said) as sipp:
            told = (await guest.status()).json
            await sipp.finish()
        assert (told["status"], told["services"]) == (status, services), answer
        code = 500 if answer.startswith("503") else int(answer[:3])
        assert told["cause"]["code"] == code, "the code that caused it goes along"
