"""What the tests with foreign programs share: which programs are there, and a network around Kamailio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.lab import kamailio
from tests.e2e.world import World, kamailio_world
from tests.interop import sipp
from tests.interop.sipp import TRANSPORTS, Transport


def needs_kamailio(*modules: str) -> None:
    """Skip loudly where Kamailio is missing, or one of its ``modules`` that have packages of their own."""
    if not kamailio.is_available():
        pytest.skip("kamailio and kamailio-sqlite-modules are not installed")
    for module in modules:
        if not kamailio.has_module(module):
            pytest.skip(f"kamailio-{module}-modules is not installed")


@pytest.fixture
def needs_sipp() -> None:
    """Skip loudly where SIPp is missing."""
    if not sipp.is_available():
        pytest.skip("sip-tester (sipp) is not installed")


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> Transport:
    """How the foreign program talks to the core."""
    chosen: Transport = request.param
    return chosen


@pytest.fixture
async def kamailio_net(tmp_path: Path) -> AsyncIterator[World]:
    """A gateway, an IM server and a mailbox around Kamailio."""
    needs_kamailio()
    async with kamailio_world(tmp_path) as world:
        yield world
