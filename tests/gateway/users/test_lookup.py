"""Step 1 of the registration flow with every users driver: A's client asks whether B is a subscriber."""

from __future__ import annotations

from pathlib import Path

from tests.gateway.users.front import front
from tests.gateway.users.places import NUMBER, Place

SUBSCRIBERS = ("alice@mail.example", NUMBER, f"tel:{NUMBER}", "sip:a@cc.com")
OTHERS = ("b@mail.example", "+12015550199", "sip:b@cc.com")


async def test_is_this_a_subscriber(users_place: Place, tmp_path: Path) -> None:
    """200 with the SIP URI, 404, or 200 ``unknown`` where nobody can tell; a guest is none in any case."""
    tells = users_place.name != "register"
    async with front(tmp_path / "front", users_place.driver) as place:
        for text in SUBSCRIBERS:
            found = await place.call("GET", f"/rcsgw/user/{text}", "a")
            expected = ("yes", "sip:a@cc.com") if tells else ("unknown", None)
            assert (found.status, found.body["known"], found.body.get("sip")) == (200, *expected), text
        for text in OTHERS:
            other = await place.call("GET", f"/rcsgw/user/{text}", "a")
            assert (other.status, other.type) == ((404, "not-found") if tells else (200, "")), text
        for text in ("no address", "12", "sip:"):
            assert (await place.call("GET", f"/rcsgw/user/{text}", "a")).status == 422, text
        account = (await place.invite("a")).body["account"]
        guest = await place.call("GET", f"/rcsgw/user/{account}", "a")
        assert (guest.status, guest.type) == (404, "not-found")


async def test_subscribers_are_not_invited(users_place: Place, tmp_path: Path) -> None:
    """409 with whom to call; where nobody can tell the operator decides."""
    async with front(tmp_path / "front", users_place.driver, users__on_unknown="refuse") as place:
        told = await place.invite("a", "alice@mail.example")
        if users_place.name == "register":
            assert (told.status, told.type) == (403, "forbidden")
        else:
            assert (told.status, told.type, told.body["sip_uri"]) == (409, "already-subscriber", "sip:a@cc.com")
            assert (await place.invite("a")).status == 201
