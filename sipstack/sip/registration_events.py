"""What a :class:`~sipstack.sip.registration.Registration` tells its user."""

from __future__ import annotations

from dataclasses import dataclass

from sipstack.sip.message import Response
from sipstack.sip.uri import Uri


@dataclass(slots=True)
class Registered:
    """A REGISTER, the first or a refresh, was accepted."""

    expires: int
    """Seconds that the registrar granted."""
    service_route: tuple[Uri, ...]
    """Route for requests of ours, behind the outbound proxy (:rfc:`3608`); replaces the one before."""
    associated_uris: tuple[Uri, ...]
    """Identities that we may use; the first is the default (:rfc:`7315#section-4.1`)."""
    outbound: bool = False
    """Whether it is the registration of a flow (:rfc:`5626`): what is for us comes by that flow."""
    flow_timer: int | None = None
    """Seconds after which the first hop takes a silent flow for dead."""
    pub_gruu: Uri | None = None
    temp_gruu: Uri | None = None
    """URIs that lead to this device from anywhere (:rfc:`5627`); the second tells nobody who we are."""


@dataclass(slots=True)
class RegistrationFailed:
    """A REGISTER failed, or the registrar let go of us."""

    response: Response | None
    """None if none came."""
    retry_at: float | None
    """Monotonic seconds of the next try by ourselves."""
    final: bool
    """Nothing more is tried until ``register`` is called again."""
    reason: str = ""
    """Why the registrar has ended a registration that there was (B-REG-08); empty for a REGISTER that failed."""


@dataclass(slots=True)
class Unregistered:
    """The binding is removed, or there was none."""

    confirmed: bool = True
    """False if the registrar did not say so: then the binding may stay until it expires."""


RegistrationEvent = Registered | RegistrationFailed | Unregistered
