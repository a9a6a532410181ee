"""``rcsgw lab``: the embedded network and a gateway in one process, to try things out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from gateway.app import Gateway
from gateway.config.settings import Config, split_host_port
from gateway.lab.inviter import Inviter
from gateway.lab.lab import Lab, LabOptions, LabUser
from gateway.lab.terminal import Terminal
from sipstack.sip.uri import Uri
from sipstack.trace import Trace


def lab_users(config: Config) -> tuple[LabUser, ...]:
    """Return the core's subscribers: those of the users driver, and the service account."""
    users = [
        LabUser(subscriber.uid, subscriber.password, subscriber.identities) for subscriber in config.users.subscriber
    ]
    core = config.core
    password = config.secret(core.service_password, core.service_password_file)
    return (*users, *(LabUser(name, password) for name in service_users(config)))


def service_users(config: Config) -> tuple[str, ...]:
    """Return the digest username of the service account, nothing where there is none."""
    core = config.core
    return (core.service_user or Uri.parse(core.service_account).user or "",) if core.service_account else ()


def lab_options(config: Config, folder: Path | None, mailbox_port: int, *, with_phone: bool) -> LabOptions:
    """Return a lab whose parts stand where ``config`` expects them."""
    proxy = Uri.parse(config.core.outbound_proxy).host_port
    servers = config.interaction.sip
    im_server, file_server = Uri.parse(servers.im).host_port, Uri.parse(servers.file).host_port
    return LabOptions(
        domain=config.core.domain,
        host=proxy[0],
        users=lab_users(config),
        folder=folder,
        core_port=proxy[1] or 5060,
        core_http_port=int(config.provisioning.lab.url.rpartition(":")[2]),
        im_port=im_server[1] or 5060,
        file_port=file_server[1] or 5060,
        smtp_port=config.delivery.email.port,
        mailbox_http_port=mailbox_port,
        gateways=(config.interaction.sip.identity,),
        watchers=service_users(config),
        with_phone=with_phone,
    )


async def run_lab(
    config: Config,
    stopped: asyncio.Event,
    *,
    folder: Path | None = None,
    mailbox_port: int = 0,
    with_phone: bool = True,
    trace: Callable[[str], Trace | None] = lambda actor: None,
) -> None:
    """Run everything until ``stopped`` is set, or until ``/quit`` on the terminal of A's phone.

    OSError when one of the ports is taken.
    """
    console = Console(highlight=False)
    async with contextlib.AsyncExitStack() as stack:
        options = lab_options(config, folder, mailbox_port, with_phone=with_phone)
        lab = await stack.enter_async_context(Lab(options, trace=trace))
        gateway = await stack.enter_async_context(Gateway(config, trace=trace("gateway")))
        _introduce(console, config, gateway, lab)
        waits: list[Any] = [asyncio.ensure_future(stopped.wait())]
        if lab.phone is not None:
            user = lab.options.users[0]
            terminal = Terminal(console, Inviter(gateway.http.url, user.username, user.password))
            terminal.phone = lab.phone
            lab.phone.on_event = terminal.show
            waits.append(asyncio.ensure_future(_until_quit(terminal)))
        _, running = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in running:
            wait.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _introduce(console: Console, config: Config, gateway: Gateway, lab: Lab) -> None:
    places = lab.addresses()
    host, port = split_host_port(places["mailbox"])
    lines = [
        f"gateway   {gateway.http.url}",
        f"core      sip:{places['sip']}, domain {config.core.domain}",
        f"IM server sip:{places.get('im_sip', '')}, file server sip:{places.get('file_sip', '')}",
        f"content   {lab.content_server.url}",
        f"mailbox   http://{host}:{port}/",
    ]
    if lab.options.users:
        user = lab.options.users[0]
        lines.append(f"invite    rcsgw invite --url {gateway.http.url} --user {user.username} b@example.com")
        lines.append(f"password  {user.password}")
    if lab.phone is not None:
        lines.append("This is the phone of A. Type /invite b@example.com, or /help.")
    for line in lines:
        console.print(escape(line))


async def _until_quit(terminal: Terminal) -> None:
    """Serve the terminal; when its input ends (no terminal, or Ctrl-D), the lab goes on until a signal."""
    await terminal.run()
    if not terminal.left:
        await asyncio.Event().wait()
