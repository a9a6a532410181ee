"""The part of the screen that scrolls: messages and files of one conversation."""

from __future__ import annotations

from rich.text import Text
from textual.containers import VerticalScroll
from textual.widgets import Static

from gateway.clients.book import Conversation
from gateway.clients.tui import render

SHOWN = 300
"""Lines on the screen; older ones come when they are asked for."""


class Lines(VerticalScroll):
    """Shows one conversation and changes only what has changed."""

    can_focus = True

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.limit = SHOWN
        self._uid = ""
        self._shown: dict[str, tuple[Static, str]] = {}
        """Key of a line → its place on the screen, and what stands there."""

    async def show(self, conversation: Conversation) -> None:
        """Bring the screen to what the conversation is now; stay at the end if the reader is there."""
        at_end = self.scroll_offset.y >= self.max_scroll_y - 2
        wanted = _texts(conversation)[-self.limit :]
        if conversation.uid != self._uid or [key for key, _ in wanted][: len(self._shown)] != list(self._shown):
            await self.remove_children()
            self._shown, self._uid, at_end = {}, conversation.uid, True
        fresh = []
        for key, text in wanted:
            known = self._shown.get(key)
            if known is None:
                place = Static(text)
                fresh.append(place)
            elif known[1] == text.markup:
                continue
            else:
                place = known[0]
                place.update(text)
            self._shown[key] = place, text.markup
        if fresh:
            await self.mount_all(fresh)
        if at_end:
            self.scroll_end(animate=False)


def _texts(conversation: Conversation) -> list[tuple[str, Text]]:
    """Return messages and files by time, each with a key that stays the same."""
    items: list[tuple[str, str, Text]] = [
        (line.at, f"message {key}", render.line_text(line, conversation.name))
        for key, line in conversation.lines.items()
    ]
    items += [
        (view.at, f"file {view.id}", render.file_text(view, number, conversation.name))
        for number, view in enumerate(conversation.files.values(), 1)
    ]
    items.sort(key=lambda item: item[0])
    return [(key, text) for _, key, text in items]
