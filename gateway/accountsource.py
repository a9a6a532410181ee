"""The seam to those who name accounts in our stead: a pool made beforehand, or the UP Center."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from gateway.services import Inviter
from gateway.sims import SimKeys
from translators.identifiers import Identifier

Origin = Literal["gateway", "pool", "up-center"]
"""Who made an account: we, who have to make it known to core and interaction servers; somebody beforehand, whose core
knows it; or the UP Center, which makes it known to both."""


def needs_registration(origin: str) -> bool:
    """Tell whether the interaction servers have to be told of an account by us."""
    return origin != "up-center"


@dataclass(frozen=True, slots=True)
class SourcedAccount:
    """An account that somebody else has made."""

    uri: str
    """SIP URI (IMPU), with its scheme."""
    impi: str
    """Private identity: the digest username."""
    realm: str
    origin: Origin
    secret: str = field(default="", repr=False)
    """Its SIP password; empty where only hashes are known."""
    ha1: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Digest algorithm (``MD5``, ``SHA-256``) → H(impi:realm:password) in hex, where the password is not known."""
    sim: SimKeys | None = field(default=None, repr=False)
    """The keys of its SIM, where it has no password (IMS AKA)."""


@runtime_checkable
class AccountSource(Protocol):
    """Asked for an account instead of finding a name for a new one."""

    async def allocate(self, identifier: Identifier, inviter: Inviter, types: Sequence[str]) -> SourcedAccount:
        """Return the account of a person: the same one when asked again before it is released.

        Calls may be repeated after a crash, also only to release what came of them. Raises :class:`NoAccountLeft`,
        DriverError.
        """

    async def release(self, uri: str) -> None:
        """Take an account back; nothing happens when it is not theirs any more. Raises DriverError."""
