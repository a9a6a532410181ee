"""The ladder of what crossed the wire, from the trace files of several processes.

    python -m gateway.lab.ladder gateway.jsonl core.jsonl phone.jsonl

One time line, a column an actor, an arrow a message; the two sides of a hop, where both were recorded, become one
arrow. Nothing secret is shown: neither queries nor credentials, headers or bodies.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sipstack.flow import HostPort
from sipstack.net.tracefile import read_trace
from sipstack.trace import Record, StateRecord, WireRecord

from .wiremessages import splitters
from .wiretext import Part, Splitter

ORDER = ("inviter", "guest", "browser", "gateway", "core", "kamailio", "im", "file", "phone", "mailbox")
"""Columns from left to right, by what an actor's name begins with or holds; others stand between phone and mailbox."""

WILDCARDS = {"", "0.0.0.0", "::"}


@dataclass(slots=True)
class Arrow:
    """A message on its way from one actor to another."""

    at: float
    """When it was sent, or when it came where only that was recorded. Wall seconds."""
    source: str
    target: str
    protocol: str
    transport: str
    part: Part
    received_at: float | None = None
    """When the other side had it, where both recorded it."""
    count: int = 1
    """How many messages this line stands for."""
    again: bool = False
    """The same bytes went the same way before: a retransmission."""

    @property
    def label(self) -> str:
        """What stands beside the arrow."""
        label = self.part.label
        if self.count > 1:
            label += f" ×{self.count}"
        return f"{label} again" if self.again else label


@dataclass(slots=True)
class Note:
    """A change of state in one actor."""

    at: float
    actor: str
    text: str


@dataclass(slots=True)
class Ladder:
    """Actors from left to right, and what happened in order of time."""

    actors: list[str]
    lines: list[Arrow | Note]

    def without(self, actor: str) -> Ladder:
        """Return the ladder with this column, and all that it took part in, left out."""
        lines = [
            line
            for line in self.lines
            if actor not in ((line.source, line.target) if isinstance(line, Arrow) else (line.actor,))
        ]
        return Ladder([name for name in self.actors if name != actor], lines)


@dataclass(slots=True)
class Sighting:
    """One message as one side saw it."""

    at: float
    record: WireRecord
    """What its last octet came in."""
    part: Part
    again: bool
    """The same bytes went the same way before."""
    other: Sighting | None = None
    """The same message as the other side saw it."""
    far: str | None = None
    """Who the other side is, where whoever cut the messages knows."""


Names = Mapping[HostPort | str, str]
"""Who recorded nothing: by address; or by protocol, for all that nobody else is known for (``{"SIP": "core"}``)."""


class Addresses:
    """Which actor answers at which address."""

    def __init__(self, records: Iterable[WireRecord], names: Names) -> None:
        self.names = names
        self._actors = {address: name for address, name in names.items() if isinstance(address, tuple)}
        self._wildcards: dict[int, str] = {}
        for record in records:
            if record.local is None:
                continue
            if record.local[0] in WILDCARDS:
                self._wildcards.setdefault(record.local[1], record.actor)
            else:
                self._actors.setdefault(record.local, record.actor)

    def actor(self, address: HostPort) -> str | None:
        """Return who recorded something at ``address``."""
        return self._actors.get(address) or self._wildcards.get(address[1])

    def same(self, one: HostPort | None, other: HostPort | None) -> bool:
        """Tell whether two addresses may be one: unknown and wildcard hosts are any."""
        if one is None or other is None or one == other:
            return True
        return one[1] == other[1] and (one[0] in WILDCARDS or other[0] in WILDCARDS)


def build_ladder(records: Iterable[Record], *, states: bool = False, names: Names | None = None) -> Ladder:
    """Merge the records of all processes into one ladder.

    ``states`` adds changes of state as notes; ``names`` tells of those that recorded nothing.
    """
    ordered = sorted(records, key=lambda record: record.at)
    found = sightings(record for record in ordered if isinstance(record, WireRecord))
    return draw_up(found, (record for record in ordered if states and isinstance(record, StateRecord)), names)


def draw_up(seen: Sequence[Sighting], changes: Iterable[StateRecord] = (), names: Names | None = None) -> Ladder:
    """Return the ladder of messages, with changes of state as notes."""
    addresses = Addresses((sighting.record for sighting in seen), names or {})
    _join(seen, addresses)
    lines: list[Arrow | Note] = _fold([_arrow(sighting, addresses) for sighting in seen if _leads(sighting)])
    lines += [
        Note(change.at, change.actor, " ".join(filter(None, (change.subject, change.state, change.note))))
        for change in changes
    ]
    lines.sort(key=lambda line: line.at)
    actors: dict[str, None] = {}
    for line in lines:
        actors.update(dict.fromkeys([line.source, line.target] if isinstance(line, Arrow) else [line.actor]))
    return Ladder(sorted(actors, key=_rank), lines)


def sightings(records: Iterable[WireRecord]) -> list[Sighting]:
    """Cut the bytes of each connection, as each side recorded it, into messages."""
    connections: dict[tuple[object, ...], tuple[Splitter, Splitter]] = {}
    seen: set[tuple[object, ...]] = set()
    found = []
    for record in records:
        key = (record.actor, record.protocol, record.transport, record.local, record.remote)
        if key not in connections:
            connections[key] = splitters(record.protocol, record.transport)
        splitter = connections[key][record.direction == "out"]
        for part in splitter.receive_data(record.data):
            # Only SIP repeats itself to the byte; equal bytes elsewhere are new messages that look alike.
            once = (key, record.direction, part.key)
            again = record.protocol == "SIP" and once in seen
            seen.add(once)
            found.append(Sighting(record.at, record, part, again))
    return found


