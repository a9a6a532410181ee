"""Mails through a real mail server: Debian's Postfix, with STARTTLS, a password, and a mailbox that is read back."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.delivery.email import EmailDelivery
from gateway.drivers import DriverError
from tests.gateway.delivery.test_texts import LINK, order
from tests.interop import postfix
from tests.interop.postfix import HOST, PASSWORD, USER, Postfix

pytestmark = pytest.mark.interop


async def test_mails() -> None:
    """Taken, refused for now and refused for good; in one test, as Postfix takes seconds to start."""
    if reason := postfix.missing():
        pytest.skip(reason)
    async with Postfix() as server:

        def driver(**changes: Any) -> EmailDelivery:
            options: dict[str, Any] = {"host": HOST, "port": server.port, "sender": "rcsgw@example.com"}
            options |= {"security": "starttls", "username": USER, "password": PASSWORD}
            return EmailDelivery(**options | {"ca_file": server.certificate} | changes)

        async def refused(address: str = "b@example.com", **changes: Any) -> DriverError:
            with pytest.raises(DriverError) as caught:
                await driver(**changes).send(order(address=address))
            assert LINK not in str(caught.value)
            return caught.value

        full = await refused("full@example.com")
        assert full.temporary and "mailbox full" in str(full)
        gone = await refused("gone@example.com")
        assert not gone.temporary and "no such user" in str(gone)
        assert (await refused(password="wrong")).temporary, "an operator can put the password right"
        assert (await refused(ca_file=None)).temporary, "a certificate of nobody we trust"
        unencrypted = await refused(security="none", username="", password="")
        assert "STARTTLS" in str(unencrypted)
        assert server.mails() == []

        invitation = order(
            address="b@example.com", inviter="王小明 <x>", language="zh", note="你好\r\nBcc: c@example.com"
        )
        assert await driver().send(invitation) == ()
        mail = await server.mail()
        text = mail.get_body(("plain",))
        assert text is not None and LINK in text.get_content() and "你好 Bcc" in text.get_content()
        assert mail["Message-ID"] == invitation.message_id and mail["From"].addresses[0].display_name == "王小明 <x>"
        assert mail["Bcc"] is None and mail["Delivered-To"] == "b@example.com"
        assert "with ESMTPSA" in str(mail["Received"]), "encrypted and authenticated"
