"""A phone of the simplest kind that does what it is told: calls, hangs up, asks, writes, registers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.lab.conformance.peer import Received
from gateway.lab.conformance.target import Target
from sipstack import ids
from sipstack.flow import Flow
from sipstack.sip.address import Address
from sipstack.sip.message import Request, Response
from sipstack.sip.uri import Uri
from tests.gateway.lab.conformance.element import AUDIO, SDP, Element, way_back
from tests.gateway.lab.conformance.element_registrant import DEFECTS as REGISTRATION
from tests.gateway.lab.conformance.element_registrant import Registration

GLARE = 2.2
"""Seconds that it waits after a 491."""


@dataclass(eq=False)
class Asked:
    """A request that was sent, and what came back."""

    request: Request
    flow: Flow
    on_answer: Callable[[Response], None]
    provisional: bool = False
    final: Response | None = None
    progress: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(eq=False)
class Line:
    """A dialog."""

    call_id: str
    local: str
    remote: str
    uri: Uri
    routes: list[Address]
    cseq: int
    invite: Request
    ack: Request | None = None
    ended: bool = False
    session: str = field(default_factory=lambda: str(int(ids.token(32), 16)))


class Caller(Element):
    """See the module."""

    ROLES = ("uac",)
    DEFECTS = {
        "no-max-forwards": "SIP-TXN-UAC-001",
        "one-from-tag": "SIP-TXN-UAC-002",
        "invite-sent-once": "SIP-TXN-UAC-003",
        "repeats-after-100": "SIP-TXN-UAC-005",
        "ack-new-branch": "SIP-TXN-UAC-006",
        "ack-without-tag": "SIP-TXN-UAC-006",
        "refusal-acked-once": "SIP-TXN-UAC-007",
        "ack-old-branch": "SIP-TXN-UAC-008",
        "success-acked-once": "SIP-TXN-UAC-009",
        "options-every-t1": "SIP-TXN-UAC-010",
        "provisional-ends-options": "SIP-TXN-UAC-012",
        "branch-not-compared": "SIP-TXN-UAC-013",
        "method-not-compared": "SIP-TXN-UAC-014",
        "499-not-understood": "SIP-TXN-UAC-015",
        "goes-round": "SIP-TXN-UAC-016",
        "cancel-new-branch": "SIP-TXN-UAC-020",
        "cancel-at-once": "SIP-TXN-UAC-021",
        "cancel-ends-invite": "SIP-TXN-UAC-022",
        "crossing-success-dropped": "SIP-TXN-UAC-023",
        "routes-not-turned": "SIP-DLG-UAC-001",
        "strict-router-ignored": "SIP-DLG-UAC-002",
        "cseq-not-raised": "SIP-DLG-UAC-003",
        "new-from-tag": "SIP-DLG-UAC-004",
        "second-taker-ignored": "SIP-DLG-UAC-005",
        "tag-of-who-rang": "SIP-DLG-UAC-006",
        "bye-never-ends": "SIP-DLG-UAC-007",
        "old-contact": "SIP-DLG-UAC-008",
        "no-wait-after-491": "SIP-DLG-UAC-009",
        "new-session": "SIP-DLG-UAC-010",
        "bye-after-refusal": "SIP-DLG-UAC-011",
        "options-without-tag": "SIP-CAP-UAC-001",
        "contact-in-message": "SIP-CAP-UAC-002",
        "second-via-taken": "SIP-TRN-008",
        **REGISTRATION,
    }

    def __init__(self, defect: str | None = None, t1: float = 0.05) -> None:
        super().__init__(defect, t1)
        self.asked: dict[str, Asked] = {}
        """Branch and method → request."""
        self.lines: dict[tuple[str, str], Line] = {}
        """Call-ID and their tag → dialog."""
        self.call: Asked | None = None
        self.line: Line | None = None
        self.cancelling = False
        self.tag = ids.tag()
        self.registration = Registration(self)

    @property
    def target(self) -> Target:
        """What the runner is told."""
        return Target(self.uri, self.peer.address, self.ROLES, ("UDP",), "caller", act=self.act)

    async def act(self, action: str, details: Mapping[str, str]) -> None:
        """Do what it is told."""
        uri = Uri.parse(details["uri"])
        match action:
            case "invite":
                await self.invite(uri)
            case "cancel":
                self.cancelling = True
                if self.call is not None and (self.call.provisional or self.defect == "cancel-at-once"):
                    await self.cancel(self.call)
            case "bye" if self.line is not None:
                await self.hangup(self.line)
            case "reinvite" if self.line is not None:
                await self.reinvite(self.line)
            case "options" | "message":
                await self.ask(action.upper(), uri)
            case _:
                await self.registration.act(action, uri)

    # requests

    @property
    def via(self) -> str:
        return f"SIP/2.0/UDP {self.peer.sent_by};branch={ids.branch()};rport"

    def request(self, method: str, uri: Uri | str, *headers: tuple[str, str], body: str = "") -> Request:
        """Return a request outside of dialogs."""
        tag = self.tag if self.defect == "one-from-tag" else ids.tag()
        identity = f"<sip:{self.USER}@lab.example>"
        wanted = {
            "Via": self.via,
            "Max-Forwards": "70",
            "From": f"{identity};tag={tag}",
            "To": "<sip:conformance@lab.example>",
            "Call-ID": ids.call_id(),
            "CSeq": f"1 {method}",
            **dict(headers),
        }
        request = Request(method, uri, list(wanted.items()), body.encode())
        if body:
            request.headers.add("Content-Type", "application/sdp")
        return request

    def start(self, request: Request, uri: Uri, on_answer: Callable[[Response], None]) -> Asked:
        """Send a request to where a URI leads, again and again until it is answered."""
        asked = Asked(request, Flow("UDP", (uri.host, uri.port or 5060), self.peer.address), on_answer)
        self.asked[f"{request.via.branch} {request.method}"] = asked
        self.spawn(self.repeat(asked))
        return asked

    async def repeat(self, asked: Asked) -> None:
        invite, interval = asked.request.method == "INVITE", self.t1
        end = asyncio.get_running_loop().time() + 64 * self.t1
        while asked.final is None and asyncio.get_running_loop().time() < end:
            await self.send(asked.request, asked.flow)
            if invite and self.defect == "invite-sent-once":
                return
            await asyncio.sleep(interval)
            if asked.provisional and invite and self.defect != "repeats-after-100":
                return
            if asked.provisional and not invite and self.defect == "provisional-ends-options":
                return
            if invite:
                interval *= 2
            elif self.defect != "options-every-t1" or asked.provisional:
                interval = 8 * self.t1 if asked.provisional else min(2 * interval, 8 * self.t1)

    async def take(self, received: Received) -> None:
        if received.fault is not None:
            return
        if isinstance(received.message, Response):
            self.answered(received.message)
        elif isinstance(received.message, Request):
            await self.serve(received.message, way_back(received.message, received.flow))

    def answered(self, response: Response) -> None:
        asked = self.find(response)
        if asked is None or (len(response.vias) > 1 and self.defect != "second-via-taken"):
            return
        if response.is_provisional:
            asked.provisional = True
        elif asked.final is None:
            asked.final = response
        asked.on_answer(response)

    def find(self, response: Response) -> Asked | None:
        method = response.cseq.method
        asked = self.asked.get(f"{response.via.branch} {method}")
        if asked is None and self.defect == "branch-not-compared":
            asked = next(
                (
                    item
                    for item in self.asked.values()
                    if item.request.call_id == response.call_id and method == "OPTIONS"
                ),
                None,
            )
        if asked is None and self.defect == "method-not-compared":
            asked = self.asked.get(f"{response.via.branch} OPTIONS")
        return asked

    async def ask(self, method: str, uri: Uri) -> None:
        """Send OPTIONS or MESSAGE."""
        request = self.request(method, uri)
        if method == "OPTIONS":
            request.headers.add("Accept", "application/sdp")
            if self.defect == "options-without-tag":
                request.headers.set("From", f"<sip:{self.USER}@lab.example>")
        else:
            request.body = b"Are you there?"
            request.headers.add("Content-Type", "text/plain")
            if self.defect == "contact-in-message":
                request.headers.add("Contact", self.contact)
        for route in self.registration.service_routes if method == "OPTIONS" else ():
            request.headers.add("Route", str(route))
        self.start(request, uri, lambda response: None)

    # calls

    async def invite(self, uri: Uri) -> None:
        self.cancelling, self.line = False, None
        session = str(int(ids.token(32), 16))
        body = SDP.format(session=session, version=1, media=AUDIO)
        request = self.request("INVITE", uri, ("Contact", self.contact), body=body)
        if self.defect == "no-max-forwards":
            request.headers.remove("Max-Forwards")
        rang: list[str] = []

        def on_answer(response: Response) -> None:
            if response.is_provisional:
                rang.append(response.to.tag or "")
                if self.cancelling:
                    self.spawn(self.cancel(call))
            elif response.is_success:
                self.spawn(self.taken(call, response, session, rang))
            else:
                self.spawn(self.refused(call, response, rang, uri))

        call = self.call = self.start(request, uri, on_answer)

    async def refused(self, call: Asked, response: Response, rang: list[str], uri: Uri) -> None:
        if response.status == 499 and self.defect == "499-not-understood":
            return
        if self.defect == "refusal-acked-once" and call.final is not response:
            return
        if response.status == 487 and self.defect == "cancel-ends-invite":
            return
        await self.send(self.ack_of_refusal(call.request, response), call.flow)
        if response.status == 302 and self.defect == "goes-round" and call.final is response:
            await self.invite(uri)
        if self.defect == "bye-after-refusal" and any(rang):
            line = self.make_line(call.request, response, "0")
            line.uri = uri
            await self.hangup(line)

    def ack_of_refusal(self, invite: Request, response: Response) -> Request:
        ack = Request("ACK", invite.uri_text)
        ack.headers.add("Via", self.via if self.defect == "ack-new-branch" else str(invite.via))
        ack.headers.add("Max-Forwards", "70")
        ack.headers.copy_from(invite.headers, "From", "Call-ID")
        ack.headers.copy_from((invite if self.defect == "ack-without-tag" else response).headers, "To")
        ack.headers.add("CSeq", f"{invite.cseq.number} ACK")
        return ack

    def make_line(self, invite: Request, response: Response, session: str) -> Line:
        routes = response.record_routes
        if self.defect != "routes-not-turned":
            routes = list(reversed(routes))
        return Line(
            invite.call_id,
            invite.headers.get("From", ""),
            response.headers.get("To", ""),
            response.contacts[0].uri if response.contacts else invite.uri,
            routes,
            invite.cseq.number,
            invite,
            session=session,
        )

    async def taken(self, call: Asked, response: Response, session: str, rang: list[str]) -> None:
        key = response.call_id, response.to.tag or ""
        known = self.lines.get(key)
        if known is not None:
            if known.ack is not None and self.defect != "success-acked-once":
                await self.send_in(known, known.ack)
            return
        second = self.line is not None
        if (second and self.defect == "second-taker-ignored") or (
            self.cancelling and self.defect == "crossing-success-dropped"
        ):
            return
        line = self.lines[key] = self.make_line(call.request, response, session)
        if not second:
            self.line = line
        line.ack = self.inside(line, "ACK", cseq=call.request.cseq.number)
        if self.defect == "ack-old-branch":
            line.ack.headers.set("Via", str(call.request.via))
        if self.defect == "tag-of-who-rang" and any(rang):
            line.ack.headers.set("To", f"{response.headers.get('To', '').partition(';tag=')[0]};tag={rang[0]}")
        await self.send_in(line, line.ack)
        if second or self.cancelling:
            await self.hangup(line)

    async def cancel(self, call: Asked) -> None:
        invite = call.request
        self.cancelling = True
        if f"{invite.via.branch} CANCEL" in self.asked or call.final is not None:
            return
        cancel = Request("CANCEL", invite.uri_text)
        cancel.headers.add("Via", self.via if self.defect == "cancel-new-branch" else str(invite.via))
        cancel.headers.add("Max-Forwards", "70")
        cancel.headers.copy_from(invite.headers, "From", "To", "Call-ID")
        cancel.headers.add("CSeq", f"{invite.cseq.number} CANCEL")
        self.start(cancel, Uri("sip", host=call.flow.remote[0], port=call.flow.remote[1]), lambda response: None)

    # dialogs

    def inside(
        self, line: Line, method: str, *headers: tuple[str, str], body: str = "", cseq: int | None = None
    ) -> Request:
        """Return a request of a dialog."""
        if cseq is None:
            cseq = line.cseq = line.cseq + (0 if self.defect == "cseq-not-raised" and method == "BYE" else 1)
        uri, routes = line.uri, list(line.routes)
        if routes and routes[0].uri.param("lr") is None and self.defect != "strict-router-ignored":
            uri = routes.pop(0).uri
            routes.append(Address(line.uri))
        local = line.local
        if self.defect == "new-from-tag" and method == "BYE":
            local = f"{local.partition(';tag=')[0]};tag={ids.tag()}"
        request = Request(
            method,
            uri,
            [
                ("Via", self.via),
                ("Max-Forwards", "70"),
                *(("Route", str(route)) for route in routes),
                ("From", local),
                ("To", line.remote),
                ("Call-ID", line.call_id),
                ("CSeq", f"{cseq} {method}"),
                *headers,
            ],
            body.encode(),
        )
        if body:
            request.headers.add("Content-Type", "application/sdp")
        return request

    def hop(self, line: Line) -> Uri:
        return line.routes[0].uri if line.routes else line.uri

    async def send_in(self, line: Line, request: Request) -> None:
        hop = self.hop(line)
        await self.send(request, Flow("UDP", (hop.host, hop.port or 5060), self.peer.address))

    async def hangup(self, line: Line) -> None:
        line.ended = True
        self.start(self.inside(line, "BYE"), self.hop(line), lambda response: None)

    async def reinvite(self, line: Line) -> None:
        session = "4711" if self.defect == "new-session" else line.session
        body = SDP.format(session=session, version=2, media=AUDIO)
        request = self.inside(line, "INVITE", ("Contact", self.contact), body=body)

        def on_answer(response: Response) -> None:
            self.spawn(self.reinvited(line, asked, response))

        asked = self.start(request, self.hop(line), on_answer)

    async def reinvited(self, line: Line, asked: Asked, response: Response) -> None:
        if response.is_success:
            await self.send_in(line, self.inside(line, "ACK", cseq=asked.request.cseq.number))
        elif response.is_final:
            await self.send(self.ack_of_refusal(asked.request, response), asked.flow)
            if response.status == 491:
                await asyncio.sleep(0.5 if self.defect == "no-wait-after-491" else GLARE)
                if not line.ended:
                    await self.reinvite(line)

    async def serve(self, request: Request, flow: Flow) -> None:
        """Answer a request in a dialog."""
        if request.method == "ACK":
            return
        line = self.lines.get((request.call_id, request.from_.tag or ""))
        if line is None or (line.ended and self.defect != "bye-never-ends"):
            await self.send(Response.for_request(request, 481, to_tag=ids.tag()), flow)
            return
        headers: list[tuple[str, str]] = []
        body = b""
        if request.method == "BYE":
            line.ended = True
        elif request.method == "INVITE":
            if request.contacts and self.defect != "old-contact":
                line.uri = request.contacts[0].uri
            headers = [("Contact", self.contact), ("Content-Type", "application/sdp")]
            body = SDP.format(session=line.session, version=1, media=AUDIO).encode()
        await self.send(Response.for_request(request, 200, headers=headers, body=body), flow)
