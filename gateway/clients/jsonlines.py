"""``rcsgw guest --json``: one JSON object a line, commands in and events out, for scripts.

A command is ``{"do": "send", "to": "a", "text": "Hello", "tag": 1}``; its outcome comes as ``{"type": "answer", "do":
"send", "tag": 1, "result": …}`` or as ``{"type": "error", …}``. Commands run side by side. What happens comes as
``{"type": "event", "event": …}``, the connection as ``{"type": "connection", "connected": false}``. End of input ends
the program when the commands are answered; nobody is logged out by that.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from gateway.clients.errors import ClientError, Refused
from gateway.clients.events import EventReader
from gateway.clients.rcsguest import RcsGuest, is_end
from translators.model import Body, FileView

Write = Callable[[dict[str, Any]], None]
"""Puts out one object."""

MAX_PENDING = 64
"""Commands under way; further ones are not read before one is answered."""


class BadCommand(ValueError):
    """A line is no command; the text names what is wrong."""


class JsonLines:
    """Speaks for one guest who is logged in."""

    def __init__(self, guest: RcsGuest, write: Write) -> None:
        self._guest = guest
        self._write = write
        self._commands: dict[str, Callable[[dict[str, Any]], Awaitable[Any]]] = {
            "send": self._send,
            "typing": self._typing,
            "seen": lambda fields: guest.seen(_text(fields, "id")),
            "status": lambda fields: guest.status(_text(fields, "of")),
            "history": self._history,
            "files": lambda fields: guest.calls.files(fields.get("with")),
            "file": self._file,
            "fetch": self._fetch,
            "accept": lambda fields: guest.calls.accept_file(_text(fields, "id")),
            "cancel": lambda fields: guest.calls.cancel_file(_text(fields, "id")),
            "logout": lambda fields: guest.logout(),
        }

    async def run(self, lines: AsyncIterator[str], *, polls: bool = False) -> str:
        """Serve until the input ends (``end-of-input``) or the session does: return why."""
        self._write({"type": "session", "session": _plain(self._guest.session)})
        reader = self._guest.events(polls=polls, on_connection=self._connection)
        events = asyncio.create_task(self._events(reader))
        commands = asyncio.create_task(self._serve(lines, reader.ready()))
        try:
            done, _ = await asyncio.wait({events, commands}, return_when=asyncio.FIRST_COMPLETED)
            if commands in done:
                commands.result()
            return events.result() if events in done else "end-of-input"
        finally:
            for task in (events, commands):
                task.cancel()
            await asyncio.gather(events, commands, return_exceptions=True)

    def _connection(self, is_connected: bool) -> None:
        self._write({"type": "connection", "connected": is_connected})

    async def _events(self, events: EventReader) -> str:
        try:
            async for event in events:
                self._write({"type": "event", "event": _plain(event)})
                if event.session is not None and is_end(event):
                    return event.session.state
        except Refused as error:
            self._write(_error({}, error))
        return "ended"

    async def _serve(self, lines: AsyncIterator[str], ready: Awaitable[None]) -> None:
        await ready
        pending: set[asyncio.Task[None]] = set()
        async for line in lines:
            if line.strip():
                pending.add(asyncio.create_task(self._obey(line)))
            if len(pending) >= MAX_PENDING:
                _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            pending = {task for task in pending if not task.done()}
        if pending:
            await asyncio.wait(pending)

    async def _obey(self, line: str) -> None:
        fields: dict[str, Any] = {}
        try:
            fields = _command(line, self._commands)
            result = await self._commands[fields["do"]](fields)
        except (ClientError, BadCommand, OSError) as error:
            self._write(_error(fields, error))
        else:
            self._write({"type": "answer", **_about(fields), "result": _plain(result)})

    async def _send(self, fields: dict[str, Any]) -> Body:
        return await self._guest.send(_text(fields, "to"), _text(fields, "text"), key=fields.get("key"))

    async def _typing(self, fields: dict[str, Any]) -> None:
        await self._guest.typing(_text(fields, "to"), stopped=bool(fields.get("stopped")))

    async def _history(self, fields: dict[str, Any]) -> list[Any]:
        limit = fields.get("limit", 100)
        if not isinstance(limit, int) or limit < 1:
            raise BadCommand("limit is no positive number")
        messages: list[Any] = []
        async for message in self._guest.history(fields.get("with")):
            messages.insert(0, _plain(message))
            if len(messages) >= limit:
                break
        return messages

    async def _file(self, fields: dict[str, Any]) -> FileView:
        def progress(view: FileView) -> None:
            self._write({"type": "progress", **_about(fields), "octets": view.octets, "size": view.size})

        path = Path(_text(fields, "path"))
        return await self._guest.send_file(_text(fields, "to"), path, key=fields.get("key"), on_progress=progress)

    async def _fetch(self, fields: dict[str, Any]) -> str:
        file = await self._guest.calls.file_state(_text(fields, "id"))
        path = Path(fields.get("path") or file.name)
        return str(await self._guest.fetch_file(file, path))


def _command(line: str, known: Iterable[str]) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise BadCommand(f"this line is no JSON: {error}") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("do"), str):
        raise BadCommand('a command is an object with "do"')
    if fields["do"] not in known:
        raise BadCommand(f"do: one of {', '.join(known)}")
    return fields


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise BadCommand(f"{fields['do']} needs {name}, a text")
    return value


def _about(fields: dict[str, Any]) -> dict[str, Any]:
    """Return what tells which command something is about."""
    return {name: fields[name] for name in ("do", "tag") if name in fields}


def _error(fields: dict[str, Any], error: Exception) -> dict[str, Any]:
    told: dict[str, Any] = {"type": "error", **_about(fields), "text": str(error)}
    if isinstance(error, Refused):
        told |= {"status": error.status, "kind": error.kind, "retryable": error.retryable}
    return told


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value)
