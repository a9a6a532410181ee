"""Free ports."""

from __future__ import annotations

import socket
from itertools import repeat

import pytest

from gateway.lab.ports import FIRST, LAST, free_port


def test_a_free_port_can_be_bound() -> None:
    port = free_port()
    assert FIRST <= port < LAST
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_none_is_given_twice() -> None:
    assert len({free_port() for _ in range(500)}) == 500


def test_a_port_that_is_taken_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, other = free_port(), free_port()
    monkeypatch.setattr("gateway.lab.ports._candidates", iter([taken, other]))
    with socket.create_server(("127.0.0.1", taken)):
        assert free_port() == other


def test_none_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = free_port()
    monkeypatch.setattr("gateway.lab.ports._candidates", repeat(taken))
    with socket.create_server(("127.0.0.1", taken)), pytest.raises(OSError, match="no port"):
        free_port()
