"""Two events under one id: the first counts, and the other one is never lost in silence."""

import json
from typing import Any

from admin.dead_letters import read_newest
from admin.rebuild import rebuild
from admin.verify import verify
from admin.verify.differences import counter_differences
from infra.postgres import connecting
from stores import letters
from stores.letters import keys_of
from stores.tally import COUNTERS, Tally
from tests.pipeline import Pipeline, message, purchase


async def conflicts(pipeline: Pipeline, count: int) -> list[dict[str, Any]]:
    """The events of all letters, once there are so many of them."""

    async def told() -> bool:
        return len((await read_newest(pipeline.settings, 100))[0]) >= count

    await pipeline.wait_for(told)
    found, _ = await read_newest(pipeline.settings, 100)
    async with connecting(pipeline.settings.postgres_url) as connection:
        keys = await keys_of(connection, pipeline.keyring, found)
    values = [keys.open(one) for one in found]
    assert {(one.field, one.reason.partition(":")[0]) for one in found} == {("eventId", "conflict")}
    return [json.loads(value) for value in values if value is not None]


async def counted(pipeline: Pipeline) -> dict[str, int]:
    async with connecting(pipeline.settings.postgres_url) as connection:
        return await letters.counts(connection)


async def live(pipeline: Pipeline) -> list[Any]:
    return await pipeline.fetch(
        "SELECT partition, next, sources, applied, duplicates, repeats, forgotten, quarantined,"
        " conflicts FROM position JOIN generation USING (generation)"
        " WHERE status = 'live' AND topic = 'journal' ORDER BY partition"
    )


async def test_a_conflict_is_counted_kept_and_found_again_by_every_fold(
    pipeline: Pipeline,
) -> None:
    """Also when ingest writes it twice, since a worker died before it could say that it had."""
    first = purchase("fan", 1, 5.0, type="tip", eventId="t")
    other = first | {"amount": 50.0, "metadata": {"note": "é"}}
    talk = message("fan", 2, eventId="t")
    await pipeline.publish(first, other, talk, first)
    pipeline.start_worker(fail_at="ingest.after_produce").process.wait(60)
    await pipeline.forget_dead_workers()
    worker = pipeline.start_worker()
    account = await pipeline.caught_up()
    assert (account.applied, account.duplicates, account.conflicts) == (2, 1, 1)
    assert account.repeats == 4
    # Later, and first of a batch in which the first comes again after it.
    await pipeline.publish(other | {"amount": 7}, other | {"amount": 7}, first)
    await pipeline.publish(talk | {"content": "something else"}, talk)
    account = await pipeline.caught_up()
    assert (account.applied, account.duplicates, account.conflicts) == (2, 3, 4)
    assert (await pipeline.state("fan")).engagement.revenue == 500
    events = await conflicts(pipeline, 4)
    assert sorted(one.get("amount", 0) for one in events) == [0, 7, 7, 50]
    (kept,) = [one for one in events if one.get("amount") == 50]
    assert kept == other | {"currency": "USD"}
    assert await counted(pipeline) == {"conflict": 4}
    worker.stop()

    report = await verify(pipeline.settings, processes=1)
    assert report.found == 0, report.differences
    assert (report.conflicts, report.duplicates) == (4, 3)
    before = await live(pipeline)
    await rebuild(pipeline.settings, processes=1)
    assert await live(pipeline) == before
    assert len(await conflicts(pipeline, 4)) == 4
    assert await counted(pipeline) == {"conflict": 4}


def test_what_a_former_release_counted_as_duplicates_is_no_difference() -> None:
    tally = Tally(applied=5, duplicates=3, conflicts=2)
    row = {"erasures": 0, "broken": False, "sources": []}

    def differing(**counters: int) -> list[str]:
        counted = row | dict.fromkeys(COUNTERS, 0) | {"applied": 5} | counters
        return [one.field for one in counter_differences(0, counted, tally, [], sampled=False)]

    assert differing(duplicates=3, conflicts=2) == []
    assert differing(duplicates=4, conflicts=1) == []
    assert differing(duplicates=5) == []
    assert differing(duplicates=3, conflicts=1) == ["duplicates"]
    assert differing(duplicates=2, conflicts=3) == ["duplicates", "conflicts"]
