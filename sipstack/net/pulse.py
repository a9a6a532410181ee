"""Feels how late an endpoint is, by a timer that does nothing else."""

from __future__ import annotations

import logging

from sipstack.net.timers import TimerHeap
from sipstack.sip.overload import Overload

logger = logging.getLogger(__name__)

INTERVAL = 0.5
"""Seconds between two beats."""


def watch_lag(timers: TimerHeap, overload: Overload) -> None:
    """Tell ``overload`` how late each beat is, as long as ``timers`` run; nothing where lag has no limit."""
    if not overload.max_lag:
        return
    due = timers.time() + INTERVAL

    def beat() -> None:
        lag = timers.time() - due
        if overload.noticed_lag(lag):
            said = "refuses what is new" if overload.is_late else "takes everything again"
            logger.warning("the endpoint is %.1f s late and %s", lag, said)
        watch_lag(timers, overload)

    timers.schedule(due, beat)
