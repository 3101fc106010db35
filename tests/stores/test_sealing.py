"""A state opens as that fan's, in that generation, as of those views, and as nothing else's."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infra.settings import Settings
from lab.bench.seed import seed
from privacy.keys import Keyring, new_key
from schemas.errors import SealBroken
from stores.opened import open_stores
from stores.sealing import are_sealed, open_state, seal_state
from tests.documents import opened_states
from tests.views.interactions import message, purchase
from views.state import VIEW_VERSION

CIPHER = AESGCM(new_key())
OTHER = AESGCM(new_key())
FAN, NOBODY = b"s" * 16, b"t" * 16
DOCUMENT = b'{"position":7}'


def test_a_state_opens_as_it_was_sealed() -> None:
    sealed = seal_state(CIPHER, FAN, 3, DOCUMENT)
    assert open_state(CIPHER, FAN, 3, sealed) == DOCUMENT
    assert b"position" not in sealed
    assert len(sealed) == len(DOCUMENT) + 28


@pytest.mark.parametrize(
    ("cipher", "fan", "generation", "views"),
    [
        (OTHER, FAN, 3, VIEW_VERSION),
        (CIPHER, NOBODY, 3, VIEW_VERSION),
        (CIPHER, FAN, 4, VIEW_VERSION),
        (CIPHER, FAN, 3, VIEW_VERSION + " more:1"),
    ],
    ids=["another key", "another fan", "another generation", "other views"],
)
def test_it_opens_as_nothing_else(cipher: AESGCM, fan: bytes, generation: int, views: str) -> None:
    sealed = seal_state(CIPHER, FAN, 3, DOCUMENT)
    with pytest.raises(SealBroken):
        open_state(cipher, fan, generation, sealed, views)


@pytest.mark.parametrize("stored", [DOCUMENT, b"", b"\0" * 27], ids=["in clear", "none", "short"])
def test_what_is_not_sealed_is_not_taken_for_a_state(stored: bytes) -> None:
    with pytest.raises(SealBroken):
        open_state(CIPHER, FAN, 3, stored)


def test_the_version_of_the_views_says_whether_states_are_sealed() -> None:
    assert are_sealed(VIEW_VERSION)
    assert not are_sealed(VIEW_VERSION.replace("sealed:1", "").strip())


async def test_postgres_has_no_field_of_a_state_in_clear(store_settings: Settings) -> None:
    who = ("creator", "fan")
    await seed(store_settings, {who: [message(), purchase()]})
    async with open_stores(store_settings) as stores:
        (stored,) = await stores.pool.fetch("SELECT state FROM g1.fan_state")
        found = await opened_states(stores.pool, Keyring.of(store_settings))
    assert b"engagement" in found[who].document
    assert b"engagement" not in stored["state"]
