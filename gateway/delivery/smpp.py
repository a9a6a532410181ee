"""Links by SMS: an SMPP 3.4 session that is kept up, at the pace that the server takes."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import ssl
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from gateway.backoff import pause
from gateway.config.channels import DeliverySmppSection
from gateway.config.types import RetrySection
from gateway.delivery.base import DeliveryOrder, DeliveryReceipt
from gateway.delivery.smpplink import SmppLink, SmppLost, SmppRefused, SmppServer
from gateway.delivery.smpppdu import ROK, RX_T_APPN, Pdu
from gateway.delivery.smppreceipt import is_receipt, normal_id, read_receipt
from gateway.delivery.smsparts import ShortMessages, TooLong, short_messages
from gateway.delivery.texts import sms_text
from gateway.drivers import Checked, DriverError

log = logging.getLogger("rcsgw.smpp")

SLOW_DOWN = frozenset({0x14, 0x58})
"""ESME_RMSGQFUL and ESME_RTHROTTLED: nothing is wrong, there is too much of it (F-SMP-13)."""

TEMPORARY = SLOW_DOWN | {
    0x04,  # RINVBNDSTS: the server has lost our session
    0x05,  # RALYBND: our last session has not ended there yet
    0x08,  # RSYSERR
    0x0D,  # RBINDFAIL and the next two: an operator can put it right in time
    0x0E,  # RINVPASWD
    0x0F,  # RINVSYSID
    0x64,  # RX_T_APPN
    0xFE,  # RDELIVERYFAILURE
    0xFF,  # RUNKNOWNERR
}
"""Answers after which the same message may go through later; all others are about the message itself and final. Numbers
from 0x400 on are each vendor's own: ``delivery.smpp.temporary`` adds to these."""

ALREADY_BOUND = 0x05
"""ESME_RALYBND: the login is right, and its only session is taken."""

THROTTLED_TRIES = 3
"""Submits of one part that are answered with a word of :data:`SLOW_DOWN`, before the order goes back to the queue: it
must not keep others, of other channels, from being sent."""

STORE_WAIT = 5.0
"""Seconds within which a receipt has to be stored; servers wait 10 and more for their answer."""

STABLE = 10.0
"""Seconds that a session must live for the next connection to be tried without a longer pause."""

MAX_PARTLY = 1000
"""Orders of which some parts were taken, remembered until the rest is; the oldest is sent whole again."""

MAX_VALIDITY = timedelta(days=63)
"""What GSM can express (3GPP TS 23.040 §9.2.3.12.1); longer is cut."""


