"""What may go wrong for a client of the gateway."""

from __future__ import annotations

import os

import aiohttp

from translators.model import Problem


class ClientError(Exception):
    """Base of all of them; the text is for people."""


class Unreachable(ClientError):
    """The gateway could not be reached, or what it sent is not its HTTP face."""

    @classmethod
    def by(cls, error: Exception) -> Unreachable:
        """Say what kept a call from its answer."""
        if isinstance(error, aiohttp.ClientConnectorError):
            # asyncio puts a sentence of its own in the place of the system's
            why = os.strerror(error.errno) if error.errno else str(error.os_error)
            return cls(f"no gateway answers at {error.host}:{error.port}: {why}")
        return cls(f"the gateway does not answer: {str(error) or type(error).__name__}")


class Refused(ClientError):
    """The gateway answered with an error.

    ``problem`` is its body (RFC 9457), None where there was none that could be read; ``kind`` the last part of its
    type (``no-relation``); ``retry_after`` is in seconds, None where the answer named none.
    """

    def __init__(self, status: int, problem: Problem | None, retry_after: float | None = None) -> None:
        words = f"HTTP {status}" if problem is None else ": ".join(filter(None, (problem.title, problem.detail)))
        super().__init__(words)
        self.status = status
        self.problem = problem
        self.retry_after = retry_after

    @property
    def kind(self) -> str:
        """Stable name of what went wrong, empty where the gateway named none."""
        return "" if self.problem is None else self.problem.type.rpartition("/")[2]

    @property
    def retryable(self) -> bool:
        """Tell whether the same call may succeed later."""
        return self.problem is not None and self.problem.retryable


class WrongSecret(Refused):
    """401: the account or its secret is wrong, or a newer link was sent."""


class Over(Refused):
    """410: the invitation was good once and has ended."""


def refusal(status: int, problem: Problem | None, retry_after: float | None) -> Refused:
    """Return the error for an answer that is not 2xx."""
    return {401: WrongSecret, 410: Over}.get(status, Refused)(status, problem, retry_after)
