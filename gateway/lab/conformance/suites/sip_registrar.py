"""The target as a registrar (:rfc:`3261#section-10.3`)."""

from __future__ import annotations

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import case
from gateway.lab.conformance.registrant import Registrant, bindings, find, seconds
from gateway.lab.conformance.sipsteps import UNKNOWN_TAG
from sipstack import ids

SUITE = "sip.registration.registrar"
REGISTRAR = {"registrar"}
RULES = ("A-REG-11",)


async def registrant(bench: Bench) -> Registrant:
    """Return somebody who registers from a new address of ours."""
    return Registrant(bench, await bench.sip.peer())


@case(
    "SIP-REG-RR-001",
    "RFC 3261 §10.3 step 8",
    suite=SUITE,
    roles=REGISTRAR,
    rules=RULES,
    purpose="A binding that is made is shown.",
    expects="200 that lists our Contact with the time it has left.",
)
async def binding_is_made(bench: Bench) -> None:
    guest = await registrant(bench)
    answer = await guest.add(headers=[("Expires", "600")])
    binding = find(bindings(answer.response), guest.contact)
    bench.check(binding is not None, "the 200 does not list the Contact that was registered")
    bench.check(seconds(binding) is not None, "the Contact in the 200 has no expires")
    bench.check((seconds(binding) or 0) <= 600, f"600 s were asked for, {seconds(binding)} are given")


@case(
    "SIP-REG-RR-002",
    "RFC 3261 §10.3",
    suite=SUITE,
    roles=REGISTRAR,
    rules=RULES,
    purpose="A REGISTER without Contact asks for the bindings, and changes none.",
    expects="200 that lists our Contact as it was registered.",
)
async def bindings_are_fetched(bench: Bench) -> None:
    guest = await registrant(bench)
    await guest.add()
    bench.check(find(await guest.fetch(), guest.contact) is not None, "a binding is not listed when it is asked for")


@case(
    "SIP-REG-RR-003",
    "RFC 3261 §10.3 step 7",
    suite=SUITE,
    roles=REGISTRAR,
    rules=RULES,
    purpose="A binding is removed by expires=0.",
    expects="It is gone from the 200 and from the next list.",
)
async def binding_is_removed(bench: Bench) -> None:
    guest = await registrant(bench)
    await guest.add()
    answer = await guest.remove()
    bench.check(answer.response.is_success, f"removing a binding gets {answer}")
    bench.check(find(bindings(answer.response), guest.contact) is None, "the 200 lists the binding that it removed")
    bench.check(find(await guest.fetch(), guest.contact) is None, "a removed binding is still there")


@case(
    "SIP-REG-RR-004",
    "RFC 3261 §10.2.1.1, §10.3 step 7",
    suite=SUITE,
    roles=REGISTRAR,
    rules=("A-REG-01", *RULES),
    purpose="The expires of a Contact counts, not the Expires of the request.",
    expects="A Contact with expires=120 lasts 120 s at most, though Expires says 3600.",
)
async def expires_of_the_contact_counts(bench: Bench) -> None:
    guest = await registrant(bench)
    bench.later(guest.remove)
    request = guest.request([f"<{guest.contact}>;expires=120"], [("Expires", "3600")])
    answer = await guest.send(request)
    if answer.response.status == 423:
        bench.not_applicable("120 s are too short for the registrar")
    if not answer.response.is_success:
        bench.inconclusive(f"the registrar refuses us: {answer}")
    given = seconds(find(await guest.fetch(), guest.contact), answer.response)
    if given is None:
        bench.inconclusive("the registrar does not say how long a binding lasts")
    bench.check(given <= 120, f"120 s were asked for by the Contact, {given} are given")


@case(
    "SIP-REG-RR-005",
    "RFC 3261 §10.3 step 7",
    suite=SUITE,
    roles=REGISTRAR,
    rules=RULES,
    purpose="One REGISTER may bind two Contacts.",
    expects="Both are listed.",
)
async def two_contacts_are_bound(bench: Bench) -> None:
    guest = await registrant(bench)
    second = f"sip:c-{ids.token(48)}@{guest.peer.sent_by}"
    bench.later(lambda: guest.remove(guest.contact, second))
    await guest.register([f"<{guest.contact}>", f"<{second}>"])
    listed = await guest.fetch()
    bench.check(find(listed, guest.contact) and find(listed, second), "of two Contacts in one REGISTER one is missing")


