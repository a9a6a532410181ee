"""Scripts for A's phone: one step a line, checked whole before the first one is played.

    invite b@example.com as bob   # through the gateway
    wait message like "hello*" from bob
    send "hello, Bob"
    wait receipt displayed within 5
    hangup

The grammar is the table :data:`STEPS`; docs/clients.md explains each step. Words are quoted as in a shell, ``#`` begins
a comment.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.lab.behaviour import Behaviour
from sipstack.errors import ParseError
from sipstack.sip.uri import Uri

STEPS: dict[str, str] = {
    # what is waited for
    "wait": "KIND [TEXT] [like PATTERN] [from WHO] [within SECONDS]",
    "no": "KIND [TEXT] [like PATTERN] [from WHO] [for SECONDS]",
    "forget": "",
    "delay": "SECONDS",
    "timeout": "SECONDS",
    # chats
    "call": "WHO",
    "answer": "[WHO]",
    "decline": "[WHO] [with STATUS]",
    "send": "TEXT [to WHO]",
    "type": "[WHO]",
    "idle": "[WHO]",
    "seen": "[WHO]",
    "hangup": "[WHO]",
    "status": "WHO",
    # files
    "file": "PATH [to WHO] [as NAME]",
    "link": "PATH [to WHO] [as NAME]",
    "same": "PATH",
    # invitations
    "invite": "PERSON [as NAME] [types LIST] [for SECONDS] [note TEXT] [language TAG] [via CHANNEL]",
    "resend": "PERSON",
    "revoke": "PERSON",
    "logout": "",
    # the phone and the script itself
    "online": "",
    "offline": "",
    "set": "KEY VALUE",
    "name": "NAME URI",
    "print": "TEXT",
}
"""Step → its words: ``X`` has to be there, ``[X]`` may, ``[word X]`` may with ``word`` in front."""

REFUSED = "refused"
"""In front of a step, perhaps with a status: it has to be refused."""

KINDS: dict[str, str] = {
    "invited": "somebody wants to chat",
    "cancelled": "they gave up before there was an answer",
    "chat": "a chat is open",
    "closed": "it is over; TEXT is why",
    "message": "a message; TEXT is what it says",
    "typing": "somebody types",
    "idle": "they have stopped",
    "receipt": "what became of a message of ours: TEXT is delivered or displayed",
    "offered": "a file is offered; TEXT is its name",
    "file": "a file is here, whole; TEXT is its name",
    "file-ended": "a file has not come or gone; TEXT is why",
    "invitation": "an invitation of ours has another state: TEXT",
    "delivery": "its link has another state: TEXT",
    "registered": "the phone is online",
    "unregistered": "it is offline",
}
"""What may be waited for."""

MAX_SCRIPT = 100_000
"""Characters of a script: ten times what a person writes."""


_PART = re.compile(r"\[([a-z]+) ([A-Z]+)\]|\[([A-Z]+)\]|([A-Z]+)")


class ScriptError(ValueError):
    """A script can't be read; the text names file, line and mistake."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a script."""

    line: int
    text: str
    """As it is written, without the comment."""
    verb: str
    words: Mapping[str, str]
    """What stands in the places of the usage line: ``TEXT`` and the like; a word in front names the place instead."""
    is_refused: bool = False
    """Whether the step has to be refused."""
    refusal: int | None = None
    """With which status; None: with any."""

    @property
    def who(self) -> str:
        """Return whom the step is about, empty where it does not say."""
        return self["WHO"] or self["to"] or self["from"]

    def __getitem__(self, place: str) -> str:
        """Return what stands in a place, empty where nothing does."""
        return self.words.get(place, "")

    def seconds(self, place: str, default: float) -> float:
        """Return a number of seconds."""
        return float(self.words.get(place, default))


@dataclass(frozen=True, slots=True)
class Script:
    """All steps, and where they were read from: paths in them are relative to that."""

    name: str
    folder: Path
    steps: tuple[Step, ...]


def load(path: Path) -> Script:
    """Read a script from a file. Raise ScriptError; OSError when there is none."""
    return parse(path.read_text(encoding="utf-8", errors="replace"), path.name, path.parent)


def parse(text: str, name: str = "script", folder: Path = Path()) -> Script:
    """Read a script. Raise ScriptError at the first line that makes no sense."""
    if len(text) > MAX_SCRIPT:
        raise ScriptError(f"{name}: longer than {MAX_SCRIPT} characters")
    known: set[str] = set()
    steps = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            words = shlex.split(line, comments=True)
            if words:
                steps.append(_step(number, words, known))
        except ValueError as error:
            raise ScriptError(f"{name}:{number}: {error}") from None
    return Script(name, folder, tuple(steps))


