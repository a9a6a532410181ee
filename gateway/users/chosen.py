"""The users driver that a configuration chooses."""

from __future__ import annotations

from aiohttp import BasicAuth

from gateway.config.settings import Config
from gateway.database import Database, DatabaseUrl
from gateway.drivers import load_driver
from gateway.users.base import UsersDriver
from gateway.users.http import HttpUsers
from gateway.users.kamailio import KamailioUsers
from gateway.users.local import LocalUsers
from gateway.users.register import RegisterUsers
from gateway.users.service import JsonService
from sipstack.net.endpoint import Endpoint
from sipstack.sip.uri import Uri


def users_driver(config: Config, endpoint: Endpoint) -> UsersDriver:
    """Return the driver; ``endpoint`` is what it speaks SIP by. Raises DriverError, OSError for a file of a secret."""
    match config.users.driver:
        case "local":
            return LocalUsers(config.users.subscriber)
        case "register":
            return _register(config, endpoint)
        case "kamailio":
            return _kamailio(config)
        case "http":
            return HttpUsers(_up_center(config), realm=config.realm, cache=config.users.http.cache)
        case path:
            driver: UsersDriver = load_driver("users", path, config.users.options)
            return driver


def _register(config: Config, endpoint: Endpoint) -> RegisterUsers:
    section, core = config.users.register, config.core
    return RegisterUsers(
        endpoint,
        domains=section.domains or (core.domain,),
        realm=section.realm or config.realm,
        outbound_proxy=Uri.parse(core.outbound_proxy or f"sip:{core.domain}"),
        cache=section.cache,
        timeout=section.timeout,
    )


def _kamailio(config: Config) -> KamailioUsers:
    section = config.users.kamailio
    url = DatabaseUrl.parse(section.database, config.file("."))
    database = Database(url, password=config.secret("", section.password_file), timeout=section.timeout)
    return KamailioUsers(database, section, domain=config.core.domain, realm=config.realm)


def _up_center(config: Config) -> JsonService:
    section = config.users.http
    authorization = ""
    if section.token_file:
        authorization = f"Bearer {config.secret('', section.token_file)}"
    elif section.username:
        password = config.secret("", section.password_file)
        authorization = BasicAuth(section.username, password, "utf-8").encode()
    return JsonService(
        section.url,
        timeout=section.timeout,
        connections=section.connections,
        authorization=authorization,
        ca_file=config.file(section.ca_file) if section.ca_file else None,
    )
