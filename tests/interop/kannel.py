"""Runs Debian's Kannel between an HTTP driver and a message centre: smsbox takes sendsms, bearerbox speaks SMPP."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
from pathlib import Path
from typing import Self

from gateway.lab.ports import free_port

HOST = "127.0.0.1"
USER, PASSWORD = "gateway", "geheim"

PATIENCE = 20.0
"""Seconds that both get to start."""

CONFIG = """\
group = core
admin-port = {admin}
admin-interface = 127.0.0.1
admin-password = {password}
smsbox-port = {box}
smsbox-interface = 127.0.0.1
box-allow-ip = 127.0.0.1
store-type = file
store-location = {folder}/kannel.store
log-file = {folder}/bearerbox.log
log-level = 1

group = smsc
smsc = smpp
smsc-id = centre
host = 127.0.0.1
port = {centre}
transceiver-mode = true
interface-version = 34
smsc-username = kannel
smsc-password = {centre_password}
system-type = ""
reconnect-delay = 1

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {http}
sendsms-interface = 127.0.0.1
log-file = {folder}/smsbox.log
log-level = 1

group = sendsms-user
username = {user}
password = {password}
max-messages = 5
concatenation = true

group = sms-service
keyword = default
max-messages = 0
text = ""
"""


def is_available() -> bool:
    """Tell whether Kannel is installed."""
    return all(shutil.which(name, path="/usr/sbin:/usr/bin") for name in ("bearerbox", "smsbox"))


class Kannel:
    """Both boxes. ``async with`` starts them and stops them; ``port`` is where sendsms is."""

    def __init__(self, folder: Path, centre: int, centre_password: str) -> None:
        self.port = free_port(HOST)
        self._admin, self._box = free_port(HOST), free_port(HOST)
        self._folder = folder
        text = CONFIG.format(
            folder=folder,
            admin=self._admin,
            box=self._box,
            http=self.port,
            centre=centre,
            centre_password=centre_password,
            user=USER,
            password=PASSWORD,
        )
        self._config = folder / "kannel.conf"
        self._config.write_text(text)
        self._processes: list[asyncio.subprocess.Process] = []

    async def __aenter__(self) -> Self:
        try:
            await self._run("bearerbox", self._box)
            await self._run("smsbox", self.port)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(5):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()

    async def _run(self, name: str, port: int) -> None:
        """Start a box and wait for its port."""
        process = await asyncio.create_subprocess_exec(
            f"/usr/sbin/{name}",
            *("-v", "4", str(self._config)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
        )
        self._processes.append(process)
        async with asyncio.timeout(PATIENCE):
            while True:
                assert process.returncode is None, f"{name} has ended"
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(HOST, port)
                    writer.close()
                    await writer.wait_closed()
                    return
                await asyncio.sleep(0.1)
