"""A case: a function that tries one thing, with what its reader has to know.

::

    @case(
        "SIP-TXN-UAS-003", "RFC 3261 §17.2.1", rules=("A-IST-02",), suite="sip.transactions", roles={"uas"},
        purpose="A repeated INVITE gets the last answer again.",
        expects="The same status with the same To tag.",
    )
    async def repeated_invite_gets_the_last_answer(bench: Bench) -> None:
        ...

The decorator returns the :class:`Case` and keeps no list: cases are found in the modules that hold them
(:mod:`.collect`).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.lab.conformance.bench import Bench

ROLES: dict[str, str] = {
    "uas": "takes our requests",
    "uac": "sends requests to us",
    "registrar": "takes our registrations",
    "proxy": "passes requests on",
    "msrp": "is one end of an MSRP session",
    "relay": "is an MSRP relay",
    "gateway": "translates between HTTP and SIP",
}
"""What a target can be to a case."""

DEFAULT_LIMIT = 30.0
"""Seconds that a case may take at T1 = 0.5 s: nearly 64·T1, what the longest transaction takes."""

_ID = re.compile(r"[A-Z][A-Z0-9]*(?:-[A-Z0-9.]+)+")
_SUITE = re.compile(r"[a-z][a-z0-9]*(?:\.[a-z0-9-]+)*")

Run = Callable[["Bench"], Awaitable[None]]


class BadCase(ValueError):
    """A case is written wrongly; the text says which and how."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is tried, and why."""

    id: str
    """Stable and unique: ``SIP-TXN-UAS-003``."""
    reference: str
    """Standard and section."""
    suite: str
    """Words joined by points; whoever selects ``sip`` gets ``sip.transactions`` too."""
    roles: frozenset[str]
    """What the target may be; the runner takes the first that it is."""
    purpose: str
    """One sentence: what is to be shown."""
    run: Run
    """Returns to pass; everything else it says through its bench."""
    expects: str = ""
    """What the target has to do."""
    rules: tuple[str, ...] = ()
    """Ids of ``docs/conformance.md`` that the case proves when the target is the gateway."""
    transports: tuple[str, ...] = ()
    """Upper case; only by these. Empty: by whichever the target has."""
    risky: bool = False
    """May bring a target down that is not well made: runs only when its suite or the case itself is named."""
    slow: bool = False
    """Takes so long that it runs when asked for only."""
    limit: float = DEFAULT_LIMIT
    """Seconds that it may take at T1 = 0.5 s; scaled with T1."""
    source: str = ""
    """Module or file."""

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise BadCase(f"{self.id!r} is no id of a case: words in capitals joined by '-'")
        if not _SUITE.fullmatch(self.suite):
            raise BadCase(f"{self.id}: {self.suite!r} is no suite: words in lower case joined by '.'")
        if not self.roles or not self.roles <= ROLES.keys():
            raise BadCase(f"{self.id}: roles have to be some of {', '.join(ROLES)}")
        if not self.reference or not self.purpose:
            raise BadCase(f"{self.id}: reference and purpose have to say something")

    @property
    def name(self) -> str:
        """The name of its function as words."""
        return getattr(self.run, "__name__", self.id).replace("_", " ")


def case(
    id: str,
    reference: str,
    *,
    suite: str,
    roles: Set[str],
    purpose: str,
    expects: str = "",
    rules: tuple[str, ...] = (),
    transports: tuple[str, ...] = (),
    risky: bool = False,
    slow: bool = False,
    limit: float = DEFAULT_LIMIT,
) -> Callable[[Run], Case]:
    """Make a case of the function below; see :class:`Case`. Raises BadCase."""

    def decorate(run: Run) -> Case:
        return Case(
            id=id,
            reference=reference,
            suite=suite,
            roles=frozenset(roles),
            purpose=purpose,
            run=run,
            expects=expects,
            rules=rules,
            transports=transports,
            risky=risky,
            slow=slow,
            limit=limit,
            source=run.__module__,
        )

    return decorate
