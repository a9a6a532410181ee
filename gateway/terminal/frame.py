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
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Footer, Input, ListItem, ListView, Static

from gateway.terminal.lines import SHOWN, Lines
from gateway.terminal.text import harmless

T = TypeVar("T")

MAX_ENTRY = 10_000
"""Characters that may be typed at once."""


class HelpScreen(ModalScreen[None]):
    """A text that may be longer than the screen."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,f1,q,enter", "dismiss", "Back")]

    def __init__(self, text: str | Text) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        with VerticalScroll(id="help"):
            yield Static(self._text, markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Let the arrow keys scroll."""
        self.query_one("#help").focus()


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
        # the parts of the screen: another screen may lie on top when they change
        self._me = Static(id="me")
        self._list = ListView(id="people")
        self._head = Static(id="head")
        self._lines = Lines(id="lines")
        self._notice = Static(id="notice")
        self._entry = Input(placeholder="Message, or /help", id="entry", max_length=MAX_ENTRY)
        # what is to be drawn
        self._changed = asyncio.Event()
        self._people: dict[str, Static] = {}
        """Key → place in the list, in its order."""
        self._wanted = ""
        """Key of who is to be shown next."""

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        with Horizontal():
            with Vertical(id="side"):
                yield self._me
                yield self._list
            with Vertical():
                yield self._head
                yield self._lines
                yield self._notice
                yield self._entry
        yield Footer()

    def on_mount(self) -> None:
        """Begin when the screen is there."""
        self._entry.focus()
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

    def help(self) -> str | Text:
        """Return what may be typed."""
        return ""

    # what it is told

    def changed(self) -> None:
        """Have the screen drawn anew, once however often this is called before."""
        self._changed.set()

    def notice(self, words: str | Text) -> None:
        """Say something about the whole, in place of what was said before."""
        self._notice.update(harmless(words) if isinstance(words, str) else words)

    @work(group="draw")
    async def _draw(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self.show()

    async def show_people(self, people: Iterable[tuple[str, Text]]) -> None:
        """List people by their keys, new ones at the end; the first becomes the current one where there was none."""
        for key, text in people:
            place = self._people.get(key)
            if place is None:
                place = self._people[key] = Static(text)
                await self._list.append(ListItem(place, name=key))
            else:
                place.update(text)
            self.current = self.current or key
        if self._wanted in self._people:
            self._list.index = [*self._people].index(self._wanted)
            self._wanted = ""

    def show_me(self, me: Text) -> None:
        """Say whose screen it is."""
        self._me.update(me)

    async def show_conversation(self, head: Text, lines: Sequence[tuple[str, Text]]) -> None:
        """Show the current person's conversation."""
        self._head.update(head)
        await self._lines.show(self.current, lines)

    # keys

    def choose(self, key: str) -> None:
        """Go to a person, as soon as they are listed."""
        self._wanted = key
        self.changed()

    @on(ListView.Highlighted, "#people")
    def _chosen(self, event: ListView.Highlighted) -> None:
        if event.item is not None and event.item.name and event.item.name != self.current:
            self.current = event.item.name
            self.changed()

    def action_next(self) -> None:
        """Go to the next conversation, and from the last to the first."""
        self._list.index = ((self._list.index or 0) + 1) % max(1, len(self._list))

    @property
    def limit(self) -> int:
        """How many lines of a conversation are shown, the newest: a client need not make more."""
        return self._lines.limit

    def more_lines(self) -> None:
        """Let the conversation show older lines."""
        self._lines.limit += SHOWN
        self.changed()

    async def action_help(self) -> None:
        """Say what may be typed."""
        await self.cover(HelpScreen(self.help()))

    async def cover(self, screen: Screen[None]) -> None:
        """Lay another screen over the conversation until it is dismissed."""
        await self.push_screen(screen, lambda _: self.changed())

    @property
    def is_looked_at(self) -> bool:
        """Whether the conversation is what somebody has before them."""
        return self.app_focus and len(self.screen_stack) == 1

    def on_app_focus(self) -> None:
        """Take that somebody looks at the terminal again."""
        self.changed()

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
        self._entry.clear()
        self._lines.follow()
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
        if isinstance(error, OSError) and error.filename and error.strerror:
            return f"{error.filename}: {error.strerror}"
        return str(error)
