"""The whole gateway: builds every room from the configuration, starts and stops them in the right order."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import AsyncExitStack
from typing import Any, Self

import msgspec

from gateway.agents import make_agent
from gateway.config.settings import Config, split_host_port
from gateway.delivery.base import DeliveryDriver
from gateway.delivery.drivers import delivery_drivers
from gateway.delivery.reports import Reports, receipt_tokens
from gateway.drivers import DriverError
from gateway.files.contentserver import ContentServer
from gateway.files.links import ATTACHMENTS
from gateway.files.room import FileRoom
from gateway.http.app import HttpServer
from gateway.http.brand import brand_files
from gateway.interaction.drivers import interaction_driver
from gateway.invitations import Invitations
from gateway.peers import reachable_peers, trusted_flows
from gateway.presence import Presence
from gateway.provisioning.drivers import provisioning_driver
from gateway.secrets import Sealer
from gateway.serviceaccount import service_identity
from gateway.services import Services
from gateway.sessions import Guests, Settings
from gateway.sims import Sims
from gateway.siptransports import core_names, has_websockets, sip_tls
from gateway.sourcing import account_source
from gateway.storage.accountstore import AccountRecord
from gateway.storage.errors import StoreError
from gateway.storage.sqlite import SqliteStore
from gateway.storelock import StoreLock
from gateway.users.chosen import users_driver
from sipstack import ids
from sipstack.errors import SipstackError
from sipstack.msrp.uri import MsrpUri
from sipstack.net import notices
from sipstack.net.config import EndpointConfig
from sipstack.net.corewatch import CoreWatch
from sipstack.net.endpoint import Endpoint
from sipstack.net.profile import PROFILES
from sipstack.net.tls import Tls
from sipstack.net.useragent import AgentHandler, Identity, SilentAgent, UserAgent
from sipstack.sip.message import Request
from sipstack.sip.outbound import Recovery
from sipstack.sip.uri import Uri
from sipstack.trace import Trace

log = logging.getLogger("rcsgw")

CORE_TIMEOUT = 1.0
"""Seconds that a readiness probe waits for the core."""


class Gateway:
    """One gateway process. ``async with Gateway(config)`` runs it; :func:`serve` does until a signal comes."""

    def __init__(self, config: Config, *, trace: Trace | None = None, serving: bool = True) -> None:
        """Not ``serving``: everything that takes accounts down is there, and nobody is served or told anything."""
        self.config = config
        self._serving = serving
        self.trace = trace
        self.store = SqliteStore(config.database, synchronous=config.storage.synchronous)
        self.endpoint = Endpoint(endpoint_config(config), trace=trace)
        self.http: HttpServer
        self.guests: Guests
        self.invitations: Invitations
        self._registrar = Uri.parse(f"sip:{config.core.domain}")
        self._proxy = Uri.parse(config.core.outbound_proxy) if config.core.outbound_proxy else None
        self._sealer: Sealer
        self._sims = Sims(self.store)
        self._service: UserAgent | None = None
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._running.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _start(self) -> None:
        """Start from the bottom up; what has been started is stopped in reverse order."""
        config = self.config
        self._sealer = Sealer.from_file(config.key_file)
        lock = StoreLock(config.database)
        lock.acquire()
        self._running.callback(lock.release)
        await self.store.open()
        self._running.push_async_callback(self.store.close)
        await self._sims.start()
        self._running.push_async_callback(self._sims.close)
        await self.endpoint.start()
        self._running.push_async_callback(self.endpoint.close)
        self.store.on_pressure = self._store_pressed
        users = await self._driver(users_driver(config, self.endpoint))
        provisioning = await self._driver(provisioning_driver(config, self._sealer, self.store))
        interaction = await self._driver(interaction_driver(config, self.endpoint))
        delivery = await self._driver_map(delivery_drivers(config))
        self._service = self._service_agent()
        presence = Presence(
            config.sip.probe_interval,
            CORE_TIMEOUT * 2.5,
            self._service,
            follow=config.core.inviter_events,
            rcs=PROFILES[config.core.profile].is_rcs,
        )
        files = FileRoom(self.store, config.files, config.spool)
        if config.files.content.server == "own":
            files.server = ContentServer(
                files, self._sealer, users, realm=config.realm, public_url=config.gateway.public_url
            )
        await files.start()
        self._running.push_async_callback(files.close)
        self.guests = Guests(self.store, guest_settings(config), self._agent, presence, files)
        self.invitations = Invitations(
            config,
            self.store,
            self._sealer,
            users=users,
            provisioning=provisioning,
            interaction=interaction,
            delivery=delivery,
            guests=self.guests,
            source=account_source(config, users, provisioning),
        )
        self.guests.lifecycle = self.invitations
        if not self._serving:
            self._running.push_async_callback(self.guests.close, config.gateway.drain_timeout)
            self._running.push_async_callback(self.invitations.close)
            return
        await self.invitations.start()
        self._running.push_async_callback(self.invitations.close)
        await self.guests.start()
        self._running.push_async_callback(self.guests.close, config.gateway.drain_timeout)
        certificate, key = (str(file) if file is not None else "" for file in config.http_files)
        self.http = HttpServer(
            Services(
                self.invitations,
                self.guests,
                self,
                files.server,
                links=self.invitations,
                reports=Reports(delivery, receipt_tokens(config), self.invitations.receipts),
            ),
            msgspec.structs.replace(config.http, certificate=certificate, key=key),
            config.throttle,
            public_url=config.gateway.public_url,
            trace=self.trace,
            page_files=page_files(config),
        )
        await self.http.start()
        self._running.push_async_callback(self.http.close)
        self._watch_core()
        if self._service is not None:
            self.endpoint.spawn(self._register_service(self._service))
        log.info("rcsgw is up: %s, SIP %s:%d, domain %s", self.http.url, *self.endpoint.local, config.core.domain)

    def _store_pressed(self, high: bool) -> None:
        """Read no MSRP while too much waits for the store."""
        if high:
            _ = self.endpoint.hub.pause()
        else:
            self.endpoint.hub.resume()

    async def close(self) -> None:
        """Drain and stop: no new work, dialogs end, relations stay."""
        log.info("draining, %d guests are logged in", len(self.guests))
        await self._running.aclose()
        log.info("rcsgw has stopped")

    # drivers

    async def _driver(self, driver: Any) -> Any:
        self._running.push_async_callback(driver.close)
        return driver

    async def _driver_map(self, drivers: dict[str, DeliveryDriver]) -> dict[str, DeliveryDriver]:
        for driver in drivers.values():
            await self._driver(driver)
        return drivers

    # user agents

    def _agent(self, account: AccountRecord, handler: AgentHandler) -> UserAgent:
        """Make the user agent of a guest; token and instance are the account's, so that a restart takes over."""
        identity = Identity(
            Uri.parse(account.uri),
            self._sealer.credentials(account.sealed_secret, account.uri, account.impi, self._sims),
            contact_token=account.contact_token,
            instance_id=account.instance_id,
        )
        return make_agent(self.endpoint, self.config, identity, handler)

    def _service_agent(self) -> UserAgent | None:
        """Return the agent that status probes go out as, where one is configured."""
        if not self.config.core.service_account:
            return None
        identity = service_identity(self.config, self._sims)
        agent = make_agent(self.endpoint, self.config, identity, SilentAgent())
        self._running.push_async_callback(agent.close)
        return agent

    async def _register_service(self, agent: UserAgent) -> None:
        try:
            await agent.register()
        except SipstackError as error:
            log.warning("the service account is not registered: %s", error)

    # gateway.services.Health

    async def ready(self) -> dict[str, str]:
        """Check the store by a commit and the core by an OPTIONS; any answer shows that it is there."""
        store, core = await asyncio.gather(self._store_state(), self._core_state())
        return {"store": store, "core": core}

    async def _store_state(self) -> str:
        try:
            await self.store.ping()
        except StoreError as error:
            return str(error)
        return "ok"

    async def _core_state(self) -> str:
        """Ask the core; with flows, all of its edges, of which one is enough."""
        proxies = tuple(map(Uri.parse, self.config.proxies)) or (self._registrar,)
        answers = await asyncio.gather(*map(self._asked, proxies if self.config.core.outbound else proxies[:1]))
        return "ok" if "ok" in answers else answers[0]

    async def _asked(self, proxy: Uri) -> str:
        try:
            await self.endpoint.request(self._question(), route=proxy, timeout=CORE_TIMEOUT)
        except (SipstackError, OSError) as error:
            return f"no answer: {error}"
        return "ok"

    # the nodes of the core

    def _question(self) -> Request:
        """Return an OPTIONS to the core itself; whatever it answers, it is there."""
        headers = (
            ("From", f"<sip:rcsgw@{self.config.core.domain}>;tag={ids.tag()}"),
            ("To", f"<{self._registrar}>"),
            ("Call-ID", ids.call_id()),
            ("CSeq", "1 OPTIONS"),
        )
        return Request("OPTIONS", self._registrar, headers)

    def _core_changed(self) -> None:
        """Register elsewhere whoever is registered at a node that is gone, and back where it is there again."""
        moved = self.guests.core_changed()
        if self._service is not None:
            self._service.move(self.guests.pacer)
        log.info("the core has changed: %d of %d guests register at another node", moved, len(self.guests))

    def _watch_core(self) -> None:
        if self._proxy is not None and not self.config.core.outbound:
            interval = self.config.core.check_interval
            watch = CoreWatch(
                self.endpoint, (self._proxy,), self._question, interval=interval, on_change=self._core_changed
            )
            watch.start()
            self._running.push_async_callback(watch.close)


