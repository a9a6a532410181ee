"""A ladder as a Mermaid sequence diagram, for pages that draw such."""

from __future__ import annotations

import re

from gateway.lab.ladder import Arrow, Ladder

_SPECIAL = re.compile(r"[#;<>{}\"&%\\]")
"""Characters that mean something to Mermaid, or to the HTML that it makes."""


def as_mermaid(ladder: Ladder) -> str:
    """Return the diagram. Arrows of MSRP are dotted; times are milliseconds since the first message."""
    names = {actor: f"p{number}" for number, actor in enumerate(ladder.actors)}
    lines = ["sequenceDiagram"]
    lines += [f"  participant {name} as {escape(actor)}" for actor, name in names.items()]
    start = ladder.lines[0].at if ladder.lines else 0.0
    for line in ladder.lines:
        after = f"{(line.at - start) * 1000:.0f} ms"
        if isinstance(line, Arrow):
            shaft = "-->>" if line.protocol == "MSRP" else "->>"
            lines.append(f"  {names[line.source]}{shaft}{names[line.target]}: {escape(line.label)} ({after})")
        else:
            lines.append(f"  Note over {names[line.actor]}: {escape(line.text)} ({after})")
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Return text that is nothing but text to Mermaid: what may mean more stands as a number."""
    return _SPECIAL.sub(lambda match: f"#{ord(match[0])};", " ".join(text.split()))
