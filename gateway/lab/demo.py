"""The demonstration: a lab of processes on loopback, one invitation, one conversation, and the ladder of all of it.

``scripts/demo`` runs it. Without ``--check`` you are the guest: the link opens in your browser, A's phone answers. With
``--check`` nobody is needed, and the exit code tells whether everything that had to cross the wire did.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import click

from gateway.lab.drawing import draw
from gateway.lab.expect import missing
from gateway.lab.guest import Guest, Refused, read_link
from gateway.lab.inviter import InviteFailed, Inviter
from gateway.lab.kamailio import is_available
from gateway.lab.ladder import Ladder, build_ladder
from gateway.lab.ports import free_port
from gateway.lab.processes import Child, Children, ProcessFailed
from sipstack.flow import HostPort
from sipstack.net.tracefile import read_trace

HOST = "127.0.0.1"
DOMAIN = "cc.com"
USER, PASSWORD = "a", "a-secret"
A = f"sip:{USER}@{DOMAIN}"
INVITED = "b@example.com"
CONFIG = Path(__file__).resolve().parents[2] / "config" / "lab.toml"
SERVICE = ("rcsgw", "rcsgw-secret")
"""Account that the gateway's status probes go out as, the same in config/lab.toml."""

HTTP_PORT = 8080
"""Where the interactive demonstration likes to listen, so that its links look the same each time."""

FILE = b"A line of a report that B has for A.\n" * 4000
"""What the demonstration sends as a file, and its reverse as the answer."""

REPORT, ANSWER = "report.txt", "answer.txt"
"""What these files are called."""

SCRIPT = Path(__file__).resolve().parents[2] / "config" / "phone" / "demo.phone"
"""What A does in a check."""

MAIL_SECONDS = 10
"""How long the mail may take."""


@dataclass(slots=True)
class Options:
    """How the demonstration is to run."""

    core: str
    check: bool
    folder: Path
    config: Path = CONFIG
    browser: bool = True
    width: int = 140


