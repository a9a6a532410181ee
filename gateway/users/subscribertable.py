"""What Kamailio's tables tell: ``subscriber`` and, where there are any, ``dbaliases``, ``uri`` and ``impu``.

Each look-up asks every table that could know, whether an earlier one has answered or not: nobody can tell by the time
it took whether somebody was found, or where.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.config.users import UsersKamailioSection
from gateway.database import Connection
from gateway.drivers import DriverError
from translators.identifiers import Identifier, Kind, parse_phone

Key = tuple[str, str]
"""Username and domain of a row of ``subscriber``."""

NOBODY: Key = ("", "")
"""No row has this key: asked for where no subscriber was found, so that it costs the same."""

SCALARS = ("name", "state", "level", "may_invite")
"""Keys of the configuration that name a column about a subscriber."""

OTHER_TABLES = {
    "aliases": {"alias_username", "alias_domain", "username", "domain"},
    "uri": {"username", "domain", "uri_user"},
    "impu": {"uri", "impi", "domain"},
}
"""Tables with identities and the columns by which they are known as such; the first goes by its configured name."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of ``subscriber``, as far as it is asked for."""

    key: Key
    secrets: tuple[str, ...] = field(repr=False)
    """``ha1`` and ``ha1b``, or the password alone."""
    impus: tuple[str, ...]
    about: Mapping[str, Any]
    """What stands in the columns of :data:`SCALARS`; None for a column that is not configured."""


