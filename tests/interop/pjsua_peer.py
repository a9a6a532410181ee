"""PJSUA as a program of its own: takes commands as lines of JSON, tells what happens as lines of JSON.

A process, because its library has threads and exits of its own. It knows no MSRP: what it can show is signalling.
Commands: ``{"do": "register", "aor", "username", "password", "proxy", "transport"}``; with TLS also ``authorities``,
the PEM file of who may sign the core's certificate; ``{"do": "options", "uri"}``; ``{"do": "call", "uri", "sdp"}``,
where ``sdp`` takes the place of its own offer; ``{"do": "hang-up"}``; ``{"do": "quit"}``.
"""

from __future__ import annotations

import json
import os
import re
import select
from typing import Any

import pjsua2 as pj

POLL_MS = 10
"""Milliseconds that one turn of the library's loop may take."""


def tell(event: str, **fields: object) -> None:
    """Write an event."""
    os.write(1, (json.dumps({"event": event, **fields}) + "\n").encode())


class Account(pj.Account):  # type: ignore[misc]  # no types in the binding
    """One registration; keeps its calls alive, which the library wants."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.contact = ""

    def onRegState(self, prm: Any) -> None:
        binding = re.search(r"(?im)^(?:contact|m)\s*:.*?(<[^>]*>)", prm.rdata.wholeMsg)
        self.contact = binding[1] if binding else ""
        tell("registration", status=prm.code, reason=prm.reason, expires=prm.expiration)

    def onSendRequest(self, prm: Any) -> None:
        event = prm.e.body.tsxState
        tell("answer", status=event.tsx.statusCode, text=event.src.rdata.wholeMsg)

    def onInstantMessage(self, prm: Any) -> None:
        tell("message", text=prm.msgBody, content_type=prm.contentType)

    def onIncomingCall(self, prm: Any) -> None:
        call = Call(self, prm.callId)
        self.calls.append(call)
        tell("incoming", text=prm.rdata.wholeMsg)


class Call(pj.Call):  # type: ignore[misc]  # no types in the binding
    """One call. ``sdp`` is what it offers instead of audio."""

    sdp = ""

    def onCallSdpCreated(self, prm: Any) -> None:
        if self.sdp:
            prm.sdp.wholeSdp = self.sdp

    def onCallState(self, prm: Any) -> None:
        info = self.getInfo()
        tell("call", state=info.stateText, status=info.lastStatusCode, reason=info.lastReason)


class Peer:
    """The library and one account on it."""

    def __init__(self) -> None:
        self.endpoint = pj.Endpoint()
        self.endpoint.libCreate()
        config = pj.EpConfig()
        config.uaConfig.threadCnt = 0  # callbacks come from our own loop
        config.logConfig.level = config.logConfig.consoleLevel = 0
        self.endpoint.libInit(config)
        self.transports: dict[str, int] = {}
        for name, kind in (("udp", pj.PJSIP_TRANSPORT_UDP), ("tcp", pj.PJSIP_TRANSPORT_TCP)):
            transport = pj.TransportConfig()
            transport.boundAddress = "127.0.0.1"
            self.transports[name] = self.endpoint.transportCreate(kind, transport)
        self.endpoint.libStart()
        self.endpoint.audDevManager().setNullDev()
        self.account = Account()

    def register(
        self, aor: str, username: str, password: str, proxy: str, transport: str, authorities: str = ""
    ) -> None:
        """Register; the answer comes as an event."""
        if transport == "tls":
            self.use_tls(authorities)
        config = pj.AccountConfig()
        config.idUri = aor
        config.regConfig.registrarUri = "sip:" + aor.rpartition("@")[2]
        config.regConfig.timeoutSec = 600
        config.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", username, 0, password))
        config.sipConfig.proxies.append(proxy)
        config.sipConfig.transportId = self.transports[transport]
        self.account.create(config)

    def use_tls(self, authorities: str) -> None:
        """Have TLS, too, as who believes nobody but those."""
        transport = pj.TransportConfig()
        transport.boundAddress = "127.0.0.1"
        transport.tlsConfig.CaListFile = authorities
        transport.tlsConfig.verifyServer = True
        self.transports["tls"] = self.endpoint.transportCreate(pj.PJSIP_TRANSPORT_TLS, transport)

    def options(self, uri: str) -> None:
        """Send OPTIONS; the answer comes as an event. By the Contact the core knows who asks."""
        request = pj.SendRequestParam()
        request.method = "OPTIONS"
        request.txOption.targetUri = uri
        contact = pj.SipHeader()
        contact.hName, contact.hValue = "Contact", self.account.contact
        request.txOption.headers.append(contact)
        self.account.sendRequest(request)

    def call(self, uri: str, sdp: str) -> None:
        """Call; what becomes of it comes as events."""
        call = Call(self.account)
        call.sdp = sdp
        self.account.calls.append(call)
        call.makeCall(uri, pj.CallOpParam(True))

    def hang_up(self) -> None:
        """End all calls."""
        self.endpoint.hangupAllCalls()

    def run(self) -> None:
        """Serve commands until ``quit`` or the end of the input."""
        tell("ready")
        buffer = b""
        while True:
            self.endpoint.libHandleEvents(POLL_MS)
            if not select.select([0], [], [], 0)[0]:
                continue
            data = os.read(0, 65536)
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                command = json.loads(line)
                match command.pop("do"):
                    case "register":
                        self.register(**command)
                    case "options":
                        self.options(**command)
                    case "call":
                        self.call(**command)
                    case "hang-up":
                        self.hang_up()
                    case "quit":
                        return
                    case other:
                        raise ValueError(f"no such command: {other}")
            if not data:
                return


def main() -> None:
    """Run. What the interpreter would do at its end is skipped: it would destroy what the library has destroyed."""
    peer = Peer()
    peer.run()
    peer.endpoint.libDestroy()
    os._exit(0)


if __name__ == "__main__":
    main()
