"""The screen of A's phone: contacts on the left, one conversation on the right; invitations and ladder behind keys."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType

from gateway.lab.invitations import Invitations, View, link_words
from gateway.lab.inviter import Inviter
from gateway.lab.phone import Phone, PhoneEvent
from gateway.lab.phonecommands import FAILURES, PhoneCommands, in_words
from gateway.lab.tui import render
from gateway.lab.tui.book import Contact, ContactFile, PhoneBook
from gateway.lab.tui.invitations import InvitationsScreen, InviteForm
from gateway.lab.tui.ladder import LadderScreen, Tape
from gateway.terminal.frame import ChatFrame
from sipstack import ids
from sipstack.errors import SipstackError

RINGING = ("message", "page", "invited", "file-offered")
"""Kinds of events that the terminal's bell rings for."""

KEYS = """\
F2 invite   F3 my invitations   F4 ladder   F5 accept   F6 decline   F7 hang up
Ctrl+N next conversation   Ctrl+Q leave   //text a message that begins with a slash

"""


class PhoneApp(ChatFrame):
    """One phone, which has been started, on a screen; ``contacts`` None: they are not kept."""

    TITLE = "rcsgw phone"
    FAILURES = FAILURES
    BINDINGS: ClassVar[list[BindingType]] = [
        ("f2", "invite", "Invite"),
        ("f3", "invitations", "Invited"),
        ("f4", "ladder", "Ladder"),
        ("f5", "accept", "Accept"),
        ("f6", "decline", "Decline"),
        ("f7", "hang_up", "Hang up"),
        Binding("ctrl+n", "next", "Next conversation", show=False),  # so that the others fit 80 columns
    ]

    def __init__(
        self, phone: Phone, tape: Tape, *, inviter: Inviter | None = None, contacts: ContactFile | None = None
    ) -> None:
        super().__init__()
        self.phone = phone
        self.book = PhoneBook()
        self.commands = ScreenCommands(self, inviter)
        self.invitations = None if inviter is None else Invitations(inviter, self._invitation_changed)
        self._tape = tape
        self._contacts = contacts
        self._asked: set[str] = set()
        """Who was asked by OPTIONS, once, when they were first looked at."""

    def begin(self) -> None:
        """Take what has happened since the phone was started, and listen from now on."""
        if self._contacts is not None:
            for uri, name in self._contacts.people.items():
                self.book.add(uri, name)
        for event in self.phone.events:
            self._happened(event)
        self.phone.on_event = self._happened
        self.phone.files.watch = lambda file: self.changed()
        if self.invitations is not None:
            self.do(self.invitations.follow())
        self.changed()

    # what happens

    def _happened(self, event: PhoneEvent) -> None:
        contact = self.book.apply(event, datetime.now(UTC).isoformat())
        if event.kind in RINGING:
            self.bell()
        if event.kind == "invited" and contact is not None and self.phone.behaviour.on_invite == "ask":
            self.notice(f"{contact.name} wants to chat: F5 accepts, F6 declines")
        elif event.kind == "registration-failed":
            self.notice(f"The network does not register the phone: {event.text}")
        elif event.kind == "lost":
            self.notice(f"Not sent: {event.text}")
        self.changed()

    def _invitation_changed(self, view: View | None) -> None:
        assert self.invitations is not None
        for invited in self.invitations.all.values():
            self.book.add(invited["account"], str(invited.get("identifier", "")))
        if view is not None:
            self.notice(_news(view))
        if isinstance(self.screen, InvitationsScreen):
            self.screen.refresh_rows()
        self.changed()

    # what is shown

    @property
    def contact(self) -> Contact | None:
        """Whose conversation is on the screen."""
        return self.book.contacts.get(self.current)

    async def show(self) -> None:
        """Draw contacts and conversation, and tell the other side what is looked at."""
        contact = self.contact
        if contact is not None and self.is_looked_at:
            contact.unread = 0
            self.phone.notices.seen(contact.uri)
            if contact.uri not in self._asked:
                self._asked.add(contact.uri)
                self.run_worker(self._ask(contact), group="ask")
        self.show_me(render.me_text(self.phone))
        await self.show_people((one.uri, render.contact_text(one, self.phone)) for one in self.book.contacts.values())
        if (contact := self.contact) is not None:
            lines = render.lines(contact, self.phone, self.limit)
            await self.show_conversation(render.head_text(contact, self.phone), lines)

    async def _ask(self, contact: Contact) -> None:
        with contextlib.suppress(SipstackError):
            contact.status = await self.phone.ask(contact.uri)
        self.changed()

    def help(self) -> Text:
        """Return keys and commands."""
        return Text.from_markup(f"{KEYS}{self.commands.table()}")

    # what is typed

    def typing(self) -> None:
        """Tell the other side, if there is a chat, that something is typed."""
        self.phone.notices.typing(self.current)

    def entered(self, text: str) -> None:
        """Send what was typed, or do it."""
        self.commands.peer = self.current
        self.do(self._take(text))

    async def _take(self, text: str) -> None:
        await self.commands.take(text)
        self.changed()

    # keys

    def action_accept(self) -> None:
        """Accept the chat, or the file, that waits for an answer."""
        self._answer("accept")

    def action_decline(self) -> None:
        """Decline it."""
        self._answer("decline")

    def _answer(self, command: str) -> None:
        """Answer the person on the screen if they wait for it, else who has waited longest."""
        files = self.phone.files
        waiting = [*self.phone.invitations, *(files.all[id].peer for id in files.offers)]
        if not waiting:
            self.notice("nobody waits for an answer")
            return
        peer = self.current if self.current in waiting else waiting[0]
        self.choose(peer)
        self.notice("")
        self.do(self._take(f"/{command} {peer}"))

    def action_hang_up(self) -> None:
        """End the chat with the person on the screen."""
        self.do(self._take(f"/hangup {self.current}"))

    async def action_invite(self) -> None:
        """Ask whom to invite."""
        if self.invitations is None:
            self.notice("No gateway was named when this phone was started (--gateway).")
            return
        await self.push_screen(InviteForm(self.invitations), self._invited)

    def _invited(self, view: View | None) -> None:
        if view is not None:
            self.commands.invited(str(view.get("identifier")), view)
        self.changed()

    async def action_invitations(self) -> None:
        """Show whom A has invited."""
        if self.invitations is None:
            self.notice("No gateway was named when this phone was started (--gateway).")
            return
        await self.cover(InvitationsScreen(self.invitations))

    async def action_ladder(self) -> None:
        """Show what crossed the wire."""
        await self.cover(LadderScreen(self._tape))

    # for commands

    def select(self, uri: str, name: str = "") -> None:
        """Go to a person, made a contact if need be, who is kept where there is a file for that."""
        contact = self.book.add(uri)
        contact.name = name or contact.name
        if self._contacts is not None:
            self._contacts.keep(contact)
        self.choose(contact.uri)


