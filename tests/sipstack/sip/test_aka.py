"""B-AKA-01 to B-AKA-06: what a SIM answers, and what digest makes of it."""

from __future__ import annotations

from base64 import b64decode, b64encode

import pytest

from sipstack import ids
from sipstack.errors import LocalProtocolError
from sipstack.sip.aka import AkaAnswer, Usim, is_aka, make_nonce, resynchronized
from sipstack.sip.digest import Credentials, DigestClient
from sipstack.sip.digest_hash import Challenge
from sipstack.sip.digest_relay import RelayCredentials
from sipstack.sip.headers import parse_auth_params
from sipstack.sip.message import Request, Response
from sipstack.sip.milenage import Milenage
from tests.sipstack.sip.test_milenage import SETS, aes

SET = {name: bytes.fromhex(text) for name, text in SETS[0].items()}
RAND, AMF = SET["rand"], SET["amf"]
SQN = int.from_bytes(SET["sqn"])
NONCE = "I1U8vpY3qJ0hiuZNrke/NVXzKLQ1d7m5Sp/6w1Tfr7M="
REALM = "ims.mnc001.mcc001.3gppnetwork.org"
IMPI = f"001010000000001@{REALM}"
URI = f"sip:{REALM}"


def milenage() -> Milenage:
    return Milenage(aes(SET["k"]), SET["opc"])


def nonce(sqn: int, rand: bytes = RAND) -> str:
    return make_nonce(milenage(), rand, sqn, AMF)


def client(sqn: int | None = None) -> DigestClient:
    return DigestClient(Credentials.from_usim(IMPI, Usim(milenage(), sqn=sqn)))


def register(number: int = 1) -> Request:
    headers = [("From", f"<{URI}>;tag=1"), ("To", f"<{URI}>"), ("Call-ID", "c"), ("CSeq", f"{number} REGISTER")]
    return Request("REGISTER", URI, headers)


def challenge(value: str = NONCE, algorithm: str = "AKAv1-MD5", extra: str = ', qop="auth"') -> Response:
    text = f'Digest realm="{REALM}", nonce="{value}", algorithm={algorithm}{extra}'
    return Response(401, None, [("WWW-Authenticate", text)])


def answered(digest: DigestClient, sent: Request, response: Response) -> dict[str, str]:
    assert digest.receive_challenge(sent, response)
    digest.authorize(sent)
    return parse_auth_params(sent.headers.get("Authorization", ""))[1]


@pytest.fixture(autouse=True)
def fixed_cnonce(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "cnonce", lambda: "0a4f113b")


def test_the_nonce_of_the_standard() -> None:
    """B-AKA-01: RAND and AUTN, in base 64."""
    assert nonce(SQN) == NONCE
    assert b64decode(NONCE)[16:].hex() == "55f328b43577b9b94a9ffac354dfafb3"


@pytest.mark.parametrize(
    ("algorithm", "extra", "response"),
    [
        ("AKAv1-MD5", ', qop="auth"', "402ab8df9f3a4d63a9f47c2f90e02938"),
        ("AKAv1-MD5", "", "1125a3c2e293453f07e08957ff235efc"),
        ("AKAv2-MD5", ', qop="auth,auth-int"', "6774a29ced9929f3dd734d9a97e04ebe"),
        ("akav1-md5", ', qop="auth"', "402ab8df9f3a4d63a9f47c2f90e02938"),
    ],
)
def test_responses_of_the_standard(algorithm: str, extra: str, response: str) -> None:
    """B-AKA-02, B-AKA-05: the password is octets; the algorithm goes back as it was written."""
    sent = answered(client(), register(), challenge(algorithm=algorithm, extra=extra))
    assert (sent["response"], sent["algorithm"], sent["username"]) == (response, algorithm, IMPI)
    assert "auts" not in sent


def test_a_number_used_before_is_told_to_the_network() -> None:
    """B-AKA-03, B-AKA-04: AUTS with an empty password; the challenge that follows is answered."""
    digest, sent = client(sqn=SQN + 64), register()
    told = answered(digest, sent, challenge())
    assert told["response"] == "da492ad7b08bb89514f214f8c2fdb82b"
    assert resynchronized(milenage(), RAND, told["auts"]) == (SQN + 64) >> 5 << 5  # the index is not what counts
    after = answered(digest, sent, challenge(nonce(SQN + 128)))
    assert "auts" not in after and after["response"]


def test_auts_of_the_specification() -> None:
    """B-AKA-04: SQN hidden by f5*, MAC-S with an AMF of zeros."""
    usim = Usim(milenage())
    assert usim.answer(nonce(SQN), "AKAv1-MD5") == AkaAnswer(SET["f2"])
    again = usim.answer(nonce(SQN), "AKAv1-MD5")
    assert again is not None and again.auts is not None
    octets = b64decode(again.auts)
    assert octets[:6] == bytes(a ^ b for a, b in zip(SET["sqn"], SET["f5*"], strict=True))
    assert octets[6:] == milenage().mac_s(RAND, SET["sqn"], bytes(2))


