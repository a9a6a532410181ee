"""Does the core answer, on which transports, and what does it ask for?"""

from __future__ import annotations

import asyncio
from functools import partial

from gateway.agents import make_agent
from gateway.config.settings import split_host_port
from gateway.doctor.base import Check, Outcome, failed, ok, skipped, warning
from gateway.doctor.corenodes import nodes_checks
from gateway.doctor.coretls import CLIENT_REMEDY, certificate_check
from gateway.doctor.patient import Patient
from gateway.serviceaccount import service_identity
from gateway.sims import Sims
from sipstack import ids
from sipstack.errors import ParseError, RequestFailed, SipstackError
from sipstack.im.reginfo import AorInfo
from sipstack.net.identity import Identity, SilentAgent
from sipstack.net.regwatch import RegistrationWatch
from sipstack.net.useragent import UserAgent
from sipstack.sip.aka import is_aka
from sipstack.sip.digest import Challenge
from sipstack.sip.message import Request, Response
from sipstack.sip.routing import default_port, wanted_transport
from sipstack.sip.subscription import SubscriptionEnded
from sipstack.sip.uri import Uri

ANSWER_TIMEOUT = 4.0
"""Seconds that the core has for an answer; it needs some milliseconds."""

CHALLENGES = (("WWW-Authenticate", False), ("Proxy-Authenticate", True))

AGREEMENT = frozenset({421, 494})
"""Statuses of a core that insists on the security agreement of RFC 3329."""

ACL = "Let the core's access list (its trusted or allowed addresses) have this machine's address."


def core_checks(patient: Patient) -> list[Check]:
    """Return the checks that need no account of ours, and that of the service account."""
    sip, used = patient.config.sip, used_transport(patient)
    transports = [name for name, on in (("udp", sip.udp), ("tcp", sip.tcp)) if on]
    checks = [
        Check(
            "core.bind",
            f"listen on sip.bind {sip.bind}",
            partial(_listen, patient),
            "Let sip.bind be an address of this machine; sip.advertise is for what others are told.",
        )
    ]
    if used not in ("udp", "tcp"):
        transports = [used]  # what else the core speaks, it speaks at another port
    if used in ("tls", "wss"):
        checks.append(certificate_check(patient))
    for transport in transports:
        checks.append(
            Check(
                f"core.{transport}",
                f"OPTIONS to {patient.proxy} by {transport.upper()}",
                partial(_options, patient, transport),
                needs=("core.bind", "core.certificate"),
                timeout=ANSWER_TIMEOUT * 2,
            )
        )
    checks += nodes_checks(patient)
    reached = f"core.{used_transport(patient)}"
    challenge = partial(_challenge, patient)
    checks.append(Check("core.challenge", "REGISTER without credentials", challenge, needs=("core.bind", reached)))
    if patient.config.core.service_account:
        service = partial(_service, patient)
        checks.append(Check("core.service", "register core.service_account", service, needs=("core.challenge",)))
    return checks


def used_transport(patient: Patient) -> str:
    """Return the transport by which requests go to the core."""
    wanted = wanted_transport(patient.proxy) or ("TLS" if patient.proxy.scheme == "sips" else "")
    return (wanted or ("udp" if patient.config.sip.udp else "tcp")).lower()


async def _listen(patient: Patient) -> Outcome:
    try:
        await patient.listen()
    except ValueError as error:
        return failed(str(error))
    host, port = patient.endpoint.local
    if patient.has_sip_port:
        return ok(f"we are {host}:{port} for the core")
    return ok(f"{patient.config.sip.bind} is taken, by the running gateway most likely; port {port} is used for this")


# who answers


