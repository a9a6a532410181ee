"""The desktop file that has ``rcsgw://`` links open in the terminal client."""

from __future__ import annotations

import configparser
import shlex
from pathlib import Path

from click.testing import CliRunner

from gateway.cli import main
from gateway.clients.link import SCHEMES, InviteLink

FILE = Path(__file__).resolve().parents[3] / "config" / "desktop" / "rcsgw-guest.desktop"


def entry() -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # how the standard library documents it
    parser.read_string(FILE.read_text(encoding="utf-8"))
    assert parser.sections() == ["Desktop Entry"]
    return dict(parser["Desktop Entry"])


def test_it_has_what_a_desktop_needs() -> None:
    found = entry()
    assert (found["Type"], found["Terminal"]) == ("Application", "true")
    assert found["Name"]
    assert all(found[key].endswith(";") for key in ("MimeType", "Categories"))


def test_it_takes_all_schemes_of_our_own() -> None:
    ours = {scheme for scheme in SCHEMES if scheme.startswith("rcsgw")}
    types = entry()["MimeType"].rstrip(";").split(";")
    assert {name.removeprefix("x-scheme-handler/") for name in types} == ours


def test_it_starts_the_guest_with_one_link() -> None:
    program, *words = shlex.split(entry()["Exec"])
    assert (program, words[-1]) == ("rcsgw", "%u")
    assert CliRunner().invoke(main, [*words[:-1], "--help"]).exit_code == 0
    link = InviteLink.parse("rcsgw://gw.example/rcsgw/invitee/session/sip:b@cc.com#passwd=x")
    assert (link.gateway, link.account) == ("https://gw.example", "sip:b@cc.com")
