"""Which protocol bytes are, by what they say and not by their ports; and WebSocket taken off what it carries."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from gateway.lab.trace.hep import MAGIC, parse_hep
from gateway.lab.trace.losses import Lose
from gateway.lab.trace.segments import Sent
from sipstack.flow import HostPort
from sipstack.trace import WireRecord

UNDECIDED_OCTETS = 4096
"""What is kept of a connection until its protocol shows; then it is taken as none of ours."""

MAX_CONNECTIONS = 65_536
MAX_WEBSOCKET_MESSAGE = 4 * 1024 * 1024

_SIP = re.compile(
    rb"(?:\r\n)*(?:SIP/2\.0 [1-6]\d\d[ \r]|[A-Za-z][A-Za-z0-9!%'*+._`~-]{0,31} [^ \r\n]+ SIP/\d)", re.IGNORECASE
)
_MSRP = re.compile(rb"MSRP [A-Za-z0-9][A-Za-z0-9.+%=-]{3,31} (?:[A-Z]+|\d\d\d)")
_HTTP = re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|CONNECT|TRACE) [^ \r\n]+ HTTP/1\.|HTTP/1\.[01] \d\d\d")
_SMTP = re.compile(rb"220[ -][^\r\n]*(?:E?SMTP|mail)", re.IGNORECASE)
_UPGRADE = re.compile(rb"HTTP/1\.1 101 .*?\r\n\r\n", re.DOTALL)


def protocol_of(data: bytes) -> str | None:
    """Return SIP, MSRP, HTTP or SMTP when ``data`` begins as one of them does, else None."""
    if _SIP.match(data):
        return "SIP"
    if _MSRP.match(data):
        return "MSRP"
    if _HTTP.match(data):
        return "HTTP"
    return "SMTP" if _SMTP.match(data) else None


class _Connection:
    """Both directions of a TCP connection."""

    __slots__ = ("held", "protocol", "websockets")

    def __init__(self) -> None:
        self.protocol: str | None = None
        self.held: list[Sent] = []
        self.websockets: dict[HostPort, WebSocketReader] | None = None


class Recognition:
    """Turns bytes into records of the protocols that are known here."""

    def __init__(self, lose: Lose) -> None:
        self._lose = lose
        self._connections: dict[tuple[HostPort, HostPort], _Connection] = {}

    def read(self, sent: Sent) -> Iterator[WireRecord]:
        """Yield records of what was sent."""
        if sent.transport == "UDP":
            yield from self._datagram(sent)
        else:
            yield from self._piece(sent)

    def _datagram(self, sent: Sent) -> Iterator[WireRecord]:
        if sent.data.startswith(MAGIC):
            packet = parse_hep(sent.data)
            if packet is None:
                self._lose("a HEP packet that is damaged")
            else:
                inner = Sent(packet.at, packet.transport, packet.source, packet.target, packet.data)
                yield from self.message(inner)
        elif protocol_of(sent.data) == "SIP":
            yield record(sent, "SIP")

    def message(self, sent: Sent) -> Iterator[WireRecord]:
        """Yield the record of one whole message, as HEP and text logs have them."""
        protocol = protocol_of(sent.data)
        if protocol is not None:
            yield record(sent, protocol)

    def _piece(self, sent: Sent) -> Iterator[WireRecord]:
        one, other = sent.source, sent.target
        key = (one, other) if one <= other else (other, one)
        connection = self._connections.get(key)
        if connection is None or (sent.opens and connection.protocol == ""):
            if len(self._connections) >= MAX_CONNECTIONS:
                del self._connections[next(iter(self._connections))]
            connection = self._connections[key] = _Connection()
        if connection.websockets is not None:
            yield from self._frames(connection.websockets, sent)
        elif connection.protocol is None:
            yield from self._decide(connection, sent)
        elif connection.protocol:
            yield from self._known(connection, sent)

    def _decide(self, connection: _Connection, sent: Sent) -> Iterator[WireRecord]:
        connection.held.append(sent)
        connection.protocol = next(filter(None, (protocol_of(held.data) for held in connection.held)), None)
        if connection.protocol is None:
            if sum(len(held.data) for held in connection.held) > UNDECIDED_OCTETS:
                connection.protocol = ""  # none of ours
                connection.held.clear()
            return
        held, connection.held = connection.held, []
        for earlier in held:
            yield from self._known(connection, earlier)

    def _known(self, connection: _Connection, sent: Sent) -> Iterator[WireRecord]:
        assert connection.protocol
        upgraded = _UPGRADE.match(sent.data) if connection.protocol == "HTTP" else None
        if upgraded is None or b"websocket" not in upgraded[0].lower():
            yield record(sent, connection.protocol)
            return
        yield record(sent._replace(data=upgraded[0]), "HTTP")
        connection.websockets = {sent.source: WebSocketReader(), sent.target: WebSocketReader()}
        rest = sent.data[upgraded.end() :]
        if rest:
            yield from self._frames(connection.websockets, sent._replace(data=rest))

    def _frames(self, readers: dict[HostPort, WebSocketReader], sent: Sent) -> Iterator[WireRecord]:
        reader = readers[sent.source]
        if sent.gap:
            reader.broken = True
        if reader.broken:
            self._lose("octets of a WebSocket behind a gap")
            return
        for message in reader.read(sent.data):
            yield from self.message(sent._replace(transport="WS", data=message))


class WebSocketReader:
    """One direction of a WebSocket (:rfc:`6455#section-5`), as somebody sees it who only listens."""

    __slots__ = ("_data", "_message", "broken")

    def __init__(self) -> None:
        self._data = b""
        self._message = b""
        self.broken = False

    def read(self, data: bytes) -> Iterator[bytes]:
        """Yield the messages that end in ``data``; pings and the like are passed over."""
        self._data += data
        while (frame := self._take_frame()) is not None:
            code, last, payload = frame
            if code >= 8:
                continue
            self._message += payload
            if len(self._message) > MAX_WEBSOCKET_MESSAGE:
                self.broken = True
                return
            if last:
                message, self._message = self._message, b""
                yield message

    def _take_frame(self) -> tuple[int, bool, bytes] | None:
        data = self._data
        if len(data) < 2:
            return None
        length, place = data[1] & 127, 2
        if length > 125:
            place = 4 if length == 126 else 10
            length = int.from_bytes(data[2:place], "big")
        key = b""
        if data[1] & 128:
            key = data[place : place + 4]
            place += 4
        if length > MAX_WEBSOCKET_MESSAGE:
            self.broken = True
            return None
        if len(data) < place + length:
            return None
        payload = data[place : place + length]
        self._data = data[place + length :]
        return data[0] & 15, bool(data[0] & 128), unmask(payload, key) if key else payload


def unmask(payload: bytes, key: bytes) -> bytes:
    """Return a payload with its masking undone (:rfc:`6455#section-5.3`)."""
    size = len(payload)
    repeated = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


def record(sent: Sent, protocol: str) -> WireRecord:
    """Return the record of bytes that somebody else has captured, as the lower of the two addresses saw them.

    One side for both directions, so that requests and responses of a connection are read together.
    """
    if sent.source <= sent.target:
        near, far, direction = sent.source, sent.target, "out"
    else:
        near, far, direction = sent.target, sent.source, "in"
    return WireRecord(sent.at, name_of(near), protocol, sent.transport, direction, near, far, sent.data)


def name_of(address: HostPort) -> str:
    """Return how an address is shown."""
    host, port = address
    return f"{host}:{port}" if port else host


def recognize(pieces: Iterable[Sent], lose: Lose) -> Iterator[WireRecord]:
    """Yield the SIP, MSRP, HTTP and SMTP among what was sent."""
    recognition = Recognition(lose)
    for sent in pieces:
        yield from recognition.read(sent)
