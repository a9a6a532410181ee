"""The provisioning driver that a configuration chooses."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from gateway.config.provisioning import HttpServiceSection
from gateway.database import Database, DatabaseUrl
from gateway.drivers import load_driver
from gateway.httpservice import HttpService
from gateway.naming import private_identity
from gateway.provisioning.http import HttpProvisioning
from gateway.provisioning.kamailio import KamailioProvisioning
from gateway.provisioning.lab import LabProvisioning
from gateway.provisioning.none import NoProvisioning
from gateway.provisioning.pool import PoolProvisioning
from gateway.provisioning.pyhss import PyhssProvisioning

if TYPE_CHECKING:
    from gateway.config.settings import Config
    from gateway.provisioning.base import ProvisioningDriver
    from gateway.secrets import Sealer
    from gateway.storage.leasestore import LeaseStore


def provisioning_driver(config: Config, sealer: Sealer, store: LeaseStore) -> ProvisioningDriver:
    """Return a new driver; the caller closes it. Raises DriverError, ValueError or OSError when it can't be made."""
    section = config.provisioning
    match section.driver:
        case "none":
            return NoProvisioning()
        case "lab":
            return LabProvisioning(section.lab.url, mark=sealer.mark, timeout=section.lab.timeout)
        case "kamailio":
            return KamailioProvisioning(
                kamailio_database(config), mark=sealer.mark, algorithm=section.kamailio.algorithm
            )
        case "pyhss":
            return PyhssProvisioning(
                section.pyhss,
                key=config.secret("", section.pyhss.key_file),
                ca_file=config.file(section.pyhss.ca_file) if section.pyhss.ca_file else None,
                mark=sealer.mark,
            )
        case "pool":
            return PoolProvisioning(
                config.file(section.pool.file), store, realm=config.realm, quarantine=section.pool.quarantine
            )
        case "http":
            return HttpProvisioning(http_service(config, section.http), private=partial(private_identity, config))
        case path:
            driver: ProvisioningDriver = load_driver("provisioning", path, section.options)
            return driver


def kamailio_database(config: Config) -> Database:
    """Return the database with Kamailio's subscriber table."""
    section = config.provisioning.kamailio
    url = DatabaseUrl.parse(section.database, config.file("."))
    return Database(url, password=config.secret("", section.password_file), timeout=section.timeout)


def http_service(config: Config, section: HttpServiceSection) -> HttpService:
    """Return the service that a table of the configuration describes."""
    return HttpService(
        section,
        token=config.secret("", section.token_file),
        password=config.secret("", section.password_file),
        ca_file=config.file(section.ca_file) if section.ca_file else None,
    )
