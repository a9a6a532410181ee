"""Is every node of the core there?"""

from __future__ import annotations

import asyncio
from functools import partial

from gateway.doctor.base import Check, Outcome, failed, ok, warning
from gateway.doctor.patient import Patient
from sipstack import ids
from sipstack.errors import SipstackError
from sipstack.net.resolver import Target, numeric_host
from sipstack.sip.message import Request
from sipstack.sip.uri import Uri

ANSWER_TIMEOUT = 4.0
"""Seconds that a node has for an answer."""

REMEDY = "Look at that node, or take it out of DNS or of core.alternatives. Guests go to the others meanwhile."


def nodes_checks(patient: Patient) -> list[Check]:
    """Return the check of the nodes, where there may be several: a list of proxies, or a name for SRV."""
    proxies = [Uri.parse(proxy) for proxy in patient.config.proxies]
    has_name = any(proxy.port is None and numeric_host(proxy.host) is None for proxy in proxies)
    if len(proxies) < 2 and not has_name:
        return []
    looking = partial(_nodes, patient, proxies)
    needs = ("core.bind",)
    return [Check("core.nodes", "OPTIONS to each node", looking, REMEDY, needs=needs, timeout=ANSWER_TIMEOUT * 3)]


async def _nodes(patient: Patient, proxies: list[Uri]) -> Outcome:
    targets: dict[tuple[str, str, int], Target] = {}
    for proxy in proxies:
        servers = await patient.endpoint.locator.resolver.servers(proxy)
        targets.update({target.place: target for server in servers for target in server.targets})
    answers = await asyncio.gather(*(_ask(patient, target) for target in targets.values()))
    silent = [
        f"{transport} {host}:{port} ({fault})"
        for (transport, host, port), fault in zip(targets, answers, strict=True)
        if fault
    ]
    there = f"{len(targets) - len(silent)} of {len(targets)} nodes answer"
    if not silent:
        return ok(f"{there}: {', '.join(f'{transport} {host}:{port}' for transport, host, port in sorted(targets))}")
    if len(silent) == len(targets):
        return failed(f"{there}: {', '.join(silent)}")
    return warning(f"{there}, not {', '.join(silent)}", REMEDY)


async def _ask(patient: Patient, target: Target) -> str:
    """Return what is wrong with a node; empty when it answers."""
    domain = patient.config.core.domain
    headers = [
        ("From", f"<sip:rcsgw@{domain}>;tag={ids.tag()}"),
        ("To", f"<{patient.registrar}>"),
        ("Call-ID", ids.call_id()),
        ("CSeq", "1 OPTIONS"),
    ]
    request = Request("OPTIONS", patient.registrar, headers)
    try:
        response = await patient.endpoint.request(request, route=target.flow, timeout=ANSWER_TIMEOUT)
    except SipstackError as error:
        return str(error)
    return f"{response.status} {response.reason}" if response.status == 503 else ""
