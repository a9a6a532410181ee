"""User agents as the configuration wants them: guests, the service account, those that the doctor tries."""

from __future__ import annotations

from gateway.config.settings import Config
from sipstack.net.endpoint import Endpoint
from sipstack.net.identity import AgentHandler, Identity
from sipstack.net.profile import PROFILES
from sipstack.net.useragent import UserAgent
from sipstack.sip.spread import Server, spread
from sipstack.sip.uri import Uri

PRIVACY = {"off": "", "id": "id"}
"""Key of the configuration → value of the header Privacy."""


def make_agent(endpoint: Endpoint, config: Config, identity: Identity, handler: AgentHandler) -> UserAgent:
    """Return a user agent that registers at the core, once it is asked to."""
    core = config.core
    agent = UserAgent(
        endpoint,
        identity,
        domain=Uri.parse(f"sip:{core.domain}"),
        outbound_proxy=Uri.parse(core.outbound_proxy) if core.outbound_proxy else None,
        handler=handler,
        expires=core.expires,
        features=PROFILES[core.profile].chat,
        initial_authorization=core.initial_authorization,
    )
    agent.profile = PROFILES[core.profile]
    agent.privacy = PRIVACY[core.privacy]
    agent.watch_registration = core.registration_events
    agent.gruu = core.gruu
    if core.outbound:
        agent.proxies = flow_proxies(config, identity.aor)
        agent.outbound_proxy = agent.proxies[0]
    return agent


def flow_proxies(config: Config, aor: Uri) -> tuple[Uri, ...]:
    """Return the edge proxies that somebody has flows by: always the same ones, and each proxy has its share of all."""
    servers = [Server((Uri.parse(text),), text, (), 1) for text in config.proxies]
    return tuple(spread(servers, aor.aor)[: config.core.flows])
