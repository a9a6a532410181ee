"""What the sender of a message wants to be told of it: kept beside the message, so that it outlives the process."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from gateway.storage.entrystore import Entry
from sipstack.im.cpim import CpimMessage
from sipstack.im.imdn import ImdnRequest


class _Stored(msgspec.Struct, array_like=True, omit_defaults=True):
    """The columns' text: a JSON list, what is rarely there at its end."""

    wanted: tuple[str, ...]
    datetime: str | None = None
    conversation_id: str = ""
    original_to: str | None = None
    routes: tuple[str, ...] = ()


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Stored)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for notifications."""

    request: ImdnRequest
    conversation_id: str = ""
    """Conversation-ID of the SIP MESSAGE that brought it: a notification by MESSAGE repeats it (B-PGR-04)."""

    @classmethod
    def in_(cls, cpim: CpimMessage | None, conversation_id: str = "") -> Asked | None:
        """Return what a message that has just come asks for, None when it asks for nothing."""
        request = ImdnRequest.of(cpim)
        return None if request is None else cls(request, conversation_id)

    @classmethod
    def of(cls, entry: Entry) -> Asked | None:
        """Return what a stored message asks for."""
        if not entry.asked:
            return None
        kept = _decoder.decode(entry.asked)
        request = ImdnRequest(entry.id, frozenset(kept.wanted), kept.datetime, kept.original_to, kept.routes)
        return cls(request, kept.conversation_id)

    def text(self) -> str:
        """Return it as :attr:`gateway.storage.store.Entry.asked` holds it."""
        asked = self.request
        kept = _Stored(
            tuple(sorted(asked.wanted)), asked.datetime, self.conversation_id, asked.original_to, asked.routes
        )
        return _encoder.encode(kept).decode()
