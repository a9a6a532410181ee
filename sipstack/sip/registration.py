"""Keeping one address-of-record registered (:rfc:`3261#section-10.2`).

A :class:`Registration` makes REGISTER requests (without Via, Max-Forwards and Route: who sends them adds these) and
takes the responses; it asks to be woken when it is time for the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

from sipstack import ids
from sipstack.errors import LocalProtocolError
from sipstack.sip.address import Address
from sipstack.sip.digest import MAX_CHALLENGES, Credentials, DigestClient, initial_authorization
from sipstack.sip.headers import Headers
from sipstack.sip.message import Request, Response
from sipstack.sip.outbound import (
    FIRST_HOP_LACKS_OUTBOUND,
    GRUU,
    OUTBOUND,
    RECOVERY,
    Recovery,
    flow_contact,
    flow_timer,
    gruus,
    has_outbound,
    plain_contact,
)
from sipstack.sip.registration_events import Registered, RegistrationEvent, RegistrationFailed, Unregistered
from sipstack.sip.registration_rules import (
    DEFAULT_EXPIRES,
    MAY_RETRY_AFTER,
    REFRESH_JITTER,
    SHORTEST_PAUSE,
    Pacer,
    granted_expires,
    is_temporary,
    our_binding,
    refresh_delay,
    uris,
)
from sipstack.sip.registration_states import REGISTRATION, RegistrationEffect, RegistrationInput, RegistrationState
from sipstack.sip.uri import Uri

__all__ = [
    "DEFAULT_EXPIRES",
    "Pacer",
    "Registered",
    "Registration",
    "RegistrationEvent",
    "RegistrationFailed",
    "RegistrationState",
    "Unregistered",
    "granted_expires",
    "refresh_delay",
]


class _Exchange:
    """What is kept only as long as a REGISTER is under way."""

    __slots__ = ("request", "challenges", "too_brief")

    def __init__(self, request: Request, before: _Exchange | None) -> None:
        self.request = request
        self.challenges: int = before.challenges if before is not None else 0
        self.too_brief: bool = before.too_brief if before is not None else False


class Registration:
    """One binding of one address-of-record at one registrar. Holds no message while nothing is under way."""

    __slots__ = (
        "aor",
        "registrar",
        "contact",
        "call_id",
        "expires",
        "gruu",
        "recovery",
        "others_work",
        "headers",
        "digest",
        "initial_realm",
        "state",
        "expires_at",
        "held_until",
        "_dropped_at",
        "_tag",
        "_cseq",
        "_failures",
        "_timer",
        "_exchange",
        "_outgoing",
        "_events",
    )

    def __init__(
        self,
        *,
        aor: Uri,
        registrar: Uri,
        contact: Address,
        call_id: str,
        expires: int = DEFAULT_EXPIRES,
        credentials: Credentials | None = None,
        initial_authorization: bool = False,
        reg_id: int | None = None,
        gruu: bool = False,
        recovery: Recovery = RECOVERY,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        """``registrar`` is the domain, without user part (A-UAC-01). ``call_id`` is the same for a whole boot cycle.

        ``initial_authorization`` sends the IMPI along before any challenge, as IMS cores want it (B-REG-01).
        ``reg_id`` numbers the flow that this is to be (:rfc:`5626`), from 1 on; None: it is no flow. ``gruu``: ask for
        GRUUs (:rfc:`5627`). ``headers`` go into every REGISTER.
        """
        self.aor = aor
        self.registrar = registrar
        self.contact = contact if reg_id is None else flow_contact(contact, reg_id)
        self.call_id = call_id
        self.expires = expires
        """Seconds that we ask for; a 423 raises it."""
        self.gruu = gruu
        self.recovery = recovery
        self.others_work = False
        """Whether other flows of the same user agent work: then this one takes more time to recover."""
        self.headers = tuple(headers)
        self.digest = DigestClient(credentials) if credentials is not None else None
        self.initial_realm = registrar.host if initial_authorization else None
        self.state = RegistrationState.UNREGISTERED
        self.expires_at: float | None = None
        """Until when the registrar may have our binding (monotonic); None: it surely has none."""
        self._dropped_at = float("-inf")
        self.held_until = 0.0
        """Until when the registrar wants no REGISTER (monotonic); ``register`` obeys who calls it, not this."""
        self._tag = ids.tag()
        self._cseq = 0
        self._failures = 0
        self._timer: float | None = None
        self._exchange: _Exchange | None = None
        self._outgoing: tuple[Request, ...] = ()
        self._events: tuple[RegistrationEvent, ...] = ()

    @property
    def is_flow(self) -> bool:
        """Whether it registers a flow; no more once the first hop has said that it knows none (A-OUT-05)."""
        return self.contact.param("reg-id") is not None

    @property
    def is_wanted(self) -> bool:
        """Whether a binding is there or tried for, and no REGISTER is under way."""
        return self.state in (RegistrationState.REGISTERED, RegistrationState.WAITING)

    # what the user wants

    def register(self, now: float, *, not_before: float | None = None) -> None:
        """Register, or refresh at once. With ``not_before`` (from a :class:`Pacer`) that long nothing is sent.

        While a REGISTER is under way this changes only what comes after it.
        """
        if not_before is not None and not_before > now:
            self._step(RegistrationInput.REGISTER_LATER, now, wait=not_before - now)
        else:
            self._step(RegistrationInput.REGISTER, now)

    def change_contact(self, contact: Address) -> None:
        """Let the next REGISTER have other feature tags; the URI is the same."""
        reg_id = self.contact.param("reg-id")
        self.contact = contact if reg_id is None else flow_contact(contact, int(reg_id))

    def assume_bound(self, now: float) -> None:
        """Take it that the registrar has our binding from an earlier life of the program, so that it can be removed."""
        self.expires_at = max(self.expires_at or 0.0, now + self.expires)

    def unregister(self, now: float) -> None:
        """Remove our binding and no other; ``Unregistered`` tells when it is done."""
        idle = self._exchange is None
        bound = self.expires_at is not None and self.expires_at > now
        self._step(RegistrationInput.LEAVE if idle and not bound else RegistrationInput.UNREGISTER, now)

    # what happens

    def receive_response(self, response: Response, now: float) -> None:
        """Take a response to the newest REGISTER; provisional ones and those to older requests are ignored."""
        exchange = self._exchange
        if exchange is None or not response.is_final or response.cseq.number != self._cseq:
            return
        if response.is_success:
            self._accept(response, now)
        elif self._may_repeat(exchange, response):
            self._step(RegistrationInput.AGAIN, now)
        else:
            self._fail(response, now)

    def request_failed(self, now: float, *, certain: bool = False) -> None:
        """Tell that no response came. ``certain``: the REGISTER surely never reached the registrar."""
        if self._exchange is None:
            return
        if not certain and self.state in (RegistrationState.REGISTERING, RegistrationState.STOPPING):
            self.expires_at = max(self.expires_at or 0.0, now + self.expires)
        self._exchange = None
        self._failures += 1
        self._step(RegistrationInput.POSTPONED, now, wait=self._back_off())

    def dropped(self, now: float, reason: str, again_in: float | None) -> None:
        """Take the news that the registrar has removed our binding (B-REG-08); register again after ``again_in`` s.

        None: only when asked to. Who is dropped twice in a short time waits, lest the two go on for ever. Nothing
        happens while no registration stands: what is under way will tell.
        """
        if self.state is not RegistrationState.REGISTERED:
            return
        self.expires_at = None
        if again_in is not None and now - self._dropped_at < self.recovery.all_failed:
            again_in = max(again_in, self.recovery.all_failed)
        self._dropped_at = now
        if again_in is not None and again_in <= 0:
            self._step(RegistrationInput.REGISTER, now)
            return
        final = again_in is None
        self._step(RegistrationInput.REFUSED if final else RegistrationInput.POSTPONED, now, wait=again_in or 0.0)
        self._events += (RegistrationFailed(None, self._timer, final, reason),)

    def shorten(self, now: float, seconds: int) -> None:
        """Take the news that the registrar has made our binding last so long only: the refresh comes earlier."""
        if self.state is RegistrationState.REGISTERED and self._timer is not None:
            self.expires_at = now + seconds
            self._timer = min(self._timer, now + max(refresh_delay(seconds), SHORTEST_PAUSE))

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        if self._timer is not None and self._timer <= now:
            self._timer = None
            self._step(RegistrationInput.TIMER, now)

    # what comes out

    def data_to_send(self) -> list[Request]:
        """Return the REGISTER that waits for transmission, if there is one."""
        requests = list(self._outgoing)
        self._outgoing = ()
        return requests

    def next_event(self) -> RegistrationEvent | None:
        """Return the next event, None when there is none."""
        if not self._events:
            return None
        event, *rest = self._events
        self._events = tuple(rest)
        return event

    def get_timer(self) -> float | None:
        """Return when :meth:`handle_timer` is to be called, None for never."""
        return self._timer

    # responses

    def _accept(self, response: Response, now: float) -> None:
        if self.digest is not None and self._exchange is not None:
            # Only for the next nonce: a registrar that proves nothing is as good as before.
            self.digest.receive_success(self._exchange.request, response)
        if self.state in (RegistrationState.UNREGISTERING, RegistrationState.RETURNING):
            self._exchange = None
            self.expires_at = None
            self._step(RegistrationInput.ACCEPTED, now)
            return
        granted = granted_expires(response, self.contact, self.expires)
        if granted <= 0:
            self._fail(response, now)
            return
        self._exchange = None
        self._failures = 0
        self.expires_at = now + granted
        wait = refresh_delay(granted) * ids.uniform(1 - REFRESH_JITTER, 1)
        self._step(RegistrationInput.ACCEPTED, now, wait=max(wait, SHORTEST_PAUSE), response=response)

    def _may_repeat(self, exchange: _Exchange, response: Response) -> bool:
        """Tell whether the REGISTER is to be sent again with credentials, or for longer (A-REG-03, A-REG-10)."""
        if response.status in (401, 407):
            if self.digest is None or exchange.challenges >= MAX_CHALLENGES:
                return False
            exchange.challenges += 1
            return self.digest.receive_challenge(exchange.request, response)
        if response.status == 423 and not exchange.too_brief and (response.min_expires or 0) > self.expires:
            exchange.too_brief = True
            self.expires = response.min_expires or self.expires
            return True
        if response.status == FIRST_HOP_LACKS_OUTBOUND and self.is_flow:
            self.contact = plain_contact(self.contact)
            return True
        return False

    def _fail(self, response: Response, now: float) -> None:
        self._exchange = None
        self._failures += 1
        if not is_temporary(response):
            self._step(RegistrationInput.REFUSED, now, response=response)
            return
        wait = self._back_off()
        if response.retry_after is not None and response.status in MAY_RETRY_AFTER:
            # Never before the time that the registrar named, and not all at that very time.
            wait = max(response.retry_after.seconds, SHORTEST_PAUSE) * ids.uniform(1, 1 + REFRESH_JITTER)
            self.held_until = now + wait
        self._step(RegistrationInput.POSTPONED, now, wait=wait, response=response)

    def _back_off(self) -> float:
        return self.recovery.wait(self._failures, others_work=self.others_work)

    # the machine

    def _step(
        self, event: RegistrationInput, now: float, *, wait: float = 0.0, response: Response | None = None
    ) -> None:
        transition = REGISTRATION.get((self.state, event))
        if transition is None:
            raise LocalProtocolError(f"{event.value} is not possible for a registration in {self.state.value}")
        effects, self.state = transition
        for effect in effects:
            self._EFFECTS[effect](self, now, wait, response)

    def _send_register(self, now: float, wait: float, response: Response | None) -> None:
        self._send(self.expires)

    def _send_unregister(self, now: float, wait: float, response: Response | None) -> None:
        self._send(0)

    def _start_timer(self, now: float, wait: float, response: Response | None) -> None:
        self._timer = now + wait

    def _stop_timer(self, now: float, wait: float, response: Response | None) -> None:
        self._timer = None

    def _report_registered(self, now: float, wait: float, response: Response | None) -> None:
        assert response is not None and self.expires_at is not None
        pub_gruu, temp_gruu = gruus(our_binding(response, self.contact)) if self.gruu else (None, None)
        event = Registered(
            expires=round(self.expires_at - now),
            service_route=uris(lambda: response.service_routes),
            associated_uris=uris(lambda: response.associated_uris),
            outbound=self.is_flow and has_outbound(response),
            flow_timer=flow_timer(response),
            pub_gruu=pub_gruu,
            temp_gruu=temp_gruu,
        )
        self._events += (event,)

    def _report_failed(self, now: float, wait: float, response: Response | None) -> None:
        self._events += (RegistrationFailed(response, self._timer, self.state is RegistrationState.REFUSED),)

    def _report_unregistered(self, now: float, wait: float, response: Response | None) -> None:
        self._events += (Unregistered(self.expires_at is None or self.expires_at <= now),)

    _EFFECTS: ClassVar[Mapping[RegistrationEffect, Callable[[Registration, float, float, Response | None], None]]] = {
        RegistrationEffect.SEND_REGISTER: _send_register,
        RegistrationEffect.SEND_UNREGISTER: _send_unregister,
        RegistrationEffect.START_WAITING: _start_timer,
        RegistrationEffect.START_BACK_OFF: _start_timer,
        RegistrationEffect.START_REFRESH: _start_timer,
        RegistrationEffect.STOP_TIMER: _stop_timer,
        RegistrationEffect.REPORT_REGISTERED: _report_registered,
        RegistrationEffect.REPORT_FAILED: _report_failed,
        RegistrationEffect.REPORT_UNREGISTERED: _report_unregistered,
    }

    def _send(self, expires: int) -> None:
        """Make the next REGISTER (:rfc:`3261#section-10.2`). Only our own Contact, never ``*``: A-REG-05."""
        self._cseq += 1
        headers = Headers()
        headers.add("From", f"<{self.aor}>;tag={self._tag}")
        headers.add("To", f"<{self.aor}>")
        headers.add("Call-ID", self.call_id)
        headers.add("CSeq", f"{self._cseq} REGISTER")
        headers.add("Contact", str(self.contact.with_param("expires", str(expires))))
        headers.add("Expires", str(expires))
        for name, value in self.headers:
            headers.add(name, value)
        if "Supported" not in headers:
            options = ["path", *((OUTBOUND,) if self.is_flow else ()), *((GRUU,) if self.gruu else ())]
            headers.add("Supported", ", ".join(options))
        request = Request("REGISTER", self.registrar, headers)
        if self.digest is not None:
            if self.initial_realm is not None and not self.digest.is_challenged:
                value = initial_authorization(self.digest.credentials.username, self.initial_realm, request.uri_text)
                headers.add("Authorization", value)
            self.digest.authorize(request)
        self._exchange = _Exchange(request, self._exchange)
        self._outgoing = (request,)
