"""The ladder of what the phone itself sent and got, while it grows."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import ScrollableContainer
from textual.screen import Screen
from textual.widgets import Footer, Static

from gateway.lab.drawing import draw
from gateway.lab.ladder import Names, build_ladder
from gateway.terminal.text import harmless
from sipstack.flow import HostPort
from sipstack.trace import Record

KEPT = 5000
"""Records that the tape holds: some hundred messages; older ones are forgotten."""

LOOK = 0.5
"""Seconds between looks at the tape."""

LEAST_WIDTH = 100
"""Columns that a ladder needs; a narrower screen scrolls."""


class Tape:
    """The last records of a trace, and who stands at the far ends."""

    def __init__(self, core: HostPort | None = None) -> None:
        self.records: deque[Record] = deque(maxlen=KEPT)
        self.count = 0
        """Of all records ever."""
        self.names: Mapping[HostPort | str, str] = {"SIP": "core", "MSRP": "peer"} | ({core: "core"} if core else {})

    def __call__(self, record: Record) -> None:
        """Keep a record."""
        self.records.append(record)
        self.count += 1


class LadderScreen(Screen[None]):
    """Draws the tape anew when there is more on it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape,f4", "dismiss", "Back"),
        ("s", "states", "States on/off"),
        ("c", "clear", "Begin anew"),
    ]
    CSS = "#ladder { width: auto; }"

    def __init__(self, tape: Tape) -> None:
        super().__init__()
        self._tape = tape
        self._states = False
        self._drawn: tuple[int, int, bool] | None = None

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        with ScrollableContainer(id="scroll"):
            yield Static(id="ladder")
        yield Footer()

    def on_mount(self) -> None:
        """Draw, and look from time to time."""
        self.query_one("#scroll").focus()
        self.set_interval(LOOK, self._draw_if_new)
        self._draw_if_new()

    def _draw_if_new(self) -> None:
        drawn = (self._tape.count, self.size.width, self._states)
        if drawn == self._drawn:
            return
        self._drawn = drawn
        scroll = self.query_one("#scroll", ScrollableContainer)
        at_end = scroll.scroll_offset.y >= scroll.max_scroll_y - 1
        names: Names = self._tape.names
        ladder = build_ladder(self._tape.records, states=self._states, names=names)
        text = draw(ladder, width=max(self.size.width - 2, LEAST_WIDTH))
        self.query_one("#ladder", Static).update(Text(harmless(text)))
        if at_end:
            scroll.scroll_end(animate=False)

    def action_states(self) -> None:
        """Show changes of state, or leave them out."""
        self._states = not self._states
        self._draw_if_new()

    def action_clear(self) -> None:
        """Forget what was recorded."""
        self._tape.records.clear()
        self._drawn = None
        self._draw_if_new()
