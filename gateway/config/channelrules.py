"""What has to make sense together in the tables of short and multimedia messages."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from typing import Any

from gateway.config.channels import SMS_PLACEHOLDERS
from gateway.config.settings import Config
from gateway.delivery.mm7content import PictureError, read_picture
from gateway.numbers import is_region
from gateway.placeholders import PlaceholderError, check_templates, placeholders

Problem = tuple[str, str]
"""A dotted key and what is wrong with its value."""

KNOWN = {"sms": ("smpp", "http"), "mms": ("mm7",)}
"""Drivers that come with the gateway, by the channel that they serve."""


def channel_rules(config: Config) -> Iterator[Problem]:
    """Yield what is wrong with the channels beside e-mail."""
    delivery = config.delivery
    if config.gateway.region and not is_region(config.gateway.region):
        yield "gateway.region", "is no country that has numbers (ISO 3166-1, two capital letters)"
    for channel, known in KNOWN.items():
        driver: str = getattr(delivery, channel).driver
        if driver and ":" not in driver and driver not in known:
            yield f"delivery.{channel}.driver", f"is none of {', '.join(known)} and no import path"
    for section in ("smpp", "sms_http", "mm7"):
        yield from _passwords(section, getattr(delivery, section))
    if delivery.sms.driver == "smpp":
        yield from _smpp(config)
    if delivery.sms.driver == "http":
        yield from _sms_http(config)
    if delivery.mms.driver == "mm7":
        yield from _mm7(config)
    yield from _missing_files(config)


def _smpp(config: Config) -> Iterator[Problem]:
    smpp = config.delivery.smpp
    for key in ("host", "system_id"):
        if not getattr(smpp, key):
            yield f"delivery.smpp.{key}", "is missing"
    if smpp.bind == "transmitter" and smpp.receipts != "none":
        yield "delivery.smpp.receipts", 'must be "none": a transmitter hears of none'
    if importlib.util.find_spec("smpplib") is None:
        yield "delivery.sms.driver", 'needs smpplib: pip install "rcsgw[smpp]"'
    for key in ("system_id", "password", "system_type", "source", "service_type"):
        if not getattr(smpp, key).isascii():
            yield f"delivery.smpp.{key}", "is not ASCII"


def _sms_http(config: Config) -> Iterator[Problem]:
    http = config.delivery.sms_http
    if not http.url:
        yield "delivery.sms_http.url", "is missing"
    if http.form and http.json:
        yield "delivery.sms_http.form", "and json cannot both be the body"
    if http.method == "GET" and (http.form or http.json):
        yield "delivery.sms_http.method", "GET has no body: form and json need POST or PUT"
    for key in ("query", "form", "json", "headers"):
        try:
            check_templates(getattr(http, key), SMS_PLACEHOLDERS)
        except PlaceholderError as error:
            yield f"delivery.sms_http.{key}", str(error)
    receipts = config.delivery.receipts
    templates = (http.query, http.form, http.json, http.headers)
    if "receipt_url" in placeholders(templates) and not (receipts.sms or receipts.sms_file):
        yield "delivery.receipts.sms", "is missing: without a token {receipt_url} is empty"
    for key, groups in (("success_body", 0), ("final_body", 0), ("reference", 1)):
        try:
            if getattr(http, key) and re.compile(getattr(http, key)).groups < groups:
                yield f"delivery.sms_http.{key}", "needs a group: what stands in it is the reference"
        except re.error as error:
            yield f"delivery.sms_http.{key}", f"is no regular expression: {error}"


def _mm7(config: Config) -> Iterator[Problem]:
    mm7 = config.delivery.mm7
    if not mm7.url:
        yield "delivery.mm7.url", "is missing"
    if mm7.sender and not re.fullmatch(r"\+?[0-9]+|[^@\s]+@[^@\s]+", mm7.sender):
        yield "delivery.mm7.sender", "is neither a number, a short code nor an e-mail address"
    if mm7.picture and (picture := config.file(mm7.picture)).is_file():
        try:
            read_picture(picture)
        except (PictureError, OSError) as error:
            yield "delivery.mm7.picture", str(error)


def _passwords(name: str, section: Any) -> Iterator[Problem]:
    if section.password and section.password_file:
        yield f"delivery.{name}.password_file", "and password cannot both be set"
    username = section.system_id if name == "smpp" else section.username
    if not username and (section.password or section.password_file):
        yield f"delivery.{name}.{'system_id' if name == 'smpp' else 'username'}", "is missing, but there is a password"


def _missing_files(config: Config) -> Iterator[Problem]:
    for section in ("smpp", "sms_http", "mm7"):
        for key in ("password_file", "ca_file", "picture"):
            name = getattr(getattr(config.delivery, section), key, "")
            if name and not config.file(name).is_file():
                yield f"delivery.{section}.{key}", f"there is no file {config.file(name)}"
