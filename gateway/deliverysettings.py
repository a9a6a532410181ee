"""The tables of the configuration file about deliveries as such, whatever carries them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal

from msgspec import Meta

from gateway.settingtypes import Duration, Section

Tag = Annotated[str, Meta(pattern=r"^[a-z]{2,3}(-[a-z0-9]{1,8})*$")]
"""Language tag (BCP 47) in lower case, as templates are named by it."""

Token = Annotated[str, Meta(pattern=r"^([A-Za-z0-9_-]{22,128})?$")]
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
