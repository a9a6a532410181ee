"""Delivery receipts of SMPP 3.4: what became of a short message, from optional parameters or from the text."""

from __future__ import annotations

import re
from typing import Literal

from gateway.delivery.base import DeliveryReceipt, ReceiptState
from gateway.delivery.smpppdu import MESSAGE_PAYLOAD, MESSAGE_STATE, RECEIPTED_MESSAGE_ID, Pdu

IdForm = Literal["text", "decimal", "hex"]
"""How a server writes its message ids. Some answer with one form and report with another: ``decimal`` and ``hex`` make
one number of both, ``text`` compares as it is."""

TYPE_MASK = 0x3C
RECEIPT = 0x04
"""Message type in ``esm_class`` (SMPP 3.4 §5.2.12)."""

STATES: dict[int, tuple[str, ReceiptState | None]] = {
    1: ("ENROUTE", None),
    2: ("DELIVRD", "delivered"),
    3: ("EXPIRED", "failed"),
    4: ("DELETED", "failed"),
    5: ("UNDELIV", "failed"),
    6: ("ACCEPTD", None),
    7: ("UNKNOWN", None),
    8: ("REJECTD", "failed"),
}
"""message_state (SMPP 3.4 §5.2.28) → its name in the text (Appendix B) and what that means for us; None: not over."""

_BY_NAME = dict(STATES.values()) | {"DELIVERED": "delivered", "UNDELIVERABLE": "failed", "REJECTED": "failed"}
_ID = re.compile(r"\bid:\s*(\S+)", re.IGNORECASE)
_STATE = re.compile(r"\bstat:\s*([A-Z]+)", re.IGNORECASE)
_ERROR = re.compile(r"\berr:\s*([0-9A-Za-z]+)", re.IGNORECASE)


def is_receipt(pdu: Pdu) -> bool:
    """Tell a receipt from a message that somebody has sent."""
    return pdu.number("esm_class") & TYPE_MASK == RECEIPT or RECEIPTED_MESSAGE_ID in pdu.options


def read_receipt(pdu: Pdu, *, submit_id: IdForm = "text", receipt_id: IdForm = "text") -> DeliveryReceipt | None:
    """Read a receipt; None where it is not the last one, or says nothing that can be used.

    The optional parameter has the id as ``submit_sm_resp`` wrote it, ``submit_id``; the text has it as ``receipt_id``.
    """
    text = _text(pdu)
    if reference := pdu.option_text(RECEIPTED_MESSAGE_ID):
        reference = normal_id(reference, submit_id)
    elif found := _ID.search(text):
        reference = normal_id(found[1], receipt_id)
    else:
        return None
    name, state = _state(pdu, text)
    if state is None:
        return None
    error = _ERROR.search(text)
    why = f"{name}, error {error[1]}" if error is not None and error[1].strip("0") else name
    return DeliveryReceipt(reference, state, "" if state == "delivered" else why)


def normal_id(text: str, form: IdForm) -> str:
    """Return a message id such that two ways of writing it are equal; what is not of its form stays as it is."""
    text = text.strip()
    if form == "text":
        return text
    try:
        return str(int(text, 10 if form == "decimal" else 16))
    except ValueError:
        return text


def _state(pdu: Pdu, text: str) -> tuple[str, ReceiptState | None]:
    option = pdu.options.get(MESSAGE_STATE, b"")
    if len(option) == 1 and option[0] in STATES:
        return STATES[option[0]]
    found = _STATE.search(text)
    name = found[1].upper() if found is not None else ""
    return name, _BY_NAME.get(name)


def _text(pdu: Pdu) -> str:
    octets = pdu.fields.get("short_message") or pdu.options.get(MESSAGE_PAYLOAD, b"")
    return octets.decode("utf-16-be" if pdu.number("data_coding") == 8 else "latin-1", "replace")
