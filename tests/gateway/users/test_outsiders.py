"""Nobody can tell an unknown user from a wrong password: same answer, same work, whichever driver is asked."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.services import Ended, NotAuthenticated
from gateway.storage.sqlite import SqliteStore
from gateway.users.base import DigestUsers
from tests.gateway.invitation_helpers import ALICE, House
from tests.gateway.users.front import USER, Front, Told, front
from tests.gateway.users.places import NUMBER, Place
from translators.model import InviteRequest

KNOWN_AND_NOT = [("a", "nobody"), ("a@cc.com", "b@cc.com"), (f"tel:{NUMBER}", "tel:+15559999999"), ("s", "t")]
"""The same kind of name, of a subscriber and of nobody."""

CALLS = [
    ("GET", USER, {}),
    ("POST", USER, {"email": "b@cc.com"}),
    ("GET", "/rcsgw/user/sip:a@cc.com", {}),
    ("POST", f"{USER}/sip:b@cc.com/resend", {}),
    ("GET", "/rcsgw/inviter/events", {}),
]


def seen(told: Told) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Return an answer without what differs from one to the next in any case."""
    headers = {name: value for name, value in told.headers.items() if name != "Date"}
    return told.status, headers, told.body | {"trace": ""}


async def worked(place: Place, act: Callable[..., Awaitable[Any]], *arguments: str) -> tuple[Any, Counter[str]]:
    """Return what a call gives, and the work that it made."""
    before = place.work()
    result = await act(*arguments)
    return result, place.work() - before


@pytest_asyncio.fixture
async def outside(users_place: Place, tmp_path: Path) -> AsyncIterator[Front]:
    settings = {"throttle__logins": 1000, "throttle__addresses": 1000}
    async with front(tmp_path / "front", users_place.driver, **settings) as place:
        yield place


async def test_the_same_answer_for_the_same_work(users_place: Place, outside: Front) -> None:
    """Body but for the trace, headers but for the date; and as many hashes, statements or requests."""
    for known, unknown in KNOWN_AND_NOT:
        wrong, work = await worked(users_place, outside.call, "GET", USER, known, "guess")
        nobody, other = await worked(users_place, outside.call, "GET", USER, unknown, "guess")
        assert wrong.status == 401 and seen(wrong) == seen(nobody), (known, unknown)
        assert work == other, (known, unknown)
        assert work or "tel:" in known and users_place.name == "register", "something was compared"
    for method, path, body in CALLS:
        wrong = await outside.call(method, path, "a", "guess", **body)
        nobody = await outside.call(method, path, "nobody", "guess", **body)
        assert wrong.status == 401 and seen(wrong) == seen(nobody), path
    assert (await outside.call("GET", USER, "a")).status == 200, "the right password would have been taken"


async def test_digest_too(users_place: Place) -> None:
    driver = users_place.driver
    if not isinstance(driver, DigestUsers):
        assert users_place.name in ("http", "register"), "who knows no password"
        return
    for known, unknown in KNOWN_AND_NOT:
        _, work = await worked(users_place, driver.digest, known, "cc.com", "MD5")
        nobody, other = await worked(users_place, driver.digest, unknown, "cc.com", "MD5")
        assert nobody is None and work and work == other, (known, unknown)


async def test_guests_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account that is not there, a secret that is wrong: as many looks into the store, and the same refusal."""
    house = await House(tmp_path).start()
    await house.invitations.invite(ALICE, InviteRequest(email="b@cc.com"))
    await house.until(lambda: bool(house.mailbox.orders))
    ours, reads = asyncio.current_task(), list[str]()
    read = SqliteStore._read

    async def counted(self: SqliteStore, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        if asyncio.current_task() is ours:  # deliveries go on meanwhile
            reads.append(function.__name__)
        return await read(self, function, *arguments, **named)

    monkeypatch.setattr(SqliteStore, "_read", counted)
    refusals = []
    for account in ("sip:b@cc.com", "sip:nobody@cc.com"):
        before = len(reads)
        with pytest.raises(NotAuthenticated) as caught:
            await house.invitations.check_secret(account, "0" * 32)
        refusals.append((str(caught.value), reads[before:]))
    assert refusals[0] == refusals[1] and refusals[0][1] == ["invited", "tombstone"]
    # the end of an invitation is told to who has its secret, and to nobody else
    await house.invitations.revoke(ALICE, "sip:b@cc.com")
    await house.gone()
    with pytest.raises(Ended):
        await house.invitations.check_secret("sip:b@cc.com", house.mailbox.secret)
    with pytest.raises(NotAuthenticated, match=refusals[0][0]):
        await house.invitations.check_secret("sip:b@cc.com", "0" * 32)
    await house.stop()
