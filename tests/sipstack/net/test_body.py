from __future__ import annotations

import pytest

from sipstack.errors import RemoteProtocolError
from sipstack.im.multipart import MAX_PARTS
from sipstack.net.body import Part, body_parts, find_part, first_message, sdp_of, with_icon
from sipstack.sip.message import Request


def message(body: bytes, content_type: str | None) -> Request:
    headers = [] if content_type is None else [("Content-Type", content_type)]
    return Request("INVITE", "sip:a@b", headers, body)


def multipart(*parts: bytes) -> Request:
    body = b"".join(b"--b 1\r\n" + part + b"\r\n" for part in parts) + b"--b 1--\r\n"
    return message(body, 'multipart/mixed; boundary="b 1"')


SDP = b"Content-Type: application/sdp\r\n\r\nv=0\r\n"
TEXT = b"content-type: message/CPIM\r\nContent-Length: 5\r\n\r\n\x00\r\n--b"


def test_plain_and_empty() -> None:
    assert body_parts(message(b"", "application/sdp")) == []
    assert body_parts(message(b"v=0", None)) == []
    assert sdp_of(message(b"v=0", "Application/SDP")) == b"v=0"
    assert first_message(message(b"v=0", "application/sdp")) is None


def test_parts_are_cut_at_whole_delimiters_only() -> None:
    request = multipart(SDP, TEXT)
    assert body_parts(request) == [
        Part("application/sdp", b"v=0\r\n"),
        Part("message/CPIM", b"\x00\r\n--b"),
    ]
    assert sdp_of(request) == b"v=0\r\n"
    first = first_message(request)
    assert first is not None and first.media_type == "message/cpim"


def test_optional_parts_are_skipped_others_refused() -> None:
    optional = b"Content-Type: x/y\r\nContent-Disposition: icon;\r\n handling=optional\r\n\r\nz"
    assert sdp_of(multipart(optional, SDP)) == b"v=0\r\n"
    assert sdp_of(multipart(optional)) is None
    with pytest.raises(RemoteProtocolError) as caught:
        sdp_of(multipart(b"Content-Type: x/y\r\n\r\nz", SDP))
    assert caught.value.status == 415


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (message(b"--b\r\n", "multipart/mixed"), 400),
        (message(b"--b\r\nContent-Type: a/b\r\n\r\nx", "multipart/mixed;boundary=b"), 400),
        (message(b"--b\r\nno content\r\n--b--", "multipart/mixed;boundary=b"), 415),
        (multipart(*[SDP] * (MAX_PARTS + 1)), 413),
        (message(b"--\xff\r\n", 'multipart/mixed;boundary="\udcff"'), 400),
    ],
)
def test_broken_multipart(request_: Request, status: int) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        sdp_of(request_)
    assert caught.value.status == status


ICON = b"Content-Type: image/png\r\nContent-ID: <i@h>\r\nContent-Disposition: icon\r\n\r\n\x89PNG\r\n"


def related(*parts: bytes, start: str = "") -> Request:
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"
    return message(body, f'Multipart/Related;type="application/sdp";boundary=b{start}')


def test_a_description_and_its_icon_are_written_and_read() -> None:
    """D-FTM-10: multipart/related, the SDP is the root, the icon has its Content-ID."""
    content_type, body = with_icon(b"v=0\r\n", "i@h", "image/png", b"\x89PNG\r\n--")
    assert content_type.startswith('multipart/related;type="application/sdp";boundary=')
    request = message(body, content_type)
    assert sdp_of(request) == b"v=0\r\n"
    icon = find_part(request, "i@h")
    assert icon == Part("image/png", b"\x89PNG\r\n--", True, "i@h")
    assert find_part(request, "other@h") is None


def test_the_root_is_the_first_part_or_the_one_that_start_names() -> None:
    """D-FTM-10: :rfc:`2387`."""
    sdp = b"Content-ID:<s@h>\r\n" + SDP
    plain = b"Content-Type: text/plain\r\n\r\nx"
    assert sdp_of(related(sdp, plain, ICON)) == b"v=0\r\n"
    assert [part.content_id for part in body_parts(related(ICON, sdp, start=';start="<s@h>"'))] == ["s@h", "i@h"]
    assert [part.content_id for part in body_parts(related(ICON, sdp, start=";start=none"))] == ["i@h", "s@h"]
    with pytest.raises(RemoteProtocolError) as caught:
        sdp_of(related(plain, sdp))
    assert caught.value.status == 415


def test_an_icon_may_come_in_multipart_mixed_and_in_base64() -> None:
    """D-FTM-10: as several clients send it."""
    icon = ICON.replace(b"Content-ID", b"Content-Transfer-Encoding: Base64\r\nContent-ID").replace(
        b"\x89PNG", b"iVBORw=="
    )
    request = multipart(SDP, icon)
    assert sdp_of(request) == b"v=0\r\n"
    assert find_part(request, "i@h") == Part("image/png", b"\x89PNG", True, "i@h")
    with pytest.raises(RemoteProtocolError, match="not base64"):
        body_parts(multipart(icon.replace(b"iVBORw==", b"iVBOR")))
