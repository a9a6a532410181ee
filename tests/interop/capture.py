"""Captures loopback with dumpcap, and has captures read by tshark: an independent reader of all that we send."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gateway.lab.ports import free_port

HOST = "127.0.0.1"

PATIENCE = 20.0
"""Seconds for dumpcap to start, and to write what it has seen."""

WARNING, ERROR = 0x600000, 0x800000
"""Values of ``_ws.expert.severity``."""

OURS = ("sip", "sdp", "msrp")
"""Layers in which warnings count too; those of TCP are about timing."""

READ = {"frame", "eth", "raw", "ip", "tcp", "udp", "data", "media", "data-text-lines", "mime_multipart", "xml", *OURS}
"""Protocols that tshark may see. It knows thousands, and takes the middle of a long message for one of them when a
port that the system gave out is that one's, or when the octets look like it."""


def is_available() -> bool:
    """Tell whether the programs are installed."""
    return shutil.which("tshark") is not None and shutil.which("dumpcap") is not None


class CannotCapture(Exception):
    """The system does not let us capture; the text is dumpcap's."""


@dataclass
class Dissection:
    """What tshark makes of a capture."""

    sip: list[str] = field(default_factory=list)
    """Start line of each SIP message."""
    msrp: list[dict[str, str]] = field(default_factory=list)
    """Fields of each MSRP chunk, report and response, without ``msrp.`` before their names."""
    complaints: list[str] = field(default_factory=list)
    """What is malformed, an error or, in SIP, SDP and MSRP, worth a warning."""


class Capture:
    """Captures what goes from or to some ports of loopback; ``async with`` starts and stops it."""

    def __init__(self, folder: Path, ports: Iterable[int]) -> None:
        self.file = folder / "loopback.pcap"
        self.ports = tuple(ports)
        self._log = folder / "dumpcap.log"
        self._mark_port = free_port(HOST)
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        """Raises CannotCapture."""
        ports = " or ".join(f"port {port}" for port in (*self.ports, self._mark_port))
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *("dumpcap", "-q", "-p", "-i", "lo", "-P", "-B", "32", "-w", str(self.file), "-f", ports),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            await self.catch_up()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.catch_up()
        finally:
            await self._stop()

    async def catch_up(self) -> None:
        """Wait until all that was sent before is in the file: a datagram sent now is."""
        mark = os.urandom(16)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            async with asyncio.timeout(PATIENCE):
                while not (self.file.exists() and mark in self.file.read_bytes()):
                    if self._process is None or self._process.returncode is not None:
                        raise CannotCapture(self._log.read_text(errors="replace").strip())
                    sock.sendto(mark, (HOST, self._mark_port))
                    await asyncio.sleep(0.05)

    async def _stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            await self._process.wait()


async def dissect(file: Path, *, sip: Iterable[int] = (), msrp: Iterable[int] = ()) -> Dissection:
    """Have a capture read; these ports carry SIP, by UDP and TCP, and MSRP."""
    decode = [f"{transport}.port=={port},sip" for port in sip for transport in ("udp", "tcp")]
    decode += [f"tcp.port=={port},msrp" for port in msrp]
    rules = [word for rule in decode for word in ("-d", rule)]
    settings = file.parent / "tshark"
    settings.mkdir(exist_ok=True)
    (settings / "disabled_protos").write_text("\n".join(sorted(known_protocols() - READ)))
    output = await tshark("-r", str(file), "-n", "-T", "json", *rules, WIRESHARK_CONFIG_DIR=str(settings))
    dissection = Dissection()
    # Names repeat where messages share a segment, so objects become lists of pairs.
    for frame in json.loads(output, object_pairs_hook=Pairs):
        layers = dict(dict(frame)["_source"])["layers"]
        number = dict(dict(layers)["frame"])["frame.number"]
        for layer, tree in layers:
            read_layer(number, layer, tree, dissection)
    return dissection


@cache
def known_protocols() -> frozenset[str]:
    """Return the names of the protocols that can be switched off."""
    listing = subprocess.run(("tshark", "-G", "protocols"), capture_output=True, check=True, text=True)
    names = (line.split("\t")[2] for line in listing.stdout.splitlines())
    return frozenset(name for name in names if not name.startswith("_ws."))


async def tshark(*arguments: str, **environment: str) -> bytes:
    """Run tshark to its end; return what it prints."""
    process = await asyncio.create_subprocess_exec(
        *("tshark", *arguments),
        env=os.environ | environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output


class Pairs(list[tuple[str, Any]]):
    """An object of JSON that keeps names that repeat."""


def read_layer(number: str, layer: str, tree: Any, into: Dissection) -> None:
    """Collect from one protocol's part of a frame."""
    if layer.startswith("_ws.malformed"):
        into.complaints.append(f"frame {number}: {layer} {tree}")
    if layer == "msrp":
        fields = {name.removeprefix("msrp."): value for name, value in walk(tree) if isinstance(value, str)}
        into.msrp.append({name: value.strip() for name, value in fields.items()})
    for name, value in walk(tree):
        if name in ("sip.Request-Line", "sip.Status-Line"):
            into.sip.append(value.strip())
        elif name.startswith("_ws.malformed"):
            into.complaints.append(f"frame {number}: {name} in {layer}")
        elif name == "_ws.expert":
            complaint = dict(walk(value))
            if int(complaint.get("_ws.expert.severity", 0)) >= (WARNING if layer in OURS else ERROR):
                into.complaints.append(f"frame {number}: {complaint.get('_ws.expert.message')} in {layer}")


def walk(tree: Any) -> Iterator[tuple[str, Any]]:
    """Yield all named values of a tree, the outer ones first."""
    for item in tree if isinstance(tree, list) else ():
        if isinstance(tree, Pairs):
            yield item
            yield from walk(item[1])
        else:
            yield from walk(item)
