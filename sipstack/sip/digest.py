"""Digest authentication as a client (:rfc:`3261#section-22`, :rfc:`7616`, :rfc:`8760`).

The server side is in :mod:`sipstack.sip.digest_server`; all public names of both can be had from here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

from sipstack import ids
from sipstack.errors import LocalProtocolError, ParseError
from sipstack.sip.aka import AkaAnswer, Usim, is_aka
from sipstack.sip.digest_hash import (
    ALGORITHMS,
    Challenge,
    base_algorithm,
    compute_ha1,
    digest_response,
    is_session,
)
from sipstack.sip.digest_server import DigestServer, NoCredentials, Refused, Stale, Verified
from sipstack.sip.headers import parse_auth_params, quote
from sipstack.sip.message import Request, Response

__all__ = [
    "ALGORITHMS",
    "MAX_CHALLENGES",
    "Challenge",
    "Credentials",
    "DigestClient",
    "DigestServer",
    "NoCredentials",
    "Refused",
    "Stale",
    "Verified",
    "compute_ha1",
    "digest_response",
    "format_authorization",
    "initial_authorization",
]

MAX_CHALLENGES = 3
"""How many challenges in a row a request may get before we give up (A-REG-10): stale ones, and one for each proxy."""

MAX_REALMS = 16
"""Realms of one client whose nonces are remembered; more than a path of proxies can have. The oldest go first."""

UNAUTHENTICATED_METHODS = frozenset({"ACK", "CANCEL"})
"""Never challenged; an ACK repeats the header fields of its INVITE instead (:rfc:`3261#section-22.1`)."""

CHALLENGE_HEADERS = (("WWW-Authenticate", False), ("Proxy-Authenticate", True))
CREDENTIALS_HEADERS = (("Authorization", False), ("Proxy-Authorization", True))


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are to a realm. The username (IMPI) need not resemble the address-of-record."""

    username: str
    ha1: Callable[[str, str], str]
    """Returns H(username:realm:password) for (realm, algorithm); algorithm is a key of ``ALGORITHMS``."""
    known: Collection[tuple[str, str]] | None = None
    """Realm and algorithm of each hash, where no password is known; None: there is one for whatever is asked."""
    usim: Usim | None = None
    """Answers challenges of AKA; None: those can't be answered."""

    @classmethod
    def from_password(cls, username: str, password: str) -> Credentials:
        """Make credentials that hold a password; for those who'd rather not, give a function of your own."""
        return cls(username, partial(_ha1_of_password, username, password))

    @classmethod
    def from_usim(cls, username: str, usim: Usim) -> Credentials:
        """Make credentials of an account that has no password but the secret of a SIM."""
        return cls(username, _no_password, (), usim)

    def can_answer(self, challenge: Challenge) -> bool:
        """Tell whether we can compute what a challenge asks for, and have what it takes."""
        if not challenge.is_supported:
            return False
        if is_aka(challenge.algorithm):
            return self.usim is not None
        return self.known is None or (challenge.realm, base_algorithm(challenge.algorithm)) in self.known

    def __repr__(self) -> str:
        return f"Credentials({self.username!r})"


def _ha1_of_password(username: str, password: str, realm: str, algorithm: str) -> str:
    return compute_ha1(username, realm, password, algorithm)


def _no_password(realm: str, algorithm: str) -> str:
    raise LocalProtocolError(f"there is no password for {algorithm} in {realm}: the account answers AKA only")


class _Answer:
    """The newest challenge of a realm and how often we have answered it."""

    __slots__ = ("aka", "challenge", "host", "count", "first_use")

    def __init__(self, challenge: Challenge, host: str, aka: AkaAnswer | None = None) -> None:
        self.challenge = challenge
        self.host = host
        """Of the Request-URI that was challenged."""
        self.aka = aka
        """What the SIM says to this very nonce: it takes each only once (B-AKA-06)."""
        self.count = 0
        self.first_use: tuple[str, str] | None = None
        """Call-ID and CSeq of the first request that used the nonce."""


