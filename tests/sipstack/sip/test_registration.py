"""The registration machine: A-REG-01 to A-REG-10, B-REG-01, A-OUT-04; (inputs with times) → (outputs)."""

from __future__ import annotations

import gc
from collections.abc import Sequence

import pytest

from sipstack import ids
from sipstack.errors import LocalProtocolError
from sipstack.sip.address import Address
from sipstack.sip.digest import Credentials, DigestServer, NoCredentials, Stale, Verified, compute_ha1
from sipstack.sip.message import Request, Response
from sipstack.sip.registration import (
    Pacer,
    Registered,
    Registration,
    RegistrationEvent,
    RegistrationFailed,
    RegistrationState,
    Unregistered,
    granted_expires,
    refresh_delay,
)
from sipstack.sip.registration_rules import is_temporary
from sipstack.sip.registration_states import RegistrationInput
from sipstack.sip.uri import Uri

CONTACT = '<sip:k7@192.0.2.10:5060;transport=tcp>;+sip.instance="<urn:uuid:1>"'
REALM, IMPI, PASSWORD = "lab-realm", "impi01@private.example", "s3cret"


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random numbers are their upper bound."""
    monkeypatch.setattr(ids, "uniform", lambda low, high: high)
    monkeypatch.setattr(ids, "tag", lambda: "t1")


def make(
    *,
    password: str | None = PASSWORD,
    initial: bool = False,
    expires: int = 3600,
    headers: Sequence[tuple[str, str]] = (),
) -> Registration:
    return Registration(
        aor=Uri.parse("sip:guest01@ims.lab.example"),
        registrar=Uri.parse("sip:ims.lab.example"),
        contact=Address.parse(CONTACT),
        call_id="boot-1",
        expires=expires,
        credentials=None if password is None else Credentials.from_password(IMPI, password),
        initial_authorization=initial,
        headers=headers,
    )


def take(registration: Registration) -> Request:
    [request] = registration.data_to_send()
    assert registration.data_to_send() == []
    return request


def summary(registration: Registration) -> str | None:
    """Return ``CSeq number/Expires`` of what is to be sent, None for nothing."""
    requests = registration.data_to_send()
    assert len(requests) <= 1
    return f"{requests[0].cseq.number}/{requests[0].expires}" if requests else None


def events(registration: Registration) -> list[RegistrationEvent]:
    found = []
    while (event := registration.next_event()) is not None:
        found.append(event)
    return found


def respond(
    registration: Registration,
    status: int,
    now: float,
    *headers: tuple[str, str],
    number: int | None = None,
) -> None:
    cseq = registration._cseq if number is None else number
    response = Response(status, None, [("CSeq", f"{cseq} REGISTER"), *headers])
    registration.receive_response(response, now)


def accept(registration: Registration, now: float, expires: int = 3600, *headers: tuple[str, str]) -> None:
    respond(registration, 200, now, ("Contact", f"{CONTACT};expires={expires}"), *headers)


def registered(now: float = 0.0) -> Registration:
    registration = make()
    registration.register(now)
    registration.data_to_send()
    accept(registration, now)
    events(registration)
    return registration


def test_request() -> None:
    """A-REG-01, A-UAC-01, A-REG-07, B-REG-02; Via, Max-Forwards and Route are added by who sends it."""
    registration = make(headers=[("User-Agent", "x")])
    registration.register(0.0)
    assert bytes(take(registration)).decode().split("\r\n") == [
        "REGISTER sip:ims.lab.example SIP/2.0",
        "From: <sip:guest01@ims.lab.example>;tag=t1",
        "To: <sip:guest01@ims.lab.example>",
        "Call-ID: boot-1",
        "CSeq: 1 REGISTER",
        f"Contact: {CONTACT};expires=3600",
        "Expires: 3600",
        "User-Agent: x",
        "Supported: path",
        "Content-Length: 0",
        "",
        "",
    ]
    assert registration.state is RegistrationState.REGISTERING


def test_supported_of_the_caller_wins() -> None:
    registration = make(headers=[("Supported", "path, gruu")])
    registration.register(0.0)
    assert take(registration).headers.get_all("Supported") == ["path, gruu"]


def test_initial_authorization_names_the_impi() -> None:
    """B-REG-01: then the challenge is answered as always."""
    registration = make(initial=True)
    registration.register(0.0)
    assert take(registration).headers.get("Authorization") == (
        f'Digest username="{IMPI}", realm="ims.lab.example", nonce="", uri="sip:ims.lab.example", response=""'
    )
    respond(registration, 401, 0.1, ("WWW-Authenticate", f'Digest realm="{REALM}", nonce="n"'))
    [value] = take(registration).headers.get_all("Authorization")
    assert f'realm="{REALM}"' in value and 'nonce="n"' in value


def test_against_a_registrar_with_digest() -> None:
    """IMPI differs from IMPU, the realm from the domain; later REGISTERs need no 401 (A-DIG-07); stale is followed."""
    server = DigestServer(REALM, secret=b"k")
    registration = make()

    def check(request: Request, now: float) -> object:
        return server.verify(request, lambda user, realm, algorithm: compute_ha1(user, realm, PASSWORD, algorithm), now)

    def challenge(now: float, *, stale: bool = False) -> None:
        respond(registration, 401, now, *(("WWW-Authenticate", value) for value in server.challenges(now, stale)))

    registration.register(0.0)
    assert check(take(registration), 0.0) == NoCredentials()
    challenge(0.0)
    assert check(take(registration), 0.1) == Verified(IMPI)
    accept(registration, 0.1, 600)
    assert registration.get_timer() == pytest.approx(300.1)
    registration.handle_timer(300.1)
    request = take(registration)
    assert request.cseq.number == 3 and request.call_id == "boot-1" and request.from_.tag == "t1"
    assert check(request, 300.1) == Stale()
    challenge(300.1, stale=True)
    assert check(take(registration), 300.2) == Verified(IMPI)
    accept(registration, 300.2, 100)
    registration.handle_timer(350.2)
    assert check(take(registration), 350.2) == Verified(IMPI)


class TestAccepted:
    def test_event(self) -> None:
        """A-REG-08, B-REG-04, B-REG-05: what the newest 200 says replaces what was before."""
        registration = make()
        registration.register(0.0)
        accept(
            registration,
            0.5,
            1800,
            ("Service-Route", "<sip:orig@scscf.example;lr>, <sip:b.example;lr>"),
            ("P-Associated-URI", "<sip:guest01@ims.lab.example>, <tel:+4915112345678>"),
            ("Path", "<sip:pcscf.example;lr>"),
        )
        [event] = events(registration)
        assert isinstance(event, Registered)
        assert event.expires == 1800
        assert [str(uri) for uri in event.service_route] == ["sip:orig@scscf.example;lr", "sip:b.example;lr"]
        assert [str(uri) for uri in event.associated_uris] == ["sip:guest01@ims.lab.example", "tel:+4915112345678"]
        registration.register(1.0)
        accept(registration, 1.0, 1800, ("P-Associated-URI", ""), ("Service-Route", "<<nonsense"))
        assert events(registration) == [Registered(1800, (), ())]

    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            # A-REG-02: ours among three, case and order of no matter
            (
                [
                    ("Contact", "<sip:other@192.0.2.10>;expires=50, <sip:k7@192.0.2.10:5060;TRANSPORT=TCP>;expires=70"),
                    ("Contact", "<sip:third@192.0.2.11>;expires=90"),
                    ("Expires", "100"),
                ],
                70,
            ),
            # an edge proxy rewrote the address, the instance is ours
            ([("Contact", '<sip:x@10.0.0.1>;+sip.instance="<urn:uuid:1>";expires=80')], 80),
            ([("Contact", f"{CONTACT};expires={'9' * 5000}")], 2**32 - 1),
            # no expires of ours, or nonsense: Expires, else what we asked for
            ([("Contact", "<sip:other@h>;expires=50"), ("Expires", "100")], 100),
            ([("Contact", "<sip:k7@192.0.2.10:5060;transport=tcp>"), ("Expires", "100")], 100),
            ([("Contact", "<sip:k7@192.0.2.10:5060;transport=tcp>;expires=soon")], 3600),
            ([("Contact", "<<nonsense"), ("Expires", "30")], 30),
            ([], 3600),
        ],
    )
    def test_granted_expires(self, headers: list[tuple[str, str]], expected: int) -> None:
        assert granted_expires(Response(200, None, headers), Address.parse(CONTACT), 3600) == expected

    def test_without_instance_only_the_uri_counts(self) -> None:
        response = Response(200, None, [("Contact", "<sip:b@h>;expires=5"), ("Contact", "<sip:a@h>;expires=7")])
        assert granted_expires(response, Address.parse("<sip:a@h>"), 3600) == 7

    @pytest.mark.parametrize(
        ("granted", "delay"), [(3600, 3000), (600_000, 599_400), (1200, 600), (600, 300), (60, 30)]
    )
    def test_refresh_delay(self, granted: int, delay: float) -> None:
        """A-REG-06, B-REG-07."""
        assert refresh_delay(granted) == delay

    def test_refresh_comes_a_bit_earlier_at_random(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ids, "uniform", lambda low, high: low)
        assert registered().get_timer() == pytest.approx(2700)

    def test_shortest_pause(self) -> None:
        registration = make()
        registration.register(0.0)
        accept(registration, 0.0, 1)
        assert registration.get_timer() == 1.0

    def test_nothing_granted_is_a_failure(self) -> None:
        registration = make()
        registration.register(0.0)
        accept(registration, 0.0, 0)
        [event] = events(registration)
        assert isinstance(event, RegistrationFailed) and not event.final and event.retry_at == 60.0

    def test_refresh_uses_the_same_call_id_and_the_next_number(self) -> None:
        """A-UAC-02."""
        registration = registered()
        registration.handle_timer(2999.9)
        assert summary(registration) is None
        registration.handle_timer(3000.0)
        assert registration.get_timer() is None
        assert summary(registration) == "2/3600"

    def test_next_nonce_is_taken(self) -> None:
        """A-DIG-09."""
        registration = make()
        registration.register(0.0)
        respond(registration, 401, 0.0, ("WWW-Authenticate", f'Digest realm="{REALM}", nonce="1", qop="auth"'))
        accept(registration, 0.1, 3600, ("Authentication-Info", 'nextnonce="2"'))
        registration.data_to_send()
        registration.register(0.2)
        assert 'nonce="2"' in (take(registration).headers.get("Authorization") or "")


class TestChallenges:
    def refuse(self, registration: Registration, nonce: str, extra: str = "") -> None:
        respond(registration, 401, 0.0, ("WWW-Authenticate", f'Digest realm="{REALM}", nonce="{nonce}"{extra}'))

    def test_wrong_password(self) -> None:
        """A-REG-10: two REGISTERs, then the error."""
        registration = make(password="wrong")
        registration.register(0.0)
        assert summary(registration) == "1/3600"
        self.refuse(registration, "1")
        assert summary(registration) == "2/3600"
        self.refuse(registration, "2")
        assert summary(registration) is None
        [event] = events(registration)
        assert isinstance(event, RegistrationFailed) and event.final and event.retry_at is None
        assert event.response is not None and event.response.status == 401
        assert registration.state is RegistrationState.REFUSED and registration.get_timer() is None

    def test_three_challenges_at_most(self) -> None:
        """A-REG-10."""
        registration = make()
        registration.register(0.0)
        for nonce in range(5):
            self.refuse(registration, str(nonce), ", stale=true")
        assert registration._cseq == 4
        assert [type(event) for event in events(registration)] == [RegistrationFailed]

    def test_no_credentials(self) -> None:
        registration = make(password=None)
        registration.register(0.0)
        self.refuse(registration, "1")
        assert [type(event) for event in events(registration)] == [RegistrationFailed]
        accepted = make(password=None)
        accepted.register(0.0)
        accept(accepted, 0.1)
        assert [type(event) for event in events(accepted)] == [Registered]

    def test_proxy_and_registrar(self) -> None:
        """A-DIG-10."""
        registration = make()
        registration.register(0.0)
        respond(registration, 407, 0.0, ("Proxy-Authenticate", 'Digest realm="p", nonce="1"'))
        self.refuse(registration, "2")
        registration.data_to_send()
        request = registration._exchange
        assert request is not None
        assert "Authorization" in request.request.headers and "Proxy-Authorization" in request.request.headers


class TestTooBrief:
    def test_retry_with_min_expires(self) -> None:
        """A-REG-03; the longer time is remembered."""
        registration = make(expires=60)
        registration.register(0.0)
        registration.data_to_send()
        respond(registration, 423, 0.1, ("Min-Expires", "600"))
        assert summary(registration) == "2/600"
        accept(registration, 0.2, 600)
        registration.register(1.0)
        assert summary(registration) == "3/600"

    @pytest.mark.parametrize("headers", [[], [("Min-Expires", "60")], [("Min-Expires", "x")]])
    def test_senseless(self, headers: list[tuple[str, str]]) -> None:
        registration = make(expires=60)
        registration.register(0.0)
        respond(registration, 423, 0.1, *headers)
        assert registration.state is RegistrationState.REFUSED

    def test_only_once(self) -> None:
        registration = make(expires=60)
        registration.register(0.0)
        respond(registration, 423, 0.1, ("Min-Expires", "61"))
        respond(registration, 423, 0.2, ("Min-Expires", "62"))
        assert registration.state is RegistrationState.REFUSED


class TestFailures:
    @pytest.mark.parametrize(
        ("status", "headers", "temporary"),
        [
            (302, [], False),
            (400, [], False),
            (403, [], False),
            (404, [], False),
            (404, [("Retry-After", "5")], True),
            (403, [("Retry-After", "5")], False),
            (408, [], True),
            (420, [], False),
            (421, [], False),
            (430, [], True),
            (480, [], True),
            (494, [], False),
            (500, [], True),
            (501, [], False),
            (503, [], True),
            (504, [], True),
            (505, [], False),
            (600, [("Retry-After", "5")], True),
            (603, [], False),
        ],
    )
    def test_which_are_final(self, status: int, headers: list[tuple[str, str]], temporary: bool) -> None:
        """B-REG-07, A-REG-07, B-SEC-03."""
        response = Response(status, None, headers)
        assert is_temporary(response) is temporary
        registration = make()
        registration.register(0.0)
        respond(registration, status, 0.0, *headers)
        state = RegistrationState.WAITING if temporary else RegistrationState.REFUSED
        assert registration.state is state
        [event] = events(registration)
        assert isinstance(event, RegistrationFailed) and event.final is not temporary

    def test_back_off(self) -> None:
        """A-OUT-04: 30 s doubled each time up to 30 min; forgotten after a success."""
        registration = make()
        now, waits = 0.0, []
        registration.register(now)
        for _ in range(9):
            registration.request_failed(now)
            timer = registration.get_timer()
            assert timer is not None
            waits.append(timer - now)
            now = timer
            registration.handle_timer(now)
        assert waits == [60, 120, 240, 480, 960, 1800, 1800, 1800, 1800]
        accept(registration, now)
        registration.register(now)
        registration.request_failed(now)
        assert registration.get_timer() == now + 60

    def test_back_off_is_half_random(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ids, "uniform", lambda low, high: low)
        registration = make()
        registration.register(0.0)
        respond(registration, 503, 0.0)
        assert registration.get_timer() == 30.0

    def test_retry_after(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A-UAS-10: not before, and a bit later at random; 0 is not taken at its word."""
        registration = make()
        for seconds, expected in ((120, 132.0), (0, 1.1)):
            registration.register(0.0)
            respond(registration, 503, 0.0, ("Retry-After", f"{seconds} (maintenance)"))
            assert registration.get_timer() == pytest.approx(expected)

    def test_no_answer_leaves_it_open_whether_we_are_bound(self) -> None:
        registration = make()
        registration.register(0.0)
        registration.request_failed(32.0)
        assert events(registration) == [RegistrationFailed(None, 92.0, False)]
        assert registration.expires_at == 3632.0
        registration.unregister(33.0)
        assert summary(registration) == "2/0"
        never_left = make()
        never_left.register(0.0)
        never_left.request_failed(1.0, certain=True)
        assert never_left.expires_at is None

    def test_a_failed_refresh_keeps_the_binding_until_it_ends(self) -> None:
        registration = registered()
        registration.handle_timer(3000.0)
        respond(registration, 503, 3000.1)
        assert registration.expires_at == 3600.0 and registration.get_timer() == pytest.approx(3060.1)

    def test_the_user_may_try_at_once(self) -> None:
        registration = make()
        registration.register(0.0)
        registration.request_failed(1.0)
        registration.data_to_send()
        registration.register(2.0)
        assert summary(registration) == "2/3600" and registration.get_timer() is None

    def test_after_a_refusal_only_the_user_tries_again(self) -> None:
        registration = make()
        registration.register(0.0)
        respond(registration, 403, 0.1)
        registration.data_to_send()
        assert registration.get_timer() is None
        registration.register(5.0)
        assert summary(registration) == "2/3600"

    def test_what_is_not_for_the_newest_request_is_ignored(self) -> None:
        registration = make()
        respond(registration, 200, 0.0)
        registration.request_failed(0.0)
        registration.register(0.0)
        respond(registration, 100, 0.1)
        respond(registration, 403, 0.1, number=17)
        assert events(registration) == [] and registration.state is RegistrationState.REGISTERING


