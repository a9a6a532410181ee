"""The configuration file: what may stand in it, its defaults, and what makes sense together.

The structs below are the reference; ``config/gateway.toml`` explains every key for operators. Durations are seconds,
or strings such as ``"10s"``, ``"5m"``, ``"2h"``, ``"7d"``. Relative paths start at the folder of the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, field

from gateway.config.delivery import DeliverySection
from gateway.config.provisioning import InteractionSection, ProvisioningSection
from gateway.config.types import (
    Colour,
    ContentServer,
    Count,
    Domain,
    Duration,
    Feature,
    GiB,
    HostPort,
    HttpUrl,
    KiB,
    MediaRange,
    MiB,
    Network,
    Port,
    PortRange,
    Positive,
    RelayUri,
    RetrySection,
    Section,
    SipUri,
    Size,
    Type,
)
from gateway.config.users import UsersSection


class GatewaySection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the gateway is to the outside."""

    public_url: HttpUrl = "http://127.0.0.1:8080"
    link_style: Literal["fragment", "query"] = "fragment"
    data_dir: str = "data"
    region: str = ""
    drain_timeout: Duration = 10.0


class HttpSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The HTTP face."""

    listen: HostPort = "127.0.0.1:8080"
    certificate: str = ""
    key: str = ""
    trusted_proxies: tuple[Network, ...] = ()
    operator_listen: HostPort = ""
    max_body: Size = 8 * MiB
    max_streams: Size = 4
    max_polls: Size = 4
    max_wait: Positive = 30.0
    stream_ping: Positive = 15.0
    stream_timeout: Positive = 20.0
    frame_ancestors: str = "'none'"


class ClientSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The guest's page, as the operator wants it."""

    name: str = ""
    logo: str = ""
    accent: Colour = ""
    accent_dark: Colour = ""
    features: tuple[Feature, ...] = ("file", "status", "standalone")
    link: Literal["account+password", "account"] = "account+password"


class CoreSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The IMS core that we register at."""

    domain: Domain = ""
    realm: str = ""
    outbound_proxy: SipUri = "sip:127.0.0.1:5060;transport=tcp;lr"
    alternatives: tuple[SipUri, ...] = ()
    check_interval: Positive = 15.0
    retry_dead: Positive = 30.0
    outbound: bool = False
    flows: Annotated[int, Meta(ge=1, le=4)] = 2
    gruu: bool = False
    back_off: Positive = 30.0
    expires: Size = 3600
    service_account: SipUri = ""
    service_user: str = ""
    service_password: str = ""
    service_password_file: str = ""
    service_sim_file: str = ""
    initial_authorization: bool = False
    profile: Literal["rcs", "cpm", "simple-im", "sip"] = "rcs"
    headers: dict[str, str] = field(default_factory=dict)
    privacy: Literal["off", "id"] = "off"
    registration_events: bool = False
    inviter_events: bool = False


class SipSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Our own SIP side."""

    bind: HostPort = "127.0.0.1:5070"
    advertise: HostPort = ""
    udp: bool = True
    tcp: bool = True
    certificate: str = ""
    key: str = ""
    ca_file: str = ""
    tls_clients: Literal["none", "any", "ask", "require"] = "any"
    tls_port: Port = 5071
    tls_advertise_port: Port = 0
    websocket_path: Annotated[str, Meta(pattern="^/[!-~]*$", description="a path that begins with /")] = "/"
    keep_alive: Literal["off", "negotiated", "always"] = "negotiated"
    behind_nat: bool = False
    user_agent: str = "rcsgw"
    trusted: tuple[Network, ...] = ()
    trusted_names: tuple[Domain, ...] = ()
    register_pace: Annotated[float, Meta(gt=0)] = 200.0
    max_page_size: Annotated[int, Meta(ge=1300, le=65535)] = 1300
    name_servers: tuple[HostPort, ...] = ()
    redirects: Annotated[int, Meta(ge=0, le=5)] = 0
    max_rate: Annotated[float, Meta(ge=0)] = 0.0
    max_lag: Duration = 3.0
    session_expires: Duration = 1800.0
    min_se: Annotated[float, Meta(ge=90, extra={"kind": "duration"})] = 90.0
    reliable: Literal["required", "supported", "off"] = "required"
    probe_interval: Positive = 30.0


class MsrpSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Our own MSRP side, and which peers it may talk to."""

    bind: HostPort = "127.0.0.1:2855"
    advertise: HostPort = ""
    setup: Literal["actpass", "active"] = "actpass"
    security: Literal["answer", "offer", "require"] = "answer"
    certificate: str = ""
    key: str = ""
    ca_file: str = ""
    tls_port: Port = 2856
    tls_advertise_port: Port = 0
    relays: tuple[RelayUri, ...] = ()
    cema: bool = True
    allowed_networks: tuple[Network, ...] = ()
    allowed_ports: tuple[PortRange, ...] = ("1024-65535",)
    max_message_size: Size = 2 * MiB
    connect_timeout: Positive = 10.0


class AccountsSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How temporary accounts are named."""

    naming: Literal["derived", "identifier", "phone", "serial"] = "derived"
    domain: Domain = ""
    template: str = ""
    impi: str = "{user}"


class PolicySection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may invite, for how long, and when a relation ends."""

    invite: Literal["any", "active", "level"] = "any"
    min_level: Count = 0
    max_invitations: Size = 1000
    max_per_day: Count = 1000
    max_per_minute: Count = 60
    resend_pause: Duration = 60.0
    on_suspend: Literal["keep", "end"] = "keep"
    suspend_check: Positive = 300.0
    valid_for: Positive = 86400.0
    max_valid_for: Positive = 30 * 86400.0
    require_online: Literal["no", "gateway", "client"] = "no"
    guest_idle: Duration = 600.0
    on_end: Literal["account", "relation"] = "account"
    single_use: bool = False
    anonymous: Literal["refuse", "show"] = "refuse"
    never_came: Duration = 0.0
    message_wait: Annotated[float, Meta(ge=0, le=2.5, extra={"kind": "duration"})] = 2.0
    types: Annotated[tuple[Type, ...], Meta(min_length=1)] = ("im",)


class ChatSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How chats begin and end."""

    answer: Literal["at-once", "open", "typing", "message"] = "at-once"
    ring_timeout: Positive = 30.0
    idle: Duration = 300.0
    recovery: Duration = 2.0


class StorageSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The embedded store."""

    path: str = ""
    synchronous: Literal["full", "normal"] = "full"
    key_file: str = ""


class LimitsSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Caps of what one guest or inviter may pile up."""

    inbox_count: Size = 10000
    inbox_bytes: Size = 64 * MiB
    events_count: Size = 1000
    events_age: Positive = 86400.0
    tombstone_age: Positive = 30 * 86400.0
    history_age: Positive = 90 * 86400.0
    chats: Size = 16


class FilesContentSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Files over HTTP: links in the chat, to a content server."""

    server: ContentServer = "own"
    prefer: bool = False
    allowed_networks: tuple[Network, ...] = ()
    allowed_ports: tuple[PortRange, ...] = ("80", "443", "1024-65535")
    timeout: Positive = 30.0


class FilesSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Files between guests and inviters (interaction type ``file``)."""

    folder: str = ""
    max_size: Size = 100 * MiB
    max_spool: Size = 10 * GiB
    allow: tuple[MediaRange, ...] = ("*/*",)
    deny: tuple[MediaRange, ...] = ()
    thumbnail_max_size: Size = 32 * KiB
    ttl: Positive = 7 * 86400.0
    guest_files: Size = 100
    guest_bytes: Size = 512 * MiB
    guest_transfers: Size = 4
    accept: Literal["auto", "ask"] = "auto"
    answer_timeout: Positive = 120.0
    stall_timeout: Positive = 30.0
    retry: RetrySection = field(default_factory=lambda: RetrySection(first=1.0))
    content: FilesContentSection = field(default_factory=FilesContentSection)


class ThrottleSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Wrong credentials before an account or an address has to wait, and look-ups before a subscriber has to."""

    logins: Size = 10
    addresses: Size = 50
    window: Positive = 60.0
    lookups: Size = 200
    lookup_window: Positive = 3600.0


class LogSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Logging and the record of what crossed the wire."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    trace: str = ""


class Config(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    gateway: GatewaySection = field(default_factory=GatewaySection)
    http: HttpSection = field(default_factory=HttpSection)
    client: ClientSection = field(default_factory=ClientSection)
    core: CoreSection = field(default_factory=CoreSection)
    sip: SipSection = field(default_factory=SipSection)
    msrp: MsrpSection = field(default_factory=MsrpSection)
    users: UsersSection = field(default_factory=UsersSection)
    accounts: AccountsSection = field(default_factory=AccountsSection)
    policy: PolicySection = field(default_factory=PolicySection)
    chat: ChatSection = field(default_factory=ChatSection)
    provisioning: ProvisioningSection = field(default_factory=ProvisioningSection)
    interaction: InteractionSection = field(default_factory=InteractionSection)
    delivery: DeliverySection = field(default_factory=DeliverySection)
    storage: StorageSection = field(default_factory=StorageSection)
    limits: LimitsSection = field(default_factory=LimitsSection)
    files: FilesSection = field(default_factory=FilesSection)
    throttle: ThrottleSection = field(default_factory=ThrottleSection)
    log: LogSection = field(default_factory=LogSection)
    folder: str = "."
    """Folder of the file, where relative paths start; not a key of the file."""

    @property
    def realm(self) -> str:
        """Digest realm of the core: ``core.realm``, or the home domain."""
        return self.core.realm or self.core.domain

    @property
    def proxies(self) -> tuple[str, ...]:
        """The outbound proxies, which stand for each other; the first one names them all."""
        first = self.core.outbound_proxy
        return (first, *self.core.alternatives) if first else ()

    @property
    def account_domain(self) -> str:
        """Domain of the names of temporary accounts."""
        return self.accounts.domain or self.core.domain

    @property
    def data_dir(self) -> Path:
        """Folder for the store and the key."""
        return self.file(self.gateway.data_dir)

    @property
    def database(self) -> Path:
        """File of the embedded store."""
        return self.file(self.storage.path) if self.storage.path else self.data_dir / "rcsgw.db"

    @property
    def key_file(self) -> Path:
        """File with the keys that seal secrets."""
        return self.file(self.storage.key_file) if self.storage.key_file else self.data_dir / "rcsgw.key"

    @property
    def spool(self) -> Path:
        """Folder of the files between guests and inviters."""
        return self.file(self.files.folder) if self.files.folder else self.data_dir / "files"

    @property
    def http_files(self) -> tuple[Path | None, Path | None]:
        """Files of the certificate and its key; None for one that is not set."""
        http = self.http
        return self.file(http.certificate) if http.certificate else None, self.file(http.key) if http.key else None

    @property
    def msrp_files(self) -> tuple[Path | None, Path | None, Path | None]:
        """Files of the MSRP certificate, its key and the authorities for peers; None for one that is not set."""
        return self._tls_files(self.msrp)

    @property
    def sip_files(self) -> tuple[Path | None, Path | None, Path | None]:
        """Files of the SIP certificate, its key and the authorities for the core; None for one that is not set."""
        return self._tls_files(self.sip)

    def _tls_files(self, section: SipSection | MsrpSection) -> tuple[Path | None, Path | None, Path | None]:
        names = section.certificate, section.key, section.ca_file
        certificate, key, authorities = (self.file(name) if name else None for name in names)
        return certificate, key, authorities

    def file(self, name: str) -> Path:
        """Return the path that a file name in the configuration means."""
        return Path(self.folder) / Path(name).expanduser()

    def secret(self, value: str, file_name: str) -> str:
        """Return a password that stands in the file or in a file of its own. Raises OSError when that is missing."""
        return self.file(file_name).read_text(encoding="utf-8").strip() if file_name else value


def split_host_port(text: str) -> tuple[str, int]:
    """Split ``127.0.0.1:8080`` or ``[::1]:8080``; the host comes without brackets. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("is not host:port")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("needs brackets around an IPv6 address")
    if not host:
        raise ValueError("is not host:port")
    return host, int(port)
