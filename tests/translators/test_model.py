import msgspec
import pytest

from translators import model, xml
from translators.model import Body, Event, MessageView, SipCause, format_time


def test_format_time() -> None:
    assert format_time(0) == "1970-01-01T00:00:00.000Z"
    assert format_time(1_800_000_000.25) == "2027-01-15T08:00:00.250Z"


def test_what_is_absent_is_left_out() -> None:
    event = Event(cursor=1, kind="reset", at=format_time(0))
    assert msgspec.to_builtins(event) == {"cursor": 1, "kind": "reset", "at": "1970-01-01T00:00:00.000Z"}


def test_keys_that_python_reserves() -> None:
    view = MessageView(
        id="1", from_="sip:a@cc.com", to="sip:b@cc.com", direction="in", message="x", state="sent", at=""
    )
    members = msgspec.to_builtins(view)
    assert members["from"] == "sip:a@cc.com"
    assert "content_type" not in members
    assert msgspec.to_builtins(SipCause(code=200, reason="OK")) == {"code": 200, "reason": "OK"}


BODIES = [
    kind for kind in vars(model).values() if isinstance(kind, type) and issubclass(kind, Body) and kind is not Body
]


@pytest.mark.parametrize("kind", BODIES)
def test_every_body_has_one_sample_both_ways(kind: type[Body]) -> None:
    """Whatever JSON can say, XML can say, and the other way round."""
    special = SPECIAL.get(kind, {})
    body = kind(
        **{field.name: special.get(field.name, SAMPLES.get(field.name)) for field in msgspec.structs.fields(kind)}
    )
    assert xml.decode(xml.encode(body), kind) == body
    assert msgspec.json.decode(msgspec.json.encode(body), type=kind) == body


_CAUSE = model.SipCause(
    code=486,
    reason="Busy Here",
    protocol="MSRP",
    retry_after=3,
    warning=[model.SipWarning(code=399, agent="x", text="a, b"), model.SipWarning(code=300, agent="y", text="c")],
    reason_header=[model.SipReason(protocol="Q.850", cause=16, text="bye"), model.SipReason(protocol="SIP")],
)
_MESSAGE = MessageView(
    id="1",
    from_="sip:a@cc.com",
    to="sip:b@cc.com",
    direction="in",
    message=" <x>\r\n\tand & \u4e2d\u6587 ",
    state="failed",
    at="t",
    uid="a",
    content_type="text/html",
    cause=_CAUSE,
)
_INVITATION = model.InvitationView(
    account="sip:b@cc.com",
    identifier="b@cc.com",
    state="active",
    types=["im", "file"],
    created_at="t",
    valid_until="t",
    delivery=model.DeliveryView(
        channel="mms",
        state="failed",
        attempts=2,
        error="550",
        tried=[
            model.TriedView(channel="sms", attempts=1, error="no"),
            model.TriedView(channel="email", attempts=3, error="550"),
        ],
    ),
    note="hello",
)
_FILE = model.FileView(
    id="f1",
    from_="sip:a@cc.com",
    to="sip:b@cc.com",
    direction="in",
    name="a b.jpg",
    content_type="image/jpeg",
    octets=5,
    state="failed",
    at="t",
    until="t",
    size=10,
    uid="a",
    hash="00ff",
    thumbnail="image/png",
    reason="gone",
    cause=_CAUSE,
)
_STATUS = model.StatusAnswer(sip="sip:a@cc.com", uid="a", status="online", services=["im"], at="t", cause=_CAUSE)

SAMPLES = {
    "account": "sip:b@cc.com",
    "agent": "gw",
    "at": "t",
    "before": 3,
    "cause": _CAUSE,
    "attempts": 2,
    "channel": "email",
    "checks": {"core": "ok", "store": "broken"},
    "code": 486,
    "content_type": "text/plain",
    "created_at": "t",
    "cursor": 7,
    "delivery": _INVITATION.delivery,
    "detail": "d",
    "direction": "out",
    "email": "b@cc.com",
    "ended": 2,
    "error": "550",
    "events": [Event(cursor=1, kind="message", at="t", message=_MESSAGE), Event(cursor=2, kind="reset", at="t")],
    "expires_at": "t",
    "field": "to",
    "file": _FILE,
    "files": [_FILE],
    "from_": "sip:a@cc.com",
    "hash": "00ff",
    "id": "m1",
    "identifier": "b@cc.com",
    "instance": "/x",
    "invitation": _INVITATION,
    "invitations": [_INVITATION],
    "inviters": [model.InviterView(uid="a", sip="sip:a@cc.com", types=["im"], until="t", name="A")],
    "known": "yes",
    "kind": "message",
    "language": "en",
    "message": "text",
    "message_id": "m1",
    "messages": [_MESSAGE, _MESSAGE],
    "name": "A",
    "note": "n",
    "octets": 5,
    "passwd": "secret",
    "phone": "+4915112345678",
    "protocol": "SIP",
    "reason": "OK",
    "reason_header": _CAUSE.reason_header,
    "composing": model.Composing(uid="a", state="active", until="t"),
    "receipt": model.Receipt(id="m1", state="displayed", uid="a"),
    "reset": True,
    "retry_after": 30,
    "retryable": False,
    "services": [],
    "session": model.SessionChange(state="ended", uid="a", reason="revoked"),
    "sip": "sip:a@cc.com",
    "size": 10,
    "sip_uri": "sip:b@cc.com",
    "state": "sent",
    "status": "online",
    "text": "t",
    "thumbnail": "image/png",
    "title": "T",
    "tried": _INVITATION.delivery.tried if _INVITATION.delivery is not None else None,
    "to": "sip:a@cc.com",
    "trace": "0" * 32,
    "type": "/problems/x",
    "types": ["im"],
    "uid": "a",
    "until": "t",
    "valid_for": 3600.0,
    "valid_until": "t",
    "via": "email",
    "warning": _CAUSE.warning,
}

SPECIAL: dict[type[Body], dict[str, object]] = {
    Event: {"kind": "message", "message": _MESSAGE, "status": _STATUS},
    SipCause: {"protocol": "MSRP"},
    model.SipReason: {"cause": 16},
    model.Composing: {"state": "idle"},
    model.ComposingRequest: {"state": "active"},
    model.DeliveryView: {"state": "queued"},
    model.InvitationView: {"state": "ending"},
    model.SessionChange: {"state": "expired"},
    model.Health: {"status": "ok"},
    model.Problem: {"status": 486, "sip": _CAUSE},
}
