import pytest

from translators.status import UNREACHABLE, from_msrp, from_sip, retry_after

E4 = {
    502: (300, 305, 380, 400, 401, 402, 405, 407, 414, 416, 420, 421, 422, 423, 428, 429, 436, 439, 485, 493, 494)
    + (482, 483, 500, 502, 505, 580, 605, 699),
    413: (413, 513),
    422: (406, 415, 488, 606),
    403: (403, 603, 607, 608),
    404: (404, 484, 604),
    410: (410, 481),
    504: (408, 504),
    409: (480, 430, 486, 600, 487, 491),
    501: (501,),
    503: (503,),
}
TABLE = [(code, status) for status, codes in E4.items() for code in codes]


@pytest.mark.parametrize(("code", "status"), TABLE)
def test_sip(code: int, status: int) -> None:
    """The table E.4, code by code."""
    assert from_sip(code).status == status


@pytest.mark.parametrize(
    ("code", "type_", "retryable"),
    [
        (401, "upstream-auth", False),
        (480, "peer-offline", True),
        (486, "peer-busy", True),
        (487, "cancelled", True),
        (488, "unsupported-by-peer", False),
        (503, "upstream-unavailable", True),
        (504, "upstream-timeout", True),
        (603, "peer-declined", False),
    ],
)
def test_sip_types(code: int, type_: str, retryable: bool) -> None:
    assert (from_sip(code).type, from_sip(code).retryable) == (type_, retryable)


@pytest.mark.parametrize("code", [406, 415, 488, 606])
def test_media_that_the_user_chose(code: int) -> None:
    assert from_sip(code, own_media=True).status == 415
    assert from_sip(486, own_media=True).status == 409


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (400, 502),
        (403, 403),
        (408, 504),
        (413, 413),
        (415, 415),
        (481, 410),
        (506, 410),
        (501, 502),
        (423, 502),
        (599, 502),
    ],
)
def test_msrp(code: int, status: int) -> None:
    """E-MAP-05; codes without a row count by their class."""
    assert from_msrp(code).status == status


def test_nothing_was_sent() -> None:
    assert UNREACHABLE.status == 502


def test_retry_after_is_capped() -> None:
    assert [retry_after(seconds) for seconds in (None, 0, 120, 86400)] == [None, 0, 120, 3600]


def test_one_type_has_one_title_and_status() -> None:
    """RFC 9457 §3.1.3: the title does not change from occurrence to occurrence."""
    outcomes = {from_sip(code, own_media=own) for code in range(300, 700) for own in (True, False)}
    outcomes |= {from_msrp(code) for code in range(400, 600)}
    assert len({outcome.type for outcome in outcomes}) == len(outcomes)
