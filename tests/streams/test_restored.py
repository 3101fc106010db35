"""A database brought back from a copy: what `interactions` still has is in the views again."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from admin import topics
from admin.ledger import behind
from admin.preflight import preflight
from admin.rebuild import rebuild
from admin.verify import verify
from infra.postgres import connect, connecting, url_of
from infra.settings import Settings
from lab.chaos.backwards import copy_database, restore_database
from ops.services import EmbeddedServices
from schemas.topics import JOURNAL
from stores.migrate import migrate
from tests.pipeline import Event, Pipeline, eraser_of, fill, message, mixed
from tests.services import with_new_secrets


@pytest.fixture(scope="module")
async def pipeline(
    own_services: EmbeddedServices, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pipeline]:
    """A system whose Postgres may be stopped; without workers."""
    data: Path = tmp_path_factory.mktemp("restored")
    settings = with_new_secrets(Settings(), data, own_services.endpoints)
    await topics.create(settings)
    await migrate(url_of(settings, "owner"))
    made = Pipeline(settings, data)
    try:
        yield made
    finally:
        await made.end()


async def execute(pipeline: Pipeline, statements: str) -> None:
    connection = await connect(pipeline.settings.postgres_url)
    await connection.execute(statements)
    await connection.close()


async def read_all(pipeline: Pipeline, events: list[Event]) -> None:
    """Everybody's memory is in the cache, as new as the database."""
    await pipeline.vouched()
    async with pipeline.stores() as (cache, store):
        for creator, fan in {(event["creatorId"], event["fanId"]) for event in events}:
            await fill(cache, store, creator, fan)


def renamed(events: list[Event], name: str) -> list[Event]:
    return [event | {"fanId": f"{name}-{event['fanId']}"} for event in events]


A_DAY_AGO = """
    UPDATE position SET moved_at = moved_at - interval '1 day';
    UPDATE claim SET claimed_at = claimed_at - interval '1 day';
"""


@pytest.mark.parametrize("day", [False, True], ids=["under a worker", "a day back"])
async def test_fans_first_seen_after_the_copy_are_there_again(
    own_services: EmbeddedServices, pipeline: Pipeline, tmp_path: Path, day: bool
) -> None:
    """In a day workers come and go, and views are rebuilt: the restored database knows less of
    claims and generations than the cache, the broker and the worker that waits for it."""
    old = renamed(mixed(fans=20, events=200), f"old-{day}")
    more = renamed(mixed(fans=20, events=100, first=200), f"old-{day}")
    new = renamed(mixed(fans=20, events=100), f"new-{day}")
    newest = renamed(mixed(fans=20, events=100), f"newest-{day}") if day else []
    everything = [*old, *more, *new, *newest]

    async def complete(events: list[Event]) -> None:
        """Every event is in the history, once."""

        async def found() -> bool:
            history = await pipeline.history()
            return all(
                history.get(fan) == sum(event["fanId"] == fan for event in events)
                for fan in {event["fanId"] for event in events}
            )

        await pipeline.wait_for(found, instead=pipeline.accounting)

    worker = pipeline.start_worker()
    await pipeline.publish(*old)
    await complete(old)
    if day:
        await execute(pipeline, A_DAY_AGO)
    copy_database(own_services, tmp_path / "copy")
    await pipeline.publish(*more, *new)
    await complete([*old, *more, *new])
    if day:
        worker.stop()
        worker = pipeline.start_worker()
        await pipeline.publish(*newest)
        await complete(everything)
        await rebuild(pipeline.settings, processes=1)
        await pipeline.publish(*renamed(mixed(fans=1, events=1), "generation 2"))
        await read_all(pipeline, everything)
    restore_database(own_services, tmp_path / "copy")
    if day:
        pipeline.start_worker()  # one claims what is restored, the other knows what was before
    await complete(everything)

    async def settled() -> bool:
        return sum((await pipeline.lag()).values()) == 0

    await pipeline.wait_for(settled, instead=pipeline.lag)
    assert (await verify(pipeline.settings, processes=1)).found == 0
    for one in pipeline.workers:
        one.stop()
    pipeline.workers.clear()


