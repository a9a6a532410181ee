"""One session in place of another: what is not decided goes on in it (:rfc:`4975#section-5.4`).

The new session may run beside the old one for a while. It adopts what was received at once, so that chunks of one
message may come by either; what is to be sent it takes over when it has its connection, or the old one has none.
"""

from __future__ import annotations

from collections import deque

from .message import MessageState, OutgoingMessage
from .reception import Reception
from .session import MsrpSession


def adopt(successor: MsrpSession, former: MsrpSession) -> None:
    """Have ``successor`` go on with what ``former`` has received: its unfinished messages may come by either session
    from now on, and what it knows is not shown twice (C-BAD-13, C-BR-11).

    To be called before ``successor`` has received anything.
    """
    if former.reception is None:
        former.reception = Reception(former)
    successor.reception = former.reception
    successor.reception.session = successor
    if successor.connection is not None:
        successor.connection.partials.add_all(successor.reception)


def take_over(successor: MsrpSession, former: MsrpSession) -> None:
    """Have ``successor`` send what ``former``, which it has adopted, leaves undecided, before what waits there.

    Each message goes on with the same Message-ID behind the octets that are confirmed (C-SET-05, C-BR-12). Nothing is
    left in ``former``, which is to be closed.
    """
    if former.connection is not None:
        former.connection.interrupt(former)
    former.reception = None
    messages, former.messages, former.queue = former.messages or {}, None, None
    # Those without content have shown what they had to.
    kept = [message for message in messages.values() if message.content_type is not None]
    if not kept:
        return
    for message in kept:
        message.session = successor
    successor.messages = {message.message_id: message for message in (*kept, *(successor.messages or {}).values())}
    queue = successor.queue = successor.queue or deque()
    # Not before one of which a chunk is being written.
    place = 1 if queue and queue[0].written else 0
    for message in reversed(kept):
        if message.state is MessageState.PENDING:
            message.rewind(relayed=former.relayed)
            queue.insert(place, message)
    if successor.opened:
        successor.check_queue()
        successor.offer_output()


def undecided(session: MsrpSession) -> list[OutgoingMessage]:
    """Return the messages with content that are not sent yet, or not answered for; oldest first."""
    messages = (session.messages or {}).values()
    return [message for message in messages if message.state is MessageState.PENDING and message.content_type]


def progress(session: MsrpSession) -> tuple[object, ...]:
    """Return how far messages have come in either direction: equal at two times when nothing moved in between.

    Empty when none is under way.
    """
    sending = [(message.message_id, message.resume_at(relayed=session.relayed)) for message in undecided(session)[:1]]
    received = [] if session.reception is None else session.reception.progress()
    return (*sending, *received)
