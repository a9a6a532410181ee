"""The configuration: defaults, and every mistake with its key and line."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.app import endpoint_config
from gateway.config.load import ConfigError, key_lines, load, loads, parse_duration
from gateway.config.settings import Config, split_host_port
from gateway.config.types import Section
from sipstack.flow import Flow
from tests.sipstack.net.certificates import write_certificate

FILES = Path(__file__).parents[3] / "config"
MINIMAL = '[core]\ndomain = "cc.com"\n'


def mistakes(text: str, **overrides: Any) -> list[str]:
    """Return the mistakes of a file as lines."""
    with pytest.raises(ConfigError) as caught:
        loads(text, overrides=overrides)
    return [str(mistake) for mistake in caught.value.mistakes]


@pytest.mark.parametrize("name", ["gateway.toml", "lab.toml"])
def test_files_of_the_project_are_right(name: str) -> None:
    assert load(FILES / name).core.domain


def documented(text: str) -> dict[str, Any]:
    """Return dotted key → value of all lines of a file, those that are commented out included."""
    found: dict[str, Any] = {}
    section = ""
    for line in text.splitlines():
        header = re.fullmatch(r"#?\[\[?([\w.]+)\]\]?", line)
        key = re.fullmatch(r"#?([a-z_]+) = (.*)", line)
        if header:
            section = header[1]
        elif key:
            found[f"{section}.{key[1]}"] = (tomllib.loads(f"x = {key[2]}")["x"], line.startswith("#"))
    return found


def all_keys(kind: type[Any], prefix: str) -> dict[str, Any]:
    """Return dotted key → default of a struct and those in it."""
    keys: dict[str, Any] = {}
    for item in msgspec.structs.fields(kind):
        name = f"{prefix}{item.name}"
        default = item.default if item.default is not msgspec.NODEFAULT else None
        if default is None and item.default_factory is not msgspec.NODEFAULT:
            default = item.default_factory()
        if isinstance(default, Section):
            keys |= {f"{name}.{key}": value for key, value in msgspec.structs.asdict(default).items()}
            keys |= all_keys(type(default), f"{name}.") if prefix else {}
        else:
            keys[name] = default
    return keys


def test_every_key_is_documented_with_its_default() -> None:
    found = documented((FILES / "gateway.toml").read_text())
    config = loads(MINIMAL)
    known: dict[str, Any] = {}
    for section in msgspec.structs.fields(Config):
        if section.name == "folder":
            continue
        for key, value in msgspec.structs.asdict(getattr(config, section.name)).items():
            if isinstance(value, Section):
                known |= {f"{section.name}.{key}.{name}": item for name, item in msgspec.structs.asdict(value).items()}
            elif key not in ("options", "subscriber"):
                known[f"{section.name}.{key}"] = value
    subscriber = {key for key in found if key.startswith("users.subscriber.")}
    assert {key.rpartition(".")[2] for key in subscriber} == set(all_keys(type_of_subscriber(), ""))
    assert set(found) - subscriber == set(known)
    for key, (value, is_default) in found.items():
        if not is_default or key in subscriber:
            continue
        if isinstance(value, str) and isinstance(known[key], float):
            value = parse_duration(value)
        if isinstance(known[key], Section):
            value = msgspec.convert(value, type(known[key]))
        assert (tuple(value) if isinstance(value, list) else value) == known[key], key


def type_of_subscriber() -> type[Any]:
    from gateway.config.users import Subscriber

    return Subscriber


def test_defaults_and_derived_values(tmp_path: Path) -> None:
    config = loads(MINIMAL, folder=str(tmp_path))
    assert config.realm == "cc.com" and config.account_domain == "cc.com"
    assert config.database == tmp_path / "data" / "rcsgw.db" and config.key_file == tmp_path / "data" / "rcsgw.key"
    (tmp_path / "password").write_text("secret\n")
    assert config.secret("", "password") == "secret" and config.secret("other", "") == "other"


def test_overrides_replace_what_the_file_says() -> None:
    config = loads(MINIMAL, overrides={"core.domain": "x.org", "provisioning.retry.first": "1s", "core.expires": 60})
    assert (config.core.domain, config.core.expires, config.provisioning.retry.first) == ("x.org", 60, 1.0)
    assert mistakes(MINIMAL, **{"core.domain.x": 1}) == ["line 2: core.domain: has to be text, not an object"]


def test_all_mistakes_are_named_at_once_with_key_and_line() -> None:
    text = """[core]
