"""A SIP client of few lines on bare sockets, so that a mistake of our stack cannot hide one of the lab's cores."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import socket
from dataclasses import dataclass

TIMEOUT = 10.0
"""Seconds to wait for anything on loopback."""

HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


@dataclass
class RawMessage:
    """Head of a message as text."""

    text: str

    @property
    def status(self) -> int:
        """Status code of a response."""
        return int(self.text.split(" ", 2)[1])

    @property
    def method(self) -> str:
        """Method of a request; "SIP/2.0" for a response."""
        return self.text.split(" ", 1)[0]

    def headers(self, name: str) -> list[str]:
        """All values of a header, in order."""
        return re.findall(rf"(?im)^{re.escape(name)}[ \t]*:[ \t]*(.*?)\r?$", self.text)

    def header(self, name: str) -> str:
        """The first value of a header."""
        return self.headers(name)[0]


class RawClient:
    """One user on one socket. The Contact is the socket's own address."""

    def __init__(self, transport: str, user: str, domain: str, private: str) -> None:
        self.transport = transport
        self.user = user
        self.domain = domain
        self.private = private
        self.call_id = secrets.token_hex(8)
        self.cseq = 0
        self.local = ("", 0)
        self._socket: socket.socket
        self._buffer = b""

    @classmethod
    async def connect(
        cls, transport: str, host: str, port: int, *, user: str, domain: str, private: str = ""
    ) -> RawClient:
        """Open a UDP or TCP socket to the core."""
        client = cls(transport, user, domain, private or user)
        kind = socket.SOCK_DGRAM if transport == "UDP" else socket.SOCK_STREAM
        client._socket = socket.socket(socket.AF_INET, kind)
        client._socket.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client._socket, (host, port))
        client.local = client._socket.getsockname()
        return client

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    @property
    def contact(self) -> str:
        """Where this user is to be reached."""
        suffix = ";transport=tcp" if self.transport == "TCP" else ""
        return f"<sip:{self.user}@{self.local[0]}:{self.local[1]}{suffix}>"

    def build(self, method: str, uri: str, to: str, *extra: str, body: str = "") -> str:
        """Return a request outside any dialog; a body is SDP, or text in a MESSAGE."""
        self.cseq += 1
        kind = "text/plain" if method == "MESSAGE" else "application/sdp"
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/{self.transport} {self.local[0]}:{self.local[1]};rport;branch=z9hG4bK{secrets.token_hex(8)}",
            "Max-Forwards: 70",
            f"From: <sip:{self.user}@{self.domain}>;tag={secrets.token_hex(4)}",
            f"To: {to}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {self.cseq} {method}",
            *extra,
            *([f"Content-Type: {kind}"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join(lines) + "\r\n\r\n" + body

    async def send(self, text: str) -> None:
        """Write one message."""
        await asyncio.get_running_loop().sock_sendall(self._socket, text.encode())

    async def receive(self) -> RawMessage:
        """Return the next message (its head; bodies are dropped)."""
        loop = asyncio.get_running_loop()
        while b"\r\n\r\n" not in self._buffer:
            data = await asyncio.wait_for(loop.sock_recv(self._socket, 65535), TIMEOUT)
            if not data:
                raise ConnectionError("the core closed the connection")
            self._buffer += data
        head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        length = re.search(rb"(?im)^content-length[ \t]*:[ \t]*(\d+)", head)
        if length and int(length[1]):
            self._buffer = self._buffer[int(length[1]) :]
        return RawMessage(head.decode() + "\r\n")

    async def final(self) -> RawMessage:
        """Return the next final response."""
        while (message := await self.receive()).status < 200:
            pass
        return message

    def authorize(self, challenge: str, method: str, uri: str, password: str) -> str:
        """Return the value of (Proxy-)Authorization for a challenge with qop=auth."""
        fields = dict(re.findall(r'(\w+)="?([^",]+)"?', challenge))
        algorithm = fields.get("algorithm", "MD5")
        make = HASHES[algorithm]

        def h(text: str) -> str:
            return make(text.encode()).hexdigest()

        ha1 = h(f"{self.private}:{fields['realm']}:{password}")
        tail = f"00000001:c0ffee:auth:{h(f'{method}:{uri}')}"
        response = h(f"{ha1}:{fields['nonce']}:{tail}")
        opaque = f', opaque="{fields["opaque"]}"' if "opaque" in fields else ""
        return (
            f'Digest username="{self.private}", realm="{fields["realm"]}", nonce="{fields["nonce"]}", uri="{uri}", '
            f'response="{response}", algorithm={algorithm}, qop=auth, nc=00000001, cnonce="c0ffee"{opaque}'
        )

    async def register(self, password: str, *, expires: int = 600, contact: str | None = None) -> RawMessage:
        """Register, answering one challenge; returns the last answer."""
        uri, to = f"sip:{self.domain}", f"<sip:{self.user}@{self.domain}>"
        extra = [f"Contact: {contact or self.contact}", f"Expires: {expires}", "Supported: path"]
        await self.send(self.build("REGISTER", uri, to, *extra))
        answer = await self.final()
        if answer.status == 401:
            value = self.authorize(answer.header("WWW-Authenticate"), "REGISTER", uri, password)
            await self.send(self.build("REGISTER", uri, to, f"Authorization: {value}", *extra))
            answer = await self.final()
        return answer

    async def options(self, uri: str, *extra: str) -> RawMessage:
        """Ask what somebody can; returns the final answer."""
        await self.send(self.build("OPTIONS", uri, f"<{uri}>", f"Contact: {self.contact}", *extra))
        return await self.final()

    def reply_text(self, request: RawMessage, status: str, *extra: str) -> str:
        """Return a response to ``request`` with our tag."""
        copied = [f"Via: {via}" for via in request.headers("Via")]
        copied += [f"Record-Route: {value}" for value in request.headers("Record-Route")]
        copied += [f"{name}: {request.header(name)}" for name in ("From", "Call-ID", "CSeq")]
        to = request.header("To")
        copied.append(f"To: {to}" if ";tag=" in to else f"To: {to};tag=raw{self.user}")
        return "\r\n".join([f"SIP/2.0 {status}", *copied, *extra, "Content-Length: 0", "", ""])

    async def expect(self, method: str) -> RawMessage:
        """Return the next request of this method; others are passed over."""
        while (request := await self.receive()).method != method:
            pass
        return request

    async def reply(self, request: RawMessage, status: str, *extra: str) -> None:
        """Answer ``request``."""
        await self.send(self.reply_text(request, status, *extra))

    def build_in_dialog(self, method: str, response: RawMessage, number: int, tag: str) -> str:
        """Return a request of the caller inside the dialog that ``response``, a 2xx, made."""
        target = re.search(r"<([^>]*)>", response.header("Contact"))
        assert target is not None
        routes = [f"Route: {route}" for route in response.headers("Record-Route")[::-1]]
        lines = [
            f"{method} {target[1]} SIP/2.0",
            f"Via: SIP/2.0/{self.transport} {self.local[0]}:{self.local[1]};rport;branch=z9hG4bK{secrets.token_hex(8)}",
            "Max-Forwards: 70",
            *routes,
            f"From: <sip:{self.user}@{self.domain}>;tag={tag}",
            f"To: {response.header('To')}",
            f"Call-ID: {response.header('Call-ID')}",
            f"CSeq: {number} {method}",
            "Content-Length: 0",
        ]
        return "\r\n".join(lines) + "\r\n\r\n"

    async def answer(self, method: str, status: str = "200 OK", *extra: str) -> RawMessage:
        """Wait for a request of this method and answer it; returns the request."""
        request = await self.expect(method)
        await self.reply(request, status, *extra)
        return request
