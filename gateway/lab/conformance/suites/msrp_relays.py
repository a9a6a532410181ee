"""What an MSRP relay does for its clients (:rfc:`4976`): AUTH, paths, and frames that it passes on.

The target is the relay; both ends of a session are ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import case
from gateway.lab.conformance.msrpside import MsrpLink, answers_to, is_chunk, is_report
from gateway.lab.conformance.msrpsteps import frame, response_to
from sipstack import ids
from sipstack.errors import ParseError
from sipstack.msrp.chunk import Chunk, MsrpResponse, Report
from sipstack.msrp.uri import MsrpUri, parse_path
from sipstack.sip.digest import Credentials
from sipstack.sip.digest_relay import RelayCredentials

SUITE = "msrp.relays"
RELAY = {"relay"}

SHORT = 1
"""Seconds of life that no relay grants."""


@dataclass(slots=True)
class Client:
    """One client of the relay: its connection and what the relay gave it."""

    bench: Bench
    link: MsrpLink
    relay: MsrpUri
    own: MsrpUri
    use_path: tuple[MsrpUri, ...] = ()

    async def auth(self, *lines: str) -> MsrpResponse:
        """Send AUTH with further header lines and return what it is answered with. Raises Failed without answer."""
        tid = ids.msrp_transaction_id()
        self.link.send(frame(tid, "AUTH", f"To-Path: {self.relay}", f"From-Path: {self.own}", *lines))
        return (await self.link.expect(answers_to(tid), "AUTH gets no response")).response

    async def challenges(self) -> list[str]:
        """Send AUTH without credentials, which has to be challenged, and return the challenges."""
        response = await self.auth()
        self.bench.check(response.status == 401, f"AUTH without credentials gets {response.status}, not 401")
        return values(response, "WWW-Authenticate")

    async def authorized(self, *lines: str) -> MsrpResponse:
        """Prove who we are, and return what that is answered with."""
        digest = self.digest()
        challenges = await self.challenges()
        self.bench.check(digest.receive_challenge(str(self.relay), challenges), "the challenge can't be answered")
        return await self.auth(f"Authorization: {digest.authorize(str(self.relay))}", *lines)

    def digest(self, password: str | None = None) -> RelayCredentials:
        """Return what answers challenges; ``password`` instead of the right one."""
        known = self.bench.options.credentials
        if known is None:
            self.bench.not_applicable("there are no credentials for the relay (--user, --password)")
        return RelayCredentials(Credentials.from_password(known.user, known.password if password is None else password))

    @property
    def path(self) -> str:
        """Our ``a=path``: the relays from the far one to the near one, and we (§5.1)."""
        return " ".join(map(str, (*reversed(self.use_path), self.own)))


def values(response: MsrpResponse, name: str) -> list[str]:
    """Return the values of a header."""
    return [value for known, value in response.headers if known.lower() == name.lower()]


async def client(bench: Bench) -> Client:
    """Return a new client with a connection to the relay."""
    host, port = bench.target.hop
    bracketed = f"[{host}]" if ":" in host else host
    secure = bench.target.transports[0] == "TLS"
    relay = MsrpUri("msrps" if secure else "msrp", bracketed, port, None)
    link = await bench.msrp.connect((host, port), secure=secure)
    local = link.flow.local or (bench.sip.host, 2855)
    own = MsrpUri(relay.scheme, f"[{local[0]}]" if ":" in local[0] else local[0], local[1], ids.msrp_session_id())
    return Client(bench, link, relay, own)


async def admitted(bench: Bench) -> Client:
    """Return a client to whom the relay has given a path."""
    known = await client(bench)
    response = await known.authorized()
    bench.check(response.status == 200, f"AUTH with credentials gets {response.status}, not 200")
    known.use_path = path_in(bench, response)
    return known


def path_in(bench: Bench, response: MsrpResponse) -> tuple[MsrpUri, ...]:
    """Return Use-Path. Fails without one."""
    found = values(response, "Use-Path")
    bench.check(len(found) == 1, f"the 200 to AUTH has {len(found)} Use-Path headers")
    try:
        return parse_path(found[0])
    except ParseError as error:
        bench.fail(f"Use-Path is no path: {error}")


async def pair(bench: Bench) -> tuple[Client, Client]:
    """Return two clients with a path each, for a session between them through the relay."""
    return await admitted(bench), await admitted(bench)


def sending(sender: Client, receiver: Client, body: bytes = b"through the relay", **fields: object) -> Chunk:
    """Return a SEND from one client to the other by the rule of §5.1: Use-Path, then the other's path."""
    to_path = " ".join((*map(str, sender.use_path), receiver.path))
    size = len(body)
    chunk = Chunk(
        ids.msrp_transaction_id(), to_path, str(sender.own), ids.message_id(), 1, size, size, body=body,
        content_type="text/plain",
    )  # fmt: skip
    for name, value in fields.items():
        setattr(chunk, name, value)
    return chunk


