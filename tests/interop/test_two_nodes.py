"""A core of two Kamailio nodes behind one SRV name: guests outlive the death of one, and spread again when it is back.

The nodes share one subscriber table and tell each other their bindings (DMQ). The gateway finds them by a DNS server of
the test's own.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.config.load import loads
from gateway.doctor.corenodes import nodes_checks
from gateway.doctor.patient import Patient
from gateway.lab.kamailio import Kamailio
from gateway.lab.mailbox import Mailbox
from gateway.lab.phone import Phone
from gateway.lab.ports import free_port
from sipstack.sip.spread import Server, spread
from tests.e2e.cores import KamailioCore
from tests.e2e.world import DOMAIN, PASSWORDS, Guest, World, eventually, subscribers
from tests.interop.conftest import needs_kamailio
from tests.interop.nameserver import NameServer

pytestmark = pytest.mark.interop

GUESTS_PER_NODE = 3

MOVED_WITHIN = 5.0
"""Seconds; it takes some tenths."""


class Nodes:
    """The two nodes and the world around them."""

    def __init__(self, folder: Path) -> None:
        ports = [free_port("127.0.0.1") for _ in range(2)]
        dmq = [("127.0.0.1", free_port("127.0.0.1")) for _ in range(2)]
        self.nodes = [
            Kamailio(
                folder / f"node{number}",
                domain=DOMAIN,
                sip_port=ports[number],
                database=folder / "subscribers.db",
                dmq_port=dmq[number][1],
                peer=dmq[1 - number],
            )
            for number in range(2)
        ]
        self.world = World(folder)
        self.phone: Phone

    def zone(self) -> str:
        """Return what DNS says about the core."""
        lines = [f"_sip._tcp SRV 1 1 {node.sip_port} node{number}" for number, node in enumerate(self.nodes)]
        return "\n".join([*lines, "node0 A 127.0.0.1", "node1 A 127.0.0.1", ""])

    def emails(self) -> list[list[str]]:
        """Return addresses of guests for each node: weights share out by name."""
        servers = [
            Server((number,), f"node{number}.{DOMAIN}:{node.sip_port}", (0, 1), 1)
            for number, node in enumerate(self.nodes)
        ]
        found: list[list[str]] = [[], []]
        for number in range(100):
            email = f"b{number}@{DOMAIN}"
            found[spread(servers, f"sip:{email}")[0]].append(email)
        return [emails[:GUESTS_PER_NODE] for emails in found]

    def homes(self, guests: list[Guest]) -> list[int]:
        """Return the ports of the nodes that took the last registration of each guest."""
        gateway = self.world.gateway
        assert gateway is not None
        homes = []
        for guest in guests:
            binding = gateway.guests._by_account[guest.account].agent._binding
            assert binding is not None and binding.home is not None
            homes.append(binding.home.port if binding.active else 0)
        return homes

    async def talk(self, guest: Guest, text: str) -> None:
        """Ask for A's status, open a chat, and have A answer."""
        assert (await guest.status()).json["status"] == "online"
        await guest.say(text)
        await guest.wait_for_text(f"You said: {text}")


@asynccontextmanager
async def two_nodes(folder: Path) -> AsyncIterator[Nodes]:
    """Start nodes, DNS, mailbox, gateway; A's phone is registered at the second node."""
    around = Nodes(folder)
    async with around.world as world:
        for node in around.nodes:
            await world.enter(node)
        names = await world.enter(NameServer(f"{DOMAIN}.", around.zone()))
        world.core = KamailioCore(around.nodes[1])
        world.mailbox = await world.enter(Mailbox(trace=world.trace("mailbox")))
        for uid, password in PASSWORDS.items():
            world.core.put(uid, password)
        world.config_text = configuration(around, names)
        await world.start_gateway()
        around.phone = await world.phone("a")
        yield around


def configuration(around: Nodes, names: NameServer) -> str:
    """Return the gateway's configuration: one name for the core, and little patience with its nodes."""
    host, port = around.world.mailbox.address
    name_server = "{}:{}".format(*names.address)
    return f"""
[gateway]
drain_timeout = 2
[http]
listen = "127.0.0.1:0"
[core]
domain = "{DOMAIN}"
outbound_proxy = "sip:{DOMAIN};transport=tcp;lr"
check_interval = "0.3s"
retry_dead = "5s"
[sip]
bind = "127.0.0.1:0"
trusted = ["127.0.0.0/8"]
name_servers = ["{name_server}"]
[msrp]
bind = "127.0.0.1:0"
allowed_networks = ["127.0.0.0/8"]
[accounts]
naming = "identifier"
[provisioning]
driver = "kamailio"
kamailio = {{ database = "{around.nodes[0].database}" }}
[delivery.email]
host = "{host}"
port = {port}
sender = "gateway@{DOMAIN}"
{subscribers()}"""


async def examined(world: World) -> tuple[str, str]:
    """Return the doctor's verdict on the nodes, and what it has found."""
    patient = Patient(loads(world.config_text, folder=str(world.folder)))
    await patient.listen()
    try:
        [check] = nodes_checks(patient)
        outcome = await check.run()
    finally:
        await patient.close()
    return outcome.verdict.value, outcome.found


@pytest.mark.parametrize("end", ["killed", "hanging"])
async def test_guests_go_on_when_a_node_dies_and_spread_again_when_it_is_back(tmp_path: Path, end: str) -> None:
    needs_kamailio()
    async with two_nodes(tmp_path) as around:
        world, (first, second) = around.world, around.nodes
        at_first, at_second = [[await world.guest("a", email) for email in emails] for emails in around.emails()]
        guests = [*at_first, *at_second]
        both = f"TCP 127.0.0.1:{first.sip_port}, TCP 127.0.0.1:{second.sip_port}"
        spread_out = [first.sip_port] * GUESTS_PER_NODE + [second.sip_port] * GUESTS_PER_NODE
        assert around.homes(guests) == spread_out
        assert await examined(world) == ("ok", f"2 of 2 nodes answer: {both}")
        await around.talk(at_first[0], "hello from the first node")
        await around.talk(at_second[0], "hello from the second node")

        if end == "killed":
            await first.kill()
        else:
            first.send_signal(signal.SIGSTOP)
        await eventually(lambda: around.homes(guests) == [second.sip_port] * len(guests), timeout=MOVED_WITHIN)
        for guest in at_first:
            assert await world.core.is_registered(guest.user.partition("@")[0])
        if end == "killed":
            verdict, found = await examined(world)
            assert verdict == "warning" and found.startswith(f"1 of 2 nodes answer, not TCP 127.0.0.1:{first.sip_port}")
        # who had a chat goes on with it, who had none opens one
        await at_first[0].say("still here")
        await at_first[0].wait_for_text("You said: still here")
        await around.talk(at_first[1], "hello by the other node")
        await around.phone.say(at_first[2].account, "are you there?")
        await at_first[2].wait_for_text("are you there?")

        if end == "killed":
            await first.start()
        else:
            first.send_signal(signal.SIGCONT)
        await eventually(lambda: around.homes(guests) == spread_out, timeout=MOVED_WITHIN)
        assert await KamailioCore(first).is_registered(at_first[2].user.partition("@")[0])
        await around.talk(at_first[2], "hello again from the first node")
        await around.phone.say(at_second[1].account, "and you?")
        await at_second[1].wait_for_text("and you?")
        # nobody was told that the network is gone
        for guest in guests:
            events = await guest.http.events()
            assert not [
                event for event in events if event["kind"] == "session" and event["session"]["state"] == "failed"
            ]
