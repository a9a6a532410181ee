"""Files as links in the chat, both ways: D-FTH-03, D-FTH-04, D-FTH-05, D-FTH-06, D-FTH-07."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.config.settings import FilesContentSection
from gateway.files import webclient
from gateway.files.contentserver import ContentServer as OwnServer
from gateway.files.links import LOCATION
from gateway.fileservices import FileGone
from gateway.lab.contentserver import ContentOptions, ContentServer
from gateway.secrets import Sealer
from gateway.services import Forbidden, Unavailable
from gateway.users.local import LocalUsers
from sipstack.im.fthttp import CONTENT_TYPE, FileInfo, FtHttp
from sipstack.im.imdn import ImdnRequest
from sipstack.msrp.message import MessageState, OutgoingMessage
from sipstack.net.chat import ChatSession
from sipstack.net.features import CHAT_FEATURES, FILE_FEATURES, FT_HTTP_FEATURES, joined
from tests.gateway.files.house import FileHouse, fetch, file_house
from tests.gateway.http.fakes import running
from tests.sipstack.net.helpers import B, Chats, until

DATA = random.Random(9).randbytes(2_000_000)
LOOPBACK = ("127.0.0.0/8",)


@asynccontextmanager
async def link_house(
    folder: Path, server: str = "own", *, prefer: bool = True, features: Any = None, **limits: Any
) -> AsyncIterator[FileHouse]:
    """Run a house whose inviter's device announces FT over HTTP."""
    content = FilesContentSection(server=server, prefer=prefer, allowed_networks=LOOPBACK, timeout=5.0)

    def prepare(house: FileHouse) -> None:
        house.alice.features = features or joined(CHAT_FEATURES, FILE_FEATURES, FT_HTTP_FEATURES)

    async with file_house(folder, prepare, content=content, **limits) as house:
        yield house


def document(house: FileHouse) -> FtHttp:
    """Return what the inviter's device has got in the chat."""
    (message,) = house.phone.chats.messages
    assert message.content_type == CONTENT_TYPE
    return FtHttp.parse(message.body)


# to the inviter


async def test_a_file_by_a_link_of_our_own(tmp_path: Path) -> None:
    """D-FTH-05: the gateway as content server."""
    async with link_house(tmp_path) as house:
        own = OwnServer(house.room, Sealer({b"0123": bytes(32)}), LocalUsers([]), "cc.com", "http://gw.example")
        house.room.server = own
        view = await house.send(DATA, icon=b"icon")
        done = await house.state(view.id, "sent")
        assert done.octets == len(DATA) and house.phone.offers == []
        told = document(house)
        assert (told.file.name, told.file.size, told.file.content_type) == ("a b.txt", len(DATA), "text/plain")
        assert told.thumbnail is not None and told.thumbnail.size == 4
        async with running(content=own) as face:
            for info, data in ((told.file, DATA), (told.thumbnail, b"icon")):
                async with face.client.get(info.url.removeprefix("http://gw.example")) as answer:
                    assert answer.status == 200 and await answer.read() == data
            await house.files.cancel(view.id)
            async with face.client.get(told.file.url.removeprefix("http://gw.example")) as answer:
                assert answer.status == 410


async def test_msrp_comes_first_where_both_are_known(tmp_path: Path) -> None:
    async with link_house(tmp_path, prefer=False) as house:
        view = await house.send(b"small")
        await house.state(view.id, "sent")
        assert len(house.phone.offers) == 1 and house.phone.chats.messages == []


async def test_a_link_where_the_device_refuses_msrp(tmp_path: Path) -> None:
    async with link_house(tmp_path, prefer=False) as house:
        house.room.server = OwnServer(house.room, Sealer({b"0123": bytes(32)}), LocalUsers([]), "cc.com", "http://gw")
        house.phone.react_to_file = lambda offer: offer.refuse(488, "not by MSRP")
        view = await house.send(b"small")
        await house.state(view.id, "sent")
        assert document(house).file.size == 5


async def test_the_way_back_of_notifications(tmp_path: Path) -> None:
    """D-FTH-06: like a text's."""
    async with link_house(tmp_path) as house:
        house.room.server = OwnServer(house.room, Sealer({b"0123": bytes(32)}), LocalUsers([]), "cc.com", "http://gw")
        view = await house.send(b"small")
        await house.state(view.id, "sent")
        (message,) = house.phone.chats.messages
        asked = ImdnRequest.of(message.cpim)
        assert asked is not None and asked.displayed() is not None
        house.files.notified("a", house.files.find(view.id).record.message_id, "displayed")
        await house.told("uploading", "sending", "sent", "displayed")