@case(
    "MSRP-RLY-001",
    "RFC 4976 §5.1, §9.1",
    suite=SUITE,
    roles=RELAY,
    rules=("C-RLY-01", "C-RLY-04"),
    purpose="AUTH without credentials is challenged by digest with qop.",
    expects="401 with WWW-Authenticate: Digest, realm, nonce and qop with auth.",
)
async def relay_challenges(bench: Bench) -> None:
    challenges = await (await client(bench)).challenges()
    bench.check(challenges, "401 has no WWW-Authenticate")
    text = challenges[0]
    bench.check(text.lower().startswith("digest"), f"the challenge is {text.split()[0]}, not Digest")
    for name in ("realm", "nonce"):
        bench.check(re.search(rf'(?i)\b{name}="[^"]+"', text), f"the challenge has no {name}")
    bench.check(re.search(r'(?i)\bqop="?[^"]*\bauth\b', text), "the challenge does not ask for qop auth")


@case(
    "MSRP-RLY-002",
    "RFC 4976 §5.1",
    suite=SUITE,
    roles=RELAY,
    rules=("C-RLY-01", "C-RLY-03"),
    purpose="Who proves who they are gets a path that is their own, and is told how long it lives.",
    expects="200 with Use-Path and Expires; another client gets another path.",
)
async def relay_gives_a_path(bench: Bench) -> None:
    known = await client(bench)
    response = await known.authorized()
    bench.check(response.status == 200, f"AUTH with credentials gets {response.status}, not 200")
    path = path_in(bench, response)
    bench.check(all(uri.session_id for uri in path), "a URI of Use-Path has no session-id")
    expires = values(response, "Expires")
    bench.check(expires and expires[0].isdigit(), "the 200 to AUTH has no Expires")
    other = await admitted(bench)
    bench.check(other.use_path != path, "two clients get the same path")


@case(
    "MSRP-RLY-003",
    "RFC 4976 §5.1, §9.1",
    suite=SUITE,
    roles=RELAY,
    rules=("C-RLY-04",),
    purpose="A wrong password gets no path.",
    expects="An error, and no Use-Path.",
)
async def wrong_password(bench: Bench) -> None:
    known = await client(bench)
    digest = known.digest("wrong, and wrong again")
    digest.receive_challenge(str(known.relay), await known.challenges())
    response = await known.auth(f"Authorization: {digest.authorize(str(known.relay))}")
    bench.check(response.status >= 400, f"a wrong password gets {response.status}")
    bench.check(not values(response, "Use-Path"), "a wrong password gets a path")


@case(
    "MSRP-RLY-004",
    "RFC 4976 §5.1",
    suite=SUITE,
    roles=RELAY,
    rules=("C-RLY-03",),
    purpose="A life that the relay does not want is refused with its bounds, or another is granted.",
    expects="423 with Min-Expires, or 200 with another Expires.",
)
async def life_that_is_too_short(bench: Bench) -> None:
    known = await client(bench)
    response = await known.authorized(f"Expires: {SHORT}")
    if response.status == 423:
        least = values(response, "Min-Expires")
        bench.check(least and least[0].isdigit() and int(least[0]) > SHORT, "423 has no Min-Expires that helps")
        return
    bench.check(response.status == 200, f"AUTH with Expires {SHORT} gets {response.status}")


@case(
    "MSRP-RLY-005",
    "RFC 4976 §5.1, §6.2",
    suite=SUITE,
    roles=RELAY,
    rules=("C-RLY-02", "C-RLY-06"),
    purpose="A SEND goes through to the other client, each hop takes its URI from To-Path to From-Path.",
    expects="The SEND comes out with the receiver as the only URI of To-Path, and is answered hop by hop.",
)
async def send_through_the_relay(bench: Bench) -> None:
    sender, receiver = await pair(bench)
    chunk = sending(sender, receiver)
    sender.link.send(chunk)
    answer = await sender.link.expect(answers_to(chunk.transaction_id), "the relay does not answer a SEND")
    bench.check(answer.response.status == 200, f"the relay answers a SEND with {answer.response.status}")
    bench.check(answer.response.to_path == str(sender.own), f"To-Path of its response is {answer.response.to_path}")
    came = (await receiver.link.expect(is_chunk, "the SEND does not come out of the relay")).chunk
    receiver.link.send(response_to(came, str(receiver.own)))
    bench.check(came.to_path == str(receiver.own), f"To-Path comes out as {came.to_path}")
    bench.check(came.from_path.endswith(str(sender.own)), f"From-Path comes out as {came.from_path}")
    bench.check(came.from_path != str(sender.own), "the relay is not in From-Path")
    bench.check(came.body == chunk.body and came.message_id == chunk.message_id, "the message is another one")


