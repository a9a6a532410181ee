"""What the tests of the lab share."""

from __future__ import annotations

import pytest

from gateway.lab.kamailio import is_available


@pytest.fixture
def needs_kamailio() -> None:
    """Skip loudly where Debian's Kamailio is missing."""
    if not is_available():
        pytest.skip("kamailio and kamailio-sqlite-modules are not installed")