@dataclass(slots=True)
class Demo:
    """All processes of the demonstration and where they are."""

    options: Options
    children: Children = field(init=False)
    names: dict[HostPort | str, str] = field(default_factory=dict)
    """Who records nothing, for the ladder."""
    gateway_url: str = ""
    mailbox_url: str = ""
    core_url: str = ""
    server_urls: list[str] = field(default_factory=list)
    """Admin HTTP of IM server and file server."""
    gateway: Child = field(init=False)
    phone: Child = field(init=False)

    # processes

    async def start(self) -> None:
        """Start everything, each part when those that it needs are there."""
        step(f"starting mailbox, IM server, file server, {self.options.core} core, gateway and A's phone")
        self.children = Children(self.options.folder)
        mailbox = await self._start("mailbox", "mailbox", "--port", "0", "--http-port", "0")
        free = ("--port", "0", "--http-port", "0", "--member", A)
        im = await self._start("im server", "imserver", *free)
        file = await self._start("file server", "fileserver", *free)
        self.mailbox_url = f"http://{mailbox['http']}"
        self.server_urls = [f"http://{server['http']}" for server in (im, file)]
        start_core = self._start_kamailio if self.options.core == "kamailio" else self._start_core
        overrides = await start_core("--im-server", im["sip"], "--file-server", file["sip"])
        proxy = overrides["core.outbound_proxy"]
        await self._start_gateway(
            {
                **overrides,
                "interaction.driver": "sip",
                "interaction.sip.im": f"sip:{im['sip']};transport=tcp",
                "interaction.sip.file": f"sip:{file['sip']};transport=tcp",
                "delivery.email.host": HOST,
                "delivery.email.port": int(mailbox["smtp"].rpartition(":")[2]),
            }
        )
        await self._start_phone(proxy)

    async def _start_phone(self, proxy: str) -> None:
        """Start A's phone: it plays its script in a check, else it answers by itself."""
        who = ("--proxy", proxy, "--aor", A, "--password", PASSWORD)
        how: tuple[str, ...] = ("--control", f"{HOST}:0")
        if self.options.check:
            script = shutil.copy(SCRIPT, self.options.folder)  # the files that it names are there
            (self.options.folder / REPORT).write_bytes(FILE)
            (self.options.folder / ANSWER).write_bytes(FILE[::-1])
            how = ("--script", str(script), "--json")
        self.phone = await self._begin("A's phone", "phonecli", *who, *how, on_event=self._phone_event)
        await self.phone.ready()

    async def _start(self, name: str, module: str, *arguments: str) -> dict[str, Any]:
        return await (await self._begin(name, module, *arguments)).ready()

    async def _begin(
        self, name: str, module: str, *arguments: str, on_event: Callable[[dict[str, Any]], None] | None = None
    ) -> Child:
        trace = ("--trace", str(self._trace(name)), "--actor", name)
        command = (sys.executable, "-m", f"gateway.lab.{module}", *trace, *arguments)
        return await self.children.start(name, command, on_event)

    def _trace(self, name: str) -> Path:
        return self.options.folder / f"{name.replace(' ', '-')}.trace.jsonl"

    async def _start_core(self, *servers: str) -> dict[str, Any]:
        accounts = [f"{USER}:{PASSWORD}", f"{SERVICE[0]}:{SERVICE[1]}"]
        subscribers = [word for account in accounts for word in ("--subscriber", account)]
        watcher = ("--watcher", SERVICE[0])
        core = await self._start("core", "core", "--port", "0", "--http-port", "0", *servers, *subscribers, *watcher)
        self.core_url = f"http://{core['http']}"
        return {
            "core.outbound_proxy": f"sip:{core['sip']};transport=tcp;lr",
            "provisioning.driver": "lab",
            "provisioning.lab.url": self.core_url,
        }

    async def _start_kamailio(self, *servers: str) -> dict[str, Any]:
        if not is_available():
            raise ProcessFailed("Kamailio is not installed: apt-get install kamailio kamailio-sqlite-modules")
        folder = self.options.folder / "kamailio"
        accounts = [f"{USER}:{PASSWORD}", f"{SERVICE[0]}:{SERVICE[1]}"]
        subscribers = [word for account in accounts for word in ("--account", account)]
        command = (sys.executable, "-m", "gateway.lab.kamailio", "--folder", str(folder), "--port", "0")
        child = await self.children.start("core", (*command, "--rpc-port", "0", *servers, *subscribers))
        core = await child.ready()
        host, _, port = core["sip"].rpartition(":")
        self.names = {(host, int(port)): "core", "SIP": "core"}  # its own connections come from any port
        return {
            "core.outbound_proxy": f"sip:{core['sip']};transport=tcp;lr",
            "provisioning.driver": "kamailio",
            "provisioning.kamailio.database": core["database"],
        }

    async def _start_gateway(self, overrides: dict[str, Any]) -> None:
        port = self._http_port()
        self.gateway_url = f"http://{HOST}:{port}"
        overrides |= {
            "gateway.public_url": self.gateway_url,
            "gateway.data_dir": str(self.options.folder / "data"),
            "http.listen": f"{HOST}:{port}",
            "sip.bind": f"{HOST}:{free_port(HOST)}",
            "msrp.bind": f"{HOST}:{free_port(HOST)}",
            "log.trace": str(self._trace("gateway")),
        }
        settings = [word for key, value in overrides.items() for word in ("--set", f"{key}={json.dumps(value)}")]
        command = (sys.executable, "-m", "gateway.cli", "serve", "--config", str(self.options.config), *settings)
        self.gateway = await self.children.start("gateway", command)
        await self.gateway.until(self._is_ready)

    def _http_port(self) -> int:
        if self.options.check:
            return free_port(HOST)
        with contextlib.suppress(OSError), socket.create_server((HOST, HTTP_PORT)):
            return HTTP_PORT
        return free_port(HOST)

    async def _is_ready(self) -> bool:
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{self.gateway_url}/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    def _phone_event(self, event: dict[str, Any]) -> None:
        if event.get("event") == "message":
            say(f"A's phone got: {event.get('text')}")
        elif event.get("event") == "file-offered":
            say(f"A's phone is offered {event.get('text')}")
        elif event.get("event") in ("chat", "closed"):
            say(f"A's phone: chat with {event.get('peer')} is {'open' if event['event'] == 'chat' else 'over'}")

    async def stop(self) -> None:
        """Stop everything."""
        await self.children.stop()

    # what happens

    async def invite(self) -> tuple[str, str]:
        """A invites B. Returns the account and the link from the mail."""
        inviter = Inviter(self.gateway_url, USER, PASSWORD)
        step(f"A invites {INVITED}", f"POST {self.gateway_url}/rcsgw/invitee/user")
        view = await inviter.invite(INVITED)
        say(f"account {view['account']}, {view['state']}, valid until {view['valid_until']}")
        mail = await self._mail()
        step(f"the mail to {INVITED}", f"all mails: {self.mailbox_url}/")
        say(mail["text"].strip(), indent="  │ ")
        link = next(link for link in mail["links"] if "/rcsgw/invitee/session/" in link)
        return view["account"], link

    async def _mail(self) -> dict[str, Any]:
        async with aiohttp.ClientSession() as session:
            query = {"to": INVITED, "wait": str(MAIL_SECONDS)}
            async with session.get(f"{self.mailbox_url}/mails", params=query) as answer:
                mails = (await answer.json())["mails"]
            if not mails:
                raise DemoFailed(f"no mail after {MAIL_SECONDS} s")
            async with session.get(f"{self.mailbox_url}/mails/{mails[-1]['id']}") as answer:
                found: dict[str, Any] = await answer.json()
                return found

    async def chat(self, link: str) -> None:
        """B does everything that a guest does; raises DemoFailed at the first thing that is not as it should be."""
        url, account, secret = read_link(link)
        async with Guest(url, account, secret) as guest:
            step("B opens the link", link.replace(secret, "…"))
            await self._expect_page(link)
            login = await guest.login()
            say(f"logged in; invited by {', '.join(inviter['sip'] for inviter in login['inviters'])}")
            await guest.listen()
            status = await guest.status(A)
            expect(status["status"] == "online", f"{A} should be online: {status}")
            say(f"{A} is {status['status']}")
            step("B and A chat")
            for text in ("abcdefg", "the second message uses the same session"):
                answer = await guest.send(A, text)
                expect(answer["state"] == "sent", f"the message should be sent: {answer}")
                say(f"B: {text}   [{answer['state']}]")
                event = await guest.wait_for("message", direction="in", message=f"You said: {text}")
                say(f"A: {event['message']['message']}")
            await self._exchange_files(guest)
            step("B logs out")
            await guest.logout()
            say("all relations have ended")
            await self._expect_end(guest)
        expect(await self.phone.wait() == 0, f"A's script should go well: {self.phone.log_end()}")
        say("A's script went well")

    async def _exchange_files(self, guest: Guest) -> None:
        """Send a file each way; the script compares what A gets, and we what B gets."""
        step("B and A send each other a file")
        sent = await guest.send_file(A, REPORT, "text/plain", FILE)
        event = await guest.wait_for("file", id=sent["id"], state="displayed")
        say(f"B: {REPORT}, {event['file']['octets']} octets   [{event['file']['state']}]")
        event = await guest.wait_for("file", name=ANSWER, state="ready")
        expect(await guest.fetch_file(event["file"]["id"]) == FILE[::-1], "B should have the file that A sent")
        say(f"A: {ANSWER}, {event['file']['octets']} octets   [{event['file']['state']}]")

    async def _expect_page(self, link: str) -> None:
        headers = {"Accept": "text/html"}
        async with aiohttp.ClientSession() as session, session.get(link.partition("#")[0], headers=headers) as answer:
            page = await answer.text()
            expect(answer.status == 200 and "app.js" in page, f"the page should open: {answer.status}")

    async def _expect_end(self, guest: Guest) -> None:
        try:
            await guest.login()
        except Refused as error:
            expect(error.status == 410, f"the link should be over: {error}")
            say(f"the link is over: {error}")
        else:
            raise DemoFailed("the link still opens the account")
        if self.core_url:
            async with aiohttp.ClientSession() as session, session.get(f"{self.core_url}/subscribers") as answer:
                subscribers = (await answer.json())["subscribers"]
            expect(set(subscribers) == {USER, SERVICE[0]}, f"the core should have forgotten the account: {subscribers}")
        for url in self.server_urls:
            async with aiohttp.ClientSession() as session, session.get(f"{url}/accounts") as answer:
                registered = [row["uri"] for row in (await answer.json())["accounts"] if row["registered"]]
            expect(not registered, f"IM server and file server should have forgotten the account: {registered}")

    def ladder(self) -> Ladder:
        """Return what crossed the wire, from the records of all processes. Call after :meth:`stop`."""
        records = [record for file in self.options.folder.glob("*.trace.jsonl") for record in read_trace(file)]
        return build_ladder(records, names=self.names).without("operator")


