"""The components of a running API: made once, opened and closed by the app's lifespan."""

import asyncio
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from api.lag import LagReader
from api.limits import Limits
from api.metrics import ApiMetrics
from api.origins import Origins
from api.places import Room
from api.publisher import Publisher
from api.stream_alerts import Alerts
from api.stream_feed import Feed
from api.stream_tickets import Tickets
from infra.postgres import Pool, Role, open_pool, url_of
from infra.settings import Settings
from privacy.cursors import Cursors
from privacy.keys import Keyring
from stores import wall
from stores.cache import Cache, open_cache
from stores.erasing import Eraser
from stores.forgetting import Forgetter
from stores.messages import Messages
from stores.past import Past, open_past
from stores.percentiles import Percentiles
from stores.reader import FanMemory
from stores.revocations import Revoked
from stores.segments import Segments
from stores.store import Store
from stores.suppression import Suppressed

POOL_SIZE_MAX = 8
"""Postgres connections of one API process in each role: a miss holds one for about 0.3 ms."""
LOOKUPS_MAX = 2
"""A look through a creator's fans holds a connection for some 20 us a fan."""
ROLES: Final[tuple[Role, Role]] = ("writer", "reader")


@dataclass(slots=True)
class Components:
    """What handlers use. `open_components` makes them, `close` ends them."""

    settings: Settings
    keyring: Keyring
    metrics: ApiMetrics
    pool: Pool
    """As the role that writes: of a route, by `writing_for`."""
    reading: Pool
    """As the role that reads a creator's rows."""
    cache: Cache
    memory: FanMemory
    past: Past
    publisher: Publisher
    origins: Origins
    lag: LagReader
    limits: Limits
    suppressed: Suppressed
    eraser: Eraser
    forgetter: Forgetter
    feed: Feed
    alerts: Alerts
    streams: Room
    """Of streams."""
    tickets: Tickets
    segments: Segments
    messages: Messages
    percentiles: Percentiles
    cursors: Cursors
    revoked: Revoked
    lookups: asyncio.Semaphore
    """Of who looks through all of a creator's fans."""

    async def close(self) -> None:
        await self.alerts.close()
        await self.feed.close()
        await self.suppressed.close()
        await self.revoked.close()
        await self.eraser.close()
        await self.forgetter.close()
        await self.publisher.close()
        await self.origins.close()
        await self.lag.close()
        await self.percentiles.close()
        await self.memory.close()
        await self.past.close()
        await self.cache.close()
        self.pool.terminate()
        self.reading.terminate()

    def writing_for(self, creator_id: str) -> Pool:
        """Where something of this creator's is written. Raises `Forbidden` unless the token is
        theirs: the second look, for a route that forgets the first."""
        wall.require(creator_id)
        return self.pool


async def open_components(settings: Settings, keyring: Keyring, metrics: ApiMetrics) -> Components:
    """Open everything. Needs none of the services up: each is connected when it is there."""
    pool, reading = [
        await open_pool(
            url_of(settings, role),
            size_max=POOL_SIZE_MAX,
            command_timeout=settings.database_seconds_max,
        )
        for role in ROLES
    ]
    cache = open_cache(settings, keyring, timeout=settings.cache_seconds_max)
    store = Store(reading, keyring, settings.journal_partitions)
    memory = FanMemory(cache, store, keyring, settings)
    past = await open_past(settings, keyring)
    publisher = Publisher(settings)
    origins = Origins(settings)
    suppressed = Suppressed(reading, keyring)
    revoked = Revoked(reading)
    feed = Feed(settings, metrics)
    revoked.told.append(lambda: feed.end_revoked(revoked))
    lag = LagReader(settings, store, cache)
    segments = Segments(
        reading,
        pool,
        store,
        settings.journal_partitions,
        settings.currency,
        guard=memory.store_guard,
    )
    limits = Limits(settings, cache.take, memory.cache_guard.breaker)
    breakers = [
        memory.cache_guard.breaker,
        memory.store_guard.breaker,
        past.guard.breaker,
        publisher.breaker,
    ]
    metrics.watch(memory, breakers, lambda: lag.latest)
    memory.start()
    past.start()
    publisher.start()
    origins.start()
    await suppressed.start()
    await revoked.start()
    return Components(
        settings,
        keyring,
        metrics,
        pool,
        reading,
        cache,
        memory,
        past,
        publisher,
        origins,
        lag,
        limits,
        suppressed,
        Eraser(settings, pool, cache, keyring),
        Forgetter(settings, pool, cache, keyring),
        feed,
        Alerts(settings, feed.announce),
        Room(settings.streams_max, "streams", "open"),
        Tickets(keyring, cache, memory.cache_guard, revoked),
        segments,
        Messages(reading, keyring, memory.store_guard, past),
        Percentiles(reading, store, memory.store_guard.breaker),
        Cursors(keyring),
        revoked,
        asyncio.Semaphore(LOOKUPS_MAX),
    )


def components_of(request: Request) -> Components:
    """The components of the app that serves this request."""
    components: Components = request.scope["components"]
    return components
