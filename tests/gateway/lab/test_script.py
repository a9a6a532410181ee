"""The grammar of the phone's scripts."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.lab.script import KINDS, MAX_SCRIPT, STEPS, ScriptError, load, parse

ROOT = Path(__file__).resolve().parents[3]


def test_words_stand_in_their_places() -> None:
    script = parse(
        """
        # A invites B
        invite b@example.com as bob types im,file for 60 note "Let's talk"  # and waits
        wait message like 'hello*' from bob within 2.5
        refused 486 call bob
        refused send "to" to sip:c@cc.com
        decline with 480
        answer bob
        """
    )
    invite, wait, call, send, decline, answer = script.steps
    assert (invite.line, invite.verb, invite["PERSON"], invite["as"]) == (3, "invite", "b@example.com", "bob")
    assert (invite["types"], invite["for"], invite["note"], invite["via"]) == ("im,file", "60", "Let's talk", "")
    assert (wait["KIND"], wait["TEXT"], wait["like"], wait.who) == ("message", "", "hello*", "bob")
    assert (wait.seconds("within", 10), answer.seconds("within", 10)) == (2.5, 10)
    assert (call.is_refused, call.refusal, call.who) == (True, 486, "bob")
    assert (send.is_refused, send.refusal, send["TEXT"], send.who) == (True, None, "to", "sip:c@cc.com")
    assert (decline.who, decline["with"], answer.who) == ("", "480", "bob")


@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        ("fly", "there is no step 'fly'; steps are wait, no, "),
        ("send", r"write it as: send TEXT \[to WHO\]"),
        ("send hi there", "write it as: send"),
        ("logout now", "write it as: logout$"),
        ("wait message hi from sip:b@x from sip:c@x", "write it as: wait"),
        ("wait message like", "write it as: wait"),
        ("wait mesage", "there is nothing like 'mesage' to wait for, but invited, "),
        ("wait message from bob", "'bob' is nobody"),
        ("call b@cc.com", "'b@cc.com' is nobody"),
        ("name bob bob", "'bob' is nobody"),
        ("delay soon", "'soon' is no number of seconds"),
        ("delay -1", "no number of seconds"),
        ("timeout inf", "no number of seconds"),
        ("decline with 200", "'200' is no status"),
        ("decline with busy", "'busy' is no status"),
        ("refused", "stands in front of a step"),
        ("refused 486", "stands in front of a step"),
        ("refused 99 call sip:b@x", "'99' is no status"),
        ("set colour red", "set: there is no 'colour', but on_invite, "),
        ("set on_invite perhaps", "set on_invite: 'perhaps' makes no sense"),
        ("set sessions 1", "set sessions: '1' makes no sense"),
        ("set cancel_at soon", "set cancel_at: 'soon' makes no sense"),
        ("send 'hi", "No closing quotation"),
    ],
)
def test_mistakes_are_named_with_their_line(line: str, mistake: str) -> None:
    with pytest.raises(ScriptError, match=f"^script:3: .*{mistake}"):
        parse(f"# comment\n\n{line}\nnever read")


def test_names_are_known_from_where_they_are_given() -> None:
    assert len(parse("name bob sip:b@cc.com\ncall bob\ninvite x@example.com\nsend hi to x@example.com").steps) == 4
    with pytest.raises(ScriptError, match="script:1: 'bob' is nobody"):
        parse("call bob\nname bob sip:b@cc.com")


def test_a_script_without_end() -> None:
    with pytest.raises(ScriptError, match="longer than"):
        parse("#" * (MAX_SCRIPT + 1))


@pytest.mark.parametrize("path", sorted((ROOT / "config" / "phone").glob("*.phone")), ids=lambda path: path.stem)
def test_the_scripts_that_come_with_it(path: Path) -> None:
    assert load(path).steps


def test_the_manual_has_every_step_and_kind() -> None:
    manual = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    assert [verb for verb, usage in STEPS.items() if f"| `{f'{verb} {usage}'.strip()}` |" not in manual] == []
    assert [kind for kind, words in KINDS.items() if f"| `{kind}` | {words} |" not in manual] == []
