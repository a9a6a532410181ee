"""What the phone tells and is told beside what is said: receipts and typing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sipstack.im.cpim import CpimMessage
from sipstack.im.imdn import Imdn, ImdnRequest, is_notification_type
from sipstack.im.iscomposing import ComposingReceiver, ComposingSender, ComposingState, IsComposing, is_composing_type
from sipstack.net import notices
from sipstack.net.chat import ChatSession

if TYPE_CHECKING:
    from gateway.lab.phone import Phone


class Notices:
    """Notifications and typing statuses of one phone."""

    def __init__(self, phone: Phone) -> None:
        self._phone = phone
        self._unseen: dict[str, list[ImdnRequest]] = {}
        """Peer → what is to be told once its messages are looked at."""
        self._senders: dict[str, ComposingSender] = {}
        self._receivers: dict[str, ComposingReceiver] = {}
        self._timers: dict[tuple[str, str], asyncio.TimerHandle] = {}

    def close(self) -> None:
        """Stop all timers."""
        for timer in self._timers.values():
            timer.cancel()

    @property
    def asks(self) -> bool:
        """Whether the phone wants to know what becomes of its messages."""
        return self._phone.behaviour.receipts != "none"

    def received(self, peer: str, content_type: str, body: bytes) -> bool:
        """Tell of a notification or a typing status; False for anything else. RemoteProtocolError when malformed."""
        if is_notification_type(content_type):
            notification = Imdn.parse(body)
            self._phone.emit("receipt", peer, notification.disposition.value, notification.message_id)
        elif is_composing_type(content_type):
            status = IsComposing.parse(body)
            self._phone.emit("composing", peer, status.state.value)
            receiver = self._receivers.setdefault(peer, ComposingReceiver())
            receiver.receive(status, _now())
            self._arm("in", peer, receiver.get_timer())
        else:
            return False
        return True

    # receipts

    def due(self, peer: str, asked: ImdnRequest) -> list[Imdn]:
        """Return what is to be told of a message that was taken; the behaviour ``seen`` leaves the rest for later."""
        receipts = self._phone.behaviour.receipts
        if receipts == "none":
            return []
        if receipts == "seen" and asked.displayed() is not None:
            self._unseen.setdefault(peer, []).append(asked)
        return _present(asked.delivered(), asked.displayed() if receipts == "display" else None)

    def answer(self, chat: ChatSession, cpim: CpimMessage | None) -> None:
        """Tell, in its chat, what is due of a message that was taken."""
        asked = ImdnRequest.of(cpim)
        if asked is not None:
            for notification in self.due(chat.peer.aor, asked):
                notices.send_notification(chat, notification, asked.headers)

    def seen(self, peer: str) -> None:
        """Take that a person has looked at all that came from a peer."""
        for asked in self._unseen.pop(peer, ()):
            self._send(peer, _present(asked.displayed()), asked)

    def tell(self, peer: str, asked: ImdnRequest) -> None:
        """Notify of a file, which is looked at when it is there."""
        if self.asks:
            shows = self._phone.behaviour.receipts != "delivery"
            self._send(peer, _present(asked.delivered(), asked.displayed() if shows else None), asked)

    def _send(self, peer: str, notifications: list[Imdn], asked: ImdnRequest) -> None:
        """Send notifications in the chat with a peer if there is one, else by SIP MESSAGE."""
        chat = self._phone.chats.get(peer)
        if chat is None or not (chat.is_open and chat.takes_notifications):
            self._phone.pages.notify(peer, notifications, asked)
            return
        for notification in notifications:
            notices.send_notification(chat, notification, asked.headers)

    # typing

    def type(self, chat: ChatSession, *, active: bool) -> None:
        """Tell at once that somebody types, or has stopped."""
        sender = ComposingSender()
        sender.composing(0.0)
        if not active:
            sender.stopped()
        self._transmit(chat, sender)

    def typing(self, peer: str) -> None:
        """Take a key: where a chat is open the peer is told, at most every minute, and once nothing more is typed."""
        sender = self._senders.setdefault(peer, ComposingSender())
        sender.composing(_now())
        self._sent(peer, sender)

    def said(self, peer: str) -> None:
        """Take that a message was sent, which ends the typing."""
        if sender := self._senders.get(peer):
            sender.content_sent()
            self._sent(peer, sender)

    def heard(self, peer: str) -> None:
        """Take that a message has come, which ends the peer's typing."""
        if receiver := self._receivers.get(peer):
            receiver.content_received()
            self._arm("in", peer, None)

    def _sent(self, peer: str, sender: ComposingSender) -> None:
        chat = self._phone.chats.get(peer)
        if chat is None:
            sender.data_to_send()  # nobody hears it
        else:
            self._transmit(chat, sender)
        self._arm("out", peer, sender.get_timer())

    def _transmit(self, chat: ChatSession, sender: ComposingSender) -> None:
        status = sender.data_to_send()
        if status is not None:
            notices.send_composing(chat, status)

    def _arm(self, way: str, peer: str, at: float | None) -> None:
        timer = self._timers.pop((way, peer), None)
        if timer is not None:
            timer.cancel()
        if at is not None:
            self._timers[way, peer] = asyncio.get_running_loop().call_at(at, self._due, way, peer)

    def _due(self, way: str, peer: str) -> None:
        if way == "out":
            sender = self._senders[peer]
            sender.handle_timer(_now())
            self._sent(peer, sender)
        elif self._receivers[peer].handle_timer(_now()):
            self._phone.emit("composing", peer, ComposingState.IDLE.value)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _present(*notifications: Imdn | None) -> list[Imdn]:
    return [notification for notification in notifications if notification is not None]
