"""Proof of a subscriber's password by the registrar itself: a REGISTER that asks and binds nothing.

A REGISTER without Contact only queries (:rfc:`3261#section-10.2.3`), but it is challenged like any other. Proof is
the challenge of the right realm, our answer to it, and a 200. A core that answers 200 without a challenge trusts our
address and would let anybody in: that is an error of the set-up, never a proof.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from gateway.drivers import DriverError
from gateway.services import Inviter, NotAuthenticated
from gateway.users.base import UNKNOWN, WRONG_CREDENTIALS, UserAnswer
from gateway.users.proofs import Proofs
from sipstack import ids
from sipstack.errors import ParseError, SipstackError
from sipstack.net.endpoint import Endpoint
from sipstack.sip.address import Address
from sipstack.sip.digest import Challenge, Credentials, DigestClient
from sipstack.sip.message import Request, Response
from sipstack.sip.uri import Uri
from translators.identifiers import Identifier, identity

CHALLENGES = {401: ("WWW-Authenticate", False), 407: ("Proxy-Authenticate", True)}
REFUSALS = frozenset({401, 403, 404, 407, 604})
"""Final answers to right and wrong credentials alike that mean: not this user, or not this password."""


class RegisterUsers:
    """:class:`gateway.users.base.UsersDriver` that knows nobody and asks the registrar."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        domains: Sequence[str],
        realm: str,
        outbound_proxy: Uri,
        cache: float = 60.0,
        timeout: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``domains`` are those whose users are asked about, the first stands for a user-id without one; ``realm`` is
        what the core must challenge with; ``cache`` and ``timeout`` are seconds."""
        self._endpoint = endpoint
        self._domains = tuple(domain.lower() for domain in domains)
        self._realm = realm
        self._proxy = outbound_proxy
        self._timeout = timeout
        self._proofs = Proofs(cache, clock)

    async def authenticate(self, user_id: str, password: str) -> Inviter:
        """Return the subscriber, as the registrar's P-Associated-URI tells them."""
        aor = self._aor(user_id)
        key = self._proofs.key(str(aor), password)
        known = self._proofs.get(key)
        if known is not None:
            return known
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._prove(aor, password)
        except (SipstackError, OSError, TimeoutError) as error:
            raise DriverError(f"The registrar does not answer: {str(error) or 'time-out'}", temporary=True) from error
        inviter = _inviter(aor, response)
        self._proofs.remember(key, inviter)
        return inviter

    async def lookup(self, identifier: Identifier) -> UserAnswer:
        """A registrar cannot be asked who somebody is."""
        return UNKNOWN

    async def taken(self, uri: str) -> bool:
        """A registrar cannot be asked which names it has; provisioning refuses a name that is taken."""
        return False

    async def close(self) -> None:
        """Forget all proofs."""
        self._proofs.forget()

    def _aor(self, user_id: str) -> Uri:
        """Return the identity to ask about. NotAuthenticated for domains that are not configured."""
        name = identity(user_id)
        if ":" not in name:
            name = f"sip:{name}@{self._domains[0]}"
        try:
            uri = Uri.parse(name)
        except ParseError:
            raise NotAuthenticated(WRONG_CREDENTIALS) from None
        if not uri.is_sip or not uri.user or uri.host.lower() not in self._domains or uri.port is not None:
            raise NotAuthenticated(WRONG_CREDENTIALS)
        return Uri.parse(uri.aor)

    async def _prove(self, aor: Uri, password: str) -> Response:
        """Run the exchange; return the 200 that follows our answer to the challenge."""
        call_id, tag = ids.call_id(), ids.tag()
        first = await self._endpoint.request(_query(aor, call_id, tag, 1), route=self._proxy)
        if first.is_success:
            raise DriverError("The core lets REGISTER pass without a challenge: it proves nothing.", temporary=False)
        if first.status not in CHALLENGES:
            raise _refusal(first)
        self._check_realm(first)
        username = aor.user or ""
        client = DigestClient(Credentials.from_password(username, password))
        request = _query(aor, call_id, tag, 2)
        if not client.receive_challenge(request, first):
            raise DriverError("The core challenges with an algorithm that is not supported.", temporary=False)
        second = await self._endpoint.request(request, route=self._proxy, digest=client)
        if not second.is_success:
            raise _refusal(second)
        return second

    def _check_realm(self, response: Response) -> None:
        name, proxy = CHALLENGES[response.status]
        realms = set()
        for value in response.headers.get_all(name):
            try:
                realms.add(Challenge.parse(value, proxy).realm)
            except ParseError:
                continue
        if realms != {self._realm}:
            text = f"The core challenges for realm {', '.join(sorted(realms)) or '(none)'}, not for {self._realm}."
            raise DriverError(text, temporary=False)


def _query(aor: Uri, call_id: str, tag: str, cseq: int) -> Request:
    """Return a REGISTER that asks for the bindings of an address-of-record."""
    headers = [
        ("From", f"<{aor}>;tag={tag}"),
        ("To", f"<{aor}>"),
        ("Call-ID", call_id),
        ("CSeq", f"{cseq} REGISTER"),
        ("Supported", "path"),
    ]
    return Request("REGISTER", f"sip:{aor.host}", headers)


def _refusal(response: Response) -> Exception:
    """Return what a final answer means that is no proof."""
    if response.status in REFUSALS:
        return NotAuthenticated(WRONG_CREDENTIALS)
    return DriverError(f"The registrar answers {response.status} {response.reason}", temporary=response.status >= 500)


def _inviter(aor: Uri, response: Response) -> Inviter:
    """Return the subscriber whom a 200 proves; P-Associated-URI lists all identities, the default one first."""
    try:
        associated: list[Address] = response.associated_uris
    except ParseError:
        associated = []
    identities = list(dict.fromkeys(address.uri.aor for address in associated)) or [aor.aor]
    if aor.aor not in identities:
        identities.append(aor.aor)
    name = next((address.display_name for address in associated if address.display_name), None)
    # whichever of their identities a subscriber signs in with, the default one tells who they are
    default = next((uri for uri in identities if uri.startswith(("sip:", "sips:"))), aor.aor)
    return Inviter(uid=default.partition(":")[2], sip=default, identities=tuple(identities), name=name)