class SmppDelivery:
    """:class:`gateway.delivery.base.DeliveryDriver` by SMPP, with receipts where they are asked for."""

    def __init__(
        self,
        section: DeliverySmppSection,
        *,
        password: str = "",
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``clock`` returns Unix seconds. Nothing is opened before :meth:`start`."""
        self.on_receipt: Callable[[DeliveryReceipt], None] | None = None
        self.receipts_stored: Callable[[], Awaitable[None]] | None = None
        self._section = section
        self._clock = clock
        self._server = SmppServer(
            host=section.host,
            port=section.port,
            system_id=section.system_id,
            password=password,
            system_type=section.system_type,
            bind=section.bind,
            tls=tls,
            window=section.window,
            enquire_interval=section.enquire_interval,
            timeout=section.timeout,
        )
        self._reconnect = RetrySection(first=min(1.0, section.reconnect), longest=section.reconnect)
        self._temporary = TEMPORARY | set(section.temporary)
        self._pace = _Pace(section.pace)
        self._partly: dict[bytes, list[str]] = {}
        self._link: SmppLink | None = None
        self._why = ""
        self._tried = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to bind, and to bind again whenever the session is lost."""
        if self._keeping is None:
            self._keeping = asyncio.get_running_loop().create_task(self._keep())

    async def close(self) -> None:
        """Unbind and stay away."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        if self._link is not None:
            await self._link.close()
            self._link = None

    async def send(self, order: DeliveryOrder) -> tuple[str, ...]:
        """Submit the text, part after part; parts that were taken before the order failed are not sent again."""
        text = sms_text(order)
        digest = hashlib.sha256(f"{order.message_id}\n{text}".encode()).digest()
        messages = self._cut(text, int.from_bytes(digest[:2]))
        common = self._fields(order, messages)
        taken = self._partly.pop(digest, [])
        try:
            for number, (esm_class, octets) in enumerate(messages.numbered(), start=1):
                if number > len(taken):
                    content = self._content(messages, number, octets)
                    taken.append(await self._submit(**common, esm_class=esm_class, **content))
        except DriverError:
            self._remember(digest, taken)
            raise
        return tuple(filter(None, taken)) if self._section.receipts != "none" else ()

    async def check(self) -> Checked:
        """Bind a session of its own and unbind it (:class:`gateway.drivers.Checkable`)."""
        who = f"{self._server.host}:{self._server.port}, {self._server.bind} {self._server.system_id}"
        try:
            link = await SmppLink.open(self._server, self._delivered)
        except SmppRefused as error:
            if error.status == ALREADY_BOUND:
                return Checked(f"{who}: a session of ours is bound already")
            raise DriverError(f"{who}: {error}", temporary=error.status in self._temporary) from error
        except SmppLost as error:
            raise DriverError(f"{who}: {error}", temporary=True) from error
        await link.close()
        return Checked(f"{who}: bound and unbound")

    # what is submitted

    def _cut(self, text: str, reference: int) -> ShortMessages:
        try:
            return short_messages(
                text, alphabet=self._section.alphabet, joining=self._section.long_messages, reference=reference
            )
        except TooLong as error:
            raise DriverError(str(error), temporary=False) from None

    def _fields(self, order: DeliveryOrder, messages: ShortMessages) -> dict[str, Any]:
        """Return what all parts share (SMPP 3.4 §4.4.1)."""
        section = self._section
        ton, npi, source = source_address(section.source, section.source_ton, section.source_npi)
        return {
            "service_type": section.service_type,
            "source_addr_ton": ton,
            "source_addr_npi": npi,
            "source_addr": source,
            "dest_addr_ton": section.destination_ton,
            "dest_addr_npi": section.destination_npi,
            "destination_addr": order.address.removeprefix("+"),
            "validity_period": self._validity(order),
            "registered_delivery": {"none": 0, "all": 1, "failures": 2}[section.receipts],
            "data_coding": messages.coding,
        }

    def _content(self, messages: ShortMessages, number: int, octets: bytes) -> dict[str, Any]:
        total = len(messages.parts)
        if messages.joining == "sar" and total > 1:
            return {
                "short_message": octets,
                "sar_msg_ref_num": messages.reference,
                "sar_total_segments": total,
                "sar_segment_seqnum": number,
            }
        if messages.joining == "payload" and messages.is_long:
            return {"message_payload": octets}
        return {"short_message": octets}

    def _validity(self, order: DeliveryOrder) -> str:
        """Return how long the server may try, as a relative time (SMPP 3.4 §7.1.1); empty: as it likes."""
        if self._section.validity == "server":
            return ""
        left = min(timedelta(seconds=max(order.until - self._clock(), 60.0)), MAX_VALIDITY)
        hours, seconds = divmod(left.seconds, 3600)
        months, days = divmod(left.days, 30)
        return f"00{months:02}{days:02}{hours:02}{seconds // 60:02}{seconds % 60:02}000R"

    async def _submit(self, **fields: Any) -> str:
        """Submit one part, more slowly when the server asks for it; return its message id."""
        throttled = 0
        while True:
            await self._pace.turn()
            link = await self._bound()
            try:
                answer = await link.request("submit_sm", **fields)
            except SmppRefused as error:
                if error.status in SLOW_DOWN:
                    self._pace.hold(2.0**throttled)
                    throttled += 1
                    if throttled < THROTTLED_TRIES:
                        continue
                raise DriverError(str(error), temporary=error.status in self._temporary) from error
            except SmppLost as error:
                raise DriverError(f"SMPP: {error}", temporary=True, certain=error.certain) from error
            return normal_id(answer.text("message_id"), self._section.submit_id)

    def _remember(self, digest: bytes, taken: list[str]) -> None:
        if taken:
            self._partly[digest] = taken
            if len(self._partly) > MAX_PARTLY:
                del self._partly[next(iter(self._partly))]

    # the session

    async def _bound(self) -> SmppLink:
        """Return the session; only the first attempt is waited for. Raises :class:`DriverError`."""
        await self.start()
        await self._tried.wait()
        if self._link is None:
            raise DriverError(f"SMPP: {self._why}", temporary=True)
        return self._link

    async def _keep(self) -> None:
        """Keep one session bound, with longer and longer pauses while that fails."""
        where = f"{self._server.host}:{self._server.port}"
        clock = asyncio.get_running_loop().time
        failures = 0
        while True:
            since = clock()
            try:
                self._link = await SmppLink.open(self._server, self._delivered)
            except (SmppRefused, SmppLost) as error:
                self._why = str(error)
            except Exception as error:  # a fault of ours must not end all short messages
                log.exception("SMPP server %s", where)
                self._why = type(error).__name__
            else:
                log.info("SMPP server %s: bound as %s", where, self._server.system_id)
                self._tried.set()
                await self._link.lost.wait()
                link, self._link = self._link, None
                self._why = link.reason
                await link.close()
            self._tried.set()
            failures = 1 if clock() - since > STABLE else failures + 1
            wait = pause(failures, self._reconnect)
            log.warning("SMPP server %s: %s; next attempt in %.1f s", where, self._why, wait)
            await asyncio.sleep(wait)

    async def _delivered(self, pdu: Pdu) -> int:
        """Take what the server delivers; return the status of the answer: a receipt that is not stored in time comes
        again (F-SMP-12)."""
        if not is_receipt(pdu):
            log.debug("a short message for us is dropped")
            return ROK
        if self.on_receipt is None:
            return RX_T_APPN
        receipt = read_receipt(pdu, submit_id=self._section.submit_id, receipt_id=self._section.receipt_id)
        if receipt is not None:
            self.on_receipt(receipt)
            if self.receipts_stored is not None:
                try:
                    async with asyncio.timeout(STORE_WAIT):
                        await self.receipts_stored()
                except TimeoutError:
                    return RX_T_APPN
        return ROK


def source_address(source: str, ton: int = -1, npi: int = -1) -> tuple[int, int, str]:
    """Return type of number, numbering plan and address of a sender; -1 becomes what its form tells (F-SMP-05)."""
    if re.fullmatch(r"\+[0-9]+", source):
        found, source = (1, 1), source[1:]
    elif re.fullmatch(r"[0-9]{1,8}", source):
        found = (3, 0)
    elif re.fullmatch(r"[0-9]+", source):
        found = (1, 1)
    else:
        found = (5, 0) if source else (0, 0)
    return (found[0] if ton < 0 else ton, found[1] if npi < 0 else npi, source)


class _Pace:
    """Turns, at most so many a second."""

    def __init__(self, per_second: float) -> None:
        self._gap = 1.0 / per_second
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for a turn."""
        now = asyncio.get_running_loop().time()
        at = max(self._next, now)
        self._next = at + self._gap
        await asyncio.sleep(at - now)

    def hold(self, seconds: float) -> None:
        """Give no turn for so long."""
        self._next = max(self._next, asyncio.get_running_loop().time() + seconds)
