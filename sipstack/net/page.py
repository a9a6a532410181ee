"""Messages by SIP MESSAGE, where there is no session: as RCS standalone messages, or bare (B-PGR-01, RFC 3428)."""

from __future__ import annotations

from sipstack.net.notices import ANONYMOUS, ASKING
from sipstack.net.profile import RCS, Profile


def page_headers(conversation_id: str, contribution_id: str, profile: Profile = RCS) -> tuple[tuple[str, str], ...]:
    """Return the SIP headers of a standalone message (B-PGR-01). Both ids are UUIDs as text: the first stays the same
    for two users, the second belongs to this message (B-CHT-01)."""
    return (*profile.page_headers(), ("Conversation-ID", conversation_id), ("Contribution-ID", contribution_id))


def wrap_page(content_type: str, content: bytes, *, message_id: str, date: str, notify: bool) -> bytes:
    """Return a standalone message as ``message/cpim``; ``notify`` asks for notifications of delivery and display."""
    return (ASKING if notify else ANONYMOUS).render(content_type, content, datetime=date, message_id=message_id)
