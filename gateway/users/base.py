"""The seam to the UP Center: who is a subscriber."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from gateway.services import Inviter
from translators.identifiers import Identifier, identity, parse_identifier


@dataclass(frozen=True, slots=True)
class UserAnswer:
    """What the UP Center knows about a person."""

    known: Literal["yes", "no", "unknown"]
    """``unknown`` where the driver cannot tell."""
    sip: str | None = None
    """SIP URI of the subscriber, with ``yes``."""


UNKNOWN = UserAnswer("unknown")

WRONG_CREDENTIALS = "The user or the password is wrong."
"""What everybody is told whom a driver does not let in, whatever was wrong."""

STATES_AT_ONCE = 100
"""Subscribers whose states are asked for by one call: one statement or one small request."""


def canonical(user_id: str) -> str:
    """Return what a user-id means: a SIP identity as its AOR, a number as a tel URI, a UID as it stands."""
    name = identity(user_id)
    parsed = parse_identifier(name) if name.startswith(("sip:", "sips:")) else None
    return parsed.value if parsed is not None else name


class UsersDriver(Protocol):
    """Asked by the gateway; never told anything. Calls take at most two seconds, or fail."""

    async def authenticate(self, user_id: str, password: str) -> Inviter:
        """Return who has proven to be a subscriber; ``user_id`` is a UID, or an identity with its scheme.

        Raises NotAuthenticated for wrong credentials and unknown users alike, DriverError when nothing was proven.
        """

    async def lookup(self, identifier: Identifier) -> UserAnswer:
        """Tell whether an e-mail address, a number or a SIP URI is a subscriber's. Raises DriverError."""

    async def taken(self, uri: str) -> bool:
        """Tell whether a SIP URI is a subscriber's, so that no guest gets it. Raises DriverError."""

    async def close(self) -> None:
        """Let go of what the driver holds."""


@runtime_checkable
class DigestUsers(Protocol):
    """What a users driver has besides that knows passwords: subscribers can prove who they are by digest, too."""

    digest_algorithms: Sequence[str]
    """Those that :meth:`digest` can answer for, the preferred one first."""

    async def digest(self, username: str, realm: str, algorithm: str) -> tuple[str, Inviter] | None:
        """Return H(username:realm:password) and who that is; None for nobody, at the same cost. Raises DriverError."""


@runtime_checkable
class StateUsers(Protocol):
    """What a users driver has besides that knows the state of subscribers: those who have invited can be watched."""

    async def states(self, uids: Sequence[str]) -> Mapping[str, str]:
        """Return UID → state of at most :data:`STATES_AT_ONCE` subscribers, as :attr:`Inviter.state` has it.

        Who is missing in the answer is no subscriber any more. Raises DriverError.
        """
