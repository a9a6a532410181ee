"""The places at which a gateway can be made to kill itself: every commit and every call to somebody outside.

Wraps methods of the real program in the process that calls :func:`install`; nothing else is changed.
"""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from gateway.delivery.email import EmailDelivery
from gateway.interaction.sip import SipInteraction
from gateway.outgoing import Outgoing
from gateway.provisioning.lab import LabProvisioning
from gateway.storage.sqlite import SqliteStore
from sipstack.net.chat import ChatSession
from sipstack.net.chatmessage import ChatMessage
from sipstack.net.invitation import IncomingInvitation
from sipstack.net.useragent import UserAgent

P = ParamSpec("P")
T = TypeVar("T")

WRITTEN = 0.004
"""Seconds behind a call that only queues octets, after which they are on the wire: the loop writes in its next turn."""

AWAITED: tuple[tuple[type, str, str], ...] = (
    (LabProvisioning, "taken", "ask the core for a name"),
    (LabProvisioning, "provision", "provision"),
    (LabProvisioning, "deprovision", "deprovision"),
    (SipInteraction, "register", "register at the IM server"),
    (SipInteraction, "deregister", "deregister at the IM server"),
    (EmailDelivery, "send", "mail"),
    (UserAgent, "register", "REGISTER"),
    (UserAgent, "unregister", "REGISTER Expires 0"),
    (UserAgent, "invite", "INVITE"),
    (ChatSession, "close", "BYE"),
)

QUEUED: tuple[tuple[type, str, str], ...] = (
    (ChatSession, "send", "SEND"),
    (ChatMessage, "accept", "200 to SEND"),
    (IncomingInvitation, "answer", "200 to INVITE"),
)

NOTED: tuple[tuple[type, str, str], ...] = (
    (SqliteStore, "_commit", "commit"),
    (Outgoing, "answered", "peer's answer to SEND"),
)


@dataclass
class Plan:
    """When to die: ``number`` counts points from 1 on, and only from the moment at which the file ``armed`` exists."""

    armed: Path
    points: Path
    """Every point passed is written here, a line each."""
    number: int = 0
    """0: never."""
    side: str = "before"

    def __post_init__(self) -> None:
        self._passed = 0
        self._lock = threading.Lock()

    def enter(self, name: str) -> bool:
        """Note that a point begins; die if this is the one and the time is before it. Tell whether to die after it."""
        with self._lock:
            if not self.armed.exists():
                return False
            self._passed += 1
            with self.points.open("a") as file:
                file.write(f"{name}\n")
            mine = self._passed == self.number
        if mine and self.side == "before":
            die()
        return mine


def die() -> None:
    """As kill -9 does it."""
    os.kill(os.getpid(), signal.SIGKILL)


def install(plan: Plan) -> None:
    """Wrap all points."""
    for owner, method, name in AWAITED:
        setattr(owner, method, _awaited(plan, name, getattr(owner, method)))
    for owner, method, name in QUEUED:
        setattr(owner, method, _queued(plan, name, getattr(owner, method)))
    for owner, method, name in NOTED:
        setattr(owner, method, _noted(plan, name, getattr(owner, method)))


def _awaited(plan: Plan, name: str, function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    @functools.wraps(function)
    async def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        last = plan.enter(name)
        try:
            return await function(*args, **kwargs)
        finally:
            if last:
                die()

    return wrapped


def _queued(plan: Plan, name: str, function: Callable[P, T]) -> Callable[P, T]:
    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        last = plan.enter(name)
        result = function(*args, **kwargs)
        if last:
            asyncio.get_running_loop().call_later(WRITTEN, die)
        return result

    return wrapped


def _noted(plan: Plan, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapped(*args: Any) -> Any:
        last = plan.enter(name)
        result = function(*args)
        if last:
            die()
        return result

    return wrapped