@case(
    "MSRP-RLY-006",
    "RFC 4976 §6.2, RFC 4975 §7.1.2",
    suite=SUITE,
    roles=RELAY,
    rules=("C-RLY-06",),
    purpose="A REPORT goes back all the way, and no hop answers it.",
    expects="The REPORT comes to the sender of the message; nothing comes back to who sent it.",
)
async def report_through_the_relay(bench: Bench) -> None:
    sender, receiver = await pair(bench)
    chunk = sending(sender, receiver, success_report=True)
    sender.link.send(chunk)
    came = (await receiver.link.expect(is_chunk, "the SEND does not come out of the relay")).chunk
    receiver.link.send(response_to(came, str(receiver.own)))
    size = len(chunk.body)
    told = Report(ids.msrp_transaction_id(), came.from_path, str(receiver.own), came.message_id, 1, size, size)
    receiver.link.send(told)
    back = (await sender.link.expect(is_report, "the REPORT does not come out of the relay")).report
    bench.check(back.message_id == chunk.message_id, "the REPORT is about another message")
    bench.check((back.namespace, back.status) == ("000", 200), f"the REPORT says {back.namespace} {back.status}")
    await receiver.link.silence(answers_to(told.transaction_id), "a REPORT is answered", 2 * bench.options.t1)


@case(
    "MSRP-RLY-007",
    "RFC 4976 §6.2",
    suite=SUITE,
    roles=RELAY,
    rules=("C-RLY-02",),
    purpose="Only paths that the relay has given lead through it.",
    expects="An error response to a SEND by a path that it has not given.",
)
async def path_that_was_not_given(bench: Bench) -> None:
    sender, receiver = await pair(bench)
    near = sender.use_path[0]
    sender.use_path = (MsrpUri(near.scheme, near.host, near.port, ids.msrp_session_id(), near.transport),)
    chunk = sending(sender, receiver)
    sender.link.send(chunk)
    answer = await sender.link.receive(None, answers_to(chunk.transaction_id))
    if answer is None:
        bench.remark("a SEND by a path that was not given is not answered")
    else:
        bench.check(answer.response.status >= 400, f"a SEND by a path that was not given gets {answer.response.status}")
    await receiver.link.silence(is_chunk, "it comes out on the other side", bench.options.t1)


@case(
    "MSRP-RLY-008",
    "RFC 4976 §9.1",
    suite=SUITE,
    roles=RELAY,
    rules=("C-RLY-04",),
    purpose="The relay proves that it knows the password, too.",
    expects="200 to AUTH with Authentication-Info: qop, rspauth, cnonce and nc.",
)
async def relay_proves_itself(bench: Bench) -> None:
    known = await client(bench)
    response = await known.authorized()
    bench.check(response.status == 200, f"AUTH with credentials gets {response.status}, not 200")
    found = values(response, "Authentication-Info")
    bench.check(found, "the 200 to AUTH has no Authentication-Info")
    missing = [name for name in ("qop", "rspauth", "cnonce", "nc") if f"{name}=" not in found[0].lower()]
    bench.check(not missing, f"Authentication-Info has no {', '.join(missing)}")


@case(
    "MSRP-RLY-009",
    "RFC 4976 §6.2, RFC 4975 §7.1.1",
    suite=SUITE,
    roles=RELAY,
    rules=("C-RLY-05",),
    purpose="A SEND is passed on whatever its size, or its sender is told that it is not.",
    expects="All octets of a SEND of 64 KiB come out, in one chunk or several, or an error comes back.",
)
async def large_send_through_the_relay(bench: Bench) -> None:
    sender, receiver = await pair(bench)
    body = b"large " * 10_923
    chunk = sending(sender, receiver, body, end=None)
    sender.link.send(chunk)
    size = 0
    while size < len(body):
        received = await receiver.link.receive(None, is_chunk)
        if received is None:
            break
        size += len(received.chunk.body)
        if received.chunk.flag:
            receiver.link.send(response_to(received.chunk, str(receiver.own)))
    answer = await sender.link.receive(bench.options.t1, answers_to(chunk.transaction_id))
    refused = answer is not None and answer.response.status >= 400
    bench.check(size == len(body) or refused, f"of {len(body)} octets {size} come out, and nobody is told")
