"""What :mod:`gateway.lab.bench.sip` measures, done with the package ``sipmessage``."""

from __future__ import annotations

from collections.abc import Iterable

from sipmessage import URI, Address, CSeq, Message, Request, Response

from gateway.lab.bench.sip import Fields, Seen

COPIED = ("Via", "From", "To", "Call-ID", "CSeq")
"""What a response has from its request."""


def read(octets: bytes) -> tuple[str | None, Address, Address, CSeq, list[Address]]:
    """Read an INVITE; return its Via branch, From, To, CSeq and Contacts."""
    message = Message.parse(octets)
    branch = message.via[0].parameters.get("branch")
    return branch, message.from_address, message.to_address, message.cseq, message.contact


def seen(octets: bytes) -> Seen:
    """Return what :func:`read` has read, to be compared."""
    branch, sender, receiver, cseq, contacts = read(octets)
    ends = sender.uri.user, sender.parameters.get("tag"), receiver.uri.user, receiver.parameters.get("tag")
    return branch, *ends, cseq.sequence, cseq.method, contacts[0].uri.user


def parse(messages: Iterable[bytes]) -> list[Request | Response]:
    """Return the messages unread."""
    return [Message.parse(octets) for octets in messages]


def write(invitations: list[Request | Response], requests: list[Fields]) -> list[bytes]:
    """Answer the invitations and make the requests; return what goes to the wire."""
    written = []
    for invitation in invitations:
        response = Response(200, "OK")
        for name in COPIED:
            response.headers.setlist(name, invitation.headers.getlist(name))
        response.headers.set("To", invitation.headers["To"] + ";tag=a6c85cf0c6d30a31")
        response.headers.add("Contact", "<sip:bob@192.0.2.4>")
        response.headers.add("Server", "bench")
        response.headers.add("Content-Length", "0")
        written.append(bytes(response))
    for uri, fields, body in requests:
        request = Request("MESSAGE", URI.parse(uri), body)
        for name, value in fields:
            request.headers.add(name, value)
        written.append(bytes(request))
    return written
