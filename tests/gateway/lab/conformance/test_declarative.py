"""A lab's own cases: TOML files of steps, and Python files, read from a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.lab.conformance.case import BadCase
from gateway.lab.conformance.collect import load_folder
from gateway.lab.conformance.peer import Peer, Received

from .helpers import element, running

HEAD = """
[[case]]
id = "LAB-1"
reference = "RFC 3261 §11.2"
suite = "lab"
roles = ["uas"]
purpose = "To be tried."
"""

OPTIONS = """
[[case.step]]
send = "OPTIONS"
headers = { Accept = "application/sdp", X-Who = "{aor}" }
without = ["User-Agent"]

[[case.step]]
expect = ["2xx", 404]
lacking = [405]
headers = { Allow = "INVITE" }
without = ["Warning"]
"""

CALL = """
[[case.step]]
send = "INVITE"
offer = true

[[case.step]]
expect = 200
needed = true

[[case.step]]
send = "ACK"

[[case.step]]
silence = 0.05

[[case.step]]
send = "BYE"

[[case.step]]
expect = 200
"""

RAW = """
[[case.step]]
raw = '''
OPTIONS {target} SIP/2.0
Via: SIP/2.0/{transport} {sent_by};branch={branch}
From: <{identity}>;tag={tag}
To: <{aor}>
Call-ID: {call_id}
CSeq: 7 OPTIONS
Content-Length: 0

'''

[[case.step]]
expect = 200
"""


async def be_sound(peer: Peer, received: Received) -> None:
    request = received.request
    if request.method == "OPTIONS" and request.headers.get("X-Who", "none") != "none":
        assert "User-Agent" not in request.headers and request.headers.get("X-Who", "").startswith("sip:element@")
    if request.method != "ACK":
        await peer.respond(received, 200, [("Allow", "INVITE, ACK"), ("Contact", peer.contact)])


async def lack_everything(peer: Peer, received: Received) -> None:
    await peer.respond(received, 405)


async def be_odd(peer: Peer, received: Received) -> None:
    await peer.respond(received, 204, [("Warning", '399 here "odd"')])


def written(folder: Path, steps: str) -> Path:
    (folder / "case.toml").write_text(HEAD + steps)
    return folder


@pytest.mark.parametrize(
    "steps", [OPTIONS, CALL, RAW.replace("raw = '''\n", "raw = '''")], ids=["options", "call", "raw"]
)
async def test_steps_that_a_sound_element_passes(tmp_path: Path, steps: str) -> None:
    (case,) = load_folder(written(tmp_path, steps))
    async with element(be_sound) as target, running(target) as runner:
        result = await runner.run_case(case)
    assert (result.verdict, result.reason) == ("pass", "")


async def test_what_is_expected_and_what_came_is_told(tmp_path: Path) -> None:
    (options,) = load_folder(written(tmp_path, OPTIONS))
    (tmp_path / "call").mkdir()
    (call,) = load_folder(written(tmp_path / "call", CALL))
    async with element(lack_everything) as target, running(target) as runner:
        results = await runner.run([options, call])
    assert [(result.verdict, result.reason) for result in results] == [
        ("not-applicable", "the target answers 405"),
        ("inconclusive", "answered 405 where 200 was expected"),
    ]
    async with element(be_odd) as target, running(target) as runner:
        result = await runner.run_case(options)
    assert (result.verdict, result.reason) == ("fail", "Allow is missing, not like INVITE")


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        ("", "LAB-1: has no steps"),
        ("[[case.step]]\nshout = 1", "step 1 has to have one of send, raw, expect"),
        ("[[case.step]]\nexpect = 200\nlater = 1", "expect takes no later"),
        ("[[case.step]]\nexpect = '2x'", "'2x' is no status"),
        ("[[case.step]]\nexpect = true", "expect is no int or str or list"),
        ("[[case.step]]\nsend = 'OPTIONS'\nheaders = 'x'", "headers makes no sense"),
        ("[[case.step]]\ntrigger = 'sing'", "the triggers are register"),
        ("slow = true\nwhen = 'now'\n[[case.step]]\npause = 1", "there is no 'when'"),
        ("[[case]]\nid = 'X-1'", "LAB-1: has no steps"),
        ("= 1", "Invalid"),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path: Path, steps: str, why: str) -> None:
    with pytest.raises(BadCase, match=why):
        load_folder(written(tmp_path, steps))


def test_python_files_bring_cases_too(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from gateway.lab.conformance.case import case\n"
        '@case("LAB-2", "ours", suite="lab", roles={"uas"}, purpose="To be found.")\n'
        "async def nothing(bench):\n    pass\n"
    )
    (tmp_path / "_helper.py").write_text("raise SystemExit('not a case')\n")
    assert [(case.id, case.name) for case in load_folder(tmp_path)] == [("LAB-2", "nothing")]
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    with pytest.raises(BadCase, match="broken.py: ModuleNotFoundError"):
        load_folder(tmp_path)


def test_a_folder_without_cases_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(BadCase, match="has no cases"):
        load_folder(tmp_path)
