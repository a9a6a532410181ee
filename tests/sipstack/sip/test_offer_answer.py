"""Offers and answers in a dialog: who may offer, who gets 491, who 500 (A-OA-03, A-OA-05, A-INV-06)."""

from __future__ import annotations

import pytest

from sipstack.errors import LocalProtocolError, UnexpectedMessage
from sipstack.sip.dialog import Dialog, RequestTooEarly
from sipstack.sip.message import Request, Response

from .helpers import make_request

SDP = [("Content-Type", "application/sdp")]
RELIABLE = [("Require", "100rel"), ("RSeq", "1")]


def asked(method: str, number: int = 2, *, offer: bool = True) -> Request:
    """Return a request of the peer."""
    return make_request(method, number=number, to_tag="b1", headers=SDP if offer else [], body=b"v=0" if offer else b"")


def answered(
    request: Request, status: int, *, body: bool = True, headers: list[tuple[str, str]] | None = None
) -> Response:
    fields = [*(headers or []), *(SDP if body else [])]
    return Response.for_request(request, status, to_tag="b1", headers=fields, body=b"v=0" if body else b"")


def callee(*, offer: bool = True) -> Dialog:
    """Return the early dialog of an INVITE that came."""
    return Dialog.from_request(
        make_request("INVITE", headers=SDP if offer else [], body=b"v=0" if offer else b""), "b1"
    )


def caller(response_headers: list[tuple[str, str]], status: int = 183, *, body: bool = True) -> tuple[Dialog, Request]:
    """Return a dialog that the response to an INVITE with an offer made, and the INVITE."""
    invite = make_request("INVITE", headers=SDP, body=b"v=0")
    return Dialog.from_response(invite, answered(invite, status, body=body, headers=response_headers)), invite


def confirmed() -> Dialog:
    return caller([], 200)[0]


def refused(dialog: Dialog, request: Request) -> int:
    with pytest.raises(UnexpectedMessage) as caught:
        dialog.receive_request(request)
    assert isinstance(caught.value, RequestTooEarly) is (caught.value.status == 500)
    return caught.value.status


class TestCaller:
    def test_update_before_the_answer(self) -> None:
        """A-OA-05: ours is not answered yet, 491; without an offer there is nothing to cross."""
        dialog, invite = caller([])
        assert refused(dialog, asked("UPDATE", 1)) == 491
        dialog.receive_request(asked("UPDATE", 2, offer=False))
        dialog.receive_response(invite, answered(invite, 200))
        dialog.send_response(asked("UPDATE", 2, offer=False), answered(asked("UPDATE", 2), 200, body=False))
        dialog.receive_request(asked("UPDATE", 3))

    def test_answer_in_a_reliable_response(self) -> None:
        """A-OA-03: the first reliable one that is no failure."""
        dialog, _ = caller(RELIABLE)
        dialog.receive_request(asked("UPDATE", 1))
        with pytest.raises(LocalProtocolError, match="under way"):
            dialog.create_request("UPDATE", headers=SDP, body=b"v=0")
        dialog.send_response(asked("UPDATE", 1), answered(asked("UPDATE", 1), 200))
        with pytest.raises(LocalProtocolError, match="under way"):
            dialog.create_request("UPDATE", headers=SDP, body=b"v=0")  # our INVITE still is

    def test_our_update(self) -> None:
        """A-OA-05, RFC 3311 §5.2: their INVITE and their offer get 491 meanwhile."""
        dialog = confirmed()
        update = dialog.create_request("UPDATE", headers=SDP, body=b"v=0")
        assert not dialog.may_offer
        assert refused(dialog, asked("UPDATE", 1)) == 491
        assert refused(dialog, asked("INVITE", 2, offer=False)) == 491
        dialog.receive_request(asked("UPDATE", 3, offer=False))
        dialog.receive_response(update, Response(200, headers=[("Contact", "<sip:new@192.0.2.7>")]))
        assert str(dialog.remote_target) == "sip:new@192.0.2.7" and dialog.may_offer
        update = dialog.create_request("UPDATE", headers=SDP, body=b"v=0")
        dialog.request_failed(update)
        assert dialog.may_offer
        dialog.request_failed(dialog.create_request("UPDATE"))

    def test_update_without_offer_is_always_possible(self) -> None:
        dialog, _ = caller([])
        assert dialog.create_request("UPDATE").cseq.number == 2