class SubscriberTable:
    """Reads the tables within a transaction of the caller. Which there are is looked up once."""

    def __init__(self, section: UsersKamailioSection, home_domain: str) -> None:
        """``home_domain`` is that of a UID without one."""
        self._section = section
        self._home = home_domain
        self._tables: frozenset[str] | None = None
        self._has_impus = False

    # what there is

    def _known_tables(self, connection: Connection) -> frozenset[str]:
        if self._tables is None:
            self._check_columns(connection)
            names = {"aliases": self._section.aliases_table}
            self._tables = frozenset(
                table for table, needed in OTHER_TABLES.items() if needed <= connection.columns(names.get(table, table))
            )
        return self._tables

    def _check_columns(self, connection: Connection) -> None:
        """Raise DriverError, a final one, when a column is configured that is not there."""
        section = self._section
        there = connection.columns(section.table)
        self._has_impus = "impus" in there
        secrets = ("password",) if section.secrets == "passwords" else ("ha1", "ha1b")
        optional = [getattr(section, key) for key in (*SCALARS, "email", "phone") if getattr(section, key)]
        for column in ("username", "domain", *secrets, *optional):
            if column not in there:
                raise DriverError(f"There is no column {column} in table {section.table}.", temporary=False)

    def can_tell(self, connection: Connection, kind: Kind) -> bool:
        """Tell whether these tables would know a subscriber by such an identifier."""
        tables = self._known_tables(connection)
        match kind:
            case Kind.EMAIL:
                return bool(self._section.email)
            case Kind.PHONE:
                return bool(self._section.phone or tables)
            case Kind.SIP:
                return True

    # who is it

    def by_user_id(self, connection: Connection, name: str) -> Key | None:
        """Return the subscriber of a UID, or of an identity with its scheme."""
        self._known_tables(connection)
        name = name if _is_text(name) else ""
        scheme, colon, rest = name.partition(":")
        if not colon:
            return _first(self._by_columns(connection, {"username": name, "domain": self._home}))
        number = parse_phone(rest.partition(";")[0]) if scheme == "tel" else None
        if number is not None:
            return self.find(connection, number)
        return _first(self._by_sip(connection, name))

    def find(self, connection: Connection, identifier: Identifier) -> Key | None:
        """Return the subscriber with this e-mail address, number or SIP URI."""
        match identifier.kind:
            case Kind.EMAIL:
                return _first(self._by_email(connection, identifier.key))
            case Kind.PHONE:
                return _first(self._by_number(connection, identifier.value))
            case Kind.SIP:
                return _first(self._by_sip(connection, identifier.value))

    def _by_email(self, connection: Connection, email: str) -> Iterator[Key]:
        if self._section.email:
            query = f"SELECT username, domain FROM {self._section.table} WHERE lower({self._section.email}) = :email"
            yield from _keys(connection.rows(query, email=email))

    def _by_number(self, connection: Connection, number: str) -> Iterator[Key]:
        """Numbers stand in these tables with ``+``, with ``00`` or with neither."""
        digits = number.removeprefix("+")
        forms = (number, digits, f"00{digits}")
        tables = self._known_tables(connection)
        if self._section.phone:
            yield from self._by_any(connection, self._section.table, self._section.phone, forms)
        yield from self._by_any(connection, self._section.table, "username", forms)
        if "aliases" in tables:
            yield from self._by_any(connection, self._section.aliases_table, "alias_username", forms)
        if "uri" in tables:
            yield from self._by_any(connection, "uri", "uri_user", forms)
        yield from self._by_impu(connection, f"tel:{number}")

    def _by_sip(self, connection: Connection, uri: str) -> Iterator[Key]:
        user, _, domain = uri.partition(":")[2].rpartition("@")
        tables = self._known_tables(connection)
        yield from self._by_columns(connection, {"username": user, "domain": domain})
        if "aliases" in tables:
            table, values = self._section.aliases_table, {"alias_username": user, "alias_domain": domain}
            yield from self._by_columns(connection, values, table)
        if "uri" in tables:
            yield from self._by_columns(connection, {"uri_user": user, "domain": domain}, "uri")
        yield from self._by_impu(connection, uri)

    def _by_impu(self, connection: Connection, uri: str) -> Iterator[Key]:
        if "impu" in self._known_tables(connection):
            yield from _keys(connection.rows("SELECT impi, domain FROM impu WHERE uri = :uri", uri=uri))
        if self._has_impus:
            query = f"SELECT username, domain, impus FROM {self._section.table} WHERE impus LIKE :uri ESCAPE '!'"
            for username, domain, impus in connection.rows(query, uri=f"%{_escape(uri)}%"):
                if uri in _split(impus):
                    yield username, domain

    def _by_columns(self, connection: Connection, values: Mapping[str, str], table: str = "") -> Iterator[Key]:
        where = " AND ".join(f"{column} = :{column}" for column in values)
        query = f"SELECT username, domain FROM {table or self._section.table} WHERE {where}"
        yield from _keys(connection.rows(query, **values))

    def _by_any(self, connection: Connection, table: str, column: str, forms: Sequence[str]) -> Iterator[Key]:
        names, values = _list(forms)
        query = f"SELECT username, domain FROM {table} WHERE {column} IN ({names})"
        yield from _keys(connection.rows(query, **values))

    # what is known of them

    def row(self, connection: Connection, key: Key) -> Row | None:
        """Return a subscriber's row."""
        self._known_tables(connection)
        section = self._section
        secrets = ("password",) if section.secrets == "passwords" else ("ha1", "ha1b")
        about = {item: getattr(section, item) for item in SCALARS if getattr(section, item)}
        columns = [*secrets, *about.values(), *(["impus"] if self._has_impus else [])]
        query = f"SELECT {', '.join(columns)} FROM {section.table} WHERE username = :username AND domain = :domain"
        for values in connection.rows(query, username=key[0], domain=key[1]):
            known = dict(zip(about, values[len(secrets) :], strict=False))
            impus = _split(values[-1]) if self._has_impus else ()
            hashes = tuple(str(value or "") for value in values[: len(secrets)])
            return Row(key, hashes, impus, dict.fromkeys(SCALARS) | known)
        return None

    def identities(self, connection: Connection, row: Row) -> tuple[str, ...]:
        """Return all public identities, those that are named as such first; a SIP URI is always among them."""
        username, domain = row.key
        tables = self._known_tables(connection)
        named = list(row.impus)
        if "impu" in tables:
            query = "SELECT uri FROM impu WHERE impi = :username AND domain = :domain ORDER BY uri"
            named += [uri for (uri,) in connection.rows(query, username=username, domain=domain)]
        if not any(uri.startswith(("sip:", "sips:")) for uri in named):
            named.insert(0, f"sip:{username}@{domain}")
        queries = {
            "aliases": f"SELECT alias_username, alias_domain FROM {self._section.aliases_table} "
            "WHERE username = :username AND domain = :domain ORDER BY alias_username, alias_domain",
            "uri": "SELECT uri_user, domain FROM uri WHERE username = :username AND domain = :domain ORDER BY uri_user",
        }
        for table, query in queries.items():
            if table in tables:
                for user, place in connection.rows(query, username=username, domain=domain):
                    named += _alias(user, place)
        return tuple(dict.fromkeys(named))

    def states(self, connection: Connection, keys: Iterable[Key]) -> dict[Key, Any]:
        """Return what stands in the column of states, None where none is configured, of those that there are."""
        self._known_tables(connection)
        wanted = set(keys)
        names, values = _list(sorted({username for username, _ in wanted}))
        column = self._section.state or "NULL"
        query = f"SELECT username, domain, {column} FROM {self._section.table} WHERE username IN ({names})"
        rows = connection.rows(query, **values)
        return {(username, domain): state for username, domain, state in rows if (username, domain) in wanted}


def _first(keys: Iterator[Key]) -> Key | None:
    """Return the first key; all look-ups are made, see the top of this module."""
    return next(iter(list(keys)), None)


def _keys(rows: Iterable[tuple[Any, ...]]) -> list[Key]:
    return [(username, domain) for username, domain in rows]


def _list(values: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Return names of parameters for ``IN (…)``, and the parameters."""
    named = {f"item{number}": value for number, value in enumerate(values)}
    return ", ".join(f":{name}" for name in named), named


def _is_text(name: str) -> bool:
    """Tell whether a database takes this as text: UTF-8 without NUL."""
    return "\0" not in name and not any("\ud800" <= character <= "\udfff" for character in name)


def _split(impus: str | None) -> tuple[str, ...]:
    return tuple(uri.strip() for uri in (impus or "").split(",") if uri.strip())


def _escape(text: str) -> str:
    """Return what finds a text in a LIKE pattern whose escape character is ``!``."""
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def _alias(user: str, domain: str) -> list[str]:
    """Return the identities that an alias is: a number is a tel URI as well."""
    number = parse_phone(user) if user.startswith("+") else None
    return [f"sip:{user}@{domain}", *([f"tel:{number.value}"] if number is not None else [])]
