"""The keyed hash of a suppressed fan: of one creator's fan only, and nobody's without the key."""

import base64
import os

import pytest

from privacy.keys import Keyring
from privacy.suppression import (
    HASH_BYTES,
    new_suppression_key,
    open_suppression_key,
    reseal_suppression_key,
    suppression_hash,
)
from schemas.errors import SealBroken


def ring(*names: str) -> str:
    return ",".join(f"{name}:{base64.b64encode(os.urandom(32)).decode()}" for name in names)


def test_a_hash_names_one_relationship_under_one_key() -> None:
    key = bytes(32)
    pairs = [("creator", "fan"), ("creator", "fan2"), ("creatorf", "an"), ("fan", "creator")]
    hashes = {suppression_hash(key, pair) for pair in pairs}
    assert len(hashes) == len(pairs)
    assert {len(one) for one in hashes} == {HASH_BYTES}
    assert suppression_hash(key, pairs[0]) == suppression_hash(key, pairs[0])
    assert suppression_hash(b"\1" * 32, pairs[0]) not in hashes


def test_the_hashs_key_outlives_the_key_that_seals_it() -> None:
    old, new = ring("old"), ring("new")
    kek, sealed = new_suppression_key(Keyring.parse(old))
    key = open_suppression_key(Keyring.parse(old), kek, sealed)
    again = reseal_suppression_key(Keyring.parse(f"{new},{old}"), kek, sealed)
    assert again[0] == "new"
    assert open_suppression_key(Keyring.parse(new), *again) == key
    with pytest.raises(SealBroken):
        open_suppression_key(Keyring.parse(new), kek, sealed)
    with pytest.raises(SealBroken):
        open_suppression_key(Keyring.parse(old), kek, sealed[:-1] + bytes([sealed[-1] ^ 1]))
