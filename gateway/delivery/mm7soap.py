"""The envelopes of MM7 (3GPP TS 23.140 §8.7 and annex L): SOAP 1.1, written and read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from sipstack.errors import ParseError
from sipstack.im import xmltree
from sipstack.im.xmltree import Element, write, write_value

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"

SUCCESS = frozenset({1000, 1100})
"""Taken; 1100 is for some of several recipients, and ours are one."""

UNSUPPORTED_OPERATION = 4003


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a centre compares letter by letter: its version and namespace (F-MM7-02)."""

    version: str
    namespace: str


@dataclass(frozen=True, slots=True)
class Submission:
    """What a SubmitReq says."""

    transaction_id: str
    recipient: str
    subject: str
    content_id: str
    expires: float
    """Unix seconds."""
    vasp_id: str = ""
    vas_id: str = ""
    sender: str = ""
    service_code: str = ""
    report: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What a centre has answered."""

    status: int
    """StatusCode, 0 where there is none."""
    text: str
    message_id: str = ""
    is_client_fault: bool = False
    """A SOAP fault that says that we are wrong."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a centre calls us with: a report, or something that we do not take."""

    kind: str
    """Name of the request, such as ``DeliveryReportReq``."""
    namespace: str
    transaction_id: str
    message_id: str = ""
    status: str = ""
    """MMStatus."""
    text: str = ""


def submit_envelope(submission: Submission, dialect: Dialect) -> bytes:
    """Return a SubmitReq, its elements in the order of the schema (F-MM7-03)."""
    expires = datetime.fromtimestamp(submission.expires, UTC)
    body = [
        _element("MM7Version", dialect.version),
        _element(
            "SenderIdentification",
            _optional("VASPID", submission.vasp_id)
            + _optional("VASID", submission.vas_id)
            + (_element("SenderAddress", _address(submission.sender), raw=True) if submission.sender else ""),
            raw=True,
        ),
        _element("Recipients", _element("To", _address(submission.recipient), raw=True), raw=True),
        _optional("ServiceCode", submission.service_code),
        _element("ExpiryDate", expires.strftime("%Y-%m-%dT%H:%M:%SZ")),
        _element("DeliveryReport", "true" if submission.report else "false"),
        _element("Subject", submission.subject),
        f'<mm7:Content href="cid:{write_value(submission.content_id)}" allowAdaptations="true"/>',
    ]
    return _envelope("SubmitReq", "".join(body), dialect.namespace, submission.transaction_id)


def answer_envelope(call: Call, dialect: Dialect, *, status: int = 1000, text: str = "Success") -> bytes:
    """Return the answer to a call: the matching …Rsp, or RSErrorRsp, with the same TransactionID (F-MM7-06)."""
    kind = f"{call.kind.removesuffix('Req')}Rsp" if status in SUCCESS else "RSErrorRsp"
    told = _element("StatusCode", str(status)) + _element("StatusText", text)
    body = _element("MM7Version", dialect.version) + _element("Status", told, raw=True)
    return _envelope(kind, body, call.namespace or dialect.namespace, call.transaction_id)


def read_answer(data: bytes) -> Answer:
    """Read a SubmitRsp, an RSErrorRsp or a SOAP fault (F-MM7-04). Raises ParseError."""
    content = _content(data)
    status = _text(content, "StatusCode")
    told = _text(content, "StatusText") or _text(content, "faultstring") or _text(content, "Details")
    number = int(status) if re.fullmatch(r"[0-9]{4}", status) else 0
    is_client_fault = content.name == "Fault" and "Client" in _text(content, "faultcode")
    if not number and content.name != "Fault":
        raise ParseError("MM7 answer", "has no StatusCode")
    return Answer(number, told, _text(content, "MessageID"), is_client_fault)


def read_call(data: bytes) -> Call:
    """Read what a centre calls us with. Raises ParseError."""
    envelope = _envelope_of(data)
    content = _content_of(envelope)
    return Call(
        kind=content.name,
        namespace=content.namespace,
        transaction_id=_text(envelope, "TransactionID"),
        message_id=_text(content, "MessageID"),
        status=_text(content, "MMStatus"),
        text=_text(content, "StatusText"),
    )


def _envelope(kind: str, body: str, namespace: str, transaction_id: str) -> bytes:
    return (
        f'{xmltree.DECLARATION}<env:Envelope xmlns:env="{SOAP}" xmlns:mm7="{write_value(namespace)}"><env:Header>'
        f'<mm7:TransactionID env:mustUnderstand="1">{write(transaction_id)}</mm7:TransactionID></env:Header>'
        f"<env:Body><mm7:{kind}>{body}</mm7:{kind}></env:Body></env:Envelope>"
    ).encode()


def _element(name: str, text: str, *, raw: bool = False) -> str:
    return f"<mm7:{name}>{text if raw else write(text)}</mm7:{name}>"


def _optional(name: str, text: str) -> str:
    return _element(name, text) if text else ""


def _address(text: str) -> str:
    """Return an address as the element of its kind."""
    if "@" in text:
        return _element("RFC2822Address", text)
    return _element("Number" if text.startswith("+") else "ShortCode", text)


def _envelope_of(data: bytes) -> Element:
    root = xmltree.parse("MM7 message", data)
    if root.name != "Envelope" or root.namespace != SOAP:
        raise ParseError("MM7 message", "is no SOAP 1.1 envelope")
    return root


def _content_of(envelope: Element) -> Element:
    body = next(envelope.all("Body"), None)
    if body is None or not body.children:
        raise ParseError("MM7 message", "has no body")
    return body.children[0]


def _content(data: bytes) -> Element:
    return _content_of(_envelope_of(data))


def _text(element: Element, name: str) -> str:
    """Return the text of the first element of that local name: centres disagree about namespaces inside."""
    return next((found.text.strip() for found in _below(element) if found.name == name), "")


def _below(element: Element) -> Iterator[Element]:
    for child in element.children:
        yield child
        yield from _below(child)
