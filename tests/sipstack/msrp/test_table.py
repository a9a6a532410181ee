"""To-Path to session: C-URI-02, C-URI-05."""

from __future__ import annotations

import pytest

from sipstack.errors import ParseError
from sipstack.msrp.session import MsrpSession
from sipstack.msrp.table import SessionTable
from sipstack.msrp.uri import MsrpUri
from tests.sipstack.msrp.helpers import OURS, THEIRS


def test_find() -> None:
    table = SessionTable()
    session = MsrpSession(MsrpUri.parse(OURS), max_size=100)
    table.add(session)
    assert list(table) == [session] and len(table) == 1
    assert table.find(OURS) is session
    assert table.find(OURS.replace("msrp:", "MSRP:").replace("tcp", "TCP") + ";x=1") is session
    assert table.find(OURS.lower()) is None
    assert table.find(OURS.replace("2855", "2856")) is None
    assert table.find(THEIRS) is None
    assert table.find(f"{OURS} {OURS}") is None
    assert table.find("msrp://192.0.2.10:2855;tcp") is None
    with pytest.raises(ParseError):
        table.find("nonsense")
    table.discard(session)
    table.discard(session)
    assert table.find(OURS) is None and not list(table)
