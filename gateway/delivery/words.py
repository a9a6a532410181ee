"""The templates of an invitation: those that the gateway brings along, and an operator's own.

A language is five files of one name: ``en.txt`` and ``en.html`` (a mail), ``en.mms``, ``en.sms`` (a wording a line, the
best first) and ``en.toml`` (the words they are filled with). The first line of ``.txt`` and ``.mms`` is the subject.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

import msgspec

DEFAULT_LANGUAGE = "en"

SUFFIXES = (".html", ".mms", ".sms", ".toml", ".txt")

MAX_TEMPLATE = 64 * 1024
"""Octets of one file; a mail is a screen of text."""

IN_SUBJECT = frozenset({"inviter", "purpose", "until"})
IN_SMS = IN_SUBJECT | {"link", "note"}
IN_TEXT = IN_SMS | {"how"}
IN_MOMENT = frozenset({"year", "month", "day", "hour", "minute"})

_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{1,8})*")


class TemplateError(ValueError):
    """A template cannot be used; the text names its file and what is wrong in it."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")


class Purposes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What A and B may do together."""

    im: str
    file: str
    both: str


class How(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the guest logs in."""

    link: str
    """By the link alone."""
    password: str
    """With a password to type."""
    short: str
    """The same, in a short message."""


class Vocabulary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A ``.toml`` file."""

    moment: str
    somebody: str
    """Stands for an inviter whose name cannot be written or does not fit."""
    purpose: Purposes
    how: How
    months: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Words:
    """One language, checked: every template can be filled."""

    language: str
    """Its tag (BCP 47), lower case."""
    subject: Template
    text: Template
    html: Template
    mms_subject: Template
    mms_text: Template
    sms: tuple[Template, ...]
    """The best wording first, the shortest last."""
    vocabulary: Vocabulary


class Wording:
    """All languages that there are templates for."""

    def __init__(self, languages: Mapping[str, Words]) -> None:
        self._languages = languages

    @property
    def languages(self) -> tuple[str, ...]:
        """Return the tags of the languages."""
        return tuple(sorted(self._languages))

    def words(self, tag: str, default: str = DEFAULT_LANGUAGE) -> Words:
        """Return the language for a tag: the tag is shortened from its end until one fits (:rfc:`4647#section-3.4`)."""
        parts = tag.lower().split("-")
        while parts:
            found = self._languages.get("-".join(parts))
            if found is not None:
                return found
            parts.pop()
        return self._languages[default]


@functools.cache
def shipped() -> Wording:
    """Return the languages that the gateway brings along."""
    return _wording(_files(_shipped_folder()), typed_password=True)


def load(folder: Path | None, *, typed_password: bool = False) -> Wording:
    """Return the languages of a folder besides the shipped ones, whose files it may replace one by one.

    ``typed_password``: links carry no password, so that every text has to say it. Raises :class:`TemplateError` for the
    first file that cannot be used.
    """
    if folder is None:
        return shipped()
    if not folder.is_dir():
        raise TemplateError(str(folder), "there is no such folder")
    return _wording(_files(_shipped_folder()) | _files(folder), typed_password=typed_password)


def _shipped_folder() -> Traversable:
    return resources.files("gateway.delivery").joinpath("templates")


def _files(folder: Traversable) -> dict[str, Traversable]:
    """Return the templates of a folder by name; other files in it are left alone."""
    return {item.name: item for item in folder.iterdir() if item.name.endswith(SUFFIXES) and item.is_file()}


def _wording(files: Mapping[str, Traversable], *, typed_password: bool) -> Wording:
    languages = {}
    for language in sorted({name.rpartition(".")[0] for name in files}):
        if not _LANGUAGE.fullmatch(language):
            raise TemplateError(f"{language}.*", "is not named by a language tag in lower case, such as de or pt-br")
        languages[language] = _language(language, files, {"link", "how"} if typed_password else {"link"})
    return Wording(languages)


def _language(language: str, files: Mapping[str, Traversable], needed: set[str]) -> Words:
    names = {suffix: f"{language}{suffix}" for suffix in SUFFIXES}
    missing = [name for name in names.values() if name not in files]
    if missing:
        raise TemplateError(missing[0], f"is missing: a language needs {', '.join(sorted(names.values()))}")
    texts = {suffix: _read(files[name], name) for suffix, name in names.items()}
    mail, mms, sms = names[".txt"], names[".mms"], names[".sms"]
    subject, _, text = texts[".txt"].partition("\n")
    mms_subject, _, mms_text = texts[".mms"].partition("\n")
    wordings = [line.strip() for line in texts[".sms"].splitlines() if line.strip()]
    if not wordings:
        raise TemplateError(sms, "is empty")
    return Words(
        language,
        subject=_template(mail, subject, IN_SUBJECT),
        text=_template(mail, text.lstrip("\n"), IN_TEXT, needed),
        html=_template(names[".html"], texts[".html"], IN_TEXT, needed),
        mms_subject=_template(mms, mms_subject, IN_SUBJECT),
        mms_text=_template(mms, mms_text.lstrip("\n"), IN_TEXT, needed),
        sms=tuple(_template(sms, line, IN_SMS, {"link"}) for line in wordings),
        vocabulary=_vocabulary(names[".toml"], texts[".toml"]),
    )


def _read(file: Traversable, name: str) -> str:
    try:
        content = file.read_bytes()
        if len(content) > MAX_TEMPLATE:
            raise TemplateError(name, f"has more than {MAX_TEMPLATE} octets")
        return content.decode("utf-8").replace("\r\n", "\n")
    except OSError as error:
        raise TemplateError(name, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TemplateError(name, f"is not UTF-8 at octet {error.start}") from error


def _template(name: str, text: str, allowed: frozenset[str], needed: Iterable[str] = ()) -> Template:
    """Return a template that holds what it must and nothing that it must not."""
    template = Template(text)
    if not template.is_valid():
        raise TemplateError(name, "holds a $ that begins no placeholder; $$ writes a $")
    found = set(template.get_identifiers())
    for placeholder in sorted(found - allowed):
        known = ", ".join(f"${each}" for each in sorted(allowed))
        raise TemplateError(name, f"${placeholder} is no placeholder here; there are {known or 'none'}")
    for placeholder in sorted(set(needed) - found):
        raise TemplateError(name, f"${placeholder} is missing")
    return template


def _vocabulary(name: str, text: str) -> Vocabulary:
    try:
        words = msgspec.convert(tomllib.loads(text), Vocabulary)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise TemplateError(name, str(error)) from error
    if len(words.months) not in (0, 12):
        raise TemplateError(name, f"months are 12, or none; there are {len(words.months)}")
    _template(name, words.moment, IN_MOMENT)
    for field, how in msgspec.structs.asdict(words.how).items():
        _template(name, how, frozenset() if field == "link" else frozenset({"password"}))
    for field in ("password", "short"):
        _template(name, getattr(words.how, field), frozenset({"password"}), {"password"})
    return words
