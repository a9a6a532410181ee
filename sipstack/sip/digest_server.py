"""Digest authentication as a server (:rfc:`3261#section-22.4`, :rfc:`7616#section-3.3`, :rfc:`8760#section-2.3`)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sipstack import ids
from sipstack.errors import LocalProtocolError, ParseError
from sipstack.sip.digest_hash import ALGORITHMS, base_algorithm, digest_response
from sipstack.sip.headers import parse_auth_params, quote
from sipstack.sip.message import Request
from sipstack.sip.uri import Uri

NONCE_LIFETIME = 300.0
"""Seconds; what Kamailio takes too."""
MAX_COUNTED_NONCES = 10_000
"""Nonces whose count is remembered against replay; the oldest are forgotten first."""

_STAMP_DIGITS = 12
_SALT_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Verified:
    """The request comes from who knows the password of ``username``."""

    username: str


@dataclass(frozen=True, slots=True)
class Stale:
    """The nonce is too old, not ours, or used up: challenge again with ``stale=True``."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Credentials for our realm that are wrong; ``why`` is for logs, not for the peer."""

    why: str


@dataclass(frozen=True, slots=True)
class NoCredentials:
    """Nothing for our realm: challenge."""


Lookup = Callable[[str, str, str], str | None]
"""(username, realm, algorithm) → H(username:realm:password) or None; algorithm is a key of ``ALGORITHMS``."""


