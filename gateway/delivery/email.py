"""Links by e-mail: one SMTP transaction a message (RFC 5321)."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, localtime
from pathlib import Path
from typing import Any, Literal

import aiosmtplib

from gateway.delivery.base import DeliveryOrder
from gateway.delivery.texts import invitation_texts, one_line, words_of
from gateway.drivers import Checked, DriverError

PERMANENT = range(500, 600)

AUTHENTICATION_FAILED = frozenset({530, 534, 535, 538})
"""Final by their number, but it is our configuration that is wrong: an operator may put it right in time."""


class EmailDelivery:
    """:class:`gateway.delivery.base.DeliveryDriver` by SMTP."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        sender: str,
        security: Literal["none", "starttls", "tls"] = "none",
        username: str = "",
        password: str = "",
        ca_file: Path | None = None,
        timeout: float = 20.0,
    ) -> None:
        """``sender`` is the address that mails come from; ``ca_file`` replaces the system's certificate authorities;
        ``timeout`` are seconds for each step of the exchange. Raises OSError or ssl.SSLError for a bad ``ca_file``."""
        self._sender = sender
        self._host = host
        self._port = port
        self._security = security
        self._tls = ssl.create_default_context(cafile=ca_file) if security != "none" else None
        self._timeout = timeout
        self._login = (username, password) if username else None

    async def send(self, order: DeliveryOrder) -> tuple[str, ...]:
        """Hand the mail to the server. No receipt follows: what bounces goes to the mailbox of the sender."""
        client = self._client()
        try:
            message = compose(order, self._sender)
            await client.connect()
            await client.send_message(message, sender=self._sender, recipients=[order.address])
        except asyncio.CancelledError:
            client.close()
            if client.handing_over:
                raise
            raise DriverError("stopped before the server was given the mail", temporary=True) from None
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise _driver_error(error, handing_over=client.handing_over) from error
        finally:
            await _leave(client)
        return ()

    async def check(self, recipient: str = "") -> Checked:
        """Connect and log in as for a mail; with a ``recipient`` ask whether one would be taken, and send none
        (:class:`gateway.drivers.Checkable`)."""
        client = self._client()
        try:
            await client.connect()
            if recipient:
                await client.mail(self._sender)
                await client.rcpt(recipient)
                await client.rset()
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise _driver_error(error, handing_over=False) from error
        finally:
            await _leave(client)
        security = {"none": "without TLS", "starttls": "STARTTLS", "tls": "TLS"}[self._security]
        login = f"logged in as {self._login[0]}" if self._login else "no login"
        taken = f", would take a mail to {recipient}" if recipient else ""
        return Checked(f"{self._host}:{self._port} answers, {security}, {login}{taken}")

    async def close(self) -> None:
        """Hold nothing: each mail has a connection of its own."""

    def _client(self) -> _Client:
        username, password = self._login or (None, None)
        return _Client(
            hostname=self._host,
            port=self._port,
            use_tls=self._security == "tls",
            start_tls=self._security == "starttls",
            tls_context=self._tls,
            timeout=self._timeout,
            username=username,
            password=password,
        )


class _Client(aiosmtplib.SMTP):
    """Knows whether the server may have the mail."""

    handing_over = False

    async def data(self, *arguments: Any, **options: Any) -> aiosmtplib.SMTPResponse:
        self.handing_over = True
        return await super().data(*arguments, **options)


def compose(order: DeliveryOrder, sender: str) -> EmailMessage:
    """Return the mail for an order: plain text and HTML, headers of RFC 5322, marked as sent by a machine (RFC 3834).

    Nothing in the order can add a header: breaks are taken out, and the e-mail package refuses what is left of them.
    """
    texts = invitation_texts(order)
    user, _, domain = sender.rpartition("@")
    message = EmailMessage(policy=SMTP)
    message["From"] = Address(one_line(order.inviter), user, domain)
    message["To"] = Address(addr_spec=order.address)
    message["Subject"] = texts.subject
    message["Date"] = format_datetime(localtime())
    message["Message-ID"] = order.message_id
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(texts.text)
    message.add_alternative(texts.html, subtype="html")
    # last: set_content() takes away what begins with Content-
    message["Content-Language"] = words_of(order).language
    return message


async def _leave(client: aiosmtplib.SMTP) -> None:
    """QUIT; what goes wrong now changes nothing about what the server has said before."""
    with contextlib.suppress(aiosmtplib.SMTPException, OSError):
        await client.quit()
    client.close()


def _driver_error(error: Exception, *, handing_over: bool) -> DriverError:
    """Tell final refusals from what may pass; anything but a 5xx answer may.

    A connection that is lost behind DATA leaves open whether the server has taken the mail (:rfc:`1047`).
    """
    code = getattr(error, "code", 0)
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        code = max((refused.code for refused in error.recipients), default=0)
    if isinstance(error, ValueError) and not isinstance(error, (OSError, UnicodeError)):
        return DriverError(f"The mail cannot be written: {error}", temporary=False)
    final = code in PERMANENT and code not in AUTHENTICATION_FAILED
    certain = not handing_over or isinstance(error, aiosmtplib.SMTPResponseException)
    return DriverError(one_line(f"{type(error).__name__}: {error}")[:300], temporary=not final, certain=certain)
