"""The tables of the configuration file that choose and set up the users driver: who is a subscriber."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, field

from gateway.config.types import Column, Count, Domain, Driver, HttpUrl, Positive, Section, Size

State = Literal["active", "suspended", "lost"]

Cache = Annotated[float, Meta(ge=0, le=60, extra={"kind": "duration"})]
"""Seconds that a proof is remembered."""


class Subscriber(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A subscriber of the ``local`` users driver."""

    uid: Annotated[str, Meta(min_length=1)]
    password: Annotated[str, Meta(min_length=1)]
    identities: tuple[str, ...] = ()
    name: str = ""
    state: State = "active"
    level: Count = 0
    may_invite: bool = True
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()


class UsersRegisterSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``register`` users driver."""

    domains: tuple[Domain, ...] = ()
    realm: str = ""
    cache: Cache = 60.0
    timeout: Positive = 2.0


class UsersKamailioSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``kamailio`` users driver: tables of Kamailio, and which of their columns tell what."""

    database: str = ""
    password_file: str = ""
    table: Column = "subscriber"
    aliases_table: Column = "dbaliases"
    secrets: Literal["hashes", "passwords"] = "hashes"
    algorithm: Literal["MD5", "SHA-256"] = "MD5"
    email: Column = ""
    phone: Column = ""
    name: Column = ""
    state: Column = ""
    level: Column = ""
    may_invite: Column = ""
    states: dict[str, State] = field(default_factory=dict)
    cache: Cache = 30.0
    timeout: Positive = 2.0


class UsersHttpSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``http`` users driver: an operator's REST service."""

    url: HttpUrl = ""
    ca_file: str = ""
    token_file: str = ""
    username: str = ""
    password_file: str = ""
    allocate: bool = False
    connections: Size = 16
    cache: Cache = 30.0
    timeout: Positive = 2.0


class UsersSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The UP Center: who is a subscriber."""

    driver: Driver = "local"
    on_unknown: Literal["allow", "refuse"] = "allow"
    subscriber: tuple[Subscriber, ...] = ()
    register: UsersRegisterSection = field(default_factory=UsersRegisterSection)
    kamailio: UsersKamailioSection = field(default_factory=UsersKamailioSection)
    http: UsersHttpSection = field(default_factory=UsersHttpSection)
    options: dict[str, Any] = field(default_factory=dict)
