"""A throw-away account: made known to the core, registered, asked, and taken away again whatever happens."""

from __future__ import annotations

import contextlib
from functools import partial

from gateway.accountsource import AccountSource
from gateway.doctor.base import Check, Outcome, failed, ok, skipped
from gateway.doctor.core import agent_of, asked, registered, told
from gateway.doctor.patient import Patient
from gateway.drivers import Checkable, DriverError
from gateway.dryrun import LeasesOnDisk
from gateway.interaction.drivers import interaction_driver
from gateway.interaction.none import NoInteraction
from gateway.naming import account_name, private_identity
from gateway.provisioning.base import CoreAccount, ProvisioningDriver
from gateway.provisioning.drivers import provisioning_driver
from gateway.provisioning.none import NoProvisioning
from gateway.services import Inviter, NoAccountLeft
from gateway.sourcing import seal_credentials
from sipstack import ids
from sipstack.errors import ConnectionClosed
from sipstack.net.identity import Identity
from sipstack.net.useragent import UserAgent
from sipstack.sip.uri import Uri
from translators.identifiers import Kind, parse_identifier

PROVISIONED, REGISTERED = "provisioning.account", "core.register"


class ThrowAway:
    """The account, and every step with it. :meth:`remove` undoes what was done, once."""

    def __init__(self, patient: Patient) -> None:
        self._patient = patient
        config = patient.config
        self._sealer = patient.sealer()
        identifier = parse_identifier(f"doctor-{ids.token(32)}@{config.account_domain}")
        assert identifier is not None and identifier.kind is Kind.EMAIL
        self._identifier = identifier
        self.uri = account_name(config, identifier, 0, 1)
        self.impi, self.realm = private_identity(config, self.uri)
        self._sealed = self._sealer.new_sip_secret(self.uri)
        self._driver: ProvisioningDriver | None = None
        self._may_be_there = False
        self._leased = ""
        self._agent: UserAgent | None = None

    def checks(self) -> list[Check]:
        """Return the steps as checks."""
        driver = self._patient.config.provisioning.driver
        done = (PROVISIONED, REGISTERED, "core.events", "core.options", "msrp.relay")
        interaction = [f"interaction.{kind}" for kind in self._patient.config.policy.types]
        return [
            Check("provisioning.driver", f"reach what the driver {driver} works with", self._reach),
            Check(PROVISIONED, "make a throw-away account known", self._provision, needs=("provisioning.driver",)),
            Check(
                REGISTERED,
                "register the throw-away account",
                self._register,
                needs=("core.challenge", PROVISIONED),
            ),
            *(
                [Check("core.events", "have the core tell of its registration", self._told, needs=(REGISTERED,))]
                if self._patient.config.core.registration_events
                else ()
            ),
            Check("core.options", "OPTIONS to the throw-away account", self._ask, needs=(REGISTERED,)),
            *(
                Check(
                    id,
                    f"make the throw-away account known to the server for {id.rpartition('.')[2]}, and unknown",
                    partial(self._interact, id.rpartition(".")[2]),
                    f"Is interaction.{self._patient.config.interaction.driver} right, and does that server take us?",
                    needs=("core.bind",),
                    after=(PROVISIONED,),
                )
                for id in interaction
            ),
            Check(
                "provisioning.removal",
                "take the throw-away account away",
                self._remove,
                needs=(PROVISIONED,),
                after=(*done, *interaction),
            ),
        ]

    @property
    def agent(self) -> UserAgent:
        """The account's user agent, once it is provisioned."""
        if self._agent is None:
            credentials = self._sealer.credentials(self._sealed, self.uri, self.impi)
            self._agent = agent_of(self._patient, Identity(Uri.parse(self.uri), credentials))
        return self._agent

    # making it known

    async def _reach(self) -> Outcome:
        config = self._patient.config
        remedy = f"Check the keys of provisioning.{config.provisioning.driver}; docs/provisioning.md has them."
        try:
            self._driver = provisioning_driver(config, self._sealer, LeasesOnDisk(config.database))
            if isinstance(self._driver, Checkable):
                checked = await self._driver.check()
                self._patient.note_date("the provisioning service", checked.date)
                return ok(checked.found)
        except (DriverError, OSError, ValueError) as error:
            return failed(str(error), remedy)
        return ok("nothing to reach" if isinstance(self._driver, NoProvisioning) else "ready")

    async def _provision(self) -> Outcome:
        config, driver = self._patient.config, self._driver
        assert driver is not None
        if config.users.driver == "http" and config.users.http.allocate:
            return skipped("the UP Center makes accounts, for inviters that it knows: try an invitation")
        if isinstance(driver, NoProvisioning):
            return skipped("provisioning is none: there is no account to try")
        remedy = f"Check the keys of provisioning.{config.provisioning.driver}, and what its user may write."
        try:
            if isinstance(driver, AccountSource):
                return await self._lease(driver)
            if await driver.taken(self.uri, self.impi, self.realm):
                return failed(f"{self.uri} is somebody's already", "Let accounts.template hold {random}.")
            self._may_be_there = True
            await driver.provision(self._account())
        except DriverError as error:
            return failed(str(error), remedy)
        return ok(f"{self.uri} is known")

    async def _lease(self, source: AccountSource) -> Outcome:
        """Take an account from a pool; that it is out is only remembered here."""
        nobody = Inviter("rcsgw-doctor", f"sip:rcsgw-doctor@{self._patient.config.core.domain}")
        try:
            account = await source.allocate(self._identifier, nobody, self._patient.config.policy.types)
        except NoAccountLeft as error:
            return failed(str(error), "Add accounts to provisioning.pool.file, or let some end.")
        self._leased = account.uri
        self.uri, self.impi, self.realm = account.uri, account.impi, account.realm
        self._sealed = seal_credentials(self._sealer, account)
        return ok(f"{self.uri} is free")

    def _account(self) -> CoreAccount:
        sealer, sealed, uri = self._sealer, self._sealed, self.uri
        return CoreAccount(
            uri,
            self.impi,
            self.realm,
            lambda username, realm, algorithm: sealer.ha1(sealed, uri, username, realm, algorithm),
            lambda: sealer.secret(sealed, uri),
        )

    # using it

    async def _register(self) -> Outcome:
        return await registered(self._patient, self.agent, "the accounts that provisioning makes")

    async def _told(self) -> Outcome:
        return await told(self.agent)

    async def _ask(self) -> Outcome:
        return await asked(self._patient, self.agent)

    async def _interact(self, kind: str) -> Outcome:
        driver = interaction_driver(self._patient.config, self._patient.endpoint)
        if isinstance(driver, NoInteraction):
            return skipped("interaction is none: the core routes")
        try:
            try:
                await driver.register(self.uri, kind)
            finally:
                await driver.deregister(self.uri, kind)
        finally:
            await driver.close()
        return ok(f"the {kind} server has taken {self.uri} and forgotten it")

    # taking it away

    async def _remove(self) -> Outcome:
        try:
            await self.remove()
        except (DriverError, ConnectionClosed) as error:
            return failed(str(error), f"Delete {self.uri} there, or run rcsgw accounts audit --fix.")
        return ok(f"{self.uri} is gone")

    async def remove(self) -> None:
        """Undo everything that is not undone yet. Raises DriverError."""
        agent, self._agent = self._agent, None
        if agent is not None:
            await agent.close()
        driver, leased = self._driver, self._leased
        if self._may_be_there and driver is not None:
            await driver.deprovision(self._account())
            self._may_be_there = False
        if leased and isinstance(driver, AccountSource):
            self._leased = ""
            await driver.release(leased)

    async def close(self) -> None:
        """Remove what a check that was cut off has left, and let go of the driver."""
        with contextlib.suppress(DriverError):
            await self.remove()
        if self._driver is not None:
            await self._driver.close()
