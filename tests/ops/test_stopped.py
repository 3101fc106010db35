"""What `up` says on its terminal of partitions that wait for their operator."""

import asyncio

from infra.postgres import connecting
from infra.settings import Settings
from ops.stopped import tell_stopped
from stores import log_breaks
from stores.log_breaks import Lost


async def test_each_partition_that_stands_still_is_told_once_and_again_when_it_stops_again(
    store_settings: Settings,
) -> None:
    told: asyncio.Queue[Lost] = asyncio.Queue()
    looking = asyncio.create_task(tell_stopped(store_settings, told.put_nowait, 0.01))
    first, second = (Lost("journal", p, "the log ends before", 0, 9, 0) for p in (1, 2))
    async with connecting(store_settings.postgres_url) as connection:
        try:
            await log_breaks.record_stopped(connection, first)
            assert await asyncio.wait_for(told.get(), 30) == first
            # Whoever came second is told when the first has been looked at again.
            await log_breaks.record_stopped(connection, second)
            assert await asyncio.wait_for(told.get(), 30) == second
            await log_breaks.settle(connection, "journal", 1)
            await log_breaks.settle(connection, "journal", 2)
            await log_breaks.record_stopped(connection, second._replace(missing_until=12))
            assert (await asyncio.wait_for(told.get(), 30)).missing_until == 12
            assert told.empty()
        finally:
            looking.cancel()


async def test_it_waits_while_postgres_is_away(store_settings: Settings) -> None:
    away = store_settings.model_copy(update={"postgres_url": "postgresql://me@127.0.0.1:1/x"})
    looking = asyncio.create_task(tell_stopped(away, lambda _lost: None, 0.01))
    done, _ = await asyncio.wait({looking}, timeout=0.5)
    assert not done
    looking.cancel()
