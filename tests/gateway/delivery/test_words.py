"""Templates of operators: their own words, more languages, and a clear word about every mistake."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from gateway.delivery.texts import invitation_texts, sms_text
from gateway.delivery.words import SUFFIXES, TemplateError, load, shipped
from tests.gateway.delivery.test_texts import LINK, SHORT, order


def write(folder: Path, language: str, **changed: str) -> None:
    """Write all templates of a language: the English ones, but for what is changed."""
    for suffix in SUFFIXES:
        text = resources.files("gateway.delivery").joinpath("templates", f"en{suffix}").read_text("utf-8")
        (folder / f"{language}{suffix}").write_text(changed.get(suffix[1:], text), "utf-8")


def test_english_and_chinese_are_there() -> None:
    assert shipped().languages == ("en", "zh") and load(None) is shipped()


def test_another_language(tmp_path: Path) -> None:
    write(
        tmp_path,
        "de",
        sms="$inviter lädt Sie ein: $link",
        txt="Einladung von $inviter\r\n\r\nBitte hier: $link $how\r\n",
    )
    (tmp_path / "README").write_text("$what")
    wording = load(tmp_path, typed_password=True)
    assert wording.languages == ("de", "en", "zh")
    words = wording.words("de-AT")
    texts = invitation_texts(order(words=words))
    assert (texts.subject, texts.text[:10]) == ("Einladung von Alice", "Bitte hier")
    assert sms_text(order(words=words, short_link=SHORT)) == f"Alice lädt Sie ein: {SHORT}"


def test_a_dialect_has_words_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, "zh-hant")
    wording = load(tmp_path)
    tags = ("zh-Hant-TW", "zh-TW", "zh", "fr", "")
    assert [wording.words(tag, "zh").language for tag in tags] == ["zh-hant", "zh", "zh", "zh", "zh"]


def test_one_file_replaces_one_of_ours(tmp_path: Path) -> None:
    (tmp_path / "en.sms").write_text("Hi! $link\n\n")
    words = load(tmp_path).words("en")
    assert sms_text(order(words=words, short_link=SHORT)) == f"Hi! {SHORT}"
    assert invitation_texts(order(words=words)) == invitation_texts(order())


def test_how_may_be_left_out_where_no_password_is_typed(tmp_path: Path) -> None:
    write(tmp_path, "en", txt="Subject\n\n$link")
    assert invitation_texts(order(words=load(tmp_path).words("en"))).text == LINK
    with pytest.raises(TemplateError, match=r"^en\.txt: \$how is missing$"):
        load(tmp_path, typed_password=True)


VOCABULARY = resources.files("gateway.delivery").joinpath("templates", "zh.toml").read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("de.txt", "$inviter\n$link", "de.html: is missing: a language needs de.html, de.mms, de.sms, de.toml, de.txt"),
        (
            "en.txt",
            "Hi\n\n$link $name",
            "en.txt: $name is no placeholder here; there are $how, $inviter, $link, $note, ",
        ),
        ("en.txt", "$link\n\n$link", "en.txt: $link is no placeholder here; there are $inviter, $purpose, $until"),
        ("en.txt", "Hi\n\nthere", "en.txt: $link is missing"),
        ("en.html", "5$ $link", "en.html: holds a $ that begins no placeholder; $$ writes a $"),
        ("en.mms", "", "en.mms: $link is missing"),
        ("en.sms", "$link\n$inviter", "en.sms: $link is missing"),
        ("en.sms", "$link $how", "en.sms: $how is no placeholder here"),
        ("en.sms", " \n", "en.sms: is empty"),
        ("zh.toml", "moment = ", "zh.toml: Invalid value"),
        ("zh.toml", "moment = 'x'", "zh.toml: Object missing required field `somebody`"),
        ("zh.toml", VOCABULARY.replace("$day", "$today"), "zh.toml: $today is no placeholder here; there are $day, "),
        ("zh.toml", VOCABULARY.replace("$password", "***"), "zh.toml: $password is missing"),
        (
            "zh.toml",
            VOCABULARY.replace("months = []", "months = ['一月']"),
            "zh.toml: months are 12, or none; there are 1",
        ),
        (
            "zh.toml",
            VOCABULARY.replace("无需", "$password"),
            "zh.toml: $password is no placeholder here; there are none",
        ),
        ("EN.txt", "x", "EN.*: is not named by a language tag in lower case, such as de or pt-br"),
        ("en.txt", "x" * 70000, "en.txt: has more than 65536 octets"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, name: str, text: str, what: str) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(TemplateError) as caught:
        load(tmp_path)
    assert str(caught.value).startswith(what)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "en.txt").write_bytes(b"ab\xff")
    with pytest.raises(TemplateError, match="^en.txt: is not UTF-8 at octet 2"):
        load(tmp_path)
    with pytest.raises(TemplateError, match="there is no such folder"):
        load(tmp_path / "nowhere")
