"""What is under way when the gateway dies, what its clients do afterwards, and what must be true in the end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, ClassVar

from tests.crash.site import PATIENCE, Client, Rows, Site, Told, eventually, read_store

A = "sip:a@cc.com"


class Scenario:
    """One course of events with one guest. The gateway may be killed anywhere in :meth:`act`."""

    name: ClassVar[str]
    settings: ClassVar[dict[str, str]] = {}
    expected_error: ClassVar[str] = " no error is expected "
    """What may stand in an error line of the gateway's log."""

    def __init__(self, site: Site, home: Path) -> None:
        self.site = site
        self.home = home
        self.user = f"b-{home.name}@cc.com"
        self.account = f"sip:{self.user}"
        self.secrets: list[str] = []

    async def prepare(self) -> None:
        """Bring about what the course begins with."""

    async def act(self) -> None:
        """Do what is to be disturbed. A client whose connection breaks goes no further."""
        raise NotImplementedError

    async def again(self) -> None:
        """Do what the clients do when the gateway is back: try again what was not answered."""
        raise NotImplementedError

    def interrupted(self, rows: Rows) -> list[str]:
        """Return what contradicts what the clients were told, before they try again."""
        return []

    async def check(self, rows: Rows) -> None:
        """Assert what must be true in the end."""
        raise NotImplementedError

    async def clean(self) -> None:
        """End everything."""
        for uid in ("a", "c"):
            told = await self.site.inviter(uid).call("DELETE", "/rcsgw/inviter/session")
            assert told.status == 200 or told.status == 204, told
        await eventually(lambda: not self.left_behind(), self.left_behind)

    def left_behind(self) -> list[Any]:
        """Return whatever of the guest is still anywhere."""
        site, rows = self.site, read_store(self.home)
        left: list[Any] = [*rows.account, *rows.invitation, *rows.registration, *rows.delivery, *rows.entry]
        left += [*site.core_accounts(), *site.im_accounts(), *site.bindings(), *site.im_online(), *site.phone.chats]
        return left

    # what scenarios are made of

    @property
    def session(self) -> str:
        return f"/rcsgw/invitee/session/{self.account}"

    def guest(self, secret: str = "") -> Client:
        return Client(self.site, self.user, secret or self.secrets[-1])

    async def invite(self, uid: str = "a") -> Told:
        return await self.site.inviter(uid).call("POST", "/rcsgw/invitee/user", {"email": self.user})

    async def invited(self, uid: str = "a") -> None:
        """Invite, and wait until the mail is there and nothing is under way any more."""
        known = len(self.mails())
        told = await self.invite(uid)
        assert told.status == 201, told
        await eventually(lambda: len(self.mails()) > known and read_store(self.home).settled, lambda: "no mail")
        self.take_secret()

    async def logged_in(self) -> None:
        told = await self.guest().call("POST", self.session)
        assert told.status == 200, told

    async def chatting(self) -> None:
        """Log in and open a chat with A."""
        await self.logged_in()
        told = await self.send("before it all")
        assert told.status == 200, told
        await eventually(lambda: read_store(self.home).settled, lambda: "not settled")

    def mails(self) -> list[Any]:
        return self.site.mailbox.find(self.user)

    def take_secret(self) -> None:
        """Take the login secret from the newest mail."""
        self.secrets.append(self.mails()[-1].links()[0].rpartition("passwd=")[2])

    async def send(self, text: str) -> Told:
        return await self.guest().call(
            "POST", "/rcsgw/invitee/message", {"to": A, "message": text}, key=f"key-{text.replace(' ', '-')}"
        )

    async def conversation(self) -> list[Any]:
        told = await self.guest().call("GET", "/rcsgw/invitee/messages?limit=100")
        assert told.status == 200, told
        messages: list[Any] = told.json["messages"]
        return messages

    async def events(self) -> list[Any]:
        """Return all that B has been told."""
        told = await self.guest().call("GET", "/rcsgw/invitee/events?after=0&wait=0")
        assert told.status == 200, told
        events: list[Any] = told.json["events"]
        return events

    def texts(self) -> tuple[str, str]:
        """Two messages that no other course has."""
        return f"one of {self.home.name}", f"two of {self.home.name}"


class Invitation(Scenario):
    """POST invite → account, core, IM server → mail."""

    name = "invitation"
    told = Told()

    async def act(self) -> None:
        self.told = await self.invite()

    def interrupted(self, rows: Rows) -> list[str]:
        return ["A was told 201, and there is nothing"] if self.told.answered and not rows.invitation else []

    async def again(self) -> None:
        told = await self.invite()
        assert told.status in (200, 201, 202), told
        assert told.json["account"] == self.account

    async def check(self, rows: Rows) -> None:
        assert len(rows.account) == len(rows.invitation) == 1, rows
        self.take_secret()
        await self.logged_in()


