"""The registrar of the embedded core (:rfc:`3261#section-10.3`): digest, bindings in memory, what its 200 tells.

Pure: requests and ``now`` (monotonic seconds) come in, answers and changes come out. Bindings belong to the account, so
that one REGISTER makes all its public identities reachable: the implicit registration set of an IMS.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from itertools import count

from gateway.lab.subscribers import SubscriberTable
from sipstack.flow import Flow, HostPort
from sipstack.sip.address import Address
from sipstack.sip.digest import DigestServer, Stale, Verified
from sipstack.sip.message import Request
from sipstack.sip.uri import Uri

MIN_EXPIRES = 10
"""Seconds; shorter is refused with 423. Low, because labs want to see expiry happen."""
MAX_EXPIRES = 7200
"""Seconds that are granted at most, as an operator would shorten 600000 (B-REG-01)."""
DEFAULT_EXPIRES = 3600
"""Seconds granted to who asks for nothing."""
MAX_BINDINGS = 8
"""Bindings of one account; the oldest makes room."""


@dataclass(slots=True)
class Binding:
    """Where an account can be reached until ``expires_at`` (monotonic seconds)."""

    aor: str
    """The public identity that was registered."""
    uri: Uri
    parameters: str
    """Header parameters of the Contact but ``expires``, as they stood: feature tags and the like."""
    expires_at: float
    call_id: str
    cseq: int
    path: tuple[str, ...]
    """Values of Path (:rfc:`3327`), first hop first."""
    remote: HostPort
    """The address that the REGISTER came from."""


@dataclass(frozen=True, slots=True)
class Change:
    """``aor`` is registered for ``expires`` more seconds; 0: not any more."""

    aor: str
    expires: int


@dataclass(slots=True)
class Answer:
    """What to answer to a REGISTER, and what it changed."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    change: Change | None = None


class Refusal(Exception):
    """Leaves the steps of a REGISTER early with its answer."""

    def __init__(self, status: int, *headers: tuple[str, str]) -> None:
        super().__init__(status)
        self.answer = Answer(status, list(headers))