class DigestClient:
    """Answers challenges with one pair of credentials and remembers the nonces, so that later requests need no 401."""

    __slots__ = ("credentials", "_answers")

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self._answers: dict[tuple[bool, str], _Answer] = {}

    @property
    def is_challenged(self) -> bool:
        """Tell whether a realm is known that :meth:`authorize` can answer."""
        return bool(self._answers)

    def authorize(self, request: Request) -> None:
        """Write Authorization and Proxy-Authorization for all realms that we know into ``request``.

        Old ones are replaced. What an endpoint or registrar asked for (401) goes only to Request-URIs of the same
        host, what proxies asked for (407) into every request. ACK and CANCEL are left as they are (A-DIG-11).
        """
        if request.method in UNAUTHENTICATED_METHODS or not self._answers:
            return
        for name, _ in CREDENTIALS_HEADERS:
            request.headers.remove(name)
        host = request.uri.host.lower()
        for (proxy, _), answer in self._answers.items():
            if proxy or answer.host == host:
                name = CREDENTIALS_HEADERS[proxy][0]
                request.headers.add(name, self._authorization(answer, request))

    def receive_challenge(self, request: Request, response: Response) -> bool:
        """Take the challenges of a 401 or 407 to ``request`` (as it was sent).

        True: a copy of the request with a new branch and the next CSeq number, given to :meth:`authorize`, may pass.
        False: the password is wrong, or no challenge can be answered. The caller limits how often it tries
        (:data:`MAX_CHALLENGES`).
        """
        useful = False
        for challenge in _choose(response, self.credentials):
            used = self._nonce_used(request, challenge)
            if used is not None and not challenge.stale and self._is_fresh(request, challenge, used):
                return False
            aka = self._ask_usim(challenge)
            if aka is None and is_aka(challenge.algorithm):
                continue
            self._answers.pop((challenge.proxy, challenge.realm), None)
            self._answers[challenge.proxy, challenge.realm] = _Answer(challenge, request.uri.host.lower(), aka)
            useful = True
        while len(self._answers) > MAX_REALMS:
            del self._answers[next(iter(self._answers))]
        return useful

    def receive_success(self, request: Request, response: Response) -> bool:
        """Take the Authentication-Info of a 2xx to ``request`` (A-DIG-09): a next nonce, and the proof of the server.

        False if there is a proof and it is wrong: then the answer is not from who knows the password.
        """
        info = response.headers.get("Authentication-Info")
        used = request.headers.get("Authorization")
        if info is None or used is None:
            return True
        try:
            params = parse_auth_params(f"Digest {info}")[1]
            sent = parse_auth_params(used)[1]
        except ParseError:
            return True
        answer = self._answers.get((False, sent.get("realm", "")))
        if answer is None:
            return True
        proven = "rspauth" not in params or params["rspauth"].lower() == self._proof(sent, response, answer.aka)
        if "nextnonce" in params:
            self._take_next_nonce(answer, params["nextnonce"])
        return proven

    def _take_next_nonce(self, answer: _Answer, nonce: str) -> None:
        old = answer.challenge
        challenge = Challenge(old.realm, nonce, old.algorithm, old.qop, old.opaque, False, old.proxy)
        # A next nonce of AKA is a next challenge, too; one that is none leaves the old answer (RFC 3310 section 3.2).
        aka = self._ask_usim(challenge)
        if aka is not None or not is_aka(old.algorithm):
            self._answers[old.proxy, old.realm] = _Answer(challenge, answer.host, aka)

    def _ask_usim(self, challenge: Challenge) -> AkaAnswer | None:
        usim = self.credentials.usim
        if usim is None or not is_aka(challenge.algorithm):
            return None
        return usim.answer(challenge.nonce, challenge.algorithm)

    def _ha1(self, realm: str, algorithm: str | None, aka: AkaAnswer | None) -> str:
        if aka is None:
            return self.credentials.ha1(realm, base_algorithm(algorithm))
        return compute_ha1(self.credentials.username, realm, aka.password, base_algorithm(algorithm))

    def _proof(self, sent: dict[str, str], response: Response, aka: AkaAnswer | None) -> str:
        algorithm = sent.get("algorithm")
        return digest_response(
            ha1=self._ha1(sent["realm"], algorithm, aka),
            method="",
            uri=sent["uri"],
            nonce=sent["nonce"],
            algorithm=algorithm,
            qop=sent.get("qop"),
            nc=sent.get("nc", ""),
            cnonce=sent.get("cnonce", ""),
            body=response.body,
        )

    def _nonce_used(self, request: Request, challenge: Challenge) -> str | None:
        """Return the nonce with which ``request`` answered an earlier challenge of this realm, None if it didn't."""
        for value in request.headers.get_all(CREDENTIALS_HEADERS[challenge.proxy][0]):
            params = parse_auth_params(value)[1]
            # An initial Authorization (B-REG-01) is no answer to anything, one with AUTS asks for another challenge.
            if params.get("realm") == challenge.realm and params.get("response") and "auts" not in params:
                return params.get("nonce")
        return None

    def _is_fresh(self, request: Request, challenge: Challenge, nonce: str) -> bool:
        """Tell whether the refused nonce was new: then it is the password that was wrong.

        A nonce that served before may just have grown old at a server that doesn't say ``stale``.
        """
        answer = self._answers.get((challenge.proxy, challenge.realm))
        if nonce == challenge.nonce or answer is None:
            return True
        return answer.challenge.nonce == nonce and answer.first_use == _identity(request)

    def _authorization(self, answer: _Answer, request: Request) -> str:
        challenge, aka = answer.challenge, answer.aka
        answer.count += 1
        if answer.first_use is None:
            answer.first_use = _identity(request)
        qop = challenge.chosen_qop
        nc = f"{answer.count:08x}"
        # A1 of a -sess algorithm needs a cnonce also where there is no qop.
        cnonce = ids.cnonce() if qop is not None or is_session(challenge.algorithm) else ""
        uri = request.uri_text
        if aka is not None and not aka.is_answered:
            return format_authorization(self.credentials.username, challenge, uri, "", None, "", "")
        response = digest_response(
            ha1=self._ha1(challenge.realm, challenge.algorithm, aka),
            method=request.method,
            uri=uri,
            nonce=challenge.nonce,
            algorithm=challenge.algorithm,
            qop=qop,
            nc=nc,
            cnonce=cnonce,
            body=request.body,
        )
        text = format_authorization(self.credentials.username, challenge, uri, response, qop, nc, cnonce)
        return text if aka is None or aka.auts is None else f'{text}, auts="{aka.auts}"'


