"""What fits together in the tables of users drivers and the policy."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.load import ConfigError, loads
from tests.gateway.doctor.papers import write_papers

MINIMAL = '[core]\ndomain = "cc.com"\n'
HTTP = '[users]\ndriver = "http"\n[users.http]\nurl = "https://up.example/v1"\n'
KAMAILIO = '[users]\ndriver = "kamailio"\n[users.kamailio]\ndatabase = "mysql://ro:pw@db.example/kamailio"\n'
REGISTER = '[users]\ndriver = "register"\nregister.domains = ["cc.com"]\n'
LEVEL = '[policy]\ninvite = "level"\nmin_level = 2\n'
ACTIVE = '[policy]\ninvite = "active"\n'
END = '[policy]\non_suspend = "end"\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[users]\ndriver = "http"\n', "users.http.url: is missing"),
        (HTTP.replace("https", "http"), "users.http.url: must be https outside of this machine"),
        (HTTP.replace("https", "ftp"), "users.http.url: is not an http or https URL"),
        (HTTP + 'username = "gw"\n', "users.http.username: and users.http.password_file go together"),
        (HTTP + 'token_file = "none"\n', "users.http.token_file: there is no file"),
        (HTTP + 'ca_file = "none"\n', "users.http.ca_file: there is no file"),
        (HTTP + 'token_file = "t"\nusername = "gw"\n', "users.http.token_file: and username cannot both be set"),
        (HTTP + 'cache = "2m"\n', "users.http.cache: has to be at most 60"),
        ('[users]\ndriver = "kamailio"\n', "users.kamailio.database: is missing"),
        (KAMAILIO.replace("mysql", "oracle"), "users.kamailio.database: begins with none of mysql://"),
        (KAMAILIO.replace("mysql://ro:pw@db.example/kamailio", "none.db"), "users.kamailio.database: there is no file"),
        (KAMAILIO + 'password_file = "none"\n', "users.kamailio.password_file: and a password in the URL"),
        (KAMAILIO.replace(":pw", "") + 'password_file = "none"\n', "users.kamailio.password_file: there is no file"),
        (KAMAILIO + 'email = "a b"\n', "users.kamailio.email: is not the name of a column"),
        (KAMAILIO + 'state = "s; DROP TABLE x"\n', "users.kamailio.state: is not the name of a column"),
        (KAMAILIO + 'states = { A = "active" }\n', "users.kamailio.states: needs users.kamailio.state"),
        (KAMAILIO + 'state = "s"\nstates = { A = "on" }\n', "users.kamailio.states: "),
    ],
)
def test_drivers(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(MINIMAL + text)
    assert problem in str(caught.value) and "pw" not in str(caught.value).replace("password", "")


@pytest.mark.parametrize(
    ("driver", "policy", "lacking"),
    [
        (REGISTER, LEVEL, 'cannot be "level" with the register driver, which does not tell the state and the level'),
        (REGISTER, ACTIVE, 'cannot be "active" with the register driver, which does not tell the state'),
        (REGISTER, END, 'policy.on_suspend: cannot be "end" with the register driver'),
        (REGISTER, '[policy]\ninvite = "any"\n', ""),
        (KAMAILIO, ACTIVE, "which does not tell the state; set users.kamailio.state"),
        (KAMAILIO, END, 'policy.on_suspend: cannot be "end" with the kamailio driver'),
        (KAMAILIO + 'state = "s"\n', ACTIVE + 'on_suspend = "end"\n', ""),
        (KAMAILIO + 'state = "s"\n', LEVEL, "which does not tell the level; set users.kamailio.level"),
        (KAMAILIO + 'state = "s"\nlevel = "l"\n', LEVEL, ""),
        (HTTP, LEVEL + 'on_suspend = "end"\n', ""),
        ("", LEVEL + 'on_suspend = "end"\n', ""),
        ('[users]\ndriver = "package.module:Class"\n', LEVEL + 'on_suspend = "end"\n', ""),
    ],
)
def test_a_policy_needs_a_driver_that_can_tell(driver: str, policy: str, lacking: str) -> None:
    if not lacking:
        loads(MINIMAL + driver + policy)
        return
    with pytest.raises(ConfigError) as caught:
        loads(MINIMAL + driver + policy)
    assert lacking in str(caught.value)


def test_what_is_right(tmp_path: Path) -> None:
    for name in ("token", "password", "kamailio.db"):
        (tmp_path / name).write_text("x")
    write_papers(tmp_path, "ca")
    sections = (
        HTTP + 'token_file = "token"\nca_file = "ca.crt"\nallocate = true\n',
        HTTP.replace("https://up.example", "http://127.0.0.1:8070") + 'username = "gw"\npassword_file = "password"\n',
        KAMAILIO.replace(":pw", "") + 'password_file = "password"\nstate = "s"\nstates = { A = "active" }\n',
        KAMAILIO.replace("mysql://ro:pw@db.example/kamailio", "kamailio.db"),
    )
    for text in sections:
        loads(MINIMAL + text, folder=str(tmp_path))
