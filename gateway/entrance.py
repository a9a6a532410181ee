"""Who may come in: login secrets, what they open, and what their holders are told when they open nothing any more."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence

from gateway.admission import Admission
from gateway.refusals import refusals
from gateway.relations import Relation
from gateway.secrets import Sealer, hash_login_secret
from gateway.services import Ended, NotAuthenticated
from gateway.storage.invitationstore import Invited
from gateway.storage.store import Store
from translators.identifiers import identity, parse_identifier


class Entrance:
    """Checks the secrets of guests. ``single_use``: a secret is good for the client that comes by it first."""

    def __init__(self, store: Store, sealer: Sealer, clock: Callable[[], float], *, single_use: bool) -> None:
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._single_use = single_use

    async def check_secret(self, account: str, secret: str, client: str) -> Admission:
        """Return what a login secret opens for a client (any text that tells it from others).

        Unknown accounts and wrong secrets look the same and cost the same: one look at the invitations, one at the
        tombstones. Raises NotAuthenticated; Ended to the holder of a secret that was right once.
        """
        uri = canonical(account)
        presented = hash_login_secret(secret)
        with refusals():
            known = await self._store.invitations(account_uri=uri)
            found = None
            for item in known:
                if hmac.compare_digest(item.invitation.secret_hash, presented):
                    found = item
            if found is not None and found.invitation.state == "active":
                if found.invitation.expires_at <= self._clock():
                    raise Ended("The invitation has ended: expired.")
                await self._come(found, client)
                return self._admission(known, found.invitation.id)
            reason = await self._store.tombstone(self._sealer.tombstone(uri, presented))
        if reason is not None:
            raise Ended(f"The invitation has ended: {reason}.")
        raise NotAuthenticated("The account or the secret is wrong.")

    async def _come(self, invited: Invited, client: str) -> None:
        """Note the first who comes; raise Ended for others where one is all that may come."""
        invitation, name = invited.invitation, self._sealer.client(client)
        first = invitation.client == name
        if not invitation.came_at:
            first = await self._store.come(invitation.id, name, self._clock())
        if self._single_use and not first:
            raise Ended("The invitation has ended for this client: used.")

    async def admission(self, account: str) -> Admission | None:
        """Return what an account may do that was logged in before a restart; None when nothing is left of it."""
        known = await self._store.invitations(account_uri=canonical(account))
        admission = self._admission(known, 0) if known else None
        return admission if admission is not None and admission.relations else None

    def _admission(self, known: Sequence[Invited], invitation_id: int) -> Admission:
        now = self._clock()
        relations = tuple(
            relation_of(item)
            for item in known
            if item.invitation.state == "active" and item.invitation.expires_at > now
        )
        return Admission(known[0].account, invitation_id, relations)


def relation_of(invited: Invited) -> Relation:
    """Return an invitation as the conversation sees it."""
    invitation = invited.invitation
    return Relation(
        invitation.id,
        invitation.uid,
        invitation.sip,
        invitation.name or None,
        invitation.identities,
        invitation.types,
        invitation.expires_at,
    )


def canonical(account: str) -> str:
    """Return the SIP URI that an account is known by, however it is written."""
    name = identity(account)
    parsed = parse_identifier(name) if ":" in name else None
    return parsed.value if parsed is not None else name