class TestUnregister:
    def test_only_our_binding(self) -> None:
        """A-REG-05: never *."""
        registration = registered()
        registration.unregister(10.0)
        request = take(registration)
        assert request.headers.get("Contact") == f"{CONTACT};expires=0" and request.expires == 0
        assert registration.get_timer() is None
        respond(registration, 200, 10.1)
        assert events(registration) == [Unregistered(True)]
        assert registration.state is RegistrationState.UNREGISTERED and registration.expires_at is None

    def test_challenged(self) -> None:
        registration = registered()
        registration.unregister(10.0)
        registration.data_to_send()
        respond(registration, 401, 10.1, ("WWW-Authenticate", f'Digest realm="{REALM}", nonce="9"'))
        assert summary(registration) == "3/0"
        respond(registration, 200, 10.2)
        assert events(registration) == [Unregistered(True)]

    @pytest.mark.parametrize("status", [403, 503, None])
    def test_not_confirmed(self, status: int | None) -> None:
        registration = registered()
        registration.unregister(10.0)
        if status is None:
            registration.request_failed(42.0)
        else:
            respond(registration, status, 11.0)
        assert events(registration) == [Unregistered(False)]
        registration.data_to_send()
        registration.unregister(50.0)
        assert summary(registration) == "3/0"

    def test_nothing_bound(self) -> None:
        registration = make()
        registration.unregister(0.0)
        registration.register(0.0, not_before=5.0)
        registration.unregister(1.0)
        registration.register(1.0)
        respond(registration, 403, 1.1)
        registration.unregister(2.0)
        assert [event for event in events(registration) if isinstance(event, Unregistered)] == [Unregistered(True)] * 3
        assert registration.get_timer() is None

    def test_binding_that_ended_by_itself(self) -> None:
        registration = registered()
        registration.handle_timer(3000.0)
        registration.data_to_send()
        registration.request_failed(3032.0, certain=True)
        registration.unregister(3600.0)
        assert summary(registration) is None
        assert events(registration)[-1] == Unregistered(True)

    def test_refresh_that_was_missed(self) -> None:
        registration = registered()
        registration.unregister(4000.0)
        assert events(registration) == [Unregistered(True)] and registration.get_timer() is None

    def test_no_answer_while_returning_binds_nothing(self) -> None:
        registration = registered()
        registration.unregister(1.0)
        registration.register(1.1)
        registration.request_failed(33.0)
        assert registration.expires_at == 3600.0
        assert events(registration) == [Unregistered(False)]

    def test_while_registering(self) -> None:
        """A-REG-04: serialised."""
        registration = make()
        registration.register(0.0)
        assert summary(registration) == "1/3600"
        registration.unregister(0.1)
        registration.unregister(0.2)
        assert summary(registration) is None and registration.state is RegistrationState.STOPPING
        accept(registration, 0.3)
        assert summary(registration) == "2/0"
        respond(registration, 200, 0.4)
        assert events(registration) == [Unregistered(True)]

    @pytest.mark.parametrize(
        ("status", "headers"), [(401, [("WWW-Authenticate", 'Digest realm="r", nonce="1"')]), (503, [])]
    )
    def test_while_registering_without_luck(self, status: int, headers: list[tuple[str, str]]) -> None:
        registration = make()
        registration.register(0.0)
        registration.data_to_send()
        registration.unregister(0.1)
        respond(registration, status, 0.2, *headers)
        assert summary(registration) == "2/0"

    def test_while_registering_refused(self) -> None:
        registration = make()
        registration.register(0.0)
        registration.data_to_send()
        registration.unregister(0.1)
        respond(registration, 403, 0.2)
        assert summary(registration) is None
        assert events(registration) == [Unregistered(True)]

    def test_what_an_earlier_process_left(self) -> None:
        registration = make()
        registration.assume_bound(0.0)
        registration.unregister(0.0)
        assert summary(registration) == "1/0"
        respond(registration, 200, 0.1)
        assert events(registration) == [Unregistered(True)]

    def test_changing_ones_mind(self) -> None:
        registration = make()
        registration.register(0.0)
        registration.unregister(0.1)
        registration.register(0.2)
        registration.register(0.2, not_before=7.0)
        accept(registration, 0.3)
        assert [type(event) for event in events(registration)] == [Registered]

    @pytest.mark.parametrize("status", [200, 403, 503])
    def test_register_while_unregistering(self, status: int) -> None:
        """A-REG-04."""
        registration = registered()
        registration.unregister(1.0)
        registration.data_to_send()
        registration.unregister(1.0)
        registration.register(1.1)
        registration.register(1.1, not_before=9.0)
        assert summary(registration) is None and registration.state is RegistrationState.RETURNING
        respond(registration, 401, 1.2, ("WWW-Authenticate", f'Digest realm="{REALM}", nonce="1"'))
        assert summary(registration) == "3/0"
        respond(registration, status, 1.3)
        assert events(registration) == [Unregistered(status == 200)]
        assert summary(registration) == "4/3600"

    def test_register_and_unregister_while_unregistering(self) -> None:
        registration = registered()
        registration.unregister(1.0)
        registration.register(1.1)
        registration.unregister(1.2)
        registration.data_to_send()
        respond(registration, 200, 1.3)
        assert summary(registration) is None and registration.state is RegistrationState.UNREGISTERED


