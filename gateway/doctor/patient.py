"""What is examined: the configuration, and what several checks need of it."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

import msgspec

from gateway.app import endpoint_config
from gateway.config.settings import Config
from gateway.secrets import KEY_BYTES, KEY_ID_BYTES, Sealer, SecretsError
from sipstack.net.endpoint import Endpoint
from sipstack.sip.uri import Uri


@dataclass(slots=True)
class Patient:
    """A configuration, and what the checks have found out that others need."""

    config: Config
    mail_to: str = ""
    """Address that the mail server is asked about."""
    clock: Callable[[], float] = time.time
    clocks: dict[str, float] = field(default_factory=dict)
    """Whose clock → the seconds that it is ahead of ours."""
    has_sip_port: bool = False
    """Whether ``sip.bind`` is ours; else a gateway is running."""
    _endpoint: Endpoint | None = None

    @property
    def endpoint(self) -> Endpoint:
        """Our SIP side; there once :meth:`listen` was called."""
        assert self._endpoint is not None, "the check core.bind comes first"
        return self._endpoint

    @property
    def registrar(self) -> Uri:
        """The home domain."""
        return Uri.parse(f"sip:{self.config.core.domain}")

    @property
    def proxy(self) -> Uri:
        """Where requests to the core go."""
        text = self.config.core.outbound_proxy
        return Uri.parse(text) if text else self.registrar

    async def listen(self) -> None:
        """Open ``sip.bind``, or another port there while a gateway has it. Raises OSError, ValueError."""
        msrp = self.config.msrp
        if not any(uri.startswith("msrps:") for uri in msrp.relays):
            # certificates have checks of their own, and must not fail these
            msrp = msgspec.structs.replace(msrp, certificate="", key="", security="answer")
        config = endpoint_config(msgspec.structs.replace(self.config, msrp=msrp))
        config.msrp = bool(msrp.relays)  # nobody connects to us for MSRP: only a relay is looked for
        config.msrp_port, config.msrp_tls_port = 0, 0
        endpoint = Endpoint(config)
        try:
            await endpoint.start()
            self.has_sip_port = True
        except OSError as error:
            if not is_taken(error):
                raise
            config.bind_port, config.tls_port = 0, None
            config.advertise_host = config.advertise_port = None
            endpoint = Endpoint(config)
            await endpoint.start()
        self._endpoint = endpoint

    async def close(self) -> None:
        """Let go of the network."""
        if self._endpoint is not None:
            await self._endpoint.close()

    def sealer(self) -> Sealer:
        """Return the gateway's keys; where there are none that can be used, some that are forgotten."""
        if self.config.key_file.is_file():
            with contextlib.suppress(SecretsError):
                return Sealer.from_file(self.config.key_file)
        return Sealer({os.urandom(KEY_ID_BYTES): os.urandom(KEY_BYTES)})

    def note_date(self, whose: str, date: str | None) -> None:
        """Compare the ``Date`` of an answer with our clock; one that is none says nothing."""
        if date:
            with contextlib.suppress(ValueError):
                self.clocks[whose] = parsedate_to_datetime(date).timestamp() - self.clock()


def is_taken(error: OSError) -> bool:
    """Tell whether an address cannot be listened at because somebody does; what wraps the error has its cause."""
    cause = error.__cause__
    return error.errno == errno.EADDRINUSE or (isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach a host by this name."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host.lower() == "localhost"


def is_wildcard(host: str) -> bool:
    """Tell whether a host stands for all addresses of a machine."""
    return host in ("0.0.0.0", "::", "")