def _join(seen: Iterable[Sighting], addresses: Addresses) -> None:
    """Find for each message that came in the same message going out elsewhere."""
    sent: defaultdict[tuple[str, str, bytes], deque[Sighting]] = defaultdict(deque)
    for sighting in seen:
        record = sighting.record
        if record.direction == "out":
            sent[record.protocol, record.transport, sighting.part.key].append(sighting)
    for sighting in seen:
        record = sighting.record
        if record.direction == "out":
            continue
        waiting = sent.get((record.protocol, record.transport, sighting.part.key), ())
        for candidate in waiting:
            there = candidate.record
            if (
                candidate.other is None
                and addresses.same(there.remote, record.local)
                and addresses.same(there.local, record.remote)
            ):
                candidate.other, sighting.other = sighting, candidate
                break


def _leads(sighting: Sighting) -> bool:
    """Of two sightings of one message the sender's makes the arrow."""
    return sighting.other is None or sighting.record.direction == "out"


def _arrow(sighting: Sighting, addresses: Addresses) -> Arrow:
    record, other = sighting.record, sighting.other
    far = other.record.actor if other is not None else sighting.far or _stranger(record, sighting.part, addresses)
    source, target = (record.actor, far) if record.direction == "out" else (far, record.actor)
    received_at = None if other is None else other.at
    return Arrow(
        sighting.at, source, target, record.protocol, record.transport, sighting.part, received_at, again=sighting.again
    )


def _stranger(record: WireRecord, part: Part, addresses: Addresses) -> str:
    """Name the other side of a message that only one side recorded."""
    known = None if record.remote is None else addresses.actor(record.remote)
    known = known or addresses.names.get(record.protocol)
    if known is not None:
        return known
    if record.protocol == "HTTP":
        path = str(part.fields.get("path", "/"))
        return next((actor for word, actor in CALLERS.items() if word in path), "guest")
    if record.protocol == "SMTP":
        return "mailbox" if record.actor == "gateway" else "gateway"
    return "?" if record.remote is None else f"{record.remote[0]}:{record.remote[1]}"


CALLERS = {
    "/invitee/user": "inviter",
    "/inviter/": "inviter",
    "/rcsgw/user/": "inviter",
    "/healthz": "operator",
    "/readyz": "operator",
}
"""Part of a path → who makes such calls; who makes others is the guest."""


def _fold(arrows: list[Arrow]) -> list[Arrow | Note]:
    """Let one line stand for all the chunks of a long message, and one for the answers to them."""
    kept: list[Arrow | Note] = []
    folds: dict[tuple[str, str, str], Arrow] = {}
    for arrow in sorted(arrows, key=lambda arrow: arrow.at):
        if arrow.part.fold is None:
            kept.append(arrow)
            continue
        key = (arrow.source, arrow.target, arrow.part.fold)
        first = folds.get(key)
        if first is None:
            folds[key] = arrow
            kept.append(arrow)
        else:
            first.count += 1
    return kept


def _rank(actor: str) -> tuple[float, str]:
    name = actor.lower()
    for place, word in enumerate(ORDER):
        if name.startswith(word) or (len(word) > 2 and word in name):
            return place, name
    return ORDER.index("mailbox") - 0.5, name


# JSON


def as_json(ladder: Ladder) -> str:
    """Return the ladder as one JSON object a line, times in Unix seconds."""
    rows = []
    for line in ladder.lines:
        if isinstance(line, Note):
            rows.append({"at": line.at, "actor": line.actor, "state": line.text})
            continue
        row: dict[str, object] = {
            "at": line.at,
            "from": line.source,
            "to": line.target,
            "protocol": line.protocol,
            "transport": line.transport,
            "label": line.label,
            "size": line.part.size,
            **line.part.fields,
        }
        if line.received_at is not None:
            row["received_at"] = line.received_at
        if line.count > 1:
            row["count"] = line.count
        rows.append(row)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _parse_name(text: str) -> tuple[HostPort | str, str]:
    name, _, address = text.partition("=")
    host, colon, port = address.rpartition(":")
    return ((host, int(port)) if colon else address), name


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the ladder of the trace files that are named on the command line."""
    from gateway.lab.drawing import draw  # which draws what is defined here

    parser = argparse.ArgumentParser(prog="ladder", description="Draw what crossed the wire, from trace files.")
    parser.add_argument("files", nargs="+", metavar="FILE", help="trace of one process, JSON lines")
    parser.add_argument("--json", action="store_true", help="one JSON object a message instead of a drawing")
    parser.add_argument("--states", action="store_true", help="changes of state too")
    parser.add_argument("--ascii", action="store_true", help="draw with ASCII characters only")
    parser.add_argument(
        "--name", action="append", default=[], metavar="NAME=HOST:PORT", help="who recorded nothing; also NAME=SIP"
    )
    parser.add_argument("--width", type=int, help="columns of the drawing (default: the terminal's, 120 to 160)")
    options = parser.parse_args(arguments)
    records = [record for file in options.files for record in read_trace(file)]
    ladder = build_ladder(records, states=options.states, names=dict(map(_parse_name, options.name)))
    if options.json:
        sys.stdout.write(as_json(ladder))
        return 0
    width = options.width or min(max(shutil.get_terminal_size((140, 24)).columns, 120), 160)
    plain = options.ascii or not (sys.stdout.encoding or "").lower().startswith("utf")
    sys.stdout.write(draw(ladder, width=width, ascii_only=plain))
    return 0


if __name__ == "__main__":
    sys.exit(main())
