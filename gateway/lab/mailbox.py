"""A mail server that delivers to nobody: it keeps every mail and shows it, in JSON and as a plain page.

For the lab: the invited person's mailbox. Faults can be switched on by HTTP: refuse connections, recipients or mails
with any 4xx or 5xx answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as default_policy
from html import escape
from pathlib import Path
from typing import Any

import click
from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from gateway.lab.admin import AdminServer, read_json
from gateway.lab.part import Part
from gateway.lab.run import ready, serve_until_signal, trace_option
from gateway.lab.smtptrace import TracedSMTP
from sipstack.flow import HostPort
from sipstack.trace import Trace

MAX_MAILS = 10_000
"""Mails kept; the oldest goes first. Enough for a benchmark of invitations."""
MAX_SIZE = 1024 * 1024
"""Octets of one mail. Invitations have some ten thousand."""
MAX_WAIT = 60.0
"""Seconds that ``GET /mails?wait=`` waits at most."""

STEPS = ("mail", "rcpt", "data")
"""Where a fault can strike."""

_LINK = re.compile(r"https?://[^\s<>\"']+")
_REPLY = re.compile(r"[45][0-9]{2} [ -~]{1,200}")


@dataclass(slots=True)
class Mail:
    """A mail as it came in."""

    id: int
    at: float
    """Wall clock, seconds since 1970."""
    sender: str
    recipients: tuple[str, ...]
    raw: bytes

    def parse(self) -> EmailMessage:
        """Return it as the standard library's message."""
        return message_from_bytes(self.raw, policy=default_policy)

    def part(self, kind: str) -> str:
        """Return the first part of a kind, ``plain`` or ``html``; empty when there is none."""
        body = self.parse().get_body((kind,))
        return "" if body is None else str(body.get_content())

    def links(self) -> list[str]:
        """Return the links in the text part."""
        return _LINK.findall(self.part("plain"))

    def summary(self) -> dict[str, object]:
        """Return what the list shows."""
        message = self.parse()
        return {
            "id": self.id,
            "at": self.at,
            "from": self.sender,
            "to": list(self.recipients),
            "subject": str(message["Subject"] or ""),
            "message_id": str(message["Message-ID"] or ""),
        }

    def view(self) -> dict[str, object]:
        """Return all of it."""
        return {
            **self.summary(),
            "headers": [[name, str(value)] for name, value in self.parse().items()],
            "text": self.part("plain"),
            "html": self.part("html"),
            "links": self.links(),
        }


