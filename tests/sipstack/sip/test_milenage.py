"""The test sets of 3GPP TS 35.207 and 35.208, as standards.md and the specification have them."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from sipstack.sip.milenage import BlockCipher, Milenage, derive_opc

SETS = [
    {
        "k": "465b5ce8b199b49faa5f0a2ee238a6bc",
        "rand": "23553cbe9637a89d218ae64dae47bf35",
        "sqn": "ff9bb4d0b607",
        "amf": "b9b9",
        "op": "cdc202d5123e20f62b6d676ac72cb318",
        "opc": "cd63cb71954a9f4e48a5994e37a02baf",
        "f1": "4a9ffac354dfafb3",
        "f1*": "01cfaf9ec4e871e9",
        "f2": "a54211d5e3ba50bf",
        "f3": "b40ba9a3c58b2a05bbf0d987b21bf8cb",
        "f4": "f769bcd751044604127672711c6d3441",
        "f5": "aa689c648370",
        "f5*": "451e8beca43b",
    },
    {
        "k": "fec86ba6eb707ed08905757b1bb44b8f",
        "rand": "9f7c8d021accf4db213ccff0c7f71a6a",
        "sqn": "9d0277595ffc",
        "amf": "725c",
        "op": "dbc59adcb6f9a0ef735477b7fadf8374",
        "opc": "1006020f0a478bf6b699f15c062e42b3",
        "f1": "9cabc3e99baf7281",
        "f1*": "95814ba2b3044324",
        "f2": "8011c48c0c214ed2",
        "f3": "5dbdbb2954e8f3cde665b046179a5098",
        "f4": "59a92d3b476a0443487055cf88b2307b",
        "f5": "33484dc2136b",
        "f5*": "deacdd848cc6",
    },
]


def aes(key: bytes) -> BlockCipher:
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update


@pytest.mark.parametrize("vector", SETS, ids=["set-1", "set-3"])
def test_the_specification_s_sets(vector: dict[str, str]) -> None:
    """B-AKA: TS 35.208."""
    octets = {name: bytes.fromhex(text) for name, text in vector.items()}
    cipher = aes(octets["k"])
    assert derive_opc(cipher, octets["op"]) == octets["opc"]
    milenage = Milenage(cipher, octets["opc"])
    rand, sqn, amf = octets["rand"], octets["sqn"], octets["amf"]
    keys = milenage.keys(rand)
    assert (keys.res, keys.ck, keys.ik, keys.ak) == (octets["f2"], octets["f3"], octets["f4"], octets["f5"])
    assert milenage.mac_a(rand, sqn, amf) == octets["f1"]
    assert milenage.mac_s(rand, sqn, amf) == octets["f1*"]
    assert milenage.resync_ak(rand) == octets["f5*"]


def test_an_opc_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="OPc has 15 octets"):
        Milenage(bytes, bytes(15))
