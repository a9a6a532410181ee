"""Second registration at an operator's own service, by requests from templates."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.httpservice import HttpService
from gateway.provisioning.base import Audit

NAMES = frozenset({"uri", "user", "domain", "kind"})
"""What can stand in braces in a request; ``kind`` is the interaction type."""


class HttpInteraction:
    """:class:`gateway.interaction.base.InteractionDriver` by HTTP."""

    def __init__(self, service: HttpService) -> None:
        """The driver closes the service."""
        self._service = service

    async def register(self, uri: str, kind: str) -> None:
        """Create the account at the server of this type."""
        await self._service.call("create", _values(uri, kind))

    async def deregister(self, uri: str, kind: str) -> None:
        """Delete it there; one that is not there is gone."""
        await self._service.call("delete", _values(uri, kind))

    async def close(self) -> None:
        """Close the connections."""
        await self._service.close()

    # gateway.interaction.base.DryRun

    async def rehearse(self, uri: str, kind: str) -> list[str]:
        """Return the requests; nothing is asked."""
        values = _values(uri, kind)
        return [self._service.shown("create", values), self._service.shown("delete", values)]

    # gateway.interaction.base.Auditable

    async def audit(self, uris: Sequence[str], kind: str) -> Audit | None:
        """Ask for each account; no list tells which type an account belongs to."""
        if not self._service.has("exists"):
            return None
        missing = [uri for uri in uris if await self._service.call("exists", _values(uri, kind)) == "absent"]
        return Audit(tuple(missing))


def _values(uri: str, kind: str) -> dict[str, str]:
    user, _, domain = uri.partition(":")[2].rpartition("@")
    return {"uri": uri, "user": user, "domain": domain, "kind": kind}
