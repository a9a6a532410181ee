"""Receipts that come by HTTP: whose they are, and that they are stored before they are answered."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Mapping

from gateway.config.settings import Config
from gateway.delivery.base import DeliveryDriver, HttpReceipts
from gateway.delivery.receipts import Receipts
from gateway.deliveryservices import ReportAnswer
from gateway.services import NotFound, Unavailable

CHANNELS = ("sms", "mms")
"""Channels whose servers may call us."""

STORE_WAIT = 5.0
"""Seconds within which a receipt has to be stored; servers wait 10 and more for their answer."""


def receipt_tokens(config: Config) -> dict[str, str]:
    """Return channel → token, where there is one. Raises OSError when a file is missing."""
    receipts = config.delivery.receipts
    tokens = {name: config.secret(getattr(receipts, name), getattr(receipts, f"{name}_file")) for name in CHANNELS}
    return {channel: token for channel, token in tokens.items() if token}


def receipt_url(config: Config, channel: str) -> str:
    """Return where the server of a channel brings its receipts; empty where the channel has no token."""
    token = receipt_tokens(config).get(channel)
    return f"{config.gateway.public_url.rstrip('/')}/rcsgw/delivery/{channel}/{token}" if token else ""


class Reports:
    """:class:`gateway.deliveryservices.ReportService`."""

    def __init__(self, channels: Mapping[str, DeliveryDriver], tokens: Mapping[str, str], receipts: Receipts) -> None:
        self._drivers = {name: driver for name, driver in channels.items() if isinstance(driver, HttpReceipts)}
        self._tokens = {name: token.encode() for name, token in tokens.items() if name in self._drivers}
        self._receipts = receipts
        self._nobodys = secrets.token_bytes(16)
        """Compared with where there is no token, so that this takes as long."""

    def accepts(self, channel: str, token: str) -> bool:
        """Compare in constant time; a channel without a token is like one that does not exist."""
        expected = self._tokens.get(channel, self._nobodys)
        return hmac.compare_digest(expected, token.encode("utf-8", "surrogateescape"))

    async def report(self, channel: str, query: Mapping[str, str], content_type: str, body: bytes) -> ReportAnswer:
        """Let the driver read it, and answer when what it has read is stored."""
        driver = self._drivers.get(channel)
        if driver is None:
            raise NotFound("There is no such channel.")
        answer = ReportAnswer(*await driver.report(query, content_type, body))
        try:
            async with asyncio.timeout(STORE_WAIT):
                await self._receipts.written()
        except TimeoutError:
            raise Unavailable("The receipt cannot be stored now.", retry_after=int(STORE_WAIT)) from None
        return answer
