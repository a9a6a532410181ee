"""Every kind of MSRP frame that this stack sends, made by the code that sends it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from sipstack import msrp
from sipstack.im import imdn, iscomposing
from sipstack.im.cpim import CpimTemplate
from sipstack.msrp.chunk import REASONS, FailureReport, Flag, MsrpResponse, Report
from sipstack.msrp.connection import MsrpConnection
from sipstack.msrp.outbox import TURN
from sipstack.msrp.relay import RelayClient
from sipstack.msrp.session import MsrpSession
from sipstack.msrp.table import SessionTable
from sipstack.msrp.uri import MsrpUri, parse_path
from sipstack.net import notices
from sipstack.sip.digest import Credentials
from sipstack.sip.digest_relay import RelayCredentials

NOW = 1000.0
"""Nothing here takes time."""

DATE = "2026-11-22T10:15:30Z"

MESSAGE_ID = "Zk3x9QpLw27sVb"

LONG = 30_000
"""Octets of a message that needs several chunks where a relay is in the path."""

OCTETS = bytes(range(1, 256)) + b"\r\n\r\nMSRP abcd1234 SEND\r\n\r\n"
"""Content of which no reader may make anything, with line breaks of its own at the end."""

HARD = b"\0\r\n-------abcd1234$\r\nMSRP abcd1234 SEND\r\n"
"""Content with a zero octet and with the end-line of another transaction, which tshark does not read to its end."""

CHALLENGE = 'Digest realm="cc.com", nonce="b7c9", qop="auth"'

WRITTEN = re.compile(r'"MSRP \{[\w.]+\} (\w+|\{)')
"""How a start line is written in the source: with a method, or with a status in braces."""

METHODS = {"SEND", "REPORT", "AUTH", "{"}
"""The start lines that are made below; ``{`` stands for a status."""


@dataclass(frozen=True)
class Paths:
    """Where frames go: our own URI, the peer's path, and our relays, nearest first."""

    local: str
    remote: str
    relays: str = ""


class Line:
    """A connection with two sessions that nobody answers."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._table = SessionTable()
        self.connection = MsrpConnection(self._table, NOW, local=paths.local)
        self.session = self._open(paths.local)
        self.other = self._open(paths.local.replace(";tcp", "x;tcp"))

    def _open(self, local: str) -> MsrpSession:
        relays = parse_path(self._paths.relays) if self._paths.relays else ()
        session = MsrpSession(MsrpUri.parse(local), max_size=1 << 21, use_path=relays)
        self._table.add(session)
        self.connection.attach(session)
        session.open(parse_path(self._paths.remote))
        return session

    def output(self) -> bytes:
        """Return all that is to be sent."""
        parts = []
        while data := self.connection.data_to_send(NOW):
            parts.append(data)
        return b"".join(parts)


def sends(paths: Paths) -> dict[str, bytes]:
    """Return messages of all contents and wishes, whole, in chunks and given up. Several frames may belong together."""
    made: dict[str, bytes] = {}

    def make(kind: str, body: bytes, content_type: str = "text/plain", **wishes: Any) -> None:
        line = Line(paths)
        line.session.send(body, content_type, message_id=MESSAGE_ID, **wishes)
        made[kind] = line.output()

    line = Line(paths)
    line.session.send_empty()
    made["empty"] = line.output()
    for failure in get_args(FailureReport):
        for success in (False, True):
            kind = f"whole, failure reports {failure}, success reports {success}"
            make(kind, b"hello", failure_report=failure, success_report=success)
    make("without octets", b"")
    make("octets", OCTETS, "application/octet-stream")
    make("hard to read", HARD, "application/octet-stream")
    make("type with parameters", "Grüße, Bob 👋".encode(), 'text/plain; charset="utf-8"; name="a b"')
    for name, (content, content_type) in contents().items():
        make(name, content, content_type)
    make("in chunks", b"y" * LONG)
    for kind, begin in (("interrupted", _begin_other), ("aborted", None), ("aborted between chunks", _begin_other)):
        line = Line(paths)
        message = line.session.send(b"z" * LONG * 10, "text/plain", message_id=MESSAGE_ID)
        if begin is not None:
            begin(line)
        data = line.connection.data_to_send(NOW)
        if kind != "interrupted":
            message.cancel()
        made[kind] = data + line.output()
    return made


def _begin_other(line: Line) -> None:
    line.other.send(b"o" * TURN * 2, "text/plain")


def contents() -> dict[str, tuple[bytes, str]]:
    """Return what a chat sends: content and content type, by name."""
    plain, people = notices.ANONYMOUS, CpimTemplate("sip:b@cc.com", "sip:a@cc.com")
    cpim = {
        "CPIM": plain.render("text/plain", b"hello", datetime=DATE),
        "CPIM that asks": notices.ASKING.render("text/plain", "ü".encode(), datetime=DATE, message_id=MESSAGE_ID),
        "CPIM with more": people.render("text/plain", b"", datetime=DATE, headers=[("Subject", "a\\b\tc")]),
    }
    wanted = frozenset({imdn.POSITIVE_DELIVERY, imdn.NEGATIVE_DELIVERY, imdn.DISPLAY})
    asked = imdn.ImdnRequest(MESSAGE_ID, wanted, DATE, routes=("<sip:r@cc.com>",))
    for told in (asked.delivered(), asked.displayed(), asked.failed()):
        assert told is not None
        name = f"notification {told.disposition.value}"
        cpim[name] = notices.wrap_notification(plain, told, DATE, asked.headers)
    made = {}
    for state in iscomposing.ComposingState:
        typing = bytes(iscomposing.IsComposing(state, "text/plain", 60))
        made[f"typing {state.value}"] = (typing, iscomposing.CONTENT_TYPE)
        cpim[f"typing {state.value} in CPIM"] = plain.render(iscomposing.CONTENT_TYPE, typing, datetime=DATE)
    return made | {name: (content, notices.CPIM) for name, content in cpim.items()}


def reports(paths: Paths, to_path: str) -> dict[str, bytes]:
    """Return reports about messages that came by ``to_path``: of success and failure, of all and of some octets."""
    made = {}
    for status in (200, 400, 403, 408, 413, 415, 481):
        line = Line(paths)
        line.connection.send_report(line.session, to_path, MESSAGE_ID, 5, status)
        made[f"report {status}"] = line.output()
    for start, end, total in ((None, None, None), (2049, 4096, 4300), (1, 2048, None)):
        for status, comment in ((200, "OK"), (408, "")):
            report = Report("k2p0Zq7x", to_path, paths.local, MESSAGE_ID, start, end, total, "000", status, comment)
            made[f"report {status} {start}-{end}/{total}"] = bytes(report)
    return made


def responses(paths: Paths, from_path: str, transaction_id: Callable[[], str] = lambda: "a786hjs2") -> dict[str, bytes]:
    """Return responses of every code, to requests that came by ``from_path``."""

    def make(status: int, comment: str = "") -> bytes:
        line = Line(paths)
        line.connection.answer(transaction_id(), from_path, paths.local, "yes", status, comment)
        return line.output()

    made = {f"response {status}": make(status) for status in REASONS}
    return made | {"response without words": make(299), "response in words": make(415, "no CPIM: ü")}


def auths(paths: Paths) -> dict[str, bytes]:
    """Return the requests to a relay: the first, with credentials, and within bounds that it has set."""
    relay = MsrpUri.parse(paths.remote.partition(" ")[0])
    digest = RelayCredentials(Credentials.from_password("b", "secret"))
    client = RelayClient([relay], MsrpUri.parse(paths.local), digest)
    client.start(NOW)
    made = {"AUTH": client.data_to_send()}
    for kind, status, header in (
        ("AUTH with credentials", 401, ("WWW-Authenticate", CHALLENGE)),
        ("AUTH with Expires", 423, ("Max-Expires", "60")),
    ):
        response = MsrpResponse(client.transaction_id, status, "", paths.local, str(relay), (header,))
        assert client.receive_response(response, NOW)
        made[kind] = client.data_to_send()
    return made


def methods_written() -> set[str]:
    """Return what start lines the source of the stack writes, as :data:`METHODS` has them."""
    folder = Path(msrp.__path__[0])
    return {method for file in folder.glob("*.py") for method in WRITTEN.findall(file.read_text())}


FLAGS = set(get_args(Flag)) - {""}
"""What the end-line of a frame may say."""
