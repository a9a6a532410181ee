"""What a case can come to, and how it says so (after ISO/IEC 9646-1 and ETSI's test purposes)."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """What became of a case. Only ``PASS`` is a pass."""

    PASS = "pass"
    FAIL = "fail"
    """The target did something that the standard forbids, or not what it demands."""
    INCONCLUSIVE = "inconclusive"
    """The case did not get as far as what it is about: no answer, no connection, no credentials."""
    NOT_APPLICABLE = "not-applicable"
    """The target says that it lacks what the case is about, or nobody told the runner how to make it act."""
    ERROR = "error"
    """The runner itself went wrong; says nothing of the target."""
    NOT_RUN = "not-run"
    """Left out: too long for this run, or the run was ended before."""


class Ended(Exception):
    """Ends a case with a verdict; the text is the reason that the report shows."""

    verdict: Verdict


class Failed(Ended):
    """See :attr:`Verdict.FAIL`."""

    verdict = Verdict.FAIL


class Inconclusive(Ended):
    """See :attr:`Verdict.INCONCLUSIVE`."""

    verdict = Verdict.INCONCLUSIVE


class NotApplicable(Ended):
    """See :attr:`Verdict.NOT_APPLICABLE`."""

    verdict = Verdict.NOT_APPLICABLE
