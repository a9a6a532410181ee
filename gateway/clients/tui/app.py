"""The terminal's screen: inviters on the left, one conversation on the right, a line to type in."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from textual import work
from textual.binding import BindingType

from gateway.clients.book import Book, Conversation
from gateway.clients.errors import ClientError, Over, WrongSecret
from gateway.clients.rcsguest import RcsGuest
from gateway.clients.tui import render
from gateway.clients.tui.commands import HELP, Command, parse
from gateway.terminal.frame import ChatFrame
from sipstack import ids
from translators.model import Event, FileView

ENDS = {
    "expired": "The invitation has expired.",
    "revoked": "The invitation was taken back.",
    "closed": "The inviter has logged out.",
    "ended": "The conversation is over.",
    "idle": "Nothing happened for a while: open the link again to go on.",
}


class GuestApp(ChatFrame):
    """Shows one guest's conversations; the value that :meth:`run` returns says why it ended."""

    TITLE = "rcsgw guest"
    BINDINGS: ClassVar[list[BindingType]] = [("ctrl+r", "older", "Older messages")]
    FAILURES = (ClientError, OSError)

    def __init__(self, guest: RcsGuest, *, polls: bool = False) -> None:
        super().__init__()
        self.guest = guest
        self.polls = polls
        self.book: Book | None = None
        self._asked_to_log_out = False
        self._is_leaving = False
        self._before: dict[str, int | None] = {}
        """UID → where the history goes on."""

    def begin(self) -> None:
        """Log in."""
        self.notice("Signing in…")
        self.live()

    # living

    @work(exclusive=True, group="live")
    async def live(self) -> None:
        """Log in, show what was said, then whatever happens, to the end."""
        try:
            session = await self.guest.login()
            self.book = Book(session)
            reader = self.guest.events(polls=self.polls, on_connection=self._connection)
            self.fetch(reader.ready())
            async for event in reader:
                self._happened(event)
        except WrongSecret:
            self.exit(
                "This link does not open anything: it may be incomplete, or a newer one was sent to you.", return_code=1
            )
        except Over as error:
            self.exit(str(error), return_code=1)
        except ClientError as error:
            self.exit(f"Not possible now: {error}", return_code=1)

    @work(group="fetch")
    async def fetch(self, ready: Coroutine[Any, Any, None]) -> None:
        """Fetch the conversations when the events have begun: between the two nothing is lost."""
        assert self.book is not None
        await ready
        for uid in self.book.conversations:
            await self.attempt(self._fetch_page(uid))
            await self.attempt(self._fetch_status(uid))
        files = await self.attempt(self.guest.calls.files())
        if files is not None:
            self.book.load_files(files.files)
        self.changed()
        self.notice("")

    async def _fetch_page(self, uid: str) -> None:
        assert self.book is not None
        if self._before.get(uid, 0) is None:
            self.notice("This is the beginning.")
            return
        page = await self.guest.calls.messages(uid, self._before.get(uid))
        self._before[uid] = page.before
        self.book.load(page.messages)

    async def _fetch_status(self, uid: str) -> None:
        assert self.book is not None
        self.book.conversations[uid].status = await self.guest.status(uid)

    def _happened(self, event: Event) -> None:
        book = self.book
        assert book is not None
        if event.kind == "reset":
            self.fetch(asyncio.sleep(0))
            return
        changed = book.apply(event)
        if book.ended and not self._is_leaving:
            self.exit(ENDS.get(book.ended, f"The conversation is over ({book.ended})."))
        if event.session is not None:
            self.notice("The phone network does not answer." if book.is_lost else "")
        if event.message is not None and event.message.direction == "in":
            self.bell()
        if changed is not None:
            self.changed()

    def _connection(self, is_there: bool) -> None:
        self.notice("" if is_there else "Connection lost. Trying again…")

    # what is shown

    @property
    def conversation(self) -> Conversation | None:
        """The conversation on the screen."""
        return None if self.book is None else self.book.conversations.get(self.current)

    async def show(self) -> None:
        """Draw the list and the current conversation, and take what is on the screen for seen."""
        if self.book is None:
            return
        if self.conversation is not None and self.is_looked_at:
            for message_id in self.book.seen(self.current):
                self.run_worker(self.attempt(self.guest.seen(message_id)), group="seen")
        self.show_me(render.me_text(self.guest.account))
        await self.show_people((key, render.entry_text(one)) for key, one in self.book.conversations.items())
        if (conversation := self.conversation) is not None:
            await self.show_conversation(render.head_text(conversation), render.lines(conversation, self.limit))

    def action_older(self) -> None:
        """Fetch a page of the conversation that lies before what is shown."""
        if self.current:
            self.do(self._older(self.current))

    async def _older(self, uid: str) -> None:
        await self._fetch_page(uid)
        self.more_lines()

    def help(self) -> str:
        """Return what may be typed."""
        return HELP

    # what is typed

    def typing(self) -> None:
        """Tell the other side that something is typed."""
        self.run_worker(self.attempt(self.guest.typing(self.current)), group="typing")

    def entered(self, text: str) -> None:
        """Send what was typed, or do it."""
        typed = parse(text)
        if isinstance(typed, Command):
            self._command(typed)
        elif typed and self.conversation is not None and self.book is not None:
            key = ids.message_id()
            self.book.sending(self.current, key, typed, datetime.now(UTC).isoformat())
            self.do(self._send(self.current, key, typed))

    async def _send(self, uid: str, key: str, text: str) -> None:
        assert self.book is not None
        try:
            self.book.answered(uid, key, await self.guest.send(uid, text, key=key))
        except ClientError as error:
            self.book.failed(uid, key, str(error))
        self.changed()

    def _command(self, command: Command) -> None:
        if command.name != "logout":
            self._asked_to_log_out = False
        match command.name:
            case "help":
                self.call_later(self.action_help)
            case "quit":
                self.exit("")
            case "logout":
                self._log_out()
            case _ if self.conversation is None:
                self.notice("There is no conversation yet.")
            case "again":
                self.do(self._again(self.conversation))
            case "status":
                self.do(self._ask_status(self.conversation))
            case "file":
                self.do(self._send_file(self.conversation, Path(command.arguments[0]).expanduser()))
            case _:
                self._file_command(command)

    def _file_command(self, command: Command) -> None:
        try:
            view = self._file(command.number)
            path = Path(command.arguments[1]) if len(command.arguments) > 1 else Path(view.name)
        except ValueError as error:
            self.notice(str(error))
            return
        if command.name == "save":
            self.do(self._save(view, path.expanduser()))
        elif command.name == "accept":
            self.do(self.guest.calls.accept_file(view.id))
        else:
            self.do(self.guest.calls.cancel_file(view.id))

    def _file(self, number: int) -> FileView:
        files = [] if self.conversation is None else list(self.conversation.files.values())
        if not 1 <= number <= len(files):
            raise ValueError(f"there is no file number {number} here")
        return files[number - 1]

    async def _again(self, conversation: Conversation) -> None:
        """Send once more, under the same keys where they are known, what failed."""
        assert self.book is not None
        failed = [line for line in conversation.lines.values() if line.is_own and line.state in ("failed", "unknown")]
        if not failed:
            self.notice("Nothing has failed here.")
        for line in failed:
            del conversation.lines[line.id]
            key = line.key or ids.message_id()
            self.book.sending(conversation.uid, key, line.text, datetime.now(UTC).isoformat())
            await self._send(conversation.uid, key, line.text)

    async def _ask_status(self, conversation: Conversation) -> None:
        conversation.status = await self.guest.status(conversation.uid)
        self.changed()
        self.notice(f"{conversation.name}: {render.status_words(conversation)}")  # what is above may be as it was

    async def _send_file(self, conversation: Conversation, path: Path) -> None:
        book = self.book
        assert book is not None

        def progress(view: FileView) -> None:
            book.uploading(conversation.uid, view)
            self.changed()

        if not conversation.takes_files:
            self.notice("This invitation is for chat only.")
            return
        await self.guest.send_file(conversation.uid, path, on_progress=progress)

    async def _save(self, view: FileView, path: Path) -> None:
        target = path / view.name if path.is_dir() else path
        if target.exists():
            self.notice(f"{target} is there already; say /save N PATH")
            return
        self.notice(f"Fetching {view.name}…")
        self.notice(f"Saved as {await self.guest.fetch_file(view, target)}")

    def _log_out(self) -> None:
        if not self._asked_to_log_out:
            self._asked_to_log_out = True
            self.notice("Your invitations end with it, and the link will not work again. /logout once more does it.")
            return
        self.do(self._leave())

    async def _leave(self) -> None:
        self._is_leaving = True
        await self.guest.logout()
        self.exit("You are logged out; the link will not work again.")
