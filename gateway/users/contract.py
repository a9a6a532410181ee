"""Bodies of the UP Center's HTTP contract (docs/up-center.md). Keys that the gateway doesn't know are passed over."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

MAX_IDENTITIES = 64
"""Public identities of one subscriber; an IMS user has two or three."""

Text = Annotated[str, Meta(min_length=1, max_length=512, pattern=r"^[^\x00-\x20\x7f]+$")]
"""A name or a URI: visible characters, so that it can stand in a SIP header."""

Words = Annotated[str, Meta(max_length=512, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""One line for people."""


class Credentials(Struct, frozen=True):
    """``/authenticate``: who says they are whom."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials({self.user!r})"


class User(Struct, frozen=True):
    """A subscriber."""

    uid: Text
    sip: Text
    identities: Annotated[tuple[Text, ...], Meta(max_length=MAX_IDENTITIES)] = ()
    name: Words | None = None
    state: str = "unknown"
    level: int | None = None
    may_invite: bool | None = None


class Authenticated(Struct, frozen=True):
    """The answer: a subscriber, or null for a wrong password and for an unknown user alike."""

    user: User | None


class Person(Struct, frozen=True):
    """``/lookup``: an e-mail address, a number or a SIP URI."""

    kind: Literal["email", "phone", "sip"]
    value: str


class Known(Struct, frozen=True):
    """The answer: whether that is a subscriber's."""

    known: Literal["yes", "no", "unknown"]
    sip: Text | None = None


class Name(Struct, frozen=True):
    """``/taken`` and ``/release``: a SIP URI."""

    sip: str


class Taken(Struct, frozen=True):
    """The answer: whether a subscriber or an account has this name."""

    taken: bool


class Uids(Struct, frozen=True):
    """``/states``: subscribers who have invited."""

    uids: tuple[str, ...]


class States(Struct, frozen=True):
    """The answer: UID → state; who is missing is no subscriber any more."""

    states: dict[str, str]


class Host(Struct, frozen=True):
    """The subscriber for whom an account is allocated."""

    uid: str
    sip: str


class Order(Struct, frozen=True):
    """``/allocate``: an account for a person."""

    identifier: Person
    inviter: Host
    types: tuple[str, ...]


class Account(Struct, frozen=True):
    """A temporary account."""

    sip: Text
    impi: Text | None = None
    realm: Text | None = None
    password: Annotated[str, Meta(max_length=512)] = ""
    ha1: dict[str, Annotated[str, Meta(pattern="^([0-9a-f]{32}|[0-9a-f]{64})$")]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Account({self.sip!r})"


class Allocated(Struct, frozen=True):
    """The answer: an account, or null when there is none left."""

    account: Account | None


class Done(Struct, frozen=True):
    """The answer to ``/release``: nothing that matters."""
