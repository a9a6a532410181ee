"""A-DIG-01 to A-DIG-15: the vectors, the client and the server, and both together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import pytest

from sipstack import ids
from sipstack.errors import LocalProtocolError, ParseError
from sipstack.sip import digest_server
from sipstack.sip.digest import (
    ALGORITHMS,
    Challenge,
    Credentials,
    DigestClient,
    DigestServer,
    NoCredentials,
    Refused,
    Stale,
    Verified,
    compute_ha1,
    digest_response,
    initial_authorization,
)
from sipstack.sip.headers import parse_auth_params
from sipstack.sip.message import Request, Response

USER, REALM, PASSWORD = "guest01", "ims.lab.example", "s3cret"
URI = "sip:ims.lab.example"
NONCE = "bm9uY2UtMDE="

VECTORS = [
    ("MD5", None, b"", "81365c409b812f6f5eb189eb1a9f4d2a"),
    ("MD5", "auth", b"", "191028a14ff52e0f29c22f1382dbf833"),
    ("MD5", "auth-int", b"", "59ff63bf372e20306da51e35679cfb03"),
    ("MD5-sess", "auth", b"", "c0565f8777c01ce7b2de2287b4eb9004"),
    ("MD5-sess", "auth-int", b"", "784cb73898437e685d3f3dcb2663f5de"),
    ("SHA-256", "auth", b"", "b98564dea3be7f49b4390ddc4124664166732cb5febf405db422a3a53d24d73a"),
    ("SHA-256", "auth-int", b"", "520fa95bb1ad4f70a2108f116f3d1c9de9a28c821a4929b7235452c588293b9a"),
    ("SHA-512-256", "auth", b"", "9834f46588d9af459e41fb69eeb698ebcecf798cd5fbbe803e78307006b8742c"),
    ("SHA-512-256", "auth-int", b"", "ad8f49f4ee67494ee82b048943d223d2874098b701dd7dcbf5ca8224cfbc6f68"),
]


@pytest.fixture(autouse=True)
def fixed_cnonce(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "cnonce", lambda: "0a4f113b")


def request(method: str = "REGISTER", uri: str = URI, *, number: int = 1, body: bytes = b"") -> Request:
    return Request(
        method,
        uri,
        [
            ("Via", f"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{number}"),
            ("From", "<sip:g@h>;tag=1"),
            ("To", "<sip:g@h>"),
            ("Call-ID", "c1"),
            ("CSeq", f"{number} {method}"),
        ],
        body,
    )


def challenged(sent: Request, *challenges: str, status: int = 401, proxy: Iterable[str] = ()) -> Response:
    headers = [("WWW-Authenticate", value) for value in challenges] if status == 401 else []
    if status == 407:
        headers = [("Proxy-Authenticate", value) for value in challenges]
    headers += [("Proxy-Authenticate", value) for value in proxy]
    return Response.for_request(sent, status, headers=headers)


def client(password: str = PASSWORD) -> DigestClient:
    return DigestClient(Credentials.from_password(USER, password))


def credentials_of(sent: Request, name: str = "Authorization") -> dict[str, str]:
    [value] = sent.headers.get_all(name)
    return parse_auth_params(value)[1]


# the function


@pytest.mark.parametrize(("algorithm", "qop", "body", "expected"), VECTORS)
def test_vectors(algorithm: str, qop: str | None, body: bytes, expected: str) -> None:
    """A-DIG-01, A-DIG-02, A-DIG-03, A-DIG-14."""
    for spelling in (algorithm, algorithm.lower()):
        response = digest_response(
            ha1=compute_ha1(USER, REALM, PASSWORD, spelling),
            method="REGISTER",
            uri=URI,
            nonce=NONCE,
            algorithm=spelling,
            qop=qop,
            cnonce="0a4f113b",
            body=body,
        )
        assert response == expected


def test_missing_algorithm_is_md5() -> None:
    """A-DIG-03."""
    ha1 = compute_ha1(USER, REALM, PASSWORD)
    assert digest_response(ha1=ha1, method="REGISTER", uri=URI, nonce=NONCE) == VECTORS[0][3]


def test_rspauth_and_auth_int_of_an_invite() -> None:
    """A-DIG-09, A-DIG-14."""
    ha1 = compute_ha1(USER, REALM, PASSWORD, "MD5")
    rspauth = digest_response(ha1=ha1, method="", uri=URI, nonce=NONCE, qop="auth", cnonce="0a4f113b")
    assert rspauth == "7a2ff07ce576e4ae3d1e37ad77968d87"
    invite = digest_response(
        ha1=ha1,
        method="INVITE",
        uri="sip:bob@ims.lab.example",
        nonce=NONCE,
        qop="auth-int",
        nc="00000002",
        cnonce="0a4f113b",
        body=b"v=0\r\n",
    )
    assert invite == "aa4d8ec0a3f1fcb7120c2603c9446d8d"


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_examples_of_rfc_7616(algorithm: str, expected: str) -> None:
    """A-DIG-15, section 3.9.1."""
    response = digest_response(
        ha1=compute_ha1("Mufasa", "http-auth@example.org", "Circle of Life", algorithm),
        method="GET",
        uri="/dir/index.html",
        nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        algorithm=algorithm,
        qop="auth",
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    assert response == expected


def test_sha_512_256_is_the_real_one() -> None:
    """A-DIG-15: not SHA-512 cut in half."""
    assert ALGORITHMS["SHA-512-256"](b"") == "c672b8d1ef56ed28ab87c3622c5114069bdd3ad7b8f9737498d0c01ecef0967a"
    assert ALGORITHMS["SHA-512-256"](b"") != hashlib.sha512(b"").hexdigest()[:64]


def test_example_of_rfc_7616_for_sha_512_256() -> None:
    """A-DIG-15: the response that the RFC prints is wrong, this is the right one."""
    response = digest_response(
        ha1=compute_ha1("J\u00e4s\u00f8n Doe", "api@example.org", "Secret, or not?", "SHA-512-256"),
        method="GET",
        uri="/doe.json",
        nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
        algorithm="SHA-512-256",
        qop="auth",
        cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
    )
    assert response == "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"


def test_password_may_be_octets() -> None:
    """AKA gives binary passwords (B-AKA-02)."""
    assert compute_ha1("u", "r", b"\xa5B") == hashlib.md5(b"u:r:\xa5B").hexdigest()


# challenges


def test_challenge_is_parsed() -> None:
    """A-DIG-12, A-DIG-13: what SIP does not use is ignored; opaque kept, even an empty one."""
    challenge = Challenge.parse(
        'Digest realm="a \\"b\\"", nonce="n", algorithm=md5, qop="auth-int,AUTH", opaque="", stale=TRUE,'
        ' domain="sip:a sip:b", charset="UTF-8", userhash=true, x="y"'
    )
    assert challenge == Challenge('a "b"', "n", "md5", ("auth-int", "auth"), "", True, False)
    assert challenge.chosen_qop == "auth"


@pytest.mark.parametrize("value", ['Basic realm="r"', 'Digest realm="r"', 'Digest nonce="n"', "Digest"])
def test_challenge_is_refused(value: str) -> None:
    with pytest.raises(ParseError):
        Challenge.parse(value, proxy=True)


@pytest.mark.parametrize(
    ("challenges", "algorithm"),
    [
        (['Digest realm="r", nonce="1", algorithm=SHA-512-256', 'Digest realm="r", nonce="2"'], "SHA-512-256"),
        (['Digest realm="r", nonce="1", algorithm=FOO', 'Digest realm="r", nonce="2", algorithm=SHA-256'], "SHA-256"),
        (['Basic realm="r"', 'Digest realm="r", nonce="1", qop="x"', 'Digest realm="r", nonce="2"'], None),
    ],
)
def test_topmost_known_algorithm_is_used(challenges: list[str], algorithm: str | None) -> None:
    """A-DIG-04."""
    digest, sent = client(), request()
    assert digest.receive_challenge(sent, challenged(sent, *challenges))
    digest.authorize(sent)
    assert credentials_of(sent).get("algorithm") == algorithm


def test_only_challenges_are_answered_that_there_is_a_hash_for() -> None:
    """A-DIG-04: who has been told hashes instead of a password passes over the others."""
    known = DigestClient(Credentials("b", lambda realm, algorithm: f"{realm} {algorithm}", frozenset({("r", "MD5")})))
    sent = request()
    assert known.receive_challenge(
        sent, challenged(sent, 'Digest realm="r", nonce="1", algorithm=SHA-256', 'Digest realm="r", nonce="2"')
    )
    known.authorize(sent)
    assert credentials_of(sent)["nonce"] == "2"
    assert not known.receive_challenge(request(), challenged(sent, 'Digest realm="other", nonce="3"'))


def test_nothing_to_answer() -> None:
    digest, sent = client(), request()
    for challenges in ([], ['Digest realm="r", nonce="1", algorithm=FOO'], ["nonsense"]):
        assert not digest.receive_challenge(sent, challenged(sent, *challenges))
    digest.authorize(sent)
    assert "Authorization" not in sent.headers and not digest.is_challenged


# the client


def test_form_of_credentials() -> None:
    """A-DIG-05, A-DIG-06: what is quoted and what is not; the algorithm as the server wrote it."""
    digest, sent = DigestClient(Credentials.from_password('g"01', PASSWORD)), request()
    challenge = f'Digest realm="{REALM}", nonce="{NONCE}", algorithm=md5, qop="auth-int,auth", opaque="o\\"p"'
    assert digest.receive_challenge(sent, challenged(sent, challenge))
    digest.authorize(sent)
    response = credentials_of(sent)["response"]
    assert sent.headers.get_all("Authorization") == [
        f'Digest username="g\\"01", realm="{REALM}", nonce="{NONCE}", uri="{URI}", response="{response}", '
        'algorithm=md5, cnonce="0a4f113b", opaque="o\\"p", qop=auth, nc=00000001'
    ]


def test_without_qop_there_is_no_cnonce_and_no_nc() -> None:
    """A-DIG-05; B-KAM-02: so Kamailio challenges by default."""
    digest, sent = client(), request()
    digest.receive_challenge(sent, challenged(sent, f'Digest realm="{REALM}", nonce="{NONCE}"'))
    digest.authorize(sent)
    assert sent.headers.get("Authorization") == (
        f'Digest username="{USER}", realm="{REALM}", nonce="{NONCE}", uri="{URI}", response="{VECTORS[0][3]}"'
    )


def test_sess_without_qop_sends_the_cnonce_that_a1_needs() -> None:
    digest, sent = client(), request()
    digest.receive_challenge(sent, challenged(sent, f'Digest realm="{REALM}", nonce="{NONCE}", algorithm=MD5-sess'))
    digest.authorize(sent)
    params = credentials_of(sent)
    assert params["cnonce"] == "0a4f113b" and "nc" not in params and "qop" not in params


def test_count_rises_with_each_request() -> None:
    """A-DIG-07: the nonce is used again without being asked."""
    digest, sent = client(), request()
    digest.receive_challenge(sent, challenged(sent, f'Digest realm="{REALM}", nonce="{NONCE}", qop="auth"', status=407))
    counts = []
    for number in range(2, 5):
        sent = request("INVITE", "sip:bob@elsewhere.example", number=number)
        digest.authorize(sent)
        digest_params = credentials_of(sent, "Proxy-Authorization")
        counts.append((digest_params["nc"], digest_params["uri"]))
    assert counts == [(f"0000000{n}", "sip:bob@elsewhere.example") for n in (1, 2, 3)]


def test_registrar_credentials_stay_with_their_host() -> None:
    digest, sent = client(), request()
    digest.receive_challenge(sent, challenged(sent, f'Digest realm="{REALM}", nonce="{NONCE}"'))
    other = request("INVITE", "sip:bob@elsewhere.example")
    digest.authorize(other)
    assert "Authorization" not in other.headers


def test_two_realms_and_two_kinds_are_all_answered() -> None:
    """A-DIG-10: 407, then 401, then a request that holds both; different realms collect."""
    digest, first = client(), request()
    assert digest.receive_challenge(first, challenged(first, 'Digest realm="p", nonce="1"', status=407))
    second = request(number=2)
    digest.authorize(second)
    response = challenged(second, 'Digest realm="r", nonce="2"', proxy=['Digest realm="q", nonce="3"'])
    assert digest.receive_challenge(second, response)
    third = request(number=3)
    third.headers.add("Authorization", "Digest old")
    digest.authorize(third)
    realms = [parse_auth_params(value)[1]["realm"] for value in third.headers.get_all("Proxy-Authorization")]
    assert credentials_of(third)["realm"] == "r" and realms == ["p", "q"]


def test_realms_are_bounded() -> None:
    digest, sent = client(), request()
    for number in range(20):
        assert digest.receive_challenge(sent, challenged(sent, f'Digest realm="{number}", nonce="1"', status=407))
    digest.authorize(sent)
    realms = [parse_auth_params(value)[1]["realm"] for value in sent.headers.get_all("Proxy-Authorization")]
    assert realms == [str(number) for number in range(4, 20)]


@pytest.mark.parametrize("method", ["ACK", "CANCEL"])
def test_ack_and_cancel_are_left_alone(method: str) -> None:
    """A-DIG-11."""
    digest, sent = client(), request()
    digest.receive_challenge(sent, challenged(sent, 'Digest realm="p", nonce="1"', status=407))
    ack = request(method)
    ack.headers.add("Proxy-Authorization", "Digest as-in-invite")
    digest.authorize(ack)
    assert ack.headers.get_all("Proxy-Authorization") == ["Digest as-in-invite"]


def test_wrong_password_is_seen_at_the_second_challenge() -> None:
    """A-REG-10, whether the nonce changes or not."""
    for nonce in ("1", "2"):
        digest, first = client(), request()
        assert digest.receive_challenge(first, challenged(first, 'Digest realm="r", nonce="1", qop="auth"'))
        second = request(number=2)
        digest.authorize(second)
        challenge = f'Digest realm="r", nonce="{nonce}", qop="auth"'
        assert not digest.receive_challenge(second, challenged(second, challenge))


def test_stale_is_not_a_wrong_password() -> None:
    """A-DIG-08: twice in a row too."""
    digest, sent = client(), request()
    assert digest.receive_challenge(sent, challenged(sent, 'Digest realm="r", nonce="1"'))
    for number in (2, 3):
        sent = request(number=number)
        digest.authorize(sent)
        challenge = f'Digest realm="r", nonce="{number}", stale=true'
        assert digest.receive_challenge(sent, challenged(sent, challenge))
    sent = request(number=4)
    digest.authorize(sent)
    assert credentials_of(sent)["nonce"] == "3"


def test_old_nonce_refused_without_stale_is_no_wrong_password() -> None:
    """B-AKA-06: some servers take every nonce once and don't say stale."""
    digest, first = client(), request()
    assert digest.receive_challenge(first, challenged(first, 'Digest realm="r", nonce="1"'))
    digest.authorize(request(number=2))
    third = request(number=3)
    digest.authorize(third)
    assert digest.receive_challenge(third, challenged(third, 'Digest realm="r", nonce="2"'))
    fourth = request(number=4)
    digest.authorize(fourth)
    assert not digest.receive_challenge(fourth, challenged(fourth, 'Digest realm="r", nonce="3"'))


