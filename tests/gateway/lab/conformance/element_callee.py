"""A phone of the simplest kind that is called: it takes audio at once, or rings when it is called as ``ringing``."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field, replace

from gateway.lab.conformance.peer import Received
from gateway.lab.conformance.target import Target
from sipstack import ids
from sipstack.errors import ParseError, SipstackError
from sipstack.flow import RELIABLE, Flow
from sipstack.sip.grammar import split_list
from sipstack.sip.message import Request, Response
from sipstack.sip.parser import parse_message
from sipstack.sip.uri import Uri
from sipstack.sip.validate import validate
from tests.gateway.lab.conformance.callee_defects import DEFECTS, REFUSED
from tests.gateway.lab.conformance.element import AUDIO, Element, answer_to, described, way_back

METHODS = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "MESSAGE")
ALLOW = ("Allow", ", ".join(METHODS))
CAPABILITIES = (ALLOW, ("Accept", "application/sdp"), ("Accept-Encoding", "identity"), ("Accept-Language", "en"))
KNOWN = (*METHODS, "REGISTER", "PRACK", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER", "INFO", "PUBLISH")
COOKIE = "z9hG4bK"

Key = tuple[object, ...]


@dataclass(eq=False)
class Served:
    """A request and what it got."""

    request: Request
    flow: Flow
    tag: str = field(default_factory=ids.tag)
    last: Response | None = None
    acknowledged: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(eq=False)
class Session:
    """A call."""

    served: Served
    cseq: int
    name: str = field(default_factory=lambda: str(int(ids.token(32), 16)))
    ended: bool = False


class Callee(Element):
    """See the module."""

    DEFECTS = DEFECTS

    def __init__(self, defect: str | None = None, t1: float = 0.05) -> None:
        super().__init__(defect, t1)
        self.served: dict[Key, Served] = {}
        self.sessions: dict[tuple[str, str], Session] = {}
        """Call-ID and our tag → call."""
        self.tag = ids.tag()
        self.before: Received | None = None
        self.methods: tuple[str, ...] = METHODS

    @property
    def target(self) -> Target:
        """What the runner is told."""
        ringing = Uri.parse(f"sip:ringing@{self.peer.sent_by}")
        return Target(self.uri, self.peer.address, ("uas",), name="callee", ringing=ringing)

    # what comes

    async def take(self, received: Received) -> None:
        message = received.message
        if self.defect == "reads-on" and b"\r\n\r\nINVITE " in received.data:
            rest = received.data.partition(b"\r\n\r\n")[2]
            self.spawn(self.take(replace(received, data=rest, message=parse_message(rest))))
        before, self.before = self.before, received
        if not isinstance(message, Request) or (self.defect == "short-datagrams" and len(received.data) > 8192):
            return
        if (
            self.defect == "one-a-piece"
            and before is not None
            and (before.at, before.flow) == (received.at, received.flow)
        ):
            return
        try:
            if received.fault is not None:
                raise received.fault
            if self.defect in REFUSED and re.search(REFUSED[self.defect], received.data):
                raise ParseError("Message", "looks odd", message=message)
            if self.defect == "mismatch-taken" and message.method == "OPTIONS" and message.headers.count("CSeq") == 1:
                message.headers.set("CSeq", f"{message.cseq.number} OPTIONS")
            if not (message.method == "REGISTER" and message.contact_star):
                validate(message)
            if self.defect == "datagrams-need-length" and "Content-Length" not in message.headers:
                raise ParseError("Content-Length", "is missing", message=message)
            if self.defect == "cseq-of-31-bits-refused" and message.cseq.number > 2**30:
                raise ParseError("CSeq", "is too high", message=message)
            flow = way_back(message, received.flow)
        except ParseError as error:
            await self.refuse_broken(message, received.flow, error)
            return
        if self.defect == "methods-in-any-case" and message.method.upper() == "INVITE":
            message.method = "INVITE"
        await self.serve(message, flow)

    async def refuse_broken(self, request: Request, flow: Flow, error: ParseError) -> None:
        quotes = request.headers.get("To", "").count('"')
        if request.method == "ACK" or (self.defect == "quotes-unanswered" and quotes % 2):
            return
        try:
            flow = way_back(request, flow)
        except SipstackError:
            pass  # back to where it came from
        await self.send(Response.for_request(request, error.status, to_tag=ids.tag()), flow)

    def key(self, request: Request, method: str | None = None) -> Key:
        """Return what tells a transaction (RFC 3261 section 17.2.3)."""
        method = method or ("INVITE" if request.method == "ACK" else request.method)
        via = request.via
        branch = via.branch or ""
        if branch.startswith(COOKIE):
            return (branch, method) if self.defect == "branch-alone" else (branch, via.host, via.port, method)
        return (request.uri_text, request.from_.tag, request.call_id, request.cseq.number, str(via), method)

    def remembered(self, request: Request) -> Served | None:
        served = self.served.get(self.key(request))
        if served is None or served.last is None:
            return served
        if self.defect == "answered-anew" and request.method != "INVITE" and COOKIE in (request.via.branch or ""):
            return None
        if self.defect == "no-branch-no-memory" and request.via.branch is None:
            return None
        if request.method != "INVITE":
            return served
        forgets = {
            "refused-invite-answered-anew": served.last.status >= 300,
            "second-call": served.last.is_success,
            "ringing-forgotten": served.last.status == 180,
        }
        return None if forgets.get(self.defect or "") else served

    async def serve(self, request: Request, flow: Flow) -> None:
        if request.method == "ACK":
            await self.acknowledge(request, flow)
            return
        known = self.remembered(request)
        if known is not None:
            if known.last is not None and not (request.method == "INVITE" and known.last.is_success):
                await self.send(known.last, known.flow)
            return
        served = Served(request, flow)
        merged = any(
            other.request.method == request.method == "INVITE"
            and other.request.call_id == request.call_id
            and other.request.cseq == request.cseq
            and other.request.via.branch != request.via.branch
            for other in self.served.values()
        )
        self.served[self.key(request)] = served
        if request.method == "CANCEL":
            await self.cancel(served)
        elif merged and request.to.tag is None and self.defect != "merged-rings":
            await self.answer(served, 482)
        elif not await self.refused(served):
            await self.act(served)

    async def acknowledge(self, request: Request, flow: Flow) -> None:
        tag = request.to.tag or ""
        served = self.served.get(self.key(request))
        session = self.sessions.get((request.call_id, tag))
        if session is not None:
            served = session.served
        if served is None or served.last is None:
            if self.defect == "ack-answered":
                await self.send(Response.for_request(request, 481, to_tag=ids.tag()), flow)
            return
        if self.defect == "require-in-ack" and request.require:
            return
        if self.defect == "refusal-repeated-after-ack" and served.last.status >= 300:
            return
        if self.defect == "success-repeated-after-ack" and served.last.is_success:
            return
        served.acknowledged.set()

    # what goes

    async def answer(self, served: Served, status: int, *headers: tuple[str, str], body: str = "") -> None:
        """Answer a request; finals of INVITE are repeated until the ACK."""
        request = served.request
        more = [*headers, *([("Content-Type", "application/sdp")] if body else [])]
        tag = request.to.tag or served.tag
        response = Response.for_request(request, status, to_tag=tag, headers=more, body=body.encode())
        self.spoil(request, response)
        served.last = response
        await self.send(response, served.flow)
        if request.method == "INVITE" and status >= 200:
            self.spawn(self.repeat(served, response))

    def spoil(self, request: Request, response: Response) -> None:
        """Do what some defects do to every answer."""
        vias = [part for value in response.headers.get_all("Via") for part in split_list(value)]
        if self.defect == "via-order-changed" and len(vias) > 1:
            response.headers.remove("Via")
            for via in (vias[0], *reversed(vias[1:])):
                response.headers.add("Via", via)
        if self.defect == "display-name-lost" and '"' in request.headers.get("From", ""):
            response.headers.set("From", f"<sip:conformance@lab.example>;tag={request.from_.tag}")
        top = vias[0]
        if self.defect == "no-received" and "rport" not in top:
            top = top.partition(";received")[0]
        if self.defect == "rport-without-port":
            top = top.replace(f"rport={response.via.param('rport')}", "rport")
        if top != vias[0]:
            response.headers.remove("Via")
            for via in (top, *vias[1:]):
                response.headers.add("Via", via)

    async def repeat(self, served: Served, response: Response) -> None:
        success = response.is_success
        if not success and served.flow.transport in RELIABLE:
            return
        if self.defect == ("success-not-repeated" if success else "refusal-not-repeated"):
            return
        interval, end = self.t1, asyncio.get_running_loop().time() + 64 * self.t1
        while asyncio.get_running_loop().time() + interval < end:
            try:
                await asyncio.wait_for(served.acknowledged.wait(), interval)
                return
            except TimeoutError:
                if success and self.defect == "to-tag-changes":
                    to = response.headers.get("To", "").partition(";tag=")[0]
                    response.headers.set("To", f"{to};tag={ids.tag()}")
                await self.send(response, served.flow)
                interval = min(2 * interval, 8 * self.t1)
        if success:
            await asyncio.sleep(end - asyncio.get_running_loop().time())
            await self.hang_up(served, response)

    async def hang_up(self, served: Served, response: Response) -> None:
        """End a call whose ACK never came (RFC 3261 section 13.3.1.4)."""
        request = served.request
        bye = Request("BYE", request.contacts[0].uri)
        bye.headers.add("Via", f"SIP/2.0/UDP {self.peer.sent_by};branch={ids.branch()}")
        bye.headers.add("Max-Forwards", "70")
        bye.headers.add("From", response.headers.get("To", ""))
        bye.headers.add("To", request.headers.get("From", ""))
        bye.headers.add("Call-ID", request.call_id)
        bye.headers.add("CSeq", "1 BYE")
        await self.send(bye, served.flow)

    # what it is about

    async def refused(self, served: Served) -> bool:
        """Refuse what cannot be served, in the order of RFC 3261 section 8.2."""
        request = served.request
        known = request.uri.user == self.USER and request.to.tag is None and "Require" not in request.headers
        if self.defect == "options-not-allowed" and request.method == "OPTIONS" and known:
            await self.answer(served, 405, ALLOW)
        elif request.method not in self.methods:
            status = 405 if request.method in KNOWN or self.defect == "405-without-allow" else 501
            await self.answer(served, status, *(() if self.defect == "405-without-allow" else (ALLOW,)))
        elif not request.uri.is_sip:
            await self.answer(served, 416)
        elif self.is_unknown(request):
            await self.answer(served, 404)
        elif self.defect == "last-hop" and request.max_forwards == 0:
            await self.answer(served, 483)
        elif missing := self.missing(request):
            if self.defect == "slow-without-100" and request.method == "INVITE":
                await asyncio.sleep(0.5)
            await self.answer(served, 420, ("Unsupported", ", ".join(missing)))
        else:
            return await self.refused_body(served)
        return True

    def is_unknown(self, request: Request) -> bool:
        if request.to.tag is not None or request.uri.user in (None, self.USER, "ringing", "conformance"):
            return False
        return not (self.defect == "unknown-user-rings-for-options" and request.method == "OPTIONS")

    def missing(self, request: Request) -> list[str]:
        lines = request.headers.get_all("Require")
        named = [
            tag for line in (lines[:1] if self.defect == "one-line-of-require" else lines) for tag in split_list(line)
        ]
        if self.defect == "one-tag-named" and len(lines) == 1:
            return named[:1]
        return ["x-something"] if self.defect == "420-for-nothing" and named == ["100rel"] else named

    async def refused_body(self, served: Served) -> bool:
        request = served.request
        encoding = request.headers.get("Content-Encoding", "identity")
        kind = request.content_type
        name = f"{kind.type}/{kind.subtype}" if kind is not None else ""
        optional = "handling=optional" in request.headers.get("Content-Disposition", "")
        known = name in ("", "application/sdp", "multipart/mixed") or request.method == "MESSAGE"
        if encoding != "identity" and self.defect != "encoding-not-looked-at":
            await self.answer(served, 415, ("Accept-Encoding", "identity"))
        elif not known and (not optional or self.defect == "optional-refused"):
            accept = () if self.defect == "415-without-accept" else (("Accept", "application/sdp"),)
            await self.answer(served, 415, *accept)
        else:
            return False
        return True

    async def act(self, served: Served) -> None:
        request = served.request
        if request.to.tag is not None:
            await self.go_on(served)
        elif request.method == "INVITE":
            await self.ring(served)
        elif request.method == "OPTIONS":
            await self.tell(served)
        elif request.method == "MESSAGE":
            await self.answer(
                served, 200, *((("Contact", self.contact),) if self.defect == "contact-in-message" else ())
            )
        else:
            await self.answer(served, 200 if self.defect == "bye-of-nothing-taken" else 481)

    async def tell(self, served: Served) -> None:
        if self.defect == "options-rings":
            await self.answer(served, 180)
        body = described(AUDIO) if self.defect == "body-unasked" else ""
        await self.answer(served, 200, *CAPABILITIES, ("Supported", "x-none"), body=body)
        if self.defect == "options-repeated" and served.last is not None and served.flow.transport == "UDP":
            await asyncio.sleep(self.t1)
            await self.send(served.last, served.flow)

    async def ring(self, served: Served) -> None:
        request = served.request
        if request.body and b"m=audio" not in request.body:
            await self.answer(served, 488)
            return
        if self.defect == "one-tag-for-all":
            served.tag = self.tag
        session = Session(served, request.cseq.number)
        self.sessions[request.call_id, served.tag] = session
        if request.uri.user == "ringing":
            reliable = (("RSeq", "1"), ("Require", "100rel")) if self.defect == "reliable-unasked" else ()
            await self.answer(served, 180, ("Contact", self.contact), *reliable)
            return
        routes = [part for value in request.headers.get_all("Record-Route") for part in split_list(value)]
        if self.defect == "record-route-turned":
            routes.reverse()
        if self.defect == "record-route-cut":
            routes = [route.partition(">")[0] + ">" for route in routes]
        headers = [("Record-Route", route) for route in routes]
        asked = request.headers.get("Session-Expires")
        if self.defect == "422-without-least" and asked == "90":
            await self.answer(served, 422)
            return
        if self.defect == "timer-raised" and asked == "1800":
            headers.append(("Session-Expires", "3600;refresher=uas"))
        if self.defect != "contact-lost":
            headers.append(("Contact", self.contact))
        await self.answer(
            served,
            200,
            *headers,
            ALLOW,
            ("Supported", "x-none"),
            body=answer_to(request.body.decode("utf-8", "replace"), session.name, self.defect),
        )

    async def cancel(self, served: Served) -> None:
        request = served.request
        invite = self.served.get(self.key(request, "INVITE"))
        if self.defect == "require-in-cancel" and request.require:
            await self.answer(served, 420, ("Unsupported", ", ".join(request.require)))
            return
        if invite is None:
            if self.defect != "cancel-of-nothing-unanswered":
                await self.answer(served, 481)
            return
        served.tag = invite.tag
        pending = invite.last is None or invite.last.is_provisional
        if not (self.defect == "cancel-unanswered" and pending):
            await self.answer(served, 200)
        if (pending and self.defect != "cancel-changes-nothing") or (
            self.defect == "late-cancel-refuses-again" and invite.last is not None and invite.last.status >= 300
        ):
            await self.answer(invite, 487)
        if self.defect == "late-cancel-ends-call":
            for session in self.sessions.values():
                session.ended = session.ended or session.served is invite

    async def go_on(self, served: Served) -> None:
        """A request in a call."""
        request = served.request
        session = self.sessions.get((request.call_id, request.to.tag or ""))
        if session is None or (session.ended and self.defect != "bye-never-ends"):
            bye = self.defect == "bye-of-nothing-taken" and request.method == "BYE" and session is None
            lost = 404 if self.defect == "unknown-tag-404" and request.method == "INVITE" else 481
            await self.answer(served, 200 if bye else lost)
            return
        number = request.cseq.number
        late = number < session.cseq and self.defect != "cseq-not-looked-at"
        if late or (self.defect == "cseq-without-gaps" and number != session.cseq + 1):
            await self.answer(served, 500)
            return
        session.cseq = number
        if request.method == "BYE":
            await self.end(served, session)
        elif request.method == "INVITE":
            await self.change(served, session)
        else:
            session.ended = self.defect == "options-ends-call"
            await self.answer(served, 200, *CAPABILITIES, ("Supported", "x-none"))

    async def end(self, served: Served, session: Session) -> None:
        early = session.served.last is not None and session.served.last.is_provisional
        if early and self.defect == "early-bye-481":
            await self.answer(served, 481)
            return
        if self.defect == "one-tag-for-all":
            for other in self.sessions.values():
                other.ended = True
        session.ended = True
        await self.answer(served, 200)
        session.served.acknowledged.set()
        if early:
            session.served.acknowledged.clear()
            await self.answer(session.served, 487)

    async def change(self, served: Served, session: Session) -> None:
        request = served.request
        if b"m=audio" not in request.body:
            session.ended = self.defect == "bad-offer-ends-call"
            await self.answer(served, 488)
            return
        if self.defect == "reinvite-new-tag":
            to = request.headers.get("To", "").partition(";tag=")[0]
            request.headers.set("To", f"{to};tag={ids.tag()}")
        if self.defect == "new-session-name":
            session.name = str(int(session.name) + 1)
        self.sessions[request.call_id, request.to.tag or ""] = session
        session.served = served
        await self.answer(
            served,
            200,
            ("Contact", self.contact),
            body=answer_to(request.body.decode("utf-8", "replace"), session.name, self.defect),
        )
