"""What may be typed at A's phone besides messages: lines that begin with a slash, in either of its terminals."""

from __future__ import annotations

import asyncio
import mimetypes
import shutil
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
from rich.markup import escape

from gateway.lab.inviter import InviteFailed, Inviter
from gateway.lab.phone import Phone, explain
from gateway.lab.phonefiles import UNTYPED
from gateway.terminal.text import harmless
from sipstack.errors import ParseError, SipstackError
from sipstack.sip.uri import Uri

Command = Callable[[str], Awaitable[None]]


class NoGateway(Exception):
    """There is no gateway to invite by."""


FAILURES = (SipstackError, InviteFailed, NoGateway, aiohttp.ClientError, TimeoutError, OSError)
"""What may go wrong with a command: it is told in words."""

STATUSES = {200: "online", 480: "offline", 404: "unknown"}
"""Answer to OPTIONS → what that means."""


class PhoneCommands(ABC):
    """Carries out commands on a phone; ``inviter`` None: there is no gateway to invite by."""

    phone: Phone

    def __init__(self, inviter: Inviter | None = None) -> None:
        self.peer = ""
        """Whom typed text goes to."""
        self.inviter = inviter
        self.is_over = asyncio.Event()
        """Set by ``/quit``."""
        self.commands: dict[str, tuple[Command, str, str]] = {
            "help": (self._help, "", "this list"),
            "to": (self._to, "URI", "talk to somebody; a chat opens with the first message"),
            "accept": (self._accept, "[URI]", "accept an invitation to a chat, or a file"),
            "decline": (self._decline, "[URI]", "refuse it with 603"),
            "busy": (self._busy, "[URI]", "refuse it with 486"),
            "hangup": (self._hang_up, "[URI]", "end a chat"),
            "file": (self._file, "PATH", "send a file over MSRP"),
            "link": (self._link, "PATH", "leave a file on the content server and send its link"),
            "cancel": (self._cancel, "", "stop the file that is under way"),
            "save": (self._save, "PATH", "copy the file that came last"),
            "files": (self._files, "", "files that came and went"),
            "chats": (self._chats, "", "chats and invitations to chats"),
            "status": (self._status, "[URI]", "ask by OPTIONS whether somebody is online"),
            "invite": (self._invite, "E-MAIL or NUMBER [note]", "invite a person through the gateway"),
            "invitations": (self._invitations, "", "whom I invited"),
            "resend": (self._resend, "ACCOUNT", "send the link again, with a new password"),
            "revoke": (self._revoke, "ACCOUNT", "end my invitation"),
            "logout": (self._log_out, "", "end all my invitations"),
            "auto": (self._auto, "on|off", "accept chats by itself and repeat what is said"),
            "online": (self._online, "", "register"),
            "offline": (self._offline, "", "end chats and registration"),
            "quit": (self._quit, "", "leave"),
        }
        """Name → what does it, its arguments, and what it is for."""

    @abstractmethod
    def tell(self, markup: str) -> None:
        """Show words to the person; rich's markup, in which foreign text is escaped by :func:`foreign`."""

    def tell_trouble(self, words: str) -> None:
        """Show what went wrong."""
        self.tell(f"[red]{foreign(words)}[/]")

    async def take(self, line: str) -> None:
        """Carry out one line; what goes wrong is told."""
        if not line:
            return
        try:
            if line.startswith("/") and not line.startswith("//"):
                name, _, rest = line[1:].partition(" ")
                if name not in self.commands:
                    self.tell(f"[red]no command /{foreign(name)}[/]; /help lists them")
                    return
                await self.commands[name][0](rest.strip())
            else:
                await self.say(line.removeprefix("/") if line.startswith("//") else line)
        except FAILURES as error:
            self.tell_trouble(in_words(error))
        except KeyError:
            self.tell_trouble("there is nothing with this person")

    async def say(self, text: str) -> None:
        """Send a message to :attr:`peer`; who answers has seen what came."""
        if self._has_peer():
            self.phone.notices.seen(self._aor())
            await self.phone.say(self.peer, text)

    def _has_peer(self) -> bool:
        if not self.peer:
            self.tell("to whom? /to sip:b@cc.com")
        return bool(self.peer)

    # people

    async def _help(self, _: str) -> None:
        self.tell(self.table())

    def table(self) -> str:
        """Return all commands as lines of markup."""
        width = max(len(f"/{name} {arguments}") for name, (_c, arguments, _w) in self.commands.items())
        return "\n".join(
            f"[bold]/{name}[/] {escape(arguments)}{' ' * (width - len(f'/{name} {arguments}'))}  {what}"
            for name, (_, arguments, what) in self.commands.items()
        )

    async def _to(self, uri: str) -> None:
        if uri:
            Uri.parse(uri)
        self.peer = uri
        self.tell(f"to {foreign(uri or 'nobody')}")

    async def _status(self, uri: str) -> None:
        self.asked(uri or self.peer, await self.phone.ask(uri or self.peer))

    def asked(self, uri: str, status: int) -> None:
        """Take the answer to OPTIONS."""
        self.tell(f"{foreign(uri)} is {STATUSES.get(status, 'not reachable')} ({status})")

    # chats

    async def _accept(self, uri: str) -> None:
        offered = self.offered(uri or self.peer)
        if offered is None:
            self.phone.accept(uri or self.peer)
        else:
            self.phone.files.accept(offered)

    async def _decline(self, uri: str, status: int = 603) -> None:
        offered = self.offered(uri or self.peer)
        if offered is None:
            self.phone.decline(uri or self.peer, status)
        else:
            self.phone.files.decline(offered, status)

    def offered(self, uri: str) -> str | None:
        """Return the id of a file from this person that waits for an answer."""
        files, peer = self.phone.files, Uri.parse(uri).aor
        return next((id for id in files.offers if files.all[id].peer == peer), None)

    async def _busy(self, uri: str) -> None:
        await self._decline(uri, 486)

    async def _hang_up(self, uri: str) -> None:
        await self.phone.hang_up(uri or self.peer)

    async def _chats(self, _: str) -> None:
        lines = [f"chat with {foreign(peer)}" for peer in self.phone.chats]
        lines += [f"{foreign(peer)} waits for an answer" for peer in self.phone.invitations]
        self.tell("\n".join(lines) or "no chats")

    # files

    async def _file(self, path: str) -> None:
        if (chosen := self._choose(path)) is not None:
            work = self.phone.files.send(self.peer, chosen, name=chosen.name, content_type=type_of(chosen))
            self.phone.files.spawn(self._finish(work))

    async def _link(self, path: str) -> None:
        if (chosen := self._choose(path)) is not None:
            work = self.phone.links.send(self.peer, chosen, name=chosen.name, content_type=type_of(chosen))
            self.phone.files.spawn(self._finish(work))

    async def _finish(self, work: Awaitable[object]) -> None:
        """Send a file while the person goes on typing."""
        try:
            await work
        except (SipstackError, OSError) as error:
            self.tell_trouble(in_words(error))

    def _choose(self, path: str) -> Path | None:
        """Return the file to be sent, if there is somebody to send it to."""
        chosen = Path(path).expanduser()
        if not self._has_peer():
            return None
        if not chosen.is_file():
            self.tell_trouble(f"there is no file {path}")
            return None
        return chosen

    async def _cancel(self, _: str) -> None:
        moving = [file for file in self.phone.files.all.values() if (file.peer, file.state) == (self._aor(), "moving")]
        self.phone.files.cancel(moving[-1].id if moving else "")

    async def _save(self, path: str) -> None:
        came = [
            file
            for file in self.phone.files.all.values()
            if (file.peer, file.direction, file.state) == (self._aor(), "in", "done")
        ]
        if not came:
            raise KeyError
        target = Path(path).expanduser()
        target = target / came[-1].name if target.is_dir() else target
        if target.exists():
            self.tell_trouble(f"{target} is there already")
            return
        await asyncio.to_thread(shutil.copyfile, came[-1].path, target)
        self.tell(f"saved as {foreign(str(target))}")

    async def _files(self, _: str) -> None:
        lines = []
        for file in self.phone.files.all.values():
            way = "from" if file.direction == "in" else "to"
            how = f"{file.octets} of {file.size} octets, {file.state}, {file.path}"
            lines.append(foreign(f"{file.name} {way} {file.peer}: {how}"))
        self.tell("\n".join(lines) or "no files")

    def _aor(self) -> str:
        return Uri.parse(self.peer).aor if self.peer else ""

    # invitations

    def _need_inviter(self) -> Inviter:
        if self.inviter is None:
            raise NoGateway("no gateway was named when this phone was started (--gateway)")
        return self.inviter

    async def _invite(self, text: str) -> None:
        identifier, _, note = text.partition(" ")
        self.invited(identifier, await self._need_inviter().invite(identifier, note=note))

    def invited(self, identifier: str, view: dict[str, Any]) -> None:
        """Take that the gateway has accepted an invitation."""
        self.tell(f"invited {foreign(identifier)} as {foreign(str(view.get('account')))}")

    async def _invitations(self, _: str) -> None:
        views = await self._need_inviter().invitations()
        lines = [f"{view.get('identifier')} is {view.get('account')}: {view.get('state')}" for view in views]
        self.tell(foreign("\n".join(lines)) or "nobody is invited")

    async def _resend(self, account: str) -> None:
        await self._need_inviter().resend(account)
        self.tell("a new link is on its way; the old one does not work any more")

    async def _revoke(self, account: str) -> None:
        await self._need_inviter().revoke(account)
        self.tell("revoked")

    async def _log_out(self, _: str) -> None:
        await self._need_inviter().log_out()
        self.tell("all invitations are ended")

    # the phone

    async def _auto(self, text: str) -> None:
        automatic = text != "off"
        self.phone.behave(on_invite="accept" if automatic else "ask", on_message="echo" if automatic else "accept")
        self.tell(f"automatic answers are {'on' if automatic else 'off'}")

    async def _online(self, _: str) -> None:
        await self.phone.go_online()

    async def _offline(self, _: str) -> None:
        await self.phone.go_offline()

    async def _quit(self, _: str) -> None:
        self.is_over.set()


def foreign(text: str) -> str:
    """Return text of somebody else as markup that shows it and does nothing else."""
    return escape(harmless(text))


def in_words(error: Exception) -> str:
    """Return what went wrong in words for people."""
    if isinstance(error, ParseError):
        return f"that is no address: {error}"
    if isinstance(error, InviteFailed) and (subscriber := error.problem.get("sip_uri")):
        return f"{error}; chat without the gateway: /to {subscriber}"
    return explain(error)


def type_of(path: Path) -> str:
    """Return the media type that a file's name suggests."""
    return mimetypes.guess_type(path.name)[0] or UNTYPED
