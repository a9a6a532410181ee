"""Draws docs/states.md from the tables of the SIP machines.

python scripts/draw_states.py            writes the page
python scripts/draw_states.py --check    fails if the page isn't what the tables say
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import TypeVar

PROJECT = Path(__file__).resolve().parent.parent
PAGE = PROJECT / "docs" / "states.md"
sys.path.insert(0, str(PROJECT))

from sipstack.sip.registration_states import REGISTRATION, RegistrationState  # noqa: E402  (needs the path above)
from sipstack.sip.states import BEGINNINGS, TABLES, State  # noqa: E402
from sipstack.sip.subscription_states import SUBSCRIPTION, SubscriptionState  # noqa: E402

StateT = TypeVar("StateT", bound=Enum)
InputT = TypeVar("InputT", bound=Enum)
EffectT = TypeVar("EffectT", bound=Enum)

Row = tuple[Enum, Enum, tuple[Enum, ...], Enum]
"""State, input, effects, next state."""

HEAD = """\
# State machines of SIP

Drawn by `scripts/draw_states.py` from the tables in `sipstack/sip/states.py`, `sipstack/sip/registration_states.py` and
`sipstack/sip/subscription_states.py`; change those, not this page. An arrow reads *input / effects*. The four
transactions are those of RFC 3261 section 17 with the corrections of RFC 6026 and RFC 4320, the subscription is that of
RFC 6665 section 4.1. What a machine ignores is listed below its diagram; what is neither drawn
nor listed is an error.
"""


def rows_of(table: Mapping[tuple[StateT, InputT], tuple[tuple[EffectT, ...], StateT]]) -> list[Row]:
    """Return the rows of a table in its order."""
    return [(state, event, effects, following) for (state, event), (effects, following) in table.items()]


def draw(title: str, beginning: Enum, rows: Iterable[Row], end: Enum | None) -> str:
    """Return one section: the diagram, and what is ignored where."""
    lines = [f"## {title}", "", "```mermaid", "stateDiagram-v2", f"    [*] --> {beginning.value}"]
    ignored: dict[str, list[str]] = {}
    for state, event, effects, following in rows:
        if not effects and state is following:
            ignored.setdefault(state.value, []).append(event.value)
            continue
        label = event.value
        if effects:
            label += " / " + ", ".join(effect.value for effect in effects)
        lines.append(f"    {state.value} --> {following.value}: {label}")
    if end is not None:
        lines.append(f"    {end.value} --> [*]")
    lines += ["```", ""]
    if ignored:
        lines += ["Ignored:", ""]
        lines += [f"- {state}: {', '.join(events)}" for state, events in ignored.items()]
        lines.append("")
    return "\n".join(lines)


def page() -> str:
    """Return the whole page."""
    sections = [draw(name, BEGINNINGS[name], rows_of(table), State.TERMINATED) for name, table in TABLES.items()]
    sections.append(draw("Registration", RegistrationState.UNREGISTERED, rows_of(REGISTRATION), None))
    sections.append(draw("Subscription", SubscriptionState.INIT, rows_of(SUBSCRIPTION), SubscriptionState.ENDED))
    return "\n".join([HEAD, *sections])


def main(arguments: list[str]) -> int:
    """Write the page, or compare it; return the exit status."""
    text = page()
    if arguments != ["--check"]:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print(f"{PAGE.relative_to(PROJECT)} is not what the tables say: run scripts/draw_states.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
