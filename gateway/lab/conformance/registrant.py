"""Registering with a target that is a registrar: one address of record, requests numbered as they have to be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.peer import Peer, Received
from gateway.lab.conformance.verdict import Failed
from sipstack import ids
from sipstack.errors import ParseError
from sipstack.sip.address import Address
from sipstack.sip.digest import Credentials, DigestClient
from sipstack.sip.message import Request, Response
from sipstack.sip.uri import Uri

UNAUTHORIZED = (401, 407)


class Registrant:
    """Sends REGISTER as often as asked. Answers challenges when there are credentials."""

    def __init__(self, bench: Bench, peer: Peer) -> None:
        self.bench = bench
        self.peer = peer
        self.call_id = ids.call_id()
        self.cseq = 0
        """Of the last request."""
        target, given = bench.target.uri, bench.options.credentials
        self.domain = Uri("sip", host=target.host, port=target.port)
        """What a REGISTER goes to."""
        user = given.user.partition("@")[0] if given is not None else "conformance"
        host = given.user.partition("@")[2] if given is not None else ""
        self.aor = bench.options.identity or f"sip:{user}@{host or target.host}"
        self.contact = f"sip:c-{ids.token(48)}@{peer.sent_by}"
        """A Contact of ours that nobody else has."""
        self._digest = None
        if given is not None:
            self._digest = DigestClient(Credentials.from_password(given.user, given.password))

    def request(
        self, contacts: Sequence[str] = (), headers: Iterable[tuple[str, str]] = (), *, cseq: int | None = None
    ) -> Request:
        """Return the next REGISTER, with its Contacts as they shall stand in it; ``cseq`` replaces the next number."""
        if cseq is None:
            self.cseq += 1
            cseq = self.cseq
        request = self.peer.request(
            "REGISTER",
            self.domain,
            to=f"<{self.aor}>",
            from_=f"<{self.aor}>;tag={ids.tag()}",
            call_id=self.call_id,
            cseq=cseq,
        )
        request.headers.remove("Contact")
        for contact in contacts:
            request.headers.add("Contact", contact)
        for name, value in headers:
            request.headers.add(name, value)
        return request

    async def send(self, request: Request) -> Received:
        """Send a REGISTER and return its final answer; one challenge on the way is answered."""
        if self._digest is not None:
            self._digest.authorize(request)
        answer = await self.peer.exchange(request)
        if answer.response.status == 403 and self._digest is not None:
            self.bench.inconclusive(f"the registrar does not let us in: {answer}")
        if answer.response.status not in UNAUTHORIZED:
            return answer
        if self._digest is None:
            self.bench.inconclusive(f"the registrar wants to know who we are: {answer} (--user, --password)")
        if not self._digest.receive_challenge(request, answer.response):
            self.bench.inconclusive("the registrar does not take our credentials")
        again = Request("REGISTER", request.uri_text, request.headers.copy(), request.body)
        again.headers.set("Via", self.peer.via)
        self.cseq = max(self.cseq, request.cseq.number + 1)
        again.headers.set("CSeq", f"{request.cseq.number + 1} REGISTER")
        self._digest.authorize(again)
        return await self.peer.exchange(again)

    async def register(self, contacts: Sequence[str], headers: Iterable[tuple[str, str]] = ()) -> Received:
        """Send a REGISTER that has to be taken: the case is inconclusive when it is not."""
        answer = await self.send(self.request(contacts, headers))
        if not answer.response.is_success:
            self.bench.inconclusive(f"the registrar refuses us: {answer}")
        return answer

    async def add(self, parameters: str = "", headers: Iterable[tuple[str, str]] = ()) -> Received:
        """Register our Contact, and have it removed behind the case."""
        self.bench.later(self.remove)
        return await self.register([f"<{self.contact}>{parameters}"], headers)

    async def remove(self, *contacts: str) -> Received:
        """Remove our Contact, or those that are given."""
        return await self.send(self.request([f"<{contact}>;expires=0" for contact in contacts or (self.contact,)]))

    async def fetch(self) -> list[Address]:
        """Ask for all bindings."""
        return bindings((await self.register([])).response)


def bindings(response: Response) -> list[Address]:
    """Return what a 200 lists. Raises Failed when it can't be read."""
    try:
        return response.contacts
    except ParseError as error:
        raise Failed(f"the Contacts of the {response.status} can't be read: {error}") from None


def find(found: Iterable[Address], uri: str) -> Address | None:
    """Return the binding of a URI (:rfc:`3261#section-19.1.4`), None when there is none."""
    wanted = Uri.parse(uri)
    return next((contact for contact in found if contact.uri.matches(wanted)), None)


def seconds(contact: Address | None, response: Response | None = None) -> int | None:
    """Return how long a binding lasts by its own parameter, or by Expires."""
    text = contact.param("expires") if contact is not None else None
    if text is not None and text.isdigit():
        return int(text)
    return response.expires if response is not None else None
