"""The tables of the configuration file about deliveries; those of SMS and MMS are in :mod:`gateway.config.channels`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal

from msgspec import Meta, field

from gateway.config.channels import (
    DeliveryMm7Section,
    DeliveryMmsSection,
    DeliverySmppSection,
    DeliverySmsHttpSection,
    DeliverySmsSection,
)
from gateway.config.types import Duration, Positive, RetrySection, Section, Size

Tag = Annotated[str, Meta(pattern=r"^[a-z]{2,3}(-[a-z0-9]{1,8})*$", description="a tag such as en or pt-br")]
"""Language tag (BCP 47) in lower case, as templates are named by it."""

Token = Annotated[str, Meta(pattern=r"^([A-Za-z0-9_-]{22,128})?$", description="22 to 128 letters, digits, - or _")]
"""Stands in a path; 22 characters hold 128 bits."""

BY_KIND: dict[str, tuple[str, ...]] = {"email": ("email",), "phone": ("sms", "mms")}
"""Channels that reach a kind of identifier, in the order that they are tried in if the file says nothing."""


class DeliveryChannelsSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which channels reach which kind of identifier; the next one is tried when one has failed."""

    email: tuple[Literal["email"], ...] = ()
    phone: tuple[Literal["sms", "mms"], ...] = ()

    def of(self, kind: str, available: Collection[str]) -> tuple[str, ...]:
        """Return the channels for a kind of identifier that are ``available``, in their order; () for other kinds."""
        named: tuple[str, ...] = getattr(self, kind, ()) or BY_KIND.get(kind, ())
        return tuple(channel for channel in named if channel in available)


class DeliveryDeadlinesSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long each channel is tried; 0: ``delivery.retry.deadline``."""

    email: Duration = 0.0
    sms: Duration = 0.0
    mms: Duration = 0.0


class DeliveryReceiptsSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The last part of the paths that receipts are called at."""

    sms: Token = ""
    sms_file: str = ""
    mms: Token = ""
    mms_file: str = ""


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
