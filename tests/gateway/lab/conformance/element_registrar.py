"""A registrar of the simplest kind, for one user."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.lab.conformance.target import Target
from sipstack import ids
from sipstack.sip.address import Address
from sipstack.sip.digest_hash import compute_ha1, digest_response
from sipstack.sip.message import Request
from sipstack.sip.uri import Uri
from sipstack.sip.values import parse_auth_params
from tests.gateway.lab.conformance.element_callee import METHODS, Callee, Served
from tests.gateway.lab.conformance.element_registrant import PASSWORD, USER

REALM = "lab.example"
LEAST, USUAL = 60, 3600


@dataclass(eq=False)
class Binding:
    """A Contact and its time."""

    uri: Uri
    text: str
    expires: int
    call_id: str
    cseq: int


class Registrar(Callee):
    """See the module."""

    ROLES = ("registrar",)
    DEFECTS = {
        "binding-not-shown": "SIP-REG-RR-001",
        "longer-than-asked": "SIP-REG-RR-001",
        "removal-ignored": "SIP-REG-RR-003",
        "header-wins": "SIP-REG-RR-004",
        "one-contact-only": "SIP-REG-RR-005",
        "star-removes-nothing": "SIP-REG-RR-006",
        "star-any-time": "SIP-REG-RR-007",
        "star-with-others": "SIP-REG-RR-008",
        "423-without-least": "SIP-REG-RR-009",
        "cseq-not-looked-at": "SIP-REG-RR-010",
        "refresh-adds": "SIP-REG-RR-011",
        "compared-as-text": "SIP-REG-RR-012",
        "require-ignored": "SIP-REG-RR-013",
        "parameter-into-uri": "SIP-REG-RR-014",
        "uri-cut": "SIP-REG-RR-015",
        "path-not-told": "SIP-REG-RR-016",
        "challenges-as-proxy": "SIP-REG-DIG-001",
        "any-password": "SIP-REG-DIG-003",
        "any-nonce": "SIP-REG-DIG-004",
        "any-uri": "SIP-REG-DIG-005",
        "empty-answer": "SIP-REG-DIG-006",
        "nonce-used-once": "SIP-REG-DIG-007",
    }

    def __init__(self, defect: str | None = None, t1: float = 0.05) -> None:
        super().__init__(defect, t1)
        self.methods = (*METHODS, "REGISTER")
        self.bindings: list[Binding] = []
        self.nonces: dict[str, int] = {}
        """Nonce → how often it was used."""

    @property
    def target(self) -> Target:
        """What the runner is told."""
        uri = Uri.parse(f"sip:{self.peer.sent_by}")
        return Target(uri, self.peer.address, self.ROLES, name="registrar")

    def missing(self, request: Request) -> list[str]:
        missing = super().missing(request)
        if request.method != "REGISTER":
            return missing
        return [] if self.defect == "require-ignored" else [tag for tag in missing if tag != "path"]

    async def act(self, served: Served) -> None:
        if served.request.method == "INVITE" and served.request.to.tag is None:
            await self.answer(served, 480)
        elif served.request.method == "REGISTER":
            await self.register(served)
        else:
            await super().act(served)

    # who

    async def register(self, served: Served) -> None:
        request = served.request
        refusal = self.stranger(request)
        if refusal == 403:
            await self.answer(served, 403)
        elif refusal:
            nonce = ids.token(96)
            self.nonces[nonce] = 0
            text = f'Digest realm="{REALM}", nonce="{nonce}", algorithm=MD5, qop="auth", stale=true'
            proxy = self.defect == "challenges-as-proxy"
            if proxy:
                await self.answer(served, 407, ("Proxy-Authenticate", text), ("WWW-Authenticate", text))
            else:
                await self.answer(served, 401, ("WWW-Authenticate", text))
        elif request.contact_star:
            await self.clear(served)
        else:
            await self.bind(served)

    def stranger(self, request: Request) -> int:
        """Return 0 when the credentials are right, 401 to ask, 403 to refuse."""
        text = request.headers.get("Authorization") or request.headers.get("Proxy-Authorization")
        if text is None:
            return 401
        fields = parse_auth_params(text)[1]
        if not fields.get("response"):
            return 0 if self.defect == "empty-answer" else 401
        nonce = fields.get("nonce", "")
        if nonce not in self.nonces and self.defect != "any-nonce":
            return 401
        if self.defect == "nonce-used-once" and self.nonces.get(nonce):
            return 403
        self.nonces[nonce] = self.nonces.get(nonce, 0) + 1
        if fields.get("uri") != request.uri_text and self.defect != "any-uri":
            return 403
        expected = digest_response(
            ha1=compute_ha1(USER, REALM, PASSWORD),
            method="REGISTER",
            uri=fields.get("uri", ""),
            nonce=nonce,
            qop=fields.get("qop"),
            nc=fields.get("nc", ""),
            cnonce=fields.get("cnonce", ""),
        )
        return 0 if expected == fields["response"] or self.defect == "any-password" else 403

    # what

    async def clear(self, served: Served) -> None:
        request = served.request
        alone = len(request.headers.get_all("Contact")) == 1
        if (not alone and self.defect != "star-with-others") or (
            request.expires != 0 and self.defect != "star-any-time"
        ):
            await self.answer(served, 400)
            return
        if self.defect != "star-removes-nothing":
            self.bindings.clear()
        await self.tell_bindings(served, [])

    async def bind(self, served: Served) -> None:
        request = served.request
        wanted = []
        for contact in request.contacts[: 1 if self.defect == "one-contact-only" else None]:
            own = contact.param("expires")
            given = int(own) if own is not None and own.isdigit() else None
            if self.defect == "header-wins" and request.expires is not None:
                given = request.expires
            expires = given if given is not None else request.expires if request.expires is not None else USUAL
            if 0 < expires < LEAST:
                least = () if self.defect == "423-without-least" else (("Min-Expires", str(LEAST)),)
                await self.answer(served, 423, *least)
                return
            wanted.append((contact, expires))
        for contact, expires in wanted:
            known = self.find(contact.uri)
            late = known is not None and known.call_id == request.call_id and known.cseq >= request.cseq.number
            if late and self.defect != "cseq-not-looked-at":
                await self.answer(served, 500)
                return
            self.rebind(request, contact, expires, known)
        await self.tell_bindings(served, wanted)

    def find(self, uri: Uri) -> Binding | None:
        if self.defect == "compared-as-text":
            return next((item for item in self.bindings if str(item.uri) == str(uri)), None)
        return next((item for item in self.bindings if item.uri.matches(uri)), None)

    def rebind(self, request: Request, contact: Address, expires: int, known: Binding | None) -> None:
        if known is not None and not (self.defect == "refresh-adds" and expires):
            if self.defect == "removal-ignored" and expires == 0:
                return
            self.bindings.remove(known)
        if expires == 0:
            return
        text = str(contact.uri)
        odd = contact.param("x-odd")
        if self.defect == "parameter-into-uri" and odd is not None:
            text += f";x-odd={odd}"
        if self.defect == "uri-cut":
            text = text.partition(";x-odd")[0]
        self.bindings.append(Binding(contact.uri, text, expires, request.call_id, request.cseq.number))

    async def tell_bindings(self, served: Served, asked: list[tuple[Address, int]]) -> None:
        longer = 60 if self.defect == "longer-than-asked" and "Expires" in served.request.headers else 0
        told = [("Contact", f"<{item.text}>;expires={item.expires + longer}") for item in self.bindings]
        if self.defect == "binding-not-shown" and asked:
            told = []
        paths = [] if self.defect == "path-not-told" else served.request.headers.get_all("Path")
        await self.answer(served, 200, *told, *(("Path", path) for path in paths))
