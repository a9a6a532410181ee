"""Which session a request belongs to (:rfc:`4975#section-7.3`)."""

from __future__ import annotations

from collections.abc import Iterator

from .session import MsrpSession
from .uri import parse_path


class SessionTable:
    """All sessions of a listener by their session-ids, whichever connection they use."""

    __slots__ = ("_sessions",)

    def __init__(self) -> None:
        self._sessions: dict[str, MsrpSession] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[MsrpSession]:
        return iter(tuple(self._sessions.values()))

    def add(self, session: MsrpSession) -> None:
        """Make ``session`` known."""
        self._sessions[session.local_uri.session_id or ""] = session

    def discard(self, session: MsrpSession) -> None:
        """Forget ``session``."""
        self._sessions.pop(session.local_uri.session_id or "", None)

    def find(self, to_path: str) -> MsrpSession | None:
        """Return the session that a request's To-Path names: exactly one URI, equal to ours (C-URI-05).

        Raise :exc:`ParseError` when it is no path.
        """
        path = parse_path(to_path)
        session = self._sessions.get(path[0].session_id or "")
        if len(path) != 1 or session is None or not session.local_uri.matches(path[0]):
            return None
        return session
