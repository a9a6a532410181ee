"""What is under test: where it is, what it can be, and how it is made to act."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.lab.conformance.case import ROLES
from gateway.lab.conformance.verdict import Inconclusive, NotApplicable
from sipstack.errors import ParseError
from sipstack.flow import HostPort
from sipstack.msrp.uri import MsrpUri
from sipstack.sip.uri import Uri

if TYPE_CHECKING:
    from gateway.lab.conformance.gatewaytarget import OwnGateway

ACTIONS: dict[str, str] = {
    "register": "REGISTER",
    "reregister": "REGISTER",
    "unregister": "REGISTER",
    "options": "OPTIONS",
    "message": "MESSAGE",
    "invite": "INVITE",
    "cancel": "CANCEL",
    "reinvite": "INVITE",
    "bye": "BYE",
}
"""What a target can be made to do → the request that it sends then."""

TRIGGER_SECONDS = 0.3
"""How long a trigger's command is watched: what fails, fails at once; the others may run as long as the case does."""

CANNOT = 3
"""Exit status by which a trigger's command says that the target can't do that."""

DEFAULT_PORTS = {"UDP": 5060, "TCP": 5060, "TLS": 5061}

Act = Callable[[str, Mapping[str, str]], Awaitable[None]]
"""Makes a target do one of :data:`ACTIONS` towards ``details["uri"]``. Raises NotApplicable, Inconclusive."""


class BadTarget(ValueError):
    """A target can't be meant; the text says why."""


@dataclass(slots=True)
class Target:
    """An element under test."""

    uri: Uri
    """The Request-URI of what we send."""
    hop: HostPort
    """Numeric address that it goes to."""
    roles: tuple[str, ...]
    """What it can be, most wanted first."""
    transports: tuple[str, ...] = ("UDP", "TCP")
    """Upper case, the preferred one first."""
    name: str = "target"
    """Its column of the ladder, its name in reports."""
    to: str = ""
    """Its address of record, where that is not :attr:`uri`."""
    calls_by: str = ""
    """The transport by which it sends requests of its own; empty: any."""
    gateway: OwnGateway | None = field(default=None, repr=False)
    """Its HTTP side, when it is a gateway that the runner has started."""
    ringing: Uri | None = None
    """Who there does not answer a call for some seconds."""
    act: Act | None = field(default=None, repr=False)
    """Makes it act; None: nobody said how."""

    @property
    def aor(self) -> str:
        """Its URI without port and parameters: what may stand in To (:rfc:`3261#section-19.1.1`, table 1)."""
        if self.to:
            return self.to
        user = f"{self.uri.user}@" if self.uri.user else ""
        return f"{self.uri.scheme}:{user}{self.uri.host}"

    async def trigger(self, action: str, **details: str) -> None:
        """Make it act. Raises NotApplicable when nobody said how or it can't, Inconclusive when that went wrong."""
        if action not in ACTIONS:
            raise ValueError(f"there is no action {action!r}, but {', '.join(ACTIONS)}")
        if self.act is None:
            raise NotApplicable(f"nobody told how to make the target {action} (--trigger)")
        await self.act(action, details)


def read_target(text: str, roles: tuple[str, ...] = ("uas",), at: HostPort | None = None) -> Target:
    """Return the target that a URI names: an element with SIP, or an MSRP relay. Raises BadTarget.

    A SIP URI without ``transport`` is tried by UDP and TCP. ``at`` is where it is reached, if not where it leads.
    """
    unknown = [role for role in roles if role not in ROLES]
    if unknown:
        raise BadTarget(f"there is no role {unknown[0]!r}, but {', '.join(ROLES)}")
    if text.lower().startswith(("msrp:", "msrps:")):
        return _relay(text, at)
    try:
        uri = Uri.parse(text)
    except ParseError as error:
        raise BadTarget(f"{text!r} is no SIP URI: {error}") from None
    if not uri.is_sip or uri.host is None:
        raise BadTarget(f"{text!r} is no SIP URI")
    named = (uri.param("transport") or "").upper()
    secure = uri.scheme == "sips" or named == "TLS"
    transports = ("TLS",) if secure else (named,) if named else ("UDP", "TCP")
    if transports[0] not in DEFAULT_PORTS:
        raise BadTarget(f"the transport of {text!r} is none of {', '.join(DEFAULT_PORTS)}".lower())
    hop = resolve(*at) if at is not None else resolve(uri.host, uri.port or DEFAULT_PORTS[transports[0]])
    return Target(uri, hop, roles, transports, name=f"{uri.host}:{hop[1]}")


def _relay(text: str, at: HostPort | None) -> Target:
    try:
        uri = MsrpUri.parse(text)
    except ParseError as error:
        raise BadTarget(f"{text!r} is no MSRP URI: {error}") from None
    hop = resolve(*(at or uri.host_port))
    sip = Uri("sip", host=uri.host, port=hop[1])
    return Target(sip, hop, ("relay",), ("TLS",) if uri.secure else ("TCP",), name=f"{uri.host}:{hop[1]}")


def resolve(host: str, port: int) -> HostPort:
    """Return the numeric address of a host that the user names. Raises BadTarget."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise BadTarget(f"{host} has no address: {error.strerror or error}") from None
    address = found[0][4]
    return str(address[0]), port


def local_address(remote: HostPort) -> str:
    """Return the address of ours from which ``remote`` is reached. Raises OSError."""
    family = socket.AF_INET6 if ":" in remote[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(remote)
        return str(probe.getsockname()[0])


class CommandTrigger:
    """Makes a target act by a command, with ``{action}``, ``{uri}`` and ``{address}`` (its host:port) filled in.

    No shell sees it. It may return when the target has begun to act, or run until what it began is over; then it is
    stopped behind the case. By status 3 it says that the target can't do that.
    """

    def __init__(self, command: str) -> None:
        """Raises BadTarget when the command can't be read."""
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise BadTarget(f"--trigger {command!r}: {error}") from None
        self._running: list[asyncio.subprocess.Process] = []

    async def act(self, action: str, details: Mapping[str, str]) -> None:
        """Run it. Raises NotApplicable, or Inconclusive when it fails at once."""
        fields = {"action": action, "uri": "", "address": "", **details}
        try:
            process = await asyncio.create_subprocess_exec(
                *(_filled(word, fields) for word in self._words),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env={**os.environ, "CONFORMANCE_ACTION": action, "CONFORMANCE_URI": fields["uri"]},
            )
        except OSError as error:
            raise Inconclusive(f"the trigger can't be run: {error.strerror or error}") from None
        self._running.append(process)
        try:
            async with asyncio.timeout(TRIGGER_SECONDS):
                status = await process.wait()
        except TimeoutError:
            return
        if status == CANNOT:
            raise NotApplicable(f"the trigger says that the target can't {action}")
        if status:
            raise Inconclusive(f"the trigger ended with {status}")

    async def stop(self) -> None:
        """End what still runs."""
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        self._running.clear()


def _filled(word: str, fields: Mapping[str, str]) -> str:
    for name, value in fields.items():
        word = word.replace(f"{{{name}}}", value)
    return word
