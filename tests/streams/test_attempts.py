"""A record that ends every worker that begins it is found, and set aside, and the rest goes on."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from infra.clock import now_ms
from infra.postgres import open_pool
from infra.producer import BatchProducer
from infra.settings import Settings
from lab.bench.seed import seed
from privacy.control import ControlSigner
from privacy.keys import Keyring
from privacy.seal import event_key, seal_entry
from privacy.subjects import Subject, Subjects, journal_partition
from schemas.control import Forget, Order, encode_control
from schemas.journal import FORMAT, JournalEntry, JournalRecord, encode_record
from schemas.topics import DEAD_LETTERS, INTENT_DEAD_LETTERS, JOURNAL, MEMORY_UPDATES
from stores import corrections, forgetting
from stores.attempts import ALONE_MAX, CLAIMS_MAX, REASON, Attempts
from stores.erasing import Eraser
from stores.folding import read_frames
from stores.forgetting import Forgetter
from stores.letters import Letters
from stores.positions import Batch, Held, Positions
from stores.relay import Relay
from streams import ingest, intake, projection, sealing, sifting
from streams.ingest import Ingest
from streams.intake import IntentIntake
from streams.projection import Projection
from streams.sifting import LOG_APPEND_TIME
from streams.step import Step
from tests.pipeline import Pipeline, message, record
from tests.streams.poisoned import POISON
from tests.views.corrected import delete
from tests.views.interactions import NOON
from tests.views.interactions import message as entry

WHO = ("creator", "fan")


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


class Ended(BaseException):
    """The process is gone: nothing of it does anything more."""


@dataclass
class Bench:
    """One record of the first kind of work, and process after process that meets it."""

    pipeline: Pipeline
    pool: Any
    make: Callable[[], Step]
    batch: Batch
    awaited: str
    """A table for which the work waits in the midst of it."""

    async def meet(self) -> None:
        """Another process claims the partition and does what is there."""
        step = self.make()
        await step.claim([self.batch.partition])
        await step.apply([self.batch])

    async def aside(self) -> bool:
        letters = await self.pool.fetchval("SELECT sum(letters) FROM dead_letter_count")
        return bool(letters) or bool(await self.pool.fetchval("SELECT count(*) FROM quarantine"))


def raw(key: bytes | None, value: bytes, **more: Any) -> Any:
    kept = {"offset": 0, "partition": 0, "headers": (), "timestamp": now_ms()}
    return SimpleNamespace(
        **(kept | {"key": key, "value": value, "timestamp_type": LOG_APPEND_TIME} | more)
    )


async def known(pool: Any, keyring: Keyring) -> Subject:
    async with pool.acquire() as connection:
        return (await Subjects(keyring, 10).resolve(connection, [WHO]))[WHO]


async def event(_: Pipeline, __: Any) -> tuple[Any, str]:
    return raw(*record(message("fan", 1))), "subject"


async def order(pipeline: Pipeline, _: Any) -> tuple[Any, str]:
    """To forget something of a fan with a history."""
    await seed(pipeline.settings, {WHO: [entry(NOON, event_id="e0"), entry(NOON + 1)]})
    given: Order = Forget(*WHO, str(uuid.UUID(int=1)), ("e0",))
    key, value = b"creator:fan", encode_control(given)
    headers = [ControlSigner(pipeline.keyring).header(key, value)]
    return raw(key, value, headers=headers), "interaction"


async def intent(_: Pipeline, __: Any) -> tuple[Any, str]:
    value = {
        "type": "message_generation",
        "userId": "operator",
        "creatorId": "creator",
        "recipientId": "fan",
        "sendToOnlyFans": False,
        "data": {},
        "intentId": "i1",
    }
    return raw(None, msgspec.json.encode(value)), "workflow"


async def journal_record(pipeline: Pipeline, pool: Any) -> tuple[Any, str]:
    return sealed(pipeline, await known(pool, pipeline.keyring), entry(NOON)), "interaction"


async def correction(pipeline: Pipeline, pool: Any) -> tuple[Any, str]:
    """Of a message in a fan's history, which is folded again."""
    await seed(pipeline.settings, {WHO: [entry(NOON, event_id="e0")]})
    fan = await known(pool, pipeline.keyring)
    return sealed(pipeline, fan, delete("e0", time=NOON + 1), offset=1), "interaction"