@pytest.fixture
async def operator() -> AsyncIterator[ContentServer]:
    async with ContentServer(ContentOptions(credentials={"b": "secret of b"})) as server:
        yield server


async def test_a_file_by_the_operators_server(tmp_path: Path, operator: ContentServer) -> None:
    """D-FTH-03: empty POST, digest, the form; then the document goes through the chat."""
    async with link_house(tmp_path, operator.url) as house:
        view = await house.send(DATA, icon=b"icon")
        await house.state(view.id, "sent")
        told = document(house)
        assert (told.file.name, told.file.size) == ("a b.txt", len(DATA)) and told.thumbnail is not None
        async with aiohttp.ClientSession() as session, session.get(told.file.url) as answer:
            assert await answer.read() == DATA
        assert [status for _, status in operator.requests][:3] == [401, 200, 200]


async def test_the_operators_server_may_be_anywhere(tmp_path: Path, operator: ContentServer) -> None:
    """Its URL is the operator's own word; allowed_networks are for what others say."""
    for url in (operator.url, operator.url.replace("127.0.0.1", "localhost")):
        content = FilesContentSection(server=url, prefer=True)
        async with file_house(tmp_path, prepare_links, content=content) as house:
            view = await house.send(b"small")
            await house.state(view.id, "sent")


