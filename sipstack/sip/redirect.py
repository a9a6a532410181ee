"""Redirections: which URIs a request is tried at after a 3xx (:rfc:`3261#section-8.1.3.4`, A-UAC-08)."""

from __future__ import annotations

from sipstack.errors import ParseError
from sipstack.sip.address import Address
from sipstack.sip.message import Response
from sipstack.sip.uri import Uri

REDIRECT_LIMIT = 5
"""URIs that one request may be sent to after its first: whoever needs more has made a loop."""

FOLLOWED = frozenset({300, 301, 302})
"""305 names a proxy to go by, which is for our configuration to say; 380 names another service."""


class Redirects:
    """The target set of one request: grows by each 3xx, gives each URI once."""

    __slots__ = ("_left", "_tried", "_waiting")

    def __init__(self, uri: Uri, limit: int = REDIRECT_LIMIT) -> None:
        """``uri`` is where the request went first; ``limit`` counts the URIs after it."""
        self._tried = [uri]
        self._waiting: list[Uri] = []
        self._left = limit

    def add(self, response: Response) -> None:
        """Take the Contacts of a 3xx, the best first. What is malformed counts as missing (A-MSG-13)."""
        try:
            contacts = response.contacts
        except ParseError:
            return
        for contact in sorted(contacts, key=_preference, reverse=True):
            uri = contact.uri
            # "If the original request had a SIPS URI ...": what was to be kept secret stays so.
            is_allowed = uri.is_sip and (uri.scheme == "sips" or self._tried[0].scheme != "sips")
            known = any(uri.matches(other) for other in (*self._tried, *self._waiting))
            if is_allowed and not known:
                self._waiting.append(_bare(uri))

    def next(self) -> Uri | None:
        """Return where to send the request now; None when there is nowhere left."""
        if not self._waiting or not self._left:
            return None
        self._left -= 1
        uri = self._waiting.pop(0)
        self._tried.append(uri)
        return uri


def _preference(contact: Address) -> float:
    try:
        return float(contact.param("q") or "1")
    except ValueError:
        return 0.0


def _bare(uri: Uri) -> Uri:
    """Return ``uri`` as a Request-URI (:rfc:`3261#section-19.1.1`): no method and no headers, which whoever answered
    would put into our request."""
    return Uri(uri.scheme, uri.user, None, uri.host, uri.port, uri.without_params("method").parameters)
