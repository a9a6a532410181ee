"""A's phone in a terminal, line by line: what comes is printed, what is typed goes out, ``/help`` tells the rest."""

from __future__ import annotations

import time
from contextlib import aclosing

from rich.console import Console

from gateway.lab.inviter import Inviter
from gateway.lab.phone import PhoneEvent
from gateway.lab.phonecommands import PhoneCommands, foreign
from gateway.terminal.stdin import standard_input

NOTICES = {
    "registered": "[green]online[/]",
    "unregistered": "[yellow]offline[/]",
    "registration-failed": "[red]not registered: {text}[/]",
    "cancelled": "{peer} gave up",
    "chat": "[green]chat with {peer}[/]",
    "closed": "[yellow]chat with {peer} is over ({text})[/]",
    "receipt": "[dim]{peer}: {text}[/]",
    "composing": "[dim]{peer} is typing: {text}[/]",
    "page": "[bold]{peer}[/] (page): {text}",
    "file-offered": "[bold]{peer}[/] has a file: {text}",
    "file-sent": "{peer} has the file {text}",
    "file-ended": "[red]the file with {peer} has not arrived: {text}[/]",
}
"""How events look; messages and invitations have functions of their own."""


class Terminal(PhoneCommands):
    """Joins a phone to standard input and output. ``inviter`` None: there is no gateway to invite by."""

    def __init__(self, console: Console | None = None, inviter: Inviter | None = None) -> None:
        super().__init__(inviter)
        self.console = console or Console(highlight=False)

    # output

    def show(self, event: PhoneEvent) -> None:
        """Print an event of the phone; who spoke last is whom typed text goes to."""
        peer, text = foreign(event.peer), foreign(event.text)
        if event.kind == "message":
            self.peer = event.peer
            self.tell(f"[bold cyan]{peer}[/]: {text}")
        elif event.kind == "invited":
            self.peer = event.peer
            self.tell(f"[bold]{peer}[/] wants to chat" + self._hint())
        elif event.kind == "file":
            self.tell(f"the file from {peer} is {foreign(str(self.phone.files.all[event.id].path))}")
        elif event.kind == "sent" and event.text != "sent":
            self.tell(f"[red]not sent: {text}[/]")
        elif event.kind in NOTICES:
            self.tell(NOTICES[event.kind].format(peer=peer, text=text))

    def _hint(self) -> str:
        return " (/accept or /decline)" if self.phone.behaviour.on_invite == "ask" else ""

    def tell(self, markup: str) -> None:
        """Print words with the time."""
        self.console.print(f"[dim]{time.strftime('%H:%M:%S')}[/] {markup}")

    # input

    @property
    def left(self) -> bool:
        """Tell whether ``/quit`` was typed; without it, the end of the input ends nothing but the typing."""
        return self.is_over.is_set()

    async def run(self) -> None:
        """Read lines until ``/quit`` or the end of the input."""
        self.tell(f"{foreign(self.phone.options.aor)}; type a message, or /help")
        async with aclosing(standard_input()) as lines:
            async for line in lines:
                await self.take(line.strip())
                if self.left:
                    break
