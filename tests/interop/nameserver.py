"""A DNS server that knows one zone file: for what a core publishes about its nodes."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.zone

from sipstack.flow import HostPort


class NameServer(asyncio.DatagramProtocol):
    """Answers by UDP on loopback. ``records`` are lines as in a zone file, without SOA and NS."""

    def __init__(self, domain: str, records: str) -> None:
        self.questions: list[tuple[str, str]] = []
        text = f"$TTL 60\n@ SOA ns root 1 60 60 60 60\n@ NS ns\nns A 127.0.0.1\n{records}"
        self._zone = dns.zone.from_text(text, domain, relativize=False)
        self._transport: asyncio.DatagramTransport

    @property
    def address(self) -> HostPort:
        """Where it is asked."""
        host, port = self._transport.get_extra_info("sockname")
        return host, port

    def datagram_received(self, data: bytes, remote: HostPort) -> None:
        """Answer a question; what is none gets no answer."""
        try:
            query = dns.message.from_wire(data)
        except dns.exception.DNSException:
            return
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.AA
        question = query.question[0]
        self.questions.append((question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)))
        records = self._zone.get_rrset(question.name, question.rdtype)
        if records is not None:
            answer.answer.append(dns.rrset.from_rdata_list(question.name, records.ttl, list(records)))
        elif self._zone.get_node(question.name) is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(answer.to_wire(), remote)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._transport.close()
