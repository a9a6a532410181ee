"""Proof by REGISTER: nothing but a challenge of the right realm, our answer and a 200 lets anybody in."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.drivers import DriverError
from gateway.services import NotAuthenticated
from gateway.users.register import RegisterUsers
from sipstack.sip.uri import Uri
from tests.gateway.sip_helpers import Peer, Registrar, pair
from translators.identifiers import parse_identifier


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest_asyncio.fixture
async def world() -> AsyncIterator[tuple[RegisterUsers, Peer, Clock]]:
    async with pair() as (ours, peer):
        clock = Clock()
        proxy = Uri.parse(f"{peer.endpoint.uri()};transport=tcp;lr")
        users = RegisterUsers(
            ours, domains=("cc.com", "b.org"), realm="cc.com", outbound_proxy=proxy, timeout=1.0, clock=clock
        )
        yield users, peer, clock
        await users.close()


World = tuple[RegisterUsers, Peer, Clock]


@pytest.mark.parametrize("proxy", [False, True])
async def test_a_right_password_is_proven(world: World, proxy: bool) -> None:
    users, peer, _ = world
    registrar = Registrar(peer, "cc.com", {"a": "pä:ss"}, proxy=proxy)
    registrar.headers = (("P-Associated-URI", '"Alice" <sip:alice@cc.com>, <tel:+15550100>, <sip:a@cc.com>'),)
    inviter = await users.authenticate("sip:a@CC.com", "pä:ss")
    assert (inviter.uid, inviter.sip, inviter.name) == ("alice@cc.com", "sip:alice@cc.com", "Alice")
    assert inviter.identities == ("sip:alice@cc.com", "tel:+15550100", "sip:a@cc.com")
    assert inviter.state == "unknown" and inviter.level is None
    first, second = peer.requests
    for request in (first, second):
        assert str(request.uri) == "sip:cc.com" and str(request.to.uri) == "sip:a@cc.com"
        assert not request.contacts and "Expires" not in request.headers
    assert first.call_id == second.call_id and first.cseq.number < second.cseq.number
    assert "Authorization" not in first.headers and "Proxy-Authorization" not in first.headers


async def test_without_associated_identities_the_address_is_the_identity(world: World) -> None:
    users, peer, _ = world
    Registrar(peer, "cc.com", {"a": "p"})
    inviter = await users.authenticate("a", "p")
    assert (inviter.uid, inviter.sip, inviter.identities) == ("a@cc.com", "sip:a@cc.com", ("sip:a@cc.com",))


async def test_proofs_are_remembered_for_a_minute_and_for_this_password_only(world: World) -> None:
    users, peer, clock = world
    Registrar(peer, "cc.com", {"a": "p"})
    await users.authenticate("a", "p")
    await users.authenticate("a@cc.com", "p")
    assert len(peer.requests) == 2
    with pytest.raises(NotAuthenticated):
        await users.authenticate("a", "q")
    clock.now = 60.0
    seen = len(peer.requests)
    await users.authenticate("a", "p")
    assert len(peer.requests) == seen + 2


@pytest.mark.parametrize("user_id, password", [("a", "wrong"), ("nobody", "p"), ("a", "")])
async def test_wrong_credentials(world: World, user_id: str, password: str) -> None:
    users, peer, _ = world
    Registrar(peer, "cc.com", {"a": "p"})
    with pytest.raises(NotAuthenticated):
        await users.authenticate(user_id, password)
    assert len(peer.requests) <= 2


@pytest.mark.parametrize("user_id", ["a@evil.org", "sip:a@evil.org", "tel:+15550100", "sip:@cc.com", "a b", ""])
async def test_nothing_is_sent_for_domains_that_are_not_ours(world: World, user_id: str) -> None:
    users, peer, _ = world
    Registrar(peer, "cc.com", {"a": "p"})
    with pytest.raises(NotAuthenticated):
        await users.authenticate(user_id, "p")
    assert all(request.uri.host in ("cc.com",) for request in peer.requests)
    assert "evil" not in "".join(str(request.to) for request in peer.requests)


async def test_an_unchallenged_200_is_no_proof(world: World) -> None:
    users, peer, _ = world
    peer.answer = lambda request: (200, ())
    with pytest.raises(DriverError, match="without a challenge") as caught:
        await users.authenticate("a", "anything")
    assert not caught.value.temporary


async def test_a_challenge_of_another_realm_is_not_answered(world: World) -> None:
    users, peer, _ = world
    Registrar(peer, "evil.org", {"a": "p"})
    with pytest.raises(DriverError, match="evil.org"):
        await users.authenticate("a", "p")
    assert len(peer.requests) == 1


async def test_an_algorithm_that_we_do_not_have(world: World) -> None:
    users, peer, _ = world
    peer.answer = lambda request: (401, (("WWW-Authenticate", 'Digest realm="cc.com", nonce="1", algorithm=FOO'),))
    with pytest.raises(DriverError, match="algorithm"):
        await users.authenticate("a", "p")
    peer.answer = lambda request: (401, (("WWW-Authenticate", "Digest"),))
    with pytest.raises(DriverError, match="realm"):
        await users.authenticate("a", "p")


@pytest.mark.parametrize(
    "status, error, temporary",
    [(403, NotAuthenticated, None), (404, NotAuthenticated, None), (503, DriverError, True), (420, DriverError, False)],
)
async def test_other_answers(world: World, status: int, error: type[Exception], temporary: bool | None) -> None:
    users, peer, _ = world
    peer.answer = lambda request: (status, ())
    with pytest.raises(error) as caught:
        await users.authenticate("a", "p")
    if isinstance(caught.value, DriverError):
        assert caught.value.temporary is temporary


async def test_a_registrar_that_does_not_answer(world: World) -> None:
    users, peer, _ = world
    users._timeout = 0.05
    peer.answer = lambda request: (0, ())
    with pytest.raises(DriverError) as caught:
        await users.authenticate("a", "p")
    assert caught.value.temporary
    await peer.endpoint.close()
    with pytest.raises(DriverError) as caught:
        await users.authenticate("a", "p")
    assert caught.value.temporary


async def test_who_is_a_subscriber_is_unknown(world: World) -> None:
    users, _, _ = world
    identifier = parse_identifier("b@cc.com")
    assert identifier is not None
    assert (await users.lookup(identifier)).known == "unknown"
    assert not await users.taken("sip:b@cc.com")