def test_credentials_that_are_not_ours_to_judge() -> None:
    """Those of another realm, an initial Authorization, and a nonce that this client never had."""
    digest, sent = client(), request()
    sent.headers.add("Authorization", 'Digest username="u", realm="other", nonce="x", response="y"')
    sent.headers.add("Authorization", 'Digest username="u", realm="r", nonce="", response=""')
    assert digest.receive_challenge(sent, challenged(sent, 'Digest realm="r", nonce="1"'))
    unknown = request()
    unknown.headers.add("Authorization", 'Digest username="u", realm="r2", nonce="x", response="y"')
    assert not digest.receive_challenge(unknown, challenged(unknown, 'Digest realm="r2", nonce="1"'))


class TestAuthenticationInfo:
    """A-DIG-09."""

    def authorized(self) -> tuple[DigestClient, Request]:
        digest, sent = client(), request()
        digest.receive_challenge(sent, challenged(sent, f'Digest realm="{REALM}", nonce="{NONCE}", qop="auth"'))
        digest.authorize(sent)
        return digest, sent

    def receive(self, digest: DigestClient, sent: Request, info: str) -> bool:
        response = Response.for_request(sent, 200, headers=[("Authentication-Info", info)])
        return digest.receive_success(sent, response)

    def test_next_nonce_and_proof(self) -> None:
        digest, sent = self.authorized()
        info = 'nextnonce="n2", qop=auth, rspauth="7A2FF07CE576E4AE3D1E37AD77968D87", cnonce="0a4f113b", nc=00000001'
        assert self.receive(digest, sent, info)
        sent = request(number=2)
        digest.authorize(sent)
        assert (credentials_of(sent)["nonce"], credentials_of(sent)["nc"]) == ("n2", "00000001")

    def test_wrong_proof(self) -> None:
        digest, sent = self.authorized()
        assert not self.receive(digest, sent, 'rspauth="00"')

    def test_nothing_to_learn(self) -> None:
        digest, sent = self.authorized()
        assert self.receive(digest, sent, "nonsense") and self.receive(digest, sent, 'nc="1"')
        assert digest.receive_success(sent, Response.for_request(sent, 200))
        assert self.receive(digest, request(), 'nextnonce="n2"')
        assert self.receive(client(), sent, 'nextnonce="n2"')


