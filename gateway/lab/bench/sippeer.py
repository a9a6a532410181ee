"""What :mod:`gateway.lab.bench.sip` measures, done with the package ``sipmessage``."""

from __future__ import annotations

from collections.abc import Iterable

from sipmessage import URI, Message, Request, Response

from gateway.lab.bench.sip import Fields, Seen

COPIED = ("Via", "From", "To", "Call-ID", "CSeq")
"""What a response has from its request."""


def read(messages: Iterable[bytes]) -> list[Seen]:
    """Read INVITEs."""
    seen: list[Seen] = []
    for octets in messages:
        message = Message.parse(octets)
        sender, receiver, cseq, contact = message.from_address, message.to_address, message.cseq, message.contact[0]
        tags = sender.parameters.get("tag"), receiver.parameters.get("tag")
        ends = (sender.uri.user, tags[0], receiver.uri.user, tags[1])
        branch = message.via[0].parameters.get("branch")
        seen.append((branch, *ends, cseq.sequence, cseq.method, contact.uri.user))
    return seen


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