class RefusedInvitation(Scenario):
    """The IM server wants nothing of it: what has been done is undone."""

    name = "refused invitation"
    expected_error: ClassVar = "left behind: The interaction server answers 403"
    told = Told()

    async def prepare(self) -> None:
        self.site.im_server.faults.set({"answers": {"REGISTER": 403}})

    async def act(self) -> None:
        self.told = await self.invite()

    def interrupted(self, rows: Rows) -> list[str]:
        return ["an account is left"] if rows.account or rows.invitation else []

    async def again(self) -> None:
        told = await self.invite()
        assert told.status >= 400, told

    async def check(self, rows: Rows) -> None:
        assert self.told.status == 0 or self.told.status >= 400, self.told
        await eventually(lambda: not self.left_behind(), self.left_behind)
        assert not self.mails()

    async def clean(self) -> None:
        self.site.im_server.faults.set({})
        await super().clean()


class NewLink(Scenario):
    """A has the link sent again."""

    name = "new link"
    settings: ClassVar = {"policy.resend_pause": "0"}
    told = Told()

    async def prepare(self) -> None:
        await self.invited()

    async def act(self) -> None:
        self.told = await self.renew()

    async def renew(self) -> Told:
        return await self.site.inviter().call("POST", f"/rcsgw/invitee/user/{self.account}/resend")

    async def again(self) -> None:
        if not self.told.answered:
            self.told = await self.renew()
            assert self.told.status in (200, 202), self.told

    async def check(self, rows: Rows) -> None:
        (first,) = self.secrets
        self.take_secret()
        assert self.secrets[-1] != first
        await self.logged_in()
        assert (await self.guest(first).call("POST", self.session)).status == 410


class Login(Scenario):
    """B logs in."""

    name = "login"
    told = Told()

    async def prepare(self) -> None:
        await self.invited()

    async def act(self) -> None:
        self.told = await self.guest().call("POST", self.session)

    def interrupted(self, rows: Rows) -> list[str]:
        in_store = bool(rows.account and rows.account[0]["logged_in"])
        return ["B was told to be logged in, and is not"] if self.told.answered and not in_store else []

    async def again(self) -> None:
        await self.logged_in()

    async def check(self, rows: Rows) -> None:
        assert self.site.bindings() == [self.account]


class Outgoing(Scenario):
    """Two messages B → A: the first opens the chat, the second finds it open."""

    name = "message B to A"

    def __init__(self, site: Site, home: Path) -> None:
        super().__init__(site, home)
        self.told: dict[str, Told] = {}

    async def prepare(self) -> None:
        await self.invited()
        await self.logged_in()

    async def act(self) -> None:
        for text in self.texts():
            told = await self.send(text)
            if not told.answered:
                return
            assert told.status == 200, told
            self.told[text] = told

    def interrupted(self, rows: Rows) -> list[str]:
        stored = {row["body"]: row for row in rows.entry if row["kind"] == "message"}
        lost = [f"{text!r} was acknowledged and is lost" for text in self.told if text not in stored]
        lost += [f"{text!r} is stored and did not arrive" for text in stored if not self.site.heard(text)]
        return lost

    async def again(self) -> None:
        for text in self.texts():
            if text not in self.told:
                self.told[text] = told = await self.send(text)
                assert told.status in (200, 202), told

    async def check(self, rows: Rows) -> None:
        shown = [(item["message"], item["id"], item["state"]) for item in await self.conversation()]
        for text, told in self.told.items():
            assert shown.count((text, told.json["id"], "sent")) == 1, shown
            assert [item[0] for item in shown].count(text) == 1, shown
            assert set(self.site.heard(text)) == {told.json["id"]}, self.site.phone.events


class FirstMessage(Outgoing):
    """The same where the IM server hears of B only now."""

    name = "first message registers"
    settings: ClassVar = {"interaction.register_at": "first_message"}


