"""PyHSS by contract: no package index has it, so a small server of ours stands for it, written after its documentation
(provisioning guide, Swagger page) and its own tests of the interface. The real one has not been tried."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.config.provisioning import ProvisioningPyhssSection
from gateway.drivers import DriverError
from gateway.provisioning.base import Audit, CoreAccount
from gateway.provisioning.pyhss import PAGE, PyhssProvisioning
from gateway.secrets import Sealer
from sipstack.sip.digest import compute_ha1

MARK = Sealer({b"key!": bytes(32)}).mark
SECRET = "0123456789abcdef0123456789abcdef"
IMSI = "001019990000001"
KEYS = {"auc": "auc_id", "subscriber": "subscriber_id", "ims_subscriber": "ims_subscriber_id"}
COLUMNS = {
    "auc": {"ki", "opc", "amf", "sqn", "imsi", "misc4"},
    "subscriber": {"imsi", "enabled", "auc_id", "default_apn", "apn_list", "msisdn"},
    "ims_subscriber": {"imsi", "msisdn", "msisdn_list", "ifc_path"},
}
UNIQUE = {"auc": "imsi", "subscriber": "imsi", "ims_subscriber": "msisdn"}
NOT_FOUND = {
    "reason": (400, {"result": "Failed", "reason": "... No row was found when one was required"}),
    "null 400": (400, None),
    "null 200": (200, None),
    "404": (404, {"Result": "Not Found"}),
}
"""How versions of PyHSS say that there is no such object."""


class Hss:
    """Three tables behind PyHSS's calls."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[int, dict[str, Any]]] = {kind: {} for kind in KEYS}
        self.serial = 0
        self.not_found = NOT_FOUND["reason"]
        self.broken: list[tuple[int, object]] = []
        self.failing = ("", 0)
        """Method, and which of its calls from now on fails once."""
        self.calls: list[str] = []

    async def handle(self, request: web.Request) -> web.Response:
        """Answer any call."""
        self.calls.append(f"{request.method} {request.path}")
        if request.method == self.failing[0]:
            self.failing = (request.method, self.failing[1] - 1)
            if self.failing[1] == 0:
                return web.json_response({"result": "Failed", "reason": "An internal server error"}, status=500)
        if self.broken and request.method != "GET":
            status, body = self.broken.pop(0)
            return web.json_response(body, status=status)
        if request.headers.get("Provisioning-Key") != "key" and request.method != "GET":
            return web.json_response({"Result": "Unauthorized - Provisioning-Key Invalid"}, status=401)
        kind, _, rest = request.path.strip("/").partition("/")
        status, answer = await self._answer(request, kind, rest)
        return web.json_response(answer, status=status)

    async def _answer(self, request: web.Request, kind: str, rest: str) -> tuple[int, object]:
        table = self.tables[kind]
        if request.method == "PUT":
            self.serial += 1
            return self._write(kind, self.serial, await request.json())
        if rest == "list":
            page, size = int(request.query["page"]), int(request.query["page_size"])
            return 200, [self._shown(kind, row) for row in list(table.values())[page * size : (page + 1) * size]]
        row = self._row(kind, rest)
        if row is None:
            return self.not_found
        if request.method == "PATCH":
            return self._write(kind, row[KEYS[kind]], {**row, **await request.json()})
        if request.method == "DELETE":
            if kind == "auc" and any(item["auc_id"] == row["auc_id"] for item in self.tables["subscriber"].values()):
                return 400, {"result": "Failed", "reason": "A database integrity error occurred: (None, ...)"}
            del table[row[KEYS[kind]]]
            return 200, {"Result": "OK"}
        return 200, self._shown(kind, row)

    def _row(self, kind: str, rest: str) -> dict[str, Any] | None:
        column, _, value = rest.rpartition("/")
        if not column:
            return self.tables[kind].get(int(value))
        column = column.removeprefix("ims_subscriber_")
        return next((row for row in self.tables[kind].values() if row.get(column) == value), None)

    def _write(self, kind: str, number: int, body: dict[str, Any]) -> tuple[int, object]:
        unknown = set(body) - COLUMNS[kind] - {KEYS[kind]}
        unique = UNIQUE[kind]
        twice = any(row[unique] == body[unique] and row[KEYS[kind]] != number for row in self.tables[kind].values())
        dangling = kind == "subscriber" and body["auc_id"] not in self.tables["auc"]
        if unknown or twice or dangling:
            return 400, {"result": "Failed", "reason": f"A database integrity error occurred: {unknown or 'row'}"}
        self.tables[kind][number] = {**body, KEYS[kind]: number}
        return 200, self._shown(kind, self.tables[kind][number])

    def _shown(self, kind: str, row: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in row.items() if key not in ("ki", "opc")}


