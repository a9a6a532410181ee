"""The tables of the configuration file that set up short and multimedia messages."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, field

from gateway.config.types import ChannelDriver, HttpUrl, Positive, Section, Size

Status = Annotated[int, Meta(ge=100, le=599)]
TypeOfNumber = Annotated[int, Meta(ge=0, le=7)]
PlanOrGuess = Annotated[int, Meta(ge=-1, le=18)]
"""Type of number or numbering plan (SMPP 3.4 §5.2.5, §5.2.6); -1 goes by how the sender looks."""


SMS_PLACEHOLDERS = frozenset({"to", "to_digits", "from", "text", "id", "receipt_url", "language", "coding", "unicode"})
"""What can stand in braces in the request of the ``http`` driver; ``docs/delivery.md`` explains each."""


class DeliverySmsSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who carries short messages."""

    driver: ChannelDriver = ""
    options: dict[str, Any] = field(default_factory=dict)


class DeliverySmppSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``smpp`` driver: a session with a short message centre."""

    host: str = ""
    port: Annotated[int, Meta(gt=0, lt=65536)] = 2775
    tls: bool = False
    ca_file: str = ""
    system_id: Annotated[str, Meta(max_length=15)] = ""
    password: Annotated[str, Meta(max_length=8)] = ""
    password_file: str = ""
    system_type: Annotated[str, Meta(max_length=12)] = ""
    bind: Literal["transceiver", "transmitter"] = "transceiver"
    source: Annotated[str, Meta(max_length=20)] = ""
    source_ton: PlanOrGuess = -1
    source_npi: PlanOrGuess = -1
    destination_ton: TypeOfNumber = 1
    destination_npi: Annotated[int, Meta(ge=0, le=18)] = 1
    service_type: Annotated[str, Meta(max_length=5)] = ""
    alphabet: Literal["gsm", "latin1", "ucs2"] = "gsm"
    long_messages: Literal["udh8", "udh16", "sar", "payload"] = "udh8"
    validity: Literal["server", "invitation"] = "server"
    receipts: Literal["all", "failures", "none"] = "all"
    submit_id: Literal["text", "decimal", "hex"] = "text"
    receipt_id: Literal["text", "decimal", "hex"] = "text"
    temporary: tuple[Annotated[int, Meta(gt=0, le=0xFFFF_FFFF)], ...] = ()
    pace: Annotated[float, Meta(gt=0)] = 10.0
    window: Size = 10
    enquire_interval: Positive = 30.0
    timeout: Positive = 10.0
    reconnect: Positive = 60.0


class DeliverySmsHttpSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``http`` driver of short messages: a request made from a template."""

    url: HttpUrl = ""
    method: Literal["GET", "POST", "PUT"] = "GET"
    query: dict[str, str] = field(default_factory=dict)
    form: dict[str, str] = field(default_factory=dict)
    json: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    username: str = ""
    password: str = ""
    password_file: str = ""
    ca_file: str = ""
    sender: str = ""
    success: tuple[Status, ...] = (200, 201, 202)
    success_body: str = ""
    final: tuple[Status, ...] = (400, 404, 413, 422)
    final_body: str = ""
    reference: str = ""
    receipts: bool = True
    receipt_id: str = "id"
    receipt_state: str = "state"
    receipt_delivered: tuple[str, ...] = ("1",)
    receipt_failed: tuple[str, ...] = ("2", "16")
    receipt_text: str = "text"
    timeout: Positive = 20.0


class DeliveryMmsSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who carries multimedia messages."""

    driver: ChannelDriver = ""
    options: dict[str, Any] = field(default_factory=dict)


class DeliveryMm7Section(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``mm7`` driver: a multimedia message centre (3GPP TS 23.140)."""

    url: HttpUrl = ""
    username: str = ""
    password: str = ""
    password_file: str = ""
    ca_file: str = ""
    vasp_id: str = ""
    vas_id: str = ""
    sender: str = ""
    service_code: str = ""
    version: Annotated[str, Meta(pattern=r"^\d+\.\d+\.\d+$", description="a version such as 6.8.0")] = "6.8.0"
    namespace: Annotated[str, Meta(min_length=1)] = (
        "http://www.3gpp.org/ftp/Specs/archive/23_series/23.140/schema/REL-6-MM7-1-4"
    )
    picture: str = ""
    receipts: bool = True
    timeout: Positive = 30.0
