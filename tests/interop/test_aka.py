"""IMS AKA with SIPp: as a registrar that challenges us, and as a client whose own Milenage answers what we made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sipstack import ids
from sipstack.net.config import EndpointConfig
from sipstack.net.endpoint import Endpoint
from sipstack.net.useragent import Identity, UserAgent
from sipstack.sip.aka import Usim, make_nonce
from sipstack.sip.digest import Credentials, DigestClient
from sipstack.sip.headers import parse_auth_params
from sipstack.sip.message import Request, Response
from sipstack.sip.milenage import Milenage
from sipstack.sip.transaction import ServerTransaction
from sipstack.sip.uri import Uri
from tests.interop.sipp import HOST, Sipp, Transport
from tests.sipstack.sip.test_aka import IMPI, NONCE, REALM, URI, milenage
from tests.sipstack.sip.test_milenage import SETS, aes

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("needs_sipp")]

IMPU = f"sip:guest@{REALM}"


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [("AKAv1-MD5", "402ab8df9f3a4d63a9f47c2f90e02938"), ("AKAv2-MD5", "6774a29ced9929f3dd734d9a97e04ebe")],
)
async def test_sipp_challenges_us(
    tmp_path: Path, transport: Transport, algorithm: str, response: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B-AKA-02, B-AKA-05: over the wire, the responses that the standard has for its vector."""
    monkeypatch.setattr(ids, "cnonce", lambda: "0a4f113b")
    keys: dict[str, Any] = {"realm": REALM, "nonce": NONCE, "algorithm": algorithm, "response": response}
    async with (
        Sipp(tmp_path, "uas_aka", (HOST, 5060), transport=transport, **keys) as sipp,
        Endpoint(EndpointConfig(msrp=False)) as endpoint,
    ):
        agent = UserAgent(
            endpoint,
            Identity(Uri.parse(IMPU), Credentials.from_usim(IMPI, Usim(milenage()))),
            domain=Uri.parse(URI),
            outbound_proxy=Uri.parse(f"sip:{HOST}:{sipp.port};transport={transport.lower()};lr"),
        )
        registered = await agent.register()
        await sipp.finish()
        await agent.close(timeout=0)
    assert registered.expires == 3600


async def test_sipp_answers_us(tmp_path: Path, transport: Transport) -> None:
    """B-AKA-01, B-AKA-02: a challenge of ours, answered by SIPp and by us. Its keys hold no octet 5B, a bracket, of
    which SIPp would make a keyword."""
    got: list[Request] = []
    keys = SETS[1]
    sim = Milenage(aes(bytes.fromhex(keys["k"])), bytes.fromhex(keys["opc"]))
    nonce = make_nonce(sim, bytes.fromhex(keys["rand"]), int(keys["sqn"], 16), bytes.fromhex(keys["amf"]))
    challenge = f'Digest realm="{REALM}", nonce="{nonce}", algorithm=AKAv1-MD5'

    def register(transaction: ServerTransaction, request: Request) -> bool:
        got.append(request)
        headers = [("WWW-Authenticate", challenge)] if len(got) == 1 else []
        endpoint.reply(transaction, 401 if len(got) == 1 else 200, headers=headers)
        return True

    endpoint = Endpoint(EndpointConfig(msrp=False))
    endpoint.on_request = register
    filled: dict[str, Any] = {"user": "guest", "domain": REALM, "impi": IMPI, "k": keys["k"], "op": keys["op"]}
    async with endpoint:
        async with Sipp(
            tmp_path, "register_aka", endpoint.local, transport=transport, amf=keys["amf"], **filled
        ) as sipp:
            await sipp.finish()
    theirs = parse_auth_params(got[1].headers.get("Authorization", ""))[1]
    ours = DigestClient(Credentials.from_usim(IMPI, Usim(sim)))
    request = Request("REGISTER", theirs["uri"], [("Call-ID", "c"), ("CSeq", "2 REGISTER")])
    assert ours.receive_challenge(request, Response(401, None, [("WWW-Authenticate", challenge)]))
    ours.authorize(request)
    assert theirs["response"] == parse_auth_params(request.headers.get("Authorization", ""))[1]["response"]
