"""What stands behind a message on a phone: the short link in it, and the receipts of those who carried it."""

from __future__ import annotations

import asyncio

from aiohttp import web

from gateway.deliveryservices import MAX_REPORT, LinkService, ReportService
from gateway.http.calls import BODY_TIMEOUT, proceed
from gateway.http.negotiation import asked_for
from gateway.http.page import Pages
from gateway.http.problems import BodyTooLarge, NoSuchPath, RequestTimeout
from gateway.http.routes import Route

REPORT = "/rcsgw/delivery/{channel}/{token}"


class LinkCalls:
    """Leads from short links to login links. Whoever opens one, a preview or a scanner too, changes nothing by it."""

    def __init__(self, links: LinkService, pages: Pages) -> None:
        self._links = links
        self._pages = pages

    def routes(self) -> list[Route]:
        """Return the call with its path."""
        return [
            Route(
                "GET",
                "/i/{token}",
                self.follow,
                "Short link of an invitation: redirects to the link",
                "anybody",
                answers={302: None},
                with_head=True,
            )
        ]

    async def follow(self, request: web.BaseRequest, token: str) -> web.StreamResponse:
        """Redirect to the login link; a page says so where there is none (any more)."""
        link = await self._links.resolve(token)
        if link is None:
            if asked_for(request.headers.get("Accept")) is not None:
                raise NoSuchPath("This link leads to no invitation, or to one that is over.")
            page = self._pages.file("over.html", request)
            page.set_status(404)
            page.headers["Cache-Control"] = "no-store"
            del page.headers["ETag"]
            return page
        headers = {
            "Location": link,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Robots-Tag": "noindex",
            "Server": "rcsgw",
        }
        return web.Response(status=302, headers=headers)


class ReportCalls:
    """Takes receipts. A path with a wrong token does not exist, like any other that nobody has heard of."""

    def __init__(self, reports: ReportService) -> None:
        self._reports = reports

    def routes(self) -> list[Route]:
        """Return the calls with their paths."""
        what, answers = "A receipt of a message server, in its own format", {200: "*/*"}
        return [
            Route("GET", REPORT, self.report_by_query, what, "anybody", None, answers),
            Route("POST", REPORT, self.report, what, "anybody", "*/*", answers),
        ]

    async def report_by_query(self, request: web.BaseRequest, channel: str, token: str) -> web.StreamResponse:
        """Take a receipt that needs no body."""
        return await self.report(request, channel, token)

    async def report(self, request: web.BaseRequest, channel: str, token: str) -> web.StreamResponse:
        """Hand a receipt to the driver of its channel."""
        if not self._reports.accepts(channel, token):
            raise NoSuchPath("Nothing is at this path.")
        query, content_type = dict(request.query.items()), request.headers.get("Content-Type", "")
        answer = await self._reports.report(channel, query, content_type, await _read(request))
        headers = {"Content-Type": answer.content_type, "Cache-Control": "no-store", "Server": "rcsgw"}
        return web.Response(status=answer.status, headers=headers, body=answer.body)


async def _read(request: web.BaseRequest) -> bytes:
    """Return a small body; stops reading where it is none."""
    if (request.content_length or 0) > MAX_REPORT:
        raise BodyTooLarge(f"The body exceeds {MAX_REPORT} octets.")
    await proceed(request)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            async for data in request.content.iter_any():
                body += data
                if len(body) > MAX_REPORT:
                    raise BodyTooLarge(f"The body exceeds {MAX_REPORT} octets.")
    except TimeoutError:
        raise RequestTimeout("The body did not arrive in time.") from None
    return bytes(body)
