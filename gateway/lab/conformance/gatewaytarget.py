"""A gateway of our own as the target: started beside the runner, which is its core.

The gateway sends all SIP to the runner's listener, which takes registrations by itself unless a case wants to see them.
Guests come in by invitations and links, as they would anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import aiohttp

from gateway.lab.conformance.options import Credentials, Options
from gateway.lab.conformance.peer import Peer, Received
from gateway.lab.conformance.sipside import SipSide
from gateway.lab.conformance.target import Target
from gateway.lab.conformance.verdict import Inconclusive, NotApplicable
from gateway.lab.guest import Guest, Refused, read_link
from gateway.lab.inviter import Inviter
from gateway.lab.mailbox import Mailbox
from gateway.lab.ports import free_port
from gateway.lab.processes import Child, Children
from sipstack.sip.uri import Uri

HOST = "127.0.0.1"
DOMAIN = "conformance.example"
INVITER = f"sip:a@{DOMAIN}"
"""Who invites the guests, and whom the runner plays: A's device."""

INVITER_PASSWORD = "a-secret"
ACCOUNTS = 5_000
"""Accounts that the gateway may give to guests: each case that has a guest of its own uses one up."""

CREDENTIALS = Credentials("conformance", "conformance-secret", DOMAIN)
"""What all of these accounts prove themselves by, so that cases can check it whoever registers."""

GRANTED = 3600
"""Seconds of registration that the runner grants as a core."""

RETIRE_SECONDS = 5.0
"""How long a guest may take to be gone behind a case."""

CHAT_TAG = '+g.oma.sip-im;+g.3gpp.icsi-ref="urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.session"'