def account(number: str = IMSI, secret: str = SECRET, impi: str = "") -> CoreAccount:
    return CoreAccount(
        f"sip:{number}@ims.org",
        impi or number,
        "ims.org",
        lambda username, realm, algorithm: compute_ha1(username, realm, secret, algorithm),
        lambda: secret,
    )


def make(server: TestServer, mark: Any = MARK, key: str = "key") -> PyhssProvisioning:
    section = ProvisioningPyhssSection(url=str(server.make_url("/")), apn=2, timeout=2.0)
    return PyhssProvisioning(section, key=key, mark=mark)


@pytest_asyncio.fixture
async def hss() -> AsyncIterator[tuple[Hss, PyhssProvisioning, TestServer]]:
    hss = Hss()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", hss.handle)
    server = TestServer(app)
    await server.start_server()
    driver = make(server)
    yield hss, driver, server
    await driver.close()
    await server.close()


House = tuple[Hss, PyhssProvisioning, TestServer]


@pytest.mark.parametrize("style", NOT_FOUND)
async def test_three_objects_made_repeated_and_deleted(hss: House, style: str) -> None:
    core, driver, _ = hss
    core.not_found = NOT_FOUND[style]
    assert not await driver.taken(f"sip:{IMSI}@ims.org", IMSI, "ims.org")
    await driver.provision(account())
    first = {kind: [dict(row) for row in table.values()] for kind, table in core.tables.items()}
    [auc], [subscriber], [ims] = first.values()
    assert (auc["ki"], auc["amf"], auc["imsi"], auc["misc4"]) == (SECRET, "8000", IMSI, MARK(IMSI))
    assert len(auc["opc"]) == 32 and auc["opc"] != SECRET
    assert (subscriber["auc_id"], subscriber["default_apn"], subscriber["apn_list"]) == (auc["auc_id"], 2, "2")
    assert (ims["imsi"], ims["msisdn"], ims["msisdn_list"], ims["ifc_path"]) == (IMSI, IMSI, IMSI, "default_ifc.xml")
    await driver.provision(account(secret="new"))
    assert [len(table) for table in core.tables.values()] == [1, 1, 1]
    assert next(iter(core.tables["auc"].values()))["ki"] == "new"
    assert not await driver.taken(f"sip:{IMSI}@ims.org", IMSI, "ims.org")  # ours, left behind by an account that ended
    await driver.deprovision(account())
    await driver.deprovision(account())
    assert core.tables == {"auc": {}, "subscriber": {}, "ims_subscriber": {}}
    assert [call.split("/")[1] for call in core.calls if call.startswith("DELETE")] == [*reversed(KEYS)]


async def test_imsi_and_msisdn_come_from_the_two_identities(hss: House) -> None:
    core, driver, _ = hss
    await driver.provision(account("+15550100", impi=f"{IMSI}@ims.org"))
    [ims] = core.tables["ims_subscriber"].values()
    assert (ims["imsi"], ims["msisdn"]) == (IMSI, "15550100")


@pytest.mark.parametrize("method, step", [("PUT", 1), ("PUT", 2), ("PUT", 3), ("DELETE", 1), ("DELETE", 2)])
async def test_a_step_that_fails_is_gone_through_again(hss: House, method: str, step: int) -> None:
    core, driver, _ = hss
    if method == "DELETE":
        await driver.provision(account())
    work = driver.provision if method == "PUT" else driver.deprovision
    core.failing = method, step
    with pytest.raises(DriverError) as caught:
        await work(account())
    assert caught.value.temporary
    await work(account())
    assert [len(table) for table in core.tables.values()] == [1 if method == "PUT" else 0] * 3


