"""Faults of the cache that leave its connections alive: emptied, short of memory, full, older.

They ask nothing about how the cache keeps its entries: any Valkey behind a managed endpoint can do
this to us.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import redis.asyncio

from lab.chaos.fault import Fault, Stage

WARM_FANS: Final = 600
"""Fans read before memory is taken away: what the cache needs."""
SHARE_LEFT: Final = 0.75
"""Of the memory that the cache uses for them."""
EVICTION_SECONDS_MAX: Final = 240.0
REFUSED_SECONDS: Final = 8.0
"""How long a full cache refuses: longer than any lease of its entries."""
REFUSAL_SECONDS_MAX: Final = 30.0
PUSHED_EVENTS: Final = 400
"""Events between a copy of the cache and its return."""


@asynccontextmanager
async def _client(stage: Stage) -> AsyncIterator[Any]:
    client = redis.asyncio.from_url(stage.settings.redis_url)
    try:
        yield client
    finally:
        await client.aclose()


class Flushed(Fault):
    """FLUSHALL."""

    name = "cache flushed"
    _done = False

    async def inject(self, stage: Stage) -> None:
        async with _client(stage) as client:
            self._done = bool(await client.flushall())

    async def seen(self, stage: Stage) -> bool:
        return self._done


class _Short(Fault):
    """Another memory limit and policy for a while."""

    _former: dict[str, str]

    async def _limit(self, client: Any, bytes_max: int, policy: str) -> None:
        self._former = await client.config_get("maxmemory*")
        await client.config_set("maxmemory-policy", policy)
        await client.config_set("maxmemory", bytes_max)

    async def heal(self, stage: Stage) -> None:
        async with _client(stage) as client:
            for name in ("maxmemory", "maxmemory-policy"):
                if name in getattr(self, "_former", {}):
                    await client.config_set(name, self._former[name])


class Evicting(_Short):
    """Memory for three quarters of what is read: Valkey throws keys away, one by one."""

    name = "cache evicting"
    _evicted = 0

    async def inject(self, stage: Stage) -> None:
        wanted = stage.amounts.evictions
        async with _client(stage) as client:
            await stage.reader.read_each(WARM_FANS)
            used = (await client.info("memory"))["used_memory"]
            before = await self._count(client)
            await self._limit(client, int(used * SHARE_LEFT), "allkeys-lru")
            deadline = time.monotonic() + EVICTION_SECONDS_MAX
            while self._evicted < wanted and time.monotonic() < deadline:
                await stage.reader.read_each(WARM_FANS)
                self._evicted = await self._count(client) - before
        stage.tell(f"{self.name}: {self._evicted:,} keys")

    async def seen(self, stage: Stage) -> bool:
        return self._evicted >= stage.amounts.evictions

    @staticmethod
    async def _count(client: Any) -> int:
        return int((await client.info("stats"))["evicted_keys"])


class Full(_Short):
    """Every write is refused, every read allowed: Valkey's own default when memory is out."""

    name = "cache full with noeviction"
    _refused = 0

    async def inject(self, stage: Stage) -> None:
        async with _client(stage) as client:
            await stage.reader.read_each(WARM_FANS)
            before = await self._count(client)
            await self._limit(client, 1, "noeviction")
            began = time.monotonic()
            while time.monotonic() < began + REFUSAL_SECONDS_MAX:
                await stage.folded_more(20)
                await asyncio.sleep(0.5)
                self._refused = await self._count(client) - before
                if self._refused and time.monotonic() > began + REFUSED_SECONDS:
                    break
        stage.tell(f"{self.name}: {self._refused:,} writes refused")

    async def seen(self, stage: Stage) -> bool:
        return self._refused > 0

    @staticmethod
    async def _count(client: Any) -> int:
        errors = await client.info("errorstats")
        return int(errors.get("errorstat_OOM", {}).get("count", 0))


class Older(Fault):
    """All keys become those of a moment ago, while every connection lives on.

    What a failover behind a proxy does: times to live are points in time, as in a real copy.
    """

    name = "cache restored older, connections alive"
    _changed = 0
    _survived = 0

    async def inject(self, stage: Stage) -> None:
        async with _client(stage) as client:
            await stage.reader.read_each(WARM_FANS)
            former = await _copy(client)
            await stage.folded_more(PUSHED_EVENTS)
            connected = await self._connections(client)
            present = await _copy(client)
            await _restore(client, former)
            self._survived = len(connected & await self._connections(client))
        changed = (key for key in former.keys() | present.keys() if _differs(key, former, present))
        self._changed = sum(1 for _ in changed)
        stage.tell(f"{self.name}: {self._changed:,} keys went back, {self._survived} connections")

    async def seen(self, stage: Stage) -> bool:
        # One connection is ours.
        return self._changed > 0 and self._survived > 1

    @staticmethod
    async def _connections(client: Any) -> set[str]:
        return {one["id"] for one in await client.client_list()}


_Copy = dict[bytes, tuple[bytes, int]]
"""Key to its dump and the time in ms at which it expires; 0 for never."""


def _differs(key: bytes, one: _Copy, other: _Copy) -> bool:
    return one.get(key, (b"",))[0] != other.get(key, (b"",))[0]


async def _copy(client: Any) -> _Copy:
    keys = [key async for key in client.scan_iter(count=1000)]
    found: _Copy = {}
    for start in range(0, len(keys), 500):
        part = keys[start : start + 500]
        pipe = client.pipeline(transaction=False)
        for key in part:
            pipe.dump(key)
            pipe.pexpiretime(key)
        answers = await pipe.execute()
        for key, dump, expires in zip(part, answers[::2], answers[1::2], strict=True):
            if dump is not None:
                found[key] = (dump, max(expires, 0))
    return found


async def _restore(client: Any, copy: _Copy) -> None:
    """In one transaction: no reader sees the cache empty in between."""
    pipe = client.pipeline(transaction=True)
    pipe.flushall()
    now = int(time.time() * 1000)
    for key, (dump, expires) in copy.items():
        if not expires or expires > now:
            pipe.restore(key, expires, dump, absttl=bool(expires))
    await pipe.execute()