class TestCallee:
    def test_update_before_our_answer(self) -> None:
        """A-OA-05: theirs is not answered yet, 500 with Retry-After."""
        dialog = callee()
        assert refused(dialog, asked("UPDATE")) == 500
        assert refused(dialog, asked("PRACK", 3)) == 488
        dialog.receive_request(asked("PRACK", 4, offer=False))
        invite = make_request("INVITE", headers=SDP, body=b"v=0")
        dialog.send_response(invite, answered(invite, 180))
        assert refused(dialog, asked("UPDATE", 5)) == 500, "that was no answer, as nobody knows whether it arrives"
        dialog.send_response(invite, answered(invite, 183, headers=RELIABLE))
        dialog.receive_request(asked("UPDATE", 6))

    def test_offer_in_a_reliable_response(self) -> None:
        """A-OA-03: the answer comes in the PRACK; another PRACK may bring another offer."""
        dialog, invite = callee(offer=False), make_request("INVITE")
        dialog.send_response(invite, answered(invite, 180, headers=RELIABLE))
        assert refused(dialog, asked("UPDATE")) == 491
        dialog.receive_request(asked("PRACK", 3))
        dialog.send_response(asked("PRACK", 3), answered(asked("PRACK", 3), 200, body=False))
        dialog.receive_request(asked("PRACK", 4))
        assert refused(dialog, asked("UPDATE", 5)) == 500
        dialog.send_response(asked("PRACK", 4), answered(asked("PRACK", 4), 200))
        dialog.receive_request(asked("UPDATE", 6))

    def test_offer_in_the_2xx(self) -> None:
        """A-OA-03: the answer comes in the ACK."""
        dialog, invite = callee(offer=False), make_request("INVITE")
        dialog.send_response(invite, answered(invite, 200))
        assert refused(dialog, asked("UPDATE")) == 491 and not dialog.may_offer
        dialog.receive_ack()
        assert dialog.may_offer
        dialog.receive_request(asked("UPDATE", 3))

    def test_two_updates(self) -> None:
        """RFC 3311 §5.2: one before the answer to the last, 500."""
        dialog = confirmed()
        first = asked("UPDATE", 1, offer=False)
        dialog.receive_request(first)
        assert refused(dialog, asked("UPDATE", 2, offer=False)) == 500
        dialog.send_response(first, answered(first, 200, body=False))
        dialog.receive_request(asked("UPDATE", 3, offer=False))

    def test_bye_waits_for_the_ack(self) -> None:
        """A-INV-08: of the callee; the caller may send it in an early dialog too."""
        dialog, invite = callee(), make_request("INVITE")
        assert not dialog.may_end
        dialog.send_response(invite, answered(invite, 200))
        assert not dialog.may_end
        dialog.receive_ack()
        assert dialog.may_end
        assert caller([])[0].may_end

    def test_who_takes_update(self) -> None:
        """A-OA-05: the newest Allow counts, in whatever message."""
        dialog, invite = caller([("Allow", "INVITE, UPDATE")])
        assert dialog.takes_update
        dialog.receive_response(invite, answered(invite, 180))
        assert dialog.takes_update
        dialog.receive_request(make_request("OPTIONS", number=1, to_tag="b1", headers=[("Allow", "INVITE")]))
        assert not dialog.takes_update

    def test_multipart_has_a_description_too(self) -> None:
        headers = [("Content-Type", "multipart/mixed;boundary=x")]
        dialog = Dialog.from_request(make_request("INVITE", headers=headers, body=b"--x"), "b1")
        assert refused(dialog, asked("UPDATE")) == 500