class DemoFailed(Exception):
    """Something was not as it should be."""


def expect(good: bool, otherwise: str) -> None:
    """Raise DemoFailed unless ``good``."""
    if not good:
        raise DemoFailed(otherwise)


def say(text: str, indent: str = "  ") -> None:
    """Print a line or several."""
    for line in text.splitlines():
        click.echo(f"{indent}{line}".rstrip())


def step(title: str, detail: str = "") -> None:
    """Print what happens next."""
    click.echo(f"\n{title}")
    if detail:
        say(detail)


async def run_check(demo: Demo) -> list[str]:
    """Play everything unattended, print the ladder, return what is wrong."""
    wrong = []
    try:
        await demo.start()
        _, link = await demo.invite()
        await demo.chat(link)
    except (DemoFailed, ProcessFailed, InviteFailed, Refused, TimeoutError, aiohttp.ClientError) as error:
        wrong.append(f"{type(error).__name__}: {error}")
        if demo.gateway_url and not isinstance(error, ProcessFailed):
            wrong += [f"{child.name} wrote:\n{child.log_end()}" for child in (demo.gateway, demo.phone)]
    finally:
        await demo.stop()
    ladder = demo.ladder()
    step("what crossed the wire")
    click.echo(draw(ladder, width=demo.options.width))
    return wrong or [f"not in the ladder: {text}" for text in missing(ladder)]


