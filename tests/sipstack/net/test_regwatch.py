"""When a watch of registrations asks for the whole state again."""

from __future__ import annotations

import pytest

from sipstack.im.reginfo import RegInfo
from sipstack.net.endpoint import Endpoint
from sipstack.net.regwatch import RegistrationWatch
from sipstack.net.subscriber import Subscriber
from sipstack.net.useragent import Identity, UserAgent
from sipstack.sip.uri import Uri

from .helpers import endpoint_config


async def test_what_was_missed_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notifier that never sends the whole state must not be asked for it all the time."""
    asked: list[Subscriber] = []
    monkeypatch.setattr(Subscriber, "refresh", lambda subscriber: asked.append(subscriber))
    me = Uri.parse("sip:b@cc.com")
    async with Endpoint(endpoint_config(msrp=False)) as endpoint:
        agent = UserAgent(endpoint, Identity(me), domain=Uri.parse("sip:cc.com"))
        watch = RegistrationWatch(agent, me, lambda said: None, lambda ended: None)
        counts = []
        for version, full in ((0, True), (2, False), (3, False), (5, False), (6, True), (9, False)):
            watch._notified(bytes(RegInfo(version, full)))
            counts.append(len(asked))
        assert counts == [0, 1, 1, 1, 1, 2]
