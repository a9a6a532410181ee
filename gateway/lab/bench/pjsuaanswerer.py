"""PJSUA, which answers OPTIONS by itself. A process of its own: nothing else of the program may import its library."""

from __future__ import annotations

import sys

import pjsua2 as pj

from gateway.lab.run import ready

HOST = "127.0.0.1"
POLL_MS = 10
"""Milliseconds that one turn of the library's loop may take."""


def main(port: int) -> None:
    """Serve until killed, in the one thread that we have."""
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.uaConfig.threadCnt = 0
    config.logConfig.level = config.logConfig.consoleLevel = 0
    endpoint.libInit(config)
    transport = pj.TransportConfig()
    transport.boundAddress, transport.port = HOST, port
    endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
    endpoint.libStart()
    endpoint.audDevManager().setNullDev()
    account, identity = pj.Account(), pj.AccountConfig()
    identity.idUri = f"sip:bench@{HOST}"
    account.create(identity)
    ready("pjsuaanswerer", sip=(HOST, port))
    while True:
        endpoint.libHandleEvents(POLL_MS)


if __name__ == "__main__":
    main(int(sys.argv[1]))
