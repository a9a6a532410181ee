"""An HTTP client of the gateway that keeps nothing hidden: JSON or XML, Basic, long polls and event streams."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import aiohttp

Format = Literal["json", "xml"]

PATIENCE = 20.0
"""Seconds to wait for what should come at once; only a loaded machine needs them."""

LISTS = frozenset({"inviters", "types", "events", "messages", "services", "invitations", "warning", "reason_header"})
"""Elements that repeat (docs/api.md): in XML one of them looks like none."""

NUMBERS = frozenset({"cursor", "code", "before", "ended", "retry_after", "cause", "size", "octets"})
"""Elements whose text is a number, where it is one."""

EMPTY_LISTS = {"page": "events", "conversation": "messages", "list": "invitations", "status": "services"}
"""Root element → list that is always there, and cannot be seen in XML when it is empty."""

SESSION = "/rcsgw/invitee/session/"
MESSAGE = "/rcsgw/invitee/message"
EVENTS = "/rcsgw/invitee/events"
INVITER_EVENTS = "/rcsgw/inviter/events"

Event = dict[str, Any]
Matches = Callable[[Event], bool]


@dataclass(slots=True)
class Answer:
    """An HTTP answer, read. ``json`` is its tree, whether it came as JSON or as XML."""

    status: int
    headers: dict[str, str]
    content: bytes
    json: Any
    took: float
    """Seconds."""

    @property
    def text(self) -> str:
        """The content as text."""
        return self.content.decode()


def basic(user: str, password: str) -> str:
    """Return an Authorization header's value (RFC 7617)."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


