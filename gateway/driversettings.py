"""The tables of the configuration file that choose and set up drivers (design: how it meets a real core)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from gateway.channelsettings import (
    DeliveryMm7Section,
    DeliveryMmsSection,
    DeliverySmppSection,
    DeliverySmsHttpSection,
    DeliverySmsSection,
)
from gateway.deliverysettings import DeliveryChannelsSection, DeliveryDeadlinesSection, DeliveryReceiptsSection, Tag
from gateway.settingtypes import Positive, RetrySection, Section, Size


class DeliveryEmailSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The mail server that takes our mails."""

    host: str = ""
    port: Annotated[int, Meta(gt=0, lt=65536)] = 25
    security: Literal["none", "starttls", "tls"] = "none"
    username: str = ""
    password: str = ""
    password_file: str = ""
    sender: str = ""
    ca_file: str = ""
    timeout: Positive = 20.0


class DeliverySection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the link reaches the invited person."""

    language: Tag = "en"
    templates: str = ""
    parallel: Size = 4
    receipt_wait: Positive = 86400.0
    channels: DeliveryChannelsSection = field(default_factory=DeliveryChannelsSection)
    receipts: DeliveryReceiptsSection = field(default_factory=DeliveryReceiptsSection)
    deadlines: DeliveryDeadlinesSection = field(default_factory=DeliveryDeadlinesSection)
    retry: RetrySection = field(default_factory=lambda: RetrySection(first=5.0, longest=900.0, deadline=14400.0))
    email: DeliveryEmailSection = field(default_factory=DeliveryEmailSection)
    sms: DeliverySmsSection = field(default_factory=DeliverySmsSection)
    smpp: DeliverySmppSection = field(default_factory=DeliverySmppSection)
    sms_http: DeliverySmsHttpSection = field(default_factory=DeliverySmsHttpSection)
    mms: DeliveryMmsSection = field(default_factory=DeliveryMmsSection)
    mm7: DeliveryMm7Section = field(default_factory=DeliveryMm7Section)

    @property
    def available(self) -> tuple[str, ...]:
        """Return the channels that are set up."""
        set_up = {"email": self.email.host, "sms": self.sms.driver, "mms": self.mms.driver}
        return tuple(channel for channel, value in set_up.items() if value)

    def deadline(self, channel: str) -> float:
        """Return how long a channel is tried, in seconds."""
        return getattr(self.deadlines, channel, 0.0) or self.retry.deadline
