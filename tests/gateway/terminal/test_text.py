"""Text that must not harm a terminal, and lines of a conversation."""

from __future__ import annotations

from gateway.terminal.text import amount, clock, day, file_text, harmless, message_text, person_text, progress


def test_controls_never_reach_the_terminal() -> None:
    text = "a\x1b[2Jb\x9b31mc\u202edoc\u202c\tx\ny\x00"
    assert harmless(text) == "a\ufffd[2Jb\ufffd31mc\ufffddoc\ufffd x\ny\ufffd"
    assert harmless("héllo 你好 👩\u200d💻 שלום") == "héllo 你好 👩\u200d💻 שלום"


def test_amounts_and_times() -> None:
    assert [amount(n) for n in (0, 999, 1000, 12_345, 999_999, 2_500_000, 3 * 10**9)] == [
        "0 B", "999 B", "1.0 kB", "12.3 kB", "1000 kB", "2.5 MB", "3.0 GB",
    ]  # fmt: skip
    assert len(clock("2026-03-01T09:30:00.000Z")) == 5
    assert clock("soon").strip() == ""
    assert day("2026-03-01T09:30:00.000Z").startswith("2026-0")
    assert day("so\x1bon") == "so\ufffdon"


def test_lines_of_a_conversation() -> None:
    at = "2026-03-01T09:30:00.000Z"
    assert message_text(at, "Bob", "[b]hi[/b]\x07").plain[5:] == " Bob  [b]hi[/b]\ufffd"
    assert message_text(at, "Bob", "hi", "delivered").plain[5:] == " you  hi  ✓✓"
    failed = message_text(at, "Bob", "hi", "failed", "486 Busy").plain
    assert failed[5:] == " you  hi  ✗ 486 Busy — /again to send it once more"
    assert "perhaps delivered" in message_text(at, "Bob", "hi", "unknown").plain
    assert message_text(at, "Bob", "hi", "strange").plain.endswith("?")
    line = file_text(at, "Bob", 2, "a\x1bb.txt", "12 B", "here", is_own=False, why="lost").plain
    assert line[5:] == " Bob  [2] a\ufffdb.txt 12 B here: lost"
    assert progress(5, 20, is_moving=True) == "5 B of 20 B, 25 %"
    assert (progress(5, 20, is_moving=False), progress(5, None, is_moving=True)) == ("20 B", "5 B")
    assert person_text("Bob", "●", "green", 3).plain == "● Bob (3)"
    assert person_text("Bob", "○", "dim", 0).plain == "○ Bob"
