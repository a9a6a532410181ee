"""An operator's own service, at which accounts are made by requests from templates: first and second registration."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway import httpservice
from gateway.config.load import ConfigError, loads
from gateway.config.provisioning import HttpServiceSection
from gateway.drivers import DriverError
from gateway.httpservice import HttpService
from gateway.interaction.http import HttpInteraction
from gateway.naming import private_identity
from gateway.placeholders import PlaceholderError, check_templates, fill
from gateway.provisioning.base import Audit
from gateway.provisioning.http import HttpProvisioning
from tests.gateway.provisioning.test_kamailio import account
from tests.sipstack.net.certificates import write_certificate

TEMPLATES: dict[str, Any] = {
    "timeout": 2.0,
    "create": {
        "path": "/accounts/{impi}",
        "json": {"sip": "{uri}", "auth": {"secret": "{password}", "md5": ["{ha1_md5}"]}, "class": 7},
    },
    "delete": {"path": "/accounts/{impi}"},
    "exists": {"path": "/accounts/{impi}", "query": {"realm": "{realm}"}},
    "list": {"path": "/accounts", "query": {"owner": "rcsgw"}, "items": "data.accounts", "uri": "sip"},
}
FORMS: dict[str, Any] = {
    "create": {"method": "POST", "path": "/{kind}/add", "form": {"who": "{uri}"}, "already": [409]},
    "delete": {"method": "POST", "path": "/{kind}/remove", "form": {"who": "{user} at {domain}"}, "absent": [404]},
    "exists": {"path": "/{kind}/{user}"},
}


class Service:
    """Keeps what is put; ``status`` overrules every answer."""

    def __init__(self) -> None:
        self.accounts: dict[str, Any] = {}
        self.status = 0
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer any call."""
        json = request.content_type == "application/json"
        body = await request.json() if json else dict(await request.post())
        self.requests.append((request.method, request.raw_path, dict(request.headers), body))
        if self.status:
            return web.Response(status=self.status, text=f"as told, {body}", headers={"Location": "/elsewhere"})
        name = request.path.rpartition("/")[2]
        if request.method == "PUT":
            self.accounts[name] = body
            return web.Response(status=201)
        if request.path == "/accounts":
            return web.json_response({"data": {"accounts": list(self.accounts.values())}})
        if name not in self.accounts:
            return web.Response(status=404)
        if request.method == "DELETE":
            del self.accounts[name]
            return web.Response(status=204)
        return web.json_response({})

    @property
    def last(self) -> tuple[str, str, Any]:
        """Method, path and body of the newest request."""
        method, path, _, body = self.requests[-1]
        return method, path, body


@pytest_asyncio.fixture
async def service() -> AsyncIterator[tuple[Service, TestServer]]:
    service = Service()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", service.handle)
    server = TestServer(app)
    await server.start_server()
    yield service, server
    await server.close()


House = tuple[Service, TestServer]


def http(server: TestServer, templates: dict[str, Any], **options: Any) -> HttpService:
    section = msgspec.convert({"url": str(server.make_url("/")), **templates}, HttpServiceSection)
    return HttpService(section, **options)


def provisioning(server: TestServer, templates: dict[str, Any] = TEMPLATES, **options: Any) -> HttpProvisioning:
    config = loads('[core]\ndomain = "cc.com"\n[accounts]\nimpi = "{user}@{domain}"\n')
    return HttpProvisioning(http(server, templates, **options), private=partial(private_identity, config))


async def test_create_ask_and_delete(service: House) -> None:
    operator, server = service
    driver = provisioning(server)
    b = account('b"1', impi='b"1/x@cc.com')
    assert not await driver.taken(b.uri, b.impi, b.realm)
    assert operator.last[:2] == ("GET", "/accounts/b%221%2Fx%40cc.com?realm=cc.com")
    for _ in range(2):
        await driver.provision(b)
        auth = {"secret": "geheim", "md5": [b.ha1(b.impi, "cc.com", "MD5")]}
        expected = {"sip": 'sip:b"1@cc.com', "auth": auth, "class": 7}
        assert operator.last == ("PUT", "/accounts/b%221%2Fx%40cc.com", expected)
    operator.accounts = {b.impi: operator.accounts.popitem()[1]}
    for _ in range(2):
        await driver.deprovision(b)
        assert operator.last[:2] == ("DELETE", "/accounts/b%221%2Fx%40cc.com")
    await driver.close()


