"""What makes a request belong to a server transaction (:rfc:`3261#section-17.2.3`), as keys for dictionaries.

Tags and branches are compared without regard to case, Call-IDs with it (:rfc:`3261#section-7.3.1`).
"""

from __future__ import annotations

from sipstack.sip.message import Request, Response
from sipstack.sip.server_transaction import ServerKey
from sipstack.sip.via import MAGIC_COOKIE

_COOKIE = MAGIC_COOKIE.lower()


def has_cookie(request: Request) -> bool:
    """Tell whether the branch was made by the rules of :rfc:`3261`, so that it identifies the transaction."""
    branch = request.via.branch
    return branch is not None and branch.lower().startswith(_COOKIE)


def is_bad_branch(request: Request) -> bool:
    """Tell whether the branch is the cookie with nothing behind it, which identifies nothing (A-MAT-03)."""
    branch = request.via.branch
    return branch is not None and len(branch) == len(_COOKIE) and branch.lower() == _COOKIE


def server_key(request: Request, method: str) -> ServerKey:
    """Return the key of the transaction that ``request`` belongs to if that one's request has ``method``.

    Branch, sent-by and method; without cookie the older list: Request-URI, tags, Call-ID, CSeq number and top Via.
    """
    via = request.via
    branch = (via.branch or "").lower()
    if branch.startswith(_COOKIE):
        return branch, via.host.lower(), str(via.port), method
    return (
        request.uri_text,
        (request.to.tag or "").lower(),
        (request.from_.tag or "").lower(),
        request.call_id,
        str(request.cseq.number),
        str(via),
        method,
    )


def ack_key(message: Request | Response) -> ServerKey:
    """Return what a final response to INVITE and the ACK for it have in common, whatever the branch."""
    return (
        message.call_id,
        (message.from_.tag or "").lower(),
        (message.to.tag or "").lower(),
        str(message.cseq.number),
    )


def merge_key(request: Request) -> ServerKey:
    """Return what two copies of a request that took different ways have in common (:rfc:`3261#section-8.2.2.2`)."""
    return (request.from_.tag or "").lower(), request.call_id, str(request.cseq)