class Incoming(Scenario):
    """Two messages A → B: the first opens the chat. A's phone repeats what is not acknowledged, with the same id."""

    name = "message A to B"

    def __init__(self, site: Site, home: Path) -> None:
        super().__init__(site, home)
        self.acknowledged: list[str] = []
        self.saying: asyncio.Task[None]

    async def prepare(self) -> None:
        await self.invited()
        await self.logged_in()

    async def act(self) -> None:
        self.saying = asyncio.create_task(self._say())
        while self.site.gateway_runs and not self.saying.done():
            await asyncio.sleep(0.002)

    async def _say(self) -> None:
        for number, text in enumerate(self.texts()):
            await self.site.say(self.account, text, f"id{number}-{self.home.name}")
            self.acknowledged.append(text)

    def interrupted(self, rows: Rows) -> list[str]:
        stored = [row["body"] for row in rows.entry if row["kind"] == "message"]
        return [
            f"{text!r} is there {stored.count(text)} times" for text in self.acknowledged if stored.count(text) != 1
        ]

    async def again(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.saying

    async def check(self, rows: Rows) -> None:
        events = [event["message"] for event in await self.events() if event["kind"] == "message"]
        assert [event["message"] for event in events] == list(self.texts()), events
        assert [item["message"] for item in await self.conversation()] == list(self.texts())


class Logout(Scenario):
    """B logs out in the middle of a chat."""

    name = "logout"
    told = Told()

    async def prepare(self) -> None:
        await self.invited()
        await self.chatting()

    async def act(self) -> None:
        self.told = await self.end()

    async def end(self) -> Told:
        return await self.guest().call("DELETE", self.session)

    def interrupted(self, rows: Rows) -> list[str]:
        return ["the end was acknowledged, and it goes on"] if self.told.answered and rows.invitation else []

    async def again(self) -> None:
        if not self.told.answered:
            told = await self.end()
            assert told.status in (200, 204, 404, 410), told

    async def check(self, rows: Rows) -> None:
        await eventually(lambda: not self.left_behind(), self.left_behind)
        assert (await self.guest().call("POST", self.session)).status == 410
        assert (await self.guest("wrong").call("POST", self.session)).status == 401


class Revocation(Logout):
    """A revokes B's only invitation."""

    name = "revocation"

    async def end(self) -> Told:
        return await self.site.inviter().call("DELETE", f"/rcsgw/invitee/user/{self.account}")


class KeptAccount(Logout):
    """B logs out where accounts outlive their relations."""

    name = "logout, account kept"
    settings: ClassVar = {"policy.on_end": "relation"}

    def left_behind(self) -> list[Any]:
        site, rows = self.site, read_store(self.home)
        left: list[Any] = [*rows.invitation, *rows.delivery, *site.bindings(), *site.im_online(), *site.phone.chats]
        left += [row for row in rows.account if row["logged_in"]]
        return left + [row for row in rows.entry if row["kind"] != "session"]

    async def check(self, rows: Rows) -> None:
        await super().check(rows)
        assert [row["uri"] for row in rows.account] == [self.account]

    async def clean(self) -> None:
        await super().clean()
        for user in self.site.core_accounts():
            self.site.core.remove_subscriber(user)
        for uri in self.site.im_accounts():
            self.site.im_server.accounts.remove(uri)


class OneOfTwo(Scenario):
    """A revokes; C, who has invited B as well, goes on."""

    name = "revocation, another inviter stays"
    told = Told()

    async def prepare(self) -> None:
        await self.invited("a")
        await self.invited("c")
        await self.chatting()

    async def act(self) -> None:
        self.told = await self.end()

    async def end(self) -> Told:
        return await self.site.inviter().call("DELETE", f"/rcsgw/invitee/user/{self.account}")

    def interrupted(self, rows: Rows) -> list[str]:
        inviters = [row["uid"] for row in rows.invitation]
        return [] if "c" in inviters and not (self.told.answered and "a" in inviters) else [f"inviters: {inviters}"]

    async def again(self) -> None:
        if not self.told.answered:
            told = await self.end()
            assert told.status in (200, 204, 404), told

    async def check(self, rows: Rows) -> None:
        assert [row["uid"] for row in rows.invitation] == ["c"]
        assert not [row for row in rows.entry if row["uid"] == "a" and row["kind"] != "session"]
        first, second = self.secrets
        assert (await self.guest(first).call("POST", self.session)).status == 410
        assert (await self.guest(second).call("POST", self.session)).status == 200
        assert self.site.bindings() == [self.account]
        told = [event["session"]["uid"] for event in await self.events() if event["kind"] == "session"]
        assert set(told) == {"a"}, told  # once more where it was not known that B has been told
        await eventually(lambda: not self.site.phone.chats, lambda: self.site.phone.chats)


SCENARIOS: tuple[type[Scenario], ...] = (
    Invitation,
    RefusedInvitation,
    NewLink,
    Login,
    Outgoing,
    FirstMessage,
    Incoming,
    Logout,
    Revocation,
    KeptAccount,
    OneOfTwo,
)
