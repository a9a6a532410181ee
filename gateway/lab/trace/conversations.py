"""Which messages of a trace belong together, and what became of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.lab.ladder import Ladder, Sighting, draw_up, sightings
from gateway.lab.trace.aliases import find_aliases
from gateway.lab.trace.recognition import name_of
from sipstack.flow import HostPort
from sipstack.trace import Record, StateRecord, WireRecord

QUIET = 32.0
"""Seconds behind which HTTP calls of one connection are another conversation."""


@dataclass(slots=True)
class Conversation:
    """Messages that belong together, in order of time."""

    id: str
    """Call-ID, trace id or MSRP URI by which it was known first; for the rest the connection."""
    seen: list[Sighting] = field(default_factory=list)

    @property
    def start(self) -> float:
        """When it began, seconds since 1970."""
        return self.seen[0].at

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return self.seen[-1].at - self.seen[0].at

    @property
    def protocols(self) -> list[str]:
        """What was spoken in it, in order of appearance."""
        return list(dict.fromkeys(sighting.record.protocol for sighting in self.seen))

    @property
    def methods(self) -> list[str]:
        """Methods of its requests, in order of appearance."""
        found = (sighting.part.fields.get("method") for sighting in self.seen if "status" not in sighting.part.fields)
        return list(dict.fromkeys(str(method) for method in found if method))

    @property
    def subject(self) -> str:
        """What it is about: its first request."""
        return next((sighting.part.label for sighting in self.seen if "status" not in sighting.part.fields), "?")

    @property
    def outcome(self) -> str:
        """The final answer to its first request that had one, or what is missing."""
        first = next((seen.part.fields for seen in self.seen if "status" not in seen.part.fields), None)
        if first is None:
            return "no request"
        wanted = first.get("method")
        if self.protocols == ["SMTP"]:
            return str(
                max(int(seen.part.fields.get("status", 0)) for seen in self.seen if seen.part.label != "SMTP 354")
            )
        for sighting in self.seen:
            status = sighting.part.fields.get("status")
            if isinstance(status, int) and status >= 200 and sighting.part.fields.get("method", wanted) == wanted:
                if status not in (401, 407) or not self._goes_on(sighting):
                    return str(status)
        return "no answer"

    def _goes_on(self, challenge: Sighting) -> bool:
        """Tell whether somebody has answered a challenge."""
        return any(
            sighting.part.fields.get("method") == challenge.part.fields.get("method")
            and "status" not in sighting.part.fields
            for sighting in self.seen[self.seen.index(challenge) + 1 :]
        )

    @property
    def repeated(self) -> int:
        """How many messages came more than once by the same way."""
        return sum(sighting.again for sighting in self.seen)

    def ladder(self, changes: Iterable[StateRecord] = ()) -> Ladder:
        """Return its ladder."""
        return draw_up(self.seen, changes)

    def summary(self) -> dict[str, object]:
        """Return what a list of conversations says of it, for JSON."""
        return {
            "id": self.id,
            "start": self.start,
            "seconds": self.seconds,
            "protocols": self.protocols,
            "methods": self.methods,
            "subject": self.subject,
            "outcome": self.outcome,
            "messages": len(self.seen),
            "repeated": self.repeated,
        }


def join(records: Iterable[Record], names: Mapping[HostPort, str] | None = None) -> list[Conversation]:
    """Return the conversations in a trace, in the order in which they began; ``names`` are of addresses in it.

    Messages with a mark in common belong together: Call-ID, the paths of MSRP that SDP names, a trace id of HTTP that
    SIP has as Session-ID. What has no mark belongs to its connection, as long as that is not quiet for long.
    """
    ordered = sorted(records, key=lambda record: record.at)
    known: dict[str, Conversation] = {}
    joined: list[Conversation] = []
    seen = sightings(record for record in ordered if isinstance(record, WireRecord))
    _name(seen, names or {})
    for sighting in seen:
        marks = sighting.part.marks or _connection_of(sighting, known)
        homes = list(dict.fromkeys(id(known[mark]) for mark in marks if mark in known))
        if homes:
            conversation = next(known[mark] for mark in marks if mark in known)
            if len(homes) > 1:
                _merge(conversation, [known[mark] for mark in marks if mark in known], known, joined)
        else:
            conversation = Conversation(marks[0])
            joined.append(conversation)
        conversation.seen.append(sighting)
        for mark in marks:
            known[mark] = conversation
    for conversation in joined:
        conversation.seen.sort(key=lambda sighting: sighting.at)
    return sorted(joined, key=lambda conversation: conversation.start)


def _name(seen: Sequence[Sighting], names: Mapping[HostPort, str]) -> None:
    """Name the elements of a capture by one address of each, or by what the user calls it."""
    aliases = find_aliases(seen)
    called = {aliases.of(address): name for address, name in names.items()}

    def name(address: HostPort) -> str:
        known = aliases.of(address)
        return called.get(known) or name_of(known)

    for sighting in seen:
        record = sighting.record
        if record.local is None or record.actor not in (name_of(record.local), name(record.local)):
            continue
        record.actor = name(record.local)
        if record.remote is not None:
            sighting.far = name(record.remote)


def _connection_of(sighting: Sighting, known: dict[str, Conversation]) -> Sequence[str]:
    """Return a mark for what has none of its own."""
    record = sighting.record
    ends = sorted(f"{host}:{port}" for host, port in filter(None, (record.local, record.remote)))
    mark = f"{record.protocol} {record.transport} {' '.join(ends)}"
    earlier = known.get(mark)
    if earlier is not None and earlier.seen and sighting.at - earlier.seen[-1].at > QUIET:
        del known[mark]
    return (mark,)


def _merge(
    one: Conversation, others: Iterable[Conversation], known: dict[str, Conversation], joined: list[Conversation]
) -> None:
    """Put into ``one`` what has turned out to belong to it."""
    for other in others:
        if other is not one and other in joined:
            one.seen += other.seen
            joined.remove(other)
            for mark, conversation in list(known.items()):
                if conversation is other:
                    known[mark] = one
