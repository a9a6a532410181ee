"""The part of the screen that scrolls: what was said in one conversation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from rich.text import Text
from textual.containers import VerticalScroll
from textual.widgets import Static

SHOWN = 300
"""Lines on the screen; older ones come when they are asked for."""


class Lines(VerticalScroll):
    """Shows one conversation and changes only what has changed."""

    can_focus = True

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.limit = SHOWN
        self._key = ""
        self._follows = True
        self._shown: dict[str, tuple[Static, str]] = {}
        """Key of a line → its place on the screen, and what stands there."""

    def follow(self) -> None:
        """Go to the end at the next :meth:`show`, wherever the reader is."""
        self._follows = True

    async def show(self, key: str, texts: Sequence[tuple[str, Text]]) -> None:
        """Bring the screen to what the conversation ``key`` is now; stay at the end if the reader is there.

        ``texts`` are in order, each with a key of its own that stays the same.
        """
        at_end = self._follows or key != self._key or self.scroll_offset.y >= self.max_scroll_y - 2
        self._follows = False
        wanted = dict(texts[-self.limit :])
        await self._keep([] if key != self._key else [*wanted])
        self._key = key
        fresh = []
        for name, text in wanted.items():
            known = self._shown.get(name)
            if known is None:
                place = Static(text)
                fresh.append(place)
            elif known[1] == text.markup:
                continue
            else:
                place = known[0]
                place.update(text)
            self._shown[name] = place, text.markup
        if fresh:
            await self.mount_all(fresh)
        if at_end:
            self.scroll_end(animate=False)

    async def _keep(self, names: Sequence[str]) -> None:
        """Take away lines that are too old, and all from the first that is not the one wanted in its place."""
        wanted = set(names)
        old = [*takewhile(lambda name: name not in wanted, self._shown)]
        rest = [*self._shown][len(old) :]
        same = len([*takewhile(lambda pair: pair[0] == pair[1], zip(rest, names, strict=False))])
        gone = [self._shown.pop(name)[0] for name in old + rest[same:]]
        if gone:
            await self.remove_children(gone)
