"""Dialogs: A-DLG-01 to A-DLG-09, and what of A-INV is decided in them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sipstack import ids
from sipstack.errors import LocalProtocolError, RemoteProtocolError, UnexpectedMessage
from sipstack.sip.dialog import Dialog, DialogState, RequestTooEarly, dialog_id
from sipstack.sip.message import Request, Response
from sipstack.sip.uri import Uri

ALICE, BOB = "sip:alice@ims.lab.example", "sip:bob@ims.lab.example"


def invite(
    method: str = "INVITE",
    *,
    uri: str = BOB,
    number: int = 7,
    headers: Sequence[tuple[str, str]] = (("Contact", "<sip:alice@192.0.2.1>"),),
    from_: str = f"<{ALICE}>;tag=A1",
    to: str = f"<{BOB}>",
) -> Request:
    return Request(
        method,
        uri,
        [
            ("Via", "SIP/2.0/UDP h;branch=z9hG4bK1"),
            ("From", from_),
            ("To", to),
            ("Call-ID", "call-1"),
            ("CSeq", f"{number} {method}"),
            *headers,
        ],
    )


def answer(
    request: Request, status: int, tag: str = "B1", contact: str | None = "<sip:bob@192.0.2.2>", *routes: str
) -> Response:
    headers = [("Record-Route", route) for route in routes]
    if contact is not None:
        headers.append(("Contact", contact))
    return Response.for_request(request, status, to_tag=tag or None, headers=headers)


def caller(*routes: str, status: int = 200) -> Dialog:
    request = invite()
    return Dialog.from_response(request, answer(request, status, "B1", "<sip:bob@192.0.2.2>", *routes))


def callee(*headers: tuple[str, str]) -> Dialog:
    return Dialog.from_request(invite(headers=[("Contact", "<sip:alice@192.0.2.1>"), *headers]), "B1")


def confirmed_callee() -> Dialog:
    dialog = callee()
    dialog.send_response(invite(), answer(invite(), 200))
    return dialog


def texts(routes: tuple[Uri, ...]) -> list[str]:
    return [str(route) for route in routes]


def reply(request: Request, status: int, **options: str | None) -> Response:
    """Answer a request that a dialog made; it has no Via."""
    contact = options.get("contact")
    return Response.for_request(request, status, headers=[("Contact", contact)] if contact else [])


class TestCaller:
    def test_beginning(self) -> None:
        """A-DLG-01, A-DLG-03: the route set is the Record-Route of the response in reverse."""
        dialog = caller("<sip:a.example;lr>, <sip:b.example;lr;x=1>", "<sip:c.example;lr>")
        assert dialog.id == ("call-1", "a1", "b1")
        assert (str(dialog.local_uri), str(dialog.remote_uri)) == (ALICE, BOB)
        assert str(dialog.remote_target) == "sip:bob@192.0.2.2"
        assert texts(dialog.route_set) == ["sip:c.example;lr", "sip:b.example;lr;x=1", "sip:a.example;lr"]
        assert (dialog.local_cseq, dialog.remote_cseq, dialog.owner, dialog.secure) == (7, None, True, False)
        assert dialog.state is DialogState.CONFIRMED
        assert repr(dialog) == "<Dialog call-1 confirmed>"

    def test_two_tags_make_two_early_dialogs(self) -> None:
        """A-DLG-01."""
        request = invite()
        first, second = (Dialog.from_response(request, answer(request, 180, tag)) for tag in ("x", "y"))
        assert first.id != second.id
        assert first.state is second.state is DialogState.EARLY
        failure = answer(request, 486)
        for dialog in (first, second):
            dialog.receive_response(request, failure)
            assert dialog.state is DialogState.TERMINATED

    @pytest.mark.parametrize("status", [100, 302, 486])
    def test_what_makes_no_dialog(self, status: int) -> None:
        with pytest.raises(LocalProtocolError):
            caller(status=status)

    def test_the_2xx_has_the_last_word_on_routes(self) -> None:
        """A-DLG-03."""
        request = invite()
        dialog = Dialog.from_response(request, answer(request, 180, "B1", None, "<sip:old.example;lr>"))
        assert str(dialog.remote_target) == BOB
        dialog.receive_response(request, answer(request, 100))
        dialog.receive_response(request, answer(request, 183, "B1", "<sip:early@192.0.2.3>"))
        assert (str(dialog.remote_target), dialog.route_set) == ("sip:early@192.0.2.3", ())
        dialog.receive_response(request, answer(request, 200, "B1", "<sip:bob@192.0.2.4>", "<sip:new.example;lr>"))
        assert str(dialog.remote_target) == "sip:bob@192.0.2.4"
        assert texts(dialog.route_set) == ["sip:new.example;lr"]
        assert dialog.state is DialogState.CONFIRMED

    def test_2xx_without_contact_can_still_be_ended(self) -> None:
        request = invite()
        assert str(Dialog.from_response(request, answer(request, 200, "B1", None)).next_hop) == BOB

    def test_secure(self) -> None:
        request = invite(uri="sips:bob@ims.lab.example")
        assert Dialog.from_response(request, answer(request, 200)).secure

    def test_old_peer_without_tag(self) -> None:
        """A-DLG-04: an empty tag is legal for RFC 2543 peers."""
        request = invite()
        dialog = Dialog.from_response(request, answer(request, 200, ""))
        assert dialog.create_request("BYE").headers.get("To") == f"<{BOB}>"


class TestCallee:
    def test_beginning(self) -> None:
        """A-DLG-02: the route set is in the order of Record-Route."""
        dialog = callee(("Record-Route", "<sip:a.example;lr;x=1>, <sip:b.example;lr>"))
        assert dialog.id == ("call-1", "b1", "a1")
        assert (str(dialog.local_uri), str(dialog.remote_uri)) == (BOB, ALICE)
        assert texts(dialog.route_set) == ["sip:a.example;lr;x=1", "sip:b.example;lr"]
        assert (dialog.local_cseq, dialog.remote_cseq, dialog.owner) == (0, 7, False)
        assert dialog.state is DialogState.EARLY

    def test_contact_is_needed(self) -> None:
        with pytest.raises(RemoteProtocolError, match="Contact") as caught:
            Dialog.from_request(invite(headers=[]), "B1")
        assert caught.value.status == 400

    @pytest.mark.parametrize(
        ("status", "state"),
        [(180, DialogState.EARLY), (200, DialogState.CONFIRMED), (486, DialogState.TERMINATED)],
    )
    def test_our_answer_decides(self, status: int, state: DialogState) -> None:
        dialog = callee()
        dialog.send_response(invite(), answer(invite(), status))
        assert dialog.state is state

    def test_old_peer_without_tag(self) -> None:
        dialog = Dialog.from_request(invite(from_=f"<{ALICE}>"), "B1")
        assert dialog.id == ("call-1", "b1", "")
        assert dialog.create_request("BYE").to.tag is None


def test_id_of_received_messages() -> None:
    """A-DLG-01; tags compare without case, Call-IDs with it."""
    request = invite("BYE", to=f"<{BOB}>;tag=B1")
    assert dialog_id(request) == callee().id
    assert dialog_id(answer(request, 200)) == caller().id
    assert dialog_id(invite(from_=f"<{ALICE}>")) == ("call-1", "", "")
    assert dialog_id(Response.for_request(invite(from_=f"<{ALICE}>"), 200)) == ("call-1", "", "")


class TestRequests:
    def test_fields(self) -> None:
        """A-DLG-04, A-DLG-05 with loose routing; Via, Max-Forwards and Contact are for who sends it."""
        dialog = caller("<sip:a.example;lr>", "<sip:b.example;lr>")
        request = dialog.create_request("MESSAGE", headers=[("Content-Type", "text/plain")], body=b"hi")
        assert bytes(request).decode().split("\r\n") == [
            "MESSAGE sip:bob@192.0.2.2 SIP/2.0",
            "Route: <sip:b.example;lr>",
            "Route: <sip:a.example;lr>",
            f"From: <{ALICE}>;tag=A1",
            f"To: <{BOB}>;tag=B1",
            "Call-ID: call-1",
            "CSeq: 8 MESSAGE",
            "Content-Type: text/plain",
            "Content-Length: 2",
            "",
            "hi",
        ]
        assert str(dialog.next_hop) == "sip:b.example;lr"
        assert dialog.create_request("OPTIONS").cseq.number == 9

    def test_first_request_of_the_callee(self) -> None:
        assert str(confirmed_callee().create_request("BYE").cseq) == "1 BYE"

    def test_strict_router(self) -> None:
        """A-DLG-05."""
        dialog = caller("<sip:last.example;lr>", "<sip:192.0.2.9;method=INVITE;transport=udp?Subject=x>")
        request = dialog.create_request("BYE")
        assert request.uri_text == "sip:192.0.2.9;transport=udp"
        assert [str(route.uri) for route in request.routes] == ["sip:last.example;lr", "sip:bob@192.0.2.2"]
        assert dialog.next_hop.host == "192.0.2.9"

    def test_headers_of_a_contact_get_into_no_request_uri(self) -> None:
        """A-URI-02."""
        request = invite()
        dialog = Dialog.from_response(request, answer(request, 200, "B1", "<sip:bob@192.0.2.2?Route=evil>"))
        assert dialog.create_request("BYE").uri_text == "sip:bob@192.0.2.2"

    def test_ack(self) -> None:
        """A-ICT-05, A-DIG-11: target, routes and credentials, the number of the INVITE, as often as needed."""
        dialog = caller("<sip:a.example;lr>")
        first = dialog.create_ack(7, credentials=[("Proxy-Authorization", "Digest x")], body=b"v=0")
        assert first.uri_text == "sip:bob@192.0.2.2"
        assert (str(first.cseq), first.body) == ("7 ACK", b"v=0")
        assert first.headers.get_all("Proxy-Authorization") == ["Digest x"]
        assert first.headers.get_all("Route") == ["<sip:a.example;lr>"]
        assert bytes(dialog.create_ack(7)) != bytes(first) and dialog.local_cseq == 7

    def test_bye_ends_the_dialog(self) -> None:
        """A-INV-08."""
        dialog = caller()
        dialog.create_request("BYE")
        assert dialog.state is DialogState.TERMINATED
        with pytest.raises(LocalProtocolError, match="over"):
            dialog.create_request("BYE")

    def test_number_follows_a_retry_with_credentials(self) -> None:
        dialog = caller()
        request = dialog.create_request("MESSAGE")
        request.headers.set("CSeq", "9 MESSAGE")
        dialog.receive_response(request, reply(request, 200))
        assert dialog.create_request("MESSAGE").cseq.number == 10

    @pytest.mark.parametrize(("status", "over"), [(408, True), (481, True), (404, False), (486, False), (500, False)])
    def test_which_failures_end_it(self, status: int, over: bool) -> None:
        """A-DLG-09, A-INV-07."""
        dialog = caller()
        request = dialog.create_request("INVITE")
        dialog.receive_response(request, reply(request, status))
        assert (dialog.state is DialogState.TERMINATED) is over

    def test_timeout_ends_it(self) -> None:
        """A-DLG-09."""
        dialog = caller()
        dialog.terminate()
        assert dialog.state is DialogState.TERMINATED

    @pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
    def test_target_refresh(self, method: str) -> None:
        """A-DLG-07: the 2xx moves the target, never the routes."""
        dialog = caller("<sip:a.example;lr>")
        request = dialog.create_request(method)
        dialog.receive_response(request, reply(request, 180, contact="<sip:bob@192.0.2.7>"))
        assert str(dialog.remote_target) == "sip:bob@192.0.2.2"
        dialog.receive_response(request, reply(request, 200, contact="<sip:bob@192.0.2.8>"))
        assert str(dialog.remote_target) == "sip:bob@192.0.2.8"
        assert texts(dialog.route_set) == ["sip:a.example;lr"]
        dialog.receive_response(request, reply(request, 200))
        assert str(dialog.remote_target) == "sip:bob@192.0.2.8"

    def test_contact_in_other_responses_moves_nothing(self) -> None:
        dialog = caller()
        request = dialog.create_request("OPTIONS")
        dialog.receive_response(request, reply(request, 200, contact="<sip:bob@192.0.2.8>"))
        assert str(dialog.remote_target) == "sip:bob@192.0.2.2"


class TestReceivedRequests:
    def test_numbers(self) -> None:
        """A-DLG-06: gaps are legal, going back or standing still is not; ACK and CANCEL have no number of their own."""
        dialog = confirmed_callee()
        dialog.receive_request(invite("MESSAGE", number=17))
        for number in (17, 16):
            with pytest.raises(UnexpectedMessage) as caught:
                dialog.receive_request(invite("MESSAGE", number=number))
            assert caught.value.status == 500
        for method in ("ACK", "CANCEL"):
            dialog.receive_request(invite(method, number=7))
        assert dialog.remote_cseq == 17

    def test_first_number_of_the_peer(self) -> None:
        dialog = caller()
        dialog.receive_request(invite("OPTIONS", number=0))
        assert dialog.remote_cseq == 0

    def test_target_refresh(self) -> None:
        """A-DLG-07."""
        dialog = confirmed_callee()
        dialog.receive_request(invite("UPDATE", number=8, headers=[("Contact", "<sip:alice@192.0.2.5:5070>")]))
        assert dialog.create_request("BYE").uri_text == "sip:alice@192.0.2.5:5070"

    def test_no_refresh_by_others(self) -> None:
        dialog = confirmed_callee()
        dialog.receive_request(invite("OPTIONS", number=8, headers=[("Contact", "<sip:alice@192.0.2.5>")]))
        dialog.receive_request(invite("UPDATE", number=9, headers=[]))
        assert str(dialog.remote_target) == "sip:alice@192.0.2.1"

    def test_bye(self) -> None:
        """A-INV-09."""
        dialog = confirmed_callee()
        dialog.receive_request(invite("BYE", number=8))
        assert dialog.state is DialogState.TERMINATED


class TestBye:
    """RFC 3261 §12.2.1.2: "For INVITE initiated dialogs, terminating the dialog consists of sending a BYE"."""

    @pytest.mark.parametrize("status", [408, 481])
    def test_after_the_peer_has_lost_the_dialog(self, status: int) -> None:
        dialog = caller()
        assert dialog.wants_end
        request = dialog.create_request("OPTIONS")
        dialog.receive_response(request, reply(request, status))
        assert dialog.state is DialogState.TERMINATED and dialog.wants_end
        with pytest.raises(LocalProtocolError, match="over"):
            dialog.create_request("OPTIONS")
        assert dialog.create_request("BYE").cseq.number == 9
        assert not dialog.wants_end
        with pytest.raises(LocalProtocolError, match="over"):
            dialog.create_request("BYE")

    def test_not_after_theirs(self) -> None:
        dialog = confirmed_callee()
        dialog.receive_request(invite("BYE", number=8))
        assert not dialog.wants_end

    def test_lost_prack_ends_no_early_dialog(self) -> None:
        request = invite()
        dialog = Dialog.from_response(request, answer(request, 180))
        prack = dialog.create_request("PRACK")
        dialog.receive_response(prack, reply(prack, 481))
        dialog.receive_response(request, answer(request, 200))
        assert dialog.state is DialogState.CONFIRMED


class TestGlare:
    def test_no_invite_while_ours_is_under_way(self) -> None:
        """A-INV-04, A-INV-06: theirs gets 491."""
        dialog = caller()
        request = dialog.create_request("INVITE")
        with pytest.raises(LocalProtocolError, match="under way"):
            dialog.create_request("INVITE")
        with pytest.raises(UnexpectedMessage) as caught:
            dialog.receive_request(invite(number=20))
        assert caught.value.status == 491
        dialog.receive_response(request, reply(request, 491))
        assert dialog.create_request("INVITE").cseq.number == 9

    def test_invite_that_could_not_be_sent(self) -> None:
        dialog = caller()
        request = dialog.create_request("INVITE")
        dialog.request_failed(dialog.create_request("OPTIONS"))
        with pytest.raises(LocalProtocolError, match="under way"):
            dialog.create_request("INVITE")
        dialog.request_failed(request)
        assert dialog.create_request("INVITE").cseq.number == 10

    def test_no_invite_before_we_answered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A-INV-04, A-INV-06: a second one gets 500 with Retry-After from 0 to 10."""
        monkeypatch.setattr(ids, "uniform", lambda low, high: (low + high) * 0.72)
        dialog = callee()
        with pytest.raises(RequestTooEarly) as caught:
            dialog.receive_request(invite(number=8))
        assert (caught.value.status, caught.value.retry_after) == (500, 7)
        with pytest.raises(LocalProtocolError, match="under way"):
            dialog.create_request("INVITE")
        dialog.send_response(invite("OPTIONS"), answer(invite("OPTIONS"), 200))
        dialog.send_response(invite(number=8), answer(invite(number=8), 200))
        with pytest.raises(LocalProtocolError, match="under way"):
            dialog.create_request("INVITE")
        dialog.send_response(invite(), answer(invite(), 200))
        dialog.create_request("INVITE")

    def test_failed_reinvite_leaves_the_dialog(self) -> None:
        """A-INV-07."""
        dialog = confirmed_callee()
        second = invite(number=8)
        dialog.receive_request(second)
        dialog.send_response(second, answer(second, 488))
        assert dialog.state is DialogState.CONFIRMED

    def test_pause_after_491(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A-INV-05: in steps of 10 ms."""
        bounds: list[tuple[float, float]] = []

        def uniform(low: float, high: float) -> float:
            bounds.append((low, high))
            return low + 0.1234

        monkeypatch.setattr(ids, "uniform", uniform)
        assert caller().glare_delay() == pytest.approx(2.22)
        assert callee().glare_delay() == pytest.approx(0.12)
        assert bounds == [(2.1, 4.0), (0.0, 2.0)]
