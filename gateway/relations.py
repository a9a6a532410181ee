"""Who has invited a guest."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.services import Ended, Forbidden, NoRelation
from sipstack.errors import SipstackError
from sipstack.sip.uri import Uri

if TYPE_CHECKING:
    from gateway.conversation import Conversation


@dataclass(slots=True)
class Relation:
    """One invitation as far as the conversation needs it."""

    invitation_id: int
    uid: str
    sip: str
    name: str | None
    identities: tuple[str, ...]
    types: tuple[str, ...]
    until: float
    """Wall time at which it ends, Unix seconds."""
    conversation: Conversation | None = field(default=None, repr=False)

    @property
    def is_over(self) -> bool:
        """Tell whether its time has passed."""
        return self.until <= time.time()


class Relations(dict[str, Relation]):
    """The relations of one guest by UID of the inviter; any identity finds them too."""

    __slots__ = ("_by_identity",)

    def __init__(self) -> None:
        super().__init__()
        self._by_identity: dict[str, Relation] = {}

    def add(self, relation: Relation) -> None:
        """Add a relation, or put a renewed one into the place of the old: the conversation goes on."""
        known = self.get(relation.uid)
        if known is not None:
            relation.conversation = known.conversation
            if relation.conversation is not None:
                relation.conversation.relation = relation
            self._forget(known)
        self[relation.uid] = relation
        for identity in (relation.uid, relation.sip, *relation.identities):
            self._by_identity[identity] = relation
            self._by_identity[canonical(identity)] = relation

    @property
    def kinds(self) -> frozenset[str]:
        """Return the interaction types of all relations."""
        return frozenset(kind for relation in self.values() for kind in relation.types)

    def take_out(self, uid: str) -> Relation | None:
        """Remove and return the relation to one inviter, None when there is none."""
        relation = self.pop(uid, None)
        if relation is not None:
            self._forget(relation)
        return relation

    def _forget(self, relation: Relation) -> None:
        for identity in [key for key, known in self._by_identity.items() if known is relation]:
            del self._by_identity[identity]

    def to(self, identity: str, kind: str | None = None) -> Relation:
        """Return the valid relation to an inviter, named by UID or any identity; with ``kind`` it must carry that.

        Raises NoRelation, Ended, Forbidden.
        """
        relation = self._by_identity.get(identity) or self._by_identity.get(canonical(identity))
        if relation is None:
            raise NoRelation(f"{identity} has not invited this guest.")
        if relation.is_over:
            raise Ended("The invitation has expired.")
        if kind is not None and kind not in relation.types:
            raise Forbidden(f"The invitation of {relation.uid} is not for {kind}.")
        return relation

    def asserted(self, identities: Iterable[Uri]) -> Relation | None:
        """Find who speaks by P-Asserted-Identity; anything else a caller claims does not count."""
        for uri in identities:
            relation = self._by_identity.get(canonical(str(uri)))
            if relation is not None and not relation.is_over:
                return relation
        return None


def canonical(identity: str) -> str:
    """Return the AOR of a URI, the text itself where it is none (a UID)."""
    try:
        return Uri.parse(identity if ":" in identity else f"sip:{identity}").aor
    except SipstackError:
        return identity
