"""Drivers by import path, and pauses between attempts."""

from __future__ import annotations

import pytest

from gateway.backoff import pause
from gateway.config.types import RetrySection
from gateway.drivers import DriverError, load_driver
from gateway.provisioning.none import NoProvisioning


def test_drivers_of_a_lab() -> None:
    assert isinstance(load_driver("provisioning", "gateway.provisioning.none:NoProvisioning", {}), NoProvisioning)


@pytest.mark.parametrize("path", ["no.such:X", "gateway.drivers:Nothing", "gateway.provisioning.lab:LabProvisioning"])
def test_drivers_that_cannot_be_loaded(path: str) -> None:
    with pytest.raises(DriverError, match=r"^delivery\.sms\.driver "):
        load_driver("delivery.sms", path, {})


def test_pauses_double_up_to_the_longest() -> None:
    retry = RetrySection(first=1.0, longest=10.0)
    for failures, seconds in ((1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (5000, 10)):
        assert seconds * 0.8 <= pause(failures, retry) <= seconds * 1.2
