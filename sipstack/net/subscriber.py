"""Runs one subscription of a user agent: SUBSCRIBE out, NOTIFY in, one timer in the endpoint's heap."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from sipstack.errors import SipstackError
from sipstack.net.client import next_hop
from sipstack.sip.message import Request, Response
from sipstack.sip.subscription import Subscription, SubscriptionEnded
from sipstack.sip.subscription_states import SubscriptionState
from sipstack.sip.transaction import ServerTransaction
from sipstack.sip.uri import Uri

if TYPE_CHECKING:
    from sipstack.net.client import ClientRequest
    from sipstack.net.timers import Timer
    from sipstack.net.useragent import UserAgent

logger = logging.getLogger(__name__)


class Subscriber:
    """The adapter between a :class:`~sipstack.sip.subscription.Subscription` and its endpoint.

    ``on_notify`` gets the body of each NOTIFY that counts, ``on_end`` the news that there is no subscription; both are
    called from the loop, and not any more after :meth:`stop`.
    """

    __slots__ = ("_agent", "_client", "_key", "_on_end", "_on_notify", "_stopped", "_subscription", "_timer")

    def __init__(
        self,
        agent: UserAgent,
        target: Uri,
        *,
        event: str,
        accept: str,
        on_notify: Callable[[bytes], None],
        on_end: Callable[[SubscriptionEnded], None],
    ) -> None:
        self._agent = agent
        self._on_notify = on_notify
        self._on_end = on_end
        self._subscription = Subscription(
            target=target,
            local_uri=agent.identity.aor,
            event=event,
            accept=accept,
            expires=agent.expires,
            timer_n=agent.endpoint.config.timers.patience,
        )
        self._client: ClientRequest | None = None
        self._key: tuple[str, str] | None = None
        self._timer: Timer | None = None
        self._stopped = False

    @property
    def active(self) -> bool:
        """Whether NOTIFY tells us what happens."""
        return self._subscription.state in (SubscriptionState.ACTIVE, SubscriptionState.REFRESHING)

    @property
    def idle(self) -> bool:
        """Whether nothing more is tried unless :meth:`start` is called."""
        return self._subscription.state in (SubscriptionState.INIT, SubscriptionState.REFUSED)

    def start(self) -> None:
        """Subscribe; nothing happens while that is under way or done."""
        if self.idle:
            self._subscription.subscribe(self._now())
            self._run()

    def refresh(self) -> None:
        """Ask for the whole state again."""
        self._subscription.refresh(self._now())
        self._run()

    def stop(self) -> None:
        """End the subscription, without waiting for the notifier."""
        if not self._stopped:
            self._stopped = True
            self._subscription.unsubscribe(self._now())
            self._run()

    def request_received(self, transaction: ServerTransaction, request: Request) -> None:
        """Answer a NOTIFY."""
        verdict = self._subscription.receive_notify(request, self._now())
        self._agent.endpoint.reply(transaction, verdict.status, headers=verdict.headers)
        if verdict.is_taken and not self._stopped and request.body:
            self._on_notify(request.body)
        self._run()

    def _now(self) -> float:
        return self._agent.endpoint.timers.time()

    def _run(self) -> None:
        subscription = self._subscription
        request = subscription.data_to_send()
        if request is not None:
            self._send(request)
        self._listen(None if subscription.state in _SILENT else subscription.key)
        while (ended := subscription.next_event()) is not None:
            if not self._stopped:
                logger.info("%s: no events of %s: %s", self._agent, subscription.target, ended.reason)
                self._on_end(ended)
        self._arm(subscription.get_timer())

    def _send(self, request: Request) -> None:
        agent, dialog = self._agent, self._subscription.dialog
        if dialog is None:
            agent.complete(request)
        request.headers.add("Contact", agent.contact())
        request.headers.add("User-Agent", agent.endpoint.config.user_agent)
        self._client = agent.endpoint.send(
            request, next_hop(request), self._answered, self._failed, digest=agent.digest, dialog=dialog
        )

    def _answered(self, response: Response) -> None:
        if self._client is not None:
            self._subscription.receive_response(self._client.request, response, self._now())
            self._run()

    def _failed(self, error: SipstackError) -> None:
        logger.info("%s: SUBSCRIBE to %s: %s", self._agent, self._subscription.target, error)
        self._subscription.request_failed(self._now())
        self._run()

    def _listen(self, key: tuple[str, str] | None) -> None:
        subscriptions = self._agent.endpoint.subscriptions
        if self._key != key:
            if self._key is not None:
                subscriptions.pop(self._key, None)
            if key is not None:
                subscriptions[key] = self
            self._key = key

    def _arm(self, deadline: float | None) -> None:
        self._timer = self._agent.endpoint.timers.move(self._timer, deadline, self._due)

    def _due(self) -> None:
        self._timer = None
        self._subscription.handle_timer(self._now())
        self._run()


_SILENT = frozenset(
    {SubscriptionState.INIT, SubscriptionState.WAITING, SubscriptionState.REFUSED, SubscriptionState.ENDED}
)
"""States in which no NOTIFY is expected."""