async def run_interactive(demo: Demo) -> list[str]:
    """Start everything, open the page, run until Ctrl-C."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        await demo.start()
        _, link = await demo.invite()
        step("open this link: you are the invited person now, A's phone answers", link)
        if demo.options.browser and (os.environ.get("DISPLAY") or sys.platform == "darwin"):
            await asyncio.to_thread(webbrowser.open, link)
        step("Ctrl-C ends the demonstration and draws the ladder")
        await stopped.wait()
    except (DemoFailed, ProcessFailed, InviteFailed, aiohttp.ClientError) as error:
        return [f"{type(error).__name__}: {error}"]
    finally:
        await demo.stop()
    step("what crossed the wire")
    click.echo(draw(demo.ladder(), width=demo.options.width))
    return []


@click.command()
@click.option("--check", is_flag=True, help="Play all parts unattended; the exit code tells whether it worked.")
@click.option("--core", type=click.Choice(["embedded", "kamailio"]), default="embedded", show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Keep logs, traces and data here.")
@click.option("--config", type=click.Path(path_type=Path), default=CONFIG, help="Instead of config/lab.toml.")
@click.option("--no-browser", is_flag=True, help="Only print the link.")
@click.option("--width", type=int, help="Columns of the ladder (default: the terminal's, 120 to 160).")
def main(check: bool, core: str, folder: Path | None, config: Path, no_browser: bool, width: int | None) -> None:
    """Invite b@example.com in a lab on this machine, and chat."""
    columns = width or min(max(shutil.get_terminal_size((140, 24)).columns, 120), 160)
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rcsgw-demo-")))
        folder.mkdir(parents=True, exist_ok=True)
        demo = Demo(Options(core, check, folder.resolve(), config.resolve(), not no_browser, columns))
        wrong = asyncio.run((run_check if check else run_interactive)(demo))
    for text in wrong:
        click.echo(text, err=True)
    if wrong:
        click.echo("demo: failed", err=True)
        sys.exit(1)
    click.echo("demo: ok")


if __name__ == "__main__":
    main(prog_name="scripts/demo")
