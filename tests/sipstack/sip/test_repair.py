"""What is sent once more in another form: A-UAC-09."""

from __future__ import annotations

import pytest

from sipstack.sip.message import Request, Response
from sipstack.sip.repair import repair

RELATED = 'multipart/related;boundary="x"'
PARTS = (
    b"--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n"
    b"\r\n--x\r\nContent-Type: image/png\r\nContent-ID: <i@x>\r\n\r\nPNG\r\n--x--\r\n"
)


def invite(*headers: tuple[str, str], uri: str = "sip:a@x", body: bytes = b"") -> Request:
    return Request("INVITE", uri, [("From", "<sip:b@ims.example>;tag=1"), ("To", f"<{uri}>"), *headers], body)


def refused(status: int, *headers: tuple[str, str]) -> Response:
    return Response(status, None, headers)


def test_420_leaves_out_what_is_unsupported() -> None:
    only = repair(invite(("Require", "100rel"), ("Supported", "path")), refused(420, ("Unsupported", "100rel")))
    assert only is not None and only.headers.items() == invite(("Supported", "path")).headers.items()
    request = invite(("Require", "100rel, timer"), ("Proxy-Require", "sec-agree"), ("Supported", "path, 100REL"))
    again = repair(request, refused(420, ("Unsupported", "100rel"), ("Unsupported", "sec-agree")))
    assert again is not None
    assert again.headers.get_list("Require") == ["timer"]
    assert "Proxy-Require" not in again.headers
    assert again.headers.get_list("Supported") == ["path"]
    assert request.headers.get_list("Require") == ["100rel", "timer"]


def test_420_about_what_we_did_not_require() -> None:
    assert repair(invite(("Supported", "path")), refused(420, ("Unsupported", "path"))) is None
    assert repair(invite(("Require", "path")), refused(420)) is None


def test_415_sends_the_part_that_is_accepted() -> None:
    request = invite(("Content-Type", RELATED), body=PARTS)
    again = repair(request, refused(415, ("Accept", "text/plain, Application/SDP;level=1")))
    assert again is not None
    assert (again.headers.get("Content-Type"), again.body) == ("application/sdp", b"v=0\r\n")
    assert repair(request, refused(415, ("Accept", "text/plain"))) is None
    assert repair(request, refused(415, ("Accept-Encoding", "identity"))) is None


@pytest.mark.parametrize(
    "request_",
    [
        invite(("Content-Type", "application/sdp"), body=b"v=0\r\n"),
        invite(("Content-Type", "multipart/mixed"), body=PARTS),
        invite(),
    ],
)
def test_bodies_with_no_parts_cannot_be_sent_in_parts(request_: Request) -> None:
    assert repair(request_, refused(415, ("Accept", "application/sdp"))) is None
    assert repair(request_, refused(413)) is None


def test_413_shortens_unless_the_time_for_it_comes() -> None:
    request = invite(("Content-Type", RELATED), body=PARTS)
    again = repair(request, refused(413))
    assert again is not None and again.body == b"v=0\r\n"
    assert repair(request, refused(413, ("Retry-After", "10"))) is None


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("tel:+49-151-1;ext=7;x", "sip:+49-151-1;ext=7;x@ims.example;user=phone"),
        ("sip:a@x", None),
        ("sips:a@x", None),
    ],
)
def test_416_by_a_sip_uri(uri: str, expected: str | None) -> None:
    again = repair(invite(uri=uri), refused(416))
    assert (again and again.uri_text) == expected
    if again is not None:
        assert again.to.uri.scheme == "tel"


def test_416_of_somebody_without_a_domain() -> None:
    request = invite(uri="tel:+1")
    request.headers.set("From", "<tel:+2>;tag=1")
    assert repair(request, refused(416)) is None


@pytest.mark.parametrize("status", [200, 302, 403, 488, 500, 503, 600])
def test_nothing_else_is_repaired(status: int) -> None:
    assert repair(invite(("Require", "100rel")), refused(status, ("Unsupported", "100rel"))) is None
