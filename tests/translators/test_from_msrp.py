from translators.from_msrp import cause_of, is_chat_type, text_of


def test_cause() -> None:
    assert (cause_of(413).reason, cause_of(413, "Inbox full").reason, cause_of(599).reason) == (
        "Stop Sending",
        "Inbox full",
        "",
    )
    assert cause_of(413).protocol == "MSRP"


def test_chat_types() -> None:
    assert is_chat_type("Text/Plain; charset=utf-8")
    assert not is_chat_type("image/png")


def test_text() -> None:
    assert text_of("中文".encode()) == "中文"
    assert text_of(b"a\xff") == "a\ufffd"
