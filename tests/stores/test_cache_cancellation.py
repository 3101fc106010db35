"""A read of the cache can be cancelled at any moment, and then ends."""

import asyncio

from infra.settings import Settings
from privacy.keys import Keyring
from stores.cache import open_cache

STEPS = 40
"""Turns of the event loop after which to cancel: from before the sending to after the reply."""
ROUNDS = 10


async def test_a_cancelled_read_never_goes_on(store_settings: Settings) -> None:
    keyring = Keyring.of(store_settings)
    cache = open_cache(store_settings, keyring)
    cancelled = 0
    try:
        await cache.ping()
        for step in [*range(STEPS)] * ROUNDS:
            reading = asyncio.create_task(cache.read("creator", "fan"))
            for _ in range(step):
                await asyncio.sleep(0)
            if not reading.cancel():
                continue  # it had ended
            await asyncio.wait([reading])
            assert reading.cancelled()
            cancelled += 1
        assert await cache.read("creator", "fan") is None
    finally:
        await cache.close()
    assert cancelled > ROUNDS