async def _options(patient: Patient, transport: str) -> Outcome:
    is_used = transport == used_transport(patient)
    proxy = patient.proxy if is_used else patient.proxy.with_param("transport", transport)
    request = _request(patient, "OPTIONS", patient.registrar, patient.registrar)
    try:
        response = await patient.endpoint.request(request, route=proxy, timeout=ANSWER_TIMEOUT)
    except (SipstackError, OSError) as error:
        return _unreachable(patient, transport, is_used, error)
    patient.note_date("the core", response.headers.get("Date"))
    told = f"{response.status} {response.reason}"
    if response.status == 403:
        return failed(f"the core refuses us: {told}", ACL) if is_used else skipped(f"not used; {told}")
    if response.status >= 500 and response.status not in (501, 505):
        return failed(f"the core answers {told}", "Look at the core: it takes no requests now.")
    return ok(f"the core answers {told}")


def _unreachable(patient: Patient, transport: str, is_used: bool, error: Exception) -> Outcome:
    name = transport.upper()
    where = f"{patient.proxy.host}:{patient.proxy.port or default_port(name)} does not answer by {name}: {error}"
    if is_used:
        remedy = (
            "Is core.outbound_proxy right, does the core listen there, and does no firewall or access list drop us?"
        )
        return failed(where, f"{remedy} {CLIENT_REMEDY}" if transport == "tls" else remedy)
    if transport == "tcp":
        remedy = "Long requests go by TCP: open it at the core, or set sip.tcp = false if it has none."
        return warning(where, remedy)
    return skipped(f"not used: requests go by {used_transport(patient).upper()} ({where})")


# what it asks for


async def _challenge(patient: Patient) -> Outcome:
    """Ask for the bindings of nobody: the core wants to know who asks."""
    nobody = Uri.parse(f"sip:rcsgw-doctor-{ids.token(32)}@{patient.config.account_domain}")
    request = _request(patient, "REGISTER", patient.registrar, nobody)
    response = await patient.endpoint.request(request, route=patient.proxy, timeout=ANSWER_TIMEOUT)
    patient.note_date("the core", response.headers.get("Date"))
    agreement = ", ".join(response.headers.get_all("Security-Server"))
    if response.status in AGREEMENT:
        text = f"the core insists on a security agreement (RFC 3329): {response.status}, {agreement or 'none named'}"
        return failed(text, "Let the core take this machine without IPsec: the gateway speaks digest only.")
    if response.status in (401, 407):
        return judge_challenge(patient, response, agreement)
    told = f"{response.status} {response.reason}"
    if response.is_success:
        remedy = "Nothing, if the core trusts this machine's address; then the users driver register proves nothing."
        return warning(f"the core lets REGISTER pass without a challenge: {told}", remedy)
    if response.status == 403:
        return failed(f"the core refuses REGISTER: {told}", f"Is core.domain right? If it is: {ACL}")
    return warning(f"the core answers {told} to somebody unknown, so its challenge is not seen", "Nothing.")


def judge_challenge(patient: Patient, response: Response, agreement: str) -> Outcome:
    """Compare the challenges of a 401 or 407 with what the configuration says."""
    challenges = []
    for name, is_proxy in CHALLENGES:
        for value in response.headers.get_all(name):
            try:
                challenges.append(Challenge.parse(value, is_proxy))
            except ParseError as error:
                return failed(f"the core's challenge is malformed: {error}", "Report this to who runs the core.")
    algorithms = sorted({challenge.algorithm or "MD5" for challenge in challenges})
    realms = sorted({challenge.realm for challenge in challenges})
    qop = sorted({one for challenge in challenges for one in challenge.qop})
    found = f"realm {', '.join(realms)}, {', '.join(algorithms)}, qop {', '.join(qop) or 'none'}"
    if agreement:
        found += f", offers the security agreement {agreement}, which is not used"
    supported = [challenge for challenge in challenges if challenge.is_supported]
    if supported and all(is_aka(challenge.algorithm) for challenge in supported) and not _has_sims(patient):
        remedy = "Let the core ask our accounts for digest, or take accounts with keys of SIMs from a pool."
        return failed(f"the core takes AKA only, and our accounts have passwords: {found}", remedy)
    if not supported:
        remedy = "Let the core ask our accounts for digest by SHA-256 or MD5, qop auth."
        return failed(f"no challenge that we can answer: {found}", remedy)
    if patient.config.realm not in realms:
        remedy = f'Set core.realm = "{realms[0]}", and make the subscribers\' hashes with it.'
        return failed(f"the core's realm is not {patient.config.realm}: {found}", remedy)
    driver = patient.config.provisioning
    if driver.driver == "kamailio" and driver.kamailio.algorithm not in algorithms:
        remedy = f'Set provisioning.kamailio.algorithm = "{algorithms[0]}", or change the challenge (auth, algorithm).'
        return failed(f"accounts are made for {driver.kamailio.algorithm}: {found}", remedy)
    return ok(found)


