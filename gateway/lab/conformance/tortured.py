"""A torture message made fit to be sent: to this target, from this address, and only once."""

from __future__ import annotations

import re

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.peer import Peer
from gateway.lab.conformance.torture import NAMES, Vector, read_foreign
from sipstack import ids

_HEAD_END = b"\r\n\r\n"

# The top Via: protocol, transport, host and port. White space may stand wherever the grammar has it, and it does.
_TOP_VIA = re.compile(
    rb"(?im)^(v|via)([ \t]*:\s*SIP\s*/\s*[\d.]+\s*/\s*)(\w+)(\s+)(\[[^\]]*\]|[^\s;,:\[]+)(?:(\s*:\s*0*)\d+)?"
)
_BRANCH = re.compile(rb"z9hG4bK(?=[^\s;,])")
_CALL_ID = re.compile(rb"(?im)^(i|call-id)([ \t]*:[ \t]*)")


def fitted(bench: Bench, peer: Peer, vector: Vector) -> bytes:
    """Return the octets of a message with the target's names in it, our address in the top Via, a Call-ID of its own.

    What is odd about the message stays. The RFC's own file is taken where a folder of them was given; its names stay.
    """
    folder = bench.options.vectors
    octets = vector.octets if folder is None else read_foreign(folder, vector.name)
    head, separator, body = octets.partition(_HEAD_END)
    if folder is None:
        head = _with_names(bench, head)
    port = str(peer.address[1]).encode()

    def via(match: re.Match[bytes]) -> bytes:
        name, protocol, _, space, host, colon = match.groups()
        return b"".join((name, protocol, peer.transport.encode(), space, host, colon or b":", port))

    token = ids.token(64).encode()
    head = _TOP_VIA.sub(via, head, count=1)
    head = _BRANCH.sub(b"z9hG4bK" + token, head, count=1)
    head = _CALL_ID.sub(rb"\g<1>\g<2>" + token, head)
    return head + separator + body


def _with_names(bench: Bench, head: bytes) -> bytes:
    """Put user and domain of the target where ours stand, as whole names only."""
    domain = bench.target.uri.host + (f":{bench.target.uri.port}" if bench.target.uri.port else "")
    user = f"{bench.target.uri.user}@" if bench.target.uri.user else ""
    for name, ours in zip(NAMES, (user + domain, domain), strict=True):
        head = re.sub(rb"(?<![\w.%;-])" + re.escape(name.encode()), ours.encode(), head)
    return head
