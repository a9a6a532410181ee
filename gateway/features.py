"""What a guest's user agent announces: the services of its invitations (B-REG-02, B-CAP-04)."""

from __future__ import annotations

from collections.abc import Collection

from sipstack.net.features import joined
from sipstack.net.profile import Profile
from sipstack.net.useragent import UserAgent
from sipstack.sip.uri import Parameters


def features_of(kinds: Collection[str], profile: Profile) -> Parameters:
    """Return the feature tags for interaction types; links need the chat that carries them."""
    if "file" not in kinds:
        return profile.chat
    return joined(profile.chat, profile.files, profile.links) if "im" in kinds else profile.files


def announce(agent: UserAgent, kinds: Collection[str]) -> None:
    """Have a user agent announce these interaction types; the registrar is told if it knows others."""
    features = features_of(kinds, agent.profile)
    if features != agent.features:
        agent.features = features
        if agent.registered:
            agent.schedule_registration(0.0)
