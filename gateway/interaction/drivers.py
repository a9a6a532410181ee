"""The interaction driver that a configuration chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.drivers import load_driver
from gateway.interaction.http import HttpInteraction
from gateway.interaction.none import NoInteraction
from gateway.interaction.sip import SipInteraction
from gateway.provisioning.drivers import http_service

if TYPE_CHECKING:
    from gateway.config.settings import Config
    from gateway.interaction.base import InteractionDriver
    from sipstack.net.endpoint import Endpoint
    from sipstack.sip.uri import Uri


def interaction_driver(config: Config, endpoint: Endpoint, contact: Uri | None = None) -> InteractionDriver:
    """Return a new driver; the caller closes it. ``contact`` is for an endpoint that is not started: a dry run's.

    Raises DriverError, ValueError or OSError when it can't be made.
    """
    section = config.interaction
    match section.driver:
        case "none":
            return NoInteraction()
        case "sip":
            return SipInteraction(
                endpoint,
                servers={"im": section.sip.im, "file": section.sip.file},
                identity=section.sip.identity or f"sip:rcsgw@{config.core.domain}",
                expires=section.sip.expires,
                timeout=section.sip.timeout,
                contact=contact,
            )
        case "http":
            return HttpInteraction(http_service(config, section.http))
        case path:
            driver: InteractionDriver = load_driver("interaction", path, section.options)
            return driver
