"""The screen that both terminals share, with nobody behind it."""

from __future__ import annotations

from rich.text import Text
from textual.screen import Screen
from textual.widgets import Input, Static

from gateway.terminal.frame import ChatFrame, HelpScreen
from gateway.terminal.lines import Lines


class Talk(ChatFrame):
    """Shows a few people; what is typed is said by whoever is shown."""

    def __init__(self, *people: str) -> None:
        super().__init__()
        self.people = list(people)
        self.said: list[tuple[str, str]] = []
        self.keys = 0
        self.drawn = 0
        self.most = 300

    def begin(self) -> None:
        self.query_one(Lines).limit = self.most
        self.changed()

    async def show(self) -> None:
        self.drawn += 1
        self.show_me(Text("me"))
        await self.show_people((name, Text(name)) for name in self.people)
        lines = [(str(index), Text(text)) for index, (who, text) in enumerate(self.said) if who == self.current]
        await self.show_conversation(Text(self.current), lines)

    def entered(self, text: str) -> None:
        if text == "wrong":
            raise ValueError("that was wrong")
        if text == "fail":
            self.do(self.fail())
        self.said.append((self.current, text))

    async def fail(self) -> None:
        raise OSError("it failed")

    def typing(self) -> None:
        self.keys += 1

    def help(self) -> str:
        return "\n".join(f"[line {number}]" for number in range(200))

    def shown(self, id: str) -> str:
        return str(self.query_one(f"#{id}", Static).content)

    @property
    def lines(self) -> list[str]:
        return [str(place.content) for place in self.query_one("#lines").query(Static)]


async def test_people_and_their_conversations() -> None:
    app = Talk("ann", "bob")
    async with app.run_test() as pilot:
        await pilot.pause()
        assert (app.current, app.shown("head"), app.shown("me")) == ("ann", "ann", "me")
        await pilot.press(*"hi", "enter")
        await pilot.pause()
        assert app.lines == ["hi"]
        await pilot.press("ctrl+n")
        await pilot.pause()
        assert (app.current, app.lines) == ("bob", [])
        await pilot.press("ctrl+n")
        await pilot.pause()
        assert (app.current, app.lines) == ("ann", ["hi"])


async def test_who_is_wanted_before_they_are_listed() -> None:
    app = Talk("ann")
    async with app.run_test() as pilot:
        app.choose("cid")
        await pilot.pause()
        assert app.current == "ann"
        app.people += ["bob", "cid"]
        app.changed()
        await pilot.pause()
        assert (app.current, app.shown("head")) == ("cid", "cid")


async def test_what_was_typed_wrongly_stays() -> None:
    app = Talk("ann")
    async with app.run_test() as pilot:
        await pilot.press(*"wrong", "enter")
        assert (app.shown("notice"), app.query_one("#entry", Input).value) == ("that was wrong", "wrong")
        assert (app.said, app.keys) == ([], 5)
        await pilot.press(*["backspace"] * 5, *"/x", "enter")
        assert app.keys == 5 + 4, "a command is no message that is being typed"


async def test_failures_are_said_whatever_is_on_top() -> None:
    app = Talk("ann")
    async with app.run_test() as pilot:
        await app.push_screen(Screen())
        app.entered("fail")
        app.people.append("bob")
        app.changed()
        await pilot.pause()
        await app.pop_screen()
        assert app.shown("notice") == "it failed"
        assert len(app.query_one("#people").children) == 2


async def test_help_scrolls_and_goes() -> None:
    app = Talk("ann")
    async with app.run_test() as pilot:
        await pilot.press("f1")
        assert isinstance(app.screen, HelpScreen) and not app.is_looked_at
        await pilot.press("end")
        await pilot.pause()
        assert app.screen.query_one("#help").max_scroll_y > 100
        await pilot.press("escape")
        assert not isinstance(app.screen, HelpScreen) and app.is_looked_at


async def test_many_changes_are_drawn_once() -> None:
    app = Talk("ann")
    async with app.run_test() as pilot:
        await pilot.pause()
        before = app.drawn
        for _ in range(100):
            app.changed()
        await pilot.pause()
        assert app.drawn == before + 1


async def test_older_lines_come_when_they_are_asked_for() -> None:
    app = Talk("ann")
    app.said, app.most = [("ann", str(number)) for number in range(30)], 10
    async with app.run_test() as pilot:
        await pilot.pause()
        assert (len(app.lines), app.lines[-1]) == (10, "29")
        app.more_lines()
        await pilot.pause()
        assert len(app.lines) == 30


async def test_only_what_changes_is_made_anew() -> None:
    app = Talk("ann")
    app.said, app.most = [("ann", str(number)) for number in range(30)], 10
    async with app.run_test() as pilot:
        await pilot.pause()
        before = {str(place.content): place for place in app.query_one(Lines).query(Static)}
        app.said += [("ann", "30"), ("ann", "31")]  # two old ones fall out
        app.said[25] = ("ann", "changed")
        app.changed()
        await pilot.pause()
        after = [*app.query_one(Lines).query(Static)]
        assert app.lines == ["22", "23", "24", "changed", "26", "27", "28", "29", "30", "31"]
        assert after[0] is before["22"] and after[3] is before["25"] and after[7] is before["29"]
        await app.query_one(Lines).show("ann", [("22", Text("22")), ("new", Text("in between")), ("26", Text("26"))])
        assert (app.lines, app.query_one(Lines).query(Static).first()) == (["22", "in between", "26"], before["22"])
