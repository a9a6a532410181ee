"""Plays a script on A's phone: each step in turn, and the first that goes wrong ends it."""

from __future__ import annotations

import asyncio
import fnmatch
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from gateway.lab.invitations import Invitations, View
from gateway.lab.inviter import InviteFailed, Inviter
from gateway.lab.phone import Phone, PhoneEvent, explain
from gateway.lab.phonecommands import type_of
from gateway.lab.script import Script, Step, behaviour_change
from sipstack.errors import RequestFailed, SipstackError
from sipstack.net.filetransfer import DONE
from sipstack.sip.uri import Uri

TIMEOUT = 10.0
"""Seconds that a step may take, until the script says otherwise."""

SHOWN = 8
"""Things that came instead, as a failure lists them."""

KIND_OF = {"page": "message", "file-offered": "offered"}
"""Kind of a phone's event → what scripts call it, where that differs."""


class ScriptFailed(Exception):
    """A step went wrong; the text names file, line, step and reason."""


class Refused(Exception):
    """A step was refused, with a status of SIP, MSRP or HTTP; 0 where there is none."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that a step may wait for. Each is taken once."""

    kind: str
    peer: str
    text: str
    names: tuple[str, ...] = ()
    """Further names of ``peer``."""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.kind, f'"{self.text}"' if self.text else "", self.peer)))


