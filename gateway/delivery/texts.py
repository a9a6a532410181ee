"""The words of an invitation, in the languages that there are templates for."""

from __future__ import annotations

import functools
import html
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from string import Template

from gateway.delivery.base import DeliveryOrder

LANGUAGES = ("en", "zh")

_PURPOSES = {
    "en": {("im",): "chat", ("file",): "exchange files", ("file", "im"): "chat and exchange files"},
    "zh": {("im",): "聊天", ("file",): "互传文件", ("file", "im"): "聊天和互传文件"},
}
_HOW = {
    "en": ("You need no account and no password.", "The page asks for this password: {password}"),
    "zh": ("无需账号和密码。", "页面会要求输入此密码：{password}"),
}
"""How to log in: by the link alone, and with a password to type."""

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class Texts:
    """A message ready to be put into whatever carries it."""

    subject: str
    """One line."""
    text: str
    html: str


def language_of(tag: str, default: str = "en") -> str:
    """Return the language that we have for a language tag (BCP 47), such as ``zh`` for ``zh-Hant-TW``."""
    primary = tag.partition("-")[0].lower()
    return primary if primary in LANGUAGES else default


def one_line(text: str) -> str:
    """Return a text without line breaks and other control characters."""
    return _BREAKS.sub(" ", text).strip()


def invitation_texts(order: DeliveryOrder) -> Texts:
    """Fill the templates of the order's language."""
    language = language_of(order.language)
    values = {
        "inviter": one_line(order.inviter),
        "purpose": _purpose(language, order.types),
        "until": _moment(language, order.until),
        "link": order.link,
        "how": _HOW[language][bool(order.password)].format(password=order.password),
    }
    note = one_line(order.note)
    quoted = {name: html.escape(value) for name, value in values.items()}
    subject, _, text = _template(f"{language}.txt").partition("\n")
    return Texts(
        subject=Template(subject).substitute(values),
        text=Template(text.lstrip("\n")).substitute(values, note=f"\n    “{note}”\n" if note else ""),
        html=Template(_template(f"{language}.html")).substitute(
            quoted, note=f"<blockquote>{html.escape(note)}</blockquote>" if note else ""
        ),
    )


def _purpose(language: str, types: tuple[str, ...]) -> str:
    purposes = _PURPOSES[language]
    return purposes.get(tuple(sorted(types)), purposes["im",])


def _moment(language: str, seconds: float) -> str:
    """Return a moment in words, rounded down to the minute."""
    moment = datetime.fromtimestamp(seconds, UTC)
    if language == "zh":
        return f"{moment.year}年{moment.month}月{moment.day}日 {moment:%H:%M}（UTC）"
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}, {moment:%H:%M} UTC"


@functools.cache
def _template(name: str) -> str:
    return resources.files("gateway.delivery").joinpath("templates", name).read_text(encoding="utf-8")
