"""File names of strangers: D-FTM-02."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipstack.filename import MAX_OCTETS, safe_name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("notes.txt", "notes.txt"),
        ("Übersicht für João.pdf", "Übersicht für João.pdf"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/etc/", "etc"),
        ("C:\\temp\\x.txt", "x.txt"),
        ("a:b|c?.txt", "a_b_c_.txt"),
        ('a"b.txt', "a_b.txt"),
        (".bashrc", "bashrc"),
        ("..", "file"),
        (" . ", "file"),
        ("", "file"),
        (None, "file"),
        ("name. ", "name"),
        ("a\r\nX: y\x00.txt", "aX: y.txt".replace(":", "_")),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("\u2066a\u2069\ufeff.txt", "a.txt"),
        ("👩\u200d🚀.png", "👩\u200d🚀.png"),
        ("e\u0301.txt", "é.txt"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("Com1 .tar.gz", "_Com1 .tar.gz"),
        ("LPT\u00b9.x", "_LPT\u00b9.x"),
        ("console.log", "console.log"),
        ("\ud800", "file"),
    ],
)
def test_names_are_made_safe(name: str | None, safe: str) -> None:
    """D-FTM-02: path parts, control and turning characters, devices."""
    assert safe_name(name) == safe


def test_a_long_name_keeps_a_short_suffix() -> None:
    """D-FTM-02: limited in octets, never in the middle of a character."""
    assert safe_name("é" * 300 + ".jpeg") == "é" * 97 + ".jpeg"
    assert safe_name("a" * 300 + "." + "b" * 40) == "a" * MAX_OCTETS
    assert safe_name("x" + " " * 300 + "y") == "x"


def test_the_default_is_the_callers_choice() -> None:
    """D-FTM-02: never empty."""
    assert safe_name("/", "photo.jpg") == "photo.jpg"


@given(st.text(max_size=300) | st.text("./\\:\u202eCONcon1 \u0301a", max_size=20))
def test_whatever_comes_a_safe_name_comes_out_and_stays(name: str) -> None:
    """D-FTM-02: the promises of the docstring."""
    safe = safe_name(name)
    assert safe == safe_name(safe)
    assert 0 < len(safe.encode()) <= MAX_OCTETS
    assert not set(safe) & set('/\\:"\r\n\x00\u202e')
    assert safe[0] != "." and safe[-1] not in " ."
