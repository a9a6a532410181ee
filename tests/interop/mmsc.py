"""A multimedia message centre for tests: ours, as neither Debian nor PyPI nor npm has one that speaks MM7.

It is written from 3GPP TS 23.140 and shares no code with the driver: MIME is read by the standard library's e-mail
package, XML by ElementTree, and what the schema asks for is checked here.
"""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as tree
from collections import deque
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from typing import Self

import aiohttp
from aiohttp import web

HOST = "127.0.0.1"
NAMESPACE = "http://www.3gpp.org/ftp/Specs/archive/23_series/23.140/schema/REL-6-MM7-1-4"
ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"

ORDER = (
    "MM7Version SenderIdentification Recipients ServiceCode LinkedID MessageClass TimeStamp ReplyCharging "
    "EarliestDeliveryTime ExpiryDate DeliveryReport ReadReply Priority Subject ChargedParty ChargedPartyID "
    "DistributionIndicator DeliveryCondition ApplicID ReplyApplicID AuxApplicInfo ContentClass DRMContent Content"
).split()
"""Elements of a SubmitReq, in the order of the schema."""

ANSWER = """<?xml version="1.0"?>
<soapenv:Envelope xmlns:soapenv="{envelope}"><soapenv:Header>
<TransactionID xmlns="{namespace}" soapenv:mustUnderstand="1">{transaction}</TransactionID></soapenv:Header>
<soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"""

SUBMIT_RSP = """<SubmitRsp xmlns="{namespace}"><MM7Version>6.8.0</MM7Version>
<Status><StatusCode>1000</StatusCode><StatusText>Success</StatusText></Status><MessageID>{id}</MessageID></SubmitRsp>"""

ERROR_RSP = """<RSErrorRsp xmlns="{namespace}"><MM7Version>6.8.0</MM7Version>
<Status><StatusCode>{code}</StatusCode><StatusText>{text}</StatusText></Status></RSErrorRsp>"""

FAULT = """<soapenv:Fault><faultcode>soapenv:{side}</faultcode><faultstring>{text}</faultstring>
<detail>{detail}</detail></soapenv:Fault>"""

REPORT = """<DeliveryReportReq xmlns="{namespace}"><MM7Version>6.8.0</MM7Version><MessageID>{id}</MessageID>
<Recipient><Number>+4915187654321</Number></Recipient><Sender><ShortCode>12345</ShortCode></Sender>
<Date>2026-11-22T12:00:00Z</Date><MMStatus>{status}</MMStatus>{text}</DeliveryReportReq>"""


@dataclass
class Received:
    """A message as a phone would show it, and what came around it."""

    headers: dict[str, str]
    transaction: str
    recipient: str
    sender: str
    subject: str
    wants_report: bool
    expires: str
    text: str
    pictures: list[tuple[str, bytes]]


