"""Hypothesis strategies for what goes over the wire."""

from __future__ import annotations

import string

from hypothesis import strategies as st

from sipstack.sip.address import Address
from sipstack.sip.grammar import Parameters
from sipstack.sip.message import Request, Response
from sipstack.sip.uri import Uri, escape_user
from sipstack.sip.via import Via

TOKEN_CHARACTERS = string.ascii_letters + string.digits + "-.!%*_+`'~"


def tokens(max_size: int = 12) -> st.SearchStrategy[str]:
    """``token`` of RFC 3261 section 25.1."""
    return st.text(TOKEN_CHARACTERS, min_size=1, max_size=max_size)


def texts(max_size: int = 20) -> st.SearchStrategy[str]:
    """What a quoted-string can hold."""
    return st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=max_size)


def hosts() -> st.SearchStrategy[str]:
    """Names, IPv4 and bracketed IPv6 addresses."""
    labels = st.text(string.ascii_letters + string.digits, min_size=1, max_size=4)
    names = st.tuples(labels, labels).map("-lab.".join)
    addresses = st.sampled_from(["192.0.2.1", "[2001:db8::9:1]", "[::ffff:192.0.2.2]"])
    return names | addresses


def ports() -> st.SearchStrategy[int | None]:
    """A port, or none."""
    return st.none() | st.integers(0, 65535)


def parameters(values: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[Parameters]:
    """Header parameters with different names."""
    value = st.none() | (tokens() if values is None else values)
    item = st.tuples(tokens(6), value)
    return st.lists(item, max_size=3, unique_by=lambda item: item[0].lower()).map(tuple)


def uris() -> st.SearchStrategy[Uri]:
    """sip, sips and tel URIs as a peer could send them."""
    users = st.none() | st.text(min_size=1, max_size=10).map(escape_user)
    names = st.text(string.ascii_letters + "-", min_size=1, max_size=6)
    values = st.none() | st.text(string.ascii_letters + string.digits + "-_.!~*'()[]/:&+$", min_size=1, max_size=8)
    uri_parameters = st.lists(st.tuples(names, values), max_size=3, unique_by=lambda item: item[0].lower()).map(tuple)
    header = st.tuples(names, st.text(string.ascii_letters + "?/:", max_size=6))
    sip = st.builds(
        Uri,
        scheme=st.sampled_from(["sip", "sips"]),
        user=users,
        host=hosts(),
        port=ports(),
        parameters=uri_parameters,
        headers=st.lists(header, max_size=2).map(tuple),
    )
    tel = st.text(string.digits + "-.()", max_size=12).map(lambda number: Uri("tel", f"+{number}0"))
    return sip | tel


def addresses() -> st.SearchStrategy[Address]:
    """Addresses with names, URIs and parameters."""
    return st.builds(Address, uris(), st.none() | texts(), parameters())


def vias() -> st.SearchStrategy[Via]:
    """Via values with a branch."""
    transports = st.sampled_from(["UDP", "TCP", "TLS", "WS", "X-LAB"])
    branch = tokens().map(lambda token: (("branch", f"z9hG4bK{token}"),))
    return st.builds(Via, transports, hosts(), ports(), branch)


def bodies() -> st.SearchStrategy[bytes]:
    """Anything."""
    return st.binary(max_size=40)


def _headers(draw: st.DrawFn, method: str, *, tagged: bool) -> list[tuple[str, str]]:
    to = draw(addresses()).without_params("tag")
    return [
        *(("Via", str(via)) for via in draw(st.lists(vias(), min_size=1, max_size=3))),
        ("From", str(draw(addresses()).without_params("tag").with_param("tag", draw(tokens())))),
        ("To", str(to.with_param("tag", draw(tokens())) if tagged else to)),
        ("Call-ID", draw(tokens(24))),
        ("CSeq", f"{draw(st.integers(0, 2**32 - 1))} {method}"),
        ("Contact", str(draw(addresses()))),
        ("X-Lab", " ".join(draw(st.lists(tokens(), max_size=3)))),
        ("Content-Type", "application/octet-stream"),
    ]


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Sound requests."""
    method = draw(st.sampled_from(["INVITE", "OPTIONS", "MESSAGE", "REGISTER", "BYE"]))
    uri = draw(uris())
    headers = _headers(draw, method, tagged=False)
    return Request(method, Uri(uri.scheme, uri.user, None, uri.host, uri.port), headers, draw(bodies()))


@st.composite
def responses(draw: st.DrawFn) -> Response:
    """Sound responses."""
    status = draw(st.integers(100, 699))
    reason = draw(st.text(string.printable[:95] + "äß好", max_size=12))
    return Response(status, reason, _headers(draw, "INVITE", tagged=True), draw(bodies()))
