"""Database servers from Debian for the tests: each in a folder of its own, on a free port, started once a session.

``mariadb`` and ``postgresql`` are fixtures of the whole session; a test asks them for a database that is its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pymysql
import pytest

from gateway.lab.ports import free_port
from tests.sipstack.net.certificates import write_certificate

PASSWORD = "p@ss:w/rd%"
"""Password of each database's owner: it has to be quoted in a URL and masked in texts."""

START_SECONDS = 60.0
"""How long a server may take to start on a busy machine; it needs one."""

STOP_SECONDS = 15.0


class SqlServer:
    """A running server; ``kind`` is that of ``gateway.database``."""

    kind: str
    kamailio: str
    """How Kamailio calls it: the scheme of its URLs, and the folder of its scripts."""
    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate, self.key = write_certificate(folder, "server")
        self.port = free_port()
        self._databases = 0
        self._process: subprocess.Popen[bytes] | None = None

    # what the kinds differ in

    def prepare(self) -> None:
        """Fill the folder of a new server."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """Return the command line of the server."""
        raise NotImplementedError

    def connect_as_root(self) -> Any:
        """Return a connection that commits by itself."""
        raise NotImplementedError

    def connect(self, name: str, password: str = PASSWORD) -> Any:
        """Return a connection of a database's owner that commits by itself."""
        raise NotImplementedError

    def create(self, name: str, password: str) -> list[str]:
        """Return the statements that make a database and its owner of the same name."""
        raise NotImplementedError

    # tests

    def new_database(self, script: str = "", password: str = PASSWORD) -> str:
        """Make a database with an owner of its own; run ``script`` in it; return its name, which is the owner's."""
        self._databases += 1
        name = f"kamailio{self._databases}"
        with self.connect_as_root() as connection:
            for statement in self.create(name, password):
                connection.cursor().execute(statement)
        self.run(name, script, password)
        return name

    def url(self, name: str, password: str = PASSWORD) -> str:
        """Return the URL of a database, for ``gateway.database``."""
        return f"{self.kind}://{name}:{quote(password, safe='')}@127.0.0.1:{self.port}/{name}"

    @property
    def socket(self) -> Path:
        """What ``gateway.database`` takes as its local socket."""
        raise NotImplementedError

    def run(self, name: str, script: str, password: str = PASSWORD) -> list[tuple[Any, ...]]:
        """Run statements that end with semicolons; return the rows of the last one if it has any."""
        script = "\n".join(line for line in script.splitlines() if not line.startswith("--"))
        rows: list[tuple[Any, ...]] = []
        with self.connect(name, password) as connection, connection.cursor() as cursor:
            for statement in filter(None, (part.strip() for part in script.split(";"))):
                cursor.execute(statement)
                rows = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        return rows

    def pause(self) -> None:
        """Let it answer nothing, not even that it is there."""
        for pid in self._pids():
            os.kill(pid, signal.SIGSTOP)
            # Until then a thread on another processor may still answer.
            while any(state not in "TZX" for state in thread_states(pid)):
                time.sleep(0.005)

    def go_on(self) -> None:
        """End a pause."""
        for pid in self._pids():
            os.kill(pid, signal.SIGCONT)

    def _pids(self) -> list[int]:
        """Return the server's process and those below it."""
        assert self._process is not None
        main = self._process.pid
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        return [main, *map(int, children)]

    # life

    def start(self) -> None:
        """Start it and wait until somebody can log in."""
        log = self.folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                **unprivileged(),
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.connect_as_root().close()
                return
            except (pymysql.Error, psycopg.Error) as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise AssertionError(f"{self.kind}: {error}: {log.read_text()[-2000:]}") from error
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it, by force if it does not go."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(self.stop_signal)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class MariaDb(SqlServer):
    """MariaDB, which stands for MySQL too."""

    kind = "mysql"
    kamailio = "mysql"

    def prepare(self) -> None:
        """Make the system tables."""
        call(
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={self.folder}/data",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--innodb-log-file-size=8M",
        )

    def command(self) -> list[str]:
        """Return the command line; what is written need not survive a power cut."""
        return [
            program("mariadbd"),
            "--no-defaults",
            f"--datadir={self.folder}/data",
            f"--socket={self.folder}/socket",
            f"--pid-file={self.folder}/pid",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            f"--ssl-cert={self.certificate}",
            f"--ssl-key={self.key}",
            "--skip-name-resolve",
            "--innodb-buffer-pool-size=16M",
            "--innodb-log-file-size=8M",
            "--innodb-flush-log-at-trx-commit=0",
        ]

    @property
    def socket(self) -> Path:
        """The socket itself."""
        return self.folder / "socket"

    def connect_as_root(self) -> Any:
        """Connect by the local socket, when there is one: PyMySQL forgets to close its end otherwise."""
        if not self.socket.exists():
            raise pymysql.OperationalError("not there yet")
        return pymysql.connect(unix_socket=f"{self.folder}/socket", user="root", autocommit=True)

    def connect(self, name: str, password: str = PASSWORD) -> Any:
        """Connect by TCP, as Kamailio does."""
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user=name, password=password, database=name, autocommit=True
        )

    def create(self, name: str, password: str) -> list[str]:
        """Return what makes database and owner."""
        return [
            f"CREATE DATABASE {name}",
            f"CREATE USER '{name}'@'%' IDENTIFIED BY '{password}'",
            f"GRANT ALL ON {name}.* TO '{name}'@'%'",
        ]


