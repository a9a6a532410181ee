"""The registrar of the embedded core, on requests and a clock of the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.lab.registrar import Answer, Change, Registrar
from gateway.lab.subscribers import Subscriber, SubscriberTable
from sipstack.flow import Flow
from sipstack.sip.digest import Credentials, DigestClient, DigestServer
from sipstack.sip.message import Request, Response

FLOW = Flow("UDP", ("192.0.2.1", 5060))
CONTACT = "<sip:token@192.0.2.1:5060>"


class Phone:
    """Sends REGISTERs to a registrar and answers its challenges."""

    def __init__(self, registrar: Registrar, username: str = "a", password: str = "secret") -> None:
        self.registrar = registrar
        self.digest = DigestClient(Credentials.from_password(username, password))
        self.cseq = 0

    def request(self, *headers: tuple[str, str], aor: str = "sip:a@cc.com") -> Request:
        self.cseq += 1
        base = [
            ("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"),
            ("From", f"<{aor}>;tag=1"),
            ("To", f"<{aor}>"),
            ("Call-ID", "call"),
            ("CSeq", f"{self.cseq} REGISTER"),
        ]
        return Request("REGISTER", "sip:cc.com", [*base, *headers])

    def register(self, *headers: tuple[str, str], aor: str = "sip:a@cc.com", now: float = 0.0) -> Answer:
        request = self.request(*headers, aor=aor)
        self.digest.authorize(request)
        answer = self.registrar.register(request, FLOW, now)
        if answer.status == 401:
            self.digest.receive_challenge(request, Response.for_request(request, 401, headers=answer.headers))
            request = self.request(*headers, aor=aor)
            self.digest.authorize(request)
            answer = self.registrar.register(request, FLOW, now)
        return answer


@pytest.fixture(params=["MD5", "SHA-256", "SHA-512-256"])
def algorithm(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def registrar() -> Iterator[Registrar]:
    table = SubscriberTable()
    table.put(Subscriber.from_password("a", "secret", "cc.com", ["sip:a@cc.com", "tel:+491511"]))
    digest = DigestServer("cc.com", ("SHA-512-256", "SHA-256", "MD5"), secret=b"s")
    yield Registrar(table, digest, domain="cc.com", sent_by="core")
    table.close()


def headers(answer: Answer, name: str) -> list[str]:
    return [value for header, value in answer.headers if header == name]


def test_challenges_and_registers(registrar: Registrar) -> None:
    phone = Phone(registrar)
    first = registrar.register(phone.request(("Contact", CONTACT)), FLOW, 0.0)
    assert first.status == 401
    assert len(headers(first, "WWW-Authenticate")) == 3
    answer = phone.register(("Contact", CONTACT + ";+g.oma.sip-im"), ("Expires", "600"))
    assert answer.status == 200
    assert answer.change == Change("sip:a@cc.com", 600)
    assert headers(answer, "Contact") == [CONTACT + ";+g.oma.sip-im;expires=600"]
    assert headers(answer, "Service-Route") == ["<sip:orig@core;lr>"]
    assert headers(answer, "P-Associated-URI") == ["<sip:a@cc.com>, <tel:+491511>"]
    assert len(registrar) == 1


def test_every_algorithm(algorithm: str) -> None:
    table = SubscriberTable()
    table.put(Subscriber.from_password("a", "secret", "cc.com"))
    digest = DigestServer("cc.com", (algorithm,), secret=b"s")
    registrar = Registrar(table, digest, domain="cc.com", sent_by="core")
    assert Phone(registrar).register(("Contact", CONTACT)).status == 200
    assert Phone(registrar, password="wrong").register(("Contact", CONTACT)).status == 401
    assert Phone(registrar, username="nobody").register(("Contact", CONTACT)).status == 401
    table.close()


def test_identities_of_others_and_foreign_domains_are_refused(registrar: Registrar) -> None:
    phone = Phone(registrar)
    assert phone.register(("Contact", CONTACT), aor="sip:b@cc.com").status == 403
    assert phone.register(("Contact", CONTACT), aor="sip:a@elsewhere.example").status == 403
    assert phone.register(("Contact", CONTACT), aor="tel:+49-1511").status == 200


def test_without_contact_it_only_answers(registrar: Registrar) -> None:
    phone = Phone(registrar)
    answer = phone.register()
    assert (answer.status, answer.change, headers(answer, "Contact")) == (200, None, [])


def test_expiry(registrar: Registrar) -> None:
    phone = Phone(registrar)
    too_short = phone.register(("Contact", CONTACT), ("Expires", "5"))
    assert (too_short.status, headers(too_short, "Min-Expires")) == (423, ["10"])
    assert phone.register(("Contact", CONTACT + ";expires=60"), ("Expires", "3600")).change == Change(
        "sip:a@cc.com", 60
    )
    assert registrar.newest("a", 59.0) is not None
    assert registrar.newest("a", 60.0) is None
    assert registrar.expire(59.0) == []
    assert registrar.expire(60.0) == [Change("sip:a@cc.com", 0)]
    assert registrar.expire(61.0) == []
    longest = phone.register(("Contact", CONTACT), ("Expires", "600000"))
    assert headers(longest, "Contact") == [CONTACT + ";expires=7200"]


def test_a_refresh_keeps_it_alive(registrar: Registrar) -> None:
    phone = Phone(registrar)
    phone.register(("Contact", CONTACT), ("Expires", "60"))
    phone.register(("Contact", CONTACT), ("Expires", "60"), now=30.0)
    assert registrar.expire(60.0) == []
    assert registrar.newest("a", 89.0) is not None
    assert registrar.expire(90.0) == [Change("sip:a@cc.com", 0)]


def test_one_device_leaves_the_other_stays(registrar: Registrar) -> None:
    phone = Phone(registrar)
    phone.register(("Contact", CONTACT), ("Expires", "600"))
    phone.register(("Contact", "<sip:other@192.0.2.2>"), ("Expires", "300"))
    answer = phone.register(("Contact", "<sip:other@192.0.2.2>"), ("Expires", "0"), now=100.0)
    assert answer.change == Change("sip:a@cc.com", 500)
    left = registrar.newest("a", 100.0)
    assert left is not None and left.uri.user == "token"
    assert phone.register(("Contact", "*"), ("Expires", "0"), now=101.0).change == Change("sip:a@cc.com", 0)
    assert len(registrar) == 0
    assert phone.register(("Contact", "*"), ("Expires", "1")).status == 400


def test_the_newest_binding_wins_and_the_number_is_limited(registrar: Registrar) -> None:
    phone = Phone(registrar)
    for number in range(9):
        phone.register(("Contact", f"<sip:t{number}@192.0.2.1>"))
    newest = registrar.newest("a", 1.0)
    assert newest is not None and newest.uri.user == "t8"
    assert len(registrar.dump(1.0)) == 8


def test_an_older_register_that_comes_late_changes_nothing(registrar: Registrar) -> None:
    phone = Phone(registrar)
    phone.cseq = 10
    phone.register(("Contact", CONTACT), ("Expires", "600"))
    phone.cseq = 5
    assert phone.register(("Contact", CONTACT), ("Expires", "0")).status == 500
    assert registrar.newest("a", 1.0) is not None


def test_path_is_kept_and_echoed(registrar: Registrar) -> None:
    phone = Phone(registrar)
    path = ("Path", "<sip:p@192.0.2.9;lr>")
    assert phone.register(("Contact", CONTACT), path).status == 420
    answer = phone.register(("Contact", CONTACT), path, ("Supported", "path"))
    assert headers(answer, "Path") == ["<sip:p@192.0.2.9;lr>"]
    binding = registrar.newest("a", 1.0)
    assert binding is not None and binding.path == ("<sip:p@192.0.2.9;lr>",)


def test_who_is_recognised_as_registered_device(registrar: Registrar) -> None:
    phone = Phone(registrar)
    phone.register(("Contact", CONTACT), ("Expires", "600"))
    elsewhere = Flow("TCP", ("192.0.2.1", 40000))
    assert registrar.knows_sender("a", phone.request(), FLOW, 1.0)
    assert not registrar.knows_sender("a", phone.request(), elsewhere, 1.0)
    assert registrar.knows_sender("a", phone.request(("Contact", CONTACT)), elsewhere, 1.0)
    assert not registrar.knows_sender("a", phone.request(), FLOW, 601.0)
    assert not registrar.knows_sender("b", phone.request(), FLOW, 1.0)


def test_dropping_a_dead_binding_and_a_deleted_account(registrar: Registrar) -> None:
    phone = Phone(registrar)
    phone.register(("Contact", CONTACT))
    phone.register(("Contact", "<sip:other@192.0.2.2>"))
    newest = registrar.newest("a", 1.0)
    assert newest is not None
    assert registrar.drop("a", newest) is None
    assert registrar.drop("a", newest) is None
    assert registrar.remove("a") == Change("sip:a@cc.com", 0)
    assert registrar.remove("a") is None
    assert registrar.expire(1e9) == []
