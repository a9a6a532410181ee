"""Offer, answer and connections of MSRP sessions (:rfc:`4975#section-5.4` and 8, :rfc:`6135`)."""

from __future__ import annotations

from gateway.lab.conformance.bench import Bench, sdp
from gateway.lab.conformance.case import case
from gateway.lab.conformance.msrpside import answers_to, is_chunk
from gateway.lab.conformance.msrpsteps import (
    Session,
    called,
    media_of,
    refused,
    response_to,
    session,
    visited,
    visiting,
)
from gateway.lab.conformance.peer import Received, answers
from gateway.lab.conformance.rawdialog import RawDialog
from gateway.lab.conformance.sipsteps import need_success
from sipstack.errors import ParseError
from sipstack.sdp import SessionDescription

SUITE = "msrp.sessions"
MSRP = {"msrp"}

LEAST_SESSION_ID = 10
"""Characters that can hold 80 random bits only if there are at least so many (§14.1)."""


async def offered(bench: Bench, body: bytes) -> Received:
    """Call with a description of one's own and return the answer; a call that is taken is ended."""
    peer = await bench.sip.peer()
    invite = peer.request("INVITE", body=body)
    answer = await peer.exchange(invite)
    if answer.response.status < 300:
        dialog = RawDialog.calling(peer, invite, answer.response)
        bench.later(dialog.hangup)
        await dialog.send(dialog.ack())
    return answer


@case(
    "MSRP-SES-001",
    "RFC 4975 §8.1–8.3, §8.6",
    suite=SUITE,
    roles=MSRP,
    rules=("C-SES-02", "C-SES-03", "C-URI-01", "C-URI-03"),
    purpose="The answer describes an MSRP medium.",
    expects="m=message with a port, TCP/MSRP or TCP/TLS/MSRP and *, accept-types, a path whose port is written out.",
)
async def answer_describes_a_session(bench: Bench) -> None:
    peer = await bench.sip.peer()
    path = str(await bench.msrp.listen())
    invite = peer.request("INVITE", body=sdp(bench.sip.host, path=path, setup="active"))
    answer = await peer.exchange(invite)
    need_success(bench, answer)
    dialog = RawDialog.calling(peer, invite, answer.response)
    bench.later(dialog.hangup)
    await dialog.send(dialog.ack())
    chats = [medium for medium in SessionDescription.parse(answer.response.body).media if medium.media == "message"]
    if not chats or not chats[0].port:
        bench.not_applicable("the target takes the call, but not its MSRP")
    bench.check(chats[0].formats == ("*",), f"the formats of m= are {' '.join(chats[0].formats)}, not *")
    bench.check(chats[0].attribute("accept-types"), "there is no accept-types")
    media = media_of(bench, answer.response.body)
    last = media.path[-1]
    bench.check(all(uri.port for uri in media.path), "a URI of the path has no port")
    bench.check(last.session_id, "the last URI of the path has no session-id")
    if len(last.session_id or "") < LEAST_SESSION_ID:
        bench.remark(f"the session-id {last.session_id} is too short for 80 random bits")


@case(
    "MSRP-SES-002",
    "RFC 6135 §4.2.2, RFC 4145 §4.1",
    suite=SUITE,
    roles=MSRP,
    rules=("C-SET-02",),
    purpose="To an offer of active the answer is passive.",
    expects="a=setup:passive, or none from who knows RFC 4975 only.",
)
async def answer_to_active(bench: Bench) -> None:
    *_, media, _ = await called(bench, setup="active")
    bench.check(media.setup in ("passive", None), f"active is answered with {media.setup}")


@case(
    "MSRP-SES-003",
    "RFC 6135 §4.2.2, RFC 4145 §4.1",
    suite=SUITE,
    roles=MSRP,
    rules=("C-SET-02",),
    purpose="To an offer of actpass the answer is active or passive.",
    expects="a=setup:active or passive, or none from who knows RFC 4975 only.",
)
async def answer_to_actpass(bench: Bench) -> None:
    *_, media, _ = await called(bench, setup="actpass")
    bench.check(media.setup in ("passive", "active", None), f"actpass is answered with {media.setup}")