def endpoint_config(config: Config) -> EndpointConfig:
    """Return the addresses and limits of the SIP and MSRP side."""
    bind_host, bind_port = split_host_port(config.sip.bind)
    advertise = split_host_port(config.sip.advertise) if config.sip.advertise else (None, None)
    msrp_host, msrp_port = split_host_port(config.msrp.bind)
    msrp_advertise = split_host_port(config.msrp.advertise) if config.msrp.advertise else (None, None)
    relays = tuple(MsrpUri.parse(uri) for uri in config.msrp.relays)
    return EndpointConfig(
        bind_host=bind_host,
        bind_port=bind_port,
        advertise_host=advertise[0],
        advertise_port=advertise[1],
        msrp_bind_host=msrp_host,
        msrp_port=msrp_port,
        msrp_advertise_host=msrp_advertise[0],
        msrp_advertise_port=msrp_advertise[1],
        msrp_allowed=reachable_peers(config.msrp.allowed_networks, config.msrp.allowed_ports),
        msrp_connect_timeout=config.msrp.connect_timeout,
        msrp_setup=config.msrp.setup,
        msrp_recovery=config.chat.recovery,
        msrp_tls=Tls(*config.msrp_files) if config.msrp.certificate or any(uri.secure for uri in relays) else None,
        msrp_relays=relays,
        msrp_cema=config.msrp.cema,
        msrp_tls_port=config.msrp.tls_port,
        msrp_tls_advertise_port=config.msrp.tls_advertise_port,
        msrp_security=config.msrp.security,
        max_message_size=config.msrp.max_message_size,
        accept_types=notices.ACCEPT_TYPES,
        accept_wrapped_types=(*notices.ACCEPT_WRAPPED_TYPES, *(ATTACHMENTS if "file" in config.policy.types else ())),
        max_page_size=config.sip.max_page_size,
        session_expires=round(config.sip.session_expires),
        min_se=round(config.sip.min_se),
        reliable=config.sip.reliable,
        user_agent=config.sip.user_agent,
        network_headers=tuple(config.core.headers.items()),
        udp=config.sip.udp,
        tcp=config.sip.tcp,
        tls=sip_tls(config),
        tls_port=config.sip.tls_port,
        tls_advertise_port=config.sip.tls_advertise_port or None,
        websocket=has_websockets(config),
        websocket_path=config.sip.websocket_path,
        keep_alive=config.sip.keep_alive,
        behind_nat=config.sip.behind_nat,
        # With flows each proxy is itself: a flow by another one is another flow.
        proxies=() if config.core.outbound else tuple(map(Uri.parse, config.proxies)),
        recovery=Recovery(config.core.back_off, 3 * config.core.back_off),
        max_rate=config.sip.max_rate,
        max_lag=config.sip.max_lag,
        dead_time=config.core.retry_dead,
        name_servers=tuple(map(split_host_port, config.sip.name_servers)),
        redirects=config.sip.redirects,
        trusted=trusted_flows(config.sip.trusted, core_names(config)),
    )