def test_a_network_that_does_not_know_the_secret_gets_nothing() -> None:
    """B-AKA-03: an empty response, no AUTS; and a genuine challenge afterwards is answered."""
    octets = bytearray(b64decode(NONCE))
    octets[-1] ^= 1
    digest, sent = client(), register()
    told = answered(digest, sent, challenge(b64encode(octets).decode()))
    assert told["response"] == "" and "auts" not in told
    assert answered(digest, sent, challenge())["response"]


@pytest.mark.parametrize("text", ["", "####", "I1U8vpY3qJ0h", b64encode(bytes(31)).decode(), "ümlaut"])
def test_a_nonce_without_rand_and_autn_is_no_challenge(text: str) -> None:
    """B-AKA-01."""
    assert not client().receive_challenge(register(), challenge(text))


def test_server_data_behind_the_nonce() -> None:
    """B-AKA-01."""
    longer = b64encode(b64decode(NONCE) + b"server").decode()
    assert Usim(milenage()).answer(longer, "AKAv1-MD5") == AkaAnswer(SET["f2"])


def test_each_refresh_has_a_challenge_of_its_own() -> None:
    """B-AKA-06: the nonce may count up where the server lets it, and is no longer good where it doesn't."""
    digest, sent = client(), register()
    answered(digest, sent, challenge())
    later = register(2)
    digest.authorize(later)
    assert parse_auth_params(later.headers.get("Authorization", ""))[1]["nc"] == "00000002"
    assert answered(digest, later, challenge(nonce(SQN + 32)))["nc"] == "00000001"


def test_the_same_challenge_twice_is_a_wrong_secret() -> None:
    digest, sent = client(), register()
    answered(digest, sent, challenge())
    assert not digest.receive_challenge(sent, challenge())


def test_counters_of_several_registrars_may_overtake_each_other() -> None:
    """TS 33.102 Annex C.2: each index has its own."""
    kept: list[int] = []
    usim = Usim(milenage(), on_accepted=kept.append)
    numbers = [3 << 5 | 1, 2 << 5 | 2, 3 << 5 | 2, 2 << 5 | 1]
    answers = [usim.answer(nonce(number), "AKAv1-MD5") for number in numbers]
    assert [answer is not None and answer.auts is None for answer in answers] == [True, True, True, False]
    assert kept == [3 << 5 | 1]
    assert repr(usim) == "<Usim>"


def test_the_next_nonce_is_a_challenge_too() -> None:
    """RFC 3310 section 3.2, A-DIG-09: one that holds nothing leaves the old one; the proof is that of the old one."""
    digest, sent = client(), register()
    answered(digest, sent, challenge())
    proof = "".join(["0"] * 32)
    bad = Response(200, None, [("Authentication-Info", f'nextnonce="{nonce(SQN + 32)}", rspauth="{proof}"')])
    assert not digest.receive_success(sent, bad)
    later = register(2)
    digest.authorize(later)
    assert parse_auth_params(later.headers.get("Authorization", ""))[1]["nonce"] == nonce(SQN + 32)
    assert digest.receive_success(later, Response(200, None, [("Authentication-Info", 'nextnonce="x"')]))
    digest.authorize(later)
    assert parse_auth_params(later.headers.get("Authorization", ""))[1]["nonce"] == nonce(SQN + 32)


def test_who_has_a_sim_answers_nothing_else() -> None:
    """B-AKA-06; and who has a password does not answer AKA, nor does anybody to an MSRP relay."""
    sim = Credentials.from_usim(IMPI, Usim(milenage()))
    password = Credentials.from_password(IMPI, "secret")
    for algorithm, by_sim in (("AKAv1-MD5", True), ("AKAv2-MD5", True), ("MD5", False), (None, False)):
        asked = Challenge(REALM, NONCE, algorithm)
        assert (sim.can_answer(asked), password.can_answer(asked)) == (by_sim, not by_sim)
    with pytest.raises(LocalProtocolError, match="AKA only"):
        sim.ha1(REALM, "MD5")
    relay = RelayCredentials(sim)
    assert not relay.receive_challenge("msrp://r", [challenge().headers.get("WWW-Authenticate", "")])


def test_another_life_goes_on_with_the_next_number() -> None:
    """Also where the network counts without indexes, by ones."""
    for last in (33, 63, 64):
        usim = Usim(milenage(), sqn=last)
        old, new = usim.answer(nonce(last), "AKAv1-MD5"), usim.answer(nonce(last + 1), "AKAv1-MD5")
        assert old is not None and old.auts is not None
        assert new is not None and new.auts is None


@pytest.mark.parametrize("text", ["", "####", b64encode(bytes(13)).decode(), b64encode(bytes(14)).decode()])
def test_an_auts_that_is_none(text: str) -> None:
    assert resynchronized(milenage(), RAND, text) is None


def test_names_of_algorithms() -> None:
    assert is_aka("AKAv1-MD5") and is_aka("akav2-md5-sess")
    assert not is_aka(None) and not is_aka("SHA-256")
