"""The words of an invitation: an order, filled into the templates of its language."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from string import Template

from gateway.delivery import gsm
from gateway.delivery.base import DeliveryOrder
from gateway.delivery.words import Words, shipped

SHORTEST_NAME = 2
"""Characters of an inviter's name below which a short message rather says ``somebody``."""

LONGEST_NAME = gsm.SEGMENT_SEPTETS
"""Characters of a name that are looked at for a short message: more fit into none."""

_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class Texts:
    """A message ready to be put into whatever carries it."""

    subject: str
    """One line."""
    text: str
    html: str


def one_line(text: str) -> str:
    """Return a text without line breaks and other control characters."""
    return _BREAKS.sub(" ", text).strip()


def words_of(order: DeliveryOrder) -> Words:
    """Return the language that an order is written in."""
    return order.words or shipped().words(order.language)


def invitation_texts(order: DeliveryOrder) -> Texts:
    """Return the words of a mail."""
    words = words_of(order)
    values = _values(words, order, order.link)
    quoted = {name: html.escape(value) for name, value in values.items()}
    note = one_line(order.note)
    return Texts(
        subject=words.subject.substitute(values),
        text=words.text.substitute(values, note=_quoted(note)),
        html=words.html.substitute(quoted, note=f"<blockquote>{html.escape(note)}</blockquote>" if note else ""),
    )


def mms_text(order: DeliveryOrder) -> tuple[str, str]:
    """Return subject and text of a multimedia message, with the short link."""
    words = words_of(order)
    values = _values(words, order, order.short_link or order.link)
    return words.mms_subject.substitute(values), words.mms_text.substitute(values, note=_quoted(one_line(order.note)))


def sms_text(order: DeliveryOrder) -> str:
    """Return the text of a short message, with the short link.

    It is the first wording of the language that fits one segment. Where none does, the name of the inviter is written
    without accents, then shortened, then left out. Only where the link itself is too long it takes several segments:
    as few as any wording needs.
    """
    words = words_of(order)
    link = order.short_link or order.link
    if order.password:
        link = f"{link} {Template(words.vocabulary.how.short).substitute(password=order.password)}"
    values = _values(words, order, link)
    for template, name in _shorter(words, values["inviter"]):
        text = template.substitute(values | {"inviter": name})
        if len(gsm.split(text)) == 1:
            return text
    return min((template.substitute(values) for template in words.sms), key=lambda text: len(gsm.split(text)))


def _shorter(words: Words, name: str) -> Iterator[tuple[Template, str]]:
    """Return wordings and names to try, the best first."""
    somebody = words.vocabulary.somebody
    name = name[:LONGEST_NAME]
    plain = _without_accents(name)
    for spelling in dict.fromkeys((name, plain)):
        yield from ((template, spelling) for template in words.sms)
    shortest = words.sms[-1]
    for length in range(len(name) - 1, SHORTEST_NAME - 1, -1):
        yield shortest, f"{name[:length].rstrip()}…"  # one unit; what follows is for the 7-bit alphabet, which lacks it
        yield shortest, f"{plain[:length].rstrip()}..."
    yield from ((template, somebody) for template in words.sms)


def _without_accents(name: str) -> str:
    """Return a name in the 7-bit alphabet if that takes no more than leaving out accents, else as it is."""
    parts = unicodedata.normalize("NFKD", name)
    plain = "".join(char for char in parts if not unicodedata.combining(char))
    return plain if gsm.encode(plain) is not None else name


def _values(words: Words, order: DeliveryOrder, link: str) -> dict[str, str]:
    how = words.vocabulary.how
    return {
        "inviter": one_line(order.inviter),
        "purpose": _purpose(words, order.types),
        "until": _moment(words, order.until),
        "link": link,
        "how": Template(how.password).substitute(password=order.password) if order.password else how.link,
        "note": one_line(order.note),
    }


def _quoted(note: str) -> str:
    return f"\n    “{note}”\n" if note else ""


def _purpose(words: Words, types: tuple[str, ...]) -> str:
    purpose = words.vocabulary.purpose
    if "file" not in types:
        return purpose.im
    return purpose.both if "im" in types else purpose.file


def _moment(words: Words, seconds: float) -> str:
    """Return a moment in words, rounded down to the minute."""
    moment, months = datetime.fromtimestamp(seconds, UTC), words.vocabulary.months
    return Template(words.vocabulary.moment).substitute(
        year=moment.year,
        month=months[moment.month - 1] if months else moment.month,
        day=moment.day,
        hour=f"{moment:%H}",
        minute=f"{moment:%M}",
    )