async def test_who_asks_is_told_as_configured(service: House) -> None:
    operator, server = service
    for options, templates, expected in (
        ({"token": "t0ken"}, {}, "Bearer t0ken"),
        ({"password": "pässwort"}, {"username": "gw"}, "Basic Z3c6cMOkc3N3b3J0"),
        ({}, {"headers": {"Authorization": "Custom x"}}, "Custom x"),
    ):
        driver = provisioning(server, {**TEMPLATES, **templates}, **options)
        await driver.taken("sip:b@cc.com", "b", "cc.com")
        assert operator.requests[-1][2]["Authorization"] == expected
        await driver.close()


@pytest.mark.parametrize(
    "status, temporary",
    [(500, True), (503, True), (408, True), (429, True), (400, False), (401, False), (404, False), (409, False)],
)
async def test_refusals_and_no_secret_in_their_texts(service: House, status: int, temporary: bool) -> None:
    operator, server = service
    operator.status = status
    driver = provisioning(server)
    with pytest.raises(DriverError, match=f"answers {status} to create") as caught:
        await driver.provision(account())
    assert caught.value.temporary is temporary
    assert "geheim" not in str(caught.value)
    await driver.close()


async def test_nobody_is_followed_elsewhere(service: House) -> None:
    operator, server = service
    operator.status = 307
    driver = provisioning(server)
    with pytest.raises(DriverError, match="307"):
        await driver.provision(account())
    assert len(operator.requests) == 1
    await driver.close()


async def test_a_service_that_is_down_is_temporary(service: House) -> None:
    driver = provisioning(service[1])
    await service[1].close()
    with pytest.raises(DriverError) as caught:
        await driver.provision(account())
    assert caught.value.temporary
    await driver.close()


async def test_a_certificate_is_checked(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path, "service")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    service, app = Service(), web.Application()
    app.router.add_route("*", "/{path:.*}", service.handle)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=context)
    for ca_file, problem in ((None, "certificate"), (certificate, None)):
        driver = provisioning(server, ca_file=ca_file)
        if problem is None:
            await driver.provision(account())
        else:
            with pytest.raises(DriverError, match=problem) as caught:
                await driver.provision(account())
            assert not caught.value.temporary
        await driver.close()
    await server.close()
    assert list(service.accounts) == ["b"]


async def test_audit_by_the_list(service: House, monkeypatch: pytest.MonkeyPatch) -> None:
    operator, server = service
    driver = provisioning(server)
    for user in ("here", "orphan"):
        await driver.provision(account(user, impi=f"{user}@cc.com"))
    wanted = [account("here"), account("missing")]
    assert await driver.audit(wanted) == Audit(("sip:missing@cc.com",), ("sip:orphan@cc.com",))
    assert operator.last[:2] == ("GET", "/accounts?owner=rcsgw")
    await driver.remove("sip:orphan@cc.com")
    assert await driver.audit(wanted) == Audit(("sip:missing@cc.com",), ())
    operator.status = 200
    with pytest.raises(DriverError, match="not what the configuration says"):
        await driver.audit(wanted)
    operator.status = 403
    with pytest.raises(DriverError, match="answers 403 to list"):
        await driver.audit(wanted)
    operator.status = 0
    monkeypatch.setattr(httpservice, "MAX_ANSWER", 20)
    with pytest.raises(DriverError, match="more than 20 octets"):
        await driver.audit(wanted)
    await driver.close()


async def test_audit_without_a_list(service: House) -> None:
    _, server = service
    driver = provisioning(server, {**TEMPLATES, "list": {}})
    await driver.provision(account("here"))
    assert await driver.audit([account("here"), account("missing")]) == Audit(("sip:missing@cc.com",), None)
    blind = provisioning(server, {**TEMPLATES, "list": {}, "exists": {}})
    assert not await blind.taken("sip:here@cc.com", "here", "cc.com")
    assert await blind.audit([]) is None
    await driver.close()
    await blind.close()


async def test_a_dry_run_asks_nothing(service: House) -> None:
    operator, server = service
    driver = provisioning(server)
    hidden = account()
    lines = await driver.rehearse(type(hidden)(hidden.uri, hidden.impi, hidden.realm, lambda *_: "***", lambda: "***"))
    base = str(server.make_url("")).rstrip("/")
    assert lines == [
        f"GET {base}/accounts/b?realm=cc.com",
        f'PUT {base}/accounts/b {{"sip": "sip:b@cc.com", "auth": {{"secret": "***", "md5": ["***"]}}, "class": 7}}',
        f"DELETE {base}/accounts/b",
    ]
    assert operator.requests == []
    await driver.close()


