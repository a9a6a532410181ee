"""Feed the readers of message contents and session descriptions with broken input: accepted, or a typed error.

Run it from the top of the repository: ``python -m scripts.fuzz_im --count 20000 --seed 7``. The same seed gives the
same octets. What breaks a rule is printed as a Python literal, ready for a regression test; the exit status is 1 then.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

from scripts import fuzzing
from sipstack import sdp_cema
from sipstack.errors import LocalProtocolError, RemoteProtocolError
from sipstack.filename import safe_name
from sipstack.im import multipart
from sipstack.im.cpim import CpimMessage
from sipstack.im.fthttp import FtHttp, ResumeInfo
from sipstack.im.imdn import Imdn, ImdnRequest, is_notification_type
from sipstack.im.iscomposing import IsComposing, is_composing_type
from sipstack.net.body import body_parts
from sipstack.sdp import SessionDescription
from sipstack.sdp_file import FileAttributes
from sipstack.sdp_msrp import TCP_MSRP, TLS_MSRP, msrp_media
from sipstack.sip.message import Request


def document(parse: Callable[[bytes], Any]) -> fuzzing.Check:
    """Return a check of documents: what is accepted is written again and means the same."""
    name = parse.__qualname__.partition(".")[0]

    def check(chance: random.Random, data: bytes) -> str:
        try:
            parsed = parse(data)
        except RemoteProtocolError as error:
            assert error.status in (400, 413), error.status
            return f"{name} {error.status}"
        try:
            written = bytes(parsed)
        except LocalProtocolError:
            return f"{name} accepted, not to be written"
        assert parse(written) == parsed, "what we write reads differently"
        return f"{name} accepted"

    return check


def check_cpim(chance: random.Random, data: bytes) -> str:
    """Parse ``data``, look at everything, and read what it holds."""
    try:
        message = CpimMessage.parse(data)
    except RemoteProtocolError as error:
        assert error.status in (400, 413, 415), error.status
        return f"cpim {error.status}"
    assert bytes(message) == data
    for value in (message.subject, message.datetime, message.imdn_message_id):
        assert value is None or value.encode() is not None, "a value that can't be written"
    ImdnRequest.of(message)
    try:
        if is_notification_type(message.content_type):
            Imdn.parse(message.content)
        elif is_composing_type(message.content_type):
            IsComposing.parse(message.content)
    except RemoteProtocolError as error:
        return f"cpim with content {error.status}"
    return "cpim accepted"


def check_sdp(chance: random.Random, data: bytes) -> str:
    """Parse ``data``, write it and parse it again."""
    try:
        description = SessionDescription.parse(data)
        assert SessionDescription.parse(str(description)) == description
        for medium in description.media:
            attributes = FileAttributes.of(medium)
            if attributes is not None:
                name = safe_name(attributes.selector.name)
                assert name and "/" not in name and name not in (".", "..") and safe_name(name) == name
                attributes.attributes()
        remote = msrp_media(description, protocols=(TCP_MSRP, TLS_MSRP))
        for name in sdp_cema.unresolved_names(remote):
            sdp_cema.matches(remote, {name: ["192.0.2.1"]})
        sdp_cema.must_refuse(remote)
    except RemoteProtocolError as error:
        assert error.status in (400, 488), error.status
        return f"sdp {error.status}"
    except LocalProtocolError:
        return "sdp with a file, not to be written"
    return "sdp accepted"


def check_parts(chance: random.Random, data: bytes) -> str:
    """Take ``data`` as the body of a SIP request in several parts."""
    kind = chance.choice(("mixed", "related", "alternative"))
    request = Request("INVITE", "sip:a@b.example")
    request.headers.add("Content-Type", f'multipart/{kind};boundary="limit"')
    request.body = data
    try:
        parts = body_parts(request)
    except RemoteProtocolError as error:
        return f"parts {error.status}"
    assert sum(len(part.body) for part in parts) <= len(data)
    return f"{min(len(parts), 5)} parts"


def check_multipart(chance: random.Random, data: bytes) -> str:
    """Take ``data`` as a message in several parts."""
    kind = chance.choice(("mixed", "alternative"))
    try:
        part = multipart.choose(f"multipart/{kind}; boundary=limit", data, lambda inner: inner.startswith("text/"))
    except RemoteProtocolError as error:
        assert error.status in (400, 413), error.status
        return f"multipart {error.status}"
    assert part is None or len(part.body) <= 2 * len(data)
    return f"multipart {'of nothing for us' if part is None else 'accepted'}"


def xml(root: str, namespace: str, content: str) -> bytes:
    """Return a document."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{namespace}">{content}</{root}>'.encode()


