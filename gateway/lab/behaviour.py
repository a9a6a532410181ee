"""How A's phone behaves by itself: a value, so that a test or a demonstration can change it at any time."""

from __future__ import annotations

from dataclasses import dataclass

ON_INVITE: tuple[str, ...] = ("accept", "ask", "ring", "ignore")
"""Besides a status from 300 to 699."""

ON_MESSAGE: tuple[str, ...] = ("echo", "script", "accept", "hang-up", "ignore")
"""Besides an MSRP status from 400 to 599."""


ON_FILE: tuple[str, ...] = ("accept", "ask", "ignore")
"""Besides a status from 300 to 699."""

FILES: tuple[str, ...] = ("none", "msrp", "http", "both")
"""What the phone announces."""

RECEIPTS: tuple[str, ...] = ("none", "delivery", "display", "seen")
"""What is told to who asks. With ``none`` the phone does not ask either."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What the phone does by itself."""

    on_invite: str | int = "accept"
    """``accept``; ``ask``: rings until ``Phone.accept``; ``ring``: rings for ever; ``ignore``: not even that (its
    core hears 100 Trying); or a status to refuse with, such as 486 or 603."""
    on_message: str | int = "echo"
    """``echo``; ``script``: the next line of ``script``; ``accept``: says nothing; ``hang-up``: takes it and ends the
    chat; ``ignore``: never answers the request; or an MSRP status to refuse with, such as 413. All the same for a SIP
    MESSAGE, but that it is answered with a text only where there are no sessions."""
    script: tuple[str, ...] = ()
    """Lines for ``script``, again from the first after the last."""
    receipts: str = "display"
    """Of messages whose sender asks: ``none``, ``delivery``, or display as well: at once (``display``), or when
    ``Notices.seen`` is called (``seen``)."""
    files: str = "both"
    """How the device takes files, and says by OPTIONS: ``msrp``, ``http`` (links in chats), ``both`` or ``none``."""
    on_file: str | int = "accept"
    """What becomes of a file over MSRP: ``accept``; ``ask``: rings until ``Files.accept`` or ``decline``; ``ignore``:
    not even that; or a status to refuse with, such as 603."""
    cancel_at: int | None = None
    """Call off each file over MSRP, whichever way it goes, when so many of its octets are there."""
    sessions: bool = True
    """False: the device has no session mode. It says so by OPTIONS, refuses INVITE with 488 (or the status in
    ``on_invite``), and speaks by SIP MESSAGE only."""
    delay: float = 0.0
    """Seconds to wait before accepting an invitation."""
    cut_after: int | None = None
    """Cut the MSRP connection when the peer has sent so many octets on it. Needs ``PhoneOptions.cutter``."""

    def __post_init__(self) -> None:
        if self.on_invite not in ON_INVITE and not (isinstance(self.on_invite, int) and 300 <= self.on_invite <= 699):
            raise ValueError(f"on_invite: one of {', '.join(ON_INVITE)} or a status from 300 to 699")
        if self.on_message not in ON_MESSAGE and not (
            isinstance(self.on_message, int) and 400 <= self.on_message <= 599
        ):
            raise ValueError(f"on_message: one of {', '.join(ON_MESSAGE)} or a status from 400 to 599")
        if self.on_file not in ON_FILE and not (isinstance(self.on_file, int) and 300 <= self.on_file <= 699):
            raise ValueError(f"on_file: one of {', '.join(ON_FILE)} or a status from 300 to 699")
        if self.files not in FILES:
            raise ValueError(f"files: one of {', '.join(FILES)}")
        if self.receipts not in RECEIPTS:
            raise ValueError(f"receipts: one of {', '.join(RECEIPTS)}")
        if self.on_message == "script" and not self.script:
            raise ValueError("script: no lines")
        if self.delay < 0 or (self.cut_after or 0) < 0 or (self.cancel_at or 0) < 0:
            raise ValueError("delay, cut_after, cancel_at: must not be negative")

    @property
    def takes_files(self) -> bool:
        """Whether files over MSRP are taken."""
        return self.sessions and self.files in ("msrp", "both")

    @property
    def takes_links(self) -> bool:
        """Whether files by links in the chat are taken."""
        return self.files in ("http", "both")
