"""Can others connect to us for MSRP, and do the relays take us?"""

from __future__ import annotations

import asyncio
from functools import partial

from gateway.config.settings import Config, split_host_port
from gateway.doctor.account import REGISTERED, ThrowAway
from gateway.doctor.base import Check, Outcome, failed, ok, skipped, warning
from gateway.doctor.patient import Patient, is_loopback, is_taken, is_wildcard
from sipstack import ids
from sipstack.errors import SipstackError
from sipstack.flow import HostPort

REMEDY = (
    "Let msrp.advertise be the address by which others reach msrp.bind, and open the port. "
    "A NAT that does not lead back from inside looks the same from here: then try it from outside."
)


def msrp_checks(patient: Patient, account: ThrowAway) -> list[Check]:
    """Return the checks of the own address, by TLS too, and of the relays."""
    config = patient.config
    bind, advertised = addresses(config)
    checks = [
        Check("msrp.address", f"connect to {_text(advertised)}", partial(_reach, config, bind, advertised), REMEDY)
    ]
    if config.msrp.certificate:
        bind = bind[0], config.msrp.tls_port
        advertised = advertised[0], config.msrp.tls_advertise_port or config.msrp.tls_port
        reach = partial(_reach, config, bind, advertised)
        checks.append(Check("msrp.tls", f"connect to {_text(advertised)}, the port for TLS", reach, REMEDY))
    if config.msrp.relays:
        relay = partial(_relay, config, account)
        checks.append(Check("msrp.relay", "AUTH at the MSRP relays", relay, needs=(REGISTERED,)))
    return checks


def addresses(config: Config) -> tuple[HostPort, HostPort]:
    """Return where we listen for MSRP, and what peers are told."""
    bind = split_host_port(config.msrp.bind)
    if config.msrp.advertise:
        return bind, split_host_port(config.msrp.advertise)
    host = split_host_port(config.sip.advertise)[0] if config.sip.advertise else bind[0]
    return bind, (host, bind[1])


async def _reach(config: Config, bind: HostPort, advertised: HostPort) -> Outcome:
    if config.msrp.relays:
        return skipped("peers reach us by the relays")
    if config.msrp.setup == "active":
        return skipped("msrp.setup is active: nobody connects to us")
    if is_wildcard(advertised[0]):
        return failed(f"peers would be told to connect to {_text(advertised)}", "Set msrp.advertise.")
    outcome = await reachable(bind, advertised)
    proxy = config.core.outbound_proxy.partition(":")[2].partition(";")[0].rpartition("@")[2].rpartition(":")[0]
    if is_loopback(advertised[0]) and proxy and not is_loopback(proxy.strip("[]")) and not outcome.remedy:
        return warning(f"only this machine reaches {_text(advertised)}", "Set msrp.bind, or msrp.advertise.")
    return outcome


async def reachable(bind: HostPort, advertised: HostPort) -> Outcome:
    """Listen at one address and connect to the other: who answers has to be us, or a gateway that has the first."""
    token = ids.token().encode()

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(token)
        writer.close()

    try:
        server = await asyncio.start_server(greet, *bind)
    except OSError as error:
        if not is_taken(error):
            return failed(f"{_text(bind)}: {error}", "Let msrp.bind be an address of this machine.")
        server = None
    try:
        got = await _first_octets(advertised, len(token) if server is not None else 0)
    except OSError as error:
        return failed(f"nobody answers at {_text(advertised)}: {error}", REMEDY)
    finally:
        if server is not None:
            server.close()
    if server is None:
        return ok(f"{_text(advertised)} takes connections; a gateway has {_text(bind)}, so it may be that one")
    if got != token:
        return failed(f"somebody else answers at {_text(advertised)}", REMEDY)
    return ok(f"{_text(advertised)} leads to {_text(bind)}, as far as this machine can tell")


async def _first_octets(address: HostPort, count: int) -> bytes:
    """Connect and return what comes, ``count`` octets at most. Raises OSError."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        return await reader.read(count)
    finally:
        writer.close()


async def _relay(config: Config, account: ThrowAway) -> Outcome:
    relay = account.agent.relay
    assert relay is not None
    done: asyncio.Future[SipstackError | None] = asyncio.get_running_loop().create_future()
    relay.acquire(done.set_result)
    error = await done
    if error is not None:
        remedy = "Is msrp.relays right, does msrp.ca_file have its authority, and does it know the core's accounts?"
        return failed(f"{config.msrp.relays[0]}: {error}", remedy)
    return ok("a path by " + ", ".join(f"{uri.host}:{uri.port}" for uri in relay.use_path))


def _text(address: HostPort) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
