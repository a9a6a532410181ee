"""Inviting somebody, and the list of whom A has invited."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen, Screen
from textual.widgets import Button, Checkbox, DataTable, Footer, Input, Static

from gateway.lab.invitations import OVER, Invitations, View, link_words
from gateway.lab.phonecommands import FAILURES, in_words
from gateway.terminal.text import day, harmless

COLUMNS = ("Person", "Account", "State", "Link", "Until", "For")


class InviteForm(ModalScreen[View | None]):
    """Asks whom to invite and does it; gives the invitation, or None when the person has changed their mind."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "dismiss", "Back")]
    CSS = """
    InviteForm { align: center middle; }
    InviteForm > Vertical { width: 70; height: auto; border: round $primary; padding: 1 2; background: $surface; }
    InviteForm Horizontal { height: auto; }
    #result { height: auto; margin-top: 1; }
    """

    def __init__(self, invitations: Invitations) -> None:
        super().__init__()
        self._invitations = invitations

    def compose(self) -> ComposeResult:
        """Lay the form out."""
        with Vertical():
            yield Static("Invite by e-mail address or phone number", classes="title")
            yield Input(placeholder="b@example.com or +4915112345678", id="who")
            yield Input(placeholder="A line of your own (not needed)", id="note")
            yield Input(placeholder="Valid for how many hours (not needed)", id="hours", type="number")
            with Horizontal():
                yield Checkbox("chat", value=True, id="im")
                yield Checkbox("files", value=True, id="file")
                yield Button("Invite", variant="primary", id="invite")
            yield Static("Enter invites, Esc goes back.", id="result")

    def on_mount(self) -> None:
        """Begin with the address."""
        self.query_one("#who").focus()

    @on(Input.Submitted)
    @on(Button.Pressed, "#invite")
    def _submitted(self) -> None:
        self._say("Inviting…", "dim")
        self._invite()

    @work(exclusive=True)
    async def _invite(self) -> None:
        hours = self.query_one("#hours", Input).value
        types = [name for name in ("im", "file") if self.query_one(f"#{name}", Checkbox).value]
        try:
            view = await self._invitations.inviter.invite(
                self.query_one("#who", Input).value.strip(),
                types=types,
                valid_for=float(hours) * 3600 if hours else None,
                note=self.query_one("#note", Input).value or None,
            )
        except FAILURES as error:
            self._say(in_words(error), "red")
            return
        _ = self.dismiss(view)  # a screen can't await its own end

    def _say(self, words: str, style: str) -> None:
        self.query_one("#result", Static).update(Text(harmless(words), style))


class InvitationsScreen(Screen[None]):
    """Shows A's invitations as they stand, and what may be done with one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape,f3", "dismiss", "Back"),
        ("r", "resend", "Send the link again"),
        ("d", "revoke", "Revoke (twice)"),
    ]
    CSS = "#said { height: auto; padding: 0 1; color: $warning; }"

    def __init__(self, invitations: Invitations) -> None:
        super().__init__()
        self._invitations = invitations
        self._asked = ""
        """Account that a second press revokes."""

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield DataTable(id="table", cursor_type="row")
        yield Static(id="said")
        yield Footer()

    def on_mount(self) -> None:
        """Fill the table."""
        table = self._table
        for column in COLUMNS:
            table.add_column(column, key=column)
        table.focus()
        self.refresh_rows()

    @property
    def _table(self) -> DataTable[Text]:
        table: DataTable[Text] = self.query_one("#table", DataTable)
        return table

    def refresh_rows(self) -> None:
        """Bring the table to how the invitations stand; the cursor stays where it is."""
        table = self._table
        for account, view in self._invitations.all.items():
            cells = [Text(harmless(cell)) for cell in _cells(view)]
            if account not in table.rows:
                table.add_row(*cells, key=account)
                continue
            for column, cell in zip(COLUMNS, cells, strict=True):
                table.update_cell(account, column, cell, update_width=True)
        if self._invitations.trouble:
            self.say(self._invitations.trouble)

    def say(self, words: str) -> None:
        """Say what came of something."""
        self.query_one("#said", Static).update(Text(harmless(words)))

    def action_resend(self) -> None:
        """Have the link sent again."""
        if account := self._chosen():
            self._resend(account)

    def action_revoke(self) -> None:
        """End the invitation, at the second press."""
        account = self._chosen()
        if account and account == self._asked:
            self._revoke(account)
        elif account:
            self._asked = account
            self.say(f"{account} can't chat with you any more then. d once more revokes it.")

    def _chosen(self) -> str:
        """Return the account under the cursor, empty where there is none."""
        if not self._table.row_count:
            return ""
        return str(self._table.coordinate_to_cell_key(self._table.cursor_coordinate).row_key.value)

    @work
    async def _resend(self, account: str) -> None:
        try:
            await self._invitations.inviter.resend(account)
        except FAILURES as error:
            self.say(in_words(error))
        else:
            self.say("A new link is on its way; the old one does not work any more.")

    @work
    async def _revoke(self, account: str) -> None:
        self._asked = ""
        try:
            await self._invitations.inviter.revoke(account)
        except FAILURES as error:
            self.say(in_words(error))
        else:
            self.say(f"{account} is revoked.")


def _cells(view: View) -> tuple[str, ...]:
    state = f"{view['state']} ({view['reason']})" if view.get("reason") else view["state"]
    until = "" if view["state"] in OVER else day(view.get("valid_until", ""))
    return (
        str(view.get("identifier", "")),
        view["account"],
        state,
        link_words(view),
        until,
        ", ".join(view.get("types", ())),
    )