@dataclass
class Mmsc:
    """The centre. ``answers`` are bodies and HTTP statuses of the next answers; without one it takes what it gets."""

    answers: deque[tuple[int, str]] = field(default_factory=deque)
    received: asyncio.Queue[Received] = field(default_factory=asyncio.Queue)
    port: int = 0
    count: int = 0

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._handle))
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Where it takes messages."""
        return f"http://{HOST}:{self.port}/mm7"

    def refuse(self, code: int, text: str, *, status: int = 200, fault: str = "") -> None:
        """Answer the next message with an error; ``fault`` (Client or Server) puts it into a SOAP fault."""
        body = ERROR_RSP.format(namespace=NAMESPACE, code=code, text=text)
        if fault:
            body = FAULT.format(side=fault, text=text, detail=body if code else "")
        self.answers.append((status, self._answer(body, "any")))

    async def report(self, url: str, message_id: str, status: str, text: str = "") -> tuple[int, str, str]:
        """Tell the sender what became of a message; return status, kind of answer and its StatusCode."""
        told = f"<StatusText>{text}</StatusText>" if text else ""
        body = REPORT.format(namespace=NAMESPACE, id=message_id, status=status, text=told)
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=self._answer(body, "report-7"), headers=headers) as response,
        ):
            root = tree.fromstring(await response.text())
        assert root.findtext(f".//{{{NAMESPACE}}}TransactionID") == "report-7"
        kind = next(iter(root.find(f"{{{ENVELOPE}}}Body") or ())).tag.partition("}")[2]
        return response.status, kind, root.findtext(f".//{{{NAMESPACE}}}StatusCode") or ""

    def _answer(self, body: str, transaction: str) -> str:
        return ANSWER.format(envelope=ENVELOPE, namespace=NAMESPACE, transaction=transaction, body=body)

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        received = read_submit(dict(request.headers), await request.read())
        self.received.put_nowait(received)
        self.count += 1
        status, text = 200, ""
        if self.answers:
            status, text = self.answers.popleft()
        else:
            text = self._answer(SUBMIT_RSP.format(namespace=NAMESPACE, id=f"mms-{self.count}"), received.transaction)
        return web.Response(status=status, text=text, content_type="text/xml")


def read_submit(headers: dict[str, str], body: bytes) -> Received:
    """Read a request as the standard has it; AssertionError where it is not so."""
    head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
    outer = message_from_bytes(head + body, policy=policy.HTTP)
    assert outer.get_content_type() == "multipart/related" and not outer.defects
    assert outer.get_param("type") == "text/xml" and headers["SOAPAction"] == '""'
    soap, content = outer.iter_parts()
    assert isinstance(soap, EmailMessage) and isinstance(content, EmailMessage)
    assert soap.get_content_type() == "text/xml" and soap["Content-ID"] == outer.get_param("start")
    envelope = tree.fromstring(_octets(soap))
    assert envelope.tag == f"{{{ENVELOPE}}}Envelope"
    transaction = envelope.find(f"{{{ENVELOPE}}}Header/{{{NAMESPACE}}}TransactionID")
    assert transaction is not None and transaction.get(f"{{{ENVELOPE}}}mustUnderstand") == "1"
    submit = envelope.find(f"{{{ENVELOPE}}}Body/{{{NAMESPACE}}}SubmitReq")
    assert submit is not None
    names = [element.tag.removeprefix(f"{{{NAMESPACE}}}") for element in submit]
    assert names == sorted(names, key=ORDER.index), "the schema has an order"
    href = submit.find(f"{{{NAMESPACE}}}Content")
    assert href is not None and href.get("href") == f"cid:{content['Content-ID'].strip('<>')}"
    text, pictures = _shown(content)

    def value(path: str) -> str:
        return submit.findtext("/".join(f"{{{NAMESPACE}}}{name}" for name in path.split("/"))) or ""

    return Received(
        headers=headers,
        transaction=transaction.text or "",
        recipient=value("Recipients/To/Number"),
        sender=value("SenderIdentification/SenderAddress/ShortCode"),
        subject=value("Subject"),
        wants_report=value("DeliveryReport") == "true",
        expires=value("ExpiryDate"),
        text=text,
        pictures=pictures,
    )


def _shown(content: EmailMessage) -> tuple[str, list[tuple[str, bytes]]]:
    """Return the texts and pictures that the SMIL of a message shows."""
    assert content.get_content_type() == "multipart/related" and content.get_param("type") == "application/smil"
    parts = {part["Content-ID"]: part for part in content.iter_parts()}
    smil = parts[content.get_param("start")]
    assert smil.get_content_type() == "application/smil"
    root = tree.fromstring(_octets(smil))
    regions = {region.get("id") for region in root.iter("region")}
    shown: dict[str, list[EmailMessage]] = {"text": [], "img": []}
    for name, found in shown.items():
        for element in root.iter(name):
            assert element.get("region") in regions
            part = parts[f"<{(element.get('src') or '').removeprefix('cid:')}>"]
            assert isinstance(part, EmailMessage)
            found.append(part)
    pictures = [(part.get_content_type(), _octets(part)) for part in shown["img"]]
    texts = [_octets(part).decode(part.get_content_charset("us-ascii")) for part in shown["text"]]
    return "\n".join(texts), pictures


def _octets(part: Message) -> bytes:
    octets = part.get_payload(decode=True)
    assert isinstance(octets, bytes)
    return octets
