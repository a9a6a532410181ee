"""A case's way from its steps to a verdict, and from many verdicts to an exit status."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import BadCase
from gateway.lab.conformance.collect import BadSelection, Selection, own_cases, unique
from gateway.lab.conformance.peer import Peer, Received
from gateway.lab.conformance.runner import Result, exit_status
from gateway.lab.conformance.verdict import Verdict
from sipstack.trace import WireRecord
from tests.sipstack.net.certificates import write_certificate

from .helpers import element, made, running


async def answer_ok(peer: Peer, received: Received) -> None:
    await peer.respond(received, 200)


async def say_nothing(peer: Peer, received: Received) -> None:
    """A dead element."""


async def options_are_answered(bench: Bench) -> None:
    peer = await bench.sip.peer()
    answer = await peer.exchange(peer.request("OPTIONS"))
    bench.check(answer.response.status == 200, f"answered {answer.response.status}")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("transport", ["UDP", "TCP"])
async def test_a_case_passes_and_what_crossed_the_wire_is_kept(transport: str, host: str) -> None:
    async with element(answer_ok, host) as target, running(target) as runner:
        result = await runner.run_case(made(options_are_answered, transports=(transport,)))
    assert (result.verdict, result.reason, result.role, result.transport) == (Verdict.PASS, "", "uas", transport)
    sent, came = (record for record in result.records if isinstance(record, WireRecord))
    assert (sent.direction, sent.data[:8], came.direction, came.data[:11]) == ("out", b"OPTIONS ", "in", b"SIP/2.0 200")


async def test_a_target_may_speak_tls_with_any_certificate(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*write_certificate(tmp_path, "server"))
    async with element(answer_ok, tls=context) as target, running(target) as runner:
        result = await runner.run_case(made(options_are_answered))
    assert (result.verdict, result.transport) == (Verdict.PASS, "TLS")


async def test_what_a_case_says_is_its_verdict() -> None:
    async def fails(bench: Bench) -> None:
        bench.check(False, "this is wrong")

    async def lacks(bench: Bench) -> None:
        bench.not_applicable("there is none")

    async def breaks(bench: Bench) -> None:
        raise KeyError("ours")

    async def cannot_act(bench: Bench) -> None:
        await bench.trigger("invite")

    async with element(answer_ok) as target, running(target) as runner:
        results = await runner.run([made(run) for run in (fails, lacks, breaks, cannot_act)])
    assert [(result.verdict, result.reason) for result in results] == [
        ("fail", "this is wrong"),
        ("not-applicable", "there is none"),
        ("error", "KeyError: 'ours'"),
        ("not-applicable", "nobody told how to make the target invite (--trigger)"),
    ]
    assert "test_runner.py" in results[2].log


async def test_silence_is_inconclusive_and_a_request_was_repeated() -> None:
    async with element(say_nothing) as target, running(target) as runner:
        result = await runner.run_case(made(options_are_answered))
    assert (result.verdict, result.reason) == (Verdict.INCONCLUSIVE, "no final answer to OPTIONS")
    assert len(result.records) >= 4  # at 0, 50, 150, 350 ms and so on


async def test_a_closed_port_is_inconclusive() -> None:
    async with element(answer_ok) as target:
        pass
    async with running(target) as runner:
        result = await runner.run_case(made(options_are_answered, transports=("TCP",)))
    assert result.verdict is Verdict.INCONCLUSIVE and result.reason.startswith("TCP with 127.0.0.1:")


async def test_what_does_not_apply_is_not_run() -> None:
    async with element(answer_ok) as target, running(target) as runner:
        results = await runner.run(
            [
                made(options_are_answered, roles={"relay"}),
                made(options_are_answered, transports=("TLS",)),
                made(options_are_answered, slow=True),
            ]
        )
    assert [(result.verdict, result.reason) for result in results] == [
        ("not-applicable", "the target is no relay"),
        ("not-applicable", "only by TLS"),
        ("not-run", "slow (--slow)"),
    ]


async def test_requests_of_a_case_that_is_over_do_not_disturb_the_next() -> None:
    """A target repeats its INVITE into the next case: the runner refuses it, and the case does not see it."""

    async def calls(bench: Bench) -> None:
        listener, stray = await bench.sip.listen(), await bench.sip.peer()
        invite = stray.request("INVITE", call_id="old")
        await stray.send(invite, listener.address)
        assert await listener.receive(1.0) is not None

    async def sees_nothing(bench: Bench) -> None:
        listener, stray = await bench.sip.listen(), await bench.sip.peer()
        invite = stray.request("INVITE", call_id="old")
        await stray.send(invite, listener.address)
        assert (await stray.final(invite)).response.status == 480
        assert listener.queue == []

    async with element(answer_ok) as target, running(target) as runner:
        results = await runner.run([made(calls), made(sees_nothing)])
    assert [result.reason for result in results] == ["", ""]


async def test_a_run_that_is_ended_says_what_was_not_run() -> None:
    async with element(answer_ok) as target, running(target) as runner:
        results = await runner.run([made(options_are_answered)] * 3, lambda result: runner.stop())
    assert [result.verdict for result in results] == ["pass", "not-run", "not-run"]


def verdicts(*wanted: Verdict) -> list[Result]:
    return [Result(made(options_are_answered), verdict) for verdict in wanted]


@pytest.mark.parametrize(
    ("results", "status"),
    [
        (verdicts(Verdict.PASS, Verdict.NOT_APPLICABLE), 0),
        (verdicts(Verdict.PASS, Verdict.NOT_RUN), 0),
        (verdicts(Verdict.PASS, Verdict.FAIL), 1),
        (verdicts(Verdict.PASS, Verdict.INCONCLUSIVE), 1),
        (verdicts(Verdict.PASS, Verdict.ERROR), 1),
        (verdicts(Verdict.NOT_APPLICABLE), 1),
        (verdicts(), 1),
    ],
)
def test_only_passes_are_a_success(results: list[Result], status: int) -> None:
    assert exit_status(results) == status


def test_a_case_that_was_asked_for_has_to_run() -> None:
    assert exit_status(verdicts(Verdict.PASS, Verdict.NOT_RUN), named=lambda case: case.id == "T-1") == 1


@pytest.mark.parametrize(
    "changes", [{"id": "small"}, {"suite": "Big"}, {"roles": set()}, {"roles": {"cook"}}, {"purpose": ""}]
)
def test_a_case_that_is_written_wrongly_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(BadCase):
        made(options_are_answered, **changes)


def test_an_id_stands_for_one_case() -> None:
    with pytest.raises(BadCase, match="T-1 is there twice"):
        unique([made(options_are_answered), made(options_are_answered)])
    assert len({found.id for found in own_cases()}) == len(own_cases())


def test_selection_by_suite_case_and_role() -> None:
    cases = [
        made(options_are_answered, id="B-1", suite="sip.dialogs"),
        made(options_are_answered, id="A-2", suite="sip.transactions", roles={"uac"}),
        made(options_are_answered, id="A-1", suite="siphon"),
    ]

    def picked(**wanted: tuple[str, ...]) -> list[str]:
        return [found.id for found in Selection(**wanted).pick(cases)]

    assert picked() == ["B-1", "A-2", "A-1"]
    assert picked(suites=("sip",)) == ["B-1", "A-2"]
    assert picked(cases=("A-*",), roles=("uac",)) == ["A-2"]
    with pytest.raises(BadSelection, match="there is no suite 'si', case 'X', role 'cook'"):
        picked(suites=("si",), cases=("X",), roles=("cook",))
