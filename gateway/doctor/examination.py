"""The whole examination: which checks there are for a configuration, run and cleaned up after."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from gateway.doctor.account import ThrowAway
from gateway.doctor.base import Check, Finding, Outcome, chosen, examine, failed, ok, skipped
from gateway.doctor.certificates import certificate_checks
from gateway.doctor.core import core_checks
from gateway.doctor.msrp import msrp_checks
from gateway.doctor.names import name_checks
from gateway.doctor.patient import Patient
from gateway.doctor.report import masked, secrets_of
from gateway.doctor.seams import Channels, users_checks
from gateway.doctor.store import store_checks
from gateway.doctor.web import web_checks

TIMEOUT = 20.0
"""Seconds that a check has unless somebody says something else: as long as the slowest driver by its defaults."""

CLEANUP_TIMEOUT = 10.0
"""Seconds for taking away what is left when checks were cut off."""

MOST_AHEAD = 30.0
"""Seconds by which clocks may differ: signatures and certificates bear as much, and a Date has whole seconds only."""


async def diagnose(patient: Patient, *, only: Sequence[str] = (), timeout: float = TIMEOUT) -> list[Finding]:
    """Return what is found out about a set-up; ``only`` names seams (``core``) or checks (``core.tcp``).

    Raises ValueError for a name that no check has.
    """
    account, channels = ThrowAway(patient), Channels(patient)
    try:
        checks = chosen(all_checks(patient, account, channels), only)
        findings = await examine(checks, timeout=timeout)
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLEANUP_TIMEOUT):
                await account.close()
                await channels.close()
        await patient.close()
    return masked(findings, secrets_of(patient.config))


def all_checks(patient: Patient, account: ThrowAway, channels: Channels) -> list[Check]:
    """Return every check that makes sense for a configuration, in the order in which people read them."""
    config = patient.config

    async def configuration() -> Outcome:
        return ok(f"{config.core.domain or 'no home domain'}, realm {config.realm or 'none'}")

    checks = [
        Check("configuration.file", "read the configuration", configuration),
        *store_checks(config),
        *name_checks(patient),
        *certificate_checks(config),
        *web_checks(patient),
        *core_checks(patient),
        *account.checks(),
        *msrp_checks(patient, account),
        *users_checks(patient),
        *channels.checks(),
    ]

    async def clock() -> Outcome:
        return judge_clocks(patient.clocks)

    others = tuple(check.id for check in checks)
    remedy = "Let NTP set the clock of this machine, or theirs."
    return [*checks, Check("clock.agreement", "compare our clock with the servers'", clock, remedy, after=others)]


def judge_clocks(clocks: dict[str, float]) -> Outcome:
    """Tell whether any server's clock is too far from ours; seconds that they are ahead."""
    if not clocks:
        return skipped("no server has told what time it is")
    wrong = {whose: ahead for whose, ahead in clocks.items() if abs(ahead) > MOST_AHEAD}
    if wrong:
        told = ", ".join(
            f"{whose} is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} us"
            for whose, ahead in wrong.items()
        )
        return failed(f"{told} ({len(wrong)} of {len(clocks)} clocks)")
    return ok(f"like ours: {', '.join(clocks)}")