@case(
    "SIP-REG-RR-006",
    "RFC 3261 §10.3 step 6, §10.2.2",
    suite=SUITE,
    roles=REGISTRAR,
    rules=("A-MSG-24", *RULES),
    purpose="Contact: * with Expires: 0 removes all bindings.",
    expects="200, and nothing is listed any more.",
)
async def all_bindings_are_removed(bench: Bench) -> None:
    guest = await registrant(bench)
    await guest.add()
    answer = await guest.send(guest.request(["*"], [("Expires", "0")]))
    bench.check(answer.response.is_success, f"removing all bindings gets {answer}")
    bench.check(not await guest.fetch(), "a binding outlives the removal of all")


@case(
    "SIP-REG-RR-007",
    "RFC 3261 §10.3 step 6",
    suite=SUITE,
    roles=REGISTRAR,
    rules=("A-MSG-24", *RULES),
    purpose="Contact: * is for removing only.",
    expects="400 when Expires is not 0.",
)
async def star_needs_expires_zero(bench: Bench) -> None:
    guest = await registrant(bench)
    answer = await guest.send(guest.request(["*"], [("Expires", "60")]))
    bench.check(answer.response.status == 400, f"Contact: * with Expires: 60 gets {answer}, not 400")


@case(
    "SIP-REG-RR-008",
    "RFC 3261 §10.3 step 6",
    suite=SUITE,
    roles=REGISTRAR,
    rules=("A-MSG-24", *RULES),
    purpose="Contact: * stands alone.",
    expects="400 when there is another Contact.",
)
async def star_stands_alone(bench: Bench) -> None:
    guest = await registrant(bench)
    answer = await guest.send(guest.request(["*", f"<{guest.contact}>"], [("Expires", "0")]))
    bench.check(answer.response.status == 400, f"Contact: * with another Contact gets {answer}, not 400")


@case(
    "SIP-REG-RR-009",
    "RFC 3261 §10.3 step 7",
    suite=SUITE,
    roles=REGISTRAR,
    rules=("A-REG-03", *RULES),
    purpose="A registrar for which a time is too short says which is not.",
    expects="423 with Min-Expires to a binding of one second; taking it is fine, too.",
)
async def too_brief_is_explained(bench: Bench) -> None:
    guest = await registrant(bench)
    bench.later(guest.remove)
    answer = await guest.send(guest.request([f"<{guest.contact}>"], [("Expires", "1")]))
    if answer.response.status == 423:
        bench.check(answer.response.min_expires is not None, "the 423 has no Min-Expires")
    else:
        bench.check(answer.response.is_success, f"a binding of one second gets {answer}")


@case(
    "SIP-REG-RR-010",
    "RFC 3261 §10.3 step 7",
    suite=SUITE,
    roles=REGISTRAR,
    rules=RULES,
    purpose="A REGISTER that comes too late changes nothing.",
    expects="With the Call-ID and a lower CSeq of the binding, removing it fails.",
)
async def late_register_changes_nothing(bench: Bench) -> None:
    guest = await registrant(bench)
    guest.cseq = 50
    await guest.add()
    late = guest.request([f"<{guest.contact}>;expires=0"], cseq=10)
    answer = await guest.send(late)
    bench.check(answer.response.status >= 300, f"a REGISTER whose CSeq went back gets {answer}")
    bench.check(find(await guest.fetch(), guest.contact) is not None, "a REGISTER whose CSeq went back takes a binding")


@case(
    "SIP-REG-RR-011",
    "RFC 3261 §10.3 step 7, §10.2.4",
    suite=SUITE,
    roles=REGISTRAR,
    rules=RULES,
    purpose="A REGISTER for a Contact that is bound makes its time anew.",
    expects="One binding, with the time of the second REGISTER.",
)
async def binding_is_refreshed(bench: Bench) -> None:
    guest = await registrant(bench)
    await guest.add(";expires=600")
    answer = await guest.register([f"<{guest.contact}>;expires=1200"])
    user = guest.contact[4:].partition("@")[0]
    same = [contact for contact in await guest.fetch() if contact.uri.user == user]
    bench.check(len(same) == 1, f"a Contact that is registered twice is listed {len(same)} times")
    bench.check((seconds(same[0], answer.response) or 0) <= 1200, "the binding lasts longer than asked for")


