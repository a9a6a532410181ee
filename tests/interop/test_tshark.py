"""tshark reads one whole run of both flows: all is dissected, nothing is malformed, and it is what we recorded."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.lab.phone import Phone, PhoneOptions
from gateway.lab.ports import free_port
from sipstack.trace import WireRecord
from tests.e2e.client import kind
from tests.e2e.files import ICON, POLICY, B, incoming, until, upload_form
from tests.e2e.test_receipts import COMPOSING, RECEIPT
from tests.e2e.world import DOMAIN, PASSWORDS, WORLDS, Guest, World, eventually
from tests.interop import capture
from tests.interop.capture import CannotCapture, Capture, dissect
from tests.interop.conftest import needs_kamailio
from tests.interop.pcap import Direction, tcp_streams, write_segments
from tests.interop.sipp import Transport

pytestmark = pytest.mark.interop

LONG = 300_000
"""Characters of the message that needs several chunks."""

FILE = b"z" * 50_000
"""tshark reads content as text, and no further than a zero octet; lines take it long."""

LENGTH = re.compile(rb"(?im)^content-length[ \t]*:[ \t]*(\d+)")


@dataclass
class Run:
    """What one run left: the capture, and our own records of the same bytes."""

    capture: Capture
    sip_ports: list[int]
    msrp_ports: list[int]
    datagrams: list[bytes]
    streams: dict[Direction, bytes]

    def streams_of(self, ports: Iterable[int]) -> dict[Direction, bytes]:
        """Return the streams from or to some ports."""
        wanted = set(ports)
        return {(a, b): data for (a, b), data in self.streams.items() if {a[1], b[1]} & wanted}


@pytest.fixture(params=["embedded", "kamailio"])
async def run(request: pytest.FixtureRequest, transport: Transport, tmp_path: Path) -> AsyncIterator[Run]:
    """Both flows over each core; what fits goes by this transport."""
    if not capture.is_available():
        pytest.skip("tshark and dumpcap are not installed")
    if request.param == "kamailio":
        needs_kamailio()
    try:
        async with WORLDS[request.param](tmp_path, POLICY) as world:
            yield await record(world, transport)
    except CannotCapture as error:
        pytest.skip(f"dumpcap may not capture on loopback: {error}")


async def record(world: World, transport: Transport) -> Run:
    """Invite, log in, ask, chat both ways in small and in large, with receipts and typing, see a message afterwards,
    send files both ways, one of them not to its end, log out."""
    await world.stop_gateway()  # it has sent nothing yet
    name = transport.lower()
    world.config_text = world.config_text.replace(";transport=tcp;lr", f";transport={name};lr")
    gateway = await world.start_gateway()
    phone_ports = free_port(), free_port()
    host, port = world.core.address
    servers = [world.im_server.address[1], world.file_server.address[1]]
    sip = [port, *servers, gateway.endpoint.local[1], phone_ports[0]]
    msrp = [gateway.endpoint.hub.port, phone_ports[1]]
    options = PhoneOptions(
        aor=f"sip:a@{DOMAIN}",
        password=PASSWORDS["a"],
        proxy=f"sip:{host}:{port};transport={name};lr",
        port=phone_ports[0],
        msrp_port=phone_ports[1],
    )
    async with Capture(world.folder, [*sip, *msrp]) as captured:
        async with Phone(options, trace=world.trace("phone a")) as phone:
            guest = await world.guest("a")
            assert (await guest.status()).json["status"] == "online"
            await guest.say("hello")
            await guest.wait_for_text("You said: hello")
            await guest.say("x" * LONG)
            await phone.say(f"sip:b@{DOMAIN}", "y" * LONG)
            seen = await guest.wait_for_text("y" * LONG)
            typing = {"to": f"sip:a@{DOMAIN}", "state": "active"}
            assert (await guest.http.post(COMPOSING, typing, root="composing")).status == 204
            await phone.wait_for("composing")
            await phone.type(f"sip:b@{DOMAIN}")
            await guest.wait_for_event(kind("composing", state="active"))
            await phone.hang_up(f"sip:b@{DOMAIN}")
            await eventually(lambda: world.received("BYE"))
            receipt = {"id": seen["message"]["id"]}
            assert (await guest.http.post(RECEIPT, receipt, root="receipt")).status == 204
            await eventually(lambda: [event for event in phone.events if event.text == "displayed"])
            await exchange_files(guest, phone)
            assert (await guest.logout()).status == 204
        await world.stop_gateway()
    return Run(captured, sip, msrp, *recorded(world))


async def exchange_files(guest: Guest, phone: Phone) -> None:
    """Send a file with a preview each way, and one that is cancelled in the middle."""
    sent = await upload_form(guest, FILE, name="x.txt", content_type="text/plain")
    await until(guest, sent.json["id"], "displayed")
    assert (await phone.files.send(B, FILE, name="y.txt", content_type="text/plain", icon=ICON)).state == "done"
    await incoming(guest, "ready")
    phone.files.watch = lambda file: phone.files.cancel(file.id)
    assert (await phone.files.send(B, FILE * 160, name="z.txt", content_type="text/plain")).state == "local"
    await incoming(guest, "cancelled")


def recorded(world: World) -> tuple[list[bytes], dict[Direction, bytes]]:
    """Return datagrams and streams as our actors recorded them.

    What both ends recorded has to be the same; Kamailio records nothing, so its peers' records stand for its own.
    """
    streams: dict[str, dict[Direction, bytearray]] = {"in": {}, "out": {}}
    datagrams: dict[str, list[tuple[Direction, bytes]]] = {"in": [], "out": []}
    for item in world.records:
        if not isinstance(item, WireRecord) or item.protocol not in ("SIP", "MSRP"):
            continue
        assert item.local is not None and item.remote is not None
        direction = (item.local, item.remote) if item.direction == "out" else (item.remote, item.local)
        if item.transport == "UDP":
            datagrams[item.direction].append((direction, item.data))
        else:
            streams[item.direction].setdefault(direction, bytearray()).extend(item.data)
    for direction in streams["in"].keys() & streams["out"].keys():
        assert streams["in"][direction] == streams["out"][direction]
    seen = Counter(datagrams["out"]) | Counter(datagrams["in"])
    whole = {direction: bytes(data) for direction, data in {**streams["in"], **streams["out"]}.items()}
    return [data for _, data in seen.elements()], whole


def cut_sip(stream: bytes) -> list[bytes]:
    """Cut a stream into SIP messages."""
    messages = []
    while stream := stream.lstrip(b"\r\n"):
        head, _, rest = stream.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        assert length is not None
        end = len(head) + 4 + int(length[1])
        messages.append(stream[:end])
        stream = stream[end:]
    return messages


def cut_msrp(stream: bytes) -> list[bytes]:
    """Cut a stream into MSRP chunks, reports and responses: each ends with its own transaction id."""
    messages = []
    while stream:
        transaction = stream.split(b" ", 2)[1]
        end = stream.index(b"\r\n-------" + transaction) + len(b"\r\n-------" + transaction) + 3
        messages.append(stream[:end])
        stream = stream[end:]
    return messages


def start_lines(messages: Iterable[bytes]) -> Counter[str]:
    """Count first lines."""
    return Counter(message.split(b"\r\n", 1)[0].decode().strip() for message in messages)


def first_line(fields: dict[str, str]) -> str:
    """Return how a chunk, report or response begins, by tshark's fields."""
    return fields.get("request.line") or fields["response.line"]


