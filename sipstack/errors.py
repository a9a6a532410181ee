"""The errors of the stack, one small tree:

SipstackError
├── LocalProtocolError            we asked for something that the state forbids
│   └── RequestTooLarge           a MESSAGE longer than may be sent; it was not
├── RemoteProtocolError           the peer sent something illegal; ``status`` suggests the answer
│   ├── ParseError                ``what`` did not parse, at which ``offset``
│   │   └── MessageTooLarge
│   └── UnexpectedMessage         well formed, but no transaction, dialog or session wants it
├── TransactionTimeout            no final answer in time: the outcome is not known
├── RequestFailed                 ``response`` is a final 3xx-6xx
└── ConnectionClosed              the transport is gone
"""

from __future__ import annotations

from typing import Any


class SipstackError(Exception):
    """Base of everything that this package raises."""


class LocalProtocolError(SipstackError):
    """We asked for something that the state of a transaction, dialog or session forbids."""


class RequestTooLarge(LocalProtocolError):
    """A MESSAGE outside of a session exceeds what may be sent (:rfc:`3428#section-8`): nothing was delivered.

    ``size`` and ``limit`` count the octets of the whole request, with credentials.
    """

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"MESSAGE of {size} octets, {limit} are allowed")
        self.size = size
        self.limit = limit


class RemoteProtocolError(SipstackError):
    """The peer broke a rule. ``status`` is the SIP or MSRP code to answer with."""

    status = 400

    def __init__(self, text: str, *, status: int | None = None) -> None:
        super().__init__(text)
        if status is not None:
            self.status = status


class ParseError(RemoteProtocolError):
    """Bytes do not follow the grammar. ``what`` names the header or element, ``offset`` the octet if it is known.

    ``message`` holds what could be read of the broken message, so that a request can still be answered.
    """

    def __init__(
        self,
        what: str,
        detail: str = "is malformed",
        *,
        offset: int | None = None,
        status: int | None = None,
        message: Any = None,
    ) -> None:
        super().__init__(f"{what} {detail}", status=status)
        self.what = what
        self.offset = offset
        self.message = message


class MessageTooLarge(ParseError):
    """A limit of the parser was exceeded (RFC 3261 §21.5.7)."""

    status = 513


class UnexpectedMessage(RemoteProtocolError):
    """A well-formed message that fits no transaction, dialog or session (RFC 3261 §12.2.2)."""

    status = 481


class TransactionTimeout(SipstackError):
    """No final response came in time. Whether the request took effect is not known (``certain`` is False)."""

    certain = False


class RequestFailed(SipstackError):
    """A final response other than 2xx; ``response`` holds it."""

    certain = True

    def __init__(self, response: Any) -> None:
        super().__init__(f"{response.status} {response.reason}")
        self.response = response


class ConnectionClosed(SipstackError):
    """The transport could not be opened or is gone. ``certain``: the request surely did not take effect."""

    def __init__(self, text: str, *, certain: bool = False) -> None:
        super().__init__(text)
        self.certain = certain
