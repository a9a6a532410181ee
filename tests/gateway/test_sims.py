"""Keys of SIMs: read, sealed, and the numbers that networks have used for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.secrets import Sealer, SecretsError
from gateway.sims import SimError, SimKeys, Sims
from gateway.storage.errors import StoreError
from gateway.storage.sqlite import SqliteStore
from sipstack.sip.aka import make_nonce
from sipstack.sip.digest import Credentials
from tests.sipstack.sip.test_aka import AMF, RAND, SQN, milenage
from tests.sipstack.sip.test_milenage import SETS

B = "sip:b@cc.com"
K, OP, OPC = SETS[0]["k"], SETS[0]["op"], SETS[0]["opc"]


def taken(credentials: Credentials, sqn: int) -> bool:
    """Tell whether a challenge with this number is answered rather than resynchronized."""
    assert credentials.usim is not None
    answer = credentials.usim.answer(make_nonce(milenage(), RAND, sqn, AMF), "AKAv1-MD5")
    assert answer is not None and answer.is_answered
    return answer.auts is None


def test_op_and_opc_give_the_same_keys() -> None:
    keys = SimKeys.parse(K, op=OP)
    assert keys == SimKeys.parse(K.upper(), opc=OPC) and keys.opc.hex() == OPC
    assert K not in repr(keys) and OPC not in repr(keys)


@pytest.mark.parametrize(
    ("k", "op", "opc", "problem"),
    [
        ("", OP, "", "k is missing"),
        (K, "", "", "needs op or opc"),
        (K, OP, OPC, "and not both"),
        (K[:-1], OP, "", "k is not 32 hex digits"),
        (K, "xyz", "", "op is not"),
        (K, "", f"{OPC}0", "opc is not"),
    ],
)
def test_keys_of_no_use(k: str, op: str, opc: str, problem: str) -> None:
    with pytest.raises(SimError, match=problem) as caught:
        SimKeys.parse(k, op, opc)
    assert K[:16] not in str(caught.value)


def test_a_file_of_keys(tmp_path: Path) -> None:
    path = tmp_path / "sim"
    path.write_text(f"# of the service account\n\nk = {K}\nOPc={OPC}\n")
    assert SimKeys.from_file(path) == SimKeys.parse(K, opc=OPC)
    for text, problem in (("k\n", "line 1 is none of"), (f"ki = {K}\n", "line 1"), (f"k = {K}\n", "needs op or opc")):
        path.write_text(text)
        with pytest.raises(SimError, match=problem) as caught:
            SimKeys.from_file(path)
        assert K not in str(caught.value)


def test_sealed_keys_answer_aka_and_nothing_else(tmp_path: Path) -> None:
    sealer = Sealer.from_file(tmp_path / "key")
    sealed = sealer.seal_sim(SimKeys.parse(K, opc=OPC), B)
    assert K.encode() not in sealed
    assert taken(sealer.credentials(sealed, B, "b"), SQN)
    with pytest.raises(SecretsError, match="has a SIM"):
        sealer.secret(sealed, B)
    with pytest.raises(SecretsError, match="has a SIM"):
        sealer.ha1(sealed, B, "b", "cc.com", "MD5")


async def test_numbers_outlive_the_process(tmp_path: Path) -> None:
    """B-AKA-03: a challenge of yesterday is none today."""
    store = SqliteStore(tmp_path / "rcsgw.db")
    await store.open()
    keys = SimKeys.parse(K, opc=OPC)
    for numbers, answered in (([100, 69, 132], [True, True, True]), ([132, 100, 164], [False, False, True])):
        sims = Sims(store)
        await sims.start()
        credentials = sims.credentials("b", lambda: keys)
        assert [taken(credentials, number) for number in numbers] == answered
        await sims.close()
    await store.put_sequence_number("b", 7)
    assert await store.sequence_numbers() == {"b": 164}
    await store.close()


async def test_a_store_that_fails_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        async def sequence_numbers(self) -> dict[str, int]:
            return {}

        async def put_sequence_number(self, impi: str, sqn: int) -> None:
            raise StoreError("disk full")

    sims = Sims(Broken())
    keys = SimKeys.parse(K, opc=OPC)
    assert taken(sims.credentials("b", lambda: keys), 100)
    await sims.close()
    assert "its sequence number is not kept: disk full" in caplog.text
    assert not taken(sims.credentials("b", lambda: keys), 100)  # another agent of the same account