class DigestServer:
    """Makes challenges for one realm and checks the answers.

    Nonces carry their own time and signature, so none is stored; only the highest count of each nonce in use is.
    """

    def __init__(
        self,
        realm: str,
        algorithms: Sequence[str] = ("SHA-256", "MD5"),
        *,
        secret: bytes,
        nonce_lifetime: float = NONCE_LIFETIME,
        qop: Sequence[str] = ("auth",),
    ) -> None:
        """``algorithms``: most preferred first (A-DIG-04). ``qop`` may be empty: then the old digest form is wanted."""
        unknown = [name for name in algorithms if base_algorithm(name) not in ALGORITHMS]
        if unknown or not algorithms:
            raise LocalProtocolError(f"no such digest algorithm: {', '.join(unknown)}")
        self.realm = realm
        self.algorithms = tuple(algorithms)
        self.qop = tuple(qop)
        self.nonce_lifetime = nonce_lifetime
        self._secret = secret
        self._counts: dict[str, int] = {}

    def challenges(self, now: float, stale: bool = False) -> list[str]:
        """Return the values of WWW-Authenticate or Proxy-Authenticate, one header line each."""
        nonce = self._make_nonce(now)
        return [self._challenge(algorithm, nonce, stale) for algorithm in self.algorithms]

    def verify(
        self, request: Request, lookup: Lookup, now: float, proxy: bool = False
    ) -> Verified | Stale | Refused | NoCredentials:
        """Check Authorization (Proxy-Authorization with ``proxy``). Credentials for other realms are passed over."""
        params = self._credentials(request, proxy)
        return NoCredentials() if params is None else self._verify(request, params, lookup, now)

    def authentication_info(self, request: Request, lookup: Lookup, now: float, body: bytes = b"") -> str | None:
        """Return the Authentication-Info for the 2xx to a verified request: our proof and a next nonce (A-DIG-09).

        ``body`` is that of the response. None where there is nothing to prove: the old digest form has no such thing.
        """
        params = self._credentials(request, proxy=False)
        if params is None or "qop" not in params:
            return None
        ha1 = lookup(params["username"], self.realm, base_algorithm(params.get("algorithm")))
        proof = _response("", params, ha1 or "", body)
        return (
            f'nextnonce="{self._make_nonce(now)}", qop={params["qop"]}, rspauth="{proof}", '
            f"cnonce={quote(params['cnonce'])}, nc={params['nc']}"
        )

    def _credentials(self, request: Request, proxy: bool) -> dict[str, str] | None:
        for value in request.headers.get_all("Proxy-Authorization" if proxy else "Authorization"):
            try:
                scheme, params = parse_auth_params(value)
            except ParseError:
                continue
            # An empty response only tells who will answer (B-REG-01).
            if scheme.lower() == "digest" and params.get("realm") == self.realm and params.get("response"):
                return params
        return None

    def _challenge(self, algorithm: str, nonce: str, stale: bool) -> str:
        fields = [f"Digest realm={quote(self.realm)}", f'nonce="{nonce}"', f"algorithm={algorithm}"]
        if self.qop:
            fields.append(f"qop={quote(','.join(self.qop))}")
        if stale:
            fields.append("stale=true")
        return ", ".join(fields)

    def _verify(
        self, request: Request, params: dict[str, str], lookup: Lookup, now: float
    ) -> Verified | Stale | Refused:
        why = self._objection(request, params)
        if why is not None:
            return Refused(why)
        username = params["username"]
        ha1 = lookup(username, self.realm, base_algorithm(params.get("algorithm")))
        expected = _response(request.method, params, ha1 or "", request.body)
        # Compared also for an unknown name, so that both take the same time.
        right = hmac.compare_digest(expected.encode(), params["response"].lower().encode("utf-8", "surrogateescape"))
        if ha1 is None:
            return Refused("no such user")
        if not right:
            return Refused("wrong password")
        # Stale only for those who know the password (RFC 7616 section 3.3).
        if not self._is_current(params["nonce"], now) or not self._counts_up(params, now):
            return Stale()
        return Verified(username)

    def _objection(self, request: Request, params: dict[str, str]) -> str | None:
        """Return what is wrong with the parameters, None if they can be checked."""
        missing = [name for name in ("username", "nonce", "uri") if not params.get(name)]
        if missing:
            return f"no {missing[0]}"
        offered = [name.upper() for name in self.algorithms]
        if params.get("algorithm", "MD5").upper() not in offered:
            return "another algorithm"
        qop = params.get("qop")
        if qop not in (self.qop or (None,)):
            return "another qop"
        if qop is not None and (not params.get("cnonce") or not _is_count(params.get("nc", ""))):
            return "no cnonce or nc"
        return None if _same_target(params["uri"], request) else "another uri"

    # nonces: time in milliseconds, salt, signature of both

    def _make_nonce(self, now: float) -> str:
        text = f"{int(now * 1000):0{_STAMP_DIGITS}x}{ids.token(_SALT_DIGITS * 4)}"
        return text + self._signature(text)

    def _signature(self, text: str) -> str:
        return hmac.new(self._secret, f"{text}:{self.realm}".encode(), hashlib.sha256).hexdigest()[:32]

    def _is_current(self, nonce: str, now: float) -> bool:
        text, signature = nonce[: _STAMP_DIGITS + _SALT_DIGITS], nonce[_STAMP_DIGITS + _SALT_DIGITS :]
        expected = self._signature(text).encode()
        if not hmac.compare_digest(expected, signature.encode("utf-8", "surrogateescape")):
            return False
        return now - int(text[:_STAMP_DIGITS], 16) / 1000 <= self.nonce_lifetime

    def _counts_up(self, params: dict[str, str], now: float) -> bool:
        """Tell whether nc is higher than before with this nonce, and remember it (:rfc:`7616#section-3.4`)."""
        if "qop" not in params:
            return True
        nonce, count = params["nonce"], int(params["nc"], 16)
        if count <= self._counts.get(nonce, 0):
            return False
        self._counts[nonce] = count
        if len(self._counts) > MAX_COUNTED_NONCES:
            del self._counts[next(iter(self._counts))]
        return True


def _response(method: str, params: dict[str, str], ha1: str, body: bytes) -> str:
    return digest_response(
        ha1=ha1,
        method=method,
        uri=params["uri"],
        nonce=params["nonce"],
        algorithm=params.get("algorithm"),
        qop=params.get("qop"),
        nc=params.get("nc", ""),
        cnonce=params.get("cnonce", ""),
        body=body,
    )


def _is_count(text: str) -> bool:
    return len(text) == 8 and all(digit in "0123456789abcdefABCDEF" for digit in text)


def _same_target(uri: str, request: Request) -> bool:
    """Compare user and host only: proxies change the rest of a Request-URI on the way (A-DIG-05)."""
    if uri == request.uri_text:
        return True
    try:
        named = Uri.parse(uri)
    except ParseError:
        return False
    return named.aor == request.uri.aor
