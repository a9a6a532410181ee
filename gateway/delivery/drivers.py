"""The delivery drivers that a configuration chooses, by their channels."""

from __future__ import annotations

import ssl

from gateway.config.settings import Config
from gateway.delivery.base import DeliveryDriver
from gateway.delivery.email import EmailDelivery
from gateway.delivery.mm7 import Mm7Delivery
from gateway.delivery.mm7content import PictureError
from gateway.delivery.reports import receipt_url
from gateway.delivery.smshttp import HttpSmsDelivery
from gateway.drivers import DriverError, load_driver


def delivery_drivers(config: Config) -> dict[str, DeliveryDriver]:
    """Return channel → driver. Raises DriverError, and OSError or ssl.SSLError for a file that cannot be used."""
    delivery = config.delivery
    drivers: dict[str, DeliveryDriver] = {}
    if delivery.email.host:
        drivers["email"] = _email(config)
    match delivery.sms.driver:
        case "":
            pass
        case "smpp":
            drivers["sms"] = _smpp(config)
        case "http":
            drivers["sms"] = _sms_http(config)
        case path:
            drivers["sms"] = load_driver("delivery.sms", path, delivery.sms.options)
    match delivery.mms.driver:
        case "":
            pass
        case "mm7":
            drivers["mms"] = _mm7(config)
        case path:
            drivers["mms"] = load_driver("delivery.mms", path, delivery.mms.options)
    return drivers


def _email(config: Config) -> EmailDelivery:
    section = config.delivery.email
    return EmailDelivery(
        host=section.host,
        port=section.port,
        sender=section.sender,
        security=section.security,
        username=section.username,
        password=config.secret(section.password, section.password_file),
        ca_file=config.file(section.ca_file) if section.ca_file else None,
        timeout=section.timeout,
    )


def _smpp(config: Config) -> DeliveryDriver:
    from gateway.delivery.smpp import SmppDelivery  # only where it is used: smpplib is an extra

    section = config.delivery.smpp
    password = config.secret(section.password, section.password_file)
    return SmppDelivery(section, password=password, tls=_tls(config, section.ca_file) if section.tls else None)


def _sms_http(config: Config) -> HttpSmsDelivery:
    section = config.delivery.sms_http
    return HttpSmsDelivery(
        section,
        password=config.secret(section.password, section.password_file),
        tls=_tls(config, section.ca_file),
        receipt_url=receipt_url(config, "sms"),
    )


def _mm7(config: Config) -> Mm7Delivery:
    section = config.delivery.mm7
    try:
        return Mm7Delivery(
            section,
            password=config.secret(section.password, section.password_file),
            tls=_tls(config, section.ca_file),
            picture=config.file(section.picture) if section.picture else None,
            receipts=bool(receipt_url(config, "mms")),
        )
    except PictureError as error:
        raise DriverError(f"delivery.mm7.picture {error}", temporary=False) from None


def _tls(config: Config, ca_file: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=config.file(ca_file) if ca_file else None)