def test_initial_authorization_is_no_answer() -> None:
    """B-REG-01: it names the IMPI and nothing else, and a server sees no credentials in it."""
    sent = request()
    sent.headers.add("Authorization", initial_authorization("impi@private.example", REALM, URI))
    assert sent.headers.get("Authorization") == (
        f'Digest username="impi@private.example", realm="{REALM}", nonce="", uri="{URI}", response=""'
    )
    assert server().verify(sent, lookup, 1.0) == NoCredentials()


def test_credentials_hide_the_password() -> None:
    assert PASSWORD not in repr(Credentials.from_password(USER, PASSWORD))


# the server


def lookup(username: str, realm: str, algorithm: str) -> str | None:
    return compute_ha1(username, realm, PASSWORD, algorithm) if username == USER else None


def server(*algorithms: str, qop: tuple[str, ...] = ("auth",)) -> DigestServer:
    return DigestServer(REALM, algorithms or ("SHA-256", "MD5"), secret=b"key", qop=qop)


def authorized(by: DigestServer, *, now: float = 10.0, proxy: bool = False, body: bytes = b"") -> Request:
    digest, sent = client(), request(body=body)
    digest.receive_challenge(sent, challenged(sent, *by.challenges(now), status=407 if proxy else 401))
    digest.authorize(sent)
    return sent


