"""The doctor and real counterparts: Kamailio, a mail server with STARTTLS and a password, an SMPP centre, an IM server.

One good set-up, which is all green; and many that have one fault each, of which that one is named, and no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sqlite3
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from click.testing import CliRunner, Result

from gateway.app import Gateway
from gateway.cli import main
from gateway.config.load import load
from gateway.config.settings import Config
from gateway.doctor.base import Finding, Verdict
from gateway.doctor.examination import diagnose
from gateway.doctor.patient import Patient
from gateway.lab.imserver import ImServer
from gateway.lab.interaction import InteractionOptions
from gateway.lab.kamailio import CONFIG_FOLDER, Kamailio, has_module
from gateway.lab.mailbox import Mailbox
from gateway.lab.ports import free_port
from sipstack.net.config import EndpointConfig
from sipstack.net.endpoint import Endpoint
from tests.gateway.doctor.papers import write_papers
from tests.interop import smsc
from tests.interop.conftest import needs_kamailio
from tests.interop.smsc import Smsc

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="module")]

DOMAIN = "cc.com"
SECRETS = {"mail": "mail-geheim", "service": "service-geheim", "alice": "alice-geheim", "smpp": smsc.PASSWORD}

CONFIG = """
[gateway]
public_url = "http://127.0.0.1:{http}"
[http]
listen = "127.0.0.1:{http}"
operator_listen = "127.0.0.1:{operator}"
[core]
domain = "cc.com"
outbound_proxy = "sip:127.0.0.1:{sip};transport=tcp;lr"
service_account = "sip:rcsgw@cc.com"
service_password = "service-geheim"
[sip]
bind = "127.0.0.1:{ours}"
[msrp]
bind = "127.0.0.1:{msrp}"
tls_port = {msrps}
certificate = "good.crt"
key = "good.key"
allowed_networks = ["127.0.0.0/8"]
[provisioning]
driver = "kamailio"
[provisioning.kamailio]
database = "kamailio/kamailio.db"
[interaction]
driver = "sip"
[interaction.sip]
im = "sip:127.0.0.1:{im};transport=tcp"
identity = "sip:rcsgw@cc.com"
[delivery.email]
host = "127.0.0.1"
port = {mail}
sender = "gateway@cc.com"
security = "starttls"
ca_file = "mail.crt"
username = "gateway"
password = "mail-geheim"
[delivery.sms]
driver = "smpp"
[delivery.smpp]
host = "127.0.0.1"
port = {smpp}
system_id = "gw"
password_file = "smpp.password"
[[users.subscriber]]
uid = "a"
password = "alice-geheim"
identities = ["sip:a@cc.com"]
"""


@dataclass
class Clinic:
    """The counterparts, and a configuration that fits them."""

    folder: Path
    core: Kamailio
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.folder / "gateway.toml"

    def config(self, **changes: Any) -> Config:
        """Return the good configuration with changes; keys have ``__`` for dots."""
        return load(self.path, {key.replace("__", "."): value for key, value in changes.items()})

    async def findings(self, *only: str, mail_to: str = "", **changes: Any) -> list[Finding]:
        findings = await diagnose(Patient(self.config(**changes), mail_to), only=only, timeout=5.0)
        text = repr(findings)
        assert not [secret for secret in SECRETS.values() if secret in text]
        assert [user for user in self.core.subscribers() if "doctor" in user] == []
        return findings

    async def faults(self, *only: str, **changes: Any) -> dict[str, str]:
        """Return what has failed: check → what was found and what to do."""
        findings = await self.findings(*only, **changes)
        failed = [item for item in findings if item.verdict is Verdict.FAILED]
        assert all(item.remedy for item in failed), failed
        return {item.check: f"{item.found} → {item.remedy}" for item in failed}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clinic(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Clinic]:
    needs_kamailio()
    if not smsc.is_available():
        pytest.skip("libnet-smpp-perl is not installed")
    folder = tmp_path_factory.mktemp("clinic")
    for name in ("good", "mail"):
        write_papers(folder, name)
    (folder / "smpp.password").write_text(f"{SECRETS['smpp']}\n")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "mail.crt", folder / "mail.key")
    async with contextlib.AsyncExitStack() as stack:
        options = InteractionOptions(domain=DOMAIN, database=folder / "im.db")
        server = await stack.enter_async_context(ImServer(options))
        mailbox = await stack.enter_async_context(Mailbox(credentials=("gateway", SECRETS["mail"]), tls=tls))
        secure = has_module("tls")
        certificate, key = (folder / "mail.crt", folder / "mail.key") if secure else (None, None)
        core = await stack.enter_async_context(
            Kamailio(folder / "kamailio", domain=DOMAIN, msrp=True, tls=secure, certificate=certificate, key=key)
        )
        centre = await stack.enter_async_context(Smsc())
        core.add_subscriber("rcsgw", SECRETS["service"])
        closed = stack.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))  # ours, so that nobody comes to listen there
        ports = {name: free_port() for name in ("http", "operator", "ours", "msrp", "msrps")}
        ports |= {
            "sip": core.sip_port,
            "im": server.address[1],
            "mail": mailbox.address[1],
            "smpp": centre.port,
            "relay": core.msrp_port,
            "closed": closed.getsockname()[1],
        }
        (folder / "gateway.toml").write_text(CONFIG.format(**ports))
        yield Clinic(folder, core, ports)


# all is well


async def test_a_good_set_up_is_all_green(clinic: Clinic) -> None:
    findings = await clinic.findings(mail_to="b@cc.com")
    verdicts = {item.check: item.verdict for item in findings}
    assert [item for item in findings if item.verdict in (Verdict.FAILED, Verdict.WARNING)] == []
    assert [check for check, verdict in verdicts.items() if verdict is Verdict.SKIPPED] == ["clock.agreement"]
    found = {item.check: item.found for item in findings}
    assert found["core.challenge"] == "realm cc.com, MD5, qop auth"
    assert found["core.options"] == "OPTIONS comes back to 127.0.0.1 through the core: 200"
    assert "STARTTLS, logged in as gateway, would take a mail to b@cc.com" in found["delivery.email"]
    assert "bound and unbound" in found["delivery.sms"]


async def test_it_works_beside_a_running_gateway(clinic: Clinic) -> None:
    changes = {"gateway__data_dir": str(clinic.folder / "running"), "delivery__sms__driver": ""}
    async with Gateway(clinic.config(**changes)):
        findings = {item.check: item for item in await clinic.findings(**changes)}
    assert {item.check for item in findings.values() if item.verdict is Verdict.FAILED} == set()
    assert findings["store.lock"].verdict is Verdict.WARNING
    assert findings["http.public_url"].found.startswith("a gateway answers")
    assert "a gateway has" in findings["msrp.address"].found
    assert findings["core.options"].verdict is Verdict.OK


async def test_other_ways_are_green_too(clinic: Clinic) -> None:
    """Subscribers who are asked by REGISTER, an MSRP relay, UDP, and accounts from a pool."""
    clinic.core.add_subscriber("pool1", "pool-geheim")
    pool = clinic.folder / "pool.csv"
    pool.write_text("uri,impi,realm,password\nsip:pool1@cc.com,pool1,cc.com,pool-geheim\n")
    pool.chmod(0o600)
    findings = await clinic.findings(
        users__driver="register",
        users__register__domains=[DOMAIN],
        users__subscriber=[],
        msrp__relays=[f"msrp://127.0.0.1:{clinic.core.msrp_port};tcp"],
        core__outbound_proxy=f"sip:127.0.0.1:{clinic.core.sip_port};lr",
        provisioning__driver="pool",
        provisioning__pool__file="pool.csv",
    )
    found = {item.check: item for item in findings}
    assert [item for item in findings if item.verdict in (Verdict.FAILED, Verdict.WARNING)] == []
    assert found["core.register"].found.startswith("sip:pool1@cc.com is registered")
    assert found["msrp.relay"].found == f"a path by 127.0.0.1:{clinic.core.msrp_port}"
    assert found["users.login"].found == "refused, as it must be"
    assert await clinic.core.rpc("ul.dump") is not None
    assert not (clinic.folder / "data").exists()


async def test_a_core_by_tls_is_green_too(clinic: Clinic) -> None:
    needs_kamailio("tls")
    secure = {"outbound_proxy": f"sip:127.0.0.1:{clinic.core.sips_port};transport=tls;lr"}
    changes = {f"core__{key}": value for key, value in secure.items()} | {"sip__ca_file": "mail.crt"}
    findings = await clinic.findings("core", **changes)
    found = {item.check: item for item in findings}
    assert [item for item in findings if item.verdict is not Verdict.OK] == []
    assert found["core.certificate"].found.startswith("the core's certificate is good for 127.0.0.1 until ")
    assert found["core.tls"].found == "the core answers 200 Alive" and "core.udp" not in found


@pytest.mark.parametrize(
    ("host", "port", "authorities", "words"),
    [
        ("127.0.0.1", "sips", "good.crt", "we do not believe 127.0.0.1:"),
        ("localhost", "sips", "mail.crt", "the core's certificate is for 127.0.0.1, not for localhost"),
        ("127.0.0.1", "sip", "mail.crt", "no TLS with 127.0.0.1:"),
        ("127.0.0.1", "closed", "mail.crt", "cannot be reached: "),
    ],
)
async def test_a_core_that_is_not_who_it_should_be(
    clinic: Clinic, host: str, port: str, authorities: str, words: str
) -> None:
    needs_kamailio("tls")
    ports = {**clinic.ports, "sips": clinic.core.sips_port}
    proxy = f"sip:{host}:{ports[port]};transport=tls;lr"
    faults = await clinic.faults("core", core__outbound_proxy=proxy, sip__ca_file=authorities)
    assert list(faults) == ["core.certificate"] and words in faults["core.certificate"]


async def test_an_account_is_taken_away_when_the_examination_is_broken_off(clinic: Clinic) -> None:
    examination = asyncio.create_task(diagnose(Patient(clinic.config()), timeout=5.0))
    while not (there := [user for user in clinic.core.subscribers() if "doctor" in user]):
        assert not examination.done()
        await asyncio.sleep(0.001)
    examination.cancel()
    with pytest.raises(asyncio.CancelledError):
        await examination
    assert not set(there) & set(clinic.core.subscribers())


def run(*arguments: str) -> Result:
    """Run the command as a shell would."""
    return CliRunner().invoke(main, ["doctor", *arguments])


async def test_the_command(clinic: Clinic) -> None:
    config = ("--config", str(clinic.path))
    good = await asyncio.to_thread(run, *config, "--only", "core")
    assert good.exit_code == 0 and "realm cc.com, MD5, qop auth" in good.output
    bad = await asyncio.to_thread(run, *config, "--json", "--only", "core", "--set", "core.realm=elsewhere.example")
    assert bad.exit_code == 1
    told = json.loads(bad.output)
    assert told["verdict"] == "failed"
    assert {item["check"]: item["verdict"] for item in told["findings"]}["core.challenge"] == "failed"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("provisioning.kamailio.database=no/such/kamailio.db", "provisioning.kamailio.database: there is no file"),
        ("delivery.smpp.password_file=no.password", "delivery.smpp.password_file: there is no file"),
        ("msrp.key=mail.key", "msrp.certificate"),
        ("core.nonsense=1", "core.nonsense"),
    ],
)
async def test_what_the_configuration_itself_shows_is_status_2(clinic: Clinic, change: str, words: str) -> None:
    result = await asyncio.to_thread(run, "--config", str(clinic.path), "--set", change)
    assert result.exit_code == 2
    assert words in result.output


# one fault each

FAULTS: dict[str, tuple[set[str], str, dict[str, Any]]] = {
    "wrong realm": ({"core.challenge"}, 'Set core.realm = "cc.com"', {"core__realm": "elsewhere.example"}),
    "no registration events": (
        {"core.events"},
        "core.registration_events = false",
        {"core__registration_events": True},
    ),
    "wrong domain": (
        {"core.challenge"},
        "Is core.domain right?",
        {"core__domain": "elsewhere.example"},
    ),
    "closed port": (
        {"core.tcp"},
        "does not answer by TCP",
        {"core__outbound_proxy": "sip:127.0.0.1:{closed};transport=tcp;lr"},
    ),
    "wrong algorithm": (
        {"core.challenge"},
        'Set provisioning.kamailio.algorithm = "MD5"',
        {"provisioning__kamailio__algorithm": "SHA-256"},
    ),
    "wrong service password": (
        {"core.service"},
        "core.service_user and core.service_password",
        {"core__service_password": "falsch-falsch"},
    ),
    "address of another machine": ({"core.bind"}, "Let sip.bind be", {"sip__bind": "192.0.2.1:5070"}),
    "wrong path of the core's database": (
        {"provisioning.driver"},
        "file is not a database → Check the keys of provisioning.kamailio",
        {"provisioning__kamailio__database": "gateway.toml"},
    ),
    "database without subscribers": (
        {"provisioning.driver"},
        "has no table subscriber",
        {"provisioning__kamailio__database": "empty.db"},
    ),
    "subscriber table of an old version": (
        {"provisioning.driver"},
        "table subscriber has no column ha1",
        {"provisioning__kamailio__database": "old.db"},
    ),
    "subscriber table of another core": (
        {"core.register"},
        "may not register",
        {"provisioning__kamailio__database": "other.db"},
    ),
    "MSRP address closed": (
        {"msrp.address"},
        "Let msrp.advertise be the address",
        {"msrp__advertise": "127.0.0.1:{closed}"},
    ),
    "MSRP address of another server": (
        {"msrp.address"},
        "somebody else answers",
        {"msrp__advertise": "127.0.0.1:{mail}"},
    ),
    "expired certificate": (
        {"certificates.msrp"},
        "has expired",
        {"msrp__certificate": "expired.crt", "msrp__key": "expired.key"},
    ),
    "certificate of another name": (
        {"certificates.http", "http.public_url"},
        "is for other.example, not for 127.0.0.1",
        {
            "http__certificate": "other.crt",
            "http__key": "other.key",
            "gateway__public_url": "https://127.0.0.1:{http}",
        },
    ),
    "wrong mail password": (
        {"delivery.email"},
        "Correct the login in delivery.email",
        {"delivery__email__password": "falsch-falsch"},
    ),
    "mail server whose authority is unknown": (
        {"delivery.email"},
        "does delivery.email.ca_file have who signed it?",
        {"delivery__email__ca_file": "good.crt"},
    ),
    "mail server closed": (
        {"delivery.email"},
        "Is delivery.email right, does the server listen there",
        {"delivery__email__port": "{closed}"},
    ),
    "name that does not exist": (
        {"dns.delivery.email.host", "delivery.email"},
        "mail.invalid has no address",
        {"delivery__email__host": "mail.invalid"},
    ),
    "wrong SMPP password": (
        {"delivery.sms"},
        "Correct the login in delivery.smpp",
        {"delivery__smpp__password": "falsch", "delivery__smpp__password_file": ""},
    ),
    "public URL closed": (
        {"http.public_url"},
        "Let gateway.public_url be the address",
        {"gateway__public_url": "http://127.0.0.1:{closed}"},
    ),
    "public operators": (
        {"http.operator"},
        "a public address",
        {"http__operator_listen": "8.8.8.8:8090"},
    ),
    "store that cannot be written": (
        {"store.folder"},
        "Let gateway.data_dir be a folder",
        {"gateway__data_dir": "/proc/rcsgw"},
    ),
    "store that is none": ({"store.database"}, "Let storage.path name", {"storage__path": "gateway.toml"}),
    "relay closed": (
        {"msrp.relay"},
        "Is msrp.relays right",
        {"msrp__relays": ["msrp://127.0.0.1:{closed};tcp"]},
    ),
    "core that no way leads back from": (
        {"core.options"},
        "set sip.advertise to the address that leads here",
        {"sip__advertise": "127.0.0.1:{closed}"},
    ),
    "interaction server closed": (
        {"interaction.im"},
        "Is interaction.sip right",
        {"interaction__sip__im": "sip:127.0.0.1:{closed};transport=tcp"},
    ),
}


@pytest.fixture(scope="module")
def broken(clinic: Clinic) -> Clinic:
    """Files that broken set-ups have."""
    folder = clinic.folder
    write_papers(folder, "expired", days=-1)
    write_papers(folder, "other", host="other.example")
    schema = (CONFIG_FOLDER / "schema.sql").read_text()
    for name, script in {
        "empty": "CREATE TABLE version (n)",
        "old": "CREATE TABLE subscriber (username TEXT, domain TEXT, password TEXT)",
        "other": schema,
    }.items():
        with contextlib.closing(sqlite3.connect(folder / f"{name}.db")) as connection:
            connection.executescript(script)
    return clinic


@pytest.mark.parametrize("name", FAULTS)
async def test_one_fault_is_named_and_no_other(broken: Clinic, name: str) -> None:
    checks, words, changes = FAULTS[name]
    text = json.dumps(changes)
    for place, port in broken.ports.items():
        text = text.replace(f'"{{{place}}}"', str(port)).replace(f"{{{place}}}", str(port))
    faults = await broken.faults(**json.loads(text))
    assert set(faults) == checks
    assert words in " ".join(faults.values())


async def test_a_core_whose_access_list_refuses_us(clinic: Clinic) -> None:
    core = Endpoint(EndpointConfig(msrp=False))
    core.on_request = lambda transaction, _: bool(core.reply(transaction, 403, "Not on the list"))
    async with core:
        faults = await clinic.faults(core__outbound_proxy=f"sip:127.0.0.1:{core.local[1]};transport=tcp;lr")
    assert set(faults) == {"core.tcp"}
    assert "access list" in faults["core.tcp"]


async def test_a_core_that_insists_on_ipsec(clinic: Clinic) -> None:
    agreement = ("Security-Server", "ipsec-3gpp;alg=hmac-sha-1-96;spi-c=1;spi-s=2;port-c=3;port-s=4")
    core = Endpoint(EndpointConfig(msrp=False))

    def answer(transaction: Any, request: Any) -> bool:
        status = 494 if request.method == "REGISTER" else 200
        return bool(core.reply(transaction, status, headers=[agreement]))

    core.on_request = answer
    async with core:
        faults = await clinic.faults(core__outbound_proxy=f"sip:127.0.0.1:{core.local[1]};transport=tcp;lr")
    assert set(faults) == {"core.challenge"}
    assert "RFC 3329" in faults["core.challenge"] and "ipsec-3gpp" in faults["core.challenge"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def late(clinic: Clinic) -> AsyncIterator[str]:
    """The URL of a service that lives in another century, and redirects browsers."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        headers = {"Date": "Wed, 21 Oct 2015 07:28:00 GMT", "Location": "https://www.example.org/"}
        return web.Response(status=200 if request.method == "OPTIONS" else 302, headers=headers)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


async def test_a_clock_that_is_wrong(clinic: Clinic, late: str) -> None:
    faults = await clinic.faults("delivery", "clock", delivery__sms__driver="http", delivery__sms_http__url=late)
    assert set(faults) == {"clock.agreement"}
    assert "the server of sms is" in faults["clock.agreement"] and "behind us" in faults["clock.agreement"]


async def test_a_public_url_that_leads_elsewhere(clinic: Clinic, late: str) -> None:
    faults = await clinic.faults("http", gateway__public_url=late)
    assert set(faults) == {"http.public_url"}
    assert "redirects elsewhere" in faults["http.public_url"]
