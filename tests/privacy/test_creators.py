"""Creators' keys: made once, bound to their creator, and good for what they have sealed only."""

import base64
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from infra.postgres import open_pool
from privacy.creators import Sealer, creator_sealer
from privacy.keys import Keyring
from privacy.subjects import Subject
from schemas.errors import SealBroken

KEYRING = Keyring.parse("k:" + base64.b64encode(os.urandom(32)).decode())


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
