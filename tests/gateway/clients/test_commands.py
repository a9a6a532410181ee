"""Lines that begin with a slash."""

from __future__ import annotations

import pytest

from gateway.clients.tui.commands import HELP, Command, parse


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
