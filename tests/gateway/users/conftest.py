"""The databases and drivers that tests of users share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.gateway.users.places import NAMES, Place, place
from tests.gateway.users.tables import Tables, server_tables, sqlite_tables


def tables_of(kind: str, request: pytest.FixtureRequest, folder: Path) -> Tables:
    """Return where tables are made in a kind of database; its server is started when the first test asks for it."""
    fixture = {"mysql": "mariadb"}.get(kind, kind)
    return sqlite_tables(folder) if kind == "sqlite" else server_tables(request.getfixturevalue(fixture))


@pytest.fixture(params=["sqlite", "mysql", "postgresql"])
def tables_kind(request: pytest.FixtureRequest) -> str:
    """The three kinds of databases, as :mod:`gateway.database` calls them."""
    return str(request.param)


@pytest.fixture
def tables(tables_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Tables:
    """A database of each kind."""
    return tables_of(tables_kind, request, tmp_path)


@pytest.fixture(params=NAMES)
def place_name(request: pytest.FixtureRequest) -> str:
    """Each users driver, Kamailio's in each kind of database."""
    return str(request.param)


@pytest.fixture
def place_tables(place_name: str, request: pytest.FixtureRequest, tmp_path: Path) -> Tables | None:
    """Where the tables of a driver are made; None for one that has none."""
    driver, _, kind = place_name.partition("-")
    return tables_of(kind, request, tmp_path) if driver == "kamailio" else None


@pytest_asyncio.fixture
async def users_place(
    place_name: str, place_tables: Tables | None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Place]:
    """Each users driver with the same subscribers behind it."""
    async with place(place_name, monkeypatch, place_tables) as found:
        yield found