class Http:
    """Calls with one user's credentials."""

    def __init__(
        self, session: aiohttp.ClientSession, base: str, user: str = "", password: str = "", format: Format = "json"
    ) -> None:
        self._session = session
        self._base = base
        self._auth = basic(user, password) if user else None
        self.format = format

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        root: str = "",
        headers: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> Answer:
        """Make one call. ``body`` is sent as it is if it is text, octets or a form, else in this client's format;
        ``root`` is the root element that it has in XML."""
        sent = {"Accept": f"application/{self.format}", **(headers or {})}
        if self._auth:
            sent["Authorization"] = self._auth
        if isinstance(body, dict):
            sent.setdefault("Content-Type", f"application/{self.format}")
            body = to_xml(root, body) if self.format == "xml" else json.dumps(body)
        started = time.monotonic()
        # in a buffer, as octets by themselves would get a warning when they are many
        data = io.BytesIO(body.encode() if isinstance(body, str) else body) if isinstance(body, str | bytes) else body
        async with self._session.request(method, self._base + path, headers=sent, data=data, **kwargs) as response:
            content = await response.read()
            took = time.monotonic() - started
            tree = parse(response.content_type, content)
            return Answer(response.status, dict(response.headers), content, tree, took)

    @asynccontextmanager
    async def open(self, path: str, *, headers: dict[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """GET what is too long to be read whole."""
        sent = {"Authorization": self._auth or "", **headers}
        async with self._session.get(self._base + path, headers=sent, timeout=aiohttp.ClientTimeout()) as answer:
            yield answer

    async def get(self, path: str, **kwargs: Any) -> Answer:
        """GET."""
        return await self.call("GET", path, **kwargs)

    async def post(self, path: str, body: Any = None, **kwargs: Any) -> Answer:
        """POST."""
        return await self.call("POST", path, body, **kwargs)

    async def delete(self, path: str, **kwargs: Any) -> Answer:
        """DELETE."""
        return await self.call("DELETE", path, **kwargs)

    # events

    async def page(self, path: str = EVENTS, after: int = 0, wait: float = 0) -> Any:
        """Return a page of events behind a cursor by a long poll."""
        answer = await self.get(f"{path}?after={after}&wait={wait}")
        assert answer.status == 200, answer
        return answer.json

    async def events(self, path: str = EVENTS, after: int = 0, wait: float = 0) -> list[Event]:
        """Return the events behind a cursor by a long poll."""
        events: list[Event] = (await self.page(path, after, wait))["events"]
        return events

    async def wait_for_event(
        self, matches: Matches, *, path: str = EVENTS, after: int = 0, timeout: float = PATIENCE
    ) -> Event:
        """Poll until an event matches; AssertionError with all that came otherwise."""
        deadline, cursor, seen = time.monotonic() + timeout, after, []
        while (left := deadline - time.monotonic()) > 0:
            for event in await self.events(path, cursor, min(left, 5)):
                cursor = event["cursor"]
                seen.append(event)
                if matches(event):
                    return event
        raise AssertionError(f"no such event within {timeout} s; seen: {seen}")

    @asynccontextmanager
    async def stream(self, path: str = EVENTS, **headers: str) -> AsyncIterator[EventStream]:
        """Open an event stream; ``headers`` such as Last-Event-ID come with _ for -."""
        sent = {"Accept": "text/event-stream", **{name.replace("_", "-"): value for name, value in headers.items()}}
        if self._auth:
            sent["Authorization"] = self._auth
        path += f"?format={self.format}"
        async with self._session.get(self._base + path, headers=sent, timeout=aiohttp.ClientTimeout()) as response:
            assert response.status == 200, await response.text()
            assert response.content_type == "text/event-stream"
            yield EventStream(response)


class EventStream:
    """Server-sent events, one after the other."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.last_id = ""
        """What a browser would send as Last-Event-ID."""
        self.seen: list[Event] = []

    async def next(self, *, timeout: float = PATIENCE) -> Event | None:
        """Return the next event; None when the server has ended the stream."""
        kind, data = "", []
        async with asyncio.timeout(timeout):
            while line := (await self._response.content.readline()).decode():
                name, _, value = line.rstrip("\n").partition(": ")
                if name == "event":
                    kind = value
                elif name == "id":
                    self.last_id = value
                elif name == "data":
                    data.append(value)
                elif not line.strip() and data:
                    text = "\n".join(data)
                    event: Event = parse("application/xml" if text.startswith("<") else "application/json", text)
                    assert event["kind"] == kind and str(event["cursor"]) == self.last_id
                    self.seen.append(event)
                    return event
        return None

    async def wait_for(self, matches: Matches) -> Event:
        """Return the first event from here on that matches."""
        while (event := await self.next()) is not None:
            if matches(event):
                return event
        raise AssertionError(f"the stream ended without such an event; seen: {self.seen}")


# what tests wait for


def text_in(text: str) -> Matches:
    """Match an inviter's message."""
    return lambda event: (
        event["kind"] == "message" and ((event["message"]["direction"], event["message"]["message"]) == ("in", text))
    )


def kind(name: str, **fields: str) -> Matches:
    """Match an event of a kind by fields of its body."""
    return lambda event: (
        event["kind"] == name and all(event[name].get(field) == value for field, value in fields.items())
    )


# JSON and XML to the same tree


def parse(content_type: str, body: str | bytes) -> Any:
    """Return a body as JSON would have it; None for other types."""
    if "json" in content_type:
        return json.loads(body) if body else None
    if "application/" in content_type and "xml" in content_type:
        root = ElementTree.fromstring(body)
        tree = _tree(root) if len(root) else {}
        if name := EMPTY_LISTS.get(root.tag):
            tree.setdefault(name, [])
        return tree
    return None


def _tree(element: ElementTree.Element) -> Any:
    name = _local(element.tag)
    if not len(element):
        text = element.text or ""
        return int(text) if text.isdigit() and (name in NUMBERS or name == "status") else text
    tree: dict[str, Any] = {}
    for child in element:
        key = _local(child.tag)
        if key in LISTS:
            tree.setdefault(key, []).append(_tree(child))
        else:
            tree[key] = _tree(child)
    return tree


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def to_xml(root: str, tree: dict[str, Any]) -> str:
    """Return a body as XML: element names are the JSON keys, a list is a repeated element."""
    assert root, "a body in XML needs its root element"
    items = [
        f"<{name}>{escape(str(item))}</{name}>"
        for name, value in tree.items()
        for item in (value if isinstance(value, list) else [value])
    ]
    return f"<{root}>{''.join(items)}</{root}>"
