"""CPIM, IMDN and isComposing in a session with the target (:rfc:`3862`, :rfc:`5438`, :rfc:`3994`)."""

from __future__ import annotations

import re

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import case
from gateway.lab.conformance.msrpside import is_chunk
from gateway.lab.conformance.msrpsteps import Session, cpim, response_to, session, visited, written
from sipstack import ids
from sipstack.errors import RemoteProtocolError
from sipstack.im.cpim import CpimMessage
from sipstack.im.imdn import CONTENT_TYPE as IMDN
from sipstack.im.imdn import Disposition, Imdn
from sipstack.im.iscomposing import CONTENT_TYPE as COMPOSING
from sipstack.im.iscomposing import ComposingState, IsComposing

SUITE = "im"
MSRP = {"msrp"}
CPIM = "message/cpim"

SENT_AT = "2026-11-22T10:15:30Z"
"""DateTime of our messages."""

_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


async def wrapping_session(bench: Bench) -> Session:
    """Return a session with a target that takes CPIM."""
    chat = await session(bench)
    if not chat.media.accepts(CPIM):
        bench.not_applicable("the target does not take message/cpim")
    return chat


async def notifications(chat: Session, within: float) -> list[tuple[CpimMessage, Imdn]]:
    """Answer what the target sends for a while, and return the notifications in it."""
    found = []
    end = chat.bench.now() + within
    while (received := await chat.link.receive(max(0.0, end - chat.bench.now()), is_chunk)) is not None:
        chunk = received.chunk
        chat.link.send(response_to(chunk, chat.path))
        if chunk.body and (chunk.content_type or "").startswith(CPIM):
            message = CpimMessage.parse(chunk.body)
            if message.content_type.startswith(IMDN):
                found.append((message, Imdn.parse(message.content)))
    return found


@case(
    "IM-CPM-001",
    "RFC 3862 §2, RFC 4975 §13",
    suite=f"{SUITE}.cpim",
    roles=MSRP,
    rules=("D-CPM-01", "D-CPM-10"),
    purpose="Who lists message/cpim takes wrapped text.",
    expects="200",
)
async def wrapped_text(bench: Bench) -> None:
    chat = await wrapping_session(bench)
    await chat.taken(chat.chunk(cpim("wrapped"), CPIM), what="text in CPIM")


@case(
    "IM-CPM-002",
    "RFC 3862 §3.4, §4.6",
    suite=f"{SUITE}.cpim",
    roles=MSRP,
    rules=("D-CPM-06",),
    purpose="Headers of an unknown name space are passed over.",
    expects="200",
)
async def headers_of_another_name_space(bench: Bench) -> None:
    chat = await wrapping_session(bench)
    headers = (("NS", "conf <urn:example:conformance>"), ("conf.Colour", "green"))
    await chat.taken(chat.chunk(cpim("with colour", headers), CPIM), what="CPIM with headers of another name space")


@case(
    "IM-CPM-003",
    "RFC 3862 §4.7",
    suite=f"{SUITE}.cpim",
    roles=MSRP,
    rules=("D-CPM-07",),
    purpose="What requires a header that the target does not know is not taken.",
    expects="An error response; 415 names it best.",
)
async def required_header_that_is_unknown(bench: Bench) -> None:
    chat = await wrapping_session(bench)
    headers = (("NS", "conf <urn:example:conformance>"), ("Require", "conf.Colour"), ("conf.Colour", "green"))
    answer = await chat.answer(chat.chunk(cpim("requires colour", headers), CPIM))
    bench.check(answer.response.status >= 300, "a message that requires an unknown header is taken")
    if answer.response.status != 415:
        bench.remark(f"a message that requires an unknown header gets {answer.response.status}, not 415")


@case(
    "IM-CPM-004",
    "RFC 3862 §2.1, RFC 4975 §10.2",
    suite=f"{SUITE}.cpim",
    roles=MSRP,
    rules=("D-CPM-12", "C-BAD-12"),
    purpose="CPIM without From, To and a content is none.",
    expects="400, and the session goes on.",
)
async def cpim_that_is_none(bench: Bench) -> None:
    chat = await wrapping_session(bench)
    answer = await chat.answer(chat.chunk(b"this is no CPIM at all", CPIM))
    if answer.response.status != 400:
        bench.remark(f"CPIM that does not parse gets {answer.response.status}, not 400")
    await chat.alive()


@case(
    "IM-CPM-005",
    "RFC 4975 §8.6, §10.6",
    suite=f"{SUITE}.cpim",
    roles=MSRP,
    rules=("C-BAD-12", "C-SES-03"),
    purpose="The type inside a wrapper has to be listed, too.",
    expects="415, and the session goes on.",
)
async def wrapped_type_that_is_not_listed(bench: Bench) -> None:
    chat = await wrapping_session(bench)
    unknown = "application/x-conformance"
    if chat.media.accepts_wrapped(unknown):
        bench.not_applicable("the target takes every wrapped type")
    answer = await chat.answer(chat.chunk(cpim("unknown", content_type=unknown), CPIM))
    bench.check(answer.response.status == 415, f"an unlisted wrapped type gets {answer.response.status}, not 415")
    await chat.alive()