@case(
    "SIP-REG-RR-012",
    "RFC 3261 §10.3 step 7, §19.1.4",
    suite=SUITE,
    roles=REGISTRAR,
    rules=("A-URI-01",),
    purpose="Contacts are compared as URIs, not as text.",
    expects="A Contact with an escaped letter in its user is the one without.",
)
async def contacts_are_compared_as_uris(bench: Bench) -> None:
    guest = await registrant(bench)
    await guest.add()
    answer = await guest.remove(guest.contact.replace("sip:c-", "sip:%63-", 1))
    bench.check(answer.response.is_success, f"removing a binding gets {answer}")
    listed = await guest.fetch()
    if find(listed, guest.contact) is not None:
        await guest.remove()
        if find(await guest.fetch(), guest.contact) is not None:
            bench.inconclusive("the registrar removes no binding")
        bench.fail("a binding named with an escaped letter is not found")


@case(
    "SIP-REG-RR-013",
    "RFC 3261 §8.2.2.3, §10.3 step 2",
    suite=SUITE,
    roles=REGISTRAR,
    rules=("A-UAS-05",),
    purpose="A REGISTER that requires what nobody has is refused.",
    expects="420 with Unsupported, and no binding.",
)
async def register_that_requires_too_much_is_refused(bench: Bench) -> None:
    guest = await registrant(bench)
    bench.later(guest.remove)
    answer = await guest.send(guest.request([f"<{guest.contact}>"], [("Require", UNKNOWN_TAG)]))
    bench.check(answer.response.status == 420, f"a REGISTER that requires what nobody has gets {answer}, not 420")
    bench.check(UNKNOWN_TAG in answer.response.headers.get("Unsupported", ""), "the 420 does not say what is missing")


@case(
    "SIP-REG-RR-014",
    "RFC 4475 §3.3.12, RFC 3261 §20.10",
    suite=SUITE,
    roles=REGISTRAR,
    rules=("G-T45",),
    purpose="Without brackets a parameter behind a Contact is the header's, not the URI's.",
    expects="The URI is listed without it.",
)
async def parameter_without_brackets_is_of_the_header(bench: Bench) -> None:
    guest = await registrant(bench)
    bench.later(guest.remove)
    await guest.register([f"{guest.contact};x-odd=1"])
    binding = next((item for item in await guest.fetch() if item.uri.user == guest.contact[4:].partition("@")[0]), None)
    bench.check(binding is not None, "a Contact without brackets is not bound")
    bench.check(
        binding is not None and binding.uri.param("x-odd") is None, "a parameter of the header is in the URI now"
    )


@case(
    "SIP-REG-RR-015",
    "RFC 4475 §3.3.13, §3.3.14",
    suite=SUITE,
    roles=REGISTRAR,
    rules=("G-T46", "G-T47"),
    purpose="A Contact's URI is kept with all it has.",
    expects="Its unknown parameter and its escaped header are listed.",
)
async def uri_is_kept_whole(bench: Bench) -> None:
    guest = await registrant(bench)
    whole = f"{guest.contact};x-odd=1?Route=%3Csip:relay.lab.example%3E"
    bench.later(lambda: guest.remove(whole))
    await guest.register([f"<{whole}>"])
    user = guest.contact[4:].partition("@")[0]
    binding = next((item for item in await guest.fetch() if item.uri.user == user), None)
    if binding is None:
        bench.fail("a Contact whose URI has a parameter and a header is not bound")
    bench.check(binding.uri.param("x-odd") == "1", f"the parameter is gone: {binding.uri}")
    bench.check("route" in str(binding.uri).lower(), f"the escaped header is gone: {binding.uri}")


@case(
    "SIP-REG-RR-016",
    "RFC 3327 §5.3",
    suite=SUITE,
    roles=REGISTRAR,
    rules=("A-REG-07",),
    purpose="A registrar that keeps a Path says which.",
    expects="Path in the 200 as it came; 420 is fine from a registrar without Path.",
)
async def path_is_told(bench: Bench) -> None:
    guest = await registrant(bench)
    bench.later(guest.remove)
    path = "<sip:edge.lab.example;lr>"
    headers = [("Supported", "path"), ("Require", "path"), ("Path", path)]
    answer = await guest.send(guest.request([f"<{guest.contact}>"], headers))
    if answer.response.status == 420:
        bench.not_applicable("the registrar has no Path")
    bench.check(answer.response.is_success, f"a REGISTER with Path gets {answer}")
    told = [str(item) for item in answer.response.paths]
    bench.check(told == [path], f"Path of the 200 is {', '.join(told) or 'missing'}")
