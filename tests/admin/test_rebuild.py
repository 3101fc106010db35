"""Rebuild on a system at rest: the same bytes, resumable, refusing what it must."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from admin.preflight import preflight
from admin.rebuild import diff, drop_former, rebuild
from admin.rebuild.differences import state_changes
from admin.verify import verify
from infra.kafka import admin
from infra.postgres import open_pool, url_of
from infra.producer import BatchProducer
from infra.settings import Settings
from ops.services import Endpoints
from privacy.subjects import Subjects
from schemas.errors import DatabaseUnavailable, DataLost, Misconfigured, OtherViews
from schemas.random_ids import id_text
from schemas.topics import DEAD_LETTERS, JOURNAL, MEMORY_UPDATES
from stores import generations, indexing
from stores.erasing import Eraser
from stores.forgetting import Forgetter
from stores.letters import Letters
from stores.migrate import migrate, views_fit
from stores.positions import POSITION_SQL
from stores.relay import Relay
from streams.ingest import Ingest
from streams.projection import Projection
from tests import services as helpers
from tests.documents import opened_states, put_state, with_revenue
from tests.pipeline import Pipeline, fill, mixed, truth
from views.state import VIEW_VERSION

FANS = 30
EVENTS = 400
DUPLICATES = 9
RECORDS = EVENTS + DUPLICATES


@pytest.fixture(scope="module")
async def original(
    services: Endpoints, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Settings]:
    """A system at rest, whose journal all tests read and whose database each one copies."""
    data = tmp_path_factory.mktemp("rebuild")
    async with helpers.fresh_database(services, template_database) as url:
        settings = await helpers.fresh_settings(services, url, data, kafka=True)
        made = Pipeline(settings, data)
        try:
            made.start_worker()
            events = mixed(FANS, EVENTS)
            await made.publish(*events, *events[:DUPLICATES])
            await made.drained()
        finally:
            made.stop_workers()
        yield settings


@pytest.fixture
async def quiet(services: Endpoints, original: Settings, tmp_path: Path) -> AsyncIterator[Pipeline]:
    """The same system with a database of this test's own."""
    name = original.postgres_url.rpartition("/")[2]
    async with helpers.fresh_database(services, name) as url:
        await helpers.flush_redis(services)
        yield Pipeline(helpers.on_database(original, url), tmp_path)


async def _generations(pipeline: Pipeline) -> list[tuple[int, str]]:
    rows = await pipeline.fetch("SELECT generation, status FROM generation ORDER BY 1")
    return [(row["generation"], row["status"]) for row in rows]


async def _states(pipeline: Pipeline, generation: int) -> dict[Any, tuple[int, bytes]]:
    found = await opened_states(pipeline, pipeline.keyring, generation)
    return {one.fan.id: (one.version, one.document) for one in found.values()}


async def _interrupted(pipeline: Pipeline, records: int) -> None:
    """Begin a rebuild and break it off once more than `records` were read."""
    seen = 0

    def progress(count: int) -> None:
        nonlocal seen
        seen += count
        if seen > records:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rebuild(pipeline.settings, processes=1, progress=progress)


async def test_a_rebuild_gives_the_same_bytes_and_every_counter(quiet: Pipeline) -> None:
    before = await _states(quiet, 1)
    done = await rebuild(quiet.settings, processes=2)
    assert (done.generation, done.former, done.records, done.resumed) == (2, 1, RECORDS, 0)
    assert done.fans == FANS
    assert done.cache_told
    assert await _states(quiet, 2) == before
    assert await _generations(quiet) == [(1, "former"), (2, "live")]
    counters = (
        "SELECT partition, next, sources, applied, duplicates, repeats, forgotten, quarantined"
        " FROM position WHERE generation = $1 ORDER BY partition"
    )
    former, live = await quiet.fetch(counters, 1), await quiet.fetch(counters, 2)
    assert former == live
    assert sum(row["applied"] for row in live) == EVENTS
    assert sum(row["duplicates"] for row in live) == DUPLICATES
    report = await verify(quiet.settings, processes=1)
    assert (report.found, report.generation) == (0, 2)


async def test_a_rebuild_tells_nobody_but_the_cache(quiet: Pipeline) -> None:
    """No update is published and no outbox row left; what was cached of the former goes."""
    ends = await quiet.ends(MEMORY_UPDATES.name)
    async with quiet.stores() as (cache, store):
        for partition in range(quiet.settings.journal_partitions):
            await cache.adopt(1, partition, 10_000, {}, seconds=600)
        assert await fill(cache, store, "creator", "fan1")
        await rebuild(quiet.settings, processes=1)
        assert await quiet.ends(MEMORY_UPDATES.name) == ends
        assert await cache.stored([("creator", "fan1")]) == [None]
        # The next reader can fill it from the new generation at once.
        assert await fill(cache, store, "creator", "fan1")
        assert (await truth(quiet, store, "creator", "fan1")).generation == 2


