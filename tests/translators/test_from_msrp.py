import pytest

from sipstack.im.imdn import Disposition, Imdn
from translators.from_msrp import cause_of, is_chat_type, state_of, text_of


def test_cause() -> None:
    assert (cause_of(413).reason, cause_of(413, "Inbox full").reason, cause_of(599).reason) == (
        "Stop Sending",
        "Inbox full",
        "",
    )
    assert cause_of(413).protocol == "MSRP"


@pytest.mark.parametrize(
    ("notification", "state"),
    [
        # D-IMD-14
        (Imdn("m", "delivery", Disposition.DELIVERED), "delivered"),
        (Imdn("m", "delivery", Disposition.FAILED), "failed"),
        (Imdn("m", "delivery", Disposition.ERROR), "failed"),
        (Imdn("m", "delivery", Disposition.FORBIDDEN), None),
        (Imdn("m", "display", Disposition.DISPLAYED), "displayed"),
        (Imdn("m", "display", Disposition.FORBIDDEN), "delivered"),
        (Imdn("m", "display", Disposition.ERROR), "delivered"),
        (Imdn("m", "display", Disposition.UNKNOWN), None),
        # D-IMD-08: what intermediaries say of their processing is no state of ours
        (Imdn("m", "processing", Disposition.PROCESSED), None),
        (Imdn("m", "processing", Disposition.STORED), None),
        (Imdn("m", "processing", Disposition.FORBIDDEN), None),
        (Imdn("m", "processing", Disposition.ERROR), None),
    ],
)
def test_states_of_notifications(notification: Imdn, state: str | None) -> None:
    assert state_of(notification) == state


def test_chat_types() -> None:
    assert is_chat_type("Text/Plain; charset=utf-8")
    assert not is_chat_type("image/png")


def test_text() -> None:
    assert text_of("中文".encode()) == "中文"
    assert text_of(b"a\xff") == "a\ufffd"