@case(
    "IM-CPM-006",
    "RFC 3862 §2–4, RFC 5438 §6",
    suite=f"{SUITE}.cpim",
    roles={"msrp", "uac"},
    rules=("D-CPM-04", "D-CPM-05", "D-IMD-02"),
    purpose="What the target wraps has all that a receiver needs.",
    expects="From, To, a DateTime as RFC 3339 has it; a Message-ID where notifications are asked for.",
)
async def cpim_of_the_target(bench: Bench) -> None:
    chat, first = await visited(bench)
    chunks = await written(chat, first)
    if not (chunks[0].content_type or "").startswith(CPIM):
        bench.not_applicable("the target does not wrap what it sends")
    try:
        message = CpimMessage.parse(b"".join(chunk.body for chunk in chunks))
    except RemoteProtocolError as error:
        bench.fail(f"the target's CPIM does not parse: {error}")
    when = message.datetime
    bench.check(when is None or _DATE.fullmatch(when), f"DateTime {when} is none")
    asks = message.get("Disposition-Notification", "urn:ietf:params:imdn")
    if asks is not None:
        bench.check(message.imdn_message_id, "notifications are asked for, but there is no Message-ID")
        bench.check(when is not None, "notifications are asked for, but there is no DateTime")


@case(
    "IM-IMD-001",
    "RFC 5438 §7.2.1, §11",
    suite=f"{SUITE}.imdn",
    roles=MSRP,
    rules=("D-IMD-05", "D-IMD-03"),
    purpose="Who is asked to notify of delivery does it.",
    expects="One notification 'delivered' with the id and the DateTime of the message.",
)
async def notification_of_delivery(bench: Bench) -> None:
    chat = await wrapping_session(bench)
    if not chat.media.accepts_wrapped(IMDN):
        bench.not_applicable("the target does not list message/imdn+xml")
    message_id = ids.message_id()
    body = cpim("notify me", (("imdn.Disposition-Notification", "positive-delivery"),), message_id=message_id)
    await chat.taken(chat.chunk(body, CPIM))
    found = await notifications(chat, bench.options.patience)
    about = [(message, imdn) for message, imdn in found if imdn.message_id == message_id]
    if not found:
        bench.not_applicable("the target sends no notifications")
    bench.check(len(about) == 1, f"{len(about)} notifications come about one message")
    message, imdn = about[0]
    bench.check(imdn.disposition is Disposition.DELIVERED, f"the notification says {imdn.disposition.value}")
    bench.check(imdn.datetime == SENT_AT, f"the notification has DateTime {imdn.datetime}, not that of the message")
    asks = message.get("Disposition-Notification", "urn:ietf:params:imdn")
    bench.check(asks is None, "the notification asks for notifications itself (§8)")


@case(
    "IM-IMD-002",
    "RFC 5438 §7.2.1",
    suite=f"{SUITE}.imdn",
    roles=MSRP,
    rules=("D-IMD-01",),
    purpose="Nobody is notified who did not ask.",
    expects="No notification.",
)
async def no_notification_unasked(bench: Bench) -> None:
    chat = await wrapping_session(bench)
    await chat.taken(chat.chunk(cpim("do not notify me"), CPIM))
    bench.check(not await notifications(chat, 3 * bench.options.t1), "a notification comes that nobody asked for")


@case(
    "IM-IMD-003",
    "RFC 5438 §8, §12",
    suite=f"{SUITE}.imdn",
    roles=MSRP,
    rules=("D-IMD-06",),
    purpose="Nothing is notified about a notification.",
    expects="The notification is taken, and none comes about it.",
)
async def no_notification_about_a_notification(bench: Bench) -> None:
    chat = await wrapping_session(bench)
    if not chat.media.accepts_wrapped(IMDN):
        bench.not_applicable("the target does not list message/imdn+xml")
    told = Imdn(ids.message_id(), "delivery", Disposition.DELIVERED, SENT_AT)
    asks = (("imdn.Disposition-Notification", "positive-delivery"),)
    body = cpim(bytes(told).decode(), asks, IMDN, message_id=ids.message_id())
    await chat.taken(chat.chunk(body, CPIM), what="a notification about nothing that is known")
    bench.check(not await notifications(chat, 3 * bench.options.t1), "a notification comes about a notification")


@case(
    "IM-ISC-001",
    "RFC 3994 §4, RFC 4975 §8.6",
    suite=f"{SUITE}.iscomposing",
    roles=MSRP,
    rules=("D-ISC-01",),
    purpose="Who lists isComposing takes it.",
    expects="200 to active and to idle.",
)
async def composing_is_taken(bench: Bench) -> None:
    chat = await session(bench)
    bare, wrapped = chat.media.accepts(COMPOSING), chat.media.accepts_wrapped(COMPOSING)
    if not bare and not (wrapped and chat.media.accepts(CPIM)):
        bench.not_applicable("the target does not list application/im-iscomposing+xml")
    for state in (ComposingState.ACTIVE, ComposingState.IDLE):
        document = bytes(IsComposing(state, "text/plain", 60 if state is ComposingState.ACTIVE else None))
        if bare:
            chunk = chat.chunk(document, COMPOSING)
        else:
            chunk = chat.chunk(cpim(document.decode(), content_type=COMPOSING), CPIM)
        await chat.taken(chunk, what=f"isComposing {state.value}")


@case(
    "IM-ISC-002",
    "RFC 3994 §4",
    suite=f"{SUITE}.iscomposing",
    roles=MSRP,
    rules=("D-ISC-01",),
    purpose="Unknown states and elements do no harm.",
    expects="A response, and the session goes on.",
)
async def composing_of_another_kind(bench: Bench) -> None:
    chat = await session(bench)
    if not chat.media.accepts(COMPOSING):
        bench.not_applicable("the target does not list application/im-iscomposing+xml")
    document = (
        '<?xml version="1.0" encoding="UTF-8"?><isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing">'
        '<state>pondering</state><refresh>never</refresh><mood xmlns="urn:example:conformance">good</mood>'
        "</isComposing>"
    )
    await chat.answer(chat.chunk(document.encode(), COMPOSING))
    await chat.alive()
