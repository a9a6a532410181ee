"""What every part of the lab is: something to start and to close, also by ``async with``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self


class Part(ABC):
    """``async with part`` is :meth:`start` and :meth:`close`."""

    @abstractmethod
    async def start(self) -> None:
        """Be there for others when this returns."""

    @abstractmethod
    async def close(self) -> None:
        """Give everything back."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
