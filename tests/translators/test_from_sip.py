import pytest

from sipstack.errors import RequestFailed, TransactionTimeout
from sipstack.sip.message import Response
from translators.from_sip import PeerStatus, cause_of, services_of, status_of, status_of_failure
from translators.model import PeerState

CHAT = "<sip:a@192.0.2.1>;+g.oma.sip-im"
CPM = '<sip:a@192.0.2.1>;+g.3gpp.icsi-ref="urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.session"'
FILES = (
    '<sip:a@192.0.2.1>;+g.oma.sip-im;+g.3gpp.iari-ref="URN%3Aurn-7%3A3gpp-application.ims.iari.rcse.ft,'
    'urn%3Aurn-7%3A3gpp-application.ims.iari.rcs.geopush,urn%3Aurn-7%3Aunknown"'
)


@pytest.mark.parametrize(
    ("code", "contact", "status", "services"),
    [
        (200, CHAT, "online", ("im",)),
        (200, CPM, "online", ("im",)),
        (200, FILES, "online", ("file", "im", "location")),
        (200, CHAT + ";automata", "offline", ("im",)),
        (200, "<sip:a@192.0.2.1>", "not-rcs", ()),
        (200, None, "not-rcs", ()),
        (200, "<<>", "unknown", ()),
        (480, None, "offline", ()),
        (408, None, "offline", ()),
        (404, None, "not-rcs", ()),
        (604, None, "not-rcs", ()),
        (403, None, "unknown", ()),
        (500, None, "unknown", ()),
        (503, None, "not-reachable", ()),
        (504, None, "not-reachable", ()),
        (430, None, "not-reachable", ()),
    ],
)
def test_status(code: int, contact: str | None, status: str, services: tuple[str, ...]) -> None:
    """B-CAP-05, row by row."""
    response = Response(code, headers=[] if contact is None else [("Contact", contact)])
    found = status_of(response)
    assert (found.status, found.services) == (status, services)
    assert found.cause is not None and found.cause.code == code, "the code that caused it goes along"
    assert found.is_knowledge == (status in ("online", "offline", "not-rcs"))


def test_plain_sip_knows_no_tags() -> None:
    """Where nobody has RCS tags, whoever answers is there."""
    response = Response(200, headers=[("Contact", "<sip:a@192.0.2.1>")])
    assert (status_of(response, rcs=False).status, status_of(response).status) == ("online", "not-rcs")
    tagged = Response(200, headers=[("Contact", "<sip:a@192.0.2.1>;+sip.message")])
    assert status_of(tagged, rcs=False)[:2] == ("online", ("im",))
    assert status_of(Response(480), rcs=False).status == "offline"


@pytest.mark.parametrize(
    ("status", "services", "kept"),
    [
        ("online", (), ()),
        ("online", ("call",), ("call",)),
        ("offline", (), ("im",)),
        ("offline", ("call",), ("call",)),
        ("not-reachable", (), ("im",)),
        ("unknown", (), ("im",)),
        ("not-rcs", (), ()),
    ],
)
def test_services_outlive_the_connection(status: PeerState, services: tuple[str, ...], kept: tuple[str, ...]) -> None:
    """B-CAP-05: 480 keeps what is cached, 404 drops it."""
    assert PeerStatus(status, services).after(PeerStatus("online", ("im",))).services == kept
    assert PeerStatus(status, services).after(None).services == services


def test_without_an_answer() -> None:
    assert status_of_failure(None).status == "unknown"
    assert status_of_failure(TransactionTimeout("no answer")).status == "not-reachable"
    assert status_of_failure(RequestFailed(Response(480))).status == "offline"


def test_no_tags_no_services() -> None:
    assert services_of([]) == ()


def test_cause() -> None:
    """The 486 of E.4, with what E-MAP-02 and E-MAP-03 copy."""
    response = Response(
        486,
        headers=[
            ("Retry-After", "7200 (in a meeting);duration=60"),
            ("Warning", '399 gw "one", 300 b "two"'),
            ("Reason", 'SIP;cause=486;text="in chat", Q.850;cause=16'),
        ],
    )
    cause = cause_of(response)
    assert (cause.code, cause.reason, cause.retry_after, cause.protocol) == (486, "Busy Here", 3600, "SIP")
    assert [(item.code, item.agent, item.text) for item in cause.warning or ()] == [
        (399, "gw", "one"),
        (300, "b", "two"),
    ]
    assert [(item.protocol, item.cause, item.text) for item in cause.reason_header or ()] == [
        ("SIP", 486, "in chat"),
        ("Q.850", 16, None),
    ]


def test_plain_cause() -> None:
    cause = cause_of(Response(480, "Gone\tfishing" + "x" * 300))
    assert (cause.retry_after, cause.warning, cause.reason_header) == (None, None, None)
    assert cause.reason.startswith("Gone fishing")
    assert len(cause.reason) == 200
