"""What both sides of digest authentication compute: :rfc:`7616#section-3.4` as :rfc:`8760` brings it to SIP."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from sys import intern

from sipstack.errors import ParseError
from sipstack.sip.headers import parse_auth_params, split_list

Hash = Callable[[bytes], str]

SESSION_SUFFIX = "-SESS"
DEFAULT_ALGORITHM = "MD5"
"""What a challenge without ``algorithm`` means (:rfc:`3261#section-22.4`)."""
SUPPORTED_QOP = ("auth", "auth-int")
"""In the order of preference (A-DIG-05)."""
FIRST_COUNT = "00000001"
OCTETS = ("utf-8", "surrogateescape")
"""How text becomes what was on the wire again."""


def _hash(name: str) -> Hash:
    return lambda data: hashlib.new(name, data, usedforsecurity=False).hexdigest()


_HASHLIB_NAMES = {
    "MD5": "md5",
    "SHA-256": "sha256",
    "SHA-512-256": "sha512_256",
    # RFC 3310, RFC 4169: only the password is another one
    "AKAV1-MD5": "md5",
    "AKAV2-MD5": "md5",
}

ALGORITHMS: dict[str, Hash] = {
    token: _hash(name) for token, name in _HASHLIB_NAMES.items() if name in hashlib.algorithms_available
}
"""Algorithm token (upper case, without ``-sess``) to what it computes, in lower-case hex. A new one is a new row."""


def base_algorithm(algorithm: str | None) -> str:
    """Return the row of :data:`ALGORITHMS` that an ``algorithm`` parameter means, whether we have it or not."""
    return (algorithm or DEFAULT_ALGORITHM).upper().removesuffix(SESSION_SUFFIX)


def is_session(algorithm: str | None) -> bool:
    """Tell whether the algorithm is a ``-sess`` one."""
    return (algorithm or DEFAULT_ALGORITHM).upper().endswith(SESSION_SUFFIX)


def compute_ha1(username: str, realm: str, password: str | bytes, algorithm: str = DEFAULT_ALGORITHM) -> str:
    """Return H(user:realm:password), the part that a server may store instead of the password.

    Text is taken as UTF-8; AKA gives the password as octets. :class:`KeyError` for an unknown algorithm.
    """
    secret = password if isinstance(password, bytes) else password.encode(*OCTETS)
    return ALGORITHMS[base_algorithm(algorithm)](f"{username}:{realm}:".encode(*OCTETS) + secret)


def digest_response(
    *,
    ha1: str,
    method: str,
    uri: str,
    nonce: str,
    algorithm: str | None = None,
    qop: str | None = None,
    nc: str = FIRST_COUNT,
    cnonce: str = "",
    body: bytes = b"",
) -> str:
    """Return the ``response`` of :rfc:`7616#section-3.4.1`, or ``rspauth`` when ``method`` is empty.

    ``ha1`` is H(user:realm:password) also for ``-sess``. ``qop`` None gives the form of :rfc:`2069`.
    :class:`KeyError` for an unknown algorithm.
    """
    digest = ALGORITHMS[base_algorithm(algorithm)]

    def h(text: str) -> str:
        return digest(text.encode(*OCTETS))

    if is_session(algorithm):
        ha1 = h(f"{ha1}:{nonce}:{cnonce}")
    a2 = f"{method}:{uri}"
    if qop == "auth-int":
        a2 += f":{digest(body)}"
    if qop is None:
        return h(f"{ha1}:{nonce}:{h(a2)}")
    return h(f"{ha1}:{nonce}:{nc}:{cnonce}:{qop}:{h(a2)}")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One WWW-Authenticate or Proxy-Authenticate value."""

    realm: str
    nonce: str
    algorithm: str | None = None
    """As the server wrote it; None stands for MD5 and is not written into the answer either."""
    qop: tuple[str, ...] = ()
    """Lower case; empty where the server knows :rfc:`2069` only, as Kamailio by default."""
    opaque: str | None = None
    """To be given back exactly."""
    stale: bool = False
    """The nonce was too old, the password not wrong."""
    proxy: bool = False
    """From Proxy-Authenticate."""

    @classmethod
    def parse(cls, value: str, proxy: bool = False) -> Challenge:
        """Parse; :class:`ParseError` if the scheme is not Digest or realm or nonce are missing.

        ``domain``, ``charset``, ``userhash`` and unknown parameters are ignored (A-DIG-12, A-DIG-13).
        """
        scheme, params = parse_auth_params(value)
        what = "Proxy-Authenticate" if proxy else "WWW-Authenticate"
        if scheme.lower() != "digest":
            raise ParseError(what, "is not Digest")
        if "realm" not in params or "nonce" not in params:
            raise ParseError(what, "has no realm or no nonce")
        algorithm = params.get("algorithm")
        return cls(
            realm=intern(params["realm"]),
            nonce=params["nonce"],
            algorithm=None if algorithm is None else intern(algorithm),
            qop=tuple(item.lower() for item in split_list(params.get("qop", "")) if item),
            opaque=params.get("opaque"),
            stale=params.get("stale", "").lower() == "true",
            proxy=proxy,
        )

    @property
    def chosen_qop(self) -> str | None:
        """The qop to answer with: ``auth`` before ``auth-int`` (A-DIG-05), None if the server wants none."""
        return next((qop for qop in SUPPORTED_QOP if qop in self.qop), None)

    @property
    def is_supported(self) -> bool:
        """Tell whether we know the algorithm and one of the qops, if there are any."""
        return base_algorithm(self.algorithm) in ALGORITHMS and (not self.qop or self.chosen_qop is not None)