def test_paced() -> None:
    """Many at once get turns; the next one takes effect at its time."""
    pacer = Pacer(per_second=4)
    assert [pacer.reserve(10.0) for _ in range(3)] == [10.0, 10.25, 10.5]
    assert pacer.reserve(20.0) == 20.0
    registration = make()
    registration.register(10.0, not_before=10.5)
    assert summary(registration) is None and registration.get_timer() == 10.5
    registration.register(10.0, not_before=10.75)
    registration.handle_timer(10.5)
    assert summary(registration) is None
    registration.handle_timer(10.75)
    assert summary(registration) == "1/3600"
    registered_already = registered()
    registered_already.register(1.0, not_before=2.0)
    assert registered_already.state is RegistrationState.WAITING and registered_already.get_timer() == 2.0


def test_impossible_input_is_an_error() -> None:
    with pytest.raises(LocalProtocolError, match="Unregistered"):
        make()._step(RegistrationInput.ACCEPTED, 0.0)


def test_idle_registration_holds_no_message() -> None:
    registration = registered()
    gc.collect()
    held = gc.get_referents(registration)
    assert not [thing for thing in held if isinstance(thing, Request | Response)]
    assert registration._exchange is None and registration._outgoing == () and registration._events == ()


@pytest.mark.parametrize(
    ("again_in", "retry_at", "state"),
    [
        (0.0, None, RegistrationState.REGISTERING),
        (40.0, 140.0, RegistrationState.WAITING),
        (None, None, RegistrationState.REFUSED),
    ],
)
def test_dropped_by_the_registrar(again_in: float | None, retry_at: float | None, state: RegistrationState) -> None:
    """B-REG-08: at once, later, or only when asked to."""
    registration = registered()
    registration.dropped(100.0, "rejected", again_in)
    assert (registration.state, registration.expires_at) == (state, None)
    if state is RegistrationState.REGISTERING:
        assert summary(registration) == "2/3600" and events(registration) == []
    else:
        final = again_in is None
        assert summary(registration) is None
        assert events(registration) == [RegistrationFailed(None, retry_at, final, "rejected")]
    assert registration.get_timer() == retry_at


