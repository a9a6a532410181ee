"""Files that a configuration names and that hold something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.load import ConfigError, loads

MAIL = '[delivery.email]\nhost = "mail.example"\nsender = "gw@cc.com"\nsecurity = "starttls"\n'
CORE = '[core]\ndomain = "cc.com"\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (MAIL + 'ca_file = "words"\n', "delivery.email.ca_file: {0}/words holds no certificates of authorities (PEM)"),
        (MAIL + 'username = "u"\npassword_file = "empty"\n', "delivery.email.password_file: {0}/empty is empty"),
        (
            MAIL + 'username = "u"\npassword_file = "octets"\n',
            "password_file: {0}/octets cannot be read: it is no text",
        ),
        (
            '[users]\ndriver = "http"\n[users.http]\nurl = "https://x"\nca_file = "words"\n',
            "users.http.ca_file: {0}/words",
        ),
    ],
)
def test_what_is_in_files(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "words").write_text("no certificate\n")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "octets").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError) as caught:
        loads(CORE + text, folder=str(tmp_path))
    (mistake,) = caught.value.mistakes
    assert problem.format(tmp_path) in str(mistake)
