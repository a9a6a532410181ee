"""Does everybody know the same accounts? The store is compared with the core and with the interaction servers.

It can be done while a gateway runs: what differs counts only if it still does at a second look, whose picture of the
store was taken after the first look at the others. An account that is just being made or taken down is no finding.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

from gateway.config.settings import Config
from gateway.drivers import DriverError
from gateway.interaction.base import Auditable as AuditableInteraction
from gateway.interaction.base import InteractionDriver
from gateway.provisioning.base import Auditable, CoreAccount, ProvisioningDriver
from gateway.secrets import SecretsError
from gateway.storage.accountstore import AccountRecord
from gateway.storage.store import Store

log = logging.getLogger("rcsgw.accounts")

CORE = "core"
"""Name of the place that the provisioning driver serves; the others are called as their interaction type."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that one side knows and the other does not."""

    place: str
    """``core``, or the interaction type of a server."""
    kind: Literal["missing", "orphan"]
    """``missing``: the store has it and the place has not; ``orphan``: the other way round."""
    name: str
    """SIP URI; of orphans in the core, what the core calls it."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What an audit has found."""

    accounts: int
    """Accounts in the store."""
    findings: tuple[Finding, ...]
    compared: tuple[str, ...]
    """Places that have told what they know."""
    silent: tuple[str, ...]
    """Places that cannot."""


def _no_lock(kind: str, identifier: str) -> AbstractAsyncContextManager[None]:
    return nullcontext()


class Auditor:
    """Compares, and puts right what it has found."""

    def __init__(
        self,
        store: Store,
        config: Config,
        provisioning: ProvisioningDriver,
        interaction: InteractionDriver,
        core_account: Callable[[AccountRecord], CoreAccount],
        lock: Callable[[str, str], AbstractAsyncContextManager[None]] = _no_lock,
    ) -> None:
        """``lock`` returns the lock of a person (kind and identifier), which is held while an account is taken down;
        a process beside the one that does that has none."""
        self._store = store
        self._provisioning = provisioning
        self._interaction = interaction
        self._core_account = core_account
        self._lock = lock
        self._kinds = config.policy.types
        self._keeps = config.policy.on_end == "relation"
        self._origin = "pool" if config.provisioning.driver == "pool" else "gateway"
        """Of the accounts that the core's driver serves."""

    async def compare(self) -> Comparison:
        """Look; once more if there is a difference. Raises DriverError, StoreError."""
        first = await self._look()
        if not first.findings:
            return first
        second = await self._look()
        both = tuple(finding for finding in second.findings if finding in first.findings)
        return Comparison(second.accounts, both, second.compared, second.silent)

    async def _look(self) -> Comparison:
        accounts = await self._store.accounts()
        told = {CORE: await self._core(accounts)}
        for kind in self._kinds:
            told[kind] = await self._server(kind)
        return Comparison(
            len(accounts),
            findings=tuple(finding for findings in told.values() for finding in findings or ()),
            compared=tuple(place for place, findings in told.items() if findings is not None),
            silent=tuple(place for place, findings in told.items() if findings is None),
        )

    async def _core(self, accounts: Sequence[AccountRecord]) -> list[Finding] | None:
        if not isinstance(self._provisioning, Auditable):
            return None
        ours = {account.uri: account for account in accounts if account.origin == self._origin}
        audit = await self._provisioning.audit([self._core_account(account) for account in ours.values()])
        if audit is None:
            return None
        # an account that is not marked yet is being made: the core may know it, and need not
        missing = [Finding(CORE, "missing", uri) for uri in audit.missing if uri in ours and ours[uri].provisioned]
        return missing + [Finding(CORE, "orphan", name) for name in audit.orphans or ()]

    async def _server(self, kind: str) -> list[Finding] | None:
        if not isinstance(self._interaction, AuditableInteraction):
            return None
        known = await self._store.registered(kind)
        audit = await self._interaction.audit([uri for uri, done in known.items() if done], kind)
        if audit is None:
            return None
        findings = [Finding(kind, "missing", uri) for uri in audit.missing]
        return findings + [Finding(kind, "orphan", uri) for uri in audit.orphans or () if uri not in known]

    async def fix(self, findings: Sequence[Finding], *, orphans: bool = True) -> list[Finding]:
        """Delete orphans (unless they are to stay) and make known again what is missing; return what is left."""
        left = []
        for finding in findings:
            if finding.kind == "orphan" and not orphans:
                left.append(finding)
                continue
            try:
                await self._fix(finding)
            except (DriverError, SecretsError) as error:
                log.warning("%s in %s (%s): %s", finding.name, finding.place, finding.kind, error)
                left.append(finding)
        return left

    async def _fix(self, finding: Finding) -> None:
        if finding.kind == "orphan":
            if finding.place != CORE:
                await self._interaction.deregister(finding.name, finding.place)
            elif isinstance(self._provisioning, Auditable):
                await self._provisioning.remove(finding.name)
            return
        account = await self._store.account_by_uri(finding.name)
        if account is None:
            return
        async with self._lock(account.identifier_kind, account.identifier):
            if not await self._is_wanted(account, finding.place):
                return
            if finding.place != CORE:
                await self._interaction.register(account.uri, finding.place)
            else:
                await self._provisioning.provision(self._core_account(account))
            log.info("%s: made known again in %s", finding.name, finding.place)
            if await self._is_wanted(account, finding.place):
                return
            # another process, whose lock is not ours, takes it down meanwhile, and may have been here already
            if finding.place != CORE:
                await self._interaction.deregister(account.uri, finding.place)
            else:
                await self._provisioning.deprovision(self._core_account(account))

    async def _is_wanted(self, account: AccountRecord, place: str) -> bool:
        """Tell whether a place has to know an account: it is there, and is not being taken down."""
        known = await self._store.invitations(account_id=account.id)
        lasting = [item.invitation for item in known if item.invitation.state != "ending"]
        stays = self._keeps and not lasting
        if place == CORE:
            now = await self._store.account_by_id(account.id)
            return now is not None and now.provisioned and (bool(lasting) or stays)
        registered = place in await self._store.registrations(account.id)
        return registered and (stays or any(place in invitation.types for invitation in lasting))