IMDN_NS, COMPOSING_NS = "urn:ietf:params:xml:ns:imdn", "urn:ietf:params:xml:ns:im-iscomposing"
IMDN = [
    xml("imdn", IMDN_NS, f"<message-id>34jk324j</message-id><datetime>2026-11-22T10:15:30Z</datetime>{status}")
    for status in (
        "<delivery-notification><status><delivered/></status></delivery-notification>",
        "<display-notification><status><displayed/></status></display-notification>",
        "<recipient-uri>im:b@x</recipient-uri><processing-notification><status><stored/></status>"
        "</processing-notification>",
        "<delivery-notification><status><failed/></status><x:y xmlns:x='urn:x' a='1'>&amp;&lt;</x:y>"
        "</delivery-notification>",
    )
]
COMPOSING = [
    xml("isComposing", COMPOSING_NS, "<state>active</state><contenttype>text/plain</contenttype><refresh>90</refresh>"),
    xml("isComposing", COMPOSING_NS, "<state>idle</state><lastactive>2026-11-22T10:15:30Z</lastactive>"),
    b'<i:isComposing xmlns:i="urn:ietf:params:xml:ns:im-iscomposing"><i:state>x</i:state><!-- c --></i:isComposing>',
    b'<!DOCTYPE a [<!ENTITY b "cccc">]><isComposing>&b;</isComposing>',
]
FILE_NS = "urn:gsma:params:xml:ns:rcs:rcs:fthttp"
FTHTTP = [
    xml(
        "file",
        FILE_NS,
        '<file-info type="thumbnail"><file-size>7427</file-size><content-type>image/jpg</content-type>'
        '<data url="https://ft.example/t" until="2026-12-01T00:00:00Z"/></file-info><file-info type="file">'
        "<file-size>183524</file-size><file-name>DSC%20379395051.JPG</file-name><content-type>image/jpeg</content-type>"
        '<data url="https://ft.example/f" until="2026-12-01T00:00:00Z"/></file-info>',
    ),
    xml(
        "file",
        FILE_NS,
        '<file-info type="file" file-disposition="render; timelen=12"><file-size>1</file-size>'
        '<content-type>audio/amr</content-type><data url="http://x/y" until=""/></file-info>',
    ),
]
RESUME = [
    xml(
        "file-resume-info",
        "",
        '<file-range start="0" end="4095"/><data url="https://ft.example/u"/>',
    )
]
SDP_FILE = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=message 7394 TCP/MSRP *\r\n"
    b"a=sendonly\r\na=accept-types:*\r\na=path:msrp://192.0.2.1:7394/2s93i9;tcp\r\n"
    b'a=file-selector:name:"My cool picture.jpg" type:image/jpeg;a="b" size:32349 '
    b"hash:sha-1:72:24:5F:E8:65:3D:DA:F3:71:36:2F:86:D4:71:91:3E:E4:A2:CE:2E\r\n"
    b"a=file-transfer-id:vBnG916bdberum2fFEABR1FR3ExZMUrd\r\na=file-disposition:render\r\na=file-range:1-32349\r\n"
    b'a=file-date:creation:"Mon, 15 May 2006 15:01:31 +0300"\r\na=file-icon:cid:id2@alicepc.example.com\r\n'
)
PARTS = [
    b"--limit\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--limit\r\nContent-Type: message/cpim\r\n"
    b"Content-ID: <a@b>\r\nContent-Disposition: render;handling=optional\r\n\r\nhello\r\n--limit--\r\n",
    b"preamble\r\n--limit\r\n\r\nno headers\r\n--limit \r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n\r\n--limit--",
]
NESTED = [
    b'--limit\r\nContent-Type: multipart/alternative; boundary="in"\r\n\r\n--in\r\nContent-Type: text/plain\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--in\r\nContent-Type: text/html\r\n\r\n<b>\r\n--in--\r\n"
    b"--limit\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe\r\n--limit--"
]
CPIM = [
    b"From: <sip:a@b>\r\nTo: <sip:c@d>\r\nNS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: abcd\r\n"
    b"DateTime: 2026-11-22T10:15:30Z\r\nimdn.Disposition-Notification: positive-delivery, display\r\n"
    b"imdn.IMDN-Record-Route: <sip:x@y>\r\n\r\nContent-Type: %b\r\nContent-Disposition: notification\r\n\r\n%b"
    % (content_type, content)
    for content_type, content in ((b"message/imdn+xml", IMDN[0]), (b"application/im-iscomposing+xml", COMPOSING[0]))
]

CHECKS = {
    "cpim": check_cpim,
    "imdn": document(Imdn.parse),
    "iscomposing": document(IsComposing.parse),
    "fthttp": document(FtHttp.parse),
    "resume": document(ResumeInfo.parse),
    "sdp": check_sdp,
    "parts": check_parts,
    "multipart": check_multipart,
}
CORPORA = {
    "cpim": fuzzing.vectors("cpim") + CPIM,
    "imdn": IMDN,
    "iscomposing": COMPOSING,
    "fthttp": FTHTTP,
    "resume": RESUME,
    "sdp": [*fuzzing.vectors("sdp"), *(3 * [SDP_FILE])],
    "parts": PARTS,
    "multipart": PARTS + NESTED,
}


if __name__ == "__main__":
    sys.exit(fuzzing.run(__doc__, CHECKS, CORPORA))
