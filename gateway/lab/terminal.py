"""A's phone in a terminal: what comes is printed, what is typed goes out, ``/help`` tells the rest."""

from __future__ import annotations

import asyncio
import mimetypes
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.lab.inviter import InviteFailed, Inviter
from gateway.lab.phone import Phone, PhoneEvent, explain
from gateway.lab.phonefiles import UNTYPED
from sipstack.errors import ParseError, SipstackError
from sipstack.sip.uri import Uri

Command = Callable[[str], Awaitable[None]]

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


class Terminal:
    """Joins a phone to standard input and output. ``inviter`` None: there is no gateway to invite by."""

    def __init__(self, console: Console | None = None, inviter: Inviter | None = None) -> None:
        self.phone: Phone
        self.console = console or Console(highlight=False)
        self.peer = ""
        """Whom typed text goes to: who spoke last, or was chosen with /to."""
        self._inviter = inviter
        self._done = asyncio.Event()
        self._commands: dict[str, tuple[Command, str, str]] = {
            "help": (self._help, "", "this list"),
            "to": (self._to, "URI", "talk to somebody; a chat opens with the first message"),
            "accept": (self._accept, "[URI]", "accept an invitation to a chat, or a file"),
            "decline": (self._decline, "[URI]", "refuse it with 603"),
            "file": (self._file, "PATH", "send a file over MSRP"),
            "link": (self._link, "PATH", "leave a file on the content server and send its link"),
            "files": (self._files, "", "files that came and went"),
            "busy": (self._busy, "[URI]", "refuse it with 486"),
            "hangup": (self._hang_up, "[URI]", "end a chat"),
            "chats": (self._chats, "", "chats and invitations"),
            "status": (self._status, "URI", "ask by OPTIONS whether somebody is online"),
            "invite": (self._invite, "E-MAIL or NUMBER [note]", "invite a person through the gateway"),
            "invitations": (self._invitations, "", "whom I invited"),
            "revoke": (self._revoke, "ACCOUNT", "end my invitation"),
            "logout": (self._log_out, "", "end all my invitations"),
            "auto": (self._auto, "on|off", "accept chats by itself and repeat what is said"),
            "online": (self._online, "", "register"),
            "offline": (self._offline, "", "end chats and registration"),
            "quit": (self._quit, "", "leave"),
        }

    # output

    def show(self, event: PhoneEvent) -> None:
        """Print an event of the phone."""
        if event.kind == "message":
            self.peer = event.peer
            self._print(f"[bold cyan]{escape(event.peer)}[/]: {escape(event.text)}")
        elif event.kind == "invited":
            self.peer = event.peer
            self._print(f"[bold]{escape(event.peer)}[/] wants to chat" + self._hint())
        elif event.kind == "file":
            self._print(f"the file from {escape(event.peer)} is {escape(str(self.phone.files.all[event.id].path))}")
        elif event.kind == "sent" and event.text != "sent":
            self._print(f"[red]not sent: {escape(event.text)}[/]")
        elif event.kind in NOTICES:
            self._print(NOTICES[event.kind].format(peer=escape(event.peer), text=escape(event.text)))

    def _hint(self) -> str:
        return " (/accept or /decline)" if self.phone.behaviour.on_invite == "ask" else ""

    def _print(self, text: str) -> None:
        self.console.print(f"[dim]{time.strftime('%H:%M:%S')}[/] {text}")

    # input

    @property
    def left(self) -> bool:
        """Tell whether ``/quit`` was typed; without it, the end of the input ends nothing but the typing."""
        return self._done.is_set()

    async def run(self) -> None:
        """Read lines until ``/quit`` or the end of the input."""
        loop = asyncio.get_running_loop()
        lines: asyncio.Queue[str | None] = asyncio.Queue()

        def read() -> None:
            for line in sys.stdin:
                loop.call_soon_threadsafe(lines.put_nowait, line)
            loop.call_soon_threadsafe(lines.put_nowait, None)

        # A daemon: a thread that waits for a line can't be told to stop.
        threading.Thread(target=read, name="stdin", daemon=True).start()
        self._print(f"{escape(self.phone.options.aor)}; type a message, or /help")
        while not self._done.is_set() and (line := await lines.get()) is not None:
            await self.take(line.strip())

    async def take(self, line: str) -> None:
        """Carry out one line; what goes wrong is printed."""
        if not line:
            return
        try:
            if line.startswith("/"):
                name, _, rest = line[1:].partition(" ")
                command = self._commands.get(name)
                if command is None:
                    self._print(f"[red]no command /{escape(name)}[/]; /help lists them")
                    return
                await command[0](rest.strip())
            else:
                await self._say(line)
        except (SipstackError, InviteFailed, aiohttp.ClientError, TimeoutError) as error:
            text = explain(error) if not isinstance(error, ParseError) else f"that is no address: {error}"
            self._print(f"[red]{escape(text)}[/]")
        except KeyError:
            self._print("[red]there is nothing with this person[/]")

    async def _say(self, text: str) -> None:
        if not self.peer:
            self._print("to whom? /to sip:b@cc.com")
            return
        await self.phone.say(self.peer, text)

    # commands

    async def _help(self, _: str) -> None:
        table = Table(box=None, show_header=False)
        for name, (_command, arguments, what) in self._commands.items():
            table.add_row(f"[bold]/{name}[/] {escape(arguments)}", what)
        self.console.print(table)

    async def _to(self, uri: str) -> None:
        self.peer = uri
        self._print(f"to {escape(uri or 'nobody')}")

    async def _accept(self, uri: str) -> None:
        offered = self._offered(uri or self.peer)
        if offered is None:
            self.phone.accept(uri or self.peer)
        else:
            self.phone.files.accept(offered)

    async def _decline(self, uri: str) -> None:
        offered = self._offered(uri or self.peer)
        if offered is None:
            self.phone.decline(uri or self.peer)
        else:
            self.phone.files.decline(offered)

    def _offered(self, uri: str) -> str | None:
        """Return the id of a file from this person that waits for an answer."""
        files, peer = self.phone.files, Uri.parse(uri).aor
        return next((id for id in files.offers if files.all[id].peer == peer), None)

    async def _file(self, path: str) -> None:
        if (chosen := self._choose(path)) is not None:
            work = self.phone.files.send(self.peer, chosen, name=chosen.name, content_type=_type_of(chosen))
            self.phone.files.spawn(self._finish(work))

    async def _link(self, path: str) -> None:
        if (chosen := self._choose(path)) is not None:
            work = self.phone.links.send(self.peer, chosen, name=chosen.name, content_type=_type_of(chosen))
            self.phone.files.spawn(self._finish(work))

    async def _finish(self, work: Awaitable[object]) -> None:
        """Send a file while the person goes on typing."""
        try:
            await work
        except (SipstackError, OSError) as error:
            self._print(f"[red]{escape(explain(error))}[/]")

    def _choose(self, path: str) -> Path | None:
        """Return the file to be sent, if there is somebody to send it to."""
        chosen = Path(path).expanduser()
        if not self.peer:
            self._print("to whom? /to sip:b@cc.com")
        elif not chosen.is_file():
            self._print(f"[red]there is no file {escape(path)}[/]")
        else:
            return chosen
        return None

    async def _files(self, _: str) -> None:
        for file in self.phone.files.all.values():
            way = "from" if file.direction == "in" else "to"
            what = f"{escape(file.name)} {way} {escape(file.peer)}"
            self._print(f"{what}: {file.octets} of {file.size} octets, {escape(file.state)}, {escape(str(file.path))}")

    async def _busy(self, uri: str) -> None:
        self.phone.decline(uri or self.peer, 486)

    async def _hang_up(self, uri: str) -> None:
        await self.phone.hang_up(uri or self.peer)

    async def _chats(self, _: str) -> None:
        for peer in self.phone.chats:
            self._print(f"chat with {escape(peer)}")
        for peer in self.phone.invitations:
            self._print(f"{escape(peer)} waits for an answer")

    async def _status(self, uri: str) -> None:
        status = await self.phone.ask(uri or self.peer)
        meaning = {200: "online", 480: "offline", 404: "unknown"}.get(status, "not reachable")
        self._print(f"{escape(uri or self.peer)} is {meaning} ({status})")

    def _need_inviter(self) -> Inviter | None:
        if self._inviter is None:
            self._print("[red]no gateway was named when this phone was started (--gateway)[/]")
        return self._inviter

    async def _invite(self, text: str) -> None:
        if (inviter := self._need_inviter()) is None:
            return
        identifier, _, note = text.partition(" ")
        invitation = await inviter.invite(identifier, note=note)
        self._print(f"invited {escape(identifier)} as {escape(str(invitation.get('account')))}")

    async def _invitations(self, _: str) -> None:
        if (inviter := self._need_inviter()) is None:
            return
        for invitation in await inviter.invitations():
            account, identifier = str(invitation.get("account")), str(invitation.get("identifier"))
            self._print(f"{escape(identifier)} is {escape(account)}: {escape(str(invitation.get('state')))}")

    async def _revoke(self, account: str) -> None:
        if (inviter := self._need_inviter()) is not None:
            await inviter.revoke(account)
            self._print("revoked")

    async def _log_out(self, _: str) -> None:
        if (inviter := self._need_inviter()) is not None:
            await inviter.log_out()
            self._print("all invitations are ended")

    async def _auto(self, text: str) -> None:
        automatic = text != "off"
        self.phone.behave(on_invite="accept" if automatic else "ask", on_message="echo" if automatic else "accept")
        self._print(f"automatic answers are {'on' if automatic else 'off'}")

    async def _online(self, _: str) -> None:
        await self.phone.go_online()

    async def _offline(self, _: str) -> None:
        await self.phone.go_offline()

    async def _quit(self, _: str) -> None:
        self._done.set()


def _type_of(path: Path) -> str:
    return mimetypes.guess_type(path.name)[0] or UNTYPED
