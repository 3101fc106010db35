"""What was erased leaves the tables' pages within minutes, by one worker."""

from infra.postgres import connecting
from infra.settings import Settings
from lab.bench.seed import seed
from privacy.keys import Keyring
from stores import erasure
from stores.erasure import Names
from stores.opened import open_stores
from stores.vacuum import vacuum
from tests import services as helpers
from tests.api.client import conversation

WHO = ("creator", "fan")


async def test_an_erasure_is_followed_by_a_vacuum_of_what_it_touched(
    store_settings: Settings,
) -> None:
    settings = store_settings
    await seed(settings, {WHO: conversation(40), ("creator", "other"): conversation(5)})
    assert not await vacuum(settings, every_seconds=0), "nothing was erased"
    async with open_stores(settings) as stores, connecting(helpers.superuser_url(settings)) as db:
        names = Names(Keyring.of(settings))
        await erasure.erase(stores.pool, names, settings.journal_partitions, WHO)

        async def dead() -> int:
            count = 0
            for table in ("subject", "interaction", "g1.fan_state"):
                row = await db.fetchrow(
                    "SELECT t_infomask FROM heap_page_items(get_raw_page($1, 0)) LIMIT 1", table
                )
                assert row is not None
                count += await db.fetchval(
                    "SELECT count(*) FROM heap_page_items(get_raw_page($1, 0))"
                    " WHERE t_data IS NOT NULL AND t_xmax::text <> '0'",
                    table,
                )
            return count

        await db.execute("CREATE EXTENSION IF NOT EXISTS pageinspect")
        assert await dead() >= 3
        other = await db.fetchval("SELECT pg_try_advisory_lock($1)", 0x66616E7661)
        assert other
        assert not await vacuum(settings, every_seconds=0), "another worker is at it"
        await db.execute("SELECT pg_advisory_unlock_all()")
        assert await vacuum(settings, every_seconds=0)
        assert await dead() == 0
        await db.execute("UPDATE erased_subject SET at = now() - interval '1 hour'")
        assert not await vacuum(settings, every_seconds=0), "that was long ago"
