"""Names of files that strangers chose, made fit to be names in a file system and in headers (D-FTM-02)."""

from __future__ import annotations

import re
import unicodedata

MAX_OCTETS = 200
"""UTF-8 octets of a safe name. File systems take 255; who stores a file may add a number or a suffix."""

MAX_SUFFIX = 16
"""UTF-8 octets, with the dot, that are kept behind a name that has to be cut."""

DEFAULT = "file"
"""The name of a file that has none, or none of which anything is left."""

# What means something in a path, in a Windows name or to a shell's globbing. The separators are dealt with before.
_FORBIDDEN = re.compile(r'[<>:"|?*]')
_SEPARATOR = re.compile(r"[/\\]")
# Names of devices in any directory of a Windows system, whatever suffix they have.
_DEVICE = re.compile(r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9\u00b9\u00b2\u00b3])", re.IGNORECASE)
# Control, format (bidirectional overrides are some), surrogates, line and paragraph separators.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Emoji and several scripts need the joiners; they cannot turn text around.
_JOINERS = frozenset("\u200c\u200d")
_EDGES = " .\u00a0"


def safe_name(name: str | None, default: str = DEFAULT) -> str:
    """Return a base name: no directories, nothing invisible, no device, at most :data:`MAX_OCTETS`, never empty.

    Neither begins it with a dot (hidden) nor ends it in a dot or blank (lost on some systems). A safe name stays as
    it is. ``default`` is what becomes of a name of which nothing is left; it must be safe itself.
    """
    text = "".join(character for character in name or "" if _is_visible(character))
    text = _SEPARATOR.split(unicodedata.normalize("NFC", text).rstrip(_EDGES + "/\\"))[-1]
    text = _FORBIDDEN.sub("_", text).strip(_EDGES)
    if _DEVICE.fullmatch(text.partition(".")[0].rstrip(_EDGES)):
        text = f"_{text}"
    return _cut(text) or default


def _is_visible(character: str) -> bool:
    return character in _JOINERS or unicodedata.category(character) not in _INVISIBLE


def _cut(text: str) -> str:
    """Return as much of ``text`` as fits, with its suffix if that is short."""
    octets = text.encode()
    if len(octets) <= MAX_OCTETS:
        return text
    suffix = b"." + octets.rpartition(b".")[2]
    if len(suffix) > MAX_SUFFIX:
        suffix = b""
    stem = octets[: MAX_OCTETS - len(suffix)].decode("utf-8", "ignore").rstrip(_EDGES)
    return stem + suffix.decode()
