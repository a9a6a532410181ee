"""Dialogs (:rfc:`3261#section-12`): who talks to whom, by which route, with which sequence numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import Enum

from sipstack import ids
from sipstack.errors import LocalProtocolError, RemoteProtocolError, UnexpectedMessage
from sipstack.sip.address import Address
from sipstack.sip.headers import Headers
from sipstack.sip.message import Message, Request, Response
from sipstack.sip.offer_answer import OFFER_METHODS, OfferAnswer, describes_session
from sipstack.sip.uri import Uri

DialogId = tuple[str, str, str]
"""Call-ID, local tag, remote tag; the tags in lower case, as they compare without regard to it."""

TARGET_REFRESH_METHODS = frozenset({"INVITE", "UPDATE"})
"""Their Contact, and that of the 2xx, becomes the new remote target (:rfc:`3261#section-12.2`, :rfc:`3311`)."""

NO_SEQUENCE_METHODS = frozenset({"ACK", "CANCEL"})
"""They reuse the number of their INVITE (:rfc:`3261#section-12.2.1.1`)."""

DIALOG_GONE = frozenset({408, 481})
"""Responses that say the peer has no such dialog (any more) (:rfc:`3261#section-12.2.1.2`, A-DLG-09)."""

GLARE_STEP = 0.01
"""Seconds; the pause after a 491 is a multiple of it (:rfc:`3261#section-14.1`)."""
OWNER_GLARE = (2.1, 4.0)
OTHER_GLARE = (0.0, 2.0)
"""Seconds; bounds of the pause after a 491 for who chose the Call-ID, and for the other side."""

MAX_RETRY_AFTER = 10
"""Seconds; upper bound of the Retry-After for a second INVITE that comes too early (:rfc:`3261#section-14.2`)."""


class DialogState(Enum):
    """:rfc:`3261#section-12`."""

    EARLY = "early"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


class RequestTooEarly(UnexpectedMessage):
    """An INVITE, UPDATE or offer came before our answer to the one before it: 500 with Retry-After.

    See :rfc:`3261#section-14.2` and :rfc:`3311#section-5.2`.
    """

    status = 500

    def __init__(self, method: str) -> None:
        super().__init__(f"{method} while the peer's last one is not yet answered")
        self.retry_after = round(ids.uniform(0, MAX_RETRY_AFTER))
        """Seconds."""


def dialog_id(received: Message) -> DialogId:
    """Return the id of the dialog that a received request or response belongs to; missing tags are empty."""
    ours, theirs = (received.to, received.from_) if isinstance(received, Request) else (received.from_, received.to)
    return received.call_id, (ours.tag or "").lower(), (theirs.tag or "").lower()


class Dialog:
    """One side's view of a dialog. The requests that it makes have neither Via nor Max-Forwards nor Contact yet."""

    __slots__ = (
        "call_id",
        "local_tag",
        "remote_tag",
        "local_uri",
        "remote_uri",
        "remote_target",
        "route_set",
        "local_cseq",
        "remote_cseq",
        "secure",
        "state",
        "owner",
        "takes_update",
        "_ack_due",
        "_bye_seen",
        "_local_invite",
        "_offers",
        "_remote_invite",
        "_remote_update",
    )

    def __init__(
        self,
        *,
        call_id: str,
        local_tag: str,
        remote_tag: str,
        local_uri: Uri,
        remote_uri: Uri,
        remote_target: Uri,
        route_set: tuple[Uri, ...] = (),
        local_cseq: int = 0,
        remote_cseq: int | None = None,
        secure: bool = False,
        owner: bool = False,
        state: DialogState = DialogState.EARLY,
    ) -> None:
        self.call_id = call_id
        self.local_tag = local_tag
        self.remote_tag = remote_tag
        """Empty for a peer that knows :rfc:`2543` only."""
        self.local_uri = local_uri
        self.remote_uri = remote_uri
        self.remote_target = remote_target
        self.route_set = route_set
        self.local_cseq = local_cseq
        """Number of our newest request; 0 before the first."""
        self.remote_cseq = remote_cseq
        """Number of the peer's newest request; None before the first."""
        self.secure = secure
        self.state = state
        self.owner = owner
        """We chose the Call-ID."""
        self.takes_update = False
        """The peer's newest Allow lists UPDATE (A-OA-05)."""
        # what is under way
        self._local_invite: int | None = None
        """CSeq number of our INVITE that has no final response yet."""
        self._remote_invite: int | None = None
        self._remote_update: int | None = None
        self._offers = OfferAnswer()
        self._ack_due = False
        """Our 2xx to the peer's INVITE has no ACK yet."""
        self._bye_seen = False
        """One side has said that it is over."""

    @classmethod
    def from_response(cls, request: Request, response: Response) -> Dialog:
        """Begin a dialog as UAC (:rfc:`3261#section-12.1.2`). ``request`` as it was sent last, after any 401 or 407.

        :class:`LocalProtocolError` for a response that makes no dialog (100, 3xx and above).
        """
        if not 100 < response.status < 300:
            raise LocalProtocolError(f"{response.status} makes no dialog")
        uri = request.uri
        dialog = cls(
            call_id=request.call_id,
            local_tag=request.from_.tag or "",
            remote_tag=response.to.tag or "",
            local_uri=request.from_.uri,
            remote_uri=request.to.uri,
            remote_target=uri,
            local_cseq=request.cseq.number,
            secure=uri.scheme == "sips",
            owner=True,
        )
        dialog._local_invite = request.cseq.number
        dialog._offers.sent(request)
        dialog.receive_response(request, response)
        return dialog

    @classmethod
    def from_request(cls, request: Request, local_tag: str) -> Dialog:
        """Begin a dialog as UAS (:rfc:`3261#section-12.1.1`); ``local_tag`` is the To tag of all our responses.

        :class:`RemoteProtocolError` (400) for a request without Contact.
        """
        contacts = request.contacts
        if not contacts:
            raise RemoteProtocolError("Contact is missing")
        dialog = cls(
            call_id=request.call_id,
            local_tag=local_tag,
            remote_tag=request.from_.tag or "",
            local_uri=request.to.uri,
            remote_uri=request.from_.uri,
            remote_target=contacts[0].uri,
            route_set=tuple(address.uri for address in request.record_routes),
            remote_cseq=request.cseq.number,
            secure=request.uri.scheme == "sips",
        )
        dialog._remote_invite = request.cseq.number
        dialog._offers.received(request)
        dialog._note_allowed(request)
        return dialog

    def __repr__(self) -> str:
        return f"<Dialog {self.call_id} {self.state.value}>"

    @property
    def id(self) -> DialogId:
        """What :func:`dialog_id` returns for the peer's messages in this dialog."""
        return self.call_id, self.local_tag.lower(), self.remote_tag.lower()

    @property
    def next_hop(self) -> Uri:
        """Where requests go: the first route, else the remote target."""
        return self.route_set[0] if self.route_set else self.remote_target

    @property
    def may_offer(self) -> bool:
        """Tell whether an offer of ours may be sent now: no INVITE and no offer is under way, in neither direction."""
        under_way = self._local_invite is not None or self._remote_invite is not None
        return not under_way and not self._offers.is_open

    @property
    def may_end(self) -> bool:
        """Tell whether a BYE of ours may be sent: "the callee's UA MUST NOT send a BYE on a confirmed dialog until it
        has received an ACK for its 2xx response or until the server transaction times out" (:rfc:`3261#section-15`),
        nor on an early dialog."""
        return not self._ack_due and (self.owner or self.state is not DialogState.EARLY)

    @property
    def wants_end(self) -> bool:
        """Tell whether somebody has to say BYE: "For INVITE initiated dialogs, terminating the dialog consists of
        sending a BYE", also after a 408 or 481 (:rfc:`3261#section-12.2.1.2`)."""
        return not self._bye_seen

    # our requests

    def create_request(self, method: str, *, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> Request:
        """Return the next request in the dialog (:rfc:`3261#section-12.2.1.1`), with the next CSeq number.

        A BYE ends the dialog, whatever will be answered (:rfc:`3261#section-15.1.1`). :class:`LocalProtocolError` if
        it has ended, but for the one BYE that says so, or for an INVITE or an offer while another one is under way in
        either direction (A-INV-04).
        """
        if self.state is DialogState.TERMINATED and (method != "BYE" or self._bye_seen):
            raise LocalProtocolError("the dialog is over")
        request = self._request(method, self.local_cseq + 1, headers, body)
        offers = method in OFFER_METHODS and describes_session(request)
        if (method == "INVITE" or offers) and not self.may_offer:
            raise LocalProtocolError("another INVITE or offer is under way in this dialog")
        self.local_cseq += 1
        self._offers.sent(request)
        if method == "INVITE":
            self._local_invite = self.local_cseq
        elif method == "BYE":
            self._bye_seen = True
            self.state = DialogState.TERMINATED
        return request

    def create_ack(
        self, cseq_number: int, *, credentials: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> Request:
        """Return the ACK for a 2xx to the INVITE of that number (A-ICT-05).

        ``credentials`` are the Authorization and Proxy-Authorization lines of the INVITE (:rfc:`3261#section-22.1`).
        """
        return self._request("ACK", cseq_number, credentials, body)

    def _request(self, method: str, number: int, extra: Iterable[tuple[str, str]], body: bytes) -> Request:
        target, routes = self._target_and_routes()
        headers = Headers(("Route", f"<{route}>") for route in routes)
        headers.add("From", str(_with_tag(self.local_uri, self.local_tag)))
        headers.add("To", str(_with_tag(self.remote_uri, self.remote_tag)))
        headers.add("Call-ID", self.call_id)
        headers.add("CSeq", f"{number} {method}")
        for name, value in extra:
            headers.add(name, value)
        return Request(method, target, headers, body)

    def _target_and_routes(self) -> tuple[Uri, tuple[Uri, ...]]:
        """Return Request-URI and Route by :rfc:`3261#section-12.2.1.1`: loose routing, or strict for old proxies."""
        routes = self.route_set
        if not routes or routes[0].param("lr") is not None:
            return _as_request_uri(self.remote_target), routes
        return _as_request_uri(routes[0]), (*routes[1:], self.remote_target)

    def receive_response(self, request: Request, response: Response) -> None:
        """Take a response to a request of ours in the dialog, or to the INVITE that made it.

        Sets state and remote target, while the dialog is early also the route set. ``request`` as it was sent last:
        its CSeq number counts.
        """
        number = request.cseq.number
        self.local_cseq = max(self.local_cseq, number)
        status = response.status
        first = self.state is DialogState.EARLY and self.owner and request.method == "INVITE"
        if status == 100:
            return
        self._note_allowed(response)
        if response.is_final and request.method == "INVITE":
            self._local_invite = None
        self._offers.answered(request, response)
        if status < 300:
            if first:
                self._establish(response)
            elif request.method in TARGET_REFRESH_METHODS and response.is_success and response.contacts:
                self.remote_target = response.contacts[0].uri
        # A failure of the INVITE ends the early dialog (A-DLG-01); later only what says that there is none does.
        elif first or (status in DIALOG_GONE and self.state is DialogState.CONFIRMED):
            self.state = DialogState.TERMINATED

    def _establish(self, response: Response) -> None:
        """Take route set and target of a response that makes the dialog; the 2xx has the last word (A-DLG-03)."""
        if response.is_success:
            self.state = DialogState.CONFIRMED
        # A 2xx without Contact is illegal, but only with a dialog can it be acknowledged and ended.
        if response.contacts:
            self.remote_target = response.contacts[0].uri
        self.route_set = tuple(address.uri for address in reversed(response.record_routes))

    def _note_allowed(self, message: Message) -> None:
        if "Allow" in message.headers:
            self.takes_update = "UPDATE" in message.allow

    # the peer's requests

    def receive_request(self, request: Request) -> None:
        """Take a request of the peer in the dialog (:rfc:`3261#section-12.2.2`): check its number, refresh the target.

        A BYE ends the dialog. :class:`UnexpectedMessage` to be answered with its ``status``: 500 for a CSeq number
        that is not higher than the last (A-DLG-06), 491 for an INVITE or an offer while ours is under way,
        :class:`RequestTooEarly`.
        """
        if request.method in NO_SEQUENCE_METHODS:
            return
        number = request.cseq.number
        if self.remote_cseq is not None and number <= self.remote_cseq:
            raise UnexpectedMessage(f"CSeq {number} is not above {self.remote_cseq}", status=500)
        self.remote_cseq = number
        match request.method:
            case "INVITE":
                self._check_glare(request)
                self._remote_invite = number
            case "UPDATE":
                if self._remote_update is not None:
                    raise RequestTooEarly("UPDATE")
                self._check_glare(request)
                self._remote_update = number
            case "PRACK":
                self._offers.received(request)
            case "BYE":
                self._bye_seen = True
                self.state = DialogState.TERMINATED
            case _:
                pass
        self._note_allowed(request)
        if request.method in TARGET_REFRESH_METHODS and request.contacts:
            self.remote_target = request.contacts[0].uri

    def _check_glare(self, request: Request) -> None:
        """Refuse what crosses our own INVITE or offer, and what comes before we have answered the peer's."""
        invites, offers = request.method == "INVITE", describes_session(request)
        if (invites and self._local_invite is not None) or ((invites or offers) and self._offers.local):
            raise UnexpectedMessage(f"{request.method} while ours is under way", status=491)
        if (invites and self._remote_invite is not None) or (offers and self._offers.remote):
            raise RequestTooEarly(request.method)
        self._offers.received(request)

    def receive_ack(self) -> None:
        """Take the ACK of our 2xx to INVITE, or the news that it will not come: we may end the dialog now."""
        self._ack_due = False
        self._offers.acknowledged()

    def send_response(self, request: Request, response: Response) -> None:
        """Note our response to a request of the peer: a final one to INVITE confirms, or ends an early dialog."""
        self._offers.responded(request, response)
        if request.method == "UPDATE" and request.cseq.number == self._remote_update:
            self._remote_update = None
        if request.method != "INVITE" or not response.is_final:
            return
        if request.cseq.number == self._remote_invite:
            self._remote_invite = None
        self._ack_due |= response.is_success
        if self.state is DialogState.EARLY:
            self.state = DialogState.CONFIRMED if response.is_success else DialogState.TERMINATED

    # endings and pauses

    def request_failed(self, request: Request) -> None:
        """Note that a request of ours could not be sent: it is not under way any more, the dialog stays."""
        if request.method == "INVITE":
            self._local_invite = None
        self._offers.withdrawn(request)

    def terminate(self) -> None:
        """End the dialog: a request in it timed out (A-DLG-09), or the INVITE never got an answer."""
        self.state = DialogState.TERMINATED

    def glare_delay(self) -> float:
        """Return the seconds to wait after a 491 before the INVITE is tried again (:rfc:`3261#section-14.1`)."""
        low, high = OWNER_GLARE if self.owner else OTHER_GLARE
        return round(ids.uniform(low, high) / GLARE_STEP) * GLARE_STEP


def _with_tag(uri: Uri, tag: str) -> Address:
    return Address(uri, parameters=(("tag", tag),) if tag else ())


def _as_request_uri(uri: Uri) -> Uri:
    """Strip what no Request-URI may have: headers and ``method`` (:rfc:`3261#section-19.1.1`)."""
    if uri.headers or uri.param("method") is not None:
        return replace(uri.without_params("method"), headers=())
    return uri
