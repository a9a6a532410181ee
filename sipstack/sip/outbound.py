"""Registrations by flows (:rfc:`5626`), and URIs that lead to one device from anywhere (:rfc:`5627`)."""

from __future__ import annotations

from sipstack import ids
from sipstack.errors import ParseError
from sipstack.sip.address import Address
from sipstack.sip.message import Response
from sipstack.sip.uri import Uri
from sipstack.valuetype import value_type

OUTBOUND = "outbound"
GRUU = "gruu"
"""Option tags."""

FIRST_HOP_LACKS_OUTBOUND = 439

LONGEST_FLOW_TIMER = 86_400
"""Seconds; whoever names more has made a slip, and the next keep-alive may as well come then."""

MAX_DOUBLINGS = 6
"""30 s doubled so often is above the limit of half an hour."""


@value_type
class Recovery:
    """How long to wait before a flow is tried again, in seconds (:rfc:`5626#section-4.5`, A-OUT-04)."""

    all_failed: float = 30.0
    some_work: float = 90.0
    longest: float = 1800.0

    def wait(self, failures: int, *, others_work: bool = False) -> float:
        """Return a time from half of the limit to all of it, which each of the ``failures`` so far has doubled."""
        base = self.some_work if others_work else self.all_failed
        longest = min(self.longest, base * 2 ** min(failures, MAX_DOUBLINGS))
        return ids.uniform(longest / 2, longest)


RECOVERY = Recovery()
"""The times of the RFC."""


def flow_contact(contact: Address, reg_id: int) -> Address:
    """Return ``contact`` as it registers a flow: "ob" in the URI, so that what comes to it comes by this flow, and the
    number of the flow, which is the same over restarts (A-OUT-01)."""
    return Address(contact.uri.with_param("ob"), contact.display_name, contact.parameters).with_param(
        "reg-id", str(reg_id)
    )


def plain_contact(contact: Address) -> Address:
    """Undo :func:`flow_contact`."""
    uri = contact.uri.without_params("ob")
    return Address(uri, contact.display_name, contact.parameters).without_params("reg-id")


def has_outbound(response: Response) -> bool:
    """Tell whether registrar and edge proxy take the registration as one of a flow (:rfc:`5626#section-4.2.1`)."""
    return any(option.lower() == OUTBOUND for option in response.require)


def flow_timer(response: Response) -> int | None:
    """Return the seconds of Flow-Timer, after which the edge proxy takes a silent flow for dead; None without it."""
    text = (response.headers.get("Flow-Timer") or "").strip()
    if not text.isascii() or not text.isdecimal() or not int(text[:6]):
        return None
    return min(int(text[:6]), LONGEST_FLOW_TIMER)


def gruus(binding: Address | None) -> tuple[Uri | None, Uri | None]:
    """Return the public and the temporary GRUU of our binding in a 200 (A-REG-09); what is malformed is none."""
    if binding is None:
        return None, None
    return _uri(binding.param("pub-gruu")), _uri(binding.param("temp-gruu"))


def _uri(text: str | None) -> Uri | None:
    if not text:
        return None
    try:
        uri = Uri.parse(text)
    except ParseError:
        return None
    return uri if uri.is_sip and uri.param("gr") is not None else None