domain = "cc.com"
expires = "soon"

[[users.subscriber]]
uid = "a"
[[users.subscriber]]
uid = 3
password = "p"
color = "red"
[policy]
valid_for = "3y"
types = [
  "im",
  "fax",
]
[htpp]
x = 1
[http]
trusted_proxies = ["10.0.0.0/8", "10.0.0.1/8"]
listen = "here"
"""
    assert mistakes(text) == [
        "line 3: core.expires: has to be a whole number, not text",
        "line 5: users.subscriber[1].password: is missing",
        "line 8: users.subscriber[2].uid: has to be text, not a whole number",
        "line 10: users.subscriber[2].color: is no key of this table",
        'line 12: policy.valid_for: is not a duration such as 10, "10s", "5m", "2h" or "7d"',
        "line 13: policy.types: 'fax' is none of im, file",
        "line 17: htpp: is no table of this file",
        "line 20: http.trusted_proxies: is not a network such as 10.0.0.0/8: 10.0.0.1/8 has host bits set",
        "line 21: http.listen: is not host:port",
    ]


@pytest.mark.parametrize(
    "text, problem",
    [
        ("", "core.domain: is missing"),
        ("core = 3\n", "line 1: core: must be a table ([core])"),
        (MINIMAL + "[users]\nsubscriber = 3\n", "users.subscriber: must be an array of tables ([[users.subscriber]])"),
        (MINIMAL + '[users]\ndriver = "ldap"\n', "line 4: users.driver: is none of local, register"),
        (MINIMAL + '[users]\ndriver = "a b"\n', "line 4: users.driver: is neither a driver nor an import path"),
        (MINIMAL + '[users]\ndriver = "register"\n', "users.register.domains: is missing"),
        (
            MINIMAL
            + '[users]\ndriver = "register"\nregister.domains = ["cc.com"]\n'
            + '[policy]\ninvite = "level"\nmin_level = 2\n',
            'line 7: policy.invite: cannot be "level" with the register driver',
        ),
        (
            MINIMAL + '[users]\ndriver = "x:Y"\n[[users.subscriber]]\nuid = "a"\npassword = "p"\n'
            'identities = ["sip:a@b"]\n',
            "users.subscriber: belongs to the local driver",
        ),
        (
            MINIMAL + '[[users.subscriber]]\nuid = "a"\npassword = "p"\nidentities = ["sip:a@b"]\n' * 2,
            "users.subscriber: has 'a' twice",
        ),
        (
            MINIMAL + '[[users.subscriber]]\nuid = "a"\npassword = "p"\nidentities = ["a@b"]\n',
            "users.subscriber: identity 'a@b' of a is neither a SIP nor a tel URI",
        ),
        (MINIMAL + '[[users.subscriber]]\nuid = "a"\npassword = "p"\n', "users.subscriber: a needs a SIP identity"),
        (MINIMAL + '[policy]\nvalid_for = "60d"\n', "line 4: policy.valid_for: is longer than policy.max_valid_for"),
        (MINIMAL + "[policy]\nmin_level = 1\n", 'policy.min_level: counts with invite = "level" only'),
        (
            MINIMAL + '[delivery.receipts]\nsms = "abc"\n',
            "delivery.receipts.sms: is not 22 to 128 letters, digits, - or _",
        ),
        (MINIMAL + '[policy]\nmessage_wait = "3s"\n', "policy.message_wait: has to be at most 2.5"),
        (MINIMAL + '[provisioning]\ndriver = "lab"\n', "provisioning.lab.url: is missing"),
        (MINIMAL + '[provisioning]\ndriver = "kamailio"\n', "provisioning.kamailio.database: is missing"),
        (MINIMAL + '[provisioning.kamailio]\ndatabase = "/no/such"\n', "there is no file"),
        (MINIMAL + "[provisioning.retry]\nfirst = 100\n", "provisioning.retry.first: is longer than the longest"),
        (MINIMAL + '[accounts]\nimpi = "x"\n', "accounts.impi: must hold {user}"),
        (MINIMAL + '[accounts]\nimpi = "{user}{x}"\n', "accounts.impi: must hold {user}"),
        (MINIMAL + '[accounts]\ntemplate = "{color}"\n', "accounts.template: unknown field {color}"),
        (MINIMAL + '[interaction]\ndriver = "sip"\n', "interaction.sip.identity: is missing"),
        (MINIMAL + '[interaction]\ndriver = "sip"\n', "interaction.sip.im: is missing"),
        (MINIMAL + '[interaction]\ndriver = "sip"\nsip.expires = 60\n', "sip.expires: is shorter"),
        (MINIMAL + '[interaction.sip]\nim = "sip:im"\n', "interaction.sip: is not used"),
        (MINIMAL + '[interaction.sip]\nim = "http:im"\n', "line 4: interaction.sip.im: is not a SIP URI"),
        (MINIMAL + '[interaction.sip]\nim = "sip:im:50x"\n', "line 4: interaction.sip.im: is not a SIP URI"),
        (MINIMAL + '[interaction.sip]\nim = "<sip:im>"\n', "line 4: interaction.sip.im: is not a SIP URI"),
        (MINIMAL + '[delivery.email]\nhost = "h"\n', "delivery.email.sender: is missing"),
        (MINIMAL + '[delivery.email]\nsender = "h"\n', "delivery.email.sender: is not an e-mail address"),
        (MINIMAL + '[delivery.email]\nusername = "h"\n', "delivery.email.username: needs a password"),
        (
            MINIMAL + '[delivery.email]\nhost = "mx"\nusername = "h"\npassword = "p"\npassword_file = "f"\n',
            "delivery.email.password_file: and password cannot both be set",
        ),
        (
            MINIMAL + '[delivery.email]\nhost = "mx"\nusername = "h"\npassword = "p"\n',
            'delivery.email.security: must be "starttls" or "tls"',
        ),
        (MINIMAL + '[http]\ncertificate = "c"\n', "http.certificate: and http.key go together"),
        (MINIMAL + '[msrp]\nkey = "k"\n', "msrp.certificate: and msrp.key go together"),
        (MINIMAL + '[msrp]\nsecurity = "require"\n', "msrp.security: needs msrp.certificate"),
        (MINIMAL + '[sip]\ncertificate = "c"\n', "sip.certificate: and sip.key go together"),
        (MINIMAL + '[sip]\nca_file = "none.pem"\n', "sip.ca_file: there is no file"),
        (MINIMAL + '[sip]\ntls_clients = "ask"\n', "sip.tls_clients: needs sip.ca_file"),
        (MINIMAL + '[sip]\ncertificate = "c"\nkey = "k"\ntls_port = 5070\n', "sip.tls_port: is the port of sip.bind"),
        (MINIMAL + '[sip]\nwebsocket_path = "ws"\n', "sip.websocket_path: is not a path that begins with /"),
        (MINIMAL + '[sip]\nsession_expires = "60s"\n', "sip.session_expires: must be 0 or at least sip.min_se"),
        (MINIMAL + '[sip]\nmin_se = "60s"\n', "sip.min_se"),
        (MINIMAL + '[msrp]\nrelays = ["sip:relay"]\n', "msrp.relays: is not an MSRP URI"),
        (MINIMAL + '[msrp]\nrelays = ["msrp://relay;udp"]\n', "msrp.relays: is not an MSRP URI"),
        (MINIMAL + '[msrp]\nrelays = ["msrp://relay;ws"]\n', "msrp.relays: cannot be used: msrp://relay;ws has"),
        (MINIMAL + '[msrp]\nrelays = ["msrp://r;tcp"]\nsecurity = "offer"\n', "is decided by the relays"),
        (MINIMAL + '[msrp]\nca_file = "none.pem"\n', "msrp.ca_file: there is no file"),
        (MINIMAL + '[http]\nlisten = ""\n', "http.listen: is missing"),
        (MINIMAL + '[http]\noperator_listen = "127.0.0.1:8080"\n', "http.operator_listen: is the public listener too"),
        (MINIMAL + "[sip]\nudp = false\ntcp = false\n", "sip.udp: and sip.tcp cannot both be off"),
        (MINIMAL + '[sip]\nbind = "0.0.0.0:5070"\n', "sip.advertise: is missing"),
        (MINIMAL + '[msrp]\nbind = ""\n', "msrp.bind: is missing"),
        (MINIMAL + '[msrp]\nallowed_ports = ["0"]\n', "msrp.allowed_ports: is not a port"),
        (MINIMAL + '[gateway]\npublic_url = "http://x.org"\n', "gateway.public_url: must be https"),
        (MINIMAL + '[gateway]\npublic_url = "x.org"\n', "gateway.public_url: is not an http or https URL"),
        (MINIMAL + '[sip]\nuser_agent = "a\\nb"\n', "sip.user_agent: must not hold control characters"),
        ('[core]\ndomain = "-"\n', "core.domain: is not a domain name"),
        ('[core]\ndomain = "cc.com"\noutbound_proxy = ""\n', "core.outbound_proxy: is missing"),
        (
            '[core]\ndomain = "cc.com"\noutbound_proxy = ""\nalternatives = ["sip:192.0.2.2"]\n',
            "core.alternatives: needs core.outbound_proxy",
        ),
        (
            MINIMAL + 'outbound_proxy = "sip:192.0.2.1"\nalternatives = ["sip:192.0.2.2", "sip:192.0.2.1"]\n',
            "core.alternatives: names an outbound proxy twice",
        ),
        (MINIMAL + 'alternatives = ["192.0.2.2"]\n', "core.alternatives"),
        (MINIMAL + "flows = 5\n", "core.flows"),
        (MINIMAL + '[sip]\nname_servers = ["192.0.2.53"]\n', "sip.name_servers"),
        (MINIMAL + "[sip]\nredirects = 6\n", "sip.redirects"),
        (MINIMAL + '[files]\nallow = ["image"]\n', "files.allow: is not a media type or range"),
        (MINIMAL + "[files]\nallow = []\n", "files.allow: is empty"),
        (MINIMAL + "[files]\nguest_bytes = 1000\n", "files.max_size: is more than files.guest_bytes"),
        (MINIMAL + "[files]\nmax_spool = 1000\n", "files.guest_bytes: is more than files.max_spool"),
        (MINIMAL + "[files]\nthumbnail_max_size = 2000000\n", "files.thumbnail_max_size: is more than 1048576"),
        (MINIMAL + "[files.retry]\nfirst = 100\n", "files.retry.first: is longer than the longest pause"),
        (MINIMAL + f'[files]\nfolder = "{__file__}"\n', "files.folder: "),
        (MINIMAL + '[files.content]\nserver = "ftp://x"\n', 'files.content.server: is neither "own" nor "off"'),
        (MINIMAL + '[files.content]\nserver = ""\n', 'files.content.server: is neither "own" nor "off"'),
        (MINIMAL + '[files.content]\nserver = "off"\nprefer = true\n', "files.content.prefer: needs"),
        (MINIMAL + 'service_account = "sip:x@cc.com"\n', "core.service_account: needs service_password"),
        (MINIMAL + 'service_password = "x"\n', "core.service_account: is missing"),
        (MINIMAL + 'service_sim_file = "nowhere"\n', "core.service_sim_file: there is no file"),
        (MINIMAL + f'service_sim_file = "{__file__}"\n', "core.service_sim_file: cannot be used"),
        (MINIMAL + 'service_password = "x"\nservice_sim_file = "y"\n', "core.service_sim_file: and a password"),
    ],
)
def test_mistakes(text: str, problem: str) -> None:
    assert any(problem in line for line in mistakes(text)), mistakes(text)


def test_broken_toml_and_missing_files(tmp_path: Path) -> None:
    assert mistakes("[core\n")[0].startswith("line 1: ")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.toml")
    (tmp_path / "x.toml").write_text("[core]\nfoo = 1\n")
    with pytest.raises(ConfigError, match=r"x\.toml: line 2: core\.foo"):
        load(tmp_path / "x.toml")


def test_lines_of_keys_in_all_forms_of_toml() -> None:
    text = '''# a = 1
a = 1 # b = 2
"quoted key" = """
[no.table]
x = 1
"""
c.d = [
  1, # [x]
  "]", 'y = 2',
]
[ t . u ]
v = { w = 1 }
[[arr]]
k = 1
[[arr]]
k = '\'
[arr.sub]
m = 1
'''
    assert key_lines(text) == {
        ("a",): 2,
        ("quoted key",): 3,
        ("c", "d"): 7,
        ("t", "u"): 11,
        ("t", "u", "v"): 12,
        ("arr", 0): 13,
        ("arr", 0, "k"): 14,
        ("arr", 1): 15,
        ("arr", 1, "k"): 16,
        ("arr", 1, "sub"): 17,
        ("arr", 1, "sub", "m"): 18,
    }


@pytest.mark.parametrize("text, seconds", [("10", 10), ("250ms", 0.25), ("1.5s", 1.5), ("5m", 300), ("7d", 604800)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "host", "host:", ":80", "host:99999", "::1:80", "h:8o"])
def test_no_host_and_port(text: str) -> None:
    with pytest.raises(ValueError):
        split_host_port(text)


def test_host_and_port() -> None:
    assert split_host_port("[::1]:80") == ("::1", 80)
    assert split_host_port("localhost:0") == ("localhost", 0)


def test_certificate_of_sip(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    path = tmp_path / "gateway.toml"
    files = f'[sip]\ncertificate = "{certificate.name}"\nkey = "{key.name}"\nca_file = "{certificate.name}"\n'
    path.write_text(MINIMAL + files + "tls_port = 5062\ntls_advertise_port = 5063\n")
    settings = endpoint_config(load(path))
    assert settings.tls is not None and settings.tls.server is not None
    assert (settings.tls_port, settings.tls_advertise_port) == (5062, 5063)
    assert settings.transports == ("UDP", "TCP", "TLS")
    path.write_text(MINIMAL + files + 'tls_clients = "none"\n')
    settings = endpoint_config(load(path))
    assert settings.tls is not None and settings.tls.server is None
    path.write_text(MINIMAL + files.replace(key.name, certificate.name))
    with pytest.raises(ConfigError, match=r"sip\.certificate: .* is no certificate"):
        load(path)


@pytest.mark.parametrize(
    ("proxy", "transports"),
    [
        ("sip:core.example;transport=tcp;lr", ("UDP", "TCP")),
        ("sips:core.example;lr", ("UDP", "TCP", "TLS")),
        ("sip:core.example;transport=tls;lr", ("UDP", "TCP", "TLS")),
        ("sip:core.example;transport=ws;lr", ("UDP", "TCP", "WS")),
        ("sip:core.example;transport=wss;lr", ("UDP", "TCP", "TLS", "WS", "WSS")),
        ("sips:core.example;transport=ws;lr", ("UDP", "TCP", "TLS", "WS", "WSS")),
    ],
)
def test_the_core_decides_on_transports(proxy: str, transports: tuple[str, ...]) -> None:
    settings = endpoint_config(loads(f'{MINIMAL}outbound_proxy = "{proxy}"\n'))
    assert settings.transports == transports
    for name, believed in (("core.example", True), ("cc.com", True), ("stranger.example", False), ("", False)):
        assert settings.trusted(Flow("TLS", ("192.0.2.1", 5061), name=name)) is believed


def test_certificate_of_msrp(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    path = tmp_path / "gateway.toml"
    files = f'[msrp]\ncertificate = "{certificate.name}"\nkey = "{key.name}"\nca_file = "{certificate.name}"\n'
    path.write_text(MINIMAL + files + 'security = "require"\n')
    settings = endpoint_config(load(path))
    assert settings.msrp_protocols == ("TCP/TLS/MSRP",) and settings.msrp_tls_port == 2856
    path.write_text(MINIMAL + files.replace(key.name, certificate.name))
    with pytest.raises(ConfigError, match=r"msrp\.certificate: .* is no certificate"):
        load(path)
    path.write_text(MINIMAL)
    assert endpoint_config(load(path)).msrp_tls is None
    path.write_text(MINIMAL + '[msrp]\nrelays = ["msrps://relay.example:2855;tcp"]\n')
    settings = endpoint_config(load(path))
    assert settings.msrp_relays[0].host == "relay.example"
    assert settings.msrp_tls is not None and settings.msrp_tls.server is None
    path.write_text(MINIMAL + '[msrp]\nrelays = ["msrps://relay.example:443;ws"]\n')
    settings = endpoint_config(load(path))
    assert settings.msrp_relays[0].transport == "ws" and settings.msrp_cema
    path.write_text(MINIMAL + "[msrp]\ncema = false\n")
    assert not endpoint_config(load(path)).msrp_cema
