"""What may be typed instead of a message: lines that begin with a slash."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

HELP = """\
/file PATH          send a file
/save N [PATH]      save file number N here, or as PATH
/accept N           take a file that is offered
/cancel N           cancel, decline or delete a file
/again              send what failed once more
/status             ask whether the other side is online
/logout             log out: your invitations end, the link will not work again
/quit               leave; the link opens the conversation again
//text              a message that begins with a slash"""

ARGUMENTS = {
    "file": (1, 1),
    "save": (1, 2),
    "accept": (1, 1),
    "cancel": (1, 1),
    "again": (0, 0),
    "status": (0, 0),
    "logout": (0, 0),
    "quit": (0, 0),
    "help": (0, 0),
}
"""Command → fewest and most arguments."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command with what stands behind it."""

    name: str
    arguments: tuple[str, ...] = ()

    @property
    def number(self) -> int:
        """Return the first argument as a number. Raise ValueError with words for a person."""
        if not self.arguments[0].isdigit():
            raise ValueError(f"/{self.name}: {self.arguments[0]!r} is no number of a file")
        return int(self.arguments[0])


def parse(text: str) -> Command | str:
    """Return a command, or the message to send. Raise ValueError with words for a person."""
    if not text.startswith("/") or text.startswith("//"):
        return text.removeprefix("/") if text.startswith("//") else text
    name, _, rest = text[1:].partition(" ")
    limits = ARGUMENTS.get(name)
    if limits is None:
        raise ValueError(f"there is no /{name}; /help tells what there is")
    try:
        arguments = tuple(shlex.split(rest))
    except ValueError as error:
        raise ValueError(f"/{name}: {error}") from None
    if not limits[0] <= len(arguments) <= limits[1]:
        raise ValueError(f"/{name} does not go like that; /help tells how")
    return Command(name, arguments)
