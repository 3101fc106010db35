"""A record that ends every worker that begins it is found, and set aside, and the rest goes on."""

from types import SimpleNamespace

from infra.postgres import open_pool
from infra.settings import Settings
from stores.attempts import ALONE_MAX, CLAIMS_MAX, REASON, Attempts
from stores.folding import read_frames
from stores.positions import Batch, Held, Positions
from tests.pipeline import Pipeline, message
from tests.streams.poisoned import POISON


async def test_a_record_that_ends_every_worker_is_set_aside(pipeline: Pipeline) -> None:
    events = [message(f"fan{number % 5}", number) for number in range(20)]
    events[7]["content"] = POISON
    await pipeline.publish(*events)

    async def settled() -> bool:
        if not pipeline.workers or not pipeline.workers[-1].alive:
            assert len(pipeline.workers) < CLAIMS_MAX + ALONE_MAX
            await pipeline.forget_dead_workers()
            pipeline.start_worker(module="tests.streams.poisoned")
        account = await pipeline.accounting()
        return account.read >= 20 and account.folded >= account.accepted

    await pipeline.wait_for(settled, 120)
    account = await pipeline.accounting()
    assert (account.applied, account.dead_letters, account.quarantined) == (19, 1, 0)
    ((letter, opened),) = await pipeline.dead_letters()
    assert (letter.field, letter.reason) == ("$", REASON)
    assert POISON.encode() in (opened or b"")
    assert pipeline.workers[-1].alive


async def test_who_is_killed_while_it_waits_for_postgres_says_nothing_of_the_record(
    pipeline: Pipeline,
) -> None:
    """As often as a harmful record would take; the worker that comes after them takes it in."""
    await pipeline.publish(message("unlucky", 1))

    async def ended() -> bool:
        return not pipeline.workers[-1].alive

    for _ in range(CLAIMS_MAX + ALONE_MAX - 1):
        pipeline.start_worker(module="tests.streams.unlucky")
        await pipeline.wait_for(ended)
        await pipeline.forget_dead_workers()
    pipeline.start_worker()
    await pipeline.caught_up()
    account = await pipeline.accounting()
    assert (account.applied, account.dead_letters) == (1, 0)


async def test_only_workers_that_ended_by_themselves_count_against_a_record(
    store_settings: Settings,
) -> None:
    pool = await open_pool(store_settings.postgres_url, size_max=2)
    record = SimpleNamespace(partition=0, offset=5, key=b"k" * 16, value=b"v")

    async def begin() -> tuple[Attempts, bool, bool]:
        """Another worker comes as far as the record: whether alone, and whether it is set aside."""
        positions = Positions("journal")
        positions.held = {0: Held(0, 5, 1, 0)}
        worker = Attempts(pool, positions)
        async with pool.acquire() as connection:
            await worker.claimed(connection)
        parts = worker.parts([Batch(0, 5, 6, [record])])
        _, aside = await anext(parts)
        await parts.aclose()
        return worker, 0 in worker._begun, bool(aside)

    async def leave_politely() -> None:
        for _ in range(CLAIMS_MAX + ALONE_MAX):
            worker, _, aside = await begin()
            assert not aside
            await worker.withdraw()

    try:
        await leave_politely()
        alone = [(await begin())[1] for _ in range(CLAIMS_MAX)]
        assert alone == [False] * (CLAIMS_MAX - 1) + [True]
        for _ in range(ALONE_MAX):  # each killed while it waits for the brokers
            worker, alone_now, aside = await begin()
            assert alone_now and not aside
            await worker.harmless()
            await worker.harmless()  # a retry of the same process
        await leave_politely()
        assert [(await begin())[2] for _ in range(ALONE_MAX)] == [False] * (ALONE_MAX - 1) + [True]
    finally:
        await pool.close()


def test_a_journal_record_that_is_to_be_set_aside_is_not_looked_at() -> None:
    record = SimpleNamespace(partition=2, offset=7, key=b"k" * 16, value=b"anything")
    framed = read_frames([record], {}, {(2, 7): REASON})
    assert framed.records == []
    ((partition, offset, subject, reason, value),) = framed.quarantined
    assert (partition, offset, subject, reason, value) == (2, 7, None, REASON, b"anything")
    assert framed.tallies[2].quarantined == 1
