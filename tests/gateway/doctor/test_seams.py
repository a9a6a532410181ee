"""What the answers of an UP Center mean for those who are to be invited."""

from __future__ import annotations

import pytest

from gateway.config.load import loads
from gateway.doctor.patient import Patient
from gateway.doctor.seams import lookup, users_checks
from gateway.users.base import UserAnswer
from gateway.users.local import LocalUsers
from translators.identifiers import Identifier


class Users(LocalUsers):
    """An UP Center with one answer."""

    def __init__(self, answer: UserAnswer) -> None:
        super().__init__([])
        self.answer = answer

    async def lookup(self, identifier: Identifier) -> UserAnswer:
        return self.answer


@pytest.mark.parametrize(
    ("known", "on_unknown", "verdict", "words"),
    [
        ("no", "allow", "ok", "does not know them"),
        ("unknown", "allow", "ok", "everybody can be invited"),
        ("unknown", "refuse", "warning", "nobody is invited by e-mail"),
        ("yes", "allow", "failed", "every guest would be refused"),
    ],
)
async def test_look_up_of_nobody(known: str, on_unknown: str, verdict: str, words: str) -> None:
    text = f'[core]\ndomain = "cc.com"\n[users]\non_unknown = "{on_unknown}"\n'
    answer = UserAnswer(known, "sip:x@cc.com" if known == "yes" else None)  # type: ignore[arg-type]  # of a table
    outcome = await lookup(Patient(loads(text)), Users(answer))
    assert outcome.verdict == verdict and words in outcome.found


def test_who_asks_the_core_needs_it() -> None:
    """Else the remedy would be about its challenge, and nothing answers."""
    text = '[core]\ndomain = "cc.com"\noutbound_proxy = "sip:127.0.0.1:9;transport=tcp;lr"\n[users]\ndriver = "%s"\n'
    text += '[users.register]\ndomains = ["cc.com"]\n'
    needs = [
        {check.id: check.needs for check in users_checks(Patient(loads(text % driver)))}["users.login"]
        for driver in ("local", "register")
    ]
    assert needs == [("core.bind",), ("core.bind", "core.tcp")]
