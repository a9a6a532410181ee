from __future__ import annotations

import asyncio

import pytest

from sipstack.net.timers import COMPACT_ABOVE, TimerHeap


class Loop:
    """The two methods of an event loop that a heap uses, on a virtual clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.armed: list[Handle] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: object) -> Handle:
        handle = Handle(when, callback)
        self.armed.append(handle)
        return handle

    def advance(self, to: float) -> None:
        while live := [handle for handle in self.armed if not handle.cancelled and handle.when <= to]:
            assert len([handle for handle in self.armed if not handle.cancelled]) == 1
            self.now = max(self.now, live[0].when)
            self.armed.remove(live[0])
            live[0].callback()
        self.now = to


class Handle:
    def __init__(self, when: float, callback: object) -> None:
        assert callable(callback)
        self.when, self.callback, self.cancelled = when, callback, False

    def cancel(self) -> None:
        self.cancelled = True


def heap_on(loop: Loop) -> TimerHeap:
    assert isinstance(loop, Loop)
    return TimerHeap(loop)  # type: ignore[arg-type]  # only time() and call_at() are used


def test_order_and_single_handle() -> None:
    loop, fired = Loop(), list[str]()
    heap = heap_on(loop)
    for deadline, name in [(3.0, "c"), (1.0, "a"), (2.0, "b"), (1.0, "a2")]:
        heap.schedule(deadline, lambda name=name: fired.append(name))  # type: ignore[misc]  # default binds the name
    assert len(heap) == 4
    loop.advance(1.5)
    assert fired == ["a", "a2"]
    loop.advance(10)
    assert fired == ["a", "a2", "b", "c"]
    assert len(heap) == 0


def test_cancel_and_schedule_inside_callback() -> None:
    loop, fired = Loop(), list[str]()
    heap = heap_on(loop)
    victim = heap.schedule(1.0, lambda: fired.append("victim"))

    def first() -> None:
        victim.cancel()
        victim.cancel()
        heap.schedule(0.5, lambda: fired.append("at once"))
        heap.schedule(4.0, lambda: fired.append("later"))

    heap.schedule(0.5, first)
    loop.advance(5.0)
    assert fired == ["at once", "later"]
    assert len(heap) == 0


def test_failing_callback_does_not_stop_others(caplog: pytest.LogCaptureFixture) -> None:
    loop, fired = Loop(), list[str]()
    heap = heap_on(loop)
    heap.schedule(1.0, lambda: fired.append(str(1 // 0)))
    heap.schedule(1.0, lambda: fired.append("ok"))
    loop.advance(2.0)
    assert fired == ["ok"]
    assert "timer callback failed" in caplog.text


def test_dead_entries_are_removed() -> None:
    loop = Loop()
    heap = heap_on(loop)
    timers = [heap.schedule(1000.0 + number, lambda: None) for number in range(10 * COMPACT_ABOVE)]
    for timer in timers[1:]:
        timer.cancel()
    assert len(heap) == 1
    assert len(heap._entries) < 3 * COMPACT_ABOVE
    heap.close()
    assert len(heap) == 0
    heap.schedule(4000.0, lambda: None)
    assert not [handle for handle in loop.armed if not handle.cancelled]
    loop.advance(5000.0)


def test_moved_timers() -> None:
    loop, fired = Loop(), list[str]()
    heap = heap_on(loop)
    first = heap.move(None, 5.0, lambda: fired.append("first"))
    assert heap.move(first, 5.0, lambda: fired.append("other")) is first
    second = heap.move(first, 3.0, lambda: fired.append("second"))
    loop.advance(6.0)
    assert second is not first and fired == ["second"]
    third = heap.schedule(8.0, lambda: fired.append("third"))
    assert heap.move(third, None, lambda: fired.append("never")) is None
    loop.advance(9.0)
    assert fired == ["second"] and len(heap) == 0


async def test_on_a_real_loop() -> None:
    loop = asyncio.get_running_loop()
    heap = TimerHeap(loop)
    done = loop.create_future()
    heap.schedule(heap.time() - 1, lambda: done.set_result(None))
    await asyncio.wait_for(done, 5)
