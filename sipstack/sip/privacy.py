"""Who does not want to be known: :rfc:`3323`, and for asserted identities :rfc:`3325`."""

from __future__ import annotations

from sipstack.errors import ParseError
from sipstack.sip.message import Request
from sipstack.sip.uri import Uri

ANONYMOUS = Uri.parse("sip:anonymous@anonymous.invalid")
"""From of who does not want to be known (:rfc:`3323#section-4.1.1.3`)."""

ANONYMOUS_NAME = "Anonymous"

_HIDING = frozenset({"id", "user", "header"})
"""Values of Privacy by which the receiver is not to learn who calls."""


def privacy_values(request: Request) -> frozenset[str]:
    """Return the values of Privacy, lower case (:rfc:`3323#section-4.2`: they are separated by semicolons)."""
    text = ";".join(request.headers.get_all("Privacy")).replace(",", ";")
    return frozenset(item.strip().lower() for item in text.split(";")) - {""}


def is_anonymous(request: Request) -> bool:
    """Tell whether the caller does not want the user at this end to know who they are.

    ``none`` says that they don't mind, whatever else is there. Without Privacy it is From that tells.
    """
    values = privacy_values(request)
    if "none" in values:
        return False
    if values & _HIDING:
        return True
    try:
        return request.from_.uri.host.lower().endswith(ANONYMOUS.host)
    except ParseError:
        return False
