"""Two layers joined by a network that loses, repeats and delays; and whatever order messages come in."""

from __future__ import annotations

import heapq
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipstack.errors import LocalProtocolError
from sipstack.flow import Flow
from sipstack.sip.message import Request, Response
from sipstack.sip.parser import parse_message
from sipstack.sip.transaction import (
    AckReceived,
    ClientTransaction,
    RequestReceived,
    RequestTimedOut,
    ResponseReceived,
    ServerTransaction,
    TransactionLayer,
    TransactionTerminated,
)
from tests.sipstack.sip.helpers import TCP, UDP, make_request, wire

ANSWER_AFTER = 0.3
LATENCY = 0.02


class Network:
    """A client layer and a server layer; the server answers each request after 0.3 s."""

    def __init__(self, *, loss: float, doubled: float, status: int, seed: int) -> None:
        self.client, self.server = TransactionLayer(), TransactionLayer()
        self.loss, self.doubled, self.status = loss, doubled, status
        self.random = random.Random(seed)
        self.now = 0.0
        self.count = 0
        self.queue: list[tuple[float, int, TransactionLayer, bytes]] = []
        self.due: list[tuple[float, int, ServerTransaction]] = []
        # what was seen
        self.requests = 0
        self.finals: list[int] = []
        self.acks: list[AckReceived] = []
        self.timeouts = 0

    def number(self) -> int:
        self.count += 1
        return self.count

    def transmit(self, source: TransactionLayer, target: TransactionLayer) -> None:
        for _, data in source.data_to_send():
            for _ in range(2 if self.random.random() < self.doubled else 1):
                if self.random.random() >= self.loss:
                    delay = self.random.uniform(LATENCY, 3 * LATENCY)
                    heapq.heappush(self.queue, (self.now + delay, self.number(), target, data))

    def take_events(self) -> None:
        while (event := self.server.next_event()) is not None:
            match event:
                case RequestReceived():
                    self.requests += 1
                    heapq.heappush(self.due, (self.now + ANSWER_AFTER, self.number(), event.transaction))
                case AckReceived():
                    self.acks.append(event)
                case _:
                    pass
        while (event := self.client.next_event()) is not None:
            match event:
                case ResponseReceived() if event.response.is_final:
                    self.finals.append(event.response.status)
                    if event.response.is_success and event.transaction.is_invite:
                        self.client.send_ack(self.ack(event), UDP)
                case RequestTimedOut():
                    self.timeouts += 1
                case _:
                    pass

    def ack(self, event: ResponseReceived) -> Request:
        return make_request("ACK", branch=f"z9hG4bKack{self.number()}", to_tag=event.response.to.tag)

    def run(self, until: float) -> None:
        while self.now < until:
            self.take_events()
            self.transmit(self.client, self.server)
            self.transmit(self.server, self.client)
            times = [self.client.get_timer(), self.server.get_timer(), until]
            times += [self.queue[0][0] if self.queue else None, self.due[0][0] if self.due else None]
            self.now = min(time for time in times if time is not None)
            while self.queue and self.queue[0][0] <= self.now:
                _, _, target, data = heapq.heappop(self.queue)
                target.receive_message(parse_message(data), UDP, self.now)
            while self.due and self.due[0][0] <= self.now:
                transaction = heapq.heappop(self.due)[2]
                response = Response.for_request(transaction.request, self.status, to_tag=transaction.local_tag)
                self.server.respond(transaction, response, self.now)
            self.client.handle_timer(self.now)
            self.server.handle_timer(self.now)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("method", "status"), [("INVITE", 200), ("INVITE", 486), ("MESSAGE", 200), ("REGISTER", 401)])
def test_lossy_network(method: str, status: int, seed: int) -> None:
    """One request at the server, one kind of final at the client, an ACK for the INVITE, and nothing left behind."""
    network = Network(loss=0.3, doubled=0.3, status=status, seed=seed)
    network.client.send_request(make_request(method), UDP, 0.0)
    network.run(200.0)
    assert network.requests == 1 and network.timeouts == 0
    assert set(network.finals) == {status}
    if (method, status) == ("INVITE", 200):
        assert [ack.repeated for ack in network.acks][0] is False and all(a.repeated for a in network.acks[1:])
    else:
        assert len(network.finals) == 1 and network.acks == []
    for layer in (network.client, network.server):
        assert len(layer) == 0 and layer.get_timer() is None and layer.next_event() is None


