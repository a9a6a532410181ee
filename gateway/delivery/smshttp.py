"""Links by SMS: an HTTP request made from the operator's template, such as Kannel's sendsms."""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from gateway.config.channels import DeliverySmsHttpSection
from gateway.delivery import gsm
from gateway.delivery.base import DeliveryOrder, DeliveryReceipt, ReceiptState
from gateway.delivery.httpcalls import UNCERTAIN, HttpAnswer, HttpCalls
from gateway.delivery.texts import one_line, sms_text
from gateway.drivers import Checked, DriverError
from gateway.placeholders import fill

LONGEST_REASON = 200
"""Characters of an answer that an inviter gets to see."""


class HttpSmsDelivery:
    """:class:`gateway.delivery.base.DeliveryDriver` by HTTP; receipts come by :meth:`report`."""

    def __init__(
        self,
        section: DeliverySmsHttpSection,
        *,
        password: str = "",
        tls: ssl.SSLContext | None = None,
        receipt_url: str = "",
    ) -> None:
        """``receipt_url`` is where the service can call us; without it no receipt is waited for."""
        self.on_receipt: Callable[[DeliveryReceipt], None] | None = None
        self._section = section
        self._receipt_url = receipt_url
        self._calls = HttpCalls(username=section.username, password=password, tls=tls, timeout=section.timeout)

    async def send(self, order: DeliveryOrder) -> tuple[str, ...]:
        """Send the request; its answer says whether the service has taken the message."""
        section = self._section
        values = self._values(order)
        content: dict[str, Any] = {"params": fill(section.query, values)}
        if section.form:
            content["data"] = fill(section.form, values)
        elif section.json:
            content["json"] = fill(section.json, values)
        headers = {name: one_line(value) for name, value in fill(section.headers, values).items()}
        answer = await self._calls.call(section.method, section.url, headers=headers, **content)
        self._judge(answer, order)
        return self._references(answer, values["id"])

    async def check(self) -> Checked:
        """Ask whether somebody is there, and submit nothing (:class:`gateway.drivers.Checkable`)."""
        return await self._calls.check(self._section.url)

    async def close(self) -> None:
        """Close the connections."""
        await self._calls.close()

    async def report(self, query: Mapping[str, str], content_type: str, body: bytes) -> tuple[int, str, bytes]:
        """Take a receipt from the query, a form or JSON; states that are not final are taken and forgotten."""
        section = self._section
        told: Any = {**query}
        try:
            told |= _fields(content_type, body)
        except (ValueError, TypeError):
            return 400, "text/plain", b"the body cannot be read\n"
        reference, state = _pick(told, section.receipt_id), _pick(told, section.receipt_state)
        if not reference or not state:
            missing = section.receipt_id if not reference else section.receipt_state
            return 400, "text/plain", f"there is no {missing}\n".encode()
        final: ReceiptState | None = None
        if state in section.receipt_delivered:
            final = "delivered"
        elif state in section.receipt_failed:
            final = "failed"
        if final is not None and self.on_receipt is not None:
            why = one_line(_pick(told, section.receipt_text))[:LONGEST_REASON] or f"state {one_line(state)[:20]}"
            self.on_receipt(DeliveryReceipt(reference, final, why if final == "failed" else ""))
        return 200, "text/plain", b""

    def _values(self, order: DeliveryOrder) -> dict[str, str]:
        """Return what the placeholders stand for."""
        text = sms_text(order)
        is_unicode = gsm.encode(text) is None
        return {
            "to": order.address,
            "to_digits": order.address.removeprefix("+"),
            "from": self._section.sender,
            "text": text,
            "id": hashlib.sha256(order.message_id.encode()).hexdigest()[:32],
            "receipt_url": self._receipt_url,
            "language": order.language,
            "coding": "2" if is_unicode else "0",
            "unicode": "true" if is_unicode else "false",
        }

    def _judge(self, answer: HttpAnswer, order: DeliveryOrder) -> None:
        """Return where the service has taken the message, else raise DriverError."""
        section = self._section
        told = f"{answer.status} {_reason(answer, order)}".rstrip()
        if section.final_body and re.search(section.final_body, answer.text):
            raise DriverError(f"The SMS service has refused it: {told}", temporary=False)
        if answer.status not in section.success:
            temporary, certain = answer.status not in section.final, answer.status not in UNCERTAIN
            raise DriverError(f"The SMS service answered {told}", temporary=temporary, certain=certain)
        if section.success_body and not re.search(section.success_body, answer.text):
            raise DriverError(f"The SMS service answered {told}", temporary=True)

    def _references(self, answer: HttpAnswer, own: str) -> tuple[str, ...]:
        if not self._section.receipts or not self._receipt_url:
            return ()
        if not self._section.reference:
            return (own,)
        found = re.search(self._section.reference, answer.text)
        return (found[1],) if found is not None and found[1] else ()


def _reason(answer: HttpAnswer, order: DeliveryOrder) -> str:
    """Return the beginning of an answer, unless it repeats the secret of the link."""
    text = one_line(answer.text)
    secret = (order.short_link or order.link).rpartition("/")[2]
    return "" if secret in text or (order.password and order.password in text) else text[:LONGEST_REASON]


def _fields(content_type: str, body: bytes) -> dict[str, Any]:
    """Read a body. Raises ValueError or TypeError."""
    kind = content_type.partition(";")[0].strip().lower()
    if not body:
        return {}
    if kind == "application/json" or kind.endswith("+json"):
        told = msgspec.json.decode(body)
        return {**told} if isinstance(told, dict) else {str(number): item for number, item in enumerate(told)}
    return dict(parse_qsl(body.decode("utf-8")))


def _pick(told: Any, path: str) -> str:
    """Return what stands at a path such as ``results.0.status``, empty where nothing does; a name may have dots too."""
    if isinstance(told, dict) and isinstance(told.get(path), str):
        return str(told[path])
    for part in path.split("."):
        if isinstance(told, dict):
            told = told.get(part)
        elif isinstance(told, list) and part.isdigit() and int(part) < len(told):
            told = told[int(part)]
        else:
            return ""
    if isinstance(told, bool):
        return "true" if told else "false"
    return str(told) if isinstance(told, str | int | float) else ""