async def test_a_rebuild_puts_the_fans_of_who_has_many_into_the_indexes(
    quiet: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "UNORDERED_MAX", 0)
    done = await rebuild(quiet.settings, processes=1)
    (row,) = await quiet.fetch("SELECT count(*) FROM g2.fan_state WHERE ordered")
    assert row["count"] == done.fans == FANS


async def test_an_interrupted_rebuild_goes_on_where_it_stopped(quiet: Pipeline) -> None:
    await _interrupted(quiet, RECORDS // 2)
    assert await _generations(quiet) == [(1, "live"), (2, "building")]
    rows = await quiet.fetch("SELECT sum(next)::bigint AS n FROM position WHERE generation = 2")
    assert 0 < rows[0]["n"] < RECORDS
    done = await rebuild(quiet.settings, processes=1)
    assert (done.generation, done.resumed, done.records) == (2, rows[0]["n"], RECORDS)
    assert await _states(quiet, 2) == await _states(quiet, 1)
    assert (await verify(quiet.settings, processes=1)).found == 0


async def test_a_fresh_rebuild_keeps_nothing_of_an_interrupted_one(quiet: Pipeline) -> None:
    await _interrupted(quiet, RECORDS // 2)
    done = await rebuild(quiet.settings, processes=1, fresh=True)
    assert (done.generation, done.resumed, done.records) == (3, 0, RECORDS)
    assert await _generations(quiet) == [(1, "former"), (3, "live")]


async def test_a_fan_erased_during_the_build_does_not_come_back(quiet: Pipeline) -> None:
    await _interrupted(quiet, RECORDS - 1)
    rows = await quiet.fetch("SELECT subject FROM g2.fan_state ORDER BY subject LIMIT 1")
    subject = rows[0]["subject"]
    for statement in (
        "DELETE FROM subject WHERE subject = $1",
        "DELETE FROM g1.fan_state WHERE subject = $1",
        "DELETE FROM interaction WHERE subject = $1",
    ):
        await quiet.fetch(statement, subject)
    partition = int.from_bytes(subject.bytes[:4], "big") % quiet.settings.journal_partitions
    await quiet.fetch(
        "UPDATE position SET erasures = 1 WHERE generation = 1 AND partition = $1", partition
    )
    done = await rebuild(quiet.settings, processes=1)
    assert done.fans == FANS - 1
    assert subject.bytes not in await _states(quiet, 2)
    rows = await quiet.fetch(
        "SELECT erasures FROM position WHERE generation = 2 AND partition = $1", partition
    )
    assert rows[0]["erasures"] == 1
    assert (await verify(quiet.settings, processes=1)).found == 0


async def test_spilled_partitions_rebuild_to_the_same_bytes(quiet: Pipeline) -> None:
    await rebuild(quiet.settings, processes=1, held_bytes_max=2_000)
    assert await _states(quiet, 2) == await _states(quiet, 1)


async def test_a_rebuild_mends_what_was_damaged(quiet: Pipeline) -> None:
    before = await _states(quiet, 1)
    await quiet.fetch("UPDATE g1.fan_state SET state = '{}'::bytea, version = 1")
    assert (await verify(quiet.settings, processes=1)).found > 0
    await rebuild(quiet.settings, processes=1)
    assert await _states(quiet, 2) == before
    assert (await verify(quiet.settings, processes=1)).found == 0


async def test_what_was_quarantined_and_can_be_folded_now_joins_views_and_history(
    quiet: Pipeline,
) -> None:
    """As if its key had been missing from the keyring when it was live."""
    before = await _states(quiet, 1)
    (row,) = await quiet.fetch(
        'DELETE FROM interaction WHERE partition = 1 AND "offset" = 7 RETURNING *'
    )
    await quiet.fetch(
        'INSERT INTO quarantine (partition, "offset", subject, reason, value)'
        " VALUES (1, 7, $1, 'sealed', '')",
        row["subject"],
    )
    await quiet.fetch("UPDATE g1.fan_state SET version = 0 WHERE subject = $1", row["subject"])
    await rebuild(quiet.settings, processes=1)
    assert await _states(quiet, 2) == before
    assert await quiet.fetch("SELECT * FROM quarantine") == []
    assert (await verify(quiet.settings, processes=1)).found == 0


async def test_diff_says_how_much_would_change_and_switches_nothing(quiet: Pipeline) -> None:
    of = (await opened_states(quiet, quiet.keyring))["creator", "fan3"]
    await put_state(quiet, of, with_revenue(of.document, 1))
    changes = await diff(quiet.settings, processes=1)
    assert (changes.fans, changes.comparable, changes.changed) == (FANS, FANS, 1)
    (view,) = changes.views
    assert (view.view, view.fans, view.fields) == ("engagement", 1, {"revenue": 1})
    (example,) = view.examples
    assert example.subject == id_text(of.fan.id)
    assert example.former == 1
    assert example.next > 100
    assert example.size == pytest.approx(1 - 1 / example.next)
    assert await _generations(quiet) == [(1, "live"), (2, "building")]
    done = await rebuild(quiet.settings, processes=1)
    assert (done.resumed, done.records) == (RECORDS, RECORDS)


def test_changes_name_fields_and_numbers_but_no_key_of_an_event() -> None:
    former = b'{"preferences":{"topics":{"a secret":1.0},"n":4},"personality":{"n":1}}'
    next = b'{"preferences":{"topics":{"a secret":2.0,"more":1.0},"n":3},"responses":{"x":1}}'
    found = {
        (view, change.field): (change.former, change.next)
        for view, change in state_changes("subject", former, next)
    }
    assert found == {
        ("preferences", "topics"): (1, 2),
        ("preferences", "n"): (4, 3),
        ("personality", "personality"): (1, 0),
        ("responses", "responses"): (0, 1),
    }


async def test_the_former_generation_stays_until_it_is_dropped(quiet: Pipeline) -> None:
    async with quiet.stores() as (_, store):
        assert (await store.stored("creator", "fan1")).generation == 1  # type: ignore[union-attr]
        await rebuild(quiet.settings, processes=1)
        await rebuild(quiet.settings, processes=1)
        assert await _generations(quiet) == [(1, "former"), (2, "former"), (3, "live")]
        assert await drop_former(quiet.settings) == [1, 2]
        assert await _generations(quiet) == [(3, "live")]
        with pytest.raises(asyncpg.UndefinedTableError):
            await quiet.fetch("SELECT FROM g1.fan_state")
        # A reader that still knows generation 1 finds its way.
        assert (await store.stored("creator", "fan1")).generation == 3  # type: ignore[union-attr]
        assert await store.stored("creator", "nobody") is None
        assert await drop_former(quiet.settings) == []


async def test_one_rebuild_at_a_time(quiet: Pipeline) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    def begin(_total: int) -> None:
        entered.set()

    async def slow() -> Any:
        holder = await asyncpg.connect(quiet.settings.postgres_url)
        try:
            async with holder.transaction():
                await generations.lock_live(holder)
                running = asyncio.create_task(rebuild(quiet.settings, processes=1, begin=begin))
                await entered.wait()
                await go_on.wait()
            return await running
        finally:
            await holder.close()

    first = asyncio.create_task(slow())
    await entered.wait()
    with pytest.raises(Misconfigured, match="Another rebuild"):
        await rebuild(quiet.settings, processes=1)
    with pytest.raises(Misconfigured, match="Another rebuild"):
        await drop_former(quiet.settings)
    go_on.set()
    assert (await first).generation == 2


async def test_a_switch_waits_for_a_claim_that_is_under_way(quiet: Pipeline) -> None:
    """Else a worker could claim, and write, a generation that was retired a moment ago."""
    connection = await asyncpg.connect(quiet.settings.postgres_url)
    claim = connection.transaction()
    await claim.start()
    live = await generations.lock_live(connection)
    assert live is not None
    running = asyncio.create_task(rebuild(quiet.settings, processes=1))

    async def waiting() -> bool:
        rows = await quiet.fetch(
            "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock' AND query LIKE '%FOR UPDATE%'"
        )
        return bool(rows[0]["n"])

    await quiet.wait_for(waiting)
    await connection.fetch(POSITION_SQL.claim, live.number, JOURNAL.name, [0, 1, 2, 3])
    assert await _generations(quiet) == [(1, "live"), (2, "building")]
    await claim.commit()
    await connection.close()
    assert (await running).generation == 2
    epochs = await quiet.fetch("SELECT epoch FROM position WHERE generation = 2")
    assert all(row["epoch"] > 1 for row in epochs)


async def test_a_claim_waits_for_a_switch_and_takes_the_new_generation(quiet: Pipeline) -> None:
    settings = quiet.settings
    switching = await asyncpg.connect(url_of(settings, "owner"))
    switch = switching.transaction()
    await switch.start()
    await switching.execute("UPDATE generation SET status = 'former'")
    await generations.create(switching, 2, "live")

    async def waiting() -> bool:
        rows = await quiet.fetch(
            "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock' AND query LIKE '%FOR SHARE%'"
        )
        return bool(rows[0]["n"])

    pool = await open_pool(settings.postgres_url)
    async with quiet.stores() as (cache, _):
        subjects = Subjects(quiet.keyring, 10)
        relay = Relay(settings, pool, subjects, [MEMORY_UPDATES])
        eraser = Eraser(settings, pool, cache, quiet.keyring)
        letters = Letters(quiet.keyring)
        project = Projection(settings, pool, cache, relay, subjects, letters, [eraser])
        claim = asyncio.create_task(project.claim([0]))
        await quiet.wait_for(waiting)
        await switch.commit()
        with contextlib.suppress(DatabaseUnavailable):  # its statement began before the switch
            await claim
        await project.claim([0])
        assert project.positions.generation == 2
        rows = await quiet.fetch(
            "SELECT epoch FROM position WHERE generation = 1 AND partition = 0"
        )
        assert [row["epoch"] for row in rows] == [1]
    await switching.close()
    await pool.close()


async def test_views_of_another_version_are_refused_with_the_command_to_run(
    quiet: Pipeline,
) -> None:
    owner = url_of(quiet.settings, "owner")
    assert await views_fit(owner)
    await quiet.fetch("UPDATE generation SET view_version = 'older:1'")
    assert await migrate(owner) == []  # which goes before the rebuild
    assert not await views_fit(owner)
    with pytest.raises(OtherViews) as unfit:
        await verify(quiet.settings, processes=1)
    assert "older:1" in str(unfit.value)
    assert "fanmemory rebuild" in unfit.value.advice
    async with quiet.stores() as (_, store):
        with pytest.raises(Misconfigured) as refused:
            await store.stored("creator", "fan1")
        assert "fanmemory rebuild" in refused.value.advice
    worker = quiet.start_worker()
    try:
        assert await asyncio.to_thread(worker.process.wait, 60) != 0
        assert worker.said("older:1")
        assert worker.said("fanmemory rebuild")
    finally:
        quiet.stop_workers()
    done = await rebuild(quiet.settings, processes=1)
    assert done.view_version == VIEW_VERSION
    assert await migrate(url_of(quiet.settings, "owner")) == []
    assert (await verify(quiet.settings, processes=1)).found == 0


async def test_an_unfinished_build_of_another_version_is_not_gone_on_with(quiet: Pipeline) -> None:
    await _interrupted(quiet, RECORDS // 2)
    await quiet.fetch("UPDATE generation SET view_version = 'other:1' WHERE generation = 2")
    done = await rebuild(quiet.settings, processes=1)
    assert done.resumed == 0
    assert await _states(quiet, done.generation) == await _states(quiet, 1)


async def test_another_partition_count_is_refused(quiet: Pipeline) -> None:
    settings = quiet.settings.model_copy(update={"journal_partitions": 5})
    for attempt in (rebuild(settings, processes=1), verify(settings, processes=1)):
        with pytest.raises(Misconfigured) as refused:
            await attempt
        assert "FANMEMORY_JOURNAL_PARTITIONS=4" in refused.value.advice


async def test_ingest_refuses_a_journal_that_has_grown(quiet: Pipeline) -> None:
    """A rebalance is when a running worker would notice it, and would place fans anew."""
    settings = quiet.settings.model_copy(update={"journal_partitions": 3})
    pool = await open_pool(settings.postgres_url)
    producer = BatchProducer(settings, "test")
    try:
        with pytest.raises(Misconfigured, match="has 4 partitions"):
            relay = Relay(settings, pool, Subjects(quiet.keyring, 1), [DEAD_LETTERS])
            async with quiet.stores() as (cache, _):
                eraser = Eraser(settings, pool, cache, quiet.keyring)
                forgetter = Forgetter(settings, pool, cache, quiet.keyring)
                ingest = Ingest(settings, pool, quiet.keyring, producer, relay, eraser, forgetter)
                await ingest.claim([0])
    finally:
        await producer.stop()
        await pool.close()


async def test_a_partition_count_that_changed_is_refused_at_start(quiet: Pipeline) -> None:
    """Also when the settings were changed together with the topic."""
    await quiet.fetch("UPDATE generation SET journal_partitions = 3")
    with pytest.raises(Misconfigured, match="3 partitions; now it has 4"):
        await rebuild(quiet.settings, processes=1)
    with pytest.raises(Misconfigured, match="3 partitions; now it has 4") as refused:
        await preflight(quiet.settings)
    assert "order" in refused.value.advice


async def test_a_journal_without_its_beginning_is_refused(quiet: Pipeline) -> None:
    """The last of this module: it cuts the journal that the tests share."""
    from aiokafka import TopicPartition
    from aiokafka.admin import RecordsToDelete

    async with admin(quiet.settings) as client:
        await client.delete_records({TopicPartition(JOURNAL.name, 0): RecordsToDelete(5)})
    for attempt in (rebuild(quiet.settings, processes=1), verify(quiet.settings, processes=1)):
        with pytest.raises(DataLost, match="beginning"):
            await attempt
