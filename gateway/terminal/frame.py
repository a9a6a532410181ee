"""The screen of a chat client: people on the left, one conversation on the right, a line to type in."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from rich.text import Text
from textual import on, work
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Footer, Input, ListItem, ListView, Static

from gateway.terminal.lines import SHOWN, Lines
from gateway.terminal.text import harmless

T = TypeVar("T")

MAX_ENTRY = 10_000
"""Characters that may be typed at once."""


class ChatFrame(App[str]):
    """What both terminals look like. A client fills in :meth:`begin`, :meth:`show`, :meth:`entered` and the like.

    The value that :meth:`run` returns says why it ended.
    """

    CSS_PATH = Path(__file__).with_name("frame.tcss")
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        ("f1", "help", "Help"),
        ("ctrl+n", "next", "Next conversation"),
        ("ctrl+q", "quit", "Leave"),
    ]
    FAILURES: ClassVar[tuple[type[Exception], ...]] = (OSError,)
    """What may go wrong with what a person asks for: it is said on the screen."""

    def __init__(self) -> None:
        super().__init__()
        self.current = ""
        """Key of the person whose conversation is shown; empty before there is one."""
        self._changed = asyncio.Event()

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        with Horizontal():
            yield ListView(id="people")
            with Vertical():
                yield Static(id="head")
                yield Lines(id="lines")
                yield Static(id="notice")
                yield Input(placeholder="Message, or /help", id="entry", max_length=MAX_ENTRY)
        yield Footer()

    def on_mount(self) -> None:
        """Begin when the screen is there."""
        self.query_one("#entry").focus()
        self._draw()
        self.begin()

    # what a client fills in

    def begin(self) -> None:
        """Start living."""

    async def show(self) -> None:
        """Bring the screen to what is known now. Called by one task only, after :meth:`changed`."""

    def entered(self, text: str) -> None:
        """Take a line that was typed. Raise ValueError, with words for a person, to leave it there."""

    def typing(self) -> None:
        """Take that a message is being typed."""

    def help(self) -> str:
        """Return what may be typed."""
        return ""

    # what it is told

    def changed(self) -> None:
        """Have the screen drawn anew, once however often this is called before."""
        self._changed.set()

    def notice(self, words: str | Text) -> None:
        """Say something about the whole, in place of what was said before."""
        self.query_one("#notice", Static).update(harmless(words) if isinstance(words, str) else words)

    @work(group="draw")
    async def _draw(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self.show()

    async def show_people(self, people: Iterable[tuple[str, Text]]) -> None:
        """List people by their keys; the first becomes the current one where there was none."""
        listed = self.query_one("#people", ListView)
        for key, text in people:
            found = listed.query(f"#{_id(key)}")
            if found:
                found.only_one(ListItem).query_one(Static).update(text)
            else:
                await listed.append(ListItem(Static(text), id=_id(key), name=key))
            if not self.current:
                self.current = key
                listed.index = 0

    async def show_conversation(self, head: Text, lines: Sequence[tuple[str, Text]]) -> None:
        """Show the current person's conversation."""
        self.query_one("#head", Static).update(head)
        await self.query_one(Lines).show(self.current, lines)

    # keys

    def choose(self, key: str) -> None:
        """Go to a person who is listed; nothing happens where they are not."""
        listed = self.query_one("#people", ListView)
        for index, item in enumerate(listed.query(ListItem)):
            if item.name == key:
                listed.index = index

    @on(ListView.Highlighted, "#people")
    def _chosen(self, event: ListView.Highlighted) -> None:
        if event.item is not None and event.item.name and event.item.name != self.current:
            self.current = event.item.name
            self.changed()

    def action_next(self) -> None:
        """Go to the next conversation, and from the last to the first."""
        listed = self.query_one("#people", ListView)
        listed.index = ((listed.index or 0) + 1) % max(1, len(listed))

    def more_lines(self) -> None:
        """Let the conversation show older lines."""
        self.query_one(Lines).limit += SHOWN
        self.changed()

    def action_help(self) -> None:
        """Say what may be typed."""
        self.notice(self.help())

    @on(Input.Changed, "#entry")
    def _typing(self, event: Input.Changed) -> None:
        if self.current and event.value and not event.value.startswith("/"):
            self.typing()

    @on(Input.Submitted, "#entry")
    def _entered(self, event: Input.Submitted) -> None:
        self.notice("")
        try:
            self.entered(event.value.strip())
        except ValueError as error:
            self.notice(str(error))
            return
        event.input.clear()
        self.query_one(Lines).follow()
        self.changed()

    # doing

    def do(self, call: Coroutine[Any, Any, object]) -> None:
        """Do something beside the screen; what goes wrong is said there."""
        self.run_worker(self.attempt(call), group="calls")

    async def attempt(self, call: Coroutine[Any, Any, T]) -> T | None:
        """Await something; where it goes wrong, say so and return None."""
        try:
            return await call
        except self.FAILURES as error:
            self.notice(self.explain(error))
            return None

    def explain(self, error: Exception) -> str:
        """Return what went wrong, in words for a person."""
        return str(error)


def _id(key: str) -> str:
    """Return a widget's id for any key."""
    return "person-" + key.encode().hex()
