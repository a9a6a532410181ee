"""Do the UP Center and the servers that carry links let us in, and nobody else?"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial

from gateway.delivery.base import DeliveryDriver
from gateway.delivery.drivers import delivery_drivers
from gateway.delivery.email import EmailDelivery
from gateway.doctor.base import Check, Outcome, failed, ok, skipped, warning
from gateway.doctor.core import used_transport
from gateway.doctor.patient import Patient
from gateway.drivers import Checkable, DriverError
from gateway.services import NotAuthenticated
from gateway.users.base import UsersDriver
from gateway.users.chosen import users_driver
from sipstack import ids
from translators.identifiers import parse_identifier

DRIVERS = "delivery.drivers"

REMEDIES = (
    ("certificate", "Is the name that of its certificate, and does {key}.ca_file have who signed it?"),
    (r"5\.7\.8|authenticat|535|530|ESME_RINVPASWD|ESME_RINVSYSID|ESME_RBINDFAIL|login", "Correct the login in {key}."),
    (r"\bTLS\b|STARTTLS", "Let {key}.security be what the server speaks."),
    (r"\b5\d\d\b", "The server refuses: its words above say why."),
    ("", "Is {key} right, does the server listen there, and does no firewall drop us?"),
)
"""What stands in an error → what to do; the first that is found."""


UsersWork = Callable[[Patient, UsersDriver], Awaitable[Outcome]]


# the UP Center


def users_checks(patient: Patient) -> list[Check]:
    """Return the checks of the users driver."""
    name = patient.config.users.driver
    remedy = f"Check the keys of users.{name}; docs/up-center.md has them."
    needs: tuple[str, ...] = ("core.bind",)
    asks = needs
    if name == "register":
        remedy = "The core has to challenge REGISTER for core.realm, or users.register.realm."
        asks = (*needs, f"core.{used_transport(patient)}")
    return [
        Check("users.lookup", "look up somebody who does not exist", partial(_users, patient, lookup), remedy, needs),
        Check("users.login", "log in as nobody", partial(_users, patient, login), remedy, asks),
    ]


async def _users(patient: Patient, work: UsersWork) -> Outcome:
    config = patient.config
    if config.users.driver == "local" and not config.users.subscriber:
        return warning("there is no subscriber: nobody can invite", "Add [[users.subscriber]], or choose a driver.")
    driver = users_driver(config, patient.endpoint)
    try:
        return await work(patient, driver)
    finally:
        await driver.close()


async def lookup(patient: Patient, driver: UsersDriver) -> Outcome:
    """Ask for somebody whom nobody can know."""
    identifier = parse_identifier(f"nobody-{ids.token()}@{patient.config.core.domain}")
    assert identifier is not None
    answer = await driver.lookup(identifier)
    if answer.known == "yes":
        return failed("it knows somebody who does not exist: every guest would be refused as a subscriber")
    if answer.known == "no":
        return ok("it does not know them")
    if patient.config.users.on_unknown == "refuse":
        found = 'it cannot tell who has an e-mail address; users.on_unknown is "refuse": nobody is invited by e-mail'
        return warning(found, 'Set users.on_unknown = "allow", or let the UP Center know e-mail addresses.')
    return ok("it cannot tell, so everybody can be invited")


async def login(patient: Patient, driver: UsersDriver) -> Outcome:
    """Try a password that cannot be right."""
    try:
        await driver.authenticate(f"nobody-{ids.token(32)}", ids.token())
    except NotAuthenticated:
        return ok("refused, as it must be")
    return failed("anybody is let in, with any password", "Anybody could invite: let the UP Center check passwords.")


# who carries links


class Channels:
    """The delivery drivers, made once and closed at the end."""

    def __init__(self, patient: Patient) -> None:
        self._patient = patient
        self._drivers: dict[str, DeliveryDriver] = {}

    def checks(self) -> list[Check]:
        """Return a check for each channel that is set up."""
        delivery = self._patient.config.delivery
        keys = {
            "email": "delivery.email" if delivery.email.host else "",
            "sms": {"": "", "smpp": "delivery.smpp", "http": "delivery.sms_http"}.get(
                delivery.sms.driver, "delivery.sms"
            ),
            "mms": {"": "", "mm7": "delivery.mm7"}.get(delivery.mms.driver, "delivery.mms"),
        }
        return [
            Check(DRIVERS, "make the drivers of all channels", self._make, "Correct the file or key that it names."),
            *(
                Check(
                    f"delivery.{channel}", f"log in as {key} says", partial(self._try, channel, key), needs=(DRIVERS,)
                )
                for channel, key in keys.items()
                if key
            ),
        ]

    async def _make(self) -> Outcome:
        self._drivers = delivery_drivers(self._patient.config)
        if not self._drivers:
            remedy = "Set delivery.email.host, delivery.sms.driver or delivery.mms.driver."
            return warning("there is no channel: nobody gets a link", remedy)
        return ok(", ".join(self._drivers))

    async def _try(self, channel: str, key: str) -> Outcome:
        driver = self._drivers[channel]
        if not isinstance(driver, Checkable):
            return skipped("its driver cannot be tried without sending something")
        try:
            if isinstance(driver, EmailDelivery):
                checked = await driver.check(self._patient.mail_to)
            else:
                checked = await driver.check()
        except DriverError as error:
            return failed(str(error), remedy_for(str(error), key))
        self._patient.note_date(f"the server of {channel}", checked.date)
        return ok(checked.found)

    async def close(self) -> None:
        """Close the drivers."""
        for driver in self._drivers.values():
            await driver.close()


def remedy_for(error: str, key: str) -> str:
    """Return what to do about an error of a channel that is configured at ``key``."""
    return next(text for words, text in REMEDIES if re.search(words, error, re.IGNORECASE)).format(key=key)
