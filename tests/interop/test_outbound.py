"""Registrations by flows at Kamailio and its outbound module: two edges, Flow-Timer, a GRUU, the death of an edge."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.lab.kamailio import Kamailio
from sipstack.net.config import EndpointConfig
from sipstack.net.endpoint import Endpoint
from sipstack.net.flows import Flows
from sipstack.net.useragent import Identity, UserAgent
from sipstack.sip.digest import Credentials
from sipstack.sip.outbound import Recovery
from sipstack.sip.uri import Uri
from tests.interop.conftest import needs_kamailio
from tests.sipstack.net.helpers import until

pytestmark = pytest.mark.interop

DOMAIN = "cc.com"


async def test_two_flows_at_two_edges(tmp_path: Path) -> None:
    needs_kamailio("outbound")
    one = Kamailio(tmp_path / "one", domain=DOMAIN, outbound=True)
    two = Kamailio(tmp_path / "two", domain=DOMAIN, outbound=True, database=one.database)
    recovery = Recovery(0.2, 0.2, 0.4)
    async with one, two, Endpoint(EndpointConfig(msrp=False, recovery=recovery)) as endpoint:
        one.add_subscriber("b", "secret")
        identity = Identity(Uri.parse(f"sip:b@{DOMAIN}"), Credentials.from_password("b", "secret"))
        agent = UserAgent(endpoint, identity, domain=Uri.parse(f"sip:{DOMAIN}"))
        agent.proxies = tuple(Uri.parse(edge.sip_uri).with_param("transport", "tcp") for edge in (one, two))
        agent.gruu = True
        told = await agent.register()
        assert (told.outbound, told.flow_timer) == (True, 30)
        assert told.pub_gruu is not None and told.pub_gruu.param("gr") == identity.instance_id
        flows = agent._binding
        assert isinstance(flows, Flows)
        await until(lambda: [flow.active for flow in flows.bindings] == [True, True])
        # both lead here: asked for by the address, and by the GRUU
        for number, edge in enumerate((one, two)):
            agent.outbound_proxy = agent.proxies[number]
            for uri in (identity.aor, told.pub_gruu):
                assert (await agent.options(uri)).status == 200, edge.log.read_text()[-1000:]
        await one.kill()
        await until(lambda: [flow.active for flow in flows.bindings] == [False, True])
        assert agent.registered and (await agent.options(identity.aor)).status == 200
        await one.start()
        await until(lambda: [flow.active for flow in flows.bindings] == [True, True])
        assert agent.outbound_proxy == agent.proxies[0]
        await agent.close()
