"""Starts a Kamailio from the distribution with the lab's own configuration, in a folder and on ports of the caller.

Needs Debian's ``kamailio`` and ``kamailio-sqlite-modules``. Used by the tests and by the demonstration::

    async with Kamailio(folder, domain="cc.com") as core:
        core.add_subscriber("a", "secret")
        ... core.sip_uri ...
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import aiohttp
import click

from gateway.lab.ports import free_port
from gateway.lab.run import parse_host_port
from sipstack.flow import HostPort

CONFIG_FOLDER = Path(__file__).resolve().parents[2] / "config" / "kamailio"
"""Where kamailio.cfg and schema.sql lie in a clone of the project."""

START_SECONDS = 15.0
"""How long Kamailio may take to answer after its start; it needs 0.3 s on an idle machine."""

STOP_SECONDS = 5.0
"""How long Kamailio may take to stop after SIGTERM before it is killed."""

HTTP_TIMEOUT = aiohttp.ClientTimeout(total=2.0)
"""Seconds for one HTTP request to a Kamailio on the same machine."""

HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
"""What Kamailio 5.6 can do; one algorithm an instance."""


class KamailioError(Exception):
    """Kamailio did not start or does not answer; the text ends with what it wrote last."""


def is_available() -> bool:
    """Tell whether the program and its SQLite module are installed."""
    return shutil.which("kamailio") is not None and has_module("db_sqlite")


def has_module(name: str) -> bool:
    """Tell whether a module of Kamailio is installed."""
    return any(Path("/usr/lib").glob(f"*/kamailio/modules/{name}.so"))


class Kamailio:
    """One running Kamailio. ``folder`` keeps its configuration, subscriber table and log."""

    def __init__(
        self,
        folder: Path,
        *,
        domain: str = "cc.com",
        host: str = "127.0.0.1",
        sip_port: int = 0,
        rpc_port: int = 0,
        im_server: HostPort | None = None,
        file_server: HostPort | None = None,
        algorithm: str = "MD5",
        database_url: str = "",
        database: Path | None = None,
        dmq_port: int = 0,
        peer: HostPort | None = None,
        outbound: bool = False,
        msrp: bool = False,
        tls: bool = False,
        websocket: bool = False,
        certificate: Path | None = None,
        key: Path | None = None,
        config_folder: Path = CONFIG_FOLDER,
    ) -> None:
        """``host`` is numeric; a port 0 means a free one; without ``im_server`` chats go straight to the user, without
        ``file_server`` files go where chats go.

        ``database_url``, as Kamailio writes it (``mysql://…``, ``postgres://…``): where the subscriber table is, with a
        column ``impus``; without it, an SQLite file is made in the folder, which the methods for subscribers change, or
        ``database`` is such a file, of another node. ``peer`` shares its bindings with us: where it listens for that,
        as we do at ``dmq_port``. ``outbound``: take registrations by flows (:rfc:`5626`), and hand out GRUUs.

        ``tls``: take SIP by TLS as well, with the PEM files of a certificate and its key. ``websocket``: take it over
        WebSocket, and with ``tls`` over secure ones.

        ``msrp``: be an MSRP relay too, by TLS as well when there are PEM files of a certificate and its key, and then
        over WebSocket too where the module for it is installed.
        """
        self.folder = folder.resolve()
        self.domain = domain
        self.host = host
        self.sip_port = sip_port or free_port(host)
        self.rpc_port = rpc_port or free_port(host)
        self._database_url = database_url
        self.database = database or self.folder / "kamailio.db"
        """The SQLite file with the ``subscriber`` table."""
        self.dmq_port = dmq_port
        self._peer = peer
        self._outbound = outbound
        self._servers = {"IM": im_server, "FILE": file_server}
        self.algorithm = algorithm
        self.sips_port = free_port(host) if tls else 0
        self.ws_port = free_port(host) if websocket else 0
        self.wss_port = free_port(host) if websocket and tls else 0
        self.msrp_port = free_port(host) if msrp else 0
        self.msrps_port = free_port(host) if msrp and certificate is not None else 0
        self.msrpws_port = free_port(host) if self.msrps_port and has_module("websocket") else 0
        self._certificate = certificate
        self._key = key
        self._config_folder = config_folder
        self._process: asyncio.subprocess.Process | None = None

    @property
    def log(self) -> Path:
        """What Kamailio wrote to its standard error."""
        return self.folder / "kamailio.log"

    @property
    def sip_uri(self) -> str:
        """The URI to use as outbound proxy, without transport parameter."""
        return f"sip:{self._at(self.sip_port)};lr"

    def _at(self, port: int) -> str:
        return f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"

    def write_config(self) -> Path:
        """Fill the folder: configuration, local settings, subscriber table. Returns the path of the configuration."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "kamailio.cfg"
        shutil.copyfile(self._config_folder / "kamailio.cfg", config)
        (self.folder / "local.cfg").write_text(self._settings())
        if not self._database_url:
            with contextlib.closing(sqlite3.connect(self.database)) as connection:
                connection.executescript((self._config_folder / "schema.sql").read_text())
        return config

    def _settings(self) -> str:
        values = {
            "HOME_DOMAIN": self.domain,
            "SIP_ADDRESS": self._at(self.sip_port),
            "RPC_ADDRESS": self._at(self.rpc_port),
            "RPC_PORT": str(self.rpc_port),
            "DB_FILE": str(self.database),
        }
        lines = [f'#!substdef "!{name}!{value}!g"' for name, value in values.items()]
        for name, server in self._servers.items():
            if server is not None:
                host = f"[{server[0]}]" if ":" in server[0] else server[0]
                lines += [f'#!substdef "!{name}_SERVER!{host}:{server[1]}!g"', f"#!define WITH_{name}"]
        if self.msrps_port or self.sips_port:
            tls = self.folder / "tls.cfg"
            method = f"method = TLSv1.2+\ncertificate = {self._certificate}\nprivate_key = {self._key}\n"
            tls.write_text(f"[server:default]\n{method}[client:default]\n{method}verify_certificate = no\n")
            lines.append(f'#!substdef "!TLS_CONFIG!{tls}!g"')
        listeners = {
            ("DMQ_ADDRESS", "WITH_PEER"): self.dmq_port,
            ("SIPS_ADDRESS", "WITH_TLS"): self.sips_port,
            ("WS_ADDRESS", "WITH_WS"): self.ws_port,
            ("WSS_ADDRESS", "WITH_WSS"): self.wss_port,
            ("MSRP_ADDRESS", "WITH_MSRP"): self.msrp_port,
            ("MSRPS_ADDRESS", "WITH_MSRPS"): self.msrps_port,
            ("MSRPWS_ADDRESS", "WITH_MSRPWS"): self.msrpws_port,
        }
        for (address, switch), port in listeners.items():
            if port:
                lines += [f'#!substdef "!{address}!{self._at(port)}!g"', f"#!define {switch}"]
        if self._outbound:
            lines.append("#!define WITH_OUTBOUND")
        if self._peer is not None:
            lines.append(f'#!substdef "!DMQ_PEER!{self._peer[0]}:{self._peer[1]}!g"')
        if self.msrpws_port:
            lines.append(f'#!substdef "!MSRPWS_PORT!{self.msrpws_port}!g"')
        if ":" in self.host:
            lines.append("#!define WITH_IPV6")
        if self._database_url:
            kind = "WITH_MYSQL" if self._database_url.startswith("mysql") else "WITH_POSTGRES"
            lines += [f'#!substdef "!DB_URL!{self._database_url}!g"', f"#!define {kind}"]
        if self.algorithm == "SHA-256":
            lines.append("#!define WITH_SHA256")
        return "\n".join(lines) + "\n"

    async def start(self) -> None:
        """Start and wait until it answers. Raises KamailioError with the end of its log."""
        config = self.write_config()
        if self._database_url:
            await self._start(config)
            return
        # Who opens a WAL database first locks it for a moment, and Kamailio's workers open it all at once without
        # patience: one start in some hundred would fail. With one connection open already nobody is the first.
        with contextlib.closing(sqlite3.connect(self.database)) as first:
            first.execute("SELECT count(*) FROM version").fetchone()
            await self._start(config)

    async def _start(self, config: Path) -> None:
        folder = str(self.folder)
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                # -DD: all in the foreground; -E: log to standard error; no file outside the folder
                *("kamailio", "-f", str(config), "-DD", "-E", "-m", "128", "-M", "8"),
                *("-w", folder, "-Y", folder, "-P", str(self.folder / "kamailio.pid")),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            async with asyncio.timeout(START_SECONDS):
                while not await self.is_healthy():
                    if self._process.returncode is not None:
                        raise KamailioError(f"Kamailio ended with {self._process.returncode}: {self._log_end()}")
                    await asyncio.sleep(0.05)
        except TimeoutError:
            await self.stop()
            raise KamailioError(f"Kamailio does not answer: {self._log_end()}") from None

    def _log_end(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]

    async def is_healthy(self) -> bool:
        """Tell whether its HTTP health check answers."""
        try:
            async with (
                aiohttp.ClientSession(timeout=HTTP_TIMEOUT) as session,
                session.get(f"http://{self._at(self.rpc_port)}/health") as answer,
            ):
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def rpc(self, method: str, *params: object) -> object:
        """Call JSON-RPC, for example ``ul.dump`` or ``core.uptime``. Raises KamailioError on an error answer."""
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        async with aiohttp.ClientSession(timeout=HTTP_TIMEOUT) as session:
            async with session.post(f"http://{self._at(self.rpc_port)}/RPC", json=call) as answer:
                body = json.loads(await answer.read())
        if "error" in body:
            raise KamailioError(f"{method}: {body['error']}")
        return body["result"]

    async def stop(self) -> None:
        """Stop it: SIGTERM to the main process, which stops its workers; SIGKILL when that does not help."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def kill(self) -> None:
        """End it at once, as a crash does. It can be started again."""
        self.send_signal(signal.SIGKILL)
        process, self._process = self._process, None
        if process is not None:
            await process.wait()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to all of its processes; SIGSTOP makes it hang, SIGCONT go on."""
        if self._process is None:
            return
        pid = self._process.pid
        workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for process in (pid, *map(int, workers)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    async def __aenter__(self) -> Kamailio:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    def add_subscriber(self, username: str, password: str, identities: Iterable[str] = ()) -> None:
        """Insert or replace an account; works while Kamailio runs. Without ``identities`` it has user@domain."""
        make = HASHES[self.algorithm]

        def ha1(user: str) -> str:
            return make(f"{user}:{self.domain}:{password}".encode()).hexdigest()

        self._change(
            "INSERT OR REPLACE INTO subscriber (username, domain, ha1, ha1b, impus) VALUES (?, ?, ?, ?, ?)",
            (username, self.domain, ha1(username), ha1(f"{username}@{self.domain}"), ",".join(identities)),
        )

    def remove_subscriber(self, username: str) -> None:
        """Delete an account; its next request is refused."""
        self._change("DELETE FROM subscriber WHERE username = ? AND domain = ?", (username, self.domain))

    def subscribers(self) -> list[str]:
        """Return the user names in the table, sorted."""
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            return [row[0] for row in connection.execute("SELECT username FROM subscriber ORDER BY username")]

    def _change(self, statement: str, values: tuple[str, ...]) -> None:
        with contextlib.closing(sqlite3.connect(self.database, timeout=5.0)) as connection, connection:
            connection.execute(statement, values)


async def _run(core: Kamailio, accounts: Iterable[tuple[str, str]]) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with core:
        for user, password in accounts:
            core.add_subscriber(user, password)
        ready = {"event": "ready", "sip": f"{core.host}:{core.sip_port}", "http": f"{core.host}:{core.rpc_port}"}
        sys.stdout.write(json.dumps({**ready, "database": str(core.database)}) + "\n")
        sys.stdout.flush()
        await stopped.wait()


@click.command()
@click.option(
    "--folder", type=click.Path(path_type=Path), required=True, help="Folder for configuration, table and log."
)
@click.option("--domain", default="cc.com", show_default=True, help="Home domain and realm.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Numeric address to listen on.")
@click.option("--port", default=5060, show_default=True, help="SIP port (UDP and TCP); 0: a free one.")
@click.option("--rpc-port", default=5070, show_default=True, help="Port of /health and /RPC; 0: a free one.")
@click.option("--im-server", metavar="HOST:PORT", help="IM server that chats go through.")
@click.option("--file-server", metavar="HOST:PORT", help="File server that files go through.")
@click.option("--algorithm", type=click.Choice(list(HASHES)), default="MD5", show_default=True)
@click.option("--account", "accounts", multiple=True, metavar="USER:PASSWORD", help="Account to insert at the start.")
def main(
    folder: Path,
    domain: str,
    host: str,
    port: int,
    rpc_port: int,
    im_server: str | None,
    file_server: str | None,
    algorithm: str,
    accounts: tuple[str, ...],
) -> None:
    """Run Kamailio with the lab's configuration until SIGTERM. Writes one JSON line when it is ready."""
    core = Kamailio(
        folder,
        domain=domain,
        host=host,
        sip_port=port,
        rpc_port=rpc_port,
        im_server=parse_host_port(im_server) if im_server else None,
        file_server=parse_host_port(file_server) if file_server else None,
        algorithm=algorithm,
    )
    pairs = [account.partition(":") for account in accounts]
    try:
        asyncio.run(_run(core, [(user, password) for user, _, password in pairs]))
    except KamailioError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
