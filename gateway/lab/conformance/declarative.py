"""Cases without code: TOML files of steps that send and expect.

::

    [[case]]
    id = "LAB-OPT-001"
    reference = "RFC 3261 §11.2"
    suite = "lab"
    roles = ["uas"]
    purpose = "OPTIONS tells what the element takes."

    [[case.step]]
    send = "OPTIONS"
    headers = { Accept = "application/sdp" }

    [[case.step]]
    expect = 200
    lacking = [405, 501]
    headers = { Allow = "INVITE" }

The verbs are the table :data:`VERBS`; docs/conformance-runner.md explains each. A file is checked whole before anything
runs.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import DEFAULT_LIMIT, BadCase, Case
from gateway.lab.conformance.peer import Match, Peer, Received, answers, requests
from gateway.lab.conformance.rawdialog import RawDialog
from gateway.lab.conformance.target import ACTIONS
from sipstack import ids
from sipstack.sip.message import Message, Request, Response

MAX_FILE = 1_000_000
"""Octets of one file."""

CASE_KEYS = {"id", "reference", "suite", "roles", "purpose", "expects", "rules", "transports", "risky", "slow", "limit"}

Step = Mapping[str, Any]


@dataclass(slots=True)
class Play:
    """Where a case is."""

    bench: Bench
    peer: Peer
    request: Request | None = None
    """What we sent last, other than ACK."""
    received: Received | None = None
    """What came last."""
    dialog: RawDialog | None = None
    fields: dict[str, str] = field(default_factory=dict)
    """What ``{name}`` stands for in raw octets and headers."""

    def fill(self, text: str) -> str:
        """Return text with its placeholders filled in; braces around anything else stay."""
        return re.sub(r"\{([a-z_]+)\}", lambda match: self.fields.get(match[1], match[0]), text)

    def headers(self, step: Step) -> list[tuple[str, str]]:
        """Return the headers of a step; a list of values makes several lines."""
        return [
            (name, self.fill(str(value)))
            for name, given in step.get("headers", {}).items()
            for value in (given if isinstance(given, list) else [given])
        ]


def load(path: Path) -> list[Case]:
    """Return the cases of a file. Raises BadCase, which names file, case and step; OSError."""
    if path.stat().st_size > MAX_FILE:
        raise BadCase(f"{path} has more than {MAX_FILE} octets")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadCase(f"{path}: {error}") from None
    cases = document.get("case")
    if not isinstance(cases, list) or document.keys() != {"case"}:
        raise BadCase(f"{path}: holds [[case]] tables and nothing else")
    return [_case(given, path) for given in cases]


def _case(given: dict[str, Any], path: Path) -> Case:
    where = f"{path}: {given.get('id', 'a case without id')}"
    steps = given.pop("step", [])
    unknown = given.keys() - CASE_KEYS
    missing = {"id", "reference", "suite", "roles", "purpose"} - given.keys()
    if unknown or missing:
        wrong = [f"there is no {key!r}" for key in sorted(unknown)] + [f"{key!r} is missing" for key in sorted(missing)]
        raise BadCase(f"{where}: {', '.join(wrong)}")
    if not steps:
        raise BadCase(f"{where}: has no steps")
    for number, step in enumerate(steps, 1):
        _check(step, f"{where}: step {number}")

    async def run(bench: Bench) -> None:
        await _play(bench, steps)

    try:
        return Case(
            id=given["id"],
            reference=given["reference"],
            suite=given["suite"],
            roles=frozenset(given["roles"]),
            purpose=given["purpose"],
            run=run,
            expects=given.get("expects", ""),
            rules=tuple(given.get("rules", ())),
            transports=tuple(given.get("transports", ())),
            risky=bool(given.get("risky", False)),
            slow=bool(given.get("slow", False)),
            limit=float(given.get("limit", DEFAULT_LIMIT)),
            source=str(path),
        )
    except (TypeError, ValueError) as error:
        raise BadCase(f"{where}: {error}") from None


def _check(step: object, where: str) -> None:
    if not isinstance(step, dict):
        raise BadCase(f"{where} is no table")
    verbs = [key for key in step if key in VERBS]
    if len(verbs) != 1:
        raise BadCase(f"{where} has to have one of {', '.join(VERBS)}")
    verb = VERBS[verbs[0]]
    if not isinstance(step[verbs[0]], verb.types) or isinstance(step[verbs[0]], bool) is not (verb.types == (bool,)):
        raise BadCase(f"{where}: {verbs[0]} is no {' or '.join(kind.__name__ for kind in verb.types)}")
    unknown = step.keys() - {verbs[0], *verb.keys}
    if unknown:
        raise BadCase(f"{where}: {verbs[0]} takes no {', '.join(sorted(unknown))}")
    for name, kinds in KEYS.items():
        if name in step and not isinstance(step[name], kinds):
            raise BadCase(f"{where}: {name} makes no sense")
    if verbs[0] == "expect":
        try:
            _statuses(step["expect"])
        except BadCase as error:
            raise BadCase(f"{where}: {error}") from None
    if verbs[0] == "trigger" and step["trigger"] not in ACTIONS:
        raise BadCase(f"{where}: the triggers are {', '.join(ACTIONS)}")


async def _play(bench: Bench, steps: Sequence[Step]) -> None:
    calls_us = any("trigger" in step or "expect_request" in step for step in steps[:1])
    peer = await bench.sip.listen() if calls_us else await bench.sip.peer()
    play = Play(bench, peer)
    play.fields = {
        "target": str(bench.target.uri),
        "aor": bench.target.aor,
        "identity": peer.identity,
        "sent_by": peer.sent_by,
        "contact": peer.contact,
        "transport": peer.transport,
        "branch": ids.branch(),
        "tag": ids.tag(),
        "call_id": ids.call_id(),
    }
    for step in steps:
        verb = next(key for key in step if key in VERBS)
        await VERBS[verb].run(play, step)


# the verbs


async def _send(play: Play, step: Step) -> None:
    method, body = step["send"], play.fill(step.get("body", "")).replace("\n", "\r\n").encode()
    if step.get("offer"):
        body = await play.bench.offer()
    kind = step.get("type", "application/sdp" if step.get("offer") else "text/plain")
    if method == "ACK" and play.request is not None and play.received is not None:
        await play.peer.send(_ack(play, play.request, play.received.response))
        return
    if method == "CANCEL" and play.request is not None:
        request = play.peer.cancel(play.request)
    elif play.dialog is not None and step.get("dialog", True):
        request = play.dialog.request(method, play.headers(step), body, content_type=kind)
    else:
        request = play.peer.request(method, step.get("uri"), play.headers(step), body, content_type=kind)
    if step.get("again") and play.request is not None:
        request = play.request
    for name in step.get("without", ()):
        request.headers.remove(name)
    await play.peer.send(request)
    play.request = request


def _ack(play: Play, request: Request, response: Response) -> Message:
    if response.is_success and play.dialog is not None:
        return play.dialog.ack()
    return play.peer.ack(request, response)


async def _raw(play: Play, step: Step) -> None:
    text = play.fill(step["raw"]).replace("\r\n", "\n").replace("\n", "\r\n")
    await play.peer.send(text.encode("utf-8", "surrogateescape"))


async def _expect(play: Play, step: Step) -> None:
    match: Match = _is_response
    if play.request is not None:
        match = answers(play.request, least=100 if step.get("provisional") else 200)
    wanted = _statuses(step["expect"])
    told = step.get("otherwise", "")
    await_ = play.peer.need if step.get("needed") else play.peer.expect
    received = await await_(match, told or f"no answer; {_words(wanted)} was expected", step.get("within"))
    response = received.response
    if response.status in step.get("lacking", ()):
        play.bench.not_applicable(f"the target answers {response.status}")
    if response.status not in wanted:
        why = told or f"answered {response.status} where {_words(wanted)} was expected"
        (play.bench.inconclusive if step.get("needed") else play.bench.fail)(why)
    play.received = received
    if play.request is not None and play.request.method == "INVITE" and response.is_success:
        play.dialog = RawDialog.calling(play.peer, play.request, response)
    _check_headers(play, step, response)


def _is_response(received: Received) -> bool:
    return isinstance(received.message, Response)


async def _expect_request(play: Play, step: Step) -> None:
    method = step["expect_request"]
    otherwise = step.get("otherwise", f"no {method} came")
    await_ = play.peer.need if step.get("needed") else play.peer.expect
    received = await await_(requests(method), otherwise, step.get("within"))
    play.received = received
    _check_headers(play, step, received.request)


def _check_headers(play: Play, step: Step, message: Message) -> None:
    told = step.get("otherwise", "")
    for name, pattern in step.get("headers", {}).items():
        values = message.headers.get_all(name)
        found = any(re.search(play.fill(str(pattern)), value) for value in values)
        play.bench.check(found, told or f"{name} is {', '.join(values) or 'missing'}, not like {pattern}")
    for name in step.get("without", ()):
        play.bench.check(name not in message.headers, told or f"there is a {name}")
    if "body" in step:
        text = message.body.decode("utf-8", "replace")
        play.bench.check(re.search(step["body"], text), told or f"the body is not like {step['body']}")


async def _answer(play: Play, step: Step) -> None:
    if play.received is None or not isinstance(play.received.message, Request):
        play.bench.inconclusive("there is no request to answer")
    headers, body = play.headers(step), play.fill(step.get("body", "")).replace("\n", "\r\n").encode()
    if step.get("offer"):
        body = await play.bench.offer(setup="passive")
    if step["answer"] < 300 and play.received.request.method == "INVITE":
        headers = [("Contact", play.peer.contact), *headers]
    kind = step.get("type", "application/sdp" if step.get("offer") else "text/plain")
    response = await play.peer.respond(play.received, step["answer"], headers, body, content_type=kind)
    if response.is_success and play.received.request.method == "INVITE":
        play.dialog = RawDialog.called(play.peer, play.received.request, response)


async def _silence(play: Play, step: Step) -> None:
    await play.peer.silence(
        lambda received: received.message is not None, step.get("otherwise", "something came"), step["silence"]
    )


async def _pause(play: Play, step: Step) -> None:
    await play.bench.pause(step["pause"])


async def _trigger(play: Play, step: Step) -> None:
    await play.bench.trigger(step["trigger"])


def _statuses(given: int | str | list[int | str]) -> set[int]:
    """Return the statuses that ``200``, ``"2xx"`` or a list of them stands for."""
    found: set[int] = set()
    for item in given if isinstance(given, list) else [given]:
        if isinstance(item, int):
            found.add(item)
        elif re.fullmatch("[1-6]xx", item):
            found.update(range(int(item[0]) * 100, int(item[0]) * 100 + 100))
        else:
            raise BadCase(f'{item!r} is no status: 200, or "2xx" for a class')
    return found


def _words(statuses: set[int]) -> str:
    return f"{min(statuses)}" if len(statuses) == 1 else f"{min(statuses)} to {max(statuses)}"


@dataclass(frozen=True, slots=True)
class Verb:
    """What a step does."""

    run: Callable[[Play, Step], Awaitable[None]]
    types: tuple[type, ...]
    """What may stand behind the verb."""
    keys: tuple[str, ...] = ()
    """What may stand beside it."""


VERBS: dict[str, Verb] = {
    "send": Verb(_send, (str,), ("uri", "headers", "without", "body", "type", "offer", "dialog", "again")),
    "raw": Verb(_raw, (str,)),
    "expect": Verb(
        _expect,
        (int, str, list),
        ("headers", "without", "body", "within", "otherwise", "lacking", "needed", "provisional"),
    ),
    "expect_request": Verb(_expect_request, (str,), ("headers", "without", "body", "within", "otherwise", "needed")),
    "answer": Verb(_answer, (int,), ("headers", "body", "type", "offer")),
    "silence": Verb(_silence, (int, float), ("otherwise",)),
    "pause": Verb(_pause, (int, float)),
    "trigger": Verb(_trigger, (str,)),
}
"""Verb → what it does, and what a step with it may hold."""

KEYS: dict[str, tuple[type, ...]] = {
    "uri": (str,),
    "headers": (dict,),
    "without": (list,),
    "body": (str,),
    "type": (str,),
    "offer": (bool,),
    "dialog": (bool,),
    "again": (bool,),
    "within": (int, float),
    "otherwise": (str,),
    "lacking": (list,),
    "needed": (bool,),
    "provisional": (bool,),
}
"""What stands beside a verb → what it may be."""