def test_dead_network() -> None:
    network = Network(loss=1.0, doubled=0.0, status=200, seed=1)
    network.client.send_request(make_request("INVITE"), UDP, 0.0)
    network.run(200.0)
    assert (network.requests, network.finals, network.timeouts) == (0, [], 1)


STATUSES = st.sampled_from([100, 180, 199, 200, 202, 302, 408, 486, 503, 603])
CLIENT_STEPS = st.one_of(STATUSES, st.sampled_from(["cancel", "broken", "wait"]))
SERVER_STEPS = st.one_of(STATUSES, st.sampled_from(["again", "ack", "cancel", "broken", "wait"]))
FLOWS = st.sampled_from([UDP, TCP])


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["INVITE", "OPTIONS"]), FLOWS, st.lists(CLIENT_STEPS, max_size=12))
def test_any_order_at_a_client(method: str, flow: Flow, steps: list[int | str]) -> None:
    """No input breaks the machine, and when time has passed it ends, says so once, and last."""
    layer = TransactionLayer()
    request = make_request(method, flow=flow)
    transaction = layer.send_request(request, flow, 0.0)
    for now, step in enumerate(steps):
        if step == "cancel":
            if method == "INVITE":
                layer.cancel(transaction, now)
        elif step == "broken":
            layer.transport_failed(flow, now)
        elif isinstance(step, int):
            layer.receive_message(wire(Response.for_request(request, step, to_tag="b")), flow, now)
        layer.handle_timer(now)
    finals = check_the_end(layer, transaction, waiting=method == "INVITE")
    assert len([status for status in finals if status >= 300]) <= 1


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["INVITE", "OPTIONS"]), FLOWS, st.lists(SERVER_STEPS, max_size=12))
def test_any_order_at_a_server(method: str, flow: Flow, steps: list[int | str]) -> None:
    """The same, and never more than one kind of final response is sent for a request."""
    layer = TransactionLayer()
    layer.receive_message(wire(make_request(method, flow=flow)), flow, 0.0)
    event = layer.next_event()
    assert isinstance(event, RequestReceived)
    transaction = event.transaction
    for now, step in enumerate(steps):
        if step == "broken":
            layer.transport_failed(flow, now)
        elif step == "ack":
            ack = make_request("ACK", flow=flow, to_tag=transaction.local_tag)
            layer.receive_message(wire(ack), flow, now)
        elif step == "cancel":
            layer.receive_message(wire(make_request("CANCEL", flow=flow)), flow, now)
        elif step == "again" and transaction.state.value != "Terminated":
            layer.receive_message(wire(make_request(method, flow=flow)), flow, now)
        elif isinstance(step, int):
            try:
                layer.respond(transaction, Response.for_request(transaction.request, step, to_tag="b"), now)
            except LocalProtocolError:
                pass
        layer.handle_timer(now)
    sent = [parse_message(data) for _, data in layer.data_to_send()]
    kinds = {
        message.status
        for message in sent
        if isinstance(message, Response) and message.is_final and message.cseq.method == method
    }
    assert len({status for status in kinds if status >= 300}) <= 1
    assert not (kinds and min(kinds) < 300 <= max(kinds))
    check_the_end(layer, transaction, waiting=method == "INVITE" and not transaction.is_final)


def check_the_end(
    layer: TransactionLayer, transaction: ClientTransaction | ServerTransaction, *, waiting: bool
) -> list[int]:
    """Let time pass; return the final statuses that were reported."""
    layer.handle_timer(1000.0)
    layer.handle_timer(2000.0)
    own = []
    finals = []
    while (event := layer.next_event()) is not None:
        if isinstance(event, ResponseReceived) and event.response.is_final:
            finals.append(event.response.status)
        if getattr(event, "transaction", None) is transaction:
            own.append(event)
    if own and isinstance(own[-1], TransactionTerminated):
        assert len([event for event in own if isinstance(event, TransactionTerminated)]) == 1
        assert len(layer) == 0 and layer.get_timer() is None
    else:
        # only an INVITE waits without limit: for a final response of the peer, or of our user
        assert waiting and transaction.state.value == "Proceeding"
    return finals