class OwnGateway:
    """One gateway process and its guests. Use as ``async with`` when the runner's listener is open."""

    def __init__(self, sip: SipSide, target: Target, folder: Path, transport: str = "UDP") -> None:
        """``folder`` keeps configuration, store and log; ``transport`` is what the gateway calls its core by."""
        self.sip = sip
        self.target = target
        self.url = f"http://{HOST}:{free_port(HOST)}"
        self.contacts: dict[str, Uri] = {}
        """Contact by account, as the gateway has registered it."""
        self._folder = folder
        self._transport = transport
        self._children = Children(folder)
        self._gateway: Child
        self._mailbox = Mailbox(host=HOST)
        self._stack = contextlib.AsyncExitStack()
        self._acting: Guest | None = None
        self._invited = 0
        self._calls: set[asyncio.Task[object]] = set()

    # life

    async def __aenter__(self) -> Self:
        """Start it and log its first guest in, to whom the cases send. Raises ProcessFailed, Inconclusive."""
        self.sip.answered |= {"REGISTER": self._register, "SUBSCRIBE": _no_event, "PUBLISH": _no_event}
        self.sip.answered["OPTIONS"] = _capable
        await self._mailbox.start()
        try:
            await self._start_gateway()
            guest = await self.new_guest()
            self.target.uri, self.target.to = self.contacts[guest.account], guest.account
            guest.on_event = lambda event: self._answer(guest, event)
            await guest.listen()
            self.target.ringing = self.contacts[(await self.new_guest()).account]
        except BaseException:
            await self.close()
            raise
        self.sip.after_case = self._retire
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop it."""
        await self._stack.aclose()
        for call in self._calls:
            call.cancel()
        await self._children.stop()
        await self._mailbox.close()

    @property
    def log(self) -> str:
        """The end of what the gateway wrote."""
        return self._gateway.log_end()

    async def _start_gateway(self) -> None:
        pool = self._folder / "accounts.csv"
        proof = f"{CREDENTIALS.user},{CREDENTIALS.realm},{CREDENTIALS.password}"
        rows = [f"sip:guest-{number:04}@{DOMAIN},{proof}" for number in range(ACCOUNTS)]
        pool.write_text("\n".join(["uri,impi,realm,password", *rows]) + "\n")
        pool.chmod(0o600)
        config = self._folder / "gateway.toml"
        config.write_text(self._config(pool))
        config.chmod(0o600)
        command = (sys.executable, "-m", "gateway.cli", "serve", "--config", str(config))
        self._gateway = await self._children.start("gateway", command)
        await self._gateway.until(self._is_ready)

    def _config(self, pool: Path) -> str:
        """A gateway as an operator would set it up, with no limits that many short calls would meet."""
        assert self.sip.standing is not None
        proxy = f"sip:{self.sip.standing.sent_by};transport={self._transport.lower()};lr"
        tables: dict[str, dict[str, object]] = {
            "gateway": {"public_url": self.url, "data_dir": str(self._folder / "data")},
            "http": {"listen": self.url.removeprefix("http://")},
            "core": {"domain": DOMAIN, "outbound_proxy": proxy},
            "sip": {
                "bind": f"{self.target.hop[0]}:{self.target.hop[1]}",
                "trusted": ["127.0.0.0/8"],
                "probe_interval": "1s",
            },
            "msrp": {"bind": f"{HOST}:{free_port(HOST)}", "allowed_networks": ["127.0.0.0/8"]},
            "users": {"driver": "local"},
            "chat": {"answer": "typing", "ring_timeout": "2m"},
            "policy": {
                "types": ["im", "file"],
                "max_invitations": ACCOUNTS,
                "max_per_day": 0,
                "max_per_minute": 0,
                "valid_for": "1d",
            },
            "provisioning": {"driver": "pool"},
            "provisioning.pool": {"file": str(pool), "quarantine": "1s"},
            "delivery.email": {"host": HOST, "port": self._mailbox.address[1], "sender": f"noreply@{DOMAIN}"},
        }
        lines = []
        for table, values in tables.items():
            lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()), ""]
        lines += [
            "[[users.subscriber]]",
            'uid = "a"',
            f'password = "{INVITER_PASSWORD}"',
            f'identities = ["{INVITER}"]',
        ]
        return "\n".join([*lines, 'emails = ["a@conformance.example"]', ""])

    async def _is_ready(self) -> bool:
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{self.url}/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    # guests

    async def invited(self) -> Guest:
        """Return a guest with a link of their own, not logged in yet. Raises Inconclusive."""
        self._invited += 1
        address = f"b{self._invited}@mail.example"
        view = await Inviter(self.url, "a", INVITER_PASSWORD).invite(address)
        try:
            mail = await self._mailbox.wait_for(address)
        except TimeoutError:
            raise Inconclusive("the gateway sends no link") from None
        link = next(link for link in mail.links() if "/rcsgw/invitee/session/" in link)
        url, name, secret = read_link(link)
        assert name == view["account"]
        guest = await self._stack.enter_async_context(Guest(url, name, secret))
        return guest

    async def new_guest(self) -> Guest:
        """Return a guest who is logged in. Raises Inconclusive."""
        guest = await self.invited()
        try:
            await guest.login()
        except Refused as error:
            raise Inconclusive(f"the gateway lets no guest in: {error}") from None
        if guest.account not in self.contacts:
            raise Inconclusive("the gateway did not register its guest")
        return guest

    def _answer(self, guest: Guest, event: Mapping[str, Any]) -> None:
        """Take a chat that rings, by typing; the guest who rings does not look."""
        if event["kind"] == "session" and event["session"]["state"] == "ringing":
            self._begin(guest.call("POST", "/rcsgw/invitee/composing", {"to": INVITER, "state": "active"}))

    # acting

    async def act(self, action: str, details: Mapping[str, str]) -> None:
        """Have a guest do what makes the gateway send something. Raises NotApplicable, Inconclusive."""
        text = details.get("text", "Hello from the guest.")
        if action == "register":
            self._acting = await self.invited()
            self._begin(self._acting.login())
        elif action == "options":
            self._begin((await self._guest_of_case()).status(INVITER))
        elif action == "invite":
            self._begin((await self._guest_of_case()).send(INVITER, text))
        elif action == "message":
            self.sip.answer_in_case("INVITE", _not_allowed)
            self._begin((await self._guest_of_case()).send(INVITER, text))
        elif action in ("bye", "cancel", "unregister"):
            if self._acting is None:
                raise Inconclusive(f"there is nobody to {action}")
            self._begin(self._acting.logout())
        else:
            raise NotApplicable(f"nothing that a guest does makes the gateway {action}")

    async def _guest_of_case(self) -> Guest:
        """Return the guest whom this case has made act before, or a new one."""
        if self._acting is None:
            self._acting = await self.new_guest()
        return self._acting

    async def _retire(self) -> None:
        """Log out whom the case has made act, so that nothing of it reaches the next."""
        guest, self._acting = self._acting, None
        if guest is not None:
            with contextlib.suppress(Refused, aiohttp.ClientError, TimeoutError):
                async with asyncio.timeout(RETIRE_SECONDS):
                    await guest.logout()

    def _begin(self, call: Awaitable[object]) -> None:
        """Make an HTTP call whose answer waits for SIP; what becomes of it is not the case's matter."""

        async def make() -> None:
            with contextlib.suppress(Refused, aiohttp.ClientError, TimeoutError):
                await call

        task: asyncio.Task[object] = asyncio.create_task(make())
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    # the core

    async def _register(self, peer: Peer, received: Received) -> None:
        """Take any registration: who may register is not what is tried here."""
        request = received.request
        aor = request.to.uri.aor
        leaving = request.contact_star or request.expires == 0
        headers = []
        for contact in request.contacts:
            expires = contact.param("expires") or str(request.expires if request.expires is not None else GRANTED)
            if expires == "0" or leaving:
                continue
            self.contacts[aor] = contact.uri
            headers.append(("Contact", f"<{contact.uri}>;expires={min(int(expires), GRANTED)}"))
        await peer.respond(received, 200, [*headers, ("P-Associated-URI", f"<{aor}>")])


async def _capable(peer: Peer, received: Received) -> None:
    """Answer OPTIONS as the device of somebody who chats."""
    await peer.respond(received, 200, [("Contact", f"<sip:a@{peer.sent_by}>;{CHAT_TAG}"), ("Allow", "INVITE, ACK")])


async def _no_event(peer: Peer, received: Received) -> None:
    """There are no subscriptions at this core."""
    await peer.respond(received, 489)


async def _not_allowed(peer: Peer, received: Received) -> None:
    """A device without sessions: it wants messages one by one."""
    if received.request.method == "INVITE":
        await peer.respond(received, 405, [("Allow", "OPTIONS, MESSAGE")])


def own_target() -> Target:
    """Return the target that :class:`OwnGateway` fills in."""
    return Target(
        Uri.parse(f"sip:nobody@{HOST}"),
        (HOST, free_port(HOST)),
        roles=("uas", "uac", "msrp", "gateway"),
        name="gateway",
    )


def own_options(options: Options) -> Options:
    """Return the options with what this gateway needs: who calls it, and what calls offer."""
    headers = (("P-Asserted-Identity", f"<{INVITER}>"), *options.headers)
    return replace(options, identity=INVITER, media="msrp", headers=headers, credentials=CREDENTIALS)
