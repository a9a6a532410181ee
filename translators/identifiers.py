"""Who somebody is: e-mail addresses, numbers and SIP URIs, and the account names that are made from them."""

from __future__ import annotations

import enum
import re
import string
from dataclasses import dataclass

from sipstack.errors import ParseError
from sipstack.sip.uri import Uri, escape_user

_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
"""dot-atom of RFC 5322 §3.2.3; quoted local parts are refused, nobody has them."""

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
"""E.164: at most 15 digits, country code first."""

_SEPARATORS = str.maketrans("", "", " -.()/")
_UNSAFE = re.compile(r"[^a-z0-9.+-]+")

MAX_LOCAL_PART = 64
"""Octets in front of the ``@`` (RFC 5321 §4.5.3.1.1)."""

MAX_DOMAIN = 253
"""Characters of a domain name."""

MAX_ACCOUNT_USER = 64
"""Characters of the user part of an account made from an identifier, before the random part."""


class Kind(enum.Enum):
    """What an identifier is."""

    EMAIL = "email"
    PHONE = "phone"
    SIP = "sip"


@dataclass(frozen=True, slots=True)
class Identifier:
    """Somebody's address in a normal form: domain in lower case, numbers as E.164, SIP URIs as their AOR."""

    kind: Kind
    value: str

    @property
    def key(self) -> str:
        """What two ways of writing the same person share; e-mail local parts differ by more than case nowhere."""
        return self.value.lower() if self.kind is Kind.EMAIL else self.value

    def __str__(self) -> str:
        return self.value


def parse_identifier(text: str) -> Identifier | None:
    """Read an e-mail address, a number or a SIP or tel URI; None when it is none of them."""
    scheme = text.partition(":")[0].lower()
    if scheme in ("sip", "sips"):
        return _parse_sip(text)
    if scheme == "tel":
        return parse_phone(text[4:].partition(";")[0])
    return parse_email(text) if "@" in text else parse_phone(text)


def parse_email(text: str) -> Identifier | None:
    """Read an e-mail address; international domains become their ASCII form. None when it is none."""
    local, at, domain = text.rpartition("@")
    if not at or len(local) > MAX_LOCAL_PART or _LOCAL_PART.fullmatch(local) is None:
        return None
    name = parse_domain(domain)
    return None if name is None else Identifier(Kind.EMAIL, f"{local}@{name}")


def parse_domain(text: str) -> str | None:
    """Return a domain name in lower-case ASCII, None when it is none."""
    try:
        name = text.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None
    if len(name) > MAX_DOMAIN or any(_LABEL.fullmatch(label) is None for label in name.split(".")):
        return None
    return name


def parse_phone(text: str) -> Identifier | None:
    """Read a number with country code; visual separators go, ``00`` counts as ``+``. None when it is none."""
    number = text.translate(_SEPARATORS)
    if number.startswith("00"):
        number = "+" + number[2:]
    return Identifier(Kind.PHONE, number) if _NUMBER.fullmatch(number) else None


def _parse_sip(text: str) -> Identifier | None:
    try:
        uri = Uri.parse(text)
    except ParseError:
        return None
    if uri.user is None or uri.headers:
        return None
    return Identifier(Kind.SIP, uri.aor)


def identity(text: str) -> str:
    """Return what a user-id without scheme means: ``user@host`` is a SIP URI, a number a tel URI, the rest a UID.

    A domain is compared without regard to case, so it is returned in lower case.
    """
    scheme, colon, rest = text.partition(":")
    if colon and scheme.lower() in ("sip", "sips", "tel"):
        text = rest
        scheme = scheme.lower()
    else:
        scheme = "tel" if _NUMBER.fullmatch(text) else "sip" if "@" in text else ""
    if not scheme:
        return text
    user, at, host = text.rpartition("@")
    return f"{scheme}:{user}{at}{host.lower() if at else host}"


TEMPLATES = {
    "derived": "{user}-{random}",
    "identifier": "{user}",
    "phone": "{phone}",
    "serial": "{prefix}-{serial}",
}
"""User parts of account names, by their name in ``[accounts] naming``."""


class TemplateError(ValueError):
    """An account template has a field that does not exist."""


def check_template(template: str) -> None:
    """Check an operator's own template; :class:`TemplateError` names what is wrong."""
    try:
        fields = [field for _, field, spec, conversion in string.Formatter().parse(template) if field is not None]
    except ValueError as error:
        raise TemplateError(str(error)) from None
    for field in fields:
        if field not in ("user", "domain", "phone", "prefix", "random", "serial"):
            raise TemplateError(f"unknown field {{{field}}}")
    if not any(field in ("random", "serial", "user", "phone") for field in fields):
        raise TemplateError("gives everybody the same name")


def account_uri(
    identifier: Identifier,
    *,
    naming: str,
    realm: str,
    random: str,
    serial: int,
    served: tuple[str, ...] = (),
    prefix: str = "guest",
    template: str | None = None,
) -> str:
    """Return the SIP URI for a new account of this person.

    ``naming`` is a key of :data:`TEMPLATES`; where it does not fit the identifier (``identifier`` with a domain that is
    not in ``served``, ``phone`` without a number) the name is derived. ``random`` and ``serial`` make it unique; the
    caller tries again with others when the name is taken. ``template`` is an operator's own one and wins.
    """
    if template is None and naming == "identifier" and identifier.kind is Kind.EMAIL:
        user, _, domain = identifier.value.rpartition("@")
        if domain in served or domain == realm:
            return f"sip:{escape_user(user)}@{domain}"
        naming = "derived"
    if identifier.kind is not Kind.PHONE and naming == "phone":
        naming = "derived"
    fields = {
        "user": _plain(identifier.value if naming == "identifier" else identifier.value.lstrip("+")),
        "domain": _plain(identifier.value.rpartition("@")[2]),
        "phone": identifier.value if identifier.kind is Kind.PHONE else "",
        "prefix": prefix,
        "random": random,
        "serial": f"{serial:06d}",
    }
    return f"sip:{escape_user((template or TEMPLATES[naming]).format(**fields))}@{realm}"


def _plain(text: str) -> str:
    """Return what may stand in a user part anywhere: ``b@cc.com`` becomes ``b.cc.com``."""
    return _UNSAFE.sub("-", text.lower().replace("@", ".")).strip("-.")[:MAX_ACCOUNT_USER] or "guest"
