"""UPDATE (:rfc:`3311`) with the target called: in dialogs that run, and while it rings."""

from __future__ import annotations

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import case
from gateway.lab.conformance.peer import Received
from gateway.lab.conformance.rawdialog import RawDialog
from gateway.lab.conformance.sipsteps import call, ringing
from sipstack.sip.message import Response

SUITE = "sip.offers.updates"
UAS = {"uas"}

LONGEST_RETRY_AFTER = 10
"""Seconds: "a randomly chosen value between 0 and 10 seconds" (:rfc:`3311#section-5.2`)."""


def need_update(bench: Bench, response: Response) -> None:
    """End the case unless the target says that it knows UPDATE: nobody may send one to others."""
    if "UPDATE" not in response.allow:
        bench.not_applicable("the target's Allow does not list UPDATE")


async def updated(dialog: RawDialog, body: bytes = b"") -> Received:
    """Send an UPDATE in the dialog and return its final answer."""
    return await dialog.peer.exchange(dialog.request("UPDATE", body=body))


@case(
    "SIP-UPD-UAS-001",
    "RFC 3311 §5.2, RFC 3261 §12.2.2",
    suite=SUITE,
    roles=UAS,
    rules=("A-OA-05", "A-DLG-07"),
    purpose="An UPDATE without a description moves the other end of the dialog, and nothing else.",
    expects="200 without a body; the dialog goes on.",
)
async def update_without_offer_is_taken(bench: Bench) -> None:
    made = await call(bench)
    need_update(bench, made.response)
    answer = await updated(made.dialog)
    bench.check(answer.response.status == 200, f"an UPDATE without offer gets {answer}")
    bench.check(not answer.response.body, "an UPDATE without offer gets a description")
    again = await updated(made.dialog)
    bench.check(again.response.status == 200, f"a second UPDATE gets {again}")


@case(
    "SIP-UPD-UAS-002",
    "RFC 3311 §5.2",
    suite=SUITE,
    roles=UAS,
    rules=("A-OA-05", "A-OA-02"),
    purpose="The offer of an UPDATE is answered in its 2xx.",
    expects="200 with the answer, of the same session, to the offer that made it; or 488 or 504.",
)
async def offer_in_update_is_answered(bench: Bench) -> None:
    made = await call(bench)
    need_update(bench, made.response)
    answer = await updated(made.dialog, made.invite.body)
    if answer.response.status in (488, 504):
        bench.not_applicable(f"the target takes no offers by UPDATE: {answer.response.status}")
    bench.check(answer.response.status == 200, f"an UPDATE with the offer of before gets {answer}")
    kind = answer.response.content_type
    bench.check(kind is not None and kind.full == "application/sdp", f"the answer to an offer is {kind}")
    before, after = (origin(response.body) for response in (made.response, answer.response))
    bench.check(before[:2] == after[:2], "the answer is of another session than the one before")


@case(
    "SIP-UPD-UAS-003",
    "RFC 3311 §5.2",
    suite=SUITE,
    roles=UAS,
    rules=("A-OA-05",),
    purpose="While the offer of the INVITE has no answer, another offer comes too early.",
    expects=f"500 with a Retry-After from 0 to {LONGEST_RETRY_AFTER} for an UPDATE with an offer in an early dialog.",
)
async def offer_before_the_answer_is_too_early(bench: Bench) -> None:
    peer, invite, early = await ringing(bench)
    if early.response.to.tag is None or "RSeq" in early.response.headers:
        bench.not_applicable("the target makes no early dialog in which its answer is to come")
    answer = await updated(RawDialog.calling(peer, invite, early.response), invite.body)
    if answer.response.status in (405, 501):
        bench.not_applicable(f"the target knows no UPDATE: {answer.response.status}")
    bench.check(
        answer.response.status == 500, f"an UPDATE with an offer before the answer to the last one gets {answer}"
    )
    after = answer.response.retry_after
    bench.check(after is not None, "a 500 for an UPDATE has no Retry-After")
    assert after is not None
    bench.check(after.seconds <= LONGEST_RETRY_AFTER, f"Retry-After is {after}, more than {LONGEST_RETRY_AFTER}")


def origin(description: bytes) -> list[str]:
    """Return what stands in the line ``o=``."""
    lines = description.decode("utf-8", "replace").splitlines()
    return next((line[2:].split() for line in lines if line.startswith("o=")), [])
