"""Free ports."""

from __future__ import annotations

import socket

import pytest

from gateway.lab.ports import FIRST, LAST, free_port


def test_a_free_port_can_be_bound() -> None:
    port = free_port()
    assert FIRST <= port < LAST
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_a_port_that_is_taken_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, other = free_port(), free_port()
    places = iter([taken - FIRST, other - FIRST])
    monkeypatch.setattr("gateway.lab.ports.secrets.randbelow", lambda _: next(places))
    with socket.create_server(("127.0.0.1", taken)):
        assert free_port() == other


def test_none_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = free_port()
    monkeypatch.setattr("gateway.lab.ports.secrets.randbelow", lambda _: taken - FIRST)
    with socket.create_server(("127.0.0.1", taken)), pytest.raises(OSError, match="no port"):
        free_port()
