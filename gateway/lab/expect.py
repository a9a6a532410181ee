"""What must have crossed the wire in the demonstration, in this order."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .ladder import Arrow, Ladder


@dataclass(frozen=True, slots=True)
class Expected:
    """One arrow of the ladder."""

    source: str
    target: str
    label: str
    """Regular expression for the beginning of the label."""

    def matches(self, arrow: Arrow) -> bool:
        """Tell whether ``arrow`` is it."""
        return (arrow.source, arrow.target) == (self.source, self.target) and bool(re.match(self.label, arrow.label))

    def __str__(self) -> str:
        return f"{self.source} → {self.target}: {self.label}"


def _flow(text: str) -> tuple[Expected, ...]:
    """Read lines ``source > target: label``."""
    flow = []
    for line in filter(None, map(str.strip, text.splitlines())):
        ends, _, label = line.partition(": ")
        source, _, target = ends.partition(" > ")
        flow.append(Expected(source, target, label))
    return tuple(flow)


GUEST = r"sip:[^ ]*"

FLOW = _flow(rf"""
    inviter > gateway: POST /rcsgw/invitee/user
    gateway > im server: REGISTER {GUEST}
    im server > gateway: 200 OK \(REGISTER\)
    gateway > file server: REGISTER {GUEST}
    file server > gateway: 200 OK \(REGISTER\)
    gateway > inviter: 201 Created
    gateway > mailbox: SMTP
    guest > gateway: POST /rcsgw/invitee/session/
    gateway > core: REGISTER {GUEST}
    core > gateway: 401 Unauthorized \(REGISTER\)
    gateway > core: REGISTER {GUEST} \+credentials
    core > gateway: 200 OK \(REGISTER\)
    gateway > guest: 200 OK \(POST
    guest > gateway: GET /rcsgw/invitee/events
    guest > gateway: GET /rcsgw/invitee/status/
    gateway > core: OPTIONS sip:a@cc\.com
    core > A's phone: OPTIONS
    core > gateway: 200 OK \(OPTIONS\)
    guest > gateway: POST /rcsgw/invitee/message
    gateway > core: INVITE sip:a@cc\.com \(SDP\)
    core > im server: INVITE
    core > A's phone: INVITE
    A's phone > core: 200 OK \(INVITE\) \(SDP\)
    core > gateway: 200 OK \(INVITE\) \(SDP\)
    gateway > core: ACK
    gateway > A's phone: MSRP SEND
    A's phone > gateway: MSRP 200
    gateway > guest: 200 OK \(POST message\)
    guest > gateway: POST /rcsgw/invitee/message
    gateway > A's phone: MSRP SEND
    guest > gateway: POST /rcsgw/invitee/file
    gateway > core: INVITE sip:a@cc\.com \(SDP\)
    core > file server: INVITE
    core > A's phone: INVITE
    gateway > A's phone: MSRP SEND
    A's phone > gateway: MSRP 200
    A's phone > core: INVITE {GUEST} \(SDP\)
    core > file server: INVITE
    core > gateway: INVITE
    A's phone > gateway: MSRP SEND
    gateway > A's phone: MSRP 200
    guest > gateway: GET /rcsgw/invitee/file/
    guest > gateway: DELETE /rcsgw/invitee/session/
    gateway > core: BYE
    core > A's phone: BYE
    gateway > core: REGISTER {GUEST} Expires 0
    gateway > guest: 204 No Content \(DELETE
""")

ANSWER = _flow(r"""
    core > A's phone: INVITE
    A's phone > gateway: MSRP SEND
    gateway > A's phone: MSRP 200
    gateway > guest: event: receipt|event: message
""")
"""A's answer overlaps with the HTTP answer to B, so it is a flow of its own."""


def missing(ladder: Ladder) -> list[str]:
    """Return what is not in the ladder, or not in its place; empty when all is there in order."""
    arrows = [line for line in ladder.lines if isinstance(line, Arrow)]
    absent = [*find_missing(arrows, FLOW), *find_missing(arrows, ANSWER)]
    invites = sum(Expected("gateway", "core", "INVITE").matches(arrow) and not arrow.again for arrow in arrows)
    if invites > 2:
        absent.append(f"one INVITE for the chat and one for the file only, there are {invites}")
    return absent


def find_missing(arrows: list[Arrow], flow: tuple[Expected, ...]) -> list[str]:
    """Return what of ``flow`` does not follow in ``arrows``.

    Other arrows may stand between. One that is missing does not count against those behind it.
    """
    place, absent = 0, []
    for expected in flow:
        found = next((index for index in range(place, len(arrows)) if expected.matches(arrows[index])), None)
        if found is None:
            absent.append(str(expected))
        else:
            place = found + 1
    return absent
