"""Worlds for the end-to-end tests: the same functions run over each core, and where it matters in JSON and in XML."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest
import pytest_asyncio
from selenium import webdriver

from gateway.lab.kamailio import is_available
from tests.e2e.client import Format
from tests.e2e.pagelab import PageLab, page_lab
from tests.e2e.world import WORLDS, World
from tests.gateway.browser import start_browser

CORES = ["embedded", pytest.param("kamailio", marks=pytest.mark.interop)]

one_core = pytest.mark.parametrize("core", ["embedded"], indirect=True)
"""Marks tests of what has nothing to do with the core: once is enough."""


KAMAILIO_EACH_TIME = (
    "test_files",
    "test_interaction",
    "test_mission",
    "test_pager",
    "test_receipts",
    "test_sessions",
    "test_terminal_client",
    "test_terminal_phone",
)
"""What is tried over Kamailio in every run; the rest, which asks little of a core, over the embedded one, and over
Kamailio with ``--full``."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the second core to the long run where it adds little."""
    here = Path(__file__).parent
    for item in items:
        if item.path.parent == here and item.path.stem not in KAMAILIO_EACH_TIME and "[kamailio" in item.name:
            item.add_marker(pytest.mark.full)


class Start(Protocol):
    """Starts a network; arguments as of :func:`tests.e2e.world.embedded_world`."""

    def __call__(self, settings: str = "", **options: Any) -> Awaitable[World]: ...


@pytest.fixture(params=CORES)
def core(request: pytest.FixtureRequest) -> str:
    """Name of the core to test with."""
    name: str = request.param
    if name == "kamailio" and not is_available():
        pytest.skip("kamailio and kamailio-sqlite-modules are not installed")
    return name


@pytest.fixture(params=["json", "xml"])
def format(request: pytest.FixtureRequest) -> Format:
    """What the HTTP clients speak."""
    chosen: Format = request.param
    return chosen


@pytest.fixture
async def start(core: str, tmp_path: Path) -> AsyncIterator[Start]:
    """Start a network with settings of the test's own; all is stopped at its end."""
    async with AsyncExitStack() as stack:

        async def start(settings: str = "", **options: Any) -> World:
            return await stack.enter_async_context(WORLDS[core](tmp_path, settings, **options))

        yield start


@pytest.fixture
async def world(start: Start) -> World:
    """A network with the settings that most tests want."""
    return await start()


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A browser."""
    driver = start_browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(driver: webdriver.Chrome, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PageLab]:
    """The network with the browser in it."""
    async with page_lab(tmp_path_factory.mktemp("lab"), driver) as lab:
        yield lab
