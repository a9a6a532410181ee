"""The registering part of the phone of :mod:`.element_caller`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sipstack import ids
from sipstack.errors import ParseError
from sipstack.sip.address import Address
from sipstack.sip.digest_hash import Challenge, compute_ha1, digest_response
from sipstack.sip.grammar import quote
from sipstack.sip.message import Request, Response
from sipstack.sip.uri import Uri

if TYPE_CHECKING:
    from tests.gateway.lab.conformance.element_caller import Caller

USER, PASSWORD = "alice", "in-wonderland"

DEFECTS = {
    "user-in-request-uri": "SIP-REG-RT-001",
    "cseq-kept-behind-401": "SIP-REG-RT-002",
    "branch-kept-behind-401": "SIP-REG-RT-002",
    "refresh-with-new-call-id": "SIP-REG-RT-003",
    "refresh-with-new-contact": "SIP-REG-RT-003",
    "too-brief-again": "SIP-REG-RT-004",
    "given-time-ignored": "SIP-REG-RT-005",
    "leaves-for-an-hour": "SIP-REG-RT-006",
    "two-at-a-time": "SIP-REG-RT-007",
    "service-route-turned-down": "SIP-REG-RT-008",
    "opaque-lost": "SIP-REG-DIG-020",
    "nc-quoted": "SIP-REG-DIG-021",
    "nonce-not-counted": "SIP-REG-DIG-022",
    "stale-nonce-kept": "SIP-REG-DIG-023",
    "refused-credentials-again": "SIP-REG-DIG-024",
    "first-challenge-only": "SIP-REG-DIG-025",
    "qop-unasked": "SIP-REG-DIG-026",
    "weakest-algorithm": "SIP-REG-DIG-027",
    "qop-list-copied": "SIP-REG-DIG-028",
    "proxy-answered-as-registrar": "SIP-REG-DIG-029",
}
"""Defect → the case that has to find it."""

ASKED = 600
"""Seconds that it asks for."""


class Registration:
    """One binding."""

    def __init__(self, phone: Caller) -> None:
        self.phone = phone
        self.call_id = ids.call_id()
        self.from_tag = ids.tag()
        self.cseq = 0
        self.contact = ""
        self.challenge: tuple[Challenge, int] | None = None
        """The newest challenge that was answered, and the status it came with."""
        self.count = 0
        self.pending = False
        self.service_routes: list[Address] = []
        self.timer: asyncio.TimerHandle | None = None

    async def act(self, action: str, uri: Uri) -> None:
        """Register anew, refresh or leave."""
        if self.timer is not None:
            self.timer.cancel()
        if action == "register":
            self.call_id, self.from_tag, self.cseq = ids.call_id(), ids.tag(), 0
            self.challenge, self.count, self.pending = None, 0, False
            self.contact = f"sip:{ids.token(32)}@{self.phone.peer.sent_by}"
            self.service_routes = []
        elif self.pending and self.phone.defect != "two-at-a-time":
            return
        if action == "reregister":
            if self.phone.defect == "refresh-with-new-call-id":
                self.call_id = ids.call_id()
            if self.phone.defect == "refresh-with-new-contact":
                self.contact = f"sip:{ids.token(32)}@{self.phone.peer.sent_by}"
        expires = ASKED
        if action == "unregister":
            expires = 3600 if self.phone.defect == "leaves-for-an-hour" else 0
        self.send(uri, expires)

    def send(self, uri: Uri, expires: int, via: str | None = None) -> None:
        """Send a REGISTER to the listener's address."""
        self.cseq += 1
        domain = Uri("sip", user="x" if self.phone.defect == "user-in-request-uri" else None, host="lab.example")
        request = Request(
            "REGISTER",
            domain,
            [
                ("Via", via or self.phone.via),
                ("Max-Forwards", "70"),
                ("From", f"<sip:{USER}@lab.example>;tag={self.from_tag}"),
                ("To", f"<sip:{USER}@lab.example>"),
                ("Call-ID", self.call_id),
                ("CSeq", f"{self.cseq} REGISTER"),
                ("Contact", f"<{self.contact}>"),
                ("Expires", str(expires)),
            ],
        )
        if self.challenge is not None:
            self.authorize(request)
        self.pending = True
        self.phone.start(request, uri, lambda response: self.answered(request, uri, expires, response))

    def answered(self, request: Request, uri: Uri, expires: int, response: Response) -> None:
        """Go on behind an answer."""
        if response.is_provisional or request.cseq.number != self.cseq:
            return
        self.pending = False
        if response.status in (401, 407):
            self.challenged(request, uri, expires, response)
        elif response.status == 423:
            least = response.min_expires or expires
            self.send(uri, expires if self.phone.defect == "too-brief-again" else least)
        elif response.is_success and expires:
            self.bound(uri, response)

    def bound(self, uri: Uri, response: Response) -> None:
        turned_down = self.phone.defect == "service-route-turned-down"
        self.service_routes = [
            Address(Uri("sip", user="else", host=route.uri.host, port=route.uri.port)) if turned_down else route
            for route in response.service_routes
        ]
        ours = next((item for item in response.contacts if str(item.uri) == self.contact), None)
        given = int((ours.param("expires") if ours is not None else None) or ASKED)
        if self.phone.defect == "given-time-ignored":
            given = ASKED
        self.timer = asyncio.get_running_loop().call_later(given / 2, self.send, uri, ASKED)

    # digest

    def challenged(self, request: Request, uri: Uri, expires: int, response: Response) -> None:
        proxy = response.status == 407
        chosen = self.choose(response.headers.get_all("Proxy-Authenticate" if proxy else "WWW-Authenticate"))
        if chosen is None:
            return
        before = self.challenge[0] if self.challenge is not None else None
        used = request.headers.get("Authorization") or request.headers.get("Proxy-Authorization")
        if used and before is not None and not chosen.stale:
            if self.phone.defect != "refused-credentials-again":
                return
        if not (chosen.stale and self.phone.defect == "stale-nonce-kept"):
            self.challenge = chosen, response.status
            self.count = 0
        if self.phone.defect == "cseq-kept-behind-401":
            self.cseq -= 1
        via = str(request.via) if self.phone.defect == "branch-kept-behind-401" else None
        self.send(uri, expires, via)

    def choose(self, values: list[str]) -> Challenge | None:
        known = []
        for value in values:
            try:
                challenge = Challenge.parse(value)
            except ParseError:
                continue
            if challenge.is_supported or self.phone.defect == "first-challenge-only":
                known.append(challenge)
        if not known:
            return None
        return known[-1] if self.phone.defect == "weakest-algorithm" else known[0]

    def authorize(self, request: Request) -> None:
        assert self.challenge is not None
        challenge, status = self.challenge
        if self.phone.defect != "nonce-not-counted" or self.count == 0:
            self.count += 1
        count, cnonce = f"{self.count:08x}", ids.token(64)
        qop = challenge.chosen_qop
        if self.phone.defect == "qop-unasked":
            qop = "auth"
        algorithm = challenge.algorithm if challenge.is_supported else "MD5"
        proof = digest_response(
            ha1=compute_ha1(USER, challenge.realm, PASSWORD, algorithm or "MD5"),
            method="REGISTER",
            uri=request.uri_text,
            nonce=challenge.nonce,
            algorithm=algorithm,
            qop=qop,
            nc=count,
            cnonce=cnonce,
        )
        parts = {
            "username": quote(USER),
            "realm": quote(challenge.realm),
            "nonce": quote(challenge.nonce),
            "uri": quote(request.uri_text),
            "response": quote(proof),
        }
        if challenge.algorithm is not None:
            parts["algorithm"] = challenge.algorithm
        if challenge.opaque is not None and self.phone.defect != "opaque-lost":
            parts["opaque"] = quote(challenge.opaque)
        if qop is not None:
            listed = self.phone.defect == "qop-list-copied" and len(challenge.qop) > 1
            parts["qop"] = quote(",".join(challenge.qop)) if listed else qop
            parts["nc"] = quote(count) if self.phone.defect == "nc-quoted" else count
            parts["cnonce"] = quote(cnonce)
        name = "Proxy-Authorization" if status == 407 else "Authorization"
        if self.phone.defect == "proxy-answered-as-registrar":
            name = "Authorization"
        request.headers.add(name, "Digest " + ", ".join(f"{key}={value}" for key, value in parts.items()))