def is_sound(fields: dict[str, str]) -> bool:
    """Tell whether tshark found in a message of MSRP what has to be there; it does not complain by itself."""
    sound = fields["end.line"] == f"-------{first_line(fields).split(' ')[1]}{fields['cnt.flg']}"
    sound &= all(fields.get(name, "").startswith("msrp://") for name in ("to.path", "from.path"))
    if fields.get("method") == "SEND":
        sound &= bool(fields.get("messageid")) and re.fullmatch(r"\d+-(\d+|\*)/\d+", fields["byte.range"]) is not None
        sound &= ("data" in fields) == ("content.type" in fields)
    return sound


async def test_nothing_is_malformed(run: Run, transport: Transport, tmp_path: Path) -> None:
    # what we recorded is what crossed the wire, octet by octet
    assert tcp_streams(run.capture.file) == run.streams
    assert bool(run.datagrams) == (transport == "UDP")
    # every SIP message is dissected
    dissection = await dissect(run.capture.file, sip=run.sip_ports, msrp=run.msrp_ports)
    assert dissection.complaints == []
    sip = [message for stream in run.streams_of(run.sip_ports).values() for message in cut_sip(stream)]
    assert Counter(dissection.sip) == start_lines([*run.datagrams, *sip])
    methods = {line.split(" ")[0] for line in dissection.sip}
    assert methods == {"REGISTER", "OPTIONS", "INVITE", "ACK", "BYE", "MESSAGE", "SIP/2.0"}
    assert any(b"MESSAGE sip" in item and b"message/imdn+xml" in item for item in [*run.datagrams, *sip])
    # every MSRP chunk: tshark reads the first of a segment only, so each gets one of its own
    msrp = {direction: cut_msrp(stream) for direction, stream in run.streams_of(run.msrp_ports).items()}
    chunks = [(direction, chunk) for direction, chunks in msrp.items() for chunk in chunks]
    spread = tmp_path / "msrp.pcap"
    write_segments(spread, chunks)
    apart = await dissect(spread, msrp=run.msrp_ports)
    assert apart.complaints == []
    assert Counter(map(first_line, apart.msrp)) == start_lines(chunk for _, chunk in chunks)
    assert set(map(first_line, dissection.msrp)) <= set(map(first_line, apart.msrp))
    assert [fields for fields in apart.msrp if not is_sound(fields)] == []
    sends = [chunk for _, chunk in chunks if b" SEND\r\n" in chunk]
    unfinished = {chunk.partition(b"Message-ID: ")[2][:16] for chunk in sends if chunk.endswith(b"+\r\n")}
    assert len(unfinished) >= 2, "each long message goes in several chunks"
    assert len(chunks) == 2 * len(sends), "each SEND has one response"
    assert {chunk[-3:-2] for chunk in sends} == {b"$", b"+", b"#"}
    invites = [message for message in sip if b"\r\na=file-selector:" in message and message.startswith(b"INVITE")]
    assert any(b"Content-Type: multipart/related" in invite for invite in invites)
    for content_type in (b"message/imdn+xml", b"application/im-iscomposing+xml"):
        senders = {direction[0] for direction, chunk in chunks if b"Content-Type: " + content_type in chunk}
        assert len(senders) == 2, "both sides tell of deliveries and of typing"


