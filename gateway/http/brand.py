"""How an operator makes the guest's page their own: name, logo, colours, and which functions it offers."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.config.settings import ClientSection

LOGO_TYPES = (".svg", ".png", ".webp", ".jpg")
"""What a logo may be."""

MAX_LOGO = 64 * 1024
"""Octets: it is loaded before the first word of a conversation."""


def brand_files(
    client: ClientSection | None = None, logo: Path | None = None, require_online: str = "no"
) -> dict[str, bytes]:
    """Return the files of the page that the configuration makes, by name; without one, those of a plain page.

    Raise ValueError, which names the key, for a logo that is no picture, too large or not readable.
    """
    client = client or ClientSection()
    settings = {"name": client.name, "logo": "", "features": list(client.features), "require_online": require_online}
    files = {"brand.css": _style(client).encode()}
    if logo is not None:
        kind = logo.suffix.lower()
        settings["logo"] = f"logo{kind}"
        files[f"logo{kind}"] = _read_logo(logo, kind)
    files["settings.json"] = json.dumps(settings, ensure_ascii=False).encode()
    return files


def _read_logo(logo: Path, kind: str) -> bytes:
    if kind not in LOGO_TYPES:
        raise ValueError(f"client.logo: {logo.name} is none of {', '.join(LOGO_TYPES)}")
    try:
        content = logo.read_bytes()
    except OSError as error:
        raise ValueError(f"client.logo: {logo}: {error.strerror}") from error
    if len(content) > MAX_LOGO:
        raise ValueError(f"client.logo: {logo.name} has more than {MAX_LOGO} octets")
    return content


def _style(client: ClientSection) -> str:
    """Return the colours: text on the accent is black or white, whichever can be read on it (WCAG 2.2, 1.4.3)."""
    rules = []
    for scheme, accent in (("light", client.accent), ("dark", client.accent_dark or client.accent)):
        if accent:
            colours = f"--accent: {accent}; --on-accent: {_readable_on(accent)}"
            rules.append(f"@media (prefers-color-scheme: {scheme}) {{ :root {{ {colours}; }} }}")
    return "\n".join(rules) + "\n"


def _readable_on(colour: str) -> str:
    return "#000000" if _luminance(colour) > 0.179 else "#ffffff"


def _luminance(colour: str) -> float:
    """Return the relative luminance of ``#rrggbb``, 0 to 1."""
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
