"""A dialog of the raw side: what its requests carry (:rfc:`3261#section-12`), and nothing that happens by itself."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.lab.conformance.peer import USER_AGENT, Peer, Received
from sipstack.sip.address import Address
from sipstack.sip.message import Request, Response
from sipstack.sip.uri import Uri


class RawDialog:
    """Our end of a dialog; ``cseq`` and the rest may be changed to send what is wrong."""

    def __init__(
        self,
        peer: Peer,
        *,
        call_id: str,
        local: str,
        remote: str,
        uri: Uri | str,
        routes: Iterable[Address],
        cseq: int,
        invite: Request,
    ) -> None:
        self.peer = peer
        self.call_id = call_id
        self.local = local
        """Our From in it, with the tag."""
        self.remote = remote
        """Our To in it, with the tag."""
        self.uri = uri
        """The remote target."""
        self.routes = list(routes)
        self.cseq = cseq
        """Of our last request."""
        self.invite = invite
        """What made the dialog."""

    @classmethod
    def calling(cls, peer: Peer, invite: Request, response: Response) -> RawDialog:
        """Return the dialog that an answer to our INVITE makes. Raises ParseError when it lacks what that takes."""
        return cls(
            peer,
            call_id=invite.call_id,
            local=invite.headers.get("From", ""),
            remote=response.headers.get("To", ""),
            uri=response.contacts[0].uri if response.contacts else invite.uri,
            routes=reversed(response.record_routes),
            cseq=invite.cseq.number,
            invite=invite,
        )

    @classmethod
    def called(cls, peer: Peer, invite: Request, response: Response) -> RawDialog:
        """Return the dialog that our answer to the target's INVITE makes. Raises ParseError."""
        return cls(
            peer,
            call_id=invite.call_id,
            local=response.headers.get("To", ""),
            remote=invite.headers.get("From", ""),
            uri=invite.contacts[0].uri if invite.contacts else invite.from_.uri,
            routes=invite.record_routes,
            cseq=0,
            invite=invite,
        )

    def request(
        self,
        method: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        content_type: str = "application/sdp",
        cseq: int | None = None,
    ) -> Request:
        """Return the next request of the dialog; ``cseq`` instead of the next number changes nothing in the dialog."""
        if cseq is None:
            self.cseq += 1
            cseq = self.cseq
        request = Request(
            method,
            self.uri,
            [
                ("Via", self.peer.via),
                ("Max-Forwards", "70"),
                *(("Route", str(route)) for route in self.routes),
                ("From", self.local),
                ("To", self.remote),
                ("Call-ID", self.call_id),
                ("CSeq", f"{cseq} {method}"),
                ("User-Agent", USER_AGENT),
            ],
            body,
        )
        if method in ("INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER"):
            request.headers.add("Contact", self.peer.contact)
        if body:
            request.headers.add("Content-Type", content_type)
        for name, value in headers:
            request.headers.set(name, value)
        return request

    def ack(self, cseq: int | None = None, body: bytes = b"") -> Request:
        """Return the ACK of a 2xx (:rfc:`3261#section-13.2.2.4`): by the INVITE's number, with a branch of its own."""
        return self.request("ACK", body=body, cseq=self.invite.cseq.number if cseq is None else cseq)

    async def send(self, request: Request) -> None:
        """Send a request of the dialog to its next hop: the target, which calls by itself come from too."""
        await self.peer.send(request)

    async def hangup(self) -> Received:
        """Send BYE and return its final answer. Raises Inconclusive when none comes."""
        return await self.peer.exchange(self.request("BYE"))