class ScreenCommands(PhoneCommands):
    """The phone's commands, with what only a screen has."""

    def __init__(self, app: PhoneApp, inviter: Inviter | None) -> None:
        super().__init__(inviter)
        self._app = app
        self.phone = app.phone
        self.commands["to"] = (self._to, "URI [name]", "make somebody a contact, and talk to them")
        self.commands["again"] = (self._again, "", "send once more what has failed here")

    def tell(self, markup: str) -> None:
        """Say it above the line to type in."""
        self._app.notice(Text.from_markup(markup))

    async def say(self, text: str) -> None:
        """Send a message to the person on the screen; where that fails it says why, beside the message."""
        if self._has_peer():
            await self._send(text, ids.message_id())

    async def _send(self, text: str, message_id: str) -> None:
        peer = self.peer
        try:
            await self.phone.say(peer, text, message_id=message_id)
        except FAILURES as error:
            self._app.book.failed(peer, message_id, in_words(error))
        self._app.changed()

    async def _again(self, _: str) -> None:
        contact = self._app.contact
        failed = [] if contact is None else [(id, line) for id, line in contact.lines.items() if line.state in AGAIN]
        if not failed:
            self.tell("nothing has failed here")
        for message_id, line in failed:
            await self._send(line.text, message_id)

    async def _help(self, _: str) -> None:
        await self._app.action_help()

    async def _to(self, text: str) -> None:
        uri, _, name = text.partition(" ")
        self._app.select(uri, name.strip())

    def asked(self, uri: str, status: int) -> None:
        """Note the answer to OPTIONS."""
        self._app.book.add(uri).status = status
        super().asked(uri, status)

    def invited(self, identifier: str, view: dict[str, Any]) -> None:
        """Make the invited person a contact."""
        if self._app.invitations is not None:
            self._app.invitations.add(view)
        self._app.choose(self._app.book.add(str(view["account"]), identifier).uri)
        super().invited(identifier, view)

    async def _quit(self, _: str) -> None:
        self._app.exit("")


AGAIN = ("failed", "unknown")
"""States of messages that ``/again`` sends once more."""


def _news(view: View) -> str:
    """Return in words what has become of an invitation."""
    words = f"The invitation of {view.get('identifier', '')} is {view['state']}"
    if view.get("reason"):
        words += f" ({view['reason']})"
    link = link_words(view)
    return f"{words}; its link: {link}" if link else words
