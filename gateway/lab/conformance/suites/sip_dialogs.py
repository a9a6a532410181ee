"""Dialogs with the target called (:rfc:`3261#section-12`, :rfc:`3261#section-14.2`, :rfc:`3261#section-15.1.2`)."""

from __future__ import annotations

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import case
from gateway.lab.conformance.peer import answers
from gateway.lab.conformance.rawdialog import RawDialog
from gateway.lab.conformance.sipsteps import call, gather, need_success, ringing, tag
from sipstack.sip.address import Address

SUITE = "sip.dialogs.called"
UAS = {"uas"}


@case(
    "SIP-DLG-UAS-001",
    "RFC 3261 §8.2.6.2, §12.1.1",
    suite=SUITE,
    roles=UAS,
    rules=("A-UAS-07", "A-DLG-01"),
    purpose="All answers to one INVITE have one To tag.",
    expects="Each answer above 100 has a To tag, the same in all.",
)
async def answers_have_one_to_tag(bench: Bench) -> None:
    peer = await bench.sip.peer()
    invite = peer.request("INVITE", body=await bench.offer())
    final = await peer.exchange(invite)
    need_success(bench, final)
    dialog = RawDialog.calling(peer, invite, final.response)
    bench.later(dialog.hangup)
    again = await gather(bench, peer, answers(invite, least=101), 1.5 * bench.options.t1 + bench.options.slack)
    await dialog.send(dialog.ack())
    seen = [item.response.to.tag for item in (final, *again)]
    bench.check(all(seen), "an answer to INVITE has no To tag")
    bench.check(len(set(seen)) == 1, f"the answers to one INVITE have {len(set(seen))} To tags")


@case(
    "SIP-DLG-UAS-002",
    "RFC 3261 §12.1.1",
    suite=SUITE,
    roles=UAS,
    rules=("A-DLG-02",),
    purpose="A 2xx names all proxies that want to stay in the path, as they named themselves.",
    expects="Record-Route of the INVITE in the 2xx: order, URI parameters and header parameters unchanged.",
)
async def record_routes_are_copied(bench: Bench) -> None:
    peer = await bench.sip.peer()
    wanted = [
        f"<sip:{peer.sent_by};lr;x-edge=1>;x-stay=yes",
        "<sip:core-a.lab.example;lr>",
        "<sip:core-b.lab.example;transport=tcp;lr>",
    ]
    made = await call(bench, [("Record-Route", f"{wanted[0]}, {wanted[1]}"), ("Record-Route", wanted[2])], ack=False)
    made.dialog.routes.clear()  # those hosts are nowhere: straight to the target instead
    copied = [str(route) for route in made.response.record_routes]
    expected = [str(Address.parse(text)) for text in wanted]
    bench.check(copied == expected, f"Record-Route in the 2xx is {', '.join(copied) or 'missing'}")


@case(
    "SIP-DLG-UAS-003",
    "RFC 3261 §12.1.1, §13.3.1.4",
    suite=SUITE,
    roles=UAS,
    rules=("A-DLG-02",),
    purpose="A 2xx says where the rest of the dialog goes.",
    expects="One Contact with a SIP URI.",
)
async def success_has_a_contact(bench: Bench) -> None:
    made = await call(bench)
    contacts = made.response.contacts
    bench.check(len(contacts) == 1, f"the 2xx has {len(contacts)} Contacts instead of one")
    bench.check(contacts[0].uri.is_sip, f"the Contact {contacts[0]} is no SIP URI")
    for name in ("Allow", "Supported"):
        if name not in made.response.headers:
            bench.remark(f"the 2xx has no {name} (SHOULD)")


@case(
    "SIP-DLG-UAS-004",
    "RFC 3261 §15.1.2",
    suite=SUITE,
    roles=UAS,
    rules=("A-INV-09",),
    purpose="A BYE in the dialog ends it.",
    expects="200; a second BYE should get 481.",
)
async def bye_ends_the_dialog(bench: Bench) -> None:
    made = await call(bench)
    answer = await made.dialog.hangup()
    bench.check(answer.response.status == 200, f"a BYE gets {answer}")
    again = await made.dialog.hangup()
    if again.response.status != 481:
        bench.remark(f"a BYE after the end gets {again}, not 481 (SHOULD)")