class Mailbox(Part):
    """SMTP server and HTTP server. With ``folder`` each mail is also written to a file there."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        smtp_port: int = 0,
        http_port: int = 0,
        folder: Path | None = None,
        credentials: tuple[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        trace: Trace | None = None,
    ) -> None:
        """``credentials`` (user, password): demand AUTH. ``tls``: offer STARTTLS, or TLS from the start."""
        self.mails: list[Mail] = []
        self.faults: dict[str, str] = {}
        self._folder = folder
        self._credentials = credentials
        self._tls = tls
        self._implicit_tls = implicit_tls
        self._trace = trace
        self._wanted = host, smtp_port
        self._server: asyncio.Server | None = None
        self._serial = 0
        self._arrived = asyncio.Event()
        self.address: HostPort = self._wanted
        self.http = AdminServer(self._build_app(), host, http_port)

    # life

    async def start(self) -> None:
        """Listen for SMTP and HTTP."""
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
        context = self._tls if self._implicit_tls else None
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._make_protocol, *self._wanted, ssl=context)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.address = (host, port)
        await self.http.start()

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.http.close()

    async def stop_smtp(self) -> None:
        """Take the mail server down; the mails and the HTTP side stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def start_smtp(self) -> None:
        """Bring the mail server back on the same port."""
        loop = asyncio.get_running_loop()
        context = self._tls if self._implicit_tls else None
        self._server = await loop.create_server(self._make_protocol, *self.address, ssl=context)

    # SMTP

    def _make_protocol(self) -> SMTP:
        with warnings.catch_warnings():
            # aiosmtpd warns of passwords without TLS: on loopback a test may want just that.
            warnings.filterwarnings("ignore", message="Requiring AUTH while not requiring TLS")
            return TracedSMTP(
                self,
                trace=self._trace,
                hostname="mailbox.lab",
                ident="rcsgw lab mailbox",
                data_size_limit=MAX_SIZE,
                enable_SMTPUTF8=True,
                loop=asyncio.get_running_loop(),
                tls_context=None if self._implicit_tls else self._tls,
                authenticator=self._authenticate if self._credentials else None,
                auth_required=self._credentials is not None,
                auth_require_tls=self._tls is not None and not self._implicit_tls,
            )

    def _authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, data: Any) -> AuthResult:
        given = data if isinstance(data, LoginPassword) else None
        right = given is not None and (given.login.decode(), given.password.decode()) == self._credentials
        return AuthResult(success=right, handled=False)  # not handled here: aiosmtpd answers 535

    async def handle_MAIL(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take the sender (a hook of aiosmtpd, as its name tells)."""
        if (fault := self.faults.get("mail")) is not None:
            return fault
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take a recipient."""
        if (fault := self.faults.get("rcpt")) is not None:
            return fault
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Take the mail."""
        if (fault := self.faults.get("data")) is not None:
            return fault
        content = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        mail = self.add(envelope.mail_from or "", tuple(envelope.rcpt_tos), content)
        return f"250 OK kept as {mail.id}"

    def add(self, sender: str, recipients: tuple[str, ...], raw: bytes) -> Mail:
        """Keep a mail."""
        self._serial += 1
        mail = Mail(self._serial, time.time(), sender, recipients, raw)
        if self._folder is not None:
            (self._folder / f"{mail.id:06}.eml").write_bytes(raw)
        self.mails.append(mail)
        del self.mails[:-MAX_MAILS]
        arrived, self._arrived = self._arrived, asyncio.Event()
        arrived.set()
        return mail

    # reading

    def find(self, recipient: str = "", after: int = 0) -> list[Mail]:
        """Return the mails to ``recipient`` (all without one) whose id is above ``after``, oldest first."""
        wanted = recipient.lower()
        return [
            mail
            for mail in self.mails
            if mail.id > after and (not wanted or wanted in [address.lower() for address in mail.recipients])
        ]

    async def wait_for(self, recipient: str = "", *, after: int = 0, timeout: float = 10.0) -> Mail:
        """Return the first mail that :meth:`find` finds; TimeoutError when none comes in ``timeout`` seconds."""
        async with asyncio.timeout(timeout):
            while not (found := self.find(recipient, after)):
                await self._arrived.wait()
        return found[0]

    def set_faults(self, faults: Mapping[str, str]) -> None:
        """Answer ``mail``, ``rcpt`` or ``data`` with these lines (``451 4.3.0 Try later``); ValueError for others."""
        for step, reply in faults.items():
            if step not in STEPS or not _REPLY.fullmatch(str(reply)):
                raise ValueError(f"{step}: the steps are {', '.join(STEPS)}, a reply is 4xx or 5xx and a text")
        self.faults = dict(faults)

    # HTTP

    def _build_app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/", self._get_page),
                web.get("/mails", self._get_mails),
                web.delete("/mails", self._delete_mails),
                web.get(r"/mails/{id:\d+}", self._get_mail),
                web.get(r"/mails/{id:\d+}.eml", self._get_raw),
                web.get("/faults", self._get_faults),
                web.put("/faults", self._put_faults),
                web.delete("/faults", self._delete_faults),
            ]
        )
        return app

    async def _get_mails(self, request: web.Request) -> web.Response:
        to, after = request.query.get("to", ""), int(request.query.get("after", "0"))
        wait = min(float(request.query.get("wait", "0")), MAX_WAIT)
        if wait > 0:
            with contextlib.suppress(TimeoutError):
                await self.wait_for(to, after=after, timeout=wait)
        return web.json_response({"mails": [mail.summary() for mail in self.find(to, after)]})

    async def _delete_mails(self, _: web.Request) -> web.Response:
        self.mails.clear()
        return web.Response(status=204)

    def _mail(self, request: web.Request) -> Mail:
        number = int(request.match_info["id"])
        for mail in self.mails:
            if mail.id == number:
                return mail
        raise web.HTTPNotFound(text="no such mail")

    async def _get_mail(self, request: web.Request) -> web.Response:
        mail = self._mail(request)
        if "text/html" in request.headers.get("Accept", ""):
            return _page(f"Mail {mail.id}", _mail_html(mail))
        return web.json_response(mail.view())

    async def _get_raw(self, request: web.Request) -> web.Response:
        return web.Response(body=self._mail(request).raw, content_type="text/plain")

    async def _get_page(self, _: web.Request) -> web.Response:
        rows = [
            f"<tr><td>{time.strftime('%H:%M:%S', time.localtime(mail.at))}</td><td>{escape(', '.join(mail.recipients))}"
            f'</td><td><a href="/mails/{mail.id}">{escape(str(mail.summary()["subject"]))}</a></td></tr>'
            for mail in reversed(self.mails)
        ]
        table = f"<table><tr><th>At</th><th>To</th><th>Subject</th></tr>{''.join(rows)}</table>"
        return _page("Lab mailbox", table if rows else "<p>No mail yet.</p>")

    async def _get_faults(self, _: web.Request) -> web.Response:
        return web.json_response(self.faults)

    async def _put_faults(self, request: web.Request) -> web.Response:
        try:
            self.set_faults(await read_json(request))
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        return web.json_response(self.faults)

    async def _delete_faults(self, _: web.Request) -> web.Response:
        self.faults = {}
        return web.json_response(self.faults)


def _mail_html(mail: Mail) -> str:
    text = escape(mail.part("plain"))
    linked = _LINK.sub(lambda link: f'<a href="{link[0]}" rel="noreferrer">{link[0]}</a>', text)
    heads = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in mail.parse().items())
    return f'<p><a href="/">all mails</a></p><dl>{heads}</dl><pre>{linked}</pre>'


def _page(title: str, content: str) -> web.Response:
    style = (
        "body{font:1rem sans-serif;margin:2rem auto;max-width:60rem}td,th{text-align:left;padding:.2rem 1rem .2rem 0}"
    )
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{style}</style>'
    page = web.Response(text=f"{head}<h1>{escape(title)}</h1>{content}</html>", content_type="text/html")
    # Mails are foreign text: nothing of them may run or be fetched.
    page.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
    return page


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=2525, show_default=True, help="SMTP port; 0: a free one.")
@click.option("--http-port", default=8025, show_default=True, help="Port of the page and the JSON; 0: a free one.")
@click.option("--folder", type=click.Path(path_type=Path), help="Also write each mail to a file here.")
@trace_option("mailbox")
def main(host: str, port: int, http_port: int, folder: Path | None, trace: Trace | None) -> None:
    """Run the lab's mail server: keeps mails, shows them, delivers to nobody."""
    mailbox = Mailbox(host=host, smtp_port=port, http_port=http_port, folder=folder, trace=trace)
    serve_until_signal(mailbox, lambda: ready("mailbox", smtp=mailbox.address, http=mailbox.http.address))


if __name__ == "__main__":
    main()
