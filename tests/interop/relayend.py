"""An end behind Kamailio's MSRP relay that writes frames as they are given, and reads frames without understanding."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from types import TracebackType
from typing import Self

from gateway.lab.kamailio import Kamailio
from sipstack.msrp.chunk import MsrpResponse
from sipstack.msrp.relay import RelayClient, RelayReady
from sipstack.msrp.uri import MsrpUri
from sipstack.sip.digest import Credentials
from sipstack.sip.digest_relay import RelayCredentials
from tests.sipstack.msrp.helpers import frames_of

HOST = "127.0.0.1"

LIMIT = 1 << 20
"""Octets of a frame that are read."""

PATIENCE = 20.0
"""Seconds to wait for what should come at once."""


class RelayEnd:
    """A connection to the relay with a path of its own: ``use_path`` is the relay's part, ``local`` our URI."""

    def __init__(self, core: Kamailio, user: str, password: str, *, secure: bool = False) -> None:
        self.local = f"msrp{'s' if secure else ''}://{HOST}:9/of{user};tcp"
        self.use_path = ""
        self.asked: list[bytes] = []
        """The requests for the path."""
        self._secure = secure
        self._port = core.msrps_port if secure else core.msrp_port
        self._digest = RelayCredentials(Credentials.from_password(user, password))
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        context = None
        if self._secure:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._reader, self._writer = await asyncio.open_connection(HOST, self._port, ssl=context, limit=LIMIT)
        relay = MsrpUri.parse(f"msrp{'s' if self._secure else ''}://{HOST}:{self._port};tcp")
        client = RelayClient([relay], MsrpUri.parse(self.local), self._digest)
        client.start(0.0)
        while (event := client.next_event()) is None:
            self.asked.append(client.data_to_send())
            await self.write(self.asked[-1])
            [response] = frames_of(await self.read())
            assert isinstance(response, MsrpResponse) and client.receive_response(response, 0.0)
        assert isinstance(event, RelayReady), event
        self.use_path = " ".join(map(str, event.use_path))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self._writer.wait_closed()

    @property
    def path(self) -> str:
        """What ``a=path`` would say."""
        return f"{self.use_path} {self.local}"

    async def write(self, data: bytes) -> None:
        """Send octets."""
        self._writer.write(data)
        await self._writer.drain()

    async def read(self) -> bytes:
        """Return the next frame. IncompleteReadError when the relay has closed the connection."""
        async with asyncio.timeout(PATIENCE):
            first = await self._reader.readuntil(b"\r\n")
            mark = b"\r\n-------" + first.split(b" ")[1]
            return first + await self._reader.readuntil(mark) + await self._reader.readexactly(3)

    async def read_requests(self, count: int) -> list[bytes]:
        """Return the next requests; responses in between are passed over."""
        requests: list[bytes] = []
        while len(requests) < count:
            frame = await self.read()
            if not frame.split(b" ", 2)[2][:3].isdigit():
                requests.append(frame)
        return requests
