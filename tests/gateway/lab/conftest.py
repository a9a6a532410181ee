"""What the tests of the lab share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.lab.kamailio import is_available
from gateway.lab.lab import Lab, LabOptions, LabUser
from gateway.lab.phone import Phone

A, B = LabUser("a", "a-secret"), LabUser("b", "b-secret")


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    """A lab with two users."""
    async with Lab(LabOptions(users=(A, B))) as lab:
        yield lab


@pytest.fixture
async def a(lab: Lab) -> Phone:
    """The lab's own phone, which answers."""
    assert lab.phone is not None
    return lab.phone


@pytest.fixture
def needs_kamailio() -> None:
    """Skip loudly where Debian's Kamailio is missing."""
    if not is_available():
        pytest.skip("kamailio and kamailio-sqlite-modules are not installed")
