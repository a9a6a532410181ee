"""IMS AKA at a real S-CSCF: Kamailio's ims_auth and ims_registrar_scscf, with vectors of an HSS of the tests."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.lab.kamailio import Kamailio, has_module
from gateway.lab.ports import free_port
from gateway.sims import SimKeys, Sims
from sipstack.errors import RequestFailed
from sipstack.net.config import EndpointConfig
from sipstack.net.endpoint import Endpoint
from sipstack.net.useragent import Identity, UserAgent
from sipstack.sip.uri import Uri
from tests.e2e.world import embedded_world, eventually
from tests.interop.conftest import needs_kamailio
from tests.interop.hss import Hss
from tests.interop.test_regevents import TABLES
from tests.sipstack.sip.test_aka import IMPI, REALM, milenage
from tests.sipstack.sip.test_milenage import SETS

pytestmark = pytest.mark.interop

IMPU = f"sip:guest@{REALM}"
KEYS = SimKeys.parse(SETS[0]["k"], opc=SETS[0]["opc"])

CDP = """<?xml version="1.0" encoding="UTF-8"?>
<DiameterPeer FQDN="scscf.{realm}" Realm="{realm}" Vendor_Id="10415" Product_Name="CDiameterPeer" AcceptUnknownPeers="1"
  DropUnknownOnDisconnect="1" Tc="5" Workers="2" QueueLength="32" TransactionTimeout="5" SessionsHashSize="128"
  DefaultAuthSessionTimeout="3600" MaxAuthSessionTimeout="3600">
  <Peer FQDN="hss.{realm}" Realm="{realm}" port="3868"/>
  <Acceptor port="{port}" bind="127.0.0.1"/>
  <Auth id="16777216" vendor="10415"/>
  <SupportedVendor vendor="10415"/>
  <DefaultRoute FQDN="hss.{realm}" metric="10"/>
</DiameterPeer>
"""


@pytest.fixture
async def hss(tmp_path: Path) -> AsyncIterator[tuple[Kamailio, Hss]]:
    """An S-CSCF, and the HSS that it asks."""
    needs_kamailio()
    if not has_module("ims_auth") or not has_module("presence"):
        pytest.skip("kamailio-ims-modules and kamailio-presence-modules are not installed")
    folder, port = tmp_path / "config", free_port()
    folder.mkdir()
    shutil.copy(Path(__file__).parent / "scscf" / "kamailio.cfg", folder)
    schema = "".join((TABLES / f"{name}-create.sql").read_text() for name in ("standard", "presence"))
    (folder / "schema.sql").write_text(schema)
    core = Kamailio(tmp_path / "core", domain=REALM, config_folder=folder)
    core.folder.mkdir()
    core.database.with_name("kamailio.db.xml").write_text(CDP.format(realm=REALM, port=port))
    server = Hss(milenage(), REALM, IMPI, IMPU)
    async with core:
        await server.connect(port)
        await asyncio.sleep(0.5)  # the S-CSCF counts a peer as there a moment after it has answered
        yield core, server
        await server.close()


def agent_of(core: Kamailio, endpoint: Endpoint, keys: SimKeys, sqn: int | None) -> UserAgent:
    sims = Sims()
    if sqn is not None:
        sims._known[IMPI] = sqn
    return UserAgent(
        endpoint,
        Identity(Uri.parse(IMPU), sims.credentials(IMPI, lambda: keys)),
        domain=Uri.parse(f"sip:{REALM}"),
        outbound_proxy=Uri.parse(core.sip_uri).with_param("transport", "tcp"),
        initial_authorization=True,
    )


async def test_an_s_cscf_asks_for_aka(hss: tuple[Kamailio, Hss]) -> None:
    """B-AKA-02, B-AKA-06, B-AKA-07: registering, a refresh with a vector of its own, de-registering; then with a SIM
    that is ahead of the HSS (B-AKA-03, B-AKA-04), and one that has another secret."""
    core, server = hss
    async with Endpoint(EndpointConfig(msrp=False)) as endpoint:
        agent = agent_of(core, endpoint, KEYS, None)
        registered = await agent.register()
        assert [str(uri) for uri in registered.associated_uris] == [IMPU] and registered.service_route
        await agent.register()
        assert server.vectors == 2 and server.resynchronizations == []
        await agent.close()
        ahead = agent_of(core, endpoint, KEYS, 500_000)
        await ahead.register()
        assert server.resynchronizations == [500_000] and server.sqn > 500_000
        await ahead.close()
        stranger = agent_of(core, endpoint, SimKeys.parse("00" * 16, opc="11" * 16), None)
        with pytest.raises(RequestFailed) as caught:
            await stranger.register()
        assert caught.value.response.status in (401, 403)
        assert server.resynchronizations == [500_000]
        await stranger.close(timeout=0)


async def test_a_guest_with_a_sim(hss: tuple[Kamailio, Hss], tmp_path: Path) -> None:
    """An account of a pool, with the keys of a SIM: the guest logs in; the number that was used outlives a restart."""
    core, server = hss
    folder = tmp_path / "world"
    folder.mkdir()
    keys = SETS[0]
    (folder / "pool.csv").write_text(f"uri,impi,k,op\n{IMPU},{IMPI},{keys['k']},{keys['op']}\n")
    async with embedded_world(
        folder,
        core=f'domain = "{REALM}"\noutbound_proxy = "{core.sip_uri};transport=tcp"\ninitial_authorization = true',
        provisioning='driver = "pool"\npool = { file = "pool.csv" }',
    ) as world:
        guest = await world.guest("a")
        assert (guest.account, server.vectors) == (IMPU, 1)
        assert world.rows("sim") == [(IMPI, server.sqn)]
        assert keys["k"] not in str(world.rows("account"))
        await world.stop_gateway()
        await world.start_gateway()
        await eventually(lambda: server.vectors == 2)
        await eventually(lambda: world.rows("sim") == [(IMPI, server.sqn)])
        assert server.resynchronizations == []
