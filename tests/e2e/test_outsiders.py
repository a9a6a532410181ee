"""What outsiders learn from a whole gateway about guests and subscribers: nothing.

Users drivers are tried one by one in tests/gateway/users/test_outsiders.py.
"""

from __future__ import annotations

import re
from typing import Any

from sipstack.sip.digest import Challenge, digest_response
from sipstack.sip.headers import quote
from tests.e2e.client import Answer
from tests.e2e.conftest import Start, one_core
from tests.e2e.world import World

CONTENT = "/rcsgw/content"
WRONG = "0" * 32


def seen(answer: Answer, *names: str) -> tuple[int, dict[str, str], str]:
    """Return an answer without what differs in any case: date, trace, nonces, and the name that was asked for."""
    headers = {name: re.sub('nonce="[^"]*"', "nonce", value) for name, value in answer.headers.items()}
    headers.pop("Date", None)
    text = re.sub(r"[0-9a-f]{32}", "", answer.text)
    for name in names:
        text = text.replace(name, "NAME")
    return answer.status, headers, text


@one_core
async def test_accounts_of_guests(start: Start) -> None:
    """The link, the log-in and every call of a guest: an account that is there and one that is not."""
    world = await start("[throttle]\nlogins = 1000\naddresses = 1000\n")
    guest = await world.guest("a")
    calls: list[tuple[str, str, Any]] = [
        ("POST", "/rcsgw/invitee/session/{account}", None),
        ("GET", "/rcsgw/invitee/session/{account}", None),
        ("DELETE", "/rcsgw/invitee/session/{account}", None),
        ("GET", "/rcsgw/invitee/status/sip:a@cc.com", None),
        ("GET", "/rcsgw/invitee/messages", None),
        ("POST", "/rcsgw/invitee/message", {"to": "sip:a@cc.com", "message": "x"}),
        ("GET", "/rcsgw/invitee/file/1", None),
    ]
    for method, path, body in calls:
        answers = []
        for account in (guest.account, "sip:z@cc.com"):
            http = world.http(account.partition(":")[2], WRONG)
            answers.append(seen(await http.call(method, path.format(account=account), body), account))
        assert answers[0] == answers[1] and answers[0][0] == 401, (method, path)
    assert (await guest.status()).status == 200, "the guest is still logged in"


@one_core
async def test_digest_of_subscribers(start: Start) -> None:
    """Uploads of devices to the content server."""
    world = await start('[throttle]\nlogins = 1000\naddresses = 1000\n[policy]\ntypes = ["im", "file"]\n')
    answers = [await upload(world, user) for user in ("a", "nobody", "sip:a@cc.com", "sip:nobody@cc.com")]
    assert len({repr(seen(answer)) for answer in answers}) == 1
    assert answers[0].status == 401


async def upload(world: World, user: str) -> Answer:
    """Ask whether one may upload, with a digest of a wrong password."""
    challenge = Challenge.parse((await world.http().call("POST", CONTENT)).headers["WWW-Authenticate"])
    response = digest_response(
        ha1="0" * 32,
        method="POST",
        uri=CONTENT,
        nonce=challenge.nonce,
        algorithm="MD5",
        qop="auth",
        nc="00000001",
        cnonce="c",
    )
    quoted = {"username": user, "realm": challenge.realm, "nonce": challenge.nonce, "uri": CONTENT, "cnonce": "c"}
    parts = [f"{name}={quote(value)}" for name, value in {**quoted, "response": response}.items()]
    value = f"Digest {', '.join(parts)}, algorithm=MD5, qop=auth, nc=00000001"
    return await world.http().call("POST", CONTENT, headers={"Authorization": value})
