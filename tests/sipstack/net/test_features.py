from __future__ import annotations

import pytest

from sipstack.net.features import (
    CHAT_FEATURES,
    FILE_FEATURES,
    accept_contact,
    feature_text,
    feature_values,
    joined,
    offers_chat,
    offers_files,
    takes_files,
)
from sipstack.sip.address import Address

ICSI = "urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.session"


def test_own_tags() -> None:
    assert feature_text(CHAT_FEATURES) == f';+g.oma.sip-im;+g.3gpp.icsi-ref="{ICSI}"'
    assert accept_contact(CHAT_FEATURES) == f'*;+g.oma.sip-im, *;+g.3gpp.icsi-ref="{ICSI}"'
    contact = Address.parse(f"<sip:a@b>{feature_text(CHAT_FEATURES)};expires=5")
    assert offers_chat([contact])


@pytest.mark.parametrize(
    ("parameters", "values", "chat"),
    [
        ("", set(), False),
        (";+g.oma.SIP-IM", {"+g.oma.sip-im"}, True),
        (f';+g.3gpp.icsi-ref="x,{ICSI}"', {"+g.3gpp.icsi-ref=x", f"+g.3gpp.icsi-ref={ICSI.replace('%3A', ':')}"}, True),
        (";video;q=0.5", {"video", "q=0.5"}, False),
        (
            ';+g.3gpp.iari-ref="urn%3Aurn-7%3A3gpp-application.ims.iari.rcse.im"',
            {"+g.3gpp.iari-ref=urn:urn-7:3gpp-application.ims.iari.rcse.im"},
            True,
        ),
    ],
)
def test_tags_of_others(parameters: str, values: set[str], chat: bool) -> None:
    contacts = [Address.parse(f"<sip:a@b>{parameters}")]
    assert feature_values(contacts) == values
    assert offers_chat(contacts) is chat


def test_features_of_several_services_share_one_list() -> None:
    """B-CAP-04, D-FTM-13: several values share one quoted list."""
    both = joined(CHAT_FEATURES, FILE_FEATURES, FILE_FEATURES)
    assert feature_text(both) == f';+g.oma.sip-im;+g.3gpp.icsi-ref="{ICSI},{ICSI.replace("session", "filetransfer")}"'
    contact = [Address.parse(f"<sip:a@b>{feature_text(both)}")]
    assert offers_chat(contact) and offers_files(contact) and takes_files(both)
    assert not takes_files(CHAT_FEATURES)
    assert not offers_files([Address.parse(f"<sip:a@b>{feature_text(CHAT_FEATURES)}")])
