"""What the command line says when it cannot do what it is asked."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from gateway.cli import OUR_LOGS, log_at, main
from gateway.config.load import load

CONFIG = Path(__file__).resolve().parents[2] / "config"


def said(*arguments: str) -> str:
    """Run a command that fails; return what it prints. A traceback would be another exception than SystemExit."""
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code != 0
    assert isinstance(result.exception, SystemExit)
    return result.output


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["invite", "--user", "a", "--password", "x", "--url", "nowhere", "b@cc.com"], "is not an http or https URL"),
        (["invite", "--user", "a", "--password", "x", "--url", "http://127.0.0.1:1", "b@cc.com"], "Cannot connect"),
        (["invite", "--user", "a", "--password", "x", "fooo"], "fooo is neither an e-mail address nor a number"),
        (["invite", "--user", "a", "b@cc.com"], "there is no password: set RCSGW_PASSWORD"),
        (["guest", "https://gw/rcsgw/invitee/session/sip:b@cc.com#passwd=x"], "the screen needs a terminal"),
        (["lab", "--log", "LOUD"], "is not one of"),
        (["lab", "--folder", "/dev/null/lab"], "/dev/null/lab: Not a directory"),
        (["lab", "--set", "log.trace=/no/such/folder/trace"], "the trace cannot be written"),
        (["serve", "--config", "/no/such/file"], "cannot be read"),
        (["config", "check", "/no/such/file"], "cannot be read"),
    ],
)
def test_mistakes_are_told_in_words(arguments: list[str], text: str) -> None:
    assert text in said(*arguments)


def test_password_of_an_inviter_is_piped_in_where_there_is_no_terminal() -> None:
    """Nothing is echoed, and nobody is warned of that."""
    arguments = ["invite", "--user", "a", "--url", "http://127.0.0.1:1", "b@cc.com"]
    result = CliRunner().invoke(main, arguments, input="secret\n", env={"RCSGW_PASSWORD": ""})
    assert "Cannot connect" in result.output
    assert "secret" not in result.output and "arning" not in result.output


def test_trace_that_cannot_be_written() -> None:
    settings = ("--config", str(CONFIG / "lab.toml"), "--set", "log.trace=/no/such/folder/trace")
    assert "the trace cannot be written" in said("serve", *settings)


def test_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = ("--set", f"sip.bind={address}", "--set", f"gateway.data_dir={tmp_path}")
        text = said("serve", "--config", str(CONFIG / "lab.toml"), *settings)
    assert f"SIP cannot listen on {address}: Address already in use" in text


def test_libraries_do_not_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    """An SMTP server in Python logs every line of a mail at DEBUG, and so the secret in the link."""
    root: dict[str, object] = {}
    monkeypatch.setattr(logging, "basicConfig", lambda **options: root.update(options))
    try:
        log_at("DEBUG")
        assert root["level"] == logging.INFO
        assert logging.getLogger("rcsgw.http").getEffectiveLevel() == logging.DEBUG
        log_at("ERROR")
        assert root["level"] == logging.getLogger("sipstack.net.endpoint").getEffectiveLevel() == logging.ERROR
    finally:
        for name in OUR_LOGS:
            logging.getLogger(name).setLevel(logging.NOTSET)


def test_a_lab_makes_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(*arguments: object, folder: Path, **options: object) -> None:
        assert folder.is_dir()

    monkeypatch.setattr("gateway.labrun.run_lab", run)
    result = CliRunner().invoke(main, ["lab", "--folder", str(tmp_path / "new" / "lab")])
    assert result.exit_code == 0, result.exception


def test_every_subcommand_has_help() -> None:
    for name in ("serve", "lab", "phone", "invite", "config", "provisioning", "accounts"):
        result = CliRunner().invoke(main, [name, "--help"])
        assert result.exit_code == 0 and "Options:" in result.output


def test_configurations_of_the_project() -> None:
    for file in ("gateway.toml", "lab.toml"):
        result = CliRunner().invoke(main, ["config", "check", str(CONFIG / file)])
        assert result.exit_code == 0 and "ok" in result.output


def test_certificate_that_is_none(tmp_path: Path) -> None:
    for name in ("c.pem", "k.pem"):
        (tmp_path / name).write_text("nothing", encoding="ascii")
    file = tmp_path / "gw.toml"
    file.write_text('[core]\ndomain = "cc.com"\n[http]\ncertificate = "c.pem"\nkey = "k.pem"\n', encoding="ascii")
    text = said("config", "check", str(file))
    assert (
        f"line 4: http.certificate: {tmp_path}/c.pem is no certificate (PEM) with its key in {tmp_path}/k.pem" in text
    )


def test_certificate_stands_beside_the_configuration(tmp_path: Path) -> None:
    config = load(CONFIG / "lab.toml")
    assert config.http_files == (None, None)
    http = msgspec.structs.replace(config.http, certificate="c.pem", key="/etc/k.pem")
    config = msgspec.structs.replace(config, http=http, folder=str(tmp_path))
    assert config.http_files == (tmp_path / "c.pem", Path("/etc/k.pem"))
