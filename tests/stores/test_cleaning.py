"""What was erased leaves Postgres' files, and nobody says so before it has."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra.postgres import connecting
from infra.settings import Settings
from lab.bench.seed import seed
from privacy.keys import Keyring
from stores import cleaning, erasure, migrate, receipts
from stores.cleaning import clean
from stores.erasure import Names
from stores.opened import open_stores
from stores.vacuum import vacuum
from tests import services as helpers
from tests.api.client import conversation

WHO = ("creator", "Zq-the-fan-to-be-erased")
NOW = 1_800_000_000_000
MIGRATION = Path(migrate.__file__).parent / "migrations" / "0029_cleaning.sql"
HOLDING = """
SELECT relname FROM pg_class
WHERE relkind IN ('r', 'i', 't') AND pg_relation_filepath(oid) IS NOT NULL
    AND position($1::bytea IN pg_read_binary_file(pg_relation_filepath(oid), 0, 1 << 27, true)) > 0
"""


async def holding(db: Any, what: bytes) -> set[str]:
    """Tables and indexes in whose files it stands."""
    await db.execute("CHECKPOINT")
    return {row["relname"] for row in await db.fetch(HOLDING, what)}


async def erased(settings: Settings) -> bytes:
    """A fan, completely erased a minute ago, on whose id the planner has looked before."""
    others = {("creator", f"other-{number}"): conversation(1) for number in range(20)}
    await seed(settings, others)
    await seed(settings, {WHO: conversation(3)})  # the last in its page: vacuum moves nothing there
    async with open_stores(settings) as stores, connecting(helpers.superuser_url(settings)) as db:
        await db.execute("ANALYZE")
        assert await holding(db, WHO[1].encode()) == {"subject", "subject_creator_id_fan_id_key"}
        names = Names(Keyring.of(settings))
        id = await erasure.erase(stores.pool, names, settings.journal_partitions, WHO)
        await db.execute(
            "UPDATE erasure SET taken_at = now(), completed_at = now() - interval '1 minute',"
            " kek = NULL, sealed = NULL"
        )
    return id


async def forms(settings: Settings, id: bytes) -> list[str]:
    """What the receipt says of Postgres' files, and of its log."""
    async with open_stores(settings) as stores:
        found = await receipts.made_of(stores.pool, stores.cache, id, NOW, "key")
    assert found is not None
    return [one.form for one in found[1].remains if one.kind == "folder"]


async def test_the_receipt_says_clear_until_names_and_keys_have_left_the_files(
    store_settings: Settings,
) -> None:
    settings = store_settings
    id = await erased(settings)
    async with connecting(helpers.superuser_url(settings)) as db:
        key = await db.fetchval("SELECT wrapped_key FROM subject LIMIT 1")
        assert "subject" in await holding(db, key), "what is there is found"
        assert await forms(settings, id) == ["clear", "clear"]
        never = settings.model_copy(update={"rewritten_megabytes_max": 0})
        assert await vacuum(never, every_seconds=0)
        assert "subject" in await holding(db, WHO[1].encode()), "vacuum overwrites nothing"
        assert await forms(settings, id) == ["clear", "clear"]

        assert await vacuum(settings, every_seconds=0)
        assert (await forms(settings, id))[0] == "sealed, its key is gone"
        if await db.fetchval("SELECT current_setting('wal_recycle') = 'on'"):
            assert (await forms(settings, id))[1] == "clear"
            return
        assert (await forms(settings, id))[1] == "clear", "no checkpoint was there"
        assert await holding(db, WHO[1].encode()) == set()
        assert await forms(settings, id) == ["sealed, its key is gone"] * 2
        # Of what a former release had set aside of the log nobody knows.
        await db.execute("INSERT INTO cleaning VALUES ('-infinity', 'FF/0')")
        assert await forms(settings, id) == ["sealed, its key is gone", "clear"]


async def test_what_could_not_be_cleaned_in_time_is_cleaned_when_it_can_be(
    store_settings: Settings,
) -> None:
    """The tables were too large, or a transaction was open, for longer than vacuum is due."""
    settings = store_settings
    id = await erased(settings)
    async with connecting(helpers.superuser_url(settings)) as db:
        await db.execute("UPDATE erased_subject SET at = now() - interval '1 day'")
        await db.execute("UPDATE erasure SET completed_at = now() - interval '1 day'")
        assert await vacuum(settings, every_seconds=0)
        assert (await forms(settings, id))[0] == "sealed, its key is gone"
        assert "subject" not in await holding(db, WHO[1].encode())
    assert not await vacuum(settings, every_seconds=0), "once"


async def test_nothing_is_claimed_while_somebody_may_see_what_was_deleted(
    store_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = store_settings
    await erased(settings)
    monkeypatch.setattr(cleaning, "WAIT_SECONDS_MAX", 0.2)
    async with connecting(settings.postgres_url) as db, connecting(settings.postgres_url) as other:
        reading = other.transaction(isolation="repeatable_read", readonly=True)
        await reading.start()
        await other.fetchval("SELECT 1")
        assert not await cleaning.rewrite(db, 1 << 30)
        assert await clean(db) == (None, None)
        await reading.rollback()
        monkeypatch.setattr(cleaning, "WAIT_SECONDS_MAX", 30.0)
        # And what waits to be told stands there in clear: it bounds what is clean.
        await db.execute(
            "INSERT INTO outbox_pack (topic, records, value, created_at)"
            " VALUES ('t', 1, 'x', '2026-01-01Z')"
        )
        assert await cleaning.rewrite(db, 1 << 30)
        assert (await clean(db)).tables == datetime(2026, 1, 1, tzinfo=UTC)


async def test_a_table_in_use_is_left_for_later_and_nobody_waits_long(
    store_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = store_settings
    await erased(settings)
    monkeypatch.setattr(cleaning, "ATTEMPTS_MAX", 1)
    monkeypatch.setattr(cleaning, "_unseen", lambda _: _at(datetime.now(UTC)))
    async with connecting(settings.postgres_url) as db, connecting(settings.postgres_url) as other:
        async with other.transaction():
            await other.execute("LOCK TABLE subject IN ROW EXCLUSIVE MODE")
            assert not await cleaning.rewrite(db, 1 << 30)
        assert await clean(db) == (None, None)
        assert await cleaning.rewrite(db, 1 << 30)
        assert (await clean(db)).tables is not None


async def _at(moment: datetime) -> datetime:
    return moment


async def test_statistics_of_a_former_release_are_let_go_of(store_settings: Settings) -> None:
    settings = store_settings
    others = {("creator", f"fan-{number}"): conversation(1) for number in range(20)}
    await seed(settings, others)
    kept = "SELECT count(*) FROM pg_stats WHERE tablename = 'subject' AND attname = 'fan_id'"
    async with connecting(helpers.superuser_url(settings)) as db:
        await db.execute("DROP TABLE cleaning")
        await db.execute("ALTER TABLE subject ALTER COLUMN fan_id SET STATISTICS -1")
        await db.execute("ANALYZE subject")
        assert await db.fetchval(kept) == 1
        await db.execute(MIGRATION.read_text())
        assert await db.fetchval(kept) == 0
        await db.execute("ANALYZE subject")
        assert await db.fetchval(kept) == 0
        assert await db.fetchval("SELECT count(*) FROM cleaning WHERE NOT isfinite(up_to)") == 1