async def test_accounts_of_others_are_left_alone(hss: House) -> None:
    core, driver, server = hss
    others = make(server, mark=str)
    await others.provision(account())
    before = str(core.tables)
    assert await driver.taken(f"sip:{IMSI}@ims.org", IMSI, "ims.org")
    assert await driver.taken(f"sip:{IMSI}@ims.org", "999999", "ims.org")  # the MSISDN
    with pytest.raises(DriverError, match="not ours") as caught:
        await driver.provision(account())
    assert not caught.value.temporary
    await driver.deprovision(account())
    await driver.remove(IMSI)
    assert str(core.tables) == before
    await others.close()


@pytest.mark.parametrize(
    "status, body, temporary",
    [
        (500, {"result": "Failed"}, True),
        (503, None, True),
        (400, {"result": "Failed", "reason": "A database operational error occurred: gone away"}, True),
        (400, {"result": "Failed", "reason": f"A database integrity error occurred: {SECRET}"}, False),
        (200, {"something": "else"}, False),
    ],
)
async def test_refusals(hss: House, status: int, body: object, temporary: bool) -> None:
    core, driver, _ = hss
    core.broken.append((status, body))
    with pytest.raises(DriverError) as caught:
        await driver.provision(account())
    assert caught.value.temporary is temporary
    assert SECRET not in str(caught.value), "what was sent may stand in an answer, and never in a text of ours"


async def test_a_wrong_key_is_final(hss: House) -> None:
    driver = make(hss[2], key="wrong")
    with pytest.raises(DriverError, match="answers 401") as caught:
        await driver.provision(account())
    assert not caught.value.temporary
    await driver.close()


async def test_a_pyhss_that_is_down_is_temporary(hss: House) -> None:
    await hss[2].close()
    with pytest.raises(DriverError) as caught:
        await hss[1].provision(account())
    assert caught.value.temporary


@pytest.mark.parametrize(
    "number, impi, secret, problem",
    [("b.cc.com", IMSI, SECRET, "'b.cc.com'"), (IMSI, "b", SECRET, "'b'"), (IMSI, IMSI, "x" * 33, "32 characters")],
)
async def test_what_pyhss_has_no_room_for(hss: House, number: str, impi: str, secret: str, problem: str) -> None:
    with pytest.raises(DriverError, match=problem) as caught:
        await hss[1].provision(account(number, secret, impi))
    assert not caught.value.temporary and hss[0].tables["auc"] == {}


async def test_audit_reads_every_page(hss: House) -> None:
    core, driver, server = hss
    others = make(server, mark=str)
    for number in range(PAGE + 1):
        core.serial += 1
        core.tables["auc"][core.serial] = {"auc_id": core.serial, "imsi": f"9{number:014}", "misc4": None}
    for last in "123":
        await driver.provision(account(IMSI[:-1] + last))
    await others.provision(account(IMSI[:-1] + "4"))
    cut = core.tables["ims_subscriber"].popitem()  # of the others
    core.tables["ims_subscriber"].popitem()
    assert cut[1]["imsi"].endswith("4")
    wanted = [account(IMSI[:-1] + last) for last in "134"]
    assert await driver.audit(wanted) == Audit(
        (f"sip:{IMSI[:-1]}3@ims.org", f"sip:{IMSI[:-1]}4@ims.org"), (IMSI[:-1] + "2",)
    )
    await driver.remove(IMSI[:-1] + "2")
    assert (await driver.audit(wanted)).orphans == ()
    await others.close()


async def test_a_dry_run_asks_nothing_and_hides_secrets(hss: House) -> None:
    core, driver, server = hss
    hidden = CoreAccount(f"sip:{IMSI}@ims.org", IMSI, "ims.org", lambda *_: "***", lambda: "***")
    lines = await driver.rehearse(hidden)
    base = str(server.make_url("")).rstrip("/")
    assert lines[0].startswith(
        f'PUT {base}/auc/ {{"ki": "***", "opc": "***", "amf": "8000", "sqn": 0, "imsi": "{IMSI}"'
    )
    assert [line.split()[0] for line in lines] == ["PUT"] * 3 + ["DELETE"] * 3
    assert lines[-1] == f"DELETE {base}/auc/AUC_ID"
    assert core.calls == []
