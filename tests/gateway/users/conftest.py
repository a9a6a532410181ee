"""The databases that tests of users drivers share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gateway.users.tables import Tables, server_tables, sqlite_tables


@pytest.fixture(params=["sqlite", "mariadb", "postgresql"])
def tables(request: pytest.FixtureRequest, tmp_path: Path) -> Tables:
    """The three kinds of databases."""
    if request.param == "sqlite":
        return sqlite_tables(tmp_path)
    return server_tables(request.getfixturevalue(request.param))
