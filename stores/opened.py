"""Everything that a command reads from, opened together and closed together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from infra.postgres import Pool, open_pool
from infra.settings import Settings
from privacy.keys import Keyring
from stores.cache import Cache, open_cache
from stores.store import Store


@dataclass(frozen=True, slots=True)
class Stores:
    """One process's way to what is kept."""

    keyring: Keyring
    pool: Pool
    store: Store
    cache: Cache


@asynccontextmanager
async def open_stores(
    settings: Settings, *, connections_max: int = 2, cache_timeout: float = 1.0
) -> AsyncIterator[Stores]:
    """Needs no service yet: each is connected to when it is first asked.

    `cache_timeout` is in seconds, for each answer. Raises `Misconfigured` for a bad keyring.
    """
    keyring = Keyring.of(settings)
    pool = await open_pool(settings.postgres_url, size_max=connections_max)
    cache = open_cache(settings, keyring, timeout=cache_timeout)
    try:
        yield Stores(keyring, pool, Store(pool, keyring, settings.journal_partitions), cache)
    finally:
        await cache.close()
        await pool.close()
