"""Rebuild beside a running system: nothing lost, nothing repeated, no read that fails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from admin.rebuild import rebuild
from admin.verify import verify
from infra.settings import Settings
from schemas.errors import FanNotFound
from stores.reader import FanMemory
from tests.pipeline import Pipeline, mixed
from views.state import VIEW_VERSION

FANS = 24
READ_SECONDS = 0.005


@pytest.fixture
async def pipeline(settings: Settings, tmp_path: Path) -> AsyncIterator[Pipeline]:
    made = Pipeline(settings, tmp_path)
    try:
        yield made
    finally:
        made.stop_workers()


class Reader:
    """Reads every fan again and again, and keeps what must not be."""

    def __init__(self, memory: FanMemory) -> None:
        self._memory = memory
        self._seen: dict[str, int] = {}
        self.reads = 0
        self.wrong: list[str] = []
        self.stopped = False

    async def run(self) -> None:
        while not self.stopped:
            for number in range(FANS):
                fan = f"fan{number}"
                try:
                    context = await self._memory.context("creator", fan)
                except FanNotFound:
                    total = 0
                except Exception as error:  # noqa: BLE001 # any error at all is a finding
                    self.wrong.append(type(error).__name__)
                    continue
                else:
                    total = context.personality_profile.interaction_count
                if total < self._seen.get(fan, 0):
                    self.wrong.append(f"{fan} went back from {self._seen[fan]} to {total}")
                self._seen[fan] = total
                self.reads += 1
                await asyncio.sleep(READ_SECONDS)


@asynccontextmanager
async def _readers(pipeline: Pipeline) -> AsyncIterator[list[Reader]]:
    """Two as the API reads, one of them without a cache worth the name: always from Postgres."""
    async with pipeline.stores() as (cache, store), pipeline.stores() as (no_cache, cold_store):
        no_cache.prefix = b"nothing of anybody:"
        warm = FanMemory(cache, store, pipeline.keyring, pipeline.settings)
        cold = FanMemory(no_cache, cold_store, pipeline.keyring, pipeline.settings)
        readers = [Reader(warm), Reader(cold)]
        tasks = [asyncio.create_task(reader.run()) for reader in readers]
        try:
            yield readers
        finally:
            for reader in readers:
                reader.stopped = True
            await asyncio.gather(*tasks)
            await warm.close()
            await cold.close()
        assert warm.counts.cache_hits > 0


async def _keep_publishing(pipeline: Pipeline, first: int, until: asyncio.Event) -> int:
    number = first
    while not until.is_set():
        events = mixed(FANS, 20, first=number)
        conflicting = events[1] | {"content": "was not said", "timestamp": events[0]["timestamp"]}
        await pipeline.publish(*events, events[0], conflicting)
        number += 20
        await asyncio.sleep(0.02)
    return number


async def test_under_load_no_read_fails_or_goes_backwards_and_nothing_is_lost(
    pipeline: Pipeline,
) -> None:
    """Two rebuilds while two workers fold, with duplicates and conflicts, and readers of both
    stores read on."""
    workers = [pipeline.start_worker(), pipeline.start_worker()]
    await pipeline.publish(*mixed(FANS, 400))
    await pipeline.drained()
    enough = asyncio.Event()
    async with _readers(pipeline) as readers:
        publishing = asyncio.create_task(_keep_publishing(pipeline, 400, enough))
        try:
            first = await rebuild(pipeline.settings, processes=2)
            second = await rebuild(pipeline.settings, processes=1)
        finally:
            enough.set()
        total = await publishing
        assert (first.generation, second.generation) == (2, 3)

        async def caught_up() -> bool:
            (row,) = await pipeline.fetch(
                "SELECT sum(applied)::bigint AS n, sum(conflicts)::bigint AS conflicts"
                " FROM position WHERE generation = 3"
            )
            return (row["n"], row["conflicts"]) == (total, (total - 400) // 20)

        await pipeline.wait_for(caught_up)
    for reader in readers:
        assert reader.wrong == []
        assert reader.reads > FANS
    assert [worker.alive for worker in workers] == [True, True]
    report = await verify(pipeline.settings, processes=1)
    assert (report.found, report.generation, report.applied) == (0, 3, total), report.differences
    assert max(first.switch_seconds, second.switch_seconds) < 5


async def test_a_worker_of_other_code_ends_at_the_switch_and_its_readers_read_on(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rebuild is of another view version than the running worker and the readers fold."""
    worker = pipeline.start_worker()
    await pipeline.publish(*mixed(FANS, 200))
    await pipeline.drained()
    before = await pipeline.states()
    async with _readers(pipeline) as readers:
        with monkeypatch.context() as newer:
            for module in ("admin.rebuild.opening", "stores.generations"):
                newer.setattr(f"{module}.VIEW_VERSION", "newer:2")
            await rebuild(pipeline.settings, processes=1)
        reads = [reader.reads for reader in readers]
        await pipeline.publish(*mixed(FANS, 40, first=200))
        assert await asyncio.to_thread(worker.process.wait, 60) != 0

        async def read_on() -> bool:
            return all(r.reads > n + FANS for r, n in zip(readers, reads, strict=True))

        await pipeline.wait_for(read_on)
    for reader in readers:
        assert reader.wrong == []
    # It changed nothing on its way out: neither views, nor history, nor positions.
    assert await pipeline.states() == before
    assert sum((await pipeline.history()).values()) == 200
    (row,) = await pipeline.fetch(
        "SELECT view_version, sum(applied)::bigint AS n FROM generation JOIN position"
        " USING (generation) WHERE status = 'live' GROUP BY 1"
    )
    assert (row["view_version"], row["n"]) == ("newer:2", 200)
    # The same code can't start again; a rebuild by it takes the system back, and catches up.
    assert await asyncio.to_thread(pipeline.start_worker().process.wait, 60) != 0
    done = await rebuild(pipeline.settings, processes=1)
    assert done.view_version == VIEW_VERSION
    pipeline.start_worker()

    async def caught_up() -> bool:
        (row,) = await pipeline.fetch(
            "SELECT sum(applied)::bigint AS n FROM position WHERE generation = 3"
        )
        return bool(row["n"] == 240)

    await pipeline.wait_for(caught_up)
    assert (await verify(pipeline.settings, processes=1)).found == 0
