"""MSRP over TLS: C-SET-08 with names and fingerprints, C-SET-04 (never shared with plain), offers and answers."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from sipstack.errors import ConnectionClosed, RequestFailed
from sipstack.msrp.chunk import MsrpResponse
from sipstack.msrp.message import MessageState
from sipstack.msrp.session import MsrpSession
from sipstack.net.config import EndpointConfig
from sipstack.net.hub import MsrpHub
from sipstack.net.tls import Tls
from sipstack.net.unclaimed import HubLimits
from sipstack.trace import Record, Trace, WireRecord

from .certificates import make_tls, write_certificate
from .helpers import B, Chats, pair
from .test_hub import LOOPBACK, MakeHub, Owner, RawPeer, Settled, chunk, make_hub, until

__all__ = ["make_hub"]


def join(left: MsrpHub, right: MsrpHub, *fingerprints: str) -> tuple[Owner, MsrpSession, Owner, MsrpSession]:
    """Return a session by TLS between two hubs, opened from the left."""
    ours, theirs = Owner(), Owner()
    active = left.create_session(ours, max_size=1 << 22, secure=True)
    passive = right.create_session(theirs, max_size=1 << 22, secure=True)
    right.open(passive, active.local_path, active=False)
    left.open(active, passive.local_path, active=True, fingerprints=fingerprints)
    return ours, active, theirs, passive


def test_fingerprint_of_a_file(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    found = Tls(certificate, key).fingerprint
    assert found is not None and found.replace(":", "").lower() == hashlib.sha256(der).hexdigest()
    assert len(found) == 95 and found == found.upper()
    assert Tls().fingerprint is None and Tls().server is None
    with pytest.raises(OSError, match="no certificate"):
        Tls(key, key)
    with pytest.raises(OSError):
        Tls(tmp_path / "missing", key)


async def test_conversation_checked_by_fingerprint(make_hub: MakeHub, tmp_path: Path) -> None:
    records: list[Record] = []
    trace = Trace("left", records.append, lambda: 0.0)
    tls = make_tls(tmp_path, "right")
    assert tls.fingerprint is not None
    left, right = await make_hub(tls=make_tls(tmp_path, "left"), trace=trace), await make_hub(tls=tls)
    # The second is somebody else's: peers may have more than one certificate.
    ours, active, theirs, passive = join(left, right, tls.fingerprint, "AB:CD")
    settled = Settled()
    active.send(b"x" * 300_000, "text/plain", on_done=settled)
    assert await settled.wait() is MessageState.SENT
    await theirs.until(lambda: bool(theirs.received))
    assert theirs.received[0].body == b"x" * 300_000
    passive.send(b"answer", "text/plain")
    await ours.until(lambda: bool(ours.received))
    assert str(active.local_uri).startswith(f"msrps://127.0.0.1:{left.tls_port}/")
    assert left.tls_port not in (0, left.port)
    assert {record.transport for record in records if isinstance(record, WireRecord)} == {"TLS"}


async def test_wrong_fingerprint(make_hub: MakeHub, tmp_path: Path) -> None:
    # C-SET-08: no session, and not one octet of the message.
    left, right = await make_hub(tls=make_tls(tmp_path, "left")), await make_hub(tls=make_tls(tmp_path, "right"))
    other = make_tls(tmp_path, "other").fingerprint
    assert other is not None
    ours, active, theirs, _ = join(left, right, other)
    message = active.send(b"secret", "text/plain")
    await ours.until(lambda: bool(ours.closed))
    error = ours.closed[0]
    assert isinstance(error, ConnectionClosed) and error.certain and "fingerprint" in str(error)
    assert message.state is MessageState.FAILED
    assert not theirs.opened and not theirs.received


async def test_name_is_checked_without_fingerprint(make_hub: MakeHub, tmp_path: Path) -> None:
    # C-SET-08: signed by whom we believe, for the address in the path.
    tls = make_tls(tmp_path, "right", believe=True)
    left, right = await make_hub(tls=tls), await make_hub(tls=tls)
    ours, active, _, _ = join(left, right)
    settled = Settled()
    active.send(b"hello", "text/plain", on_done=settled)
    assert await settled.wait() is MessageState.SENT
    assert ours.opened


@pytest.mark.parametrize("believed", [True, False])
async def test_self_signed_or_for_another_name(make_hub: MakeHub, tmp_path: Path, believed: bool) -> None:
    tls = make_tls(tmp_path, "right", host="192.0.2.1", believe=True)
    left = await make_hub(tls=tls if believed else Tls())
    right = await make_hub(tls=tls)
    ours, _, _, _ = join(left, right)
    await ours.until(lambda: bool(ours.closed))
    error = ours.closed[0]
    assert isinstance(error, ConnectionClosed) and error.certain and "certificate" in str(error)
    assert not len(right)


async def test_fingerprint_does_not_count_for_a_relay(make_hub: MakeHub, tmp_path: Path) -> None:
    # The hash is that of the endpoint behind it (RFC 4975 §14.4).
    tls = make_tls(tmp_path, "right")
    left, right = await make_hub(tls=make_tls(tmp_path, "left")), await make_hub(tls=tls)
    ours, theirs = Owner(), Owner()
    active = left.create_session(ours, max_size=1, secure=True)
    passive = right.create_session(theirs, max_size=1, secure=True)
    assert tls.fingerprint is not None
    left.open(active, (*passive.local_path, passive.local_uri), active=True, fingerprints=[tls.fingerprint])
    await ours.until(lambda: bool(ours.closed))


async def test_sessions_share_only_what_was_checked_alike(make_hub: MakeHub, tmp_path: Path) -> None:
    # C-SET-04: same fingerprint, same connection; TLS never shared with plain.
    tls = make_tls(tmp_path, "right")
    assert tls.fingerprint is not None
    left, right = await make_hub(tls=make_tls(tmp_path, "left")), await make_hub(tls=tls)
    owners = []
    for _ in range(2):
        ours, *_ = join(left, right, tls.fingerprint)
        owners.append(ours)
    plain, theirs = Owner(), Owner()
    active, passive = left.create_session(plain, max_size=1), right.create_session(theirs, max_size=1)
    right.open(passive, active.local_path, active=False)
    left.open(active, passive.local_path, active=True)
    for owner in (*owners, plain):
        await owner.until(lambda owner=owner: owner.opened)  # type: ignore[misc]  # mypy infers no lambda default
    assert len(left) == 2


async def test_session_of_the_other_kind(make_hub: MakeHub, tmp_path: Path) -> None:
    # C-SET-04: who knows the URI of a TLS session can't reach it without TLS.
    hub = await make_hub(tls=make_tls(tmp_path))
    owner = Owner()
    session = hub.create_session(owner, max_size=100, secure=True)
    peer = await RawPeer.connect(hub)
    peer.writer.write(chunk(session))
    answer = await peer.frame()
    assert isinstance(answer, MsrpResponse) and answer.status == 481
    assert not session.is_bound
    await peer.close()


async def test_handshake_that_fails_leaves_nothing(make_hub: MakeHub, tmp_path: Path) -> None:
    hub = await make_hub(tls=make_tls(tmp_path))
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.tls_port)
    writer.write(b"MSRP abcd SEND\r\n")
    assert await reader.read(100) is not None
    assert len(hub) == 0
    writer.close()


async def test_no_tls(make_hub: MakeHub) -> None:
    hub = await make_hub()
    owner = Owner()
    session = hub.create_session(owner, max_size=1)
    right = hub.create_session(Owner(), max_size=1, secure=True)
    hub.open(session, right.local_path, active=True)
    await owner.until(lambda: bool(owner.closed))
    assert "TLS is not configured" in str(owner.closed[0])
    assert hub.tls_port == 0


async def test_tls_port_taken(make_hub: MakeHub, tmp_path: Path) -> None:
    first = await make_hub()
    hub = MsrpHub(bind=("127.0.0.1", 0), tls=make_tls(tmp_path), tls_port=first.port)
    with pytest.raises(OSError):
        await hub.start()


# chats


@pytest.mark.parametrize("active", ["", "a", "b"])
async def test_chat_by_tls(tmp_path: Path, active: str) -> None:
    a: dict[str, Any] = {"msrp_tls": make_tls(tmp_path, "a"), "msrp_security": "offer"}
    b: dict[str, Any] = {"msrp_tls": make_tls(tmp_path, "b")}
    for name, options in (("a", a), ("b", b)):
        options["msrp_setup"] = "active" if name == active else "actpass"
    async with pair(a=a, b=b) as (around, agent, _, phone):
        chats = Chats()
        chat = await agent.invite(B, chats)
        assert (await chat.deliver("hello")).state is MessageState.SENT
        assert (await phone.open[0].deliver("answer")).state is MessageState.SENT
        assert phone.chats.texts == ["hello"] and chats.texts == ["answer"]
        offer = next(request for request in around.core.requests if request.method == "INVITE").body.decode()
        assert f"{9 if active == 'a' else around.a.hub.tls_port} TCP/TLS/MSRP *" in offer
        assert f"a=fingerprint:SHA-256 {a['msrp_tls'].fingerprint}\r\n" in offer
        assert chat.msrp.local_uri.secure and phone.open[0].msrp.local_uri.secure
        await chat.close()


async def test_chat_refuses_tls_or_plain(tmp_path: Path) -> None:
    tls = make_tls(tmp_path)
    for a, b in (
        ({"msrp_tls": tls, "msrp_security": "offer"}, {}),
        ({}, {"msrp_tls": tls, "msrp_security": "require"}),
    ):
        async with pair(a=a, b=b) as (_, agent, _, _):
            with pytest.raises(RequestFailed) as failure:
                await agent.invite(B, Chats())
            assert failure.value.response.status == 488
            assert "is not supported" in str(failure.value.response.headers.get("Warning"))


async def test_plain_offer_is_taken_too(tmp_path: Path) -> None:
    async with pair(b={"msrp_tls": make_tls(tmp_path), "msrp_security": "offer"}) as (_, agent, _, phone):
        chat = await agent.invite(B, Chats())
        assert (await chat.deliver("hello")).state is MessageState.SENT
        assert not phone.open[0].msrp.local_uri.secure


def test_configuration_needs_a_certificate() -> None:
    with pytest.raises(ValueError, match="certificate"):
        EndpointConfig(msrp_security="offer")
    with pytest.raises(ValueError, match="certificate"):
        EndpointConfig(msrp_security="require", msrp_tls=Tls())


# strangers


async def test_handshakes_under_way_are_counted(make_hub: MakeHub, tmp_path: Path) -> None:
    # C-SET-07, C-SET-08: who connects and says nothing costs no more than any other stranger.
    hub = await make_hub(tls=make_tls(tmp_path), limits=HubLimits(unclaimed_per_host=2))
    unclaimed = hub._links.unclaimed
    silent = [await asyncio.open_connection("127.0.0.1", hub.tls_port) for _ in range(2)]
    await until(lambda: len(unclaimed) == 2)
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.tls_port)
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    assert len(unclaimed) == 2
    for _, silent_writer in silent:
        silent_writer.close()
    await until(lambda: len(unclaimed) == 0)
    assert len(hub) == 0


async def test_handshake_that_takes_too_long(
    make_hub: MakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # C-SET-07
    monkeypatch.setattr("sipstack.net.handshake.HANDSHAKE_TIMEOUT", 0.05)
    hub = await make_hub(tls=make_tls(tmp_path))
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.tls_port)
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    assert len(hub._links.unclaimed) == 0


async def test_closing_amid_a_handshake(make_hub: MakeHub, tmp_path: Path) -> None:
    hub = await make_hub(tls=make_tls(tmp_path))
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.tls_port)
    await until(lambda: len(hub._links.unclaimed) == 1)
    await hub.close()
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    assert len(hub._links.unclaimed) == 0


async def test_no_file_descriptor_for_a_stranger(
    make_hub: MakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sipstack.net.handshake.ACCEPT_PAUSE", 0.02)
    hub = await make_hub(tls=make_tls(tmp_path))
    secure = hub._listener._secure
    assert secure is not None
    secure._socket = Exhausted(secure._socket)
    _, writer = await asyncio.open_connection("127.0.0.1", hub.tls_port)
    await until(lambda: len(hub._links.unclaimed) == 1)
    writer.close()


class Exhausted(socket.socket):
    """A listening socket that fails once."""

    def __init__(self, plain: socket.socket) -> None:
        super().__init__(fileno=plain.detach())
        self.failures = 1

    def accept(self) -> tuple[socket.socket, object]:
        """Fail, then accept."""
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def test_with_the_event_loop_of_the_product(tmp_path: Path) -> None:
    # uvloop is another implementation of all this.
    uvloop = pytest.importorskip("uvloop")
    tls = make_tls(tmp_path)

    async def converse() -> None:
        left, right = MsrpHub(bind=LOOPBACK, tls=tls), MsrpHub(bind=LOOPBACK, tls=tls)
        await left.start()
        await right.start()
        _, active, theirs, _ = join(left, right, tls.fingerprint or "")
        done = Settled()
        active.send(b"x" * 1_000_000, "text/plain", on_done=done)
        assert await done.wait() is MessageState.SENT
        assert theirs.received[0].size == 1_000_000
        await left.close()
        await right.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(converse())