class Player:
    """Plays one script. ``tell`` is given each step, as words, when it is done."""

    def __init__(
        self,
        script: Script,
        phone: Phone,
        inviter: Inviter | None = None,
        tell: Callable[[str], None] = lambda words: None,
    ) -> None:
        self._script = script
        self._phone = phone
        self._invitations = None if inviter is None else Invitations(inviter, self._invitation_changed)
        self._tell = tell
        self._timeout = TIMEOUT
        self._peer = ""
        """Whom steps are about that name nobody: who was named or heard last."""
        self._names: dict[str, str] = {}
        self._waiting: list[Happening] = []
        """What happened and no step has taken."""
        self._news = asyncio.Event()
        self._told: dict[str, tuple[str, str]] = {}
        """Account → state of the invitation and of its link, as they were told last."""
        self._on_event, phone.on_event = phone.on_event, self._happened
        self._steps: dict[str, Callable[[Step], Awaitable[object]]] = {
            "wait": self._wait,
            "no": self._no,
            "forget": self._forget,
            "delay": lambda step: asyncio.sleep(step.seconds("SECONDS", 0.0)),
            "timeout": self._set_timeout,
            "call": lambda step: phone.call(self._who(step)),
            "answer": self._answer,
            "decline": self._decline,
            "send": self._send,
            "type": lambda step: phone.type(self._who(step)),
            "idle": lambda step: phone.type(self._who(step), active=False),
            "seen": self._seen,
            "hangup": self._hang_up,
            "status": self._status,
            "file": self._file,
            "link": self._link,
            "same": self._same,
            "invite": self._invite,
            "resend": lambda step: self._inviter.resend(self._account(step["PERSON"])),
            "revoke": lambda step: self._inviter.revoke(self._account(step["PERSON"])),
            "logout": lambda step: self._inviter.log_out(),
            "online": lambda step: phone.go_online(),
            "offline": lambda step: phone.go_offline(),
            "set": self._set,
            "name": self._name,
            "print": lambda step: asyncio.sleep(0),
        }

    async def play(self) -> None:
        """Play all steps. Raise ScriptFailed at the first that goes wrong."""
        following = None if self._invitations is None else asyncio.ensure_future(self._invitations.follow())
        try:
            for step in self._script.steps:
                began = time.monotonic()
                await self._play(step)
                words = step["TEXT"] if step.verb == "print" else step.text
                self._tell(f"{step.line:4}  {words}  ({time.monotonic() - began:.2f} s)")
        finally:
            if following is not None:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    async def _play(self, step: Step) -> None:
        try:
            await self._attempt(step)
        except Refused as error:
            if not step.is_refused:
                raise self._failed(step, f"was refused: {error}") from None
            if step.refusal not in (None, error.status):
                raise self._failed(step, f"was refused otherwise: {error}") from None
        else:
            if step.is_refused:
                raise self._failed(step, "was not refused")

    async def _attempt(self, step: Step) -> None:
        """Carry a step out. Raise Refused or ScriptFailed."""
        # what names a time of its own takes as long
        limit = None if step.verb in ("wait", "no", "delay") else self._timeout
        try:
            async with asyncio.timeout(limit):
                await self._steps[step.verb](step)
        except RequestFailed as error:
            raise Refused(error.response.status, explain(error)) from None
        except InviteFailed as error:
            raise Refused(error.status, str(error)) from None
        except TimeoutError:
            raise self._failed(step, f"was not done within {self._timeout:g} s") from None
        except (SipstackError, aiohttp.ClientError, OSError) as error:
            raise self._failed(step, explain(error)) from None
        except KeyError:
            raise self._failed(step, "there is nothing to do that with") from None
        except ValueError as error:
            raise self._failed(step, str(error)) from None

    def _failed(self, step: Step, why: str) -> ScriptFailed:
        return ScriptFailed(f"{self._script.name}:{step.line}: {step.text}: {why}")

    # people

    def _who(self, step: Step) -> str:
        """Return the URI of whom a step is about. Raise ValueError when that is nobody."""
        if step.who:
            self._peer = Uri.parse(self._account(step.who)).aor
        if not self._peer:
            raise ValueError("with whom? nobody was named or heard of yet")
        return self._peer

    def _account(self, name: str) -> str:
        """Return the URI behind a name, an invited e-mail address or number, or the URI that it is."""
        if name in self._names:
            return self._names[name]
        invited = None if self._invitations is None else self._invitations.find(name)
        return name if invited is None else str(invited["account"])

    async def _name(self, step: Step) -> None:
        self._names[step["NAME"]] = step["URI"]

    # what happens

    def _happened(self, event: PhoneEvent) -> None:
        if self._on_event is not None:
            self._on_event(event)
        kind, text = KIND_OF.get(event.kind, event.kind), event.text
        if kind == "composing":
            kind, text = ("typing" if text == "active" else "idle"), ""
        elif kind == "file":
            text = self._phone.files.all[event.id].name
        self._take(Happening(kind, event.peer, text))

    def _invitation_changed(self, view: View | None) -> None:
        """Take how an invitation stands, or all of them."""
        assert self._invitations is not None
        for changed in self._invitations.all.values() if view is None else (view,):
            account, delivery = changed["account"], (changed.get("delivery") or {}).get("state", "")
            before, self._told[account] = self._told.get(account, ("", "")), (changed["state"], delivery)
            names = (str(changed.get("identifier")),)
            if changed["state"] != before[0]:
                self._take(Happening("invitation", account, changed["state"], names))
            if delivery != before[1]:
                self._take(Happening("delivery", account, delivery, names))

    def _take(self, happening: Happening) -> None:
        self._waiting.append(happening)
        self._news.set()

    def _find(self, step: Step) -> Happening | None:
        """Take the first thing that a step is about."""
        who = step["from"]
        for happening in self._waiting:
            if (
                happening.kind == step["KIND"]
                and step["TEXT"] in ("", happening.text)
                and fnmatch.fnmatchcase(happening.text, step["like"] or "*")
                and (not who or who in happening.names or _same_aor(self._account(who), happening.peer))
            ):
                self._waiting.remove(happening)
                return happening
        return None

    async def _wait(self, step: Step) -> None:
        seconds = step.seconds("within", self._timeout)
        found = await self._next(step, seconds)
        if found is None:
            came = "; ".join(map(str, self._waiting[-SHOWN:])) or "nothing"
            trouble = "" if self._invitations is None else self._invitations.trouble
            why = f"that did not happen within {seconds:g} s, but: {came}"
            raise self._failed(step, f"{why} ({trouble})" if trouble else why)
        self._peer = found.peer or self._peer

    async def _no(self, step: Step) -> None:
        found = await self._next(step, step.seconds("for", 1.0))
        if found is not None:
            raise self._failed(step, f"there was one: {found}")

    async def _next(self, step: Step, seconds: float) -> Happening | None:
        try:
            async with asyncio.timeout(seconds):
                while (found := self._find(step)) is None:
                    self._news.clear()
                    await self._news.wait()
                return found
        except TimeoutError:
            return None

    async def _forget(self, _: Step) -> None:
        self._waiting.clear()

    # chats

    async def _answer(self, step: Step) -> None:
        peer, file = self._caller(step)
        if file:
            self._phone.files.accept(file)
        else:
            self._phone.accept(peer)

    async def _decline(self, step: Step) -> None:
        peer, file = self._caller(step)
        status = int(step["with"] or 603)
        if file:
            self._phone.files.decline(file, status)
        else:
            self._phone.decline(peer, status)

    def _caller(self, step: Step) -> tuple[str, str]:
        """Return who waits for an answer, and the id of the file if it is about one."""
        peer = self._who(step)
        files = self._phone.files
        return peer, next((id for id in files.offers if files.all[id].peer == peer), "")

    async def _send(self, step: Step) -> None:
        message = await self._phone.say(self._who(step), step["TEXT"])
        if message.state.value != "sent":
            raise Refused(message.status or 0, f"{message.status or ''} the message is {message.state.value}".strip())

    async def _seen(self, step: Step) -> None:
        self._phone.notices.seen(self._who(step))

    async def _hang_up(self, step: Step) -> None:
        await self._phone.hang_up(self._who(step))

    async def _status(self, step: Step) -> None:
        status = await self._phone.ask(self._who(step))
        if status != 200:
            raise Refused(status, f"{status} to OPTIONS")

    # files

    async def _file(self, step: Step) -> None:
        path = self._path(step)
        name = step["as"] or path.name
        file = await self._phone.files.send(self._who(step), path, name=name, content_type=type_of(path))
        if file.state != DONE:
            raise Refused(0, f"the file is {file.state}")

    async def _link(self, step: Step) -> None:
        path = self._path(step)
        name = step["as"] or path.name
        await self._phone.links.send(self._who(step), path, name=name, content_type=type_of(path))

    async def _same(self, step: Step) -> None:
        path = self._path(step)
        came = [file for file in self._phone.files.all.values() if (file.direction, file.state) == ("in", DONE)]
        if not came:
            raise KeyError
        if await asyncio.to_thread(path.read_bytes) != await asyncio.to_thread(came[-1].path.read_bytes):
            raise ValueError(f"{came[-1].name} came with other octets")

    def _path(self, step: Step) -> Path:
        """Return the file of a step. Raise ValueError when there is none."""
        path = self._script.folder / Path(step["PATH"]).expanduser()
        if not path.is_file():
            raise ValueError(f"there is no file {path}")
        return path

    # invitations

    @property
    def _inviter(self) -> Inviter:
        if self._invitations is None:
            raise ValueError("no gateway was named (--gateway)")
        return self._invitations.inviter

    async def _invite(self, step: Step) -> None:
        inviter = self._inviter
        assert self._invitations is not None
        options: dict[str, Any] = {name: step[name] or None for name in ("note", "language", "via")}
        options |= {"types": step["types"].split(",") if step["types"] else (), "valid_for": step.seconds("for", 0.0)}
        view = await inviter.invite(step["PERSON"], **options)
        self._invitations.add(view)
        self._peer = str(view["account"])
        self._names |= {name: self._peer for name in (step["as"], step["PERSON"]) if name}

    # the phone and the script itself

    async def _set(self, step: Step) -> None:
        self._phone.behave(**behaviour_change(step))

    async def _set_timeout(self, step: Step) -> None:
        self._timeout = step.seconds("SECONDS", TIMEOUT)


def _same_aor(uri: str, aor: str) -> bool:
    return Uri.parse(uri).aor == aor