@case(
    "MSRP-SES-004",
    "RFC 6135 §4.2.2, RFC 4975 §5.4",
    suite=SUITE,
    roles={"msrp", "uac"},
    rules=("C-SET-01",),
    purpose="Who connects sends a request at once, so that the other knows whose connection it is.",
    expects="A SEND to our path, from the target's path, as the first on the connection.",
)
async def active_side_speaks_first(bench: Bench) -> None:
    chat = await visiting(bench, "Hello from the target", must=True)
    chunk = (await chat.link.expect(is_chunk, "the target connects, but sends nothing")).chunk
    bench.check(chunk.to_path == chat.path, f"To-Path of the first SEND is {chunk.to_path}, not {chat.path}")
    bench.check(chunk.from_path == chat.remote, f"From-Path of the first SEND is {chunk.from_path}, not {chat.remote}")
    if chunk.flag:
        chat.link.send(response_to(chunk, chat.path))


@case(
    "MSRP-SES-005",
    "RFC 3264 §6, RFC 4975 §8",
    suite=SUITE,
    roles=MSRP,
    rules=("A-OA-01",),
    purpose="The answer has the media of the offer in their order; those that are not wanted have port 0.",
    expects="As many m= lines as were offered, of the same kinds.",
)
async def chat_beside_another_medium(bench: Bench) -> None:
    path = str(await bench.msrp.listen())
    body = sdp(bench.sip.host, path=path, setup="active") + b"m=application 40000 udp x-conformance\r\n"
    answer = await offered(bench, body)
    need_success(bench, answer)
    try:
        media = SessionDescription.parse(answer.response.body).media
    except ParseError as error:
        bench.fail(f"the answer's description does not parse: {error}")
    kinds = [medium.media for medium in media]
    bench.check(kinds == ["message", "application"], f"message and application were offered, {kinds} is answered")
    bench.check(media[1].port == 0, "a medium that nobody knows is taken")


@case(
    "MSRP-SES-006",
    "RFC 4975 §8.6",
    suite=SUITE,
    roles=MSRP,
    rules=("C-SES-04",),
    purpose="Without a type that both take there is no session.",
    expects="488, or a medium with port 0.",
)
async def no_type_in_common(bench: Bench) -> None:
    path = str(await bench.msrp.listen())
    body = sdp(bench.sip.host, path=path, setup="active")
    lines = [line for line in body.split(b"\r\n") if not line.startswith((b"a=accept-types", b"a=accept-wrapped"))]
    answer = await offered(bench, b"\r\n".join([*lines[:-1], b"a=accept-types:application/x-conformance", b""]))
    if answer.response.status in (200, 202) and not refused(bench, answer):
        media = media_of(bench, answer.response.body)
        bench.check(
            media.accepts("application/x-conformance"), "a session is made though no type is listed by both sides"
        )


@case(
    "MSRP-SES-007",
    "RFC 4975 §5.4",
    suite=SUITE,
    roles=MSRP,
    rules=("C-SET-04",),
    purpose="One connection may carry several sessions.",
    expects="200 in both sessions; the first is not disturbed when the second ends.",
)
async def two_sessions_by_one_connection(bench: Bench) -> None:
    first = await session(bench)
    second = await session(bench, link=first.link)
    await second.alive()
    await first.alive()
    await second.dialog.hangup()
    await first.alive()


@case(
    "MSRP-SES-008",
    "RFC 4975 §5.4",
    suite=SUITE,
    roles=MSRP,
    rules=("C-SET-06",),
    purpose="A session ends with its dialog.",
    expects="481 to what comes behind BYE, or the connection is closed.",
)
async def session_that_has_ended(bench: Bench) -> None:
    chat = await session(bench)
    await chat.dialog.hangup()
    if await chat.link.hangup(bench.options.t1):
        return
    chunk = chat.message("too late")
    chat.link.send(chunk)
    received = await chat.link.receive(None, answers_to(chunk.transaction_id))
    bench.check(
        chat.link.closed or (received is not None and received.response.status == 481),
        f"a SEND behind BYE is answered with {received.response.status if received else 'nothing'}, not 481",
    )


@case(
    "MSRP-SES-009",
    "RFC 4975 §8.4, RFC 3264 §8",
    suite=SUITE,
    roles=MSRP,
    rules=("C-SES-01",),
    purpose="A re-INVITE that changes nothing leaves session and connection alone.",
    expects="200, and the same connection goes on.",
)
async def refresh_that_changes_nothing(bench: Bench) -> None:
    chat = await session(bench)
    offer = chat.dialog.invite.body
    reinvite = chat.dialog.request("INVITE", body=offer)
    answer = await chat.peer.exchange(reinvite)
    status = answer.response.status
    bench.check(status < 300, f"a re-INVITE with the offer unchanged is answered with {status}")
    await chat.peer.send(chat.dialog.ack(cseq=reinvite.cseq.number))
    await chat.alive()