async def test_an_upload_is_gone_on_with(tmp_path: Path, operator: ContentServer) -> None:
    """D-FTH-04: break at 60 %; get_upload_info, PUT, get_download_info."""
    operator.cuts.extend([len(DATA) * 6 // 10, len(DATA) * 3 // 10])
    async with link_house(tmp_path, operator.url) as house:
        view = await house.send(DATA)
        await house.state(view.id, "sent")
        assert "PUT" in [method for method, _ in operator.requests]
        async with aiohttp.ClientSession() as session, session.get(document(house).file.url) as answer:
            assert await answer.read() == DATA


async def test_a_busy_server_is_asked_again(tmp_path: Path, operator: ContentServer) -> None:
    """D-FTH-03: 503 with Retry-After."""
    operator.busy = 1
    async with link_house(tmp_path, operator.url) as house:
        view = await house.send(b"small")
        await house.state(view.id, "sent")
        assert operator.requests[0] == ("POST", 503)


async def test_wrong_credentials_are_the_end(tmp_path: Path) -> None:
    async with ContentServer(ContentOptions(credentials={"b": "another"})) as operator:
        async with link_house(tmp_path, operator.url) as house:
            view = await house.send(b"small")
            failed = await house.state(view.id, "failed")
            assert failed.reason is not None and "credentials" in failed.reason


# from the inviter


class Alice:
    """The inviter's side of a chat."""

    def __init__(self, chat: ChatSession, chats: Chats) -> None:
        self.chat = chat
        self.chats = chats

    async def send(self, body: bytes, content_type: str = CONTENT_TYPE) -> OutgoingMessage:
        """Send a message that asks for notifications, and wait for the answer."""
        message = self.chat.send(body.decode(), content_type, notify=True)
        await until(lambda: message.state is not MessageState.PENDING)
        return message

    def notifications(self) -> list[str]:
        """Return the words of the notifications that came."""
        words = []
        for message in self.chats.messages:
            for word in (b"delivered", b"displayed"):
                if b"<" + word + b"/>" in message.body:
                    words.append(word.decode())
        return words


@asynccontextmanager
async def alice(house: FileHouse) -> AsyncIterator[Alice]:
    """Open a chat to the guest."""
    chats = Chats()
    chat = await house.alice.invite(B, chats)
    yield Alice(chat, chats)
    await chat.close()


def upload(server: ContentServer, data: bytes = DATA, **changes: Any) -> bytes:
    """Put a file on a content server; return the document."""
    from gateway.lab.contentserver import Stored

    path = Path(server._folder) / f"{len(server._by_token)}"
    path.write_bytes(data)
    token = f"t{len(server._by_token)}"
    server._by_token[token] = Stored(token, path, "image/jpeg", "b.jpg", len(data), True, None, 4e9)
    values: dict[str, Any] = {"content_type": "image/jpeg", "name": "../beach.jpg", "size": len(data)}
    return bytes(FtHttp(FileInfo(f"{server.url}/d/{token}", **(values | changes))))


async def test_a_link_of_the_inviter(tmp_path: Path, operator: ContentServer) -> None:
    """D-FTH-05, D-FTH-06: fetched when the guest fetches it, and only then displayed."""
    async with link_house(tmp_path, operator.url) as house, alice(house) as sender:
        sent = await sender.send(upload(operator))
        assert sent.state is MessageState.SENT
        view = await house.only("offered")
        assert (view.name, view.size, view.content_type) == ("beach.jpg", len(DATA), "image/jpeg")
        await until(lambda: sender.notifications() == ["delivered"])
        assert operator.requests == []
        content = await house.files.content(view.id)
        assert await fetch(content) == DATA
        await house.told("offered", "receiving", "ready", "displayed")
        await until(lambda: sender.notifications() == ["delivered", "displayed"])
        assert await fetch(await house.files.content(view.id), 5, 10) == DATA[5:10]
        assert len(operator.requests) == 1


async def test_a_download_that_breaks_off_is_gone_on_with(tmp_path: Path, operator: ContentServer) -> None:
    """D-FTH-05: Range."""
    operator.cuts.extend([1000, 500_000, 0, 700_000])
    async with link_house(tmp_path, operator.url) as house, alice(house) as sender:
        await sender.send(upload(operator))
        view = await house.only("offered")
        assert await fetch(await house.files.content(view.id)) == DATA
        assert [status for _, status in operator.requests][-1] == 206
        await house.state(view.id, "displayed")


async def test_two_clients_share_one_download(tmp_path: Path, operator: ContentServer) -> None:
    async with link_house(tmp_path, operator.url) as house, alice(house) as sender:
        await sender.send(upload(operator))
        view = await house.only("offered")
        first, second = await house.files.content(view.id), await house.files.content(view.id)
        assert await fetch(second, 10) == DATA[10:] and await fetch(first) == DATA
        assert len(operator.requests) == 1


async def test_a_file_that_the_server_has_no_more(tmp_path: Path, operator: ContentServer) -> None:
    """D-FTH-05: 404 and 410 are expired."""
    async with link_house(tmp_path, operator.url) as house, alice(house) as sender:
        await sender.send(upload(operator))
        operator.expire()
        view = await house.only("offered")
        with pytest.raises(FileGone):
            await house.files.content(view.id)
        assert house.files.state(view.id).state == "expired"
        assert sender.notifications().count("displayed") == 0


async def test_a_server_that_is_busy(tmp_path: Path, operator: ContentServer) -> None:
    """D-FTH-05: 503 with Retry-After is passed on, and the next call goes on."""
    async with link_house(tmp_path, operator.url) as house, alice(house) as sender:
        await sender.send(upload(operator, b"small"))
        operator.busy = 1
        view = await house.only("offered")
        with pytest.raises(Unavailable) as caught:
            await house.files.content(view.id)
        assert caught.value.retry_after == 1
        assert await fetch(await house.files.content(view.id)) == b"small"


async def test_links_into_the_operators_own_network(tmp_path: Path) -> None:
    """D-FTH-05: private addresses are refused unless they are listed, whatever they are written as."""
    urls = (
        "http://169.254.169.254/latest",
        "http://127.0.0.1/x",
        "http://localhost/x",
        "http://[::1]/x",
        "http://[::ffff:127.0.0.1]/x",
        "http://10.0.0.1/x",
        "http://user:secret@example.com/x",
        "http://192.0.2.1:22/x",
    )
    async with file_house(tmp_path, prepare_links, content=FilesContentSection()) as house, alice(house) as sender:
        for url in urls:
            await sender.send(bytes(FtHttp(FileInfo(url, 5))))
        await until(lambda: len(house.views()) == len(urls))
        for view in house.views():
            with pytest.raises(Forbidden, match="not fetched"):
                await house.files.content(view.id)
            assert house.files.state(view.id).state == "failed"


def prepare_links(house: FileHouse) -> None:
    house.alice.features = joined(CHAT_FEATURES, FILE_FEATURES, FT_HTTP_FEATURES)


async def test_redirections_are_followed_and_checked(tmp_path: Path, operator: ContentServer) -> None:
    """D-FTH-05: a few, and never to where we would not go directly."""
    from aiohttp import web

    where = {"target": ""}

    async def redirect(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": where["target"] or str(request.url)})

    runner = web.ServerRunner(web.Server(redirect))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        async with link_house(tmp_path, operator.url) as house, alice(house) as sender:
            good = FtHttp.parse(upload(operator, b"small")).file.url
            for target, name in ((good, "good"), ("http://169.254.169.254/", "away"), ("", "round")):
                await sender.send(bytes(FtHttp(FileInfo(url, 5, name=name))))
                await until(lambda name=name: any(view.name == name for view in house.views()))  # type: ignore[misc]  # a lambda with a default
                view = next(view for view in house.views() if view.name == name)
                where["target"] = target
                if target == good:
                    assert await fetch(await house.files.content(view.id)) == b"small"
                else:
                    with pytest.raises(Forbidden):
                        await house.files.content(view.id)
    finally:
        await runner.cleanup()
    assert webclient.MAX_REDIRECTS == 5


async def test_more_octets_than_announced(tmp_path: Path, operator: ContentServer) -> None:
    """D-FTH-05: file-size is checked."""
    async with link_house(tmp_path, operator.url) as house, alice(house) as sender:
        await sender.send(upload(operator, b"small and more", size=5))
        view = await house.only("offered")
        content = await house.files.content(view.id)
        with pytest.raises(Exception, match="more than the 5 octets"):
            await fetch(content)
        assert house.files.state(view.id).state == "failed"


@pytest.mark.parametrize(
    ("limits", "changes", "status"),
    [
        ({"max_size": 5}, {}, 413),
        ({"deny": ("image/*",)}, {}, 415),
        ({}, {"until": "2020-01-01T00:00:00Z"}, 403),
        ({"guest_files": 0}, {}, 413),
    ],
)
async def test_links_that_are_refused(
    tmp_path: Path, operator: ContentServer, limits: dict[str, Any], changes: dict[str, Any], status: int
) -> None:
    async with link_house(tmp_path, operator.url, **limits) as house, alice(house) as sender:
        sent = await sender.send(upload(operator, b"small!", **changes))
        assert (sent.state, sent.status) == (MessageState.FAILED, status)
        assert house.views() == []


async def test_what_is_no_document(tmp_path: Path) -> None:
    async with link_house(tmp_path) as house, alice(house) as sender:
        sent = await sender.send(b"<file/>")
        assert (sent.state, sent.status) == (MessageState.FAILED, 400)


async def test_a_place_is_kept_as_it_is(tmp_path: Path) -> None:
    """D-FTH-07: an unknown type passes as an opaque attachment."""
    body = b"<rcsenvelope><rcspushlocation/></rcsenvelope>"
    async with link_house(tmp_path) as house, alice(house) as sender:
        assert (await sender.send(body, LOCATION)).state is MessageState.SENT
        view = await house.only("ready")
        assert (view.name, view.content_type) == ("location.xml", LOCATION)
        assert await fetch(await house.files.content(view.id)) == body


async def test_what_the_inviter_left_at_our_own_server(tmp_path: Path) -> None:
    """D-FTH-03: no detour over HTTP."""
    from gateway.fileservices import NewFile
    from gateway.services import Inviter

    async with link_house(tmp_path) as house, alice(house) as sender:
        own = OwnServer(house.room, Sealer({b"0123": bytes(32)}), LocalUsers([]), "cc.com", "http://gw.example")
        house.room.server = own
        inviter = Inviter("a", "sip:a@cc.com")
        coming = await own.begin(inviter, "tid-0123", NewFile("x.jpg", "image/jpeg", None))
        await coming.thumbnail("image/png", b"icon")
        await coming.write(DATA)
        await coming.finish()
        await sender.send(await own.description(inviter, "tid-0123"))
        view = await house.only("ready")
        assert (view.size, view.thumbnail) == (len(DATA), "image/png")
        assert await fetch(await house.files.content(view.id)) == DATA
        assert await fetch(await house.files.thumbnail(view.id)) == b"icon"


async def test_a_thumbnail_is_fetched_when_it_is_wanted(tmp_path: Path, operator: ContentServer) -> None:
    async with link_house(tmp_path, operator.url) as house, alice(house) as sender:
        icon = FtHttp.parse(upload(operator, b"icon")).file
        told = FtHttp.parse(upload(operator, b"small"))
        await sender.send(bytes(FtHttp(told.file, FileInfo(icon.url, 4, "image/png"))))
        view = await house.only("offered")
        assert view.thumbnail == "image/png"
        assert await fetch(await house.files.thumbnail(view.id)) == b"icon"
        assert await fetch(await house.files.thumbnail(view.id)) == b"icon"
        assert len(operator.requests) == 1


async def test_a_repeated_message_is_one_file(tmp_path: Path, operator: ContentServer) -> None:
    async with link_house(tmp_path, operator.url) as house, alice(house) as sender:
        told = upload(operator, b"small").decode()
        for _ in range(2):
            message = sender.chat.send(told, CONTENT_TYPE, message_id="same", notify=True)
            await until(lambda message=message: message.state is MessageState.SENT)  # type: ignore[misc]  # a lambda with a default
        assert len(house.views()) == 1


async def test_accepting_a_link_fetches_it(tmp_path: Path, operator: ContentServer) -> None:
    async with link_house(tmp_path, operator.url) as house, alice(house) as sender:
        await sender.send(upload(operator))
        view = await house.only("offered")
        await house.files.accept(view.id)
        await house.state(view.id, "ready")
        assert sender.notifications() == ["delivered"]
