"""Names for new accounts, none of which anybody has already."""

from __future__ import annotations

from collections.abc import AsyncIterator

from gateway.config.settings import Config
from gateway.drivers import DriverError
from gateway.provisioning.base import ProvisioningDriver
from gateway.secrets import Sealer
from gateway.storage.accountstore import NewAccount
from gateway.storage.store import Store
from gateway.users.base import UsersDriver
from sipstack import ids
from translators.identifiers import Identifier, account_uri

ATTEMPTS = 6
"""Names that are tried before we give up."""

RANDOM_BITS = (16, 16, 32, 32, 64, 64)
"""Random bits in the name, attempt by attempt: short names while they are free."""


def private_identity(config: Config, uri: str) -> tuple[str, str]:
    """Return the private identity and the realm that an account of ours has with this SIP URI."""
    user, _, domain = uri.partition(":")[2].rpartition("@")
    return config.accounts.impi.format(user=user, domain=domain, realm=config.realm), config.realm


def account_name(config: Config, identifier: Identifier, attempt: int, serial: int) -> str:
    """Return the name of a new account as a SIP URI; one that leaves nothing to chance is tried once, then derived."""
    accounts = config.accounts
    fixed = "{random}" not in accounts.template if accounts.template else accounts.naming in ("identifier", "phone")
    derive = fixed and attempt > 0 and "{serial}" not in accounts.template
    return account_uri(
        identifier,
        naming="derived" if derive else accounts.naming,
        realm=config.account_domain,
        random=ids.token(RANDOM_BITS[attempt]),
        serial=serial,
        template=accounts.template if accounts.template and not derive else None,
    )


class Names:
    """Finds names by the configured template."""

    def __init__(
        self, store: Store, config: Config, users: UsersDriver, provisioning: ProvisioningDriver, sealer: Sealer
    ) -> None:
        self._store = store
        self._config = config
        self._users = users
        self._provisioning = provisioning
        self._sealer = sealer

    async def candidates(self, identifier: Identifier) -> AsyncIterator[NewAccount]:
        """Yield accounts whose names neither UP Center nor core nor store know; raises DriverError when none is found.

        The last word has the store, which takes a name once.
        """
        serial = await self._store.next_serial()
        for attempt in range(ATTEMPTS):
            uri = account_name(self._config, identifier, attempt, serial + attempt)
            impi, realm = private_identity(self._config, uri)
            if await self._is_taken(uri, impi, realm):
                continue
            yield NewAccount(
                uri=uri,
                impi=impi,
                realm=realm,
                identifier_kind=identifier.kind.value,
                identifier=identifier.key,
                sealed_secret=self._sealer.new_sip_secret(uri),
                contact_token=ids.contact_token(),
                instance_id=ids.instance_id(),
            )
        raise DriverError("There is no free name for this person.", temporary=True)

    async def _is_taken(self, uri: str, impi: str, realm: str) -> bool:
        return (
            await self._store.account_by_uri(uri) is not None
            or await self._users.taken(uri)
            or await self._provisioning.taken(uri, impi, realm)
        )
