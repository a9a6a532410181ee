"""What went wrong is told in words for people."""

from __future__ import annotations

import pytest

from gateway.clients.errors import Unreachable
from gateway.clients.rcsguest import RcsGuest
from gateway.lab.ports import free_port


async def test_nobody_listens() -> None:
    port = free_port()
    with pytest.raises(Unreachable) as caught:
        async with RcsGuest(f"http://127.0.0.1:{port}/rcsgw/invitee/session/sip:b@cc.com#passwd=x"):
            pass
    assert str(caught.value) == f"no gateway answers at 127.0.0.1:{port}: Connection refused"


def test_an_error_without_words_has_its_name() -> None:
    assert str(Unreachable.by(TimeoutError())) == "the gateway does not answer: TimeoutError"
