"""Which session description in a dialog is an offer that has no answer yet (:rfc:`3264`): one at most.

Offers and answers go in INVITE, its 2xx and ACK (:rfc:`3261#section-13.2.1`), in UPDATE (:rfc:`3311`), and in reliable
provisional responses and their PRACK (:rfc:`3262#section-5`).
"""

from __future__ import annotations

from sipstack.errors import UnexpectedMessage
from sipstack.sip.message import Message, Request, Response

OFFER_METHODS = frozenset({"INVITE", "UPDATE"})
"""Requests whose session description is an offer; that of a PRACK may be an answer."""


def describes_session(message: Message) -> bool:
    """Tell whether a message has a session description."""
    kind = message.content_type if message.body else None
    return kind is not None and (kind.full == "application/sdp" or kind.type.lower() == "multipart")


class OfferAnswer:
    """The offers of both sides of one dialog. Nothing here refuses an offer but that in a PRACK: see ``local`` and
    ``remote``."""

    __slots__ = ("local", "remote")

    def __init__(self) -> None:
        self.local = False
        """An offer of ours has no answer yet."""
        self.remote = False
        """An offer of the peer has none."""

    @property
    def is_open(self) -> bool:
        """Tell whether there is an offer without answer, so that none may be sent."""
        return self.local or self.remote

    def sent(self, request: Request) -> None:
        """Note a request of ours."""
        self.local |= request.method in OFFER_METHODS and describes_session(request)

    def answered(self, request: Request, response: Response) -> None:
        """Take a response to a request of ours."""
        if self.local and describes_session(request):
            self.local = not _settles(response)

    def withdrawn(self, request: Request) -> None:
        """Note that a request of ours never left."""
        if describes_session(request):
            self.local = False

    def received(self, request: Request) -> None:
        """Take a request of the peer. :class:`UnexpectedMessage` (488) for a PRACK with an offer where one is open."""
        if not describes_session(request):
            return
        if request.method == "PRACK" and self.local:
            self.local = False  # that was the answer
        elif request.method == "PRACK" and self.remote:
            raise UnexpectedMessage("PRACK with an offer before the last one has its answer", status=488)
        else:
            self.remote = True

    def responded(self, request: Request, response: Response) -> None:
        """Note our response to a request of the peer: an answer, or in place of that an offer."""
        if not _settles(response):
            return
        if describes_session(request):
            self.remote = False
        elif describes_session(response):
            self.local = True

    def acknowledged(self) -> None:
        """Take the ACK of our 2xx, with the answer to what that offered; or the news that it will not come."""
        self.local = False


def _settles(response: Response) -> bool:
    """Tell whether a response settles the offer in its request: a final one does, a reliable one with an answer too."""
    return response.is_final or (describes_session(response) and "RSeq" in response.headers)
