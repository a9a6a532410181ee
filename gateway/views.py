"""Rows of the store ↔ what a guest's client is shown."""

from __future__ import annotations

from typing import cast

import msgspec

from gateway.storage.entrystore import Entry
from translators.model import (
    PLAIN_TEXT,
    Composing,
    ComposingState,
    Event,
    FileView,
    MessageState,
    MessageView,
    Receipt,
    SessionChange,
    SessionState,
    SipCause,
    StatusAnswer,
    format_time,
)

_encoder = msgspec.json.Encoder()
_composing = msgspec.json.Decoder(Composing)
_file = msgspec.json.Decoder(FileView)
_receipt = msgspec.json.Decoder(Receipt)
_session = msgspec.json.Decoder(SessionChange)
_status = msgspec.json.Decoder(StatusAnswer)


def message_view(entry: Entry, account: str, peer: str) -> MessageView:
    """Return one line of the conversation between ``account`` and ``peer`` (both SIP URIs)."""
    sender, receiver = (account, peer) if entry.direction == "out" else (peer, account)
    return MessageView(
        id=entry.id,
        from_=sender,
        to=receiver,
        direction="out" if entry.direction == "out" else "in",
        message=entry.body,
        state=cast(MessageState, entry.state),
        at=format_time(entry.at),
        uid=entry.uid,
        content_type=PLAIN_TEXT if entry.content_type == PLAIN_TEXT else entry.content_type,
    )


def event_of(entry: Entry, account: str, peer: str) -> Event:
    """Return the event that a stored row stands for."""
    at = format_time(entry.at)
    if entry.kind == "message":
        return Event(cursor=entry.cursor, kind="message", at=at, message=message_view(entry, account, peer))
    if entry.kind == "receipt":
        return Event(cursor=entry.cursor, kind="receipt", at=at, receipt=_receipt.decode(entry.body))
    if entry.kind == "composing":
        return Event(cursor=entry.cursor, kind="composing", at=at, composing=_composing.decode(entry.body))
    if entry.kind == "file":
        return Event(cursor=entry.cursor, kind="file", at=at, file=_file.decode(entry.body))
    if entry.kind == "status":
        return Event(cursor=entry.cursor, kind="status", at=at, status=_status.decode(entry.body))
    return Event(cursor=entry.cursor, kind="session", at=at, session=_session.decode(entry.body))


def receipt_body(message_id: str, state: str, uid: str, cause: SipCause | None, detail: str | None = None) -> str:
    """Return the stored form of a receipt; ``detail`` says in words why a message failed."""
    fields = {"id": message_id, "state": state, "uid": uid, "cause": cause}
    return _encoder.encode({**fields, "detail": detail} if detail else fields).decode()


def composing_body(uid: str, state: ComposingState, until: str | None) -> str:
    """Return the stored form of an inviter's typing or stopping."""
    return _encoder.encode(Composing(uid=uid, state=state, until=until)).decode()


def file_body(view: FileView) -> str:
    """Return the stored form of a file's progress or change of state."""
    return _encoder.encode(view).decode()


def session_body(state: SessionState, uid: str | None, reason: str | None) -> str:
    """Return the stored form of the end (or return) of a relation or a session."""
    return _encoder.encode(SessionChange(state=state, uid=uid, reason=reason)).decode()


_STATES: dict[str, SessionState] = {"expired": "expired", "revoked": "revoked", "idle": "idle"}


def session_state(reason: str) -> SessionState:
    """Return the session event's state for the reason of an end."""
    return _STATES.get(reason, "ended")


def status_body(answer: StatusAnswer) -> str:
    """Return the stored form of a status."""
    return _encoder.encode(answer).decode()
