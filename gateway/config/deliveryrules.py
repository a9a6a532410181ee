"""What has to make sense together in the tables about deliveries as such."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from gateway.config.delivery import BY_KIND, Token
from gateway.config.settings import Config
from gateway.delivery.words import TemplateError, load

Problem = tuple[str, str]
"""A dotted key and what is wrong with its value."""


def delivery_rules(config: Config) -> Iterator[Problem]:
    """Yield what is wrong with the order of channels, templates and tokens."""
    delivery = config.delivery
    available = delivery.available
    for kind in BY_KIND:
        for channel in getattr(delivery.channels, kind):
            if channel not in available:
                yield f"delivery.channels.{kind}", f"{channel} is not set up in [delivery.{channel}]"
    if delivery.retry.first > delivery.retry.longest:
        yield "delivery.retry.first", "is longer than the longest pause"
    yield from _templates(config)
    yield from _tokens(config)


def _templates(config: Config) -> Iterator[Problem]:
    delivery = config.delivery
    folder = config.file(delivery.templates) if delivery.templates else None
    try:
        wording = load(folder, typed_password=config.client.link == "account")
    except TemplateError as error:
        yield "delivery.templates", str(error)
        return
    if delivery.language not in wording.languages:
        known = ", ".join(wording.languages)
        yield "delivery.language", f"there are no templates for {delivery.language}; there are {known}"


def _tokens(config: Config) -> Iterator[Problem]:
    receipts = config.delivery.receipts
    for channel in ("sms", "mms"):
        name = getattr(receipts, f"{channel}_file")
        if not name:
            continue
        key = f"delivery.receipts.{channel}_file"
        if getattr(receipts, channel):
            yield key, f"and {channel} cannot both be set"
        try:
            known = bool(msgspec.convert(config.secret("", name), Token))
        except (OSError, UnicodeDecodeError) as error:
            yield key, f"{config.file(name)} cannot be read: {error}"
            continue
        except msgspec.ValidationError:
            known = False
        if not known:
            yield key, "holds no token: 22 to 128 letters, digits, - and _"
