"""A ladder as text: a line a message, a column an actor."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from gateway.lab.ladder import Arrow, Ladder

TIME_WIDTH = 9
LEAST_COLUMN = 10
LEAST_LABEL = 30
HEADER_EVERY = 40
"""Lines after which the names of the actors are repeated."""

SHAFTS = {"SIP": "─", "MSRP": "═", "HTTP": "┄", "SMTP": "·"}
ASCII = str.maketrans("│├┤─═┄·▶◀┼╪×…↻", "|||-=~.><++x~@")


@dataclass(slots=True)
class _Columns:
    """Where the life lines stand."""

    actors: list[str]
    width: int
    step: int = field(init=False)
    label: int = field(init=False)

    def __post_init__(self) -> None:
        names = max([LEAST_COLUMN, *(len(actor) + 2 for actor in self.actors)])
        room = (self.width - TIME_WIDTH - LEAST_LABEL) // max(len(self.actors), 1)
        self.step = max(LEAST_COLUMN, min(names, room))
        self.label = TIME_WIDTH + self.step * len(self.actors) + 1

    def place(self, actor: str) -> int:
        return TIME_WIDTH + self.step // 2 + self.step * self.actors.index(actor)

    def header(self) -> str:
        row = " " * TIME_WIDTH + "".join(actor[: self.step - 1].center(self.step) for actor in self.actors)
        return row.rstrip()

    def row(self, at: float) -> list[str]:
        cells = list(f"{at:8.3f}".ljust(self.label))
        for actor in self.actors:
            cells[self.place(actor)] = "│"
        return cells


def draw(ladder: Ladder, *, width: int = 140, ascii_only: bool = False) -> str:
    """Return the ladder as text with lines of at most ``width`` characters."""
    if not ladder.lines:
        return "nothing was recorded\n"
    columns = _Columns(ladder.actors, width)
    start = ladder.lines[0].at
    rows = [f"0.000 is {datetime.fromtimestamp(start, UTC):%Y-%m-%d %H:%M:%S} UTC    {_legend(ladder)}"]
    for number, line in enumerate(ladder.lines):
        if number % HEADER_EVERY == 0:
            rows.append(columns.header())
        cells = columns.row(line.at - start)
        if isinstance(line, Arrow):
            _draw_arrow(cells, columns, line)
            text = line.label
        else:
            cells[columns.place(line.actor)] = "*"
            text = f"[{line.actor}] {line.text}"
        row = "".join(cells) + text
        rows.append((row if len(row) <= width else row[: width - 1] + "…").rstrip())
    text = "\n".join(rows) + "\n"
    return text.translate(ASCII) if ascii_only else text


def _legend(ladder: Ladder) -> str:
    there = {line.protocol for line in ladder.lines if isinstance(line, Arrow)}
    return "  ".join(f"{name} {shaft * 3}▶" for name, shaft in SHAFTS.items() if name in there)


def _draw_arrow(cells: list[str], columns: _Columns, arrow: Arrow) -> None:
    begin, end = columns.place(arrow.source), columns.place(arrow.target)
    if begin == end:
        cells[begin] = "↻"
        return
    shaft = SHAFTS.get(arrow.protocol, "─")
    low, high = min(begin, end), max(begin, end)
    for place in range(low + 1, high):
        cells[place] = "┼" if cells[place] == "│" else shaft
    cells[begin] = "├" if begin < end else "┤"
    if begin < end:
        cells[end - 1] = "▶"
    else:
        cells[end + 1] = "◀"
