"""The table of subscribers in the configuration."""

from __future__ import annotations

import pytest

from gateway.config.users import Subscriber
from gateway.services import NotAuthenticated
from gateway.users.local import LocalUsers
from sipstack.sip.digest import compute_ha1
from translators.identifiers import parse_identifier

USERS = LocalUsers(
    [
        Subscriber(
            uid="a",
            password="pä:ss",
            identities=("tel:+15550100", "sip:a@CC.com"),
            name="Alice",
            level=3,
            emails=("Alice@cc.com",),
            phones=("+15550101",),
        ),
        Subscriber(uid="lost", password="x", identities=("sip:lost@cc.com",), state="lost"),
    ]
)


@pytest.mark.parametrize("user_id", ["a", "sip:a@cc.com", "a@cc.com", "sip:a@cc.COM", "+15550100", "tel:+15550100"])
async def test_uid_and_identities_prove_the_same(user_id: str) -> None:
    inviter = await USERS.authenticate(user_id, "pä:ss")
    assert (inviter.uid, inviter.sip, inviter.name, inviter.state, inviter.level) == (
        "a",
        "sip:a@CC.com",
        "Alice",
        "active",
        3,
    )


@pytest.mark.parametrize("user_id, password", [("a", "wrong"), ("a", ""), ("b", "pä:ss"), ("b", "\0"), ("", "")])
async def test_everything_wrong_looks_the_same(user_id: str, password: str) -> None:
    with pytest.raises(NotAuthenticated, match="The user or the password is wrong"):
        await USERS.authenticate(user_id, password)


@pytest.mark.parametrize(
    "text, known",
    [
        ("alice@cc.com", "yes"),
        ("+1 555 0101", "yes"),
        ("+15550100", "yes"),
        ("sip:a@cc.com", "yes"),
        ("a@cc.com", "no"),
        ("sip:b@cc.com", "no"),
    ],
)
async def test_lookup(text: str, known: str) -> None:
    identifier = parse_identifier(text)
    assert identifier is not None
    answer = await USERS.lookup(identifier)
    assert (answer.known, answer.sip) == (known, "sip:a@CC.com" if known == "yes" else None)


async def test_taken() -> None:
    assert await USERS.taken("sip:a@cc.com") and not await USERS.taken("sip:b@cc.com")
    await USERS.close()


async def test_states() -> None:
    assert await USERS.states(["a", "lost", "nobody"]) == {"a": "active", "lost": "lost"}


async def test_subscribers_can_prove_who_they_are_by_digest() -> None:
    known = await USERS.digest("sip:a@cc.com", "cc.com", "SHA-256")
    assert known is not None
    assert known[0] == compute_ha1("sip:a@cc.com", "cc.com", "pä:ss", "SHA-256")
    assert (known[1].uid, known[1].state) == ("a", "active")
    assert await USERS.digest("nobody", "cc.com", "MD5") is None
