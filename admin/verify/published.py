"""What the workers have published in the cache: how far each partition is pushed.

A reader with `minPosition` trusts it, so it must never be ahead of the position rows. It may stand
behind them, for the moment of a push.
"""

from typing import Final

from admin.verify.differences import Difference
from infra.postgres import connecting, database_errors
from infra.settings import Settings
from schemas.topics import JOURNAL
from stores import generations, positions
from stores.cache import Cache

PUBLISHED: Final = "published"


async def published(settings: Settings, cache: Cache) -> list[Difference]:
    """Raises `CacheUnavailable`, `DatabaseUnavailable`.

    The cache is read first: what was published by then had been committed before.
    """
    said = await cache.publications(range(settings.journal_partitions))
    async with connecting(settings.postgres_url) as connection, database_errors():
        live = generations.require_live(await generations.live(connection)).number
        rows = await positions.rows(connection, live, JOURNAL.name)
    found = []
    for one in said:
        row = rows.get(one.partition)
        if one.generation > live:
            where = f"{PUBLISHED}.generation"
            found.append(Difference("cache", one.partition, "", where, live, one.generation))
        if row is None or one.generation != live:
            continue  # of a former generation: nothing of it is answered
        if one.next > row.next:
            where = f"{PUBLISHED}.next"
            found.append(Difference("cache", one.partition, "", where, row.next, one.next))
        for source, offset in sorted(one.sources.items()):
            known = row.sources.get(source, -1)
            if offset > known:
                where = f"{PUBLISHED}.sources[{source}]"
                found.append(Difference("cache", one.partition, "", where, known, offset))
    return found