def sealed(pipeline: Pipeline, fan: Subject, one: JournalEntry, offset: int = 0) -> Any:
    key = event_key(fan.key, one.event_id, one.kind)
    body = seal_entry(fan.cipher, fan.id, key, one)
    partition = journal_partition(fan.id, pipeline.settings.journal_partitions)
    value = encode_record(JournalRecord(FORMAT, 0, offset, key, body))
    return raw(fan.id, value, partition=partition, offset=offset)


Kind = Callable[[Pipeline, Any], Awaitable[tuple[Any, str]]]


@asynccontextmanager
async def bench(pipeline: Pipeline, kind: Kind) -> AsyncIterator[Bench]:
    settings, keyring = pipeline.settings, pipeline.keyring
    pool = await open_pool(settings.postgres_url, size_max=6)
    producer = BatchProducer(settings, "test", JOURNAL.compression)
    async with pipeline.stores() as (cache, _):
        requests = Eraser(settings, pool, cache, keyring), Forgetter(settings, pool, cache, keyring)

        def make() -> Step:
            subjects = Subjects(keyring, 10)
            relay = Relay(
                settings, pool, subjects, [DEAD_LETTERS, INTENT_DEAD_LETTERS, MEMORY_UPDATES]
            )
            if kind is intent:
                return IntentIntake(settings, pool, keyring, relay)
            if kind in (event, order):
                return Ingest(settings, pool, keyring, producer, relay, *requests)
            letters = Letters(keyring)
            return Projection(settings, pool, cache, relay, subjects, letters, requests)

        try:
            one, awaited = await kind(pipeline, pool)
            batch = Batch(one.partition, one.offset, one.offset + 1, [one])
            yield Bench(pipeline, pool, make, batch, awaited)
        finally:
            await producer.stop()
            for each in requests:
                await each.close()
            await pool.close()


@pytest.mark.parametrize("kind", [event, order, intent, journal_record, correction])
async def test_who_is_killed_while_it_waits_for_postgres_says_nothing_of_the_record(
    pipeline: Pipeline, kind: Kind
) -> None:
    """As often as a harmful record would take, and once more; who comes after them takes it in."""
    async with bench(pipeline, kind) as one:
        for _ in range(CLAIMS_MAX + ALONE_MAX):
            async with pipeline.locked(one.awaited):
                met = asyncio.create_task(one.meet())
                await pipeline.lock_awaited(one.awaited)
                met.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await met
        await one.meet()
        assert not await one.aside()


HARM = [
    *((event, sifting, name) for name in ("parse_interaction", "analyse")),
    (event, sealing, "seal_entry"),
    (order, ingest, "decode_control"),
    *((order, forgetting, name) for name in ("move", "fold_whole")),
    (intent, intake, "parse_intent"),
    *((journal_record, projection, name) for name in ("read_frames", "open_records", "fold_new")),
    (correction, corrections, "_fold"),
]


UNTOUCHED: dict[str, Callable[..., bool]] = {
    "analyse": lambda texts: not texts,
    "read_frames": lambda _, __, aside: bool(aside),
    "open_records": lambda framed, *_: not framed.records,
    "fold_new": lambda fresh, *_: not fresh,
}
"""Whether what is called for every unit has nothing of the record to look at."""


