"""What a backup is made of opens whole, under its own key and name, or not at all."""

import base64
import io
import os

import pytest

from privacy.keys import Keyring
from privacy.sealed_files import (
    CHUNK_BYTES,
    SealedWriter,
    file_key,
    opened,
    proof,
    unwrap,
    wrap,
)
from schemas.errors import SealBroken

KEY = os.urandom(32)
THREE_CHUNKS = os.urandom(2 * CHUNK_BYTES + 5)


def ring(name: str) -> Keyring:
    return Keyring.parse(f"{name}:{base64.b64encode(os.urandom(32)).decode()}")


def sealed(plain: bytes, key: bytes = KEY) -> bytes:
    file = io.BytesIO()
    writer = SealedWriter(file, key)
    for start in range(0, len(plain), 300_000):
        writer.write(plain[start : start + 300_000])
    writer.close()
    assert writer.size == len(file.getvalue())
    return file.getvalue()


def read(whole: bytes, key: bytes = KEY) -> bytes:
    return b"".join(opened(io.BytesIO(whole), key))


def chunks(whole: bytes) -> list[bytes]:
    found = []
    while whole:
        length = 4 + int.from_bytes(whole[:4], "big")
        found.append(whole[:length])
        whole = whole[length:]
    return found


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, len(THREE_CHUNKS)])
def test_what_was_written_is_read(size: int) -> None:
    assert read(sealed(THREE_CHUNKS[:size])) == THREE_CHUNKS[:size]


def test_nothing_of_it_stands_in_clear_and_what_repeats_is_small() -> None:
    whole = sealed(b"the fan's words " * 10_000)
    assert b"words" not in whole
    assert len(whole) < 10_000


def test_a_file_that_is_cut_altered_or_put_together_anew_opens_nothing() -> None:
    whole = sealed(THREE_CHUNKS)
    first, second, third = chunks(whole)
    flipped = bytearray(whole)
    flipped[CHUNK_BYTES // 2] ^= 1
    for damaged in (
        b"",
        whole[:-1],
        first + second,  # ends where a chunk ends
        first + second[:7],
        second + first + third,
        first + third,
        first + first + second + third,
        whole + b"x",
        whole + third,
        bytes(flipped),
        b"\xff\xff\xff\xff" + whole[4:],
    ):
        with pytest.raises(SealBroken):
            read(damaged)


def test_a_file_does_not_stand_in_for_another_nor_a_backup_for_another() -> None:
    whole = sealed(b"of the journal", file_key(KEY, "journal"))
    assert read(whole, file_key(KEY, "journal")) == b"of the journal"
    with pytest.raises(SealBroken):
        read(whole, file_key(KEY, "erasures"))
    assert proof(KEY, b"a") != proof(KEY, b"b") != proof(os.urandom(32), b"b")


def test_only_the_ring_opens_the_key_and_for_its_own_backup() -> None:
    ours = ring("ours")
    kek, wrapped = wrap(ours, KEY, "one")
    assert (kek, unwrap(ours, kek, wrapped, "one")) == ("ours", KEY)
    for keyring, backup in ((ours, "two"), (ring("ours"), "one"), (ring("other"), "one")):
        with pytest.raises(SealBroken):
            unwrap(keyring, kek, wrapped, backup)
