"""What the configuration of short and multimedia messages must have."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.load import ConfigError, loads

BASE = '[core]\ndomain = "cc.com"\n'
SMPP = '[delivery.sms]\ndriver = "smpp"\n[delivery.smpp]\nhost = "h"\nsystem_id = "gw"\n'
HTTP = '[delivery.sms]\ndriver = "http"\n[delivery.sms_http]\nurl = "http://127.0.0.1/send"\n'
MM7 = '[delivery.mms]\ndriver = "mm7"\n[delivery.mm7]\nurl = "http://127.0.0.1/mm7"\n'


@pytest.mark.parametrize("text", [SMPP, HTTP, MM7, SMPP + 'bind = "transmitter"\nreceipts = "none"\n', ""])
def test_what_is_right(text: str) -> None:
    assert loads(BASE + text).core.domain


@pytest.mark.parametrize(
    "text, key, what",
    [
        ('[gateway]\nregion = "Germany"\n', "gateway.region", "no country"),
        ('[delivery.sms]\ndriver = "pigeon"\n', "delivery.sms.driver", "none of smpp, http"),
        ('[delivery.mms]\ndriver = "smpp"\n', "delivery.mms.driver", "none of mm7"),
        ('[delivery.sms]\ndriver = "smpp"\n', "delivery.smpp.host", "is missing"),
        ('[delivery.sms]\ndriver = "http"\n', "delivery.sms_http.url", "is missing"),
        ('[delivery.mms]\ndriver = "mm7"\n', "delivery.mm7.url", "is missing"),
        (SMPP + 'bind = "transmitter"\n', "delivery.smpp.receipts", "a transmitter hears of none"),
        (SMPP + 'password = "123456789"\n', "delivery.smpp.password", "at most 8 characters"),
        (SMPP + 'password = "x"\npassword_file = "y"\n', "delivery.smpp.password_file", "cannot both be set"),
        (SMPP + 'ca_file = "nowhere"\n', "delivery.smpp.ca_file", "there is no file"),
        (HTTP + 'query = { x = "{nobody}" }\n', "delivery.sms_http.query", "unknown placeholder {nobody}"),
        (HTTP + "json = { x = 1 }\n", "delivery.sms_http.method", "GET has no body"),
        (HTTP + 'method = "POST"\njson = { x = 1 }\nform = { y = "1" }\n', "delivery.sms_http.form", "both"),
        (HTTP + 'reference = "id: [0-9]+"\n', "delivery.sms_http.reference", "needs a group"),
        (HTTP + 'final_body = "("\n', "delivery.sms_http.final_body", "no regular expression"),
        (HTTP + 'password = "x"\n', "delivery.sms_http.username", "is missing"),
        (MM7 + 'sender = "Alice Ltd"\n', "delivery.mm7.sender", "neither a number"),
        (MM7 + 'picture = "nowhere"\n', "delivery.mm7.picture", "there is no file"),
        (MM7 + 'version = "six"\n', "delivery.mm7.version", ""),
    ],
)
def test_what_is_wrong(text: str, key: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(BASE + text, folder=str(tmp_path))
    assert any(f"{key}: " in str(mistake) and what in str(mistake) for mistake in caught.value.mistakes), caught.value


def test_a_picture_that_no_phone_shows(tmp_path: Path) -> None:
    (tmp_path / "logo.bmp").write_bytes(b"BM")
    with pytest.raises(ConfigError, match=r"delivery\.mm7\.picture: is neither PNG nor JPEG nor GIF"):
        loads(BASE + MM7 + 'picture = "logo.bmp"\n', folder=str(tmp_path))


def test_an_extra_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"delivery\.sms\.driver: needs smpplib"):
        loads(BASE + SMPP)
