"""Plays scripts of (time, input) against a transaction layer and writes down what comes out when."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from sipstack.flow import Flow
from sipstack.sip.message import Message, Request, Response
from sipstack.sip.parser import parse_message
from sipstack.sip.timers import TimerValues
from sipstack.sip.transaction import (
    AckReceived,
    CancelReceived,
    ClientTransaction,
    RequestReceived,
    ResponseReceived,
    ServerTransaction,
    TransactionLayer,
)

UDP = Flow("UDP", ("192.0.2.1", 5060), ("192.0.2.10", 5060))
TCP = Flow("TCP", ("192.0.2.1", 5060), ("192.0.2.10", 40000), 1)

Step = tuple[float, str]


def make_request(
    method: str,
    *,
    flow: Flow = UDP,
    branch: str = "z9hG4bKa1",
    to_tag: str | None = None,
    number: int = 1,
    headers: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
) -> Request:
    """Return a sound request as a peer at 192.0.2.1:5060 would send it."""
    via = f"SIP/2.0/{flow.transport} 192.0.2.1:5060" + (f";branch={branch}" if branch else "")
    to = "<sip:bob@ims.lab.example>" + (f";tag={to_tag}" if to_tag else "")
    return Request(
        method,
        "sip:bob@ims.lab.example",
        [
            ("Via", via),
            ("Max-Forwards", "70"),
            ("From", "<sip:alice@ims.lab.example>;tag=a1"),
            ("To", to),
            ("Call-ID", "call-1"),
            ("CSeq", f"{number} {method}"),
            ("Contact", "<sip:alice@192.0.2.1>"),
            *headers,
        ],
        body,
    )


def wire(message: Message) -> Request | Response:
    """Return the message as the other side gets it."""
    return parse_message(bytes(message))


def sent(layer: TransactionLayer) -> list[Request | Response]:
    """Return what the layer sends, parsed again."""
    return [parse_message(data) for _, data in layer.data_to_send()]


def describe(message: Message) -> str:
    """Return the method or the status."""
    return message.method if isinstance(message, Request) else str(getattr(message, "status", ""))


class Stage:
    """A layer, a virtual clock and the record of what the layer did."""

    def __init__(self, layer: TransactionLayer) -> None:
        self.layer = layer
        self.now = 0.0
        self.record: list[Step] = []

    def collect(self) -> None:
        """Write down what is to be sent (``> 200``) and the events (``ResponseReceived 200``)."""
        for message in sent(self.layer):
            self.record.append((round(self.now, 3), f"> {describe(message)}"))
        while (event := self.layer.next_event()) is not None:
            name = re.sub("Received$", "", type(event).__name__)
            match event:
                case ResponseReceived():
                    name += f" {event.response.status}"
                case RequestReceived() | CancelReceived() | AckReceived():
                    name += f" {event.request.method}"
                case _:
                    pass
            self.record.append((round(self.now, 3), name))

    def run(self, until: float) -> None:
        """Let the time pass; timers run exactly when they are due."""
        while (timer := self.layer.get_timer()) is not None and timer <= until:
            self.now = timer
            self.layer.handle_timer(timer)
            self.collect()
        self.now = until


def play(stage: Stage, script: Sequence[Step], act: Callable[[str], None], until: float) -> list[Step]:
    """Do what the script says at its times, then wait until ``until``; return the record."""
    for time, step in script:
        stage.run(time)
        act(step)
        stage.collect()
    stage.run(until)
    return stage.record


def play_client(
    method: str, flow: Flow, script: Sequence[Step], until: float, values: TimerValues | None = None
) -> tuple[list[Step], ClientTransaction]:
    """Send a request at 0 s. Steps: a status (``180``, ``200 other`` with another To tag), ``cancel``, ``broken``."""
    stage = Stage(TransactionLayer(values))
    request = make_request(method, flow=flow)
    transaction = stage.layer.send_request(request, flow, 0.0)
    stage.collect()

    def act(step: str) -> None:
        if step == "cancel":
            stage.layer.cancel(transaction, stage.now)
        elif step == "broken":
            stage.layer.transport_failed(flow, stage.now)
        else:
            status, _, tag = step.partition(" ")
            response = Response.for_request(request, int(status), to_tag=tag or "b1")
            stage.layer.receive_message(wire(response), flow, stage.now)

    return play(stage, script, act, until), transaction


def play_server(
    method: str, flow: Flow, script: Sequence[Step], until: float, values: TimerValues | None = None
) -> tuple[list[Step], ServerTransaction]:
    """Receive a request at 0 s. Steps: ``again``, ``ACK`` (own branch), ``ack`` (that of the INVITE), ``broken``,
    a status that the user answers, ``200 once`` as a proxy does it.
    """
    stage = Stage(TransactionLayer(values))
    stage.layer.receive_message(wire(make_request(method, flow=flow)), flow, 0.0)
    event = stage.layer.next_event()
    assert isinstance(event, RequestReceived)
    transaction = event.transaction

    def act(step: str) -> None:
        if step == "again":
            stage.layer.receive_message(wire(make_request(method, flow=flow)), flow, stage.now)
        elif step.lower() == "ack":
            branch = "z9hG4bKack" if step == "ACK" else "z9hG4bKa1"
            ack = make_request("ACK", flow=flow, branch=branch, to_tag=transaction.local_tag)
            stage.layer.receive_message(wire(ack), flow, stage.now)
        elif step == "broken":
            stage.layer.transport_failed(transaction.reply_flow, stage.now)
        else:
            status, _, once = step.partition(" ")
            response = Response.for_request(transaction.request, int(status), to_tag=transaction.local_tag)
            stage.layer.respond(transaction, response, stage.now, repeat=not once)

    return play(stage, script, act, until), transaction
