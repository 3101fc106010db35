"""Creators' keys: made once, bound to their creator, and good for what they have sealed only."""

import base64
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from infra.postgres import open_pool
from privacy.creators import Sealer, creator_sealer, rewrapped_creator
from privacy.keys import Keyring
from privacy.subjects import Subject
from schemas.errors import SealBroken

TEXT = "k:" + base64.b64encode(os.urandom(32)).decode()
KEYRING = Keyring.parse(TEXT)


@pytest.fixture
async def pool(postgres_url: str) -> AsyncIterator[Any]:
    made = await open_pool(postgres_url)
    yield made
    await made.close()


async def test_a_creators_key_is_made_once_and_opens_only_as_theirs(pool: Any) -> None:
    first = await creator_sealer(pool, KEYRING, "creator")
    again = await creator_sealer(pool, KEYRING, "creator")
    sealed = first.seal(b"words", b"kind", b"row")
    assert again.open(sealed, b"kind", b"row") == b"words"
    for kind, place in ((b"kin", b"drow"), (b"kind", b"other")):
        with pytest.raises(SealBroken):
            again.open(sealed, kind, place)
    other = await creator_sealer(pool, KEYRING, "other")
    with pytest.raises(SealBroken):
        other.open(sealed, b"kind", b"row")
    await pool.execute("UPDATE creator_key SET creator_id = 'third' WHERE creator_id = 'other'")
    with pytest.raises(SealBroken):
        await creator_sealer(pool, KEYRING, "third")


def test_a_sealer_of_a_fan_has_the_fans_key_and_shows_nothing() -> None:
    subject = Subject(b"s" * 16, "creator", "fan", "k", b"", os.urandom(32))
    sealed = Sealer.of(subject).seal(b"words", b"kind", b"row")
    assert Sealer.of(subject).open(sealed, b"kind", b"row") == b"words"
    assert repr(Sealer.of(subject)) == "Sealer(…)"


async def test_a_creators_key_is_wrapped_again_and_stays_the_same(pool: Any) -> None:
    sealed = (await creator_sealer(pool, KEYRING, "creator")).seal(b"words", b"kind", b"row")
    newer = Keyring.parse(f"new:{base64.b64encode(os.urandom(32)).decode()},{TEXT}")
    row = await pool.fetchrow("SELECT kek, wrapped_key FROM creator_key")
    kek, wrapped = rewrapped_creator(newer, "creator", row["kek"], row["wrapped_key"])
    assert kek == "new"
    await pool.execute("UPDATE creator_key SET kek = $1, wrapped_key = $2", kek, wrapped)
    assert (await creator_sealer(pool, newer, "creator")).open(sealed, b"kind", b"row") == b"words"
