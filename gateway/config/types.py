"""Kinds of values in the configuration file; :mod:`gateway.config.load` checks each by its ``kind``."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

KiB = 1024
MiB = 1024 * KiB
GiB = 1024 * MiB

Duration = Annotated[float, Meta(ge=0, extra={"kind": "duration"})]
Positive = Annotated[float, Meta(gt=0, extra={"kind": "duration"})]
Count = Annotated[int, Meta(ge=0)]
Size = Annotated[int, Meta(gt=0)]
Status = Annotated[int, Meta(ge=100, le=599)]
"""Of an HTTP answer."""
Port = Annotated[int, Meta(ge=0, lt=65536)]
Network = Annotated[str, Meta(extra={"kind": "network"})]
HostPort = Annotated[str, Meta(extra={"kind": "address"})]
PortRange = Annotated[str, Meta(extra={"kind": "ports"})]
SipUri = Annotated[str, Meta(extra={"kind": "sip-uri"})]
RelayUri = Annotated[str, Meta(extra={"kind": "msrp-uri"})]
HttpUrl = Annotated[str, Meta(extra={"kind": "http-url"})]
Domain = Annotated[str, Meta(extra={"kind": "domain"})]
ContentServer = Annotated[str, Meta(extra={"kind": "content-server"})]
MediaRange = Annotated[str, Meta(extra={"kind": "media-range"})]
Colour = Annotated[str, Meta(pattern="^(#[0-9a-fA-F]{6})?$", description="a colour such as #1a73e8")]
Column = Annotated[str, Meta(pattern="^([A-Za-z_][A-Za-z0-9_]*)?$", description="the name of a column")]
Driver = Annotated[str, Meta(extra={"kind": "driver"})]
ChannelDriver = Annotated[str, Meta(extra={"kind": "channel-driver"})]
Type = Literal["im", "file"]
Feature = Literal["file", "status", "standalone"]
"""What the page offers besides the chat."""


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all tables of the file."""


class RetrySection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often a step that failed for now is tried again."""

    first: Positive = 0.5
    longest: Positive = 60.0
    deadline: Positive = 3600.0
