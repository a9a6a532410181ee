"""Read a configuration file: every mistake is named with its key and line, not only the first."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin
from urllib.parse import urlsplit

import msgspec

from gateway.config.rules import broken_rules
from gateway.config.settings import Config, split_host_port
from gateway.config.types import Section
from gateway.misfits import misfit
from sipstack.errors import ParseError
from sipstack.msrp.uri import MsrpUri
from sipstack.sip.uri import Uri

Key = tuple[str | int, ...]
"""The way to a value: names of tables and keys, numbers for the tables of an array."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong in the file."""

    key: str
    """Dotted key; empty when the whole file is meant."""
    line: int | None
    """Line of the key, or of the table that lacks it."""
    text: str

    def __str__(self) -> str:
        place = f"line {self.line}: " if self.line else ""
        return f"{place}{self.key}{': ' if self.key else ''}{self.text}"


class ConfigError(Exception):
    """The file cannot be used; ``mistakes`` holds all that is wrong."""

    def __init__(self, path: str, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(f"{path}: {mistake}" for mistake in mistakes))
        self.mistakes = mistakes


def load(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read a file. ``overrides`` maps dotted keys to values that replace what the file says.

    Raises :class:`ConfigError` with every mistake, also when the file cannot be read.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), [Mistake("", None, f"cannot be read: {error}")]) from None
    return loads(text, name=str(path), folder=str(path.parent), overrides=overrides)


def loads(
    text: str, *, name: str = "configuration", folder: str = ".", overrides: Mapping[str, Any] | None = None
) -> Config:
    """Read the text of a file; see :func:`load`."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+)", str(error))
        mistake = Mistake("", int(found[1]) if found else None, re.sub(r" \(at .*\)$", "", str(error)))
        raise ConfigError(name, [mistake]) from None
    for key, value in (overrides or {}).items():
        _override(table, key.split("."), value)
    reader = _Reader(key_lines(text))
    config: Config | None = reader.table(Config, table, ())
    if config is not None:
        config = msgspec.structs.replace(config, folder=folder)
        for key, problem in broken_rules(config):
            reader.blame(tuple(key.split(".")), problem)
    if config is None or reader.mistakes:
        raise ConfigError(name, sorted(reader.mistakes, key=lambda mistake: mistake.line or 0))
    return config


def _override(table: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        inner = table.get(part)
        table[part] = table = inner if isinstance(inner, dict) else {}
    table[path[-1]] = value


def parse_duration(text: str) -> float:
    """Return the seconds that ``"10s"``, ``"5m"``, ``"2h"``, ``"7d"`` or ``"250ms"`` mean. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError('is not a duration such as 10, "10s", "5m", "2h" or "7d"')
    return float(match[1]) * _UNITS[match[2]]


def _check_network(text: str) -> None:
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"is not a network such as 10.0.0.0/8: {error}") from None


def _check_address(text: str) -> None:
    if text:
        split_host_port(text)


def _check_ports(text: str) -> None:
    first, _, last = text.partition("-")
    if not (first.isdigit() and (last or first).isdigit() and 0 < int(first) <= int(last or first) < 65536):
        raise ValueError('is not a port or a range such as "1024-65535"')


def _check_sip_uri(text: str) -> None:
    if not text:
        return
    try:
        valid = re.fullmatch(r"[!-;=?-~]+", text) is not None and Uri.parse(text).is_sip
    except ParseError:
        valid = False
    if not valid:
        raise ValueError("is not a SIP URI")


def _check_msrp_uri(text: str) -> None:
    try:
        valid = MsrpUri.parse(text).transport.lower() in ("tcp", "ws")
    except ParseError:
        valid = False
    if not valid:
        raise ValueError("is not an MSRP URI such as msrps://relay.example:2855;tcp or msrps://relay.example:443;ws")


def _check_http_url(text: str) -> None:
    parts = urlsplit(text)
    if text and (parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment):
        raise ValueError("is not an http or https URL without query")


def _check_content_server(text: str) -> None:
    try:
        if text not in ("own", "off"):
            _check_http_url(text or "-")
    except ValueError:
        raise ValueError('is neither "own" nor "off" nor an http or https URL without query') from None


def _check_media_range(text: str) -> None:
    if not re.fullmatch(r"\*/\*|[a-z0-9!#$&^_.+-]+/([a-z0-9!#$&^_.+-]+|\*)", text):
        raise ValueError('is not a media type or range such as "image/*", in lower case')


def _check_domain(text: str) -> None:
    if text and not _DOMAIN.fullmatch(text):
        raise ValueError("is not a domain name")


def _check_driver(text: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9]*|[A-Za-z_][\w.]*:[A-Za-z_]\w*", text):
        raise ValueError('is neither a driver nor an import path such as "package.module:Class"')


def _check_channel_driver(text: str) -> None:
    if text:
        _check_driver(text)


CHECKS: dict[str, Callable[[str], None]] = {
    "network": _check_network,
    "address": _check_address,
    "ports": _check_ports,
    "sip-uri": _check_sip_uri,
    "msrp-uri": _check_msrp_uri,
    "http-url": _check_http_url,
    "content-server": _check_content_server,
    "media-range": _check_media_range,
    "domain": _check_domain,
    "driver": _check_driver,
    "channel-driver": _check_channel_driver,
}


