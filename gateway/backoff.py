"""How long to wait before something that failed for now is tried again."""

from __future__ import annotations

from gateway.config.types import RetrySection
from sipstack import ids


def pause(failures: int, retry: RetrySection) -> float:
    """Return seconds to wait after so many failures in a row: doubling, bounded, with a jitter of a fifth."""
    return min(retry.first * 2.0 ** min(failures - 1, 30), retry.longest) * ids.uniform(0.8, 1.2)
