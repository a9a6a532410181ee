"""The page as an operator wants it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.config.settings import ClientSection
from gateway.http.brand import MAX_LOGO, brand_files


def test_without_a_word_of_the_operator_it_is_plain() -> None:
    files = brand_files()
    assert files["brand.css"].strip() == b""
    assert json.loads(files["settings.json"]) == {
        "name": "",
        "logo": "",
        "features": ["file", "status", "standalone"],
        "require_online": "no",
    }


def test_name_logo_and_colours(tmp_path: Path) -> None:
    logo = tmp_path / "our.SVG"
    logo.write_bytes(b"<svg/>")
    files = brand_files(ClientSection(name="Läb", accent="#ffcc00", features=()), logo, "client")
    settings = json.loads(files["settings.json"])
    assert settings == {"name": "Läb", "logo": "logo.svg", "features": [], "require_online": "client"}
    assert files["logo.svg"] == b"<svg/>"
    assert files["brand.css"].decode().count("--accent: #ffcc00; --on-accent: #000000") == 2


@pytest.mark.parametrize(
    ("accent", "on_accent"),
    [("#000000", "#ffffff"), ("#0b6bcb", "#ffffff"), ("#ffffff", "#000000"), ("#00ff00", "#000000")],
)
def test_text_on_the_accent_can_be_read(accent: str, on_accent: str) -> None:
    style = brand_files(ClientSection(accent="#123456", accent_dark=accent))["brand.css"].decode()
    assert f"(prefers-color-scheme: dark) {{ :root {{ --accent: {accent}; --on-accent: {on_accent}; }} }}" in style


def test_logos_of_no_use_are_named(tmp_path: Path) -> None:
    text, large = tmp_path / "logo.txt", tmp_path / "logo.png"
    text.write_bytes(b"x")
    large.write_bytes(bytes(MAX_LOGO + 1))
    for logo, words in ((text, "none of"), (large, "more than"), (tmp_path / "gone.png", "No such file")):
        with pytest.raises(ValueError, match=rf"client\.logo: .*{words}"):
            brand_files(logo=logo)
