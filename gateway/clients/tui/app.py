"""The terminal's screen: inviters on the left, one conversation on the right, a line to type in."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from textual import on, work
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Footer, Input, ListItem, ListView, Static

from gateway.clients.book import Book, Conversation
from gateway.clients.errors import ClientError, Over, WrongSecret
from gateway.clients.rcsguest import RcsGuest
from gateway.clients.tui import render
from gateway.clients.tui.commands import HELP, Command, parse
from gateway.clients.tui.lines import SHOWN, Lines
from sipstack import ids
from translators.model import Event, FileView

T = TypeVar("T")

ENDS = {
    "expired": "The invitation has expired.",
    "revoked": "The invitation was taken back.",
    "closed": "The inviter has logged out.",
    "ended": "The conversation is over.",
    "idle": "Nothing happened for a while: open the link again to go on.",
}


class GuestApp(App[str]):
    """Shows one guest's conversations; the value that :meth:`run` returns says why it ended."""

    TITLE = "rcsgw guest"
    CSS_PATH = "guest.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        ("ctrl+n", "next", "Next conversation"),
        ("ctrl+r", "older", "Older messages"),
        ("f1", "help", "Help"),
        ("ctrl+q", "quit", "Leave"),
    ]

    def __init__(self, guest: RcsGuest, *, polls: bool = False) -> None:
        super().__init__()
        self.guest = guest
        self.polls = polls
        self.book: Book | None = None
        self.current: str = ""
        """UID of the inviter whose conversation is shown."""
        self._asked_to_log_out = False
        self._is_leaving = False
        self._before: dict[str, int | None] = {}
        """UID → where the history goes on."""

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        with Horizontal():
            yield ListView(id="inviters")
            with Vertical():
                yield Static(id="head")
                yield Lines(id="lines")
                yield Static(id="notice")
                yield Input(placeholder="Message, or /help", id="entry", max_length=10_000)
        yield Footer()

    def on_mount(self) -> None:
        """Begin when the screen is there."""
        self.notice("Signing in…")
        self.query_one("#entry").focus()
        self.live()

    def notice(self, words: str) -> None:
        """Say something about the whole."""
        self.query_one("#notice", Static).update(render.harmless(words))

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
                await self._happened(event)
        except WrongSecret:
            self.exit("This link does not open anything: it may be incomplete, or a newer one was sent to you.")
        except Over as error:
            self.exit(str(error))
        except ClientError as error:
            self.exit(f"Not possible now: {error}")

    @work(group="fetch")
    async def fetch(self, ready: Coroutine[Any, Any, None]) -> None:
        """Fetch the conversations when the events have begun: between the two nothing is lost."""
        assert self.book is not None
        await ready
        await self._show_inviters()
        for uid in self.book.conversations:
            await self._attempt(self._fetch_page(uid))
            await self._attempt(self._fetch_status(uid))
        files = await self._attempt(self.guest.calls.files())
        if files is not None:
            self.book.load_files(files.files)
        await self._show()
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

    async def _happened(self, event: Event) -> None:
        book = self.book
        assert book is not None
        if event.kind == "reset":
            self.fetch(asyncio.sleep(0))
            return
        known = set(book.conversations)
        changed = book.apply(event)
        if book.ended and not self._is_leaving:
            self.exit(ENDS.get(book.ended, f"The conversation is over ({book.ended})."))
        if event.session is not None:
            self.notice("The phone network does not answer." if book.is_lost else "")
        if event.message is not None and event.message.direction == "in":
            self.bell()
        if changed is not None and changed.uid in known:
            await self._show()

    def _connection(self, is_there: bool) -> None:
        self.notice("" if is_there else "Connection lost. Trying again…")

    # what is shown

    @property
    def conversation(self) -> Conversation | None:
        """The conversation on the screen."""
        return None if self.book is None else self.book.conversations.get(self.current)

    async def _show(self) -> None:
        conversation = self.conversation
        await self._show_inviters()
        if conversation is None or self.book is None:
            return
        self.query_one("#head", Static).update(render.head_text(conversation))
        await self.query_one(Lines).show(conversation)
        if self.app_focus:
            for message_id in self.book.seen(conversation.uid):
                self.run_worker(self._attempt(self.guest.seen(message_id)), group="seen")

    async def _show_inviters(self) -> None:
        if self.book is None:
            return
        listed = self.query_one("#inviters", ListView)
        for conversation in self.book.conversations.values():
            found = listed.query(f"#{_id(conversation.uid)}")
            text = render.entry_text(conversation)
            if found:
                found.only_one(ListItem).query_one(Static).update(text)
            else:
                await listed.append(ListItem(Static(text), id=_id(conversation.uid), name=conversation.uid))
        if not self.current and self.book.conversations:
            self.current = next(iter(self.book.conversations))
            listed.index = 0

    @on(ListView.Highlighted)
    async def choose(self, event: ListView.Highlighted) -> None:
        """Show another conversation."""
        if event.item is not None and event.item.name and event.item.name != self.current:
            self.current = event.item.name
            await self._show()

    def action_next(self) -> None:
        """Go to the next conversation, and from the last to the first."""
        listed = self.query_one("#inviters", ListView)
        listed.index = ((listed.index or 0) + 1) % max(1, len(listed))

    def action_older(self) -> None:
        """Fetch a page of the conversation that lies before what is shown."""
        if self.current:
            self.query_one(Lines).limit += SHOWN
            self._do(self._older(self.current))

    async def _older(self, uid: str) -> None:
        await self._fetch_page(uid)
        await self._show()

    def action_help(self) -> None:
        """Say what may be typed."""
        self.notice(HELP)

    # what is typed

    @on(Input.Changed, "#entry")
    def typing(self, event: Input.Changed) -> None:
        """Tell the other side that something is typed."""
        if self.current and event.value and not event.value.startswith("/"):
            self.run_worker(self._attempt(self.guest.typing(self.current)), group="typing")

    @on(Input.Submitted, "#entry")
    async def entered(self, event: Input.Submitted) -> None:
        """Send what was typed, or do it."""
        try:
            typed = parse(event.value.strip())
        except ValueError as error:
            self.notice(str(error))
            return
        event.input.clear()
        self.notice("")
        if isinstance(typed, Command):
            self._command(typed)
        elif typed and self.conversation is not None and self.book is not None:
            key = ids.message_id()
            self.book.sending(self.current, key, typed, datetime.now(UTC).isoformat())
            await self._show()
            self.query_one(Lines).scroll_end(animate=False)
            self._do(self._send(self.current, key, typed))

    async def _send(self, uid: str, key: str, text: str) -> None:
        assert self.book is not None
        try:
            self.book.answered(uid, key, await self.guest.send(uid, text, key=key))
        except ClientError as error:
            self.book.failed(uid, key, str(error))
        await self._show()

    def _command(self, command: Command) -> None:
        if command.name != "logout":
            self._asked_to_log_out = False
        match command.name:
            case "help":
                self.action_help()
            case "quit":
                self.exit("")
            case "logout":
                self._log_out()
            case _ if self.conversation is None:
                self.notice("There is no conversation yet.")
            case "again":
                self._do(self._again(self.conversation))
            case "status":
                self._do(self._ask_status(self.conversation))
            case "file":
                self._do(self._send_file(self.conversation, Path(command.arguments[0]).expanduser()))
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
            self._do(self._save(view, path.expanduser()))
        elif command.name == "accept":
            self._do(self.guest.calls.accept_file(view.id))
        else:
            self._do(self.guest.calls.cancel_file(view.id))

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
        await self._show()

    async def _send_file(self, conversation: Conversation, path: Path) -> None:
        def progress(view: FileView) -> None:
            conversation.files[view.id] = view
            self.run_worker(self._show(), group="show", exclusive=True)

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
        self._do(self._leave())

    async def _leave(self) -> None:
        self._is_leaving = True
        await self.guest.logout()
        self.exit("You are logged out; the link will not work again.")

    # doing

    def _do(self, call: Coroutine[Any, Any, object]) -> None:
        """Do something beside the screen; what goes wrong is said there."""
        self.run_worker(self._attempt(call), group="calls")

    async def _attempt(self, call: Coroutine[Any, Any, T]) -> T | None:
        try:
            return await call
        except (ClientError, OSError) as error:
            self.notice(str(error))
            return None


def _id(uid: str) -> str:
    """Return a widget's id for any UID."""
    return "inviter-" + uid.encode().hex()
