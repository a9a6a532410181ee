"""Digest credentials for MSRP relays (:rfc:`4976#section-9.1`): what they ask for is stricter than in SIP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sipstack import ids
from sipstack.errors import ParseError
from sipstack.sip.aka import is_aka
from sipstack.sip.digest import Credentials, format_authorization
from sipstack.sip.digest_hash import Challenge, base_algorithm, digest_response, is_session
from sipstack.sip.values import parse_auth_params

QOP = "auth"
"""The only one, and mandatory: there is nothing in an AUTH that ``auth-int`` could protect (C-RLY-04)."""


@dataclass(slots=True)
class _Answer:
    """The newest challenge of a relay and how it was answered last."""

    challenge: Challenge
    count: int = 0
    cnonce: str = ""


class RelayCredentials:
    """Answers the challenges of relays; see :class:`sipstack.msrp.relay.RelayDigest` for the methods."""

    __slots__ = ("_answers", "_credentials")

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._answers: dict[str, _Answer] = {}

    def authorize(self, uri: str) -> str | None:
        """Return Authorization for an AUTH whose To-Path ends in ``uri``; None before it has sent a challenge."""
        answer = self._answers.get(uri)
        if answer is None:
            return None
        answer.count += 1
        answer.cnonce = ids.cnonce()
        response = self._hash(answer, "AUTH", uri)
        return format_authorization(
            self._credentials.username, answer.challenge, uri, response, QOP, f"{answer.count:08x}", answer.cnonce
        )

    def receive_challenge(self, uri: str, challenges: Sequence[str]) -> bool:
        """Take what the relay at ``uri`` asks for; return False when that can't be given, or was given in vain."""
        for value in challenges:
            try:
                challenge = Challenge.parse(value)
            except ParseError:
                continue
            if (
                not self._credentials.can_answer(challenge)
                or QOP not in challenge.qop
                or is_session(challenge.algorithm)
                or is_aka(challenge.algorithm)
            ):
                continue
            known = self._answers.get(uri)
            # A nonce that served before may have grown old at a relay that doesn't say ``stale``.
            if known is not None and known.count == 1 and not challenge.stale:
                return False
            self._answers[uri] = _Answer(challenge)
            return True
        return False

    def receive_success(self, uri: str, info: str) -> bool:
        """Take Authentication-Info; return whether the proof in it, if there is one, is right for our last answer."""
        answer = self._answers.get(uri)
        try:
            params = parse_auth_params(f"Digest {info}")[1]
        except ParseError:
            return False
        if answer is None:
            return True
        proof = params.get("rspauth")
        if proof is not None and proof.lower() != self._hash(answer, "", uri):
            return False
        if params.get("nextnonce"):
            self._answers[uri] = _Answer(replace(answer.challenge, nonce=params["nextnonce"]))
        return True

    def _hash(self, answer: _Answer, method: str, uri: str) -> str:
        challenge = answer.challenge
        return digest_response(
            ha1=self._credentials.ha1(challenge.realm, base_algorithm(challenge.algorithm)),
            method=method,
            uri=uri,
            nonce=challenge.nonce,
            algorithm=challenge.algorithm,
            qop=QOP,
            nc=f"{answer.count:08x}",
            cnonce=answer.cnonce,
        )