async def test_a_unit_that_was_written_when_its_fans_were_lost_is_written_again(
    own_services: EmbeddedServices, pipeline: Pipeline, tmp_path: Path
) -> None:
    new = renamed(mixed(fans=20, events=100), "unit")
    fans = {event["fanId"] for event in new}

    async def complete() -> bool:
        history = await pipeline.history()
        return sum(history.get(fan, 0) for fan in fans) == len(new)

    worker = pipeline.start_worker()
    await pipeline.publish(*renamed(mixed(fans=1, events=20), "unit-first"))

    async def claimed() -> bool:
        return not any((await pipeline.lag()).values())

    await pipeline.wait_for(claimed, instead=pipeline.lag)
    copy_database(own_services, tmp_path / "copy")  # the worker's claims are in it
    holder = await connect(pipeline.settings.postgres_url)
    await holder.execute("BEGIN; SELECT FROM position WHERE topic = 'interactions' FOR UPDATE")
    before = sum((await pipeline.ends(JOURNAL.name)).values())
    await pipeline.publish(*new)

    async def written() -> bool:
        return sum((await pipeline.ends(JOURNAL.name)).values()) > before

    await pipeline.wait_for(written)
    restore_database(own_services, tmp_path / "copy")
    holder.terminate()
    await pipeline.wait_for(complete, instead=pipeline.accounting)
    await pipeline.wait_for(claimed, instead=pipeline.lag)
    assert (await verify(pipeline.settings, processes=1)).found == 0
    worker.stop()
    pipeline.workers.clear()


async def test_fans_lost_between_their_look_up_and_the_commit_are_made_again(
    own_services: EmbeddedServices, pipeline: Pipeline, tmp_path: Path
) -> None:
    """The restore falls wholly between two statements of a unit: no position and no connection
    shows it, only that the subjects are gone which the journal records name."""
    new = renamed(mixed(fans=20, events=100), "between")
    fans = {event["fanId"] for event in new}

    async def settled() -> bool:
        return not any((await pipeline.lag()).values())

    async def resolved() -> bool:
        return bool(await pipeline.fetch("SELECT FROM subject WHERE fan_id LIKE 'between-fan%'"))

    async def complete() -> bool:
        history = await pipeline.history()
        return sum(history.get(fan, 0) for fan in fans) == len(new)

    worker = pipeline.start_worker()
    await pipeline.publish(*renamed(mixed(fans=1, events=20), "between-first"))
    await pipeline.wait_for(settled, instead=pipeline.lag)
    copy_database(own_services, tmp_path / "copy")  # the worker's claims are in it
    async with pipeline.locked("subject"):
        await pipeline.publish(*new)
        await pipeline.lock_awaited("subject")
        own_services.kill("kafka", signal.SIGSTOP)  # the unit waits for the journal
    await pipeline.wait_for(resolved)
    restore_database(own_services, tmp_path / "copy")
    assert not await resolved()
    own_services.kill("kafka", signal.SIGCONT)
    await pipeline.wait_for(complete, instead=pipeline.accounting)
    await pipeline.wait_for(settled, instead=pipeline.lag)
    assert (await verify(pipeline.settings, processes=1)).found == 0
    worker.stop()
    pipeline.workers.clear()


async def test_who_was_erased_after_the_copy_stays_erased(
    own_services: EmbeddedServices, pipeline: Pipeline, tmp_path: Path
) -> None:
    events = renamed(mixed(fans=10, events=60), "copied")
    gone = [f"copied-fan{number}" for number in range(5)]
    back = message(gone[0], 1000)
    worker = pipeline.start_worker()
    await pipeline.publish(*events)

    async def held(count: int) -> bool:
        found = {fan: n for fan, n in (await pipeline.history()).items() if fan in (*gone, *stay)}
        return sum(found.values()) == count

    stay = {event["fanId"] for event in events} - set(gone)
    staying = sum(event["fanId"] in stay for event in events)
    await pipeline.wait_for(lambda: held(len(events)))
    copy_database(own_services, tmp_path / "copy")
    async with eraser_of(pipeline) as eraser:
        for fan in gone:
            assert (await eraser.erase(("creator", fan), 20.0)).completed_at is not None
    await pipeline.publish(back)
    await pipeline.wait_for(lambda: held(staying + 1))
    worker.stop()
    pipeline.workers.clear()

    restore_database(own_services, tmp_path / "copy")

    assert len(await pipeline.history()) >= 10  # the copy knows them all
    async with connecting(pipeline.settings.postgres_url) as connection:
        assert len((await behind(pipeline.settings, connection)).subjects) == len(gone)
    await preflight(pipeline.settings)  # as every process does before it serves
    history = await pipeline.history()
    assert not set(gone) & set(history)
    pipeline.start_worker()
    await pipeline.wait_for(lambda: held(staying + 1))

    async def settled() -> bool:
        return sum((await pipeline.lag()).values()) == 0

    await pipeline.wait_for(settled, instead=pipeline.lag)
    assert (await pipeline.history())[gone[0]] == 1
    assert (await verify(pipeline.settings, processes=1)).differences == ()
    async with connecting(pipeline.settings.postgres_url) as connection:
        assert (await behind(pipeline.settings, connection, whole=True)).subjects == []
