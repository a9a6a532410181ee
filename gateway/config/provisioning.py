"""The tables of the configuration file that tell how accounts get known to the core and to interaction servers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, field

from gateway.config.types import Count, Driver, Duration, HttpUrl, Positive, RetrySection, Section, SipUri, Size, Status


class HttpCallSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One request to an operator's service; texts may hold placeholders."""

    method: Literal["", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = ""
    path: str = ""
    query: dict[str, str] = field(default_factory=dict)
    form: dict[str, str] = field(default_factory=dict)
    json: dict[str, Any] = field(default_factory=dict)
    success: tuple[Status, ...] = (200, 201, 202, 204)
    already: tuple[Status, ...] = ()
    """With ``create``: the account is there already, from an attempt whose answer got lost."""
    absent: tuple[Status, ...] = (404, 410)
    """With ``exists`` and ``delete``: there is no such account."""


class HttpListSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The request for all accounts that this gateway has made there."""

    path: str = ""
    query: dict[str, str] = field(default_factory=dict)
    items: str = ""
    uri: str = "uri"


class HttpServiceSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An operator's HTTP service that accounts are made at."""

    url: HttpUrl = ""
    token_file: str = ""
    username: str = ""
    password_file: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    ca_file: str = ""
    timeout: Positive = 5.0
    create: HttpCallSection = field(default_factory=HttpCallSection)
    delete: HttpCallSection = field(default_factory=HttpCallSection)
    exists: HttpCallSection = field(default_factory=HttpCallSection)
    list: HttpListSection = field(default_factory=HttpListSection)


class ProvisioningLabSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The administration of the embedded lab core."""

    url: HttpUrl = ""
    timeout: Positive = 2.0


class ProvisioningKamailioSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The subscriber table of Kamailio's ``auth_db``."""

    database: str = ""
    password_file: str = ""
    algorithm: Literal["MD5", "SHA-256"] = "MD5"
    timeout: Positive = 2.0


class ProvisioningPyhssSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The REST interface of a PyHSS."""

    url: HttpUrl = ""
    key_file: str = ""
    ca_file: str = ""
    apn: Count = 1
    amf: Annotated[str, Meta(pattern="^[0-9A-Fa-f]{4}$", description="four hex digits")] = "8000"
    ifc: str = "default_ifc.xml"
    timeout: Positive = 5.0


class ProvisioningPoolSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Accounts made beforehand."""

    file: str = ""
    quarantine: Duration = 7 * 86400.0


class ProvisioningSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """First registration: how an account gets known to the core."""

    driver: Driver = "none"
    reconcile: Duration = 3600.0
    lab: ProvisioningLabSection = field(default_factory=ProvisioningLabSection)
    kamailio: ProvisioningKamailioSection = field(default_factory=ProvisioningKamailioSection)
    pyhss: ProvisioningPyhssSection = field(default_factory=ProvisioningPyhssSection)
    pool: ProvisioningPoolSection = field(default_factory=ProvisioningPoolSection)
    http: HttpServiceSection = field(default_factory=HttpServiceSection)
    retry: RetrySection = field(default_factory=RetrySection)
    options: dict[str, Any] = field(default_factory=dict)


class InteractionSipSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Second registration by third-party REGISTER."""

    im: SipUri = ""
    file: SipUri = ""
    identity: SipUri = ""
    expires: Size = 30 * 86400
    timeout: Positive = 4.0


class InteractionSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Second registration: how an account gets known to the servers of the interaction types."""

    driver: Driver = "none"
    register_at: Literal["invite", "first_message"] = "invite"
    sip: InteractionSipSection = field(default_factory=InteractionSipSection)
    http: HttpServiceSection = field(default_factory=HttpServiceSection)
    options: dict[str, Any] = field(default_factory=dict)