class _Reader:
    """Turns tables into structs and collects what does not fit."""

    def __init__(self, lines: dict[Key, int]) -> None:
        self.lines = lines
        self.mistakes: list[Mistake] = []

    def blame(self, key: Key, text: str) -> None:
        """Note a mistake at the line of the key, or of the nearest table around it."""
        place = key
        while place and place not in self.lines:
            place = place[:-1]
        self.mistakes.append(Mistake(_dotted(key), self.lines.get(place), text))

    def table(self, kind: type[Any], table: Any, key: Key) -> Any:
        """Return the struct that a table means, or None when something in it is wrong."""
        if not isinstance(table, dict):
            self.blame(key, f"must be a table ([{_dotted(key)}])")
            return None
        before = len(self.mistakes)
        fields = {item.name: item for item in msgspec.structs.fields(kind) if item.name != "folder"}
        for unknown in sorted(set(table) - set(fields)):
            self.blame((*key, unknown), "is no key of this table" if key else "is no table of this file")
        values = {}
        for name, item in fields.items():
            if name in table:
                values[name] = self.value(item.type, table[name], (*key, name))
            elif item.required:
                self.blame((*key, name), "is missing")
        return kind(**values) if len(self.mistakes) == before else None

    def value(self, kind: Any, value: Any, key: Key) -> Any:
        """Return the value of one key, checked."""
        struct = _struct_in(kind)
        if struct is not None and get_origin(kind) is tuple:
            if not isinstance(value, list):
                self.blame(key, f"must be an array of tables ([[{_dotted(key)}]])")
                return None
            return tuple(self.table(struct, item, (*key, number)) for number, item in enumerate(value))
        if struct is not None:
            return self.table(struct, value, key)
        special = _kind_of(kind)
        try:
            if special == "duration" and isinstance(value, str):
                value = parse_duration(value)
            _check_choice(value, kind)
            result = msgspec.convert(value, kind)
            for item in result if isinstance(result, tuple) else (result,):
                if isinstance(item, str):
                    _check_text(item, special)
        except msgspec.ValidationError as error:
            self.blame(key, _in_words(error, kind))
            return None
        except ValueError as error:
            self.blame(key, str(error))
            return None
        return result


def _check_choice(value: Any, kind: Any) -> None:
    while get_origin(kind) in (tuple, Annotated):
        kind = get_args(kind)[0]
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    for item in value if isinstance(value, list) else (value,):
        if choices and isinstance(item, str) and item not in choices:
            raise ValueError(f"{item!r} is none of {', '.join(choices)}")


def _check_text(text: str, special: str | None) -> None:
    if _CONTROL.search(text):
        raise ValueError("must not hold control characters")
    if special in CHECKS:
        CHECKS[special](text)


def _struct_in(kind: Any) -> type[Section] | None:
    """Return the struct that a type is, or a tuple of which it is."""
    if get_origin(kind) is tuple:
        kind = get_args(kind)[0]
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _kind_of(kind: Any) -> str | None:
    """Return what the ``extra`` of a type's Meta calls it."""
    if get_origin(kind) is tuple:
        kind = get_args(kind)[0]
    for meta in getattr(kind, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta) and meta.extra:
            return str(meta.extra["kind"])
    return None


def _in_words(error: msgspec.ValidationError, kind: Any) -> str:
    """Return what msgspec says in the form that the other mistakes have."""
    text = str(error).partition(" - at `")[0]
    if "matching regex" in text:
        metas = getattr(get_args(kind)[0] if get_origin(kind) is tuple else kind, "__metadata__", ())
        form = next((meta.description for meta in metas if meta.description), None)
        return f"is not {form}" if form else text
    return misfit(text) or f"{text[:1].lower()}{text[1:]}"


def _dotted(key: Key) -> str:
    text = ""
    for part in key:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


_NAME = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_NAMES = rf"{_NAME}(?:[ \t]*\.[ \t]*{_NAME})*"
_TOKEN = re.compile(
    rf"""
      (?P<skip>\#[^\n]* | \"\"\"(?:\\.|[^\\])*?\"\"\" | '''.*?''' | "(?:\\.|[^"\\\n])*"(?!\s*[.=])
    | '[^'\n]*'(?!\s*[.=]))
    | (?P<open>(?<![^\n])[ \t]*\[\[?)[ \t]*(?P<header>{_NAMES})[ \t]*\]\]?
    | (?<![^\n])[ \t]*(?P<key>{_NAMES})[ \t]*=
    | (?P<newline>\n)
    """,
    re.VERBOSE | re.DOTALL,
)


def key_lines(text: str) -> dict[Key, int]:
    """Return the line of every table and key of a TOML text that :mod:`tomllib` accepts.

    Keys inside inline tables are not told apart; a mistake there is blamed on the key that holds the table.
    """
    lines: dict[Key, int] = {}
    counts: dict[Key, int] = {}
    table: Key = ()
    line, end = 1, 0
    for match in _TOKEN.finditer(text):
        line += text.count("\n", end, match.start())
        end = match.start()
        if match["header"]:
            table = _header(match["header"], match["open"].strip() == "[[", counts)
            lines.setdefault(table, line)
        elif match["key"]:
            lines.setdefault((*table, *_parts(match["key"])), line)
    return lines


def _header(text: str, array: bool, counts: dict[Key, int]) -> Key:
    """Return the key of a table header; a part that names an array of tables is followed by its latest number."""
    key: Key = ()
    parts = _parts(text)
    for place, part in enumerate(parts):
        key = (*key, part)
        if array and place == len(parts) - 1:
            counts[key] = counts.get(key, -1) + 1
        if key in counts:
            key = (*key, counts[key])
    return key


def _parts(text: str) -> list[str]:
    return [part.strip("\"'") for part in re.findall(_NAME, text)]