def replace(sent: Request, old: str, new: str) -> Request:
    value = sent.headers.get("Authorization") or ""
    assert old in value
    sent.headers.set("Authorization", value.replace(old, new))
    return sent


@pytest.mark.parametrize("algorithm", ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256", "SHA-512-256-sess"])
@pytest.mark.parametrize("qop", [(), ("auth",), ("auth-int",), ("auth", "auth-int")])
@pytest.mark.parametrize("proxy", [False, True])
def test_client_and_server_agree(algorithm: str, qop: tuple[str, ...], proxy: bool) -> None:
    by = server(algorithm, qop=qop)
    sent = authorized(by, proxy=proxy, body=b"v=0\r\n")
    assert by.verify(sent, lookup, 11.0, proxy) == Verified(USER)
    assert by.verify(sent, lookup, 11.0, not proxy) == NoCredentials()


@pytest.mark.parametrize("qop", ["auth", "auth-int"])
def test_server_proves_itself(qop: str) -> None:
    """A-DIG-09: the client believes it, and uses the next nonce."""
    by = server("SHA-256", qop=(qop,))
    digest, sent = client(), request()
    digest.receive_challenge(sent, challenged(sent, *by.challenges(0.0)))
    digest.authorize(sent)
    info = by.authentication_info(sent, lookup, 1.0, b"body")
    assert info is not None
    response = Response.for_request(sent, 200, headers=[("Authentication-Info", info)], body=b"body")
    assert digest.receive_success(sent, response)
    following = request(number=2)
    digest.authorize(following)
    assert credentials_of(following)["nonce"] == parse_auth_params(f"Digest {info}")[1]["nextnonce"]
    assert by.verify(following, lookup, 2.0) == Verified(USER)


def test_server_has_nothing_to_prove() -> None:
    by = server(qop=())
    assert by.authentication_info(request(), lookup, 1.0) is None
    assert by.authentication_info(authorized(by), lookup, 1.0) is None


def test_one_challenge_for_each_algorithm() -> None:
    """A-DIG-04."""
    challenges = [Challenge.parse(value) for value in server("SHA-256", "MD5").challenges(0.0)]
    assert [challenge.algorithm for challenge in challenges] == ["SHA-256", "MD5"]
    assert [challenge.stale for challenge in challenges] == [False, False]
    assert Challenge.parse(server().challenges(0.0, stale=True)[0]).stale


def test_body_is_protected_by_auth_int() -> None:
    by = server(qop=("auth-int",))
    sent = authorized(by, body=b"one")
    sent.body = b"two"
    assert by.verify(sent, lookup, 11.0) == Refused("wrong password")


def test_old_nonce_is_stale_for_who_knows_the_password() -> None:
    by = server()
    sent = authorized(by, now=10.0)
    assert by.verify(sent, lookup, 10.0 + by.nonce_lifetime + 0.1) == Stale()
    stranger = client("wrong")
    other = request()
    stranger.receive_challenge(other, challenged(other, *by.challenges(10.0)))
    stranger.authorize(other)
    assert by.verify(other, lookup, 1000.0) == Refused("wrong password")


def test_nonce_of_another_server_is_stale() -> None:
    sent = authorized(DigestServer(REALM, secret=b"other"))
    assert server().verify(sent, lookup, 11.0) == Stale()


def test_replay_is_stale() -> None:
    """A-DIG-07."""
    by = server()
    sent = authorized(by)
    assert by.verify(sent, lookup, 11.0) == Verified(USER)
    assert by.verify(sent, lookup, 11.0) == Stale()


def test_counts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest_server, "MAX_COUNTED_NONCES", 2)
    by = server()
    for _ in range(4):
        assert by.verify(authorized(by), lookup, 11.0) == Verified(USER)
    assert len(by._counts) == 2


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (f'username="{USER}"', 'username="nobody"', "no such user"),
        (f'username="{USER}"', 'username=""', "no username"),
        ("algorithm=SHA-256", "algorithm=SHA-512-256", "another algorithm"),
        ("qop=auth", "qop=auth-int", "another qop"),
        ("qop=auth, nc=00000001", "x=y", "another qop"),
        ("nc=00000001", "nc=1", "no cnonce or nc"),
        ("nc=00000001", "nc=0000000g", "no cnonce or nc"),
        ('cnonce="0a4f113b"', 'cnonce=""', "no cnonce or nc"),
        (f'uri="{URI}"', 'uri="sip:other.example"', "another uri"),
        (f'uri="{URI}"', 'uri="nonsense"', "another uri"),
        (f'uri="{URI}"', f'uri="{URI};transport=tcp"', "wrong password"),
    ],
)
def test_refusals(old: str, new: str, why: str) -> None:
    by = server()
    assert by.verify(replace(authorized(by), old, new), lookup, 11.0) == Refused(why)


def test_what_is_no_credentials_for_us() -> None:
    by = server()
    for value in (
        "nonsense",
        f'Basic realm="{REALM}", response="x"',
        'Digest realm="other", response="x"',
        f'Digest realm="{REALM}", response=""',
    ):
        sent = request()
        sent.headers.add("Authorization", value)
        assert by.verify(sent, lookup, 11.0) == NoCredentials()


def test_unknown_algorithms_are_a_mistake_of_ours() -> None:
    for algorithms in (("MD6",), ()):
        with pytest.raises(LocalProtocolError):
            DigestServer(REALM, algorithms, secret=b"key")
