from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from gateway.storage.sqlite import SqliteStore


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """An open store in a folder of its own."""
    store = SqliteStore(tmp_path / "data" / "rcsgw.db")
    await store.open()
    yield store
    await store.close()