async def test_tshark_would_complain(tmp_path: Path) -> None:
    """What the test above rests on: that a mistake does bring a complaint."""
    if not capture.is_available():
        pytest.skip("tshark and dumpcap are not installed")
    direction = (("127.0.0.1", 40001), ("127.0.0.1", 40002))
    file = tmp_path / "bad.pcap"
    write_segments(file, [(direction, b"OPTIONS sip:a@b.example SIP/2.0\r\nContent-Length: x\r\n\r\n")])
    assert (await dissect(file, sip=[40002])).complaints != []
    for path, end in (("x", "abcd"), ("msrp://a.example:1/s;tcp", "abce")):
        response = f"MSRP abcd 200 OK\r\nTo-Path: {path}\r\nFrom-Path: {path}\r\n-------{end}$\r\n"
        write_segments(file, [(direction, response.encode())])
        [fields] = (await dissect(file, msrp=[40002])).msrp
        assert first_line(fields) == "MSRP abcd 200 OK" and not is_sound(fields)


async def test_a_port_of_another_protocol_is_no_complaint(tmp_path: Path) -> None:
    """The system may give out ports for which tshark knows protocols of their own."""
    if not capture.is_available():
        pytest.skip("tshark and dumpcap are not installed")
    ports = (34980, 44818, 48049, 48898, 57000)
    path = "msrp://a.example:1/s;tcp"
    head = f"MSRP abcd SEND\r\nTo-Path: {path}\r\nFrom-Path: {path}\r\nMessage-ID: m\r\nByte-Range: 1-*/30000\r\n"
    chunk = f"{head}Content-Type: text/plain\r\n\r\n{'y' * 30000}\r\n-------abcd$\r\n".encode()
    file = tmp_path / "busy.pcap"
    directions = [(("127.0.0.1", port), ("127.0.0.1", 40002)) for port in ports]
    pieces = [chunk[i : i + 5000] for i in range(0, len(chunk), 5000)]
    write_segments(file, [(direction, piece) for direction in directions for piece in pieces])
    dissection = await dissect(file, msrp=[40002])
    assert dissection.complaints == [] and len(dissection.msrp) == len(ports)