class Registrar:
    """All bindings of one home domain."""

    def __init__(
        self,
        subscribers: SubscriberTable,
        digest: DigestServer,
        *,
        domain: str,
        sent_by: str,
        secure_sent_by: str = "",
    ) -> None:
        """``sent_by`` is the core's own address for Service-Route (:rfc:`3608`); the other is that for TLS."""
        self._subscribers = subscribers
        self._digest = digest
        self._domain = domain.lower()
        self._sent_by = sent_by
        self._secure_sent_by = secure_sent_by
        self._bindings: dict[str, list[Binding]] = {}
        # (expires_at, serial, account); an entry whose binding was refreshed or removed since means nothing
        self._deadlines: list[tuple[float, int, str]] = []
        self._serial = count()

    def __len__(self) -> int:
        """How many accounts have a binding."""
        return len(self._bindings)

    # REGISTER

    def register(self, request: Request, flow: Flow, now: float) -> Answer:
        """Process a REGISTER step by step as :rfc:`3261#section-10.3` has it."""
        try:
            self._check_domain(request)
            username = self._authenticate(request, now)
            aor = self._check_identity(request, username)
            self._check_path(request)
            change = self._update(request, flow, username, aor, now)
        except Refusal as refusal:
            return refusal.answer
        return Answer(200, self._success_headers(request, flow, username, now), change)

    def _check_domain(self, request: Request) -> None:
        if request.to.uri.host.lower() != self._domain and not request.to.uri.is_tel:
            raise Refusal(403)

    def _authenticate(self, request: Request, now: float) -> str:
        match self._digest.verify(request, self._subscribers.ha1, now):
            case Verified(username=username):
                return username
            case verdict:
                values = self._digest.challenges(now, stale=isinstance(verdict, Stale))
                raise Refusal(401, *[("WWW-Authenticate", value) for value in values])

    def _check_identity(self, request: Request, username: str) -> str:
        aor = request.to.uri.aor
        if self._subscribers.owner(aor) != username:
            raise Refusal(403)
        return aor

    def _check_path(self, request: Request) -> None:
        # A-REG-07: a Path that the client doesn't declare would be lost on it.
        if "Path" in request.headers and "path" not in request.supported:
            raise Refusal(420, ("Unsupported", "path"))

    def _update(self, request: Request, flow: Flow, username: str, aor: str, now: float) -> Change | None:
        """Change the bindings; None when the REGISTER only asked (:rfc:`3261#section-10.2.3`)."""
        if request.contact_star:
            if request.expires != 0 or request.contacts:
                raise Refusal(400)
            return self._set(username, [], aor, 0, now)
        if not request.contacts:
            return None
        bindings = [binding for binding in self._bindings.get(username, []) if binding.expires_at > now]
        longest = 0
        for contact in request.contacts:
            expires = _granted(contact, request)
            longest = max(longest, expires)
            bindings = [old for old in bindings if not self._replaces(request, contact, old)]
            if expires:
                bindings.append(_binding(request, flow, aor, contact, now + expires))
                heapq.heappush(self._deadlines, (now + expires, next(self._serial), username))
        return self._set(username, bindings[-MAX_BINDINGS:], aor, longest, now)

    @staticmethod
    def _replaces(request: Request, contact: Address, old: Binding) -> bool:
        if not old.uri.matches(contact.uri):
            return False
        if old.call_id == request.call_id and request.cseq.number <= old.cseq:
            raise Refusal(500)  # step 7: an older REGISTER arrived late
        return True

    def _set(self, username: str, bindings: list[Binding], aor: str, expires: int, now: float) -> Change:
        if not bindings:
            self._bindings.pop(username, None)
            return Change(aor, 0)
        self._bindings[username] = bindings
        if expires == 0:  # one device left, others stay
            expires = int(max(binding.expires_at for binding in bindings) - now)
        return Change(aor, expires)

    def _success_headers(self, request: Request, flow: Flow, username: str, now: float) -> list[tuple[str, str]]:
        headers = [("Path", value) for value in request.headers.get_all("Path")]
        for binding in self._bindings.get(username, []):
            left = max(0, round(binding.expires_at - now))
            headers.append(("Contact", f"<{binding.uri}>{binding.parameters};expires={left}"))
        # Who came by TCP or TLS shall go on by it.
        place = f"{self._sent_by};transport=tcp" if flow.transport == "TCP" else self._sent_by
        if flow.transport == "TLS":
            place = f"{self._secure_sent_by};transport=tls"
        headers.append(("Service-Route", f"<sip:orig@{place};lr>"))
        identities = ", ".join(f"<{uri}>" for uri in self._subscribers.identities(username))
        headers.append(("P-Associated-URI", identities))
        return headers

    # what the proxy asks

    def newest(self, username: str, now: float) -> Binding | None:
        """Return the binding made or refreshed last, None when the account is offline."""
        for binding in reversed(self._bindings.get(username, [])):
            if binding.expires_at > now:
                return binding
        return None

    def bindings(self, username: str, now: float) -> list[Binding]:
        """Return all bindings of an account."""
        return [binding for binding in self._bindings.get(username, []) if binding.expires_at > now]

    def flow_to(self, uri: Uri) -> Flow | None:
        """Return the flow by which somebody came whose Contact is ``uri``: nobody needs a port for TLS but us."""
        for binding in (one for bindings in self._bindings.values() for one in bindings):
            if binding.uri.user == uri.user and binding.uri.host_port == uri.host_port:
                return Flow("TLS", binding.remote)
        return None

    def knows_sender(self, username: str, request: Request, flow: Flow, now: float) -> bool:
        """Tell whether a request comes from a registered device of the account: from the address that registered, or
        with the Contact that was registered."""
        contacts = request.contacts
        return any(
            binding.expires_at > now
            and (binding.remote == flow.remote or any(binding.uri.matches(contact.uri) for contact in contacts))
            for binding in self._bindings.get(username, [])
        )

    # what ends bindings besides REGISTER

    def drop(self, username: str, binding: Binding) -> Change | None:
        """Remove one binding whose address proved dead; None when it was gone already."""
        bindings = self._bindings.get(username, [])
        if binding not in bindings:
            return None
        bindings.remove(binding)
        if bindings:
            return None
        del self._bindings[username]
        return Change(binding.aor, 0)

    def remove(self, username: str) -> Change | None:
        """Remove all bindings of an account that was deleted."""
        bindings = self._bindings.pop(username, None)
        return Change(bindings[-1].aor, 0) if bindings else None

    def expire(self, now: float) -> list[Change]:
        """Remove what is over; returns the identities that are offline now. Cheap when nothing is due."""
        changes = []
        while self._deadlines and self._deadlines[0][0] <= now:
            username = heapq.heappop(self._deadlines)[2]
            bindings = self._bindings.get(username)
            if bindings is None:
                continue
            left = [binding for binding in bindings if binding.expires_at > now]
            if left:
                self._bindings[username] = left
            else:
                del self._bindings[username]
                changes.append(Change(bindings[-1].aor, 0))
        return changes

    def dump(self, now: float) -> list[dict[str, object]]:
        """Return all bindings for people to read."""
        return [
            {
                "username": username,
                "aor": binding.aor,
                "contact": str(binding.uri),
                "expires": round(binding.expires_at - now),
                "source": f"{binding.remote[0]}:{binding.remote[1]}",
            }
            for username, bindings in sorted(self._bindings.items())
            for binding in bindings
            if binding.expires_at > now
        ]


def _granted(contact: Address, request: Request) -> int:
    """Return the seconds that a Contact gets; its parameter counts more than the header (A-REG-01)."""
    value = contact.param("expires")
    if value is not None and value.isdecimal():
        wanted = int(value)
    else:
        wanted = DEFAULT_EXPIRES if request.expires is None else request.expires
    if 0 < wanted < MIN_EXPIRES:
        raise Refusal(423, ("Min-Expires", str(MIN_EXPIRES)))
    return min(wanted, MAX_EXPIRES)


def _binding(request: Request, flow: Flow, aor: str, contact: Address, expires_at: float) -> Binding:
    bare = contact.without_params("expires")
    return Binding(
        aor=aor,
        uri=contact.uri,
        parameters=str(bare).partition(">")[2] if bare.parameters else "",
        expires_at=expires_at,
        call_id=request.call_id,
        cseq=request.cseq.number,
        path=tuple(str(address) for address in request.paths),
        remote=flow.remote,
    )
