"""Where responses go (:rfc:`3261#section-18.2`, :rfc:`3581#section-4`), and requests outside any dialog."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

from sipstack.flow import Flow, HostPort
from sipstack.sip.grammar import split_list
from sipstack.sip.message import Request, Response
from sipstack.sip.uri import Uri
from sipstack.sip.via import Via

KEEP_SECONDS = "30"
"""What we recommend for keep-alives (A-OUT-06): short enough for the mappings of NATs by UDP."""

MAX_KEEP_SECONDS = 3600
"""Whoever recommends more has made a slip, and the next keep-alive may as well come then."""

DEFAULT_PORT = 5060

_DEFAULT_PORTS = {"TLS": 5061, "WS": 80, "WSS": 443}
_SECURED = {"udp": "", "tcp": "TLS", "tls": "TLS", "ws": "WSS", "wss": "WSS"}


def default_port(transport: str) -> int:
    """Return the port for a sent-by or URI without one (:rfc:`3261#section-19.1.2`, :rfc:`7118#section-5.5`)."""
    return _DEFAULT_PORTS.get(transport, DEFAULT_PORT)


def wanted_transport(uri: Uri) -> str | None:
    """Return the transport that a sip or sips URI asks for, as Via writes it; None when it leaves the choice to us.

    "" when no transport can be what it asks for: sips over UDP. ``transport=wss`` is in no RFC, but cores write it.
    """
    wanted = uri.param("transport")
    if not wanted:
        return None
    return _SECURED.get(wanted.lower(), wanted.upper()) if uri.scheme == "sips" else wanted.upper()


def _numeric(host: str) -> str | None:
    """Return an IP address in its canonical form, None for a name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None


def _same_address(sent_by: str, address: str) -> bool:
    """Compare an unbracketed sent-by host with a source address; only IPv6 has more than one spelling."""
    return sent_by == address or (":" in sent_by and _numeric(sent_by) == _numeric(address))


def mark_received(request: Request, flow: Flow) -> None:
    """Write into the top Via where ``request`` really came from.

    ``received`` is set if sent-by is a name or another address than the source (A-TRN-03). An ``rport`` gets the source
    port, and then ``received`` is always set (A-TRN-06). What the peer wrote into them itself is replaced. A ``keep``
    without value gets one: keep-alives are welcome (:rfc:`6223#section-4.4`). Doing it twice changes nothing.
    """
    via = request.via
    address, port = flow.remote[0].partition("%")[0], flow.remote[1]  # an IPv6 zone is nobody's but ours
    needed = not _same_address(via.host_port[0], address)
    parameters: list[tuple[str, str | None]] = []
    for name, value in via.parameters:
        lower = name.lower()
        if lower == "rport":
            parameters.append((name, str(port)))
            needed = True
        elif lower == "keep" and not value:
            parameters.append((name, KEEP_SECONDS))
        elif lower != "received":
            parameters.append((name, value))
    if needed:
        parameters.append(("received", address))
    marked = tuple(parameters)
    if marked != via.parameters:
        first, *others = split_list(request.headers.get("Via", ""))
        top, vias = replace(via, parameters=marked), [*request.vias]
        request.headers.remove_first("Via")
        request.headers.insert("Via", ", ".join([str(top), *others]))
        vias[0] = top
        request.headers.parsed[Request.vias.key] = vias  # nothing else has changed: no need to read them again


def agreed_keep_alive(response: Response) -> int | None:
    """Return the seconds between keep-alives that our Via in ``response`` recommends, 0 where it leaves them to us;
    None when the other end has not agreed to any (:rfc:`6223#section-4.3`)."""
    value = response.via.param("keep") or ""
    return min(int(value), MAX_KEEP_SECONDS) if value.isascii() and value.isdigit() else None


def response_flow(request: Request, flow: Flow, *, connected: bool = True) -> Flow:
    """Return the flow for the responses to ``request``, which came by ``flow`` and has been marked by
    :func:`mark_received` (:rfc:`3261#section-18.2.2`, A-TRN-04).

    Reliable transports: the same connection, or with ``connected=False`` one to be opened to the source address and the
    sent-by port, but for WebSockets, which only their clients open (:rfc:`7118#section-5`). UDP: ``maddr`` (numeric
    only), else the source address with the ``rport`` or else sent-by port, from our address that got the request.
    """
    if flow.reliable and (connected or flow.transport in ("WS", "WSS")):
        return flow
    via = request.via
    remote = _answer_address(via, flow)
    if remote == flow.remote and flow.connection is None:
        return flow
    return Flow(flow.transport, remote, flow.local if not flow.reliable else None)


def _answer_address(via: Via, flow: Flow) -> HostPort:
    port = via.port or default_port(flow.transport)
    if flow.reliable:
        return flow.remote[0], port
    maddr = via.param("maddr")
    if maddr and (address := _numeric(maddr.strip("[]"))) is not None:
        return address, port
    return flow.remote[0], via.rport or port


def initial_routes(proxy: Uri | None, service_route: tuple[Uri, ...]) -> tuple[Uri, ...]:
    """Return the Route of a request outside any dialog: the outbound proxy, then the Service-Route (:rfc:`3608`)."""
    if proxy is None:
        return service_route
    if service_route and service_route[0].host_port == proxy.host_port:
        # The core is its own edge: twice the same hop would be a spiral.
        return service_route
    return (proxy, *service_route)