def _has_sims(patient: Patient) -> bool:
    """Tell whether accounts may have SIMs: those of a pool, whose file says so."""
    return patient.config.provisioning.driver == "pool"


def _request(patient: Patient, method: str, uri: Uri, to: Uri) -> Request:
    sender = to if method == "REGISTER" else Uri.parse(f"sip:rcsgw@{patient.config.core.domain}")
    headers = [
        ("From", f"<{sender}>;tag={ids.tag()}"),
        ("To", f"<{to}>"),
        ("Call-ID", ids.call_id()),
        ("CSeq", f"1 {method}"),
        ("User-Agent", patient.config.sip.user_agent),
    ]
    return Request(method, uri, headers)


# accounts


async def _service(patient: Patient) -> Outcome:
    agent = agent_of(patient, service_identity(patient.config, Sims()))
    try:
        return await registered(patient, agent, "core.service_user and core.service_password")
    finally:
        await agent.close()


def agent_of(patient: Patient, identity: Identity) -> UserAgent:
    """Return a user agent as the gateway's own are."""
    return make_agent(patient.endpoint, patient.config, identity, SilentAgent())


async def registered(patient: Patient, agent: UserAgent, keys: str) -> Outcome:
    """Register an account; ``keys`` are where its credentials come from."""
    aor = agent.identity.aor
    try:
        told = await agent.register()
    except RequestFailed as error:
        if error.response.status in (401, 403, 407):
            remedy = f"Do {keys} fit what the core has: name, realm {patient.config.realm}, algorithm?"
            return failed(f"{aor} may not register: {error}", remedy)
        return failed(f"{aor} is not registered: {error}", "Does the core know this account and its domain?")
    return ok(f"{aor} is registered for {told.expires} s")


async def told(agent: UserAgent) -> Outcome:
    """Subscribe to the account's own registration: the core must let it, and tell of the binding (RFC 3680)."""
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def over(end: SubscriptionEnded) -> None:
        if not ended.done():
            ended.set_result(end.reason)

    def news(said: tuple[AorInfo, ...]) -> None:
        if not ended.done():
            ended.set_result("")

    watch = RegistrationWatch(agent, agent.identity.aor, news, over)
    watch.start()
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            why = await ended
    except TimeoutError:
        why = "no NOTIFY came"
    finally:
        watch.stop()
    if not why:
        bound = sum(1 for _ in watch.table.contacts)
        return ok(f"the core tells of registrations: {bound} contacts of {agent.identity.aor}")
    remedy = "Let the core offer the event package reg to its users, or set core.registration_events = false."
    return failed(f"the core does not tell of registrations: {why}", remedy)


async def asked(patient: Patient, agent: UserAgent) -> Outcome:
    """Send OPTIONS from a registered account to itself: the way to us is the one that subscribers' chats take."""
    if not patient.has_sip_port and patient.config.sip.advertise:
        return skipped("a running gateway has the port of sip.advertise; what comes there is not seen here")
    where = ":".join(map(str, patient.endpoint.local))
    remedy = f"Can the core reach {where}? If not, set sip.advertise to the address that leads here."
    host, _ = split_host_port(patient.config.sip.advertise or patient.config.sip.bind)
    try:
        response = await agent.options(agent.identity.aor, timeout=ANSWER_TIMEOUT)
    except SipstackError as error:
        return failed(f"OPTIONS through the core is not answered: {error}", remedy)
    if response.is_success:
        return ok(f"OPTIONS comes back to {host} through the core: {response.status}")
    return failed(f"OPTIONS through the core to {agent.identity.aor}: {response.status} {response.reason}", remedy)
