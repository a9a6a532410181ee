"""Lines that begin with a slash, and text that must not harm a terminal."""

from __future__ import annotations

import pytest

from gateway.clients.tui.commands import HELP, Command, parse
from gateway.clients.tui.render import amount, clock, harmless


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("hello /file", "hello /file"),
        ("//file x", "/file x"),
        ("/quit", Command("quit")),
        ("/file 'my photo.jpg'", Command("file", ("my photo.jpg",))),
        ("/save 2", Command("save", ("2",))),
        ("/save 2 /tmp/x", Command("save", ("2", "/tmp/x"))),
    ],
)
def test_commands(typed: str, meant: Command | str) -> None:
    assert parse(typed) == meant


@pytest.mark.parametrize(
    ("typed", "words"),
    [("/dance", "there is no /dance"), ("/file", "how"), ("/quit now", "how"), ("/file 'x", "quotation")],
)
def test_mistakes_are_named(typed: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse(typed)


def test_numbers() -> None:
    assert Command("save", ("12",)).number == 12
    with pytest.raises(ValueError, match="/save: 'x' is no number"):
        _ = Command("save", ("x",)).number


def test_every_command_is_in_the_help() -> None:
    from gateway.clients.tui.commands import ARGUMENTS

    assert all(f"/{name}" in HELP for name in ARGUMENTS if name != "help")


def test_controls_never_reach_the_terminal() -> None:
    text = "a\x1b[2Jb\x9b31mc\u202edoc\u202c\tx\ny\x00"
    assert harmless(text) == "a\ufffd[2Jb\ufffd31mc\ufffddoc\ufffd x\ny\ufffd"
    assert harmless("héllo 你好 👩\u200d💻 שלום") == "héllo 你好 👩\u200d💻 שלום"


def test_amounts_and_times() -> None:
    assert [amount(n) for n in (0, 999, 1000, 12_345, 999_999, 2_500_000, 3 * 10**9)] == [
        "0 B", "999 B", "1.0 kB", "12.3 kB", "1000 kB", "2.5 MB", "3.0 GB",
    ]  # fmt: skip
    assert len(clock("2026-03-01T09:30:00.000Z")) == 5
    assert clock("soon").strip() == ""