def test_who_is_dropped_twice_waits() -> None:
    """B-REG-08: registrar and client must not go on for ever."""
    registration = registered()
    for now, again in ((100.0, True), (129.0, False), (170.0, True)):
        registration.dropped(now, "deactivated", 0.0)
        assert (summary(registration) is not None) == again
        if not again:
            assert registration.get_timer() == now + 30.0
            registration.handle_timer(now + 30.0)
            registration.data_to_send()
        accept(registration, now)


def test_dropped_while_something_is_under_way() -> None:
    registration = registered()
    registration.register(1.0)
    registration.dropped(1.0, "expired", 0.0)
    registration.shorten(1.0, 10)
    assert summary(registration) == "2/3600" and registration.state is RegistrationState.REGISTERING
    accept(registration, 1.0)
    assert registration.get_timer() == 3001.0


def test_shortened_by_the_registrar() -> None:
    """B-REG-08: refresh earlier, never later."""
    registration = registered()
    registration.shorten(0.0, 100)
    assert (registration.get_timer(), registration.expires_at) == (50.0, 100.0)
    registration.shorten(10.0, 1000)
    assert registration.get_timer() == 50.0


def test_who_may_register_elsewhere() -> None:
    """Only a registration that stands, or waits, can move to another server of the core."""
    registration = make()
    assert not registration.is_wanted
    registration.register(0.0)
    assert not registration.is_wanted
    respond(registration, 503, 0.0, ("Retry-After", "60"))
    assert registration.is_wanted and registration.held_until >= 60.0
    assert registered().is_wanted
