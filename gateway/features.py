"""What a guest's user agent announces: the services of its invitations (B-REG-02, B-CAP-04)."""

from __future__ import annotations

from collections.abc import Collection

from sipstack.net.features import CHAT_FEATURES, FILE_FEATURES, FT_HTTP_FEATURES, joined
from sipstack.net.useragent import UserAgent
from sipstack.sip.uri import Parameters

_FEATURES: dict[tuple[bool, bool], Parameters] = {
    (False, True): FILE_FEATURES,
    (True, True): joined(CHAT_FEATURES, FILE_FEATURES, FT_HTTP_FEATURES),
}


def features_of(kinds: Collection[str]) -> Parameters:
    """Return the feature tags for interaction types; links need the chat that carries them."""
    return _FEATURES.get(("im" in kinds, "file" in kinds), CHAT_FEATURES)


def announce(agent: UserAgent, kinds: Collection[str]) -> None:
    """Have a user agent announce these interaction types; the registrar is told if it knows others."""
    features = features_of(kinds)
    if features != agent.features:
        agent.features = features
        if agent.registered:
            agent.schedule_registration(0.0)