@case(
    "SIP-DLG-UAS-005",
    "RFC 3261 §15.1.2, §12.2.2",
    suite=SUITE,
    roles=UAS,
    rules=("A-DLG-08", "A-INV-09"),
    purpose="A BYE for a dialog that does not exist is answered.",
    expects="481, as it should be.",
)
async def bye_of_nothing_is_refused(bench: Bench) -> None:
    peer = await bench.sip.peer()
    answer = await peer.exchange(peer.request("BYE", to=f"<{bench.target.aor}>;tag={tag()}", cseq=7))
    if answer.response.status != 481:
        bench.remark(f"a BYE for nothing gets {answer}, not 481 (SHOULD)")


@case(
    "SIP-DLG-UAS-006",
    "RFC 3261 §12.2.2",
    suite=SUITE,
    roles=UAS,
    rules=("A-DLG-08",),
    purpose="A To tag that nobody gave makes no new call.",
    expects="481 to an INVITE with it.",
)
async def invite_with_unknown_tag_is_refused(bench: Bench) -> None:
    peer = await bench.sip.peer()
    invite = peer.request("INVITE", to=f"<{bench.target.aor}>;tag={tag()}", body=await bench.offer(), cseq=7)
    answer = await peer.exchange(invite)
    if answer.response.status < 300:
        dialog = RawDialog.calling(peer, invite, answer.response)
        await dialog.send(dialog.ack())
        await dialog.hangup()
        bench.remark("an INVITE with a To tag out of nowhere makes a call (allowed after a restart)")
        return
    bench.check(answer.response.status == 481, f"an INVITE with a To tag out of nowhere gets {answer}, not 481")


@case(
    "SIP-DLG-UAS-007",
    "RFC 3261 §12.2.2",
    suite=SUITE,
    roles=UAS,
    rules=("A-DLG-06",),
    purpose="A request with a lower CSeq than the one before comes too late.",
    expects="500, and the dialog goes on.",
)
async def lower_cseq_is_refused(bench: Bench) -> None:
    made = await call(bench)
    await made.peer.exchange(made.dialog.request("OPTIONS"))
    late = await made.peer.exchange(made.dialog.request("OPTIONS", cseq=made.dialog.cseq - 1))
    if late.response.status == 481:
        bench.inconclusive("an OPTIONS in the dialog has ended it")
    bench.check(late.response.status == 500, f"a request whose CSeq went back gets {late}, not 500")
    end = await made.dialog.hangup()
    bench.check(end.response.status == 200, f"the BYE behind it gets {end}")


@case(
    "SIP-DLG-UAS-008",
    "RFC 3261 §12.2.2",
    suite=SUITE,
    roles=UAS,
    rules=("A-DLG-06",),
    purpose="Numbers may be left out: whoever challenged a request on the way has used them up.",
    expects="A BYE whose CSeq is 100 higher gets 200.",
)
async def gaps_in_cseq_are_fine(bench: Bench) -> None:
    made = await call(bench)
    made.dialog.cseq += 100
    answer = await made.dialog.hangup()
    bench.check(answer.response.status == 200, f"a BYE whose CSeq leaves numbers out gets {answer}")


@case(
    "SIP-DLG-UAS-009",
    "RFC 3261 §11.2",
    suite=SUITE,
    roles=UAS,
    rules=("A-OPT-03",),
    purpose="An OPTIONS in a dialog leaves the dialog alone.",
    expects="200, and the BYE behind it gets 200.",
)
async def options_in_a_dialog_changes_nothing(bench: Bench) -> None:
    made = await call(bench)
    probe = await made.peer.exchange(made.dialog.request("OPTIONS"))
    bench.check(probe.response.is_success, f"an OPTIONS in the dialog gets {probe}")
    end = await made.dialog.hangup()
    bench.check(end.response.status == 200, f"after an OPTIONS the BYE gets {end}")


