"""Every type of problem has a page that says what it means."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module

import gateway.files
import gateway.http
from gateway.http.explained import EXPLAINED
from gateway.services import ServiceError, UpstreamRefused
from tests.gateway.http.fakes import running
from translators import status


def _kinds(kind: type[ServiceError]) -> Iterator[type[ServiceError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _kinds(below)


def _titles() -> dict[str, set[str]]:
    """Return type → titles, of all problems that there are."""
    for package in (gateway.http, gateway.files):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            import_module(module.name)
    import_module("gateway.policy")
    told = [(kind.type, kind.title) for kind in _kinds(ServiceError) if kind is not UpstreamRefused]
    told += [(known.type, known.title) for known in vars(status).values() if isinstance(known, status.Outcome)]
    titles: dict[str, set[str]] = {}
    for type_, title in told:
        titles.setdefault(type_, set()).add(title)
    return titles


def test_every_type_is_explained_and_has_one_title() -> None:
    """RFC 9457 §3.1.3: the title does not change from one problem of a type to the next."""
    titles = _titles()
    assert titles.keys() == EXPLAINED.keys()
    assert {type_: found for type_, found in titles.items() if len(found) > 1} == {}


async def test_the_url_of_a_type_leads_to_its_page() -> None:
    async with running() as house:
        async with house.client.get("/no/such/path") as answer:
            url = (await answer.json())["type"]
        async with house.client.get(url) as answer:
            assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
            assert (await answer.text()).startswith("not-found\n\nNothing is at this path")
        async with house.client.get("/problems/tea") as answer:
            assert answer.status == 404 and (await answer.json())["type"] == url
