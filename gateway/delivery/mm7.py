"""Links by MMS: a picture and a text, submitted to a multimedia message centre by MM7 (3GPP TS 23.140)."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

from gateway.config.channels import DeliveryMm7Section
from gateway.delivery.base import DeliveryOrder, DeliveryReceipt, ReceiptState
from gateway.delivery.httpcalls import UNCERTAIN, HttpAnswer, HttpCalls
from gateway.delivery.mm7content import Part, message_part, multipart, read_picture
from gateway.delivery.mm7soap import (
    SUCCESS,
    UNSUPPORTED_OPERATION,
    Answer,
    Dialect,
    Submission,
    answer_envelope,
    read_answer,
    read_call,
    submit_envelope,
)
from gateway.delivery.texts import mms_text, one_line
from gateway.drivers import Checked, DriverError
from sipstack import ids
from sipstack.errors import SipstackError

TEMPORARY = frozenset({3000, 4000, 4001, 4006, 4007})
"""StatusCodes after which the same message may go through later (F-MM7-05): server error, service error, service
unavailable; and identification refused and service denied, which an operator can put right in time. All others are
about the message and final."""

FINAL_STATUSES = frozenset({400, 413, 415})
"""HTTP statuses of an answer without SOAP that are about the message."""

STATES: dict[str, ReceiptState | None] = {
    "Retrieved": "delivered",
    "Expired": "failed",
    "Rejected": "failed",
    "Unreachable": "failed",
    "Unrecognised": "failed",
    "Deferred": None,
    "Indeterminate": None,
    "Forwarded": None,
}
"""MMStatus of a report → what it means for us; None: not over (F-MM7-06)."""

LONGEST_REASON = 200
"""Characters of a centre's words that an inviter gets to see."""


class Mm7Delivery:
    """:class:`gateway.delivery.base.DeliveryDriver` by MM7; reports come by :meth:`report`."""

    def __init__(
        self,
        section: DeliveryMm7Section,
        *,
        password: str = "",
        tls: ssl.SSLContext | None = None,
        picture: Path | None = None,
        receipts: bool = True,
    ) -> None:
        """``picture`` replaces ours; ``receipts``: the centre can report to us. Raises PictureError, OSError."""
        self.on_receipt: Callable[[DeliveryReceipt], None] | None = None
        self._section = section
        self._dialect = Dialect(section.version, section.namespace)
        self._picture = read_picture(picture)
        self._receipts = receipts and section.receipts
        self._calls = HttpCalls(username=section.username, password=password, tls=tls, timeout=section.timeout)

    async def send(self, order: DeliveryOrder) -> tuple[str, ...]:
        """Submit the message; each attempt has the same TransactionID, so that one is known again (F-MM7-07)."""
        subject, text = mms_text(order)
        transaction_id = hashlib.sha256(order.message_id.encode()).hexdigest()[:32]
        submission = Submission(
            transaction_id=transaction_id,
            recipient=order.address,
            subject=subject,
            content_id="content",
            expires=order.until,
            vasp_id=self._section.vasp_id,
            vas_id=self._section.vas_id,
            sender=self._section.sender,
            service_code=self._section.service_code,
            report=self._receipts,
        )
        boundary = f"mm7-{ids.token()}"
        envelope = Part("text/xml; charset=utf-8", "envelope", submit_envelope(submission, self._dialect))
        message = message_part(text, self._picture, content_id="content", boundary=f"mms-{ids.token()}")
        answer = await self._calls.call(
            "POST",
            self._section.url,
            headers={
                "SOAPAction": '""',
                "Content-Type": f'multipart/related; type="text/xml"; start="<envelope>"; boundary="{boundary}"',
            },
            data=multipart([envelope, message], boundary),
        )
        told = _judge(answer)
        return (told.message_id,) if self._receipts and told.message_id else ()

    async def check(self) -> Checked:
        """Ask whether somebody is there, and submit nothing (:class:`gateway.drivers.Checkable`)."""
        return await self._calls.check(self._section.url)

    async def close(self) -> None:
        """Close the connections."""
        await self._calls.close()

    async def report(self, query: Mapping[str, str], content_type: str, body: bytes) -> tuple[int, str, bytes]:
        """Take a delivery report; a read report says even more. Other calls are refused in MM7's own words."""
        try:
            call = read_call(body)
        except SipstackError as error:
            return 400, "text/plain; charset=utf-8", f"{error}\n".encode()
        media = "text/xml; charset=utf-8"
        if call.kind not in ("DeliveryReportReq", "ReadReplyReq"):
            refusal = answer_envelope(call, self._dialect, status=UNSUPPORTED_OPERATION, text="Unsupported operation")
            return 200, media, refusal
        state = "delivered" if call.kind == "ReadReplyReq" else STATES.get(call.status)
        if state is not None and call.message_id and self.on_receipt is not None:
            why = one_line(f"{call.status} {call.text}")[:LONGEST_REASON] if state == "failed" else ""
            self.on_receipt(DeliveryReceipt(call.message_id, state, why))
        return 200, media, answer_envelope(call, self._dialect)


def _judge(answer: HttpAnswer) -> Answer:
    """Return what a centre says that has taken the message; raises DriverError else."""
    try:
        told = read_answer(answer.body)
    except SipstackError:
        if 200 <= answer.status < 300:
            raise DriverError("The MMS centre's answer cannot be read.", temporary=True, certain=False) from None
        final = answer.status in FINAL_STATUSES
        certain = answer.status not in UNCERTAIN
        text = f"The MMS centre answered HTTP {answer.status}"
        raise DriverError(text, temporary=not final, certain=certain) from None
    if told.status in SUCCESS:
        return told
    reason = one_line(f"{told.status or 'fault'} {told.text}")[:LONGEST_REASON]
    temporary = told.status in TEMPORARY if told.status else not told.is_client_fault
    raise DriverError(f"The MMS centre answered {reason}", temporary=temporary)
