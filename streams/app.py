"""The Faust app of one worker process: three batched agents, the relay, the watchdog."""

import asyncio
import contextlib
import gc
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import faust
import uvloop

from infra import failpoints, kafka
from infra.postgres import UNAVAILABLE, new_pool
from infra.producer import BatchProducer
from infra.settings import Settings
from privacy.keys import Keyring
from privacy.subjects import Subjects
from schemas.errors import DatabaseUnavailable
from schemas.topics import (
    DEAD_LETTERS,
    INTENT_DEAD_LETTERS,
    INTENTS,
    INTERACTIONS,
    JOURNAL,
    MEMORY_UPDATES,
)
from stores.cache import open_cache
from stores.erasing import Eraser
from stores.forgetting import Forgetter
from stores.indexing import Indexer
from stores.letters import Letters
from stores.relay import Relay
from stores.vacuum import Vacuum
from streams import transport
from streams.batching import BatchLoop
from streams.ingest import Ingest
from streams.intake import IntentIntake
from streams.ledger import LedgerGate
from streams.metrics import exposition_of, worker_registry
from streams.process import Process
from streams.projection import Projection
from streams.watchdog import Watchdog

DAY_SECONDS: Final = 86_400.0
REQUEST_SECONDS: Final = 40.0
REBALANCE_SECONDS: Final = 20.0
METADATA_MS_MAX: Final = 10_000
LEAVE_SECONDS_MAX: Final = 1.0
INGEST_RECORDS_MAX: Final = 2_000
"""Records of one ingest unit: analysing them holds the event loop for about 60 ms."""
INTENTS_MAX: Final = 500
"""Intents of one unit: about a millisecond each."""
GC_THRESHOLD: Final = 200_000
"""Allocations between collections: more than a full unit has alive, so that a unit is not looked
through while it is done. The default of 700 costs a fifth of the CPU and calm tails."""


def run_worker(settings: Settings) -> None:
    """Run one worker until it is told to stop; exits the process, with 1 after a crash."""
    failpoints.arm(settings.fail_at)
    gc.set_threshold(GC_THRESHOLD)
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = build_app(settings)
    gc.freeze()  # what is here now stays: no collection has to look through it
    Process(
        app, app.running.wait, loop=loop, loglevel=settings.log_level
    ).execute_from_commandline()


def build_app(settings: Settings) -> Any:
    """The app with its agents; its resources open when it starts."""
    keyring = Keyring.of(settings)
    pool = new_pool(
        settings.postgres_url,
        size_max=6,
        # A worker put to sleep in the midst of a transaction holds its position rows. They must
        # be free when its session has run out and the next owner claims them.
        idle_transaction_seconds_max=settings.session_seconds,
    )
    cache = open_cache(settings, keyring)
    producer = BatchProducer(settings, "fanmemory-ingest", JOURNAL.compression)
    subjects = Subjects(keyring, settings.subject_cache_max)
    relay = Relay(settings, pool, subjects, (DEAD_LETTERS, INTENT_DEAD_LETTERS, MEMORY_UPDATES))
    eraser = Eraser(settings, pool, cache, keyring)
    forgetter = Forgetter(settings, pool, cache, keyring)
    requests = (eraser, forgetter)
    ingest = Ingest(settings, pool, keyring, producer, relay, *requests)
    project = Projection(settings, pool, cache, relay, subjects, Letters(keyring), requests)
    intake = IntentIntake(settings, pool, keyring, relay)

    app = _faust_app(settings)
    gate = LedgerGate(settings, pool)
    loops = []
    for step, topic, records_max in (
        (ingest, INTERACTIONS, INGEST_RECORDS_MAX),
        (project, JOURNAL, settings.batch_records_max),
        (intake, INTENTS, INTENTS_MAX),
    ):
        loop = BatchLoop(app, step, settings, records_max, gate.passed)
        fetches = transport.fetch_topic(app, kafka.named(settings, topic.name), loop.claim)
        app.agent(fetches, name=topic.name)(loop.feed)
        loops.append(loop)
    watchdog = Watchdog(loops, settings.stall_seconds_max)
    exposition = exposition_of(settings, worker_registry(loops, watchdog))

    async def open_resources() -> None:
        await exposition.open()
        await pool

    async def close_resources() -> None:
        await exposition.close()
        for step in (ingest, project, intake):
            with contextlib.suppress(*UNAVAILABLE, DatabaseUnavailable, TimeoutError):
                async with asyncio.timeout(LEAVE_SECONDS_MAX):
                    await step.leave()
        await producer.stop()
        await relay.stop()
        for each in requests:
            await each.close()
        await cache.close()
        await pool.close()

    app.opening.append(open_resources)
    app.closing.append(close_resources)
    tasks = (
        relay.run,
        *(each.run for each in requests),
        Vacuum(settings).run,
        Indexer(pool, keyring).run,
        project.refresh_cache,
        watchdog.run,
    )
    for run in (*(loop.run for loop in loops), *(loop.compare for loop in loops), *tasks):
        app.task(run)
    return app


class _App(faust.App):
    """Opens resources before the consumer starts, closes them after it has stopped."""

    opening: list[Callable[[], Awaitable[None]]]
    closing: list[Callable[[], Awaitable[None]]]
    running: asyncio.Event

    async def on_first_start(self) -> None:
        for opened in self.opening:
            await opened()
        await super().on_first_start()

    async def on_started(self) -> None:
        await super().on_started()
        self.running.set()

    async def on_shutdown(self) -> None:
        await super().on_shutdown()
        for closed in self.closing:
            await closed()


def _faust_app(settings: Settings) -> Any:
    transport.install()
    app = _App(
        kafka.group(settings),
        **kafka.faust_options(settings, transport.SCHEME),
        store="memory://",
        # Faust makes it, and with tables off never writes there.
        datadir=str(Path(tempfile.gettempdir()) / "fanmemory-faust"),
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        table_standby_replicas=0,
        consumer_auto_offset_reset="earliest",
        # A topic made again has no partitions for us until then; by default 5 min.
        consumer_metadata_max_age_ms=METADATA_MS_MAX,
        broker_session_timeout=settings.session_seconds,
        broker_heartbeat_interval=settings.session_seconds / 10,
        broker_rebalance_timeout=REBALANCE_SECONDS,
        broker_request_timeout=REQUEST_SECONDS,
        # Exceeding it is a silent, permanent wedge: the watchdog is there for that.
        broker_max_poll_interval=DAY_SECONDS,
        broker_max_poll_records=settings.fetch_records_max,
        broker_commit_interval=DAY_SECONDS,
        broker_commit_livelock_soft_timeout=DAY_SECONDS,
        stream_processing_timeout=DAY_SECONDS,
        stream_wait_empty=False,
        ConsumerScheduler=transport.FetchScheduler,
    )
    app.opening = []
    app.closing = []
    app.running = asyncio.Event()
    return app
