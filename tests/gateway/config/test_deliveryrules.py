"""Channels, templates and tokens in the configuration file: every mistake is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.load import ConfigError, loads

MINIMAL = '[core]\ndomain = "cc.com"\n'
MAIL = '[delivery.email]\nhost = "127.0.0.1"\nsender = "gw@cc.com"\n'
TOKEN = "0123456789abcdefghijkl"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '[delivery.channels]\nemail = ["email"]\n',
            "delivery.channels.email: email is not set up in [delivery.email]",
        ),
        ('[delivery.channels]\nphone = ["mms"]\n', "delivery.channels.phone: mms is not set up in [delivery.mms]"),
        ('[delivery.channels]\nphone = ["email"]\n', "delivery.channels.phone: 'email' is none of sms, mms"),
        ('[delivery]\nlanguage = "fr"\n', "delivery.language: there are no templates for fr; there are de, en, zh"),
        ('[delivery]\nlanguage = "English"\n', "delivery.language: "),
        ('[delivery]\ntemplates = "nowhere"\n', "there is no such folder"),
        ('[delivery]\ntemplates = "bad"\n', "delivery.templates: en.sms: $name is no placeholder here; there are "),
        (
            '[client]\nlink = "account"\n[delivery]\ntemplates = "words"\n',
            "delivery.templates: de.txt: $how is missing",
        ),
        ('[delivery.receipts]\nsms = "short"\n', "delivery.receipts.sms: "),
        ('[delivery.receipts]\nsms = "0123456789abcdefghij/k"\n', "delivery.receipts.sms: "),
        (f'[delivery.receipts]\nsms = "{TOKEN}"\nsms_file = "token"\n', "sms_file: and sms cannot both be set"),
        ('[delivery.receipts]\nmms_file = "nowhere"\n', "delivery.receipts.mms_file: "),
        ('[delivery.receipts]\nmms_file = "empty"\n', "mms_file: holds no token: 22 to 128 letters"),
        ('[delivery.receipts]\nmms_file = "binary"\n', "mms_file: "),
    ],
)
def test_mistakes(tmp_path: Path, text: str, problem: str) -> None:
    prepare(tmp_path)
    if "language" in text:
        text += 'templates = "words"\n'
    with pytest.raises(ConfigError) as caught:
        loads(MINIMAL + text, folder=str(tmp_path))
    assert problem in str(caught.value)


def test_what_is_right(tmp_path: Path) -> None:
    prepare(tmp_path)
    text = (
        f'{MINIMAL}[delivery]\nlanguage = "de"\ntemplates = "words"\n[delivery.channels]\nemail = ["email"]\n'
        f'[delivery.receipts]\nsms_file = "token"\nmms = "{TOKEN}"\n[delivery.deadlines]\nsms = "15m"\n{MAIL}'
    )
    delivery = loads(text, folder=str(tmp_path)).delivery
    assert delivery.available == ("email",)
    assert delivery.channels.of("email", delivery.available) == ("email",)
    assert delivery.channels.of("phone", delivery.available) == () == delivery.channels.of("sip", delivery.available)
    assert delivery.channels.of("phone", ("mms", "sms", "email")) == ("sms", "mms")
    assert (delivery.deadline("sms"), delivery.deadline("mms"), delivery.deadline("x")) == (900, 14400, 14400)


def prepare(folder: Path) -> None:
    """Write templates, right and wrong, and tokens."""
    words = folder / "words"
    words.mkdir()
    (words / "de.txt").write_text("Einladung\n\n$link\n", "utf-8")
    for suffix in ("html", "mms", "sms"):
        (words / f"de.{suffix}").write_text("Einladung\n$link\n" if suffix != "sms" else "$link\n", "utf-8")
    (words / "de.toml").write_text(
        'moment = "$day.$month.$year"\nsomebody = "Jemand"\n[purpose]\nim = "Chat"\nfile = "Dateien"\nboth = "beides"\n'
        '[how]\nlink = ""\npassword = "$password"\nshort = "$password"\n',
        "utf-8",
    )
    (folder / "bad").mkdir()
    (folder / "bad" / "en.sms").write_text("$name $link\n", "utf-8")
    (folder / "token").write_text(f"{TOKEN}\n")
    (folder / "empty").write_text("\n")
    (folder / "binary").write_bytes(b"\xff" * 30)