class Postgresql(SqlServer):
    """PostgreSQL."""

    kind = "postgresql"
    kamailio = "postgres"
    stop_signal = signal.SIGINT  # ends sessions instead of waiting for them

    def prepare(self) -> None:
        """Make the cluster."""
        (self.folder / "password").write_text(PASSWORD)
        call(
            *(program("initdb"), "-D", f"{self.folder}/data", "-U", "root", "--pwfile", f"{self.folder}/password"),
            *("-A", "scram-sha-256", "--no-sync", "--no-locale", "-E", "UTF8"),
        )

    def command(self) -> list[str]:
        """Return the command line; what is written need not survive a power cut."""
        return [
            *(program("postgres"), "-D", f"{self.folder}/data", "-F", "-k", str(self.folder), "-p", str(self.port)),
            *("-c", "listen_addresses=127.0.0.1", "-c", "shared_buffers=16MB", "-c", "full_page_writes=off"),
            *("-c", "ssl=on", "-c", f"ssl_cert_file={self.certificate}", "-c", f"ssl_key_file={self.key}"),
        ]

    @property
    def socket(self) -> Path:
        """The folder that it is in."""
        return self.folder

    def connect_as_root(self) -> Any:
        """Connect to the database that is always there."""
        return self._connect("root", "postgres", PASSWORD)

    def connect(self, name: str, password: str = PASSWORD) -> Any:
        """Connect by TCP, as Kamailio does."""
        return self._connect(name, name, password)

    def _connect(self, user: str, database: str, password: str) -> Any:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=user, password=password, dbname=database, autocommit=True
        )

    def create(self, name: str, password: str) -> list[str]:
        """Return what makes database and owner."""
        return [f"CREATE ROLE {name} LOGIN PASSWORD '{password}'", f"CREATE DATABASE {name} OWNER {name}"]


def program(name: str) -> str:
    """Return the path of a server's program; Debian keeps some out of the way. Empty: not installed."""
    folders = [os.environ.get("PATH", ""), "/usr/sbin", *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin")))]
    return shutil.which(name, path=os.pathsep.join(folders)) or ""


def thread_states(pid: int) -> list[str]:
    """Return the state of each thread of a process, as one letter: T for stopped, Z and X for over (proc(5))."""
    states = []
    for thread in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):  # it has ended in the meantime
            states.append(thread.read_text().rpartition(")")[2].split()[0])
    return states


def unprivileged() -> dict[str, Any]:
    """Return whom to run a server as: the databases refuse to be root."""
    return {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}


def call(*command: str) -> None:
    """Run a command that prepares a server; its output is shown when it fails."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=START_SECONDS, check=False, **unprivileged()
    )
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


def running(make: Callable[[Path], SqlServer], *programs: str, package: str) -> Iterator[SqlServer]:
    """Run a server; skip where it is not installed. Its folder is short, for its socket, and open to its user."""
    if not all(map(program, programs)):
        pytest.skip(f"{package} is not installed")
    folder = Path(tempfile.mkdtemp(prefix="rcsgw-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody", "nogroup")
    server = make(folder)
    if os.geteuid() == 0:
        shutil.chown(server.key, "nobody", "nogroup")
    server.key.chmod(0o600)
    try:
        server.prepare()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[SqlServer]:
    """MariaDB from Debian."""
    yield from running(MariaDb, "mariadbd", "mariadb-install-db", package="mariadb-server-core (with -client-core)")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[SqlServer]:
    """PostgreSQL from Debian."""
    yield from running(Postgresql, "postgres", "initdb", package="postgresql")
