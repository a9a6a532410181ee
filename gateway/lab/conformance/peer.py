"""The raw SIP side: an address that sends any octets and keeps what comes. No transaction layer stands behind it.

::

    peer = await bench.sip.peer()
    options = peer.request("OPTIONS")
    await peer.send(options)
    answer = await peer.final(options)
    bench.check(answer.response.status == 200, f"answered {answer.response.status}")
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterable

from gateway.lab.conformance.options import Options
from gateway.lab.conformance.received import Match, Received, answers, requests
from gateway.lab.conformance.recording import Recording
from gateway.lab.conformance.target import Target
from gateway.lab.conformance.verdict import Failed, Inconclusive
from gateway.lab.conformance.wire import Wire
from sipstack import ids
from sipstack.errors import LocalProtocolError, ParseError
from sipstack.flow import RELIABLE, Flow, HostPort
from sipstack.sip.message import Message, Request, Response
from sipstack.sip.parser import StreamParser, parse_message
from sipstack.sip.uri import Uri

__all__ = ["Match", "Peer", "Received", "answers", "requests", "trusting"]

MAX_QUEUE = 5_000
"""Messages that may wait to be looked at; more are recorded and forgotten."""

USER_AGENT = "rcsgw-conformance"


class Peer:
    """One address of ours. ``transport`` is what it sends by; it takes what comes by UDP, TCP and TLS alike."""

    def __init__(
        self, transport: str, target: Target, options: Options, recording: Recording, tls: ssl.SSLContext | None = None
    ) -> None:
        self.transport = transport
        self.target = target
        self.options = options
        self.queue: list[Received] = []
        """What came and was not taken yet, oldest first."""
        self.lost: list[Flow] = []
        """Streams that the other side has closed."""
        self.on_received: Callable[[Received], bool] | None = None
        """Looks at everything first; True when it has dealt with it."""
        self._wire = Wire("SIP", recording, self._take, self._lose)
        self._tls = tls
        self._parsers: dict[Flow, StreamParser] = {}
        self._flows: dict[tuple[str, HostPort], Flow] = {}
        self._came = asyncio.Event()

    async def open(self, host: str, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        """Bind to a numeric address; port 0 means a free one, ``tls`` is for streams that come in. Raises OSError."""
        await self._wire.open(host, port, tls=tls)

    async def close(self) -> None:
        """Close all sockets."""
        await self._wire.close()

    # who we are

    @property
    def address(self) -> HostPort:
        """Where we listen."""
        return self._wire.address

    @property
    def sent_by(self) -> str:
        """Our address as it stands in Via and URIs."""
        host, port = self.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def via(self) -> str:
        """A Via value with a new branch."""
        return f"SIP/2.0/{self.transport} {self.sent_by};branch={ids.branch()};rport"

    @property
    def contact(self) -> str:
        """Our Contact, in its brackets."""
        return f"<sip:conformance@{self.sent_by};transport={self.transport.lower()}>"

    @property
    def identity(self) -> str:
        """Who we are, in From: without a port, which has no place there (:rfc:`3261#section-19.1.1`, table 1)."""
        host = self.address[0]
        return self.options.identity or f"sip:conformance@{f'[{host}]' if ':' in host else host}"

    # out

    def request(
        self,
        method: str,
        uri: Uri | str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        content_type: str = "application/sdp",
        to: str | None = None,
        from_: str | None = None,
        call_id: str | None = None,
        cseq: int = 1,
    ) -> Request:
        """Return a sound request outside of dialogs (:rfc:`3261#section-8.1.1`): to spoil, or to send as it is.

        ``uri``, ``to`` and ``from_`` are the target's address of record and ours when not given; ``headers`` replace
        those of their name.
        """
        where = self.target.uri if uri is None else uri
        request = Request(
            method,
            where,
            [
                ("Via", self.via),
                ("Max-Forwards", "70"),
                ("From", from_ or f"<{self.identity}>;tag={ids.tag()}"),
                ("To", to or f"<{self.target.aor if uri is None else where}>"),
                ("Call-ID", call_id or ids.call_id()),
                ("CSeq", f"{cseq} {method}"),
                ("Contact", self.contact),
                ("User-Agent", USER_AGENT),
            ],
            body,
        )
        if method in ("BYE", "CANCEL", "MESSAGE"):
            request.headers.remove("Contact")
        if body:
            request.headers.add("Content-Type", content_type)
        for more in (self.options.headers, headers):
            _replace(request, more)
        return request

    def ack(self, invite: Request, response: Response) -> Request:
        """Return the ACK of a final response other than 2xx (:rfc:`3261#section-17.1.1.3`)."""
        ack = Request("ACK", self._target_of(invite))
        ack.headers.add("Via", str(invite.via))
        ack.headers.add("Max-Forwards", "70")
        ack.headers.copy_from(invite.headers, "From")
        ack.headers.copy_from(response.headers, "To")
        ack.headers.copy_from(invite.headers, "Call-ID", "Route")
        ack.headers.add("CSeq", f"{invite.cseq.number} ACK")
        return ack

    def cancel(self, invite: Request) -> Request:
        """Return the CANCEL of an INVITE (:rfc:`3261#section-9.1`)."""
        cancel = Request("CANCEL", self._target_of(invite))
        cancel.headers.add("Via", str(invite.via))
        cancel.headers.add("Max-Forwards", "70")
        cancel.headers.copy_from(invite.headers, "From", "To", "Call-ID", "Route")
        cancel.headers.add("CSeq", f"{invite.cseq.number} CANCEL")
        return cancel

    def _target_of(self, invite: Request) -> str:
        """Return its Request-URI; of one that was broken on purpose the target's own, with which ACK can be written."""
        try:
            invite.start_line()
        except LocalProtocolError:
            return str(self.target.uri)
        return invite.uri_text

    async def send(self, data: Message | bytes, to: HostPort | Flow | Received | None = None) -> None:
        """Send a message or any octets: to the target, an address, or back to where something came from.

        Raises Inconclusive when no connection can be had.
        """
        octets = data if isinstance(data, bytes) else bytes(data)
        try:
            self._wire.send(await self.flow(to), octets)
        except (OSError, TimeoutError) as error:
            raise Inconclusive(
                f"{self.transport} with {self._name(to)}: {str(error) or 'no connection in time'}"
            ) from None

    async def respond(
        self,
        received: Received,
        status: int,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        to_tag: str | None = None,
        content_type: str = "application/sdp",
    ) -> Response:
        """Answer a request where it came from; returns what was sent. A To tag is made up above 100."""
        more = [*headers, *([("Content-Type", content_type)] if body else [])]
        tag = to_tag or (ids.tag() if status > 100 else None)
        response = Response.for_request(received.request, status, to_tag=tag, headers=more, body=body)
        await self.send(response, received)
        return response

    async def flow(self, to: HostPort | Flow | Received | None = None) -> Flow:
        """Return the flow to the target or an address: UDP, a connection that is open, or a new one. Raises OSError."""
        if isinstance(to, Received):
            to = to.flow
        if isinstance(to, Flow):
            return to
        remote = to or self.target.hop
        if self.transport == "UDP":
            return Flow("UDP", remote, self.address)
        known = self._flows.get((self.transport, remote))
        if known is None or not self._wire.is_open(known):
            tls = (self._tls or trusting()) if self.transport == "TLS" else None
            known = self._flows[self.transport, remote] = await self._wire.connect(remote, tls)
        return known

    def disconnect(self, flow: Flow) -> None:
        """Close a stream."""
        self._wire.disconnect(flow)

    def _name(self, to: HostPort | Flow | Received | None) -> str:
        if isinstance(to, Received):
            to = to.flow
        host, port = to.remote if isinstance(to, Flow) else to or self.target.hop
        return f"{host}:{port}"

    # in

    async def receive(self, within: float | None = None, match: Match | None = None) -> Received | None:
        """Take the oldest message, or the oldest that matches; None when there is none within ``within`` seconds.

        Without ``within`` the options' patience. Keep-alives are seen by ``match`` only.
        """
        wanted = match or (lambda received: received.message is not None or received.fault is not None)
        deadline = time.monotonic() + (self.options.patience if within is None else within)
        while True:
            for index, received in enumerate(self.queue):
                if wanted(received):
                    return self.queue.pop(index)
            self._came.clear()
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    await self._came.wait()
            except TimeoutError:
                return None

    async def expect(self, match: Match, otherwise: str, within: float | None = None) -> Received:
        """Take what matches. Raises Failed with ``otherwise`` when it does not come."""
        received = await self.receive(within, match)
        if received is None:
            raise Failed(otherwise)
        return received

    async def need(self, match: Match, otherwise: str, within: float | None = None) -> Received:
        """The same for what the case needs to begin with. Raises Inconclusive."""
        received = await self.receive(within, match)
        if received is None:
            raise Inconclusive(otherwise)
        return received

    async def final(self, request: Request, within: float | None = None) -> Received:
        """Take the final answer to a request. Raises Inconclusive when none comes."""
        return await self.need(
            answers(request, least=200), f"no final answer to {request.method}", within or self.options.answer_time
        )

    async def exchange(self, request: Request, within: float | None = None) -> Received:
        """Send a request and take its final answer; over UDP it is repeated as :rfc:`3261#section-17.1` has it.

        A refused INVITE gets its ACK; that of a 2xx is the caller's. Raises Inconclusive when no answer comes.
        """
        await self.send(request)
        repeating = None if self.transport in RELIABLE else asyncio.create_task(self._repeat(request))
        try:
            answer = await self.final(request, within)
        finally:
            if repeating is not None:
                repeating.cancel()
        if request.method == "INVITE" and answer.response.status >= 300:
            await self.send(self.ack(request, answer.response))
        return answer

    async def _repeat(self, request: Request) -> None:
        interval = self.options.t1
        while True:
            await asyncio.sleep(interval)
            if request.method == "INVITE" and any(map(answers(request), self.queue)):
                return
            await self.send(request)
            interval = 2 * interval if request.method == "INVITE" else min(2 * interval, self.options.t2)

    async def silence(self, match: Match, otherwise: str, within: float) -> None:
        """Wait ``within`` seconds for what must not come. Raises Failed when it does."""
        received = await self.receive(within, match)
        if received is not None:
            raise Failed(f"{otherwise}: {received}")

    async def hangup(self, flow: Flow, within: float | None = None) -> bool:
        """Tell whether the other side closes a stream within ``within`` seconds."""
        deadline = time.monotonic() + (self.options.patience if within is None else within)
        while flow not in self.lost:
            self._came.clear()
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    await self._came.wait()
            except TimeoutError:
                return False
        return True

    def forget(self) -> None:
        """Drop what waits."""
        self.queue.clear()
        self.lost.clear()

    def _take(self, flow: Flow, data: bytes) -> None:
        now = time.monotonic()
        for received in self._cut(flow, data, now):
            if self.on_received is not None and self.on_received(received):
                continue
            if len(self.queue) < MAX_QUEUE:
                self.queue.append(received)
        self._came.set()

    def _cut(self, flow: Flow, data: bytes, now: float) -> Iterable[Received]:
        if not data.strip(b"\r\n\0"):
            yield Received(now, data, flow)
            if flow.reliable:
                self._parser(flow).receive_data(b"")
            return
        if not flow.reliable:
            yield self._datagram(flow, data, now)
            return
        parser = self._parser(flow)
        parser.receive_data(data)
        while not parser.failed:
            try:
                message = parser.next_message()
            except ParseError as error:
                yield Received(now, b"", flow, _readable(error), error)
                continue
            if message is None:
                return
            yield Received(now, message.raw or b"", flow, message)
        del self._parsers[flow]

    def _parser(self, flow: Flow) -> StreamParser:
        return self._parsers.setdefault(flow, StreamParser())

    def _datagram(self, flow: Flow, data: bytes, now: float) -> Received:
        try:
            return Received(now, data, flow, parse_message(data))
        except ParseError as error:
            return Received(now, data, flow, _readable(error), error)

    def _lose(self, flow: Flow) -> None:
        self._parsers.pop(flow, None)
        self.lost.append(flow)
        self._came.set()


def _replace(request: Request, headers: Iterable[tuple[str, str]]) -> None:
    """Put headers in the place of those of their name; several of one name stand one below the other."""
    done: set[str] = set()
    for name, value in headers:
        (request.headers.add if name.lower() in done else request.headers.set)(name, value)
        done.add(name.lower())


def _readable(error: ParseError) -> Request | Response | None:
    return error.message if isinstance(error.message, Request | Response) else None


def trusting() -> ssl.SSLContext:
    """Return a TLS client that believes any certificate: what a lab's elements have."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