def page_files(config: Config) -> dict[str, bytes]:
    """Return the files of the guest's page that the configuration makes. Raises DriverError for a logo of no use."""
    logo = config.file(config.client.logo) if config.client.logo else None
    try:
        return brand_files(config.client, logo, config.policy.require_online)
    except ValueError as error:
        raise DriverError(str(error), temporary=False) from error


def guest_settings(config: Config) -> Settings:
    """Return what flow 2 needs of the configuration."""
    return Settings(
        message_wait=config.policy.message_wait,
        probe_interval=config.sip.probe_interval,
        guest_idle=config.policy.guest_idle,
        ring_timeout=config.chat.ring_timeout,
        chat_idle=config.chat.idle,
        chat_answer=config.chat.answer,
        require_online=config.policy.require_online == "gateway",
        single_use=config.policy.single_use,
        show_anonymous=config.policy.anonymous == "show",
        max_message_size=config.msrp.max_message_size,
        max_streams=config.http.max_streams + config.http.max_polls,
        max_chats=config.limits.chats,
        inbox_count=config.limits.inbox_count,
        inbox_bytes=config.limits.inbox_bytes,
        register_pace=config.sip.register_pace,
    )


async def serve(config: Config, *, trace: Trace | None = None) -> None:
    """Run a gateway until SIGTERM or SIGINT; a second signal does not wait for the drain."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with Gateway(config, trace=trace):
        await stopped.wait()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
