"""What mails and messages say, in English and Chinese, and that nobody can put anything else into them."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest

from gateway.delivery.base import DeliveryOrder
from gateway.delivery.email import compose
from gateway.delivery.gsm import encode, split
from gateway.delivery.links import short_link, without_password
from gateway.delivery.texts import invitation_texts, mms_text, sms_text
from gateway.delivery.words import shipped

LINK = "https://gw.example/rcsgw/invitee/session/sip:b@cc.com#passwd=0123"


def order(**changes: Any) -> DeliveryOrder:
    values: dict[str, Any] = {
        "address": "b@example.com",
        "link": LINK,
        "language": "en",
        "inviter": "Alice",
        "types": ("im",),
        "until": 1_800_000_000.0,
        "note": "",
        "message_id": "<1@cc.com>",
    }
    return DeliveryOrder(**(values | changes))


def parsed(**changes: Any) -> EmailMessage:
    """Return the mail as its reader gets it."""
    message = message_from_bytes(bytes(compose(order(**changes), "gw@cc.com")), policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def parts(message: EmailMessage) -> tuple[str, str]:
    text, html = message.iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    return text.get_content(), html.get_content()


def test_headers_and_parts() -> None:
    message = parsed()
    assert message["From"] == "Alice <gw@cc.com>" and message["To"] == "b@example.com"
    assert message["Subject"] == "Alice invites you to chat"
    assert message["Message-ID"] == "<1@cc.com>" and message["Date"].datetime is not None
    assert message["Auto-Submitted"] == "auto-generated" and message["Content-Language"] == "en"
    assert message.get_content_type() == "multipart/alternative"
    for part in parts(message):
        assert LINK in part and "Alice" in part and "chat" in part and "15 January 2027, 08:00 UTC" in part


def test_chinese() -> None:
    message = parsed(language="zh-Hans-CN", inviter="王小明", types=("im", "file"), note="你好")
    assert message["Subject"] == "王小明 邀请您聊天和互传文件"
    assert message["From"].addresses[0].display_name == "王小明"
    for part in parts(message):
        assert LINK in part and "王小明" in part and "你好" in part and "2027年1月15日 08:00（UTC）" in part


@pytest.mark.parametrize("tag, language", [("en", "en"), ("zh-TW", "zh"), ("ZH", "zh"), ("de", "en"), ("", "en")])
def test_languages(tag: str, language: str) -> None:
    assert shipped().words(tag).language == language


@pytest.mark.parametrize(
    "types, words", [(("im",), "chat"), (("file",), "exchange files"), (("im", "file"), "chat and exchange files")]
)
def test_purposes(types: tuple[str, ...], words: str) -> None:
    assert f"invites you to {words}." in invitation_texts(order(types=types)).text


@pytest.mark.parametrize(
    "evil",
    ["x\r\nBcc: all@example.com", "x\nBcc: y", "x\r\r\n\r\nbody", "x\u2028y\x85z", "\x00", '"<>,;@', "$link ${x}"],
)
def test_nothing_adds_a_header(evil: str) -> None:
    message = parsed(inviter=evil, note=evil)
    assert set(message.keys()) == {
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "Auto-Submitted",
        "Content-Language",
        "MIME-Version",
        "Content-Type",
    }
    assert [address.addr_spec for address in message["From"].addresses] == ["gw@cc.com"]
    assert parts(message)[0].count(LINK) == 1


def test_html_is_escaped() -> None:
    message = parsed(inviter="<b>&\"'", note="<script>alert(1)</script>")
    html = parts(message)[1]
    assert "<script>" not in html and "<b>&" not in html and "&lt;script&gt;" in html


def test_lines_stay_below_the_limit_of_smtp() -> None:
    raw = bytes(compose(order(note="x" * 500, inviter="名" * 200), "gw@cc.com"))
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")


@pytest.mark.parametrize(("language", "words"), [("en", "asks for this password: 0123"), ("zh", "输入此密码：0123")])
def test_a_link_without_the_password_brings_it_beside(language: str, words: str) -> None:
    bare, password = without_password(LINK)
    assert (bare, password) == (LINK.partition("#")[0], "0123")
    for text in parts(parsed(link=bare, password=password, language=language)):
        assert words in text and "#passwd" not in text
    for text in parts(parsed(language=language)):
        assert words not in text


def test_what_carries_no_password_stays_as_it_is() -> None:
    assert without_password("https://gw.example/x") == ("https://gw.example/x", "")
    assert without_password("https://gw.example/x?passwd=a%2Fb") == ("https://gw.example/x", "a/b")


SHORT = short_link("https://chat.example.com", f"https://chat.example.com/x#passwd={'f' * 32}")


def sms(**changes: Any) -> str:
    """Return the text of a short message that has to fit one segment, and ends with the link."""
    text = sms_text(order(short_link=SHORT, **changes))
    assert split(text) == [text] and text.endswith(SHORT)
    return text


def test_the_best_wording_that_fits_is_sent() -> None:
    words = "Alice invites you to chat, valid until 15 January 2027, 08:00 UTC. No account needed: "
    assert sms() == words + SHORT
    assert sms(inviter="Alice " * 9).startswith(f"{'Alice ' * 9}invites you to chat: ")
    assert sms(inviter="张伟", language="zh") == f"张伟邀请您聊天：{SHORT}"
    assert sms(language="zh", types=("im", "file")) == f"Alice邀请您聊天和互传文件：{SHORT}"


@pytest.mark.parametrize(
    ("name", "language", "begin"),
    [
        ("Zoë", "en", "Zoë invites you: "),
        ("Zoë Aléxandros Papadopoulos", "en", "Zoe Alexandros Papadopoulos invites you to chat, valid until "),
        ("张" * 30, "en", "张张张张张张… invites you: "),
        ("张" * 60, "zh", f"{'张' * 16}…邀请您："),
        ("A" * 300, "en", f"{'A' * 94}... invites you: "),
        ("😀" * 40, "en", "😀😀😀… invites you: "),
        ("{" * 100, "en", f"{'{' * 47}... invites you: "),
        ("x\r\ny\0", "en", "x y invites you to chat, "),
    ],
)
def test_a_long_name_is_shortened(name: str, language: str, begin: str) -> None:
    assert sms(inviter=name, language=language).startswith(begin)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", ["Alice", "张伟", "Ł" * 40])
def test_ordinary_public_urls_leave_room_for_one_segment(language: str, name: str) -> None:
    public_url = "https://".ljust(37 - len(".example.com"), "x") + ".example.com"
    link = short_link(public_url, f"x#passwd={'f' * 32}")
    text = sms_text(order(short_link=link, inviter=name, language=language, types=("im", "file")))
    assert split(text) == [text] and text.endswith(link)


def test_a_name_without_room_is_left_out() -> None:
    link = short_link("https://a-longer-name.example.com", f"x#passwd={'0' * 32}")
    text = sms_text(order(short_link=link, inviter="张伟" * 9))
    assert text == f"Someone invites you to chat, valid until 15 January 2027, 08:00 UTC. No account needed: {link}"


def test_a_link_without_room_takes_as_few_segments_as_it_needs() -> None:
    text = sms_text(order(link=f"https://{'a' * 140}.example/x"))
    assert text.startswith(
        "Alice invites you to chat, valid until 15 January 2027, 08:00 UTC. No account needed: https"
    )
    assert len(split(text)) == 2


def test_a_password_to_type_stands_behind_the_short_link() -> None:
    text = sms_text(order(link="https://gw.example/x", short_link="https://gw.example/x", password="0123abcd"))
    assert text.endswith("https://gw.example/x Password: 0123abcd")


def test_a_multimedia_message_has_the_short_link() -> None:
    subject, text = mms_text(order(short_link=SHORT, note="see\nyou", inviter="A\r\nB"))
    assert subject == "A B invites you to chat" and SHORT in text and LINK not in text and "“see you”" in text
    assert LINK in mms_text(order())[1]


@pytest.mark.parametrize(
    ("text", "lengths"),
    [
        ("a" * 160, [160]),
        ("a" * 161, [153, 8]),
        ("€" * 80, [80]),
        ("€" * 81, [76, 5]),  # 76 take 152 septets: half of the next one does not go before the cut
        ("张" * 70, [70]),
        ("张" * 71, [67, 4]),
        ("😀" * 35, [35]),
        ("😀" * 36, [33, 3]),
        ("", [0]),
    ],
)
def test_segments(text: str, lengths: list[int]) -> None:
    parts = split(text)
    assert "".join(parts) == text and [len(part) for part in parts] == lengths


def test_the_alphabet() -> None:
    assert encode("@Aé€_[~") == bytes.fromhex("0041051b65111b3c1b3d")
    assert encode("ë") is None and encode("\x1b") is None
