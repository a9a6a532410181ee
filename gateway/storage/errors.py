"""What the store raises."""

from __future__ import annotations

from typing import Literal

QuotaKind = Literal["open", "day", "minute"]


class StoreError(Exception):
    """The store could not do it: the disk is full, the file is locked or gone. Nothing of the call was kept."""


class NameTaken(StoreError):
    """Another account has this name already."""


class OverQuota(StoreError):
    """The inviter has, or has made, as many invitations as one may."""

    def __init__(self, kind: QuotaKind, heals_at: float) -> None:
        super().__init__(f"as many invitations as one inviter may have: {kind}")
        self.kind = kind
        self.heals_at = heals_at
        """When there is room again at the latest, Unix seconds."""