def _step(number: int, words: list[str], known: set[str]) -> Step:
    text = shlex.join(words)
    is_refused, refusal = words[0] == REFUSED, None
    if is_refused:
        words = words[1:]
        if words and words[0].isdigit():
            refusal = int(_status(words[0]))
            words = words[1:]
        if not words:
            raise ValueError(f"{REFUSED} [STATUS] stands in front of a step")
    verb, *rest = words
    if verb not in STEPS:
        raise ValueError(f"there is no step {verb!r}; steps are {', '.join([*STEPS, REFUSED])}")
    step = Step(number, text, verb, _places(verb, rest), is_refused, refusal)
    _check(step, known)
    return step


def _places(verb: str, words: list[str]) -> dict[str, str]:
    """Return the words of a step by their places. Raise ValueError with the usage line when they do not fit."""
    wrong = ValueError(f"write it as: {verb} {STEPS[verb]}".rstrip())
    needed, optional, named = _usage(STEPS[verb])
    if len(words) < len(needed):
        raise wrong
    found, rest = dict(zip(needed, words, strict=False)), words[len(needed) :]
    for place in optional:
        if rest and rest[0] not in named:
            found[place] = rest.pop(0)
    while rest:
        if len(rest) < 2 or rest[0] not in named or rest[0] in found:
            raise wrong
        found[rest[0]] = rest[1]
        rest = rest[2:]
    return found


def _usage(usage: str) -> tuple[list[str], list[str], dict[str, str]]:
    """Return the places of a usage line: needed, optional, and those with a word in front by that word."""
    parts = _PART.findall(usage)
    named = {word: place for word, place, _, _ in parts if word}
    return [place for *_, place in parts if place], [place for _, _, place, _ in parts if place], named


# what stands in the places


def _check(step: Step, known: set[str]) -> None:
    """Raise ValueError when what stands in a place can't be meant."""
    _, _, named = _usage(STEPS[step.verb])
    for place, value in step.words.items():
        check = CHECKS.get(named.get(place, place))
        if check is not None:
            check(value)
        if named.get(place, place) == "WHO" and value not in known:
            _uri(value)
    if step.verb == "set":
        behaviour_change(step)
    elif step.verb == "name":
        known.add(step["NAME"])
    elif step.verb == "invite":
        known |= {step["PERSON"], step["as"]} - {""}


def _uri(text: str) -> None:
    try:
        Uri.parse(text)
    except ParseError:
        raise ValueError(f"{text!r} is nobody: neither a SIP or tel URI nor a name that was given before") from None


def _seconds(text: str) -> None:
    try:
        good = 0 <= float(text) < float("inf")
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"{text!r} is no number of seconds")


def _status(text: str) -> str:
    if not (text.isdigit() and 300 <= int(text) <= 699):
        raise ValueError(f"{text!r} is no status from 300 to 699")
    return text


def _kind(text: str) -> None:
    if text not in KINDS:
        raise ValueError(f"there is nothing like {text!r} to wait for, but {', '.join(KINDS)}")


CHECKS: dict[str, Callable[[str], object]] = {"SECONDS": _seconds, "STATUS": _status, "KIND": _kind, "URI": _uri}
"""Place → what raises ValueError for what can't stand there."""


def behaviour_change(step: Step) -> dict[str, Any]:
    """Return what ``set`` changes, for ``Phone.behave``. Raise ValueError when it makes no sense."""
    key, text = step["KEY"], step["VALUE"]
    if key not in BEHAVIOURS:
        raise ValueError(f"set: there is no {key!r}, but {', '.join(BEHAVIOURS)}")
    try:
        change = {key: BEHAVIOURS[key](text)}
        Behaviour(**change)
    except (ValueError, KeyError):
        raise ValueError(f"set {key}: {text!r} makes no sense") from None
    return change


def _action(text: str) -> str | int:
    return int(text) if text.isdigit() else text


def _count(text: str) -> int | None:
    return None if text == "none" else int(text)


BEHAVIOURS: dict[str, Callable[[str], Any]] = {
    "on_invite": _action,
    "on_message": _action,
    "on_file": _action,
    "receipts": str,
    "files": str,
    "sessions": lambda text: {"yes": True, "no": False}[text],
    "delay": float,
    "cancel_at": _count,
    "cut_after": _count,
}
"""What ``set`` may change → what reads its value."""
