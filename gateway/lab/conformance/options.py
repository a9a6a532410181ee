"""What a run is told: timers, credentials, addresses, patience."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_T1 = 0.5
"""Seconds; :rfc:`3261#section-17.1.1.1`."""

LEAST_PATIENCE = 1.0
"""Seconds to wait for an answer at least, however short T1 is: a busy machine needs that long."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the target's registrar and its proxies ask for."""

    user: str
    password: str = field(repr=False)
    realm: str | None = None
    """None: whichever the challenge names."""


@dataclass(frozen=True, slots=True)
class Options:
    """The same for every case of a run."""

    t1: float = DEFAULT_T1
    """Seconds; the target's own T1. The others keep their ratio to it."""
    margin: float = 0.25
    """Part of a timer's length by which a target may be late or early, besides :attr:`slack`."""
    slack: float = 0.15
    """Seconds that network and machine may take from anything timed."""
    credentials: Credentials | None = None
    identity: str | None = None
    """Who we are, as a URI; made of credentials and domain when None."""
    headers: tuple[tuple[str, str], ...] = ()
    """On every request outside of dialogs: what the network before the target would have added."""
    media: str = "audio"
    """What calls offer: ``audio`` or ``msrp``."""
    vectors: Path | None = None
    """Folder with the RFC's own files."""
    least_patience: float = LEAST_PATIENCE
    """See :data:`LEAST_PATIENCE`; less for elements of this process."""
    seed: int = 1
    """Of everything that is random."""
    slow: bool = False
    """Whether slow cases run."""
    mutations: int = 200
    """Broken messages that each case of robustness sends."""
    rate: float = 100.0
    """Of them a second, at most."""

    @property
    def t2(self) -> float:
        """Longest interval between repeated requests and answers, seconds."""
        return 8 * self.t1

    @property
    def t4(self) -> float:
        """How long a message may stay in the network, seconds."""
        return 10 * self.t1

    @property
    def patience(self) -> float:
        """Seconds in which an element that works has answered, one lost datagram included."""
        return max(self.least_patience, 4 * self.t1)

    @property
    def answer_time(self) -> float:
        """Seconds in which a final answer has come, or a triggered request: a quarter of the time of a transaction."""
        return max(self.least_patience, 16 * self.t1)

    def tolerance(self, seconds: float) -> float:
        """Return by how much an interval of ``seconds`` may differ from what it should be."""
        return seconds * self.margin + self.slack