@case(
    "MSRP-SES-010",
    "RFC 4975 §5.4",
    suite=SUITE,
    roles=MSRP,
    rules=("C-SET-05",),
    purpose="A connection that breaks ends its sessions, not the target.",
    expects="The target can be called again.",
)
async def connection_that_breaks(bench: Bench) -> None:
    chat = await session(bench)
    chat.link.send(bytes(chat.message("in the middle"))[:-20])
    chat.link.close()
    second = await session(bench)
    await second.alive()


@case(
    "MSRP-SES-011",
    "RFC 6135 §4.4",
    suite=SUITE,
    roles=MSRP,
    rules=("C-SET-03",),
    purpose="a=connection has no meaning for MSRP.",
    expects="An answer without it, and a session by a new connection.",
)
async def connection_attribute_is_ignored(bench: Bench) -> None:
    peer, path, media, dialog = await called(bench, setup="active", extra="a=connection:existing\r\n")
    link = await bench.msrp.connect(media.path[0].host_port, secure=media.secure)
    await Session(bench, peer, dialog, link, path, media).alive()


@case(
    "MSRP-SES-012",
    "RFC 4975 §8.2, §9",
    suite=SUITE,
    roles=MSRP,
    rules=("C-WS-01",),
    purpose="Of a path only the nearest hop has to be understood.",
    expects="The call is taken though the second URI of our path has a transport that nobody knows.",
)
async def path_with_an_unknown_transport_behind(bench: Bench) -> None:
    path = str(await bench.msrp.listen())
    far = f"{path.rpartition(';')[0].replace('msrp://', 'msrps://')};ws"
    answer = await offered(bench, sdp(bench.sip.host, path=f"{path} {far}", setup="active"))
    status = answer.response.status
    if status in (405, 415, 501, 606):
        bench.not_applicable(f"the target answers our call with {status}")
    bench.check(status < 300, f"an offer whose path leads on by ;ws is answered with {status}")


@case(
    "MSRP-SES-013",
    "RFC 4975 §7.1.1, §13",
    suite=SUITE,
    roles={"msrp", "uac"},
    rules=("C-SES-04",),
    purpose="The target sends no type that we have not listed.",
    expects="Each message of the target has one of the types of our answer.",
)
async def types_of_the_target(bench: Bench) -> None:
    chat, first = await visited(bench)
    received = first
    for _ in range(3):
        chunk = received.chunk
        if chunk.flag:
            chat.link.send(response_to(chunk, chat.path))
        if chunk.body:
            name = (chunk.content_type or "").partition(";")[0].strip().lower()
            known = ("message/cpim", "text/plain", "application/im-iscomposing+xml")
            bench.check(name in known, f"a SEND of type {name} comes, which our answer has not listed")
            return
        following = await chat.link.receive(bench.options.answer_time, is_chunk)
        if following is None:
            break
        received = following
    bench.not_applicable("the target writes nothing")


@case(
    "MSRP-SES-014",
    "RFC 4975 §8.6, RFC 3261 §13.3.1.3",
    suite=SUITE,
    roles=MSRP,
    rules=("C-SES-03", "A-INV-07"),
    purpose="An offer without accept-types is none.",
    expects="488, or a medium with port 0, and no session.",
)
async def offer_without_types(bench: Bench) -> None:
    path = str(await bench.msrp.listen())
    body = sdp(bench.sip.host, path=path, setup="active")
    lines = [line for line in body.split(b"\r\n") if not line.startswith((b"a=accept-types", b"a=accept-wrapped"))]
    peer = await bench.sip.peer()
    invite = peer.request("INVITE", body=b"\r\n".join(lines))
    await peer.send(invite)
    answer = await peer.need(answers(invite, least=200), "the target does not answer an INVITE")
    if answer.response.status >= 300:
        await peer.send(peer.ack(invite, answer.response))
        return
    dialog = RawDialog.calling(peer, invite, answer.response)
    bench.later(dialog.hangup)
    await dialog.send(dialog.ack())
    if not refused(bench, answer):
        bench.remark("an offer without accept-types is taken")
