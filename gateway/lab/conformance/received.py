"""What comes to an address of the bench, and the words to say which of it is meant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.lab.conformance.verdict import Failed
from sipstack.errors import ParseError
from sipstack.flow import Flow
from sipstack.sip.message import Request, Response


@dataclass(frozen=True, slots=True)
class Received:
    """One thing that came: a message, something broken, or a keep-alive (neither)."""

    at: float
    """When, in seconds of :func:`time.monotonic`."""
    data: bytes
    """Octets of it; empty where a stream lost its framing."""
    flow: Flow
    message: Request | Response | None = None
    """Of something broken what could be read."""
    fault: ParseError | None = None
    """Why it does not parse."""

    @property
    def request(self) -> Request:
        """The message, a request. Raises Failed when it is none."""
        if not isinstance(self.message, Request):
            raise Failed(f"a request was expected, {self} came")
        return self.message

    @property
    def response(self) -> Response:
        """The message, a response. Raises Failed when it is none."""
        if not isinstance(self.message, Response):
            raise Failed(f"a response was expected, {self} came")
        return self.message

    def __str__(self) -> str:
        if self.message is None:
            return f"{len(self.data)} octets that are no SIP message"
        return self.message.start_line() if self.fault is None else f"a broken message ({self.fault})"


Match = Callable[[Received], bool]


def answers(request: Request, *, least: int = 100, most: int = 699) -> Match:
    """Match responses to a request, by branch and CSeq method (:rfc:`3261#section-17.1.3`), with a status between."""

    def match(received: Received) -> bool:
        response = received.message
        if not isinstance(response, Response) or not least <= response.status <= most:
            return False
        try:
            return response.via.branch == request.via.branch and response.cseq.method == request.method
        except ParseError:
            return False

    return match


def requests(method: str, call_id: str | None = None) -> Match:
    """Match requests by their method, and by their Call-ID where one is given."""

    def match(received: Received) -> bool:
        request = received.message
        return (
            isinstance(request, Request)
            and request.method == method
            and (call_id is None or request.headers.get("Call-ID") == call_id)
        )

    return match
