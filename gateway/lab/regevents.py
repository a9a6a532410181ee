"""Who is told of registrations by the embedded core: the notifier of :rfc:`6665#section-4.2` for the package of
:rfc:`3680`.

Everybody may watch their own registration, as a UE of an IMS does, and those whom the lab trusts that of anybody. Each
NOTIFY has the full state and, of what is bound no more, why that is so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.lab.registrar import Binding
from sipstack.errors import SipstackError
from sipstack.im.reginfo import REGINFO, AorInfo, ContactEvent, ContactInfo, RegInfo
from sipstack.net.client import next_hop
from sipstack.net.endpoint import Endpoint
from sipstack.net.timers import Timer
from sipstack.sip.address import Address
from sipstack.sip.dialog import Dialog, DialogId, dialog_id
from sipstack.sip.message import Request, Response
from sipstack.sip.transaction import ServerTransaction

logger = logging.getLogger(__name__)

EVENT = "reg"
DEFAULT_EXPIRES = 3761
"""Seconds of a subscription that names none (:rfc:`3680#section-4.4`)."""
MAX_EXPIRES = 7200
"""Seconds that are granted at most."""


@dataclass(slots=True)
class _Watcher:
    """One subscription."""

    dialog: Dialog
    username: str
    aor: str
    version: int = 0
    told: dict[str, ContactInfo] = field(default_factory=dict)
    """Contact id → what the watcher was told of it last."""
    expires_at: float = 0.0
    timer: Timer | None = None


class RegEvents:
    """All subscriptions to registrations of one core."""

    def __init__(self, endpoint: Endpoint, bindings: Callable[[str], Sequence[Binding]]) -> None:
        """``bindings`` returns what is bound of an account now."""
        self._endpoint = endpoint
        self._bindings = bindings
        self._watchers: dict[DialogId, _Watcher] = {}

    def __len__(self) -> int:
        return len(self._watchers)

    # SUBSCRIBE

    def subscribe(self, transaction: ServerTransaction, request: Request, username: str) -> None:
        """Take a first SUBSCRIBE to an account's registration; the first NOTIFY follows the 200."""
        if not self._is_ours(transaction, request):
            return
        dialog = Dialog.from_request(request, transaction.local_tag)
        watcher = _Watcher(dialog, username, request.uri.aor)
        self._watchers[dialog.id] = watcher
        self._grant(transaction, request, watcher)

    def refresh(self, transaction: ServerTransaction, request: Request) -> bool:
        """Take a SUBSCRIBE in a dialog of ours; False for one of others."""
        watcher = self._watchers.get(dialog_id(request)) if request.method == "SUBSCRIBE" else None
        if watcher is None:
            return False
        if self._is_ours(transaction, request):
            watcher.dialog.receive_request(request)
            self._grant(transaction, request, watcher)
        return True

    def _is_ours(self, transaction: ServerTransaction, request: Request) -> bool:
        event = request.headers.get("Event", "").partition(";")[0].strip().lower()
        if event == EVENT:
            return True
        self._endpoint.reply(transaction, 489, headers=[("Allow-Events", EVENT)])
        return False

    def _grant(self, transaction: ServerTransaction, request: Request, watcher: _Watcher) -> None:
        asked = DEFAULT_EXPIRES if request.expires is None else request.expires
        granted = min(asked, MAX_EXPIRES)
        timers = self._endpoint.timers
        watcher.expires_at = timers.time() + granted
        self._stop_timer(watcher)
        headers = [("Expires", str(granted)), ("Contact", f"<{self._endpoint.uri()}>")]
        headers += [("Record-Route", value) for value in request.headers.get_all("Record-Route")]
        self._endpoint.reply(transaction, 200, headers=headers)
        if granted:
            watcher.timer = timers.schedule(watcher.expires_at, lambda: self._end(watcher, "timeout"))
            self._notify(watcher, ContactEvent.UNREGISTERED)
        else:
            self._end(watcher, "timeout")

    # what happens to registrations

    def changed(self, username: str, why: ContactEvent, retry_after: int | None = None) -> None:
        """Tell all who watch an account; ``why`` is what happened to contacts that are bound no more."""
        for watcher in [item for item in self._watchers.values() if item.username == username]:
            self._notify(watcher, why, retry_after)

    def removed(self, username: str) -> None:
        """The account is deleted: nobody can watch it any more."""
        for watcher in [item for item in self._watchers.values() if item.username == username]:
            self._end(watcher, "noresource", ContactEvent.REJECTED)

    def _end(self, watcher: _Watcher, reason: str, why: ContactEvent = ContactEvent.UNREGISTERED) -> None:
        self._notify(watcher, why, state=f"terminated;reason={reason}")
        self._forget(watcher)

    def _forget(self, watcher: _Watcher) -> None:
        self._watchers.pop(watcher.dialog.id, None)
        self._stop_timer(watcher)

    @staticmethod
    def _stop_timer(watcher: _Watcher) -> None:
        if watcher.timer is not None:
            watcher.timer.cancel()
            watcher.timer = None

    # NOTIFY

    def _notify(
        self, watcher: _Watcher, why: ContactEvent, retry_after: int | None = None, *, state: str | None = None
    ) -> None:
        now = self._endpoint.timers.time()
        bound = {contact.id: contact for contact in (_contact(item, now) for item in self._bindings(watcher.username))}
        for id, contact in bound.items():
            if id in watcher.told:
                bound[id] = _with_event(contact, ContactEvent.REFRESHED, active=True)
        gone = [
            _with_event(contact, why, active=False, retry_after=retry_after)
            for id, contact in watcher.told.items()
            if id not in bound
        ]
        watcher.told = bound
        contacts = (*bound.values(), *gone)
        aor_state = "active" if bound else "terminated" if gone else "init"
        body = bytes(RegInfo(watcher.version, True, (AorInfo(watcher.aor, watcher.aor, aor_state, contacts),)))
        watcher.version += 1
        left = max(0, round(watcher.expires_at - now))
        headers = [
            ("Event", EVENT),
            ("Subscription-State", state or f"active;expires={left}"),
            ("Contact", f"<{self._endpoint.uri()}>"),
            ("Content-Type", REGINFO),
        ]
        request = watcher.dialog.create_request("NOTIFY", headers=headers, body=body)
        self._endpoint.send(
            request,
            next_hop(request),
            lambda response: self._answered(watcher, response),
            lambda error: self._lost(watcher, error),
        )

    def _answered(self, watcher: _Watcher, response: Response) -> None:
        if response.status in (404, 405, 410, 481, 489, 501, 604):  # RFC 6665 section 4.2.2
            self._forget(watcher)

    def _lost(self, watcher: _Watcher, error: SipstackError) -> None:
        logger.info("%s is told no more of %s: %s", watcher.dialog.remote_uri, watcher.aor, error)
        self._forget(watcher)


def _contact(binding: Binding, now: float) -> ContactInfo:
    address = Address.parse(f"<{binding.uri}>{binding.parameters}")
    parameters = tuple((name, value or "") for name, value in address.parameters)
    left = max(0, round(binding.expires_at - now))
    return ContactInfo(str(binding.uri), str(binding.uri), True, ContactEvent.REGISTERED, left, None, parameters)


def _with_event(
    contact: ContactInfo, event: ContactEvent, *, active: bool, retry_after: int | None = None
) -> ContactInfo:
    left = contact.expires if active else None
    return ContactInfo(contact.id, contact.uri, active, event, left, retry_after, contact.parameters)