@pytest.mark.parametrize(("kind", "module", "name"), HARM)
async def test_wherever_a_record_ends_its_worker_it_is_set_aside(
    pipeline: Pipeline, kind: Kind, module: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    harmless = getattr(module, name)
    untouched = UNTOUCHED.get(name)

    def end(*given: Any) -> Any:
        if untouched is not None and untouched(*given):
            return harmless(*given)
        raise Ended

    async with bench(pipeline, kind) as one:
        monkeypatch.setattr(module, name, end)
        for _ in range(CLAIMS_MAX - 1 + ALONE_MAX):
            with pytest.raises(Ended):
                await one.meet()
        assert not await one.aside()
        await one.meet()
        assert await one.aside()


class Counting:
    """A pool that tells how often something was written by it."""

    def __init__(self, pool: Any) -> None:
        self.fetchval = pool.fetchval
        self.pool = pool
        self.written = 0

    async def execute(self, *statement: Any) -> Any:
        self.written += 1
        return await self.pool.execute(*statement)


async def test_only_workers_that_ended_by_themselves_count_against_a_record(
    store_settings: Settings,
) -> None:
    pool = await open_pool(store_settings.postgres_url, size_max=2)
    one = SimpleNamespace(partition=0, offset=5, key=b"k" * 16, value=b"v")

    async def begin(*, end: bool = False) -> tuple[Attempts, bool, bool]:
        """Another worker comes as far as the record, and may end there: whether the record was
        alone, and whether it is set aside."""
        positions = Positions("journal")
        positions.held = {0: Held(0, 5, 1, 0)}
        worker = Attempts(pool, positions)
        async with pool.acquire() as connection:
            await worker.claimed(connection)
        parts = worker.parts([Batch(0, 5, 6, [one])])
        _, aside = await anext(parts)
        with contextlib.suppress(Ended):
            async with worker.risk():
                if end:
                    raise Ended
        await parts.aclose()
        return worker, worker._alone is not None, bool(aside)

    async def leave_politely() -> None:
        for _ in range(CLAIMS_MAX + ALONE_MAX):
            worker, _, aside = await begin(end=True)
            assert not aside
            await worker.withdraw()

    try:
        await leave_politely()
        alone = [(await begin())[1] for _ in range(CLAIMS_MAX)]
        assert alone == [False] * (CLAIMS_MAX - 1) + [True]
        for _ in range(ALONE_MAX):  # each killed while it waits for the brokers
            _, alone_now, aside = await begin()
            assert alone_now and not aside
        await leave_politely()
        for _ in range(ALONE_MAX):
            assert not (await begin(end=True))[2]
        assert (await begin())[2]
    finally:
        await pool.close()


async def test_a_unit_that_is_over_is_written_of_no_more(store_settings: Settings) -> None:
    """Neither behind the last of its records, nor when a fence ended it in the midst."""
    pool = await open_pool(store_settings.postgres_url, size_max=2)
    positions = Positions("journal")
    positions.held = {0: Held(0, 5, 1, 0)}
    counting = Counting(pool)
    worker = Attempts(cast(Any, counting), positions)
    worker._singly.add(0)
    single = Batch(0, 5, 6, [SimpleNamespace(partition=0, offset=5)])
    another = Batch(1, 0, 1, [SimpleNamespace(partition=1, offset=0)])
    try:
        fenced = worker.parts([single])
        await anext(fenced)
        async for part, _ in worker.parts([another]):
            assert part == [another]
            async with worker.risk():
                assert counting.written == 0
        await fenced.aclose()
        async for _ in worker.parts([single]):
            async with worker.risk():
                assert counting.written == 1
        assert counting.written == 2
        async with worker.risk():
            assert counting.written == 2
        assert worker._begun == {}
    finally:
        await pool.close()


def test_a_journal_record_that_is_to_be_set_aside_is_not_looked_at() -> None:
    one = SimpleNamespace(partition=2, offset=7, key=b"k" * 16, value=b"anything")
    framed = read_frames([one], {}, {(2, 7): REASON})
    assert framed.records == []
    ((partition, offset, subject, reason, value),) = framed.quarantined
    assert (partition, offset, subject, reason, value) == (2, 7, None, REASON, b"anything")
    assert framed.tallies[2].quarantined == 1