@case(
    "SIP-DLG-UAS-010",
    "RFC 3261 §14.2",
    suite=SUITE,
    roles=UAS,
    rules=("A-INV-07",),
    purpose="An INVITE in the dialog with the same offer changes nothing and is taken.",
    expects="2xx with an answer and a Contact, the To tag of the dialog.",
)
async def reinvite_is_taken(bench: Bench) -> None:
    made = await call(bench)
    invite = made.dialog.request("INVITE", body=made.invite.body)
    answer = await made.peer.exchange(invite)
    bench.check(answer.response.is_success, f"an INVITE that changes nothing gets {answer}")
    await made.dialog.send(made.dialog.ack(invite.cseq.number))
    bench.check(answer.response.body, "the 2xx of an INVITE with an offer has no answer to it")
    bench.check(answer.response.contacts, "the 2xx of the second INVITE has no Contact")
    bench.check(answer.response.to.tag == made.response.to.tag, "the second INVITE gets another To tag")


@case(
    "SIP-DLG-UAS-011",
    "RFC 3261 §14.1, §14.2",
    suite=SUITE,
    roles=UAS,
    rules=("A-INV-07",),
    purpose="An offer that cannot be used leaves the session as it is.",
    expects="The INVITE is refused, which should be by 488, or the medium is; the BYE behind it gets 200.",
)
async def refused_reinvite_changes_nothing(bench: Bench) -> None:
    made = await call(bench)
    session = made.invite.body.partition(b"m=")[0].replace(b" 1 IN ", b" 2 IN ", 1)  # another version in o=
    body = session + b"m=x-nothing 9 x-proto/x-none 0\r\n"
    invite = made.dialog.request("INVITE", body=body)
    answer = await made.peer.exchange(invite)
    if answer.response.is_success:
        await made.dialog.send(made.dialog.ack(invite.cseq.number))
    elif answer.response.status not in (488, 606):
        bench.remark(f"an offer that cannot be used gets {answer}, not 488 (SHOULD)")
    end = await made.dialog.hangup()
    bench.check(end.response.status == 200, f"after a refused offer the BYE gets {end}")


@case(
    "SIP-DLG-UAS-012",
    "RFC 3261 §15.1.2",
    suite=SUITE,
    roles=UAS,
    rules=("A-INV-09", "A-INV-08"),
    purpose="The caller may end an early dialog with BYE.",
    expects="200 to the BYE and a final answer to the INVITE, which should be 487.",
)
async def bye_ends_an_early_dialog(bench: Bench) -> None:
    peer, invite, early = await ringing(bench)
    if early.response.to.tag is None:
        bench.not_applicable("the target makes no early dialog")
    dialog = RawDialog.calling(peer, invite, early.response)
    answer = await dialog.hangup()
    bench.check(answer.response.status == 200, f"a BYE in an early dialog gets {answer}")
    final = await peer.expect(answers(invite, least=200), "after a BYE the INVITE gets no final answer")
    if final.response.is_success:
        await dialog.send(dialog.ack())
        bench.fail("after a BYE the call is taken")
    await peer.send(peer.ack(invite, final.response))
    if final.response.status != 487:
        bench.remark(f"the INVITE gets {final}, not 487 (RECOMMENDED)")


@case(
    "SIP-DLG-UAS-013",
    "RFC 3261 §12.1.1, §12.2.1.1",
    suite=SUITE,
    roles=UAS,
    rules=("A-DLG-01",),
    purpose="Two calls at once do not meddle with each other.",
    expects="Different To tags; the end of the first leaves the second alone.",
)
async def two_calls_are_two_dialogs(bench: Bench) -> None:
    one = await call(bench)
    other = await call(bench)
    bench.check(one.response.to.tag != other.response.to.tag, "two calls get one To tag")
    await one.dialog.hangup()
    answer = await other.dialog.hangup()
    bench.check(answer.response.status == 200, f"after the end of one call the BYE of the other gets {answer}")
