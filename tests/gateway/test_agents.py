from __future__ import annotations

from collections import Counter

from gateway.agents import flow_proxies, make_agent
from gateway.app import endpoint_config
from gateway.config.load import loads
from gateway.config.settings import Config
from sipstack.net.endpoint import Endpoint
from sipstack.net.identity import Identity, SilentAgent
from sipstack.net.useragent import UserAgent
from sipstack.sip.outbound import Recovery
from sipstack.sip.uri import Uri

THREE = tuple(Uri.parse(f"sip:192.0.2.{number};transport=tcp;lr") for number in (1, 2, 3))


def config(more: str = "") -> Config:
    first, *others = map(str, THREE)
    return loads(f'[core]\ndomain = "cc.com"\noutbound_proxy = "{first}"\nalternatives = {others}\n{more}', folder=".")


def agent(settings: Config, name: str = "b") -> UserAgent:
    identity = Identity(Uri.parse(f"sip:{name}@cc.com"))
    return make_agent(Endpoint(endpoint_config(settings)), settings, identity, SilentAgent())


def test_proxies_stand_for_each_other() -> None:
    settings = endpoint_config(config('retry_dead = "7s"\nback_off = "5s"\n'))
    assert settings.proxies == THREE
    assert settings.dead_time == 7.0 and settings.recovery == Recovery(5.0, 15.0)
    assert agent(config()).proxies == () and agent(config()).outbound_proxy == THREE[0]


def test_flows_have_proxies_of_their_own() -> None:
    settings = config("outbound = true\ngruu = true\n")
    assert endpoint_config(settings).proxies == ()
    one = agent(settings)
    assert len(one.proxies) == 2 and one.outbound_proxy == one.proxies[0] and one.gruu
    first = Counter(flow_proxies(settings, Uri.parse(f"sip:b{number}@cc.com"))[0] for number in range(300))
    assert set(first) == set(THREE) and min(first.values()) > 60
    assert flow_proxies(settings, one.identity.aor) == one.proxies


def test_limits_and_redirections() -> None:
    settings = endpoint_config(
        config('[sip]\nredirects = 3\nmax_rate = 50\nmax_lag = "1s"\nname_servers = ["[::1]:53"]\n')
    )
    assert (settings.redirects, settings.max_rate, settings.max_lag) == (3, 50.0, 1.0)
    assert settings.name_servers == (("::1", 53),)