def format_authorization(
    username: str, challenge: Challenge, uri: str, response: str, qop: str | None, nc: str, cnonce: str
) -> str:
    """Return the value of Authorization; quotes where :rfc:`3261#section-25.1` has them and nowhere else (A-DIG-06)."""
    fields = [
        f"Digest username={quote(username)}",
        f"realm={quote(challenge.realm)}",
        f"nonce={quote(challenge.nonce)}",
        f"uri={quote(uri)}",
        f'response="{response}"',
    ]
    if challenge.algorithm is not None:
        fields.append(f"algorithm={challenge.algorithm}")
    if cnonce:
        fields.append(f'cnonce="{cnonce}"')
    if challenge.opaque is not None:
        fields.append(f"opaque={quote(challenge.opaque)}")
    if qop is not None:
        fields += [f"qop={qop}", f"nc={nc}"]
    return ", ".join(fields)


def initial_authorization(username: str, realm: str, uri: str) -> str:
    """Return the Authorization of an IMS client's first REGISTER, which only tells the IMPI (B-REG-01)."""
    return format_authorization(username, Challenge(realm, ""), uri, "", None, "", "")


def _choose(response: Response, credentials: Credentials) -> list[Challenge]:
    """Return for each realm the topmost challenge that we can answer (:rfc:`8760#section-2.4`, A-DIG-04)."""
    chosen: dict[tuple[bool, str], Challenge] = {}
    for name, proxy in CHALLENGE_HEADERS:
        for value in response.headers.get_all(name):
            try:
                challenge = Challenge.parse(value, proxy)
            except ParseError:
                continue
            if credentials.can_answer(challenge):
                chosen.setdefault((proxy, challenge.realm), challenge)
    return list(chosen.values())


def _identity(request: Request) -> tuple[str, str]:
    return request.call_id, str(request.cseq)