async def test_second_registration(service: House) -> None:
    operator, server = service
    driver = HttpInteraction(http(server, FORMS))
    operator.status = 200
    await driver.register("sip:b@cc.com", "im")
    assert operator.last == ("POST", "/im/add", {"who": "sip:b@cc.com"})
    operator.status = 409
    await driver.register("sip:b@cc.com", "im")  # it was done before
    operator.status = 404
    await driver.deregister("sip:b@cc.com", "file")
    assert operator.last == ("POST", "/file/remove", {"who": "b at cc.com"})
    with pytest.raises(DriverError) as caught:
        await driver.register("sip:b@cc.com", "im")
    assert not caught.value.temporary
    assert await driver.audit(["sip:b@cc.com"], "im") == Audit(("sip:b@cc.com",), None)
    lines = await driver.rehearse("sip:b@cc.com", "im")
    assert [line.split("/", 3)[3] for line in lines] == ["im/add who=sip%3Ab%40cc.com", "im/remove who=b+at+cc.com"]
    await driver.close()
    blind = HttpInteraction(http(server, {**FORMS, "exists": {}}))
    assert await blind.audit(["sip:b@cc.com"], "im") is None
    await blind.close()


def test_placeholders_are_filled_in_all_texts_and_nowhere_else() -> None:
    table = {"a": "{x} {unknown}", "b": [1, {"c": "{x}"}], "d": None}
    assert fill(table, {"x": '"1"'}) == {"a": '"1" {unknown}', "b": [1, {"c": '"1"'}], "d": None}
    with pytest.raises(PlaceholderError, match="{unknown}; there are x"):
        check_templates(table, {"x"})


GOOD = """
[core]
domain = "cc.com"
[provisioning]
driver = "http"
[provisioning.http]
url = "https://operator.example/api"
create = { path = "/a/{impi}", json = { p = "{password}" } }
delete = { path = "/a/{impi}" }
"""


def _mistakes(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loads(text)
    return str(caught.value)


@pytest.mark.parametrize(
    "change, problem",
    [
        (lambda text: text.replace("https", "http"), "provisioning.http.url: must be https outside"),
        (lambda text: text.replace("/a/{impi}", ""), "provisioning.http.create.path: is missing"),
        (lambda text: text.replace("/a/", "a/"), 'provisioning.http.create.path: must begin with "/"'),
        (lambda text: text.replace("{impi}", "{password}"), "create.path: must not hold {password}"),
        (lambda text: text.replace("{impi}", "{kind}"), "create.path: has an unknown placeholder {kind}"),
        (lambda text: text + 'username = "x"\n', "provisioning.http.username: needs password_file"),
        (lambda text: text + 'token_file = "/none"\n', "provisioning.http.token_file: there is no file"),
        (lambda text: text + 'exists = { path = "/a", form = { p = "{password}" } }\n', "exists.form: has an unknown"),
        (lambda text: text.replace("json =", 'form = { a = "b" }, json ='), "create.form: and json cannot both"),
        (lambda text: text + '[interaction]\ndriver = "http"\n', "interaction.http.url: is missing"),
    ],
)
def test_mistakes_in_the_configuration(change: Callable[[str], str], problem: str) -> None:
    loads(GOOD)
    assert problem in _mistakes(change(GOOD))


@pytest.mark.parametrize(
    "text, problem",
    [
        ('driver = "pyhss"', "provisioning.pyhss.url: is missing"),
        ('driver = "pyhss"', "accounts.template: must be digits and {serial}"),
        ('driver = "pool"', "provisioning.pool.file: is missing"),
        ('driver = "pool"\npool = { file = "/none.csv" }', "provisioning.pool.file: there is no file"),
        ('driver = "kamailio"', "provisioning.kamailio.database: is missing"),
        ('kamailio = { database = "mysql://u:geheim@h" }', "provisioning.kamailio.database: must end with the name"),
        (
            'kamailio = { database = "mysql://u:geheim@h/k", password_file = "/etc/hostname" }',
            "provisioning.kamailio.password_file: and a password in the URL",
        ),
        ('driver = "oracle"', "provisioning.driver: is none of none, lab, kamailio, pyhss, pool, http"),
    ],
)
def test_mistakes_of_the_other_drivers(text: str, problem: str) -> None:
    found = _mistakes(f'[core]\ndomain = "cc.com"\n[provisioning]\n{text}\n')
    assert problem in found and "geheim" not in found
