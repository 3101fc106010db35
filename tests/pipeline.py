"""A pipeline for tests: real worker processes on real services, and what became of their input.

Nothing here sleeps to let something happen: everything waits for what it wants to see, with a
deadline, and says what it saw instead when time is up.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.group import LeaveGroupRequest

from admin.accounting import Account, wait_until_told
from admin.topics import partitions_of
from infra.kafka import client_options, group, named
from infra.postgres import connecting, open_pool, url_of
from infra.settings import Settings
from ops.services import Endpoints
from ops.services.process import launcher
from ops.system import environment
from privacy.keys import Keyring
from schemas.dead_letters import DeadLetter, decode_dead_letter
from schemas.errors import CacheUnavailable, DatabaseUnavailable, SealBroken
from schemas.times import render_time
from schemas.topics import DEAD_LETTERS, INTERACTIONS, JOURNAL, TOPICS
from stores.cache import Cache, open_cache
from stores.cached import Remembered, remembered
from stores.erasing import Eraser
from stores.forgetting import Forgetter
from stores.letters import keys_of
from stores.store import Store
from tests import forked, services
from tests.documents import opened_states
from views.state import FanState, decode

POLL_SECONDS = 0.05
WAIT_SECONDS_MAX = 30.0
"""Generous, for a busy machine: a test that passes never waits for it."""

COMMANDS = "ops.cli"
"""The command line, as a module."""

DOWN = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    KafkaError,
    CacheUnavailable,
    DatabaseUnavailable,
)
"""What is raised while a service does not answer."""

Event = dict[str, Any]


def message(fan: str, number: int, *, at: int | None = None, **more: Any) -> Event:
    """A fan's message with an id of its own; `at` in ms, by default an hour ago and on."""
    time_ms = int(time.time() * 1000) - 3_600_000 + number if at is None else at
    return {
        "eventId": f"e{number}",
        "fanId": fan,
        "creatorId": "creator",
        "type": "message",
        "content": f"This is message {number}, thank you!",
        "timestamp": render_time(time_ms),
    } | more


async def fill(cache: Cache, store: Store, creator: str, fan: str) -> bool:
    """As a reader does who finds the fan cold; False when it was refused."""
    lease = await cache.lease(creator, fan)
    stored = await store.stored(creator, fan)
    if lease is None or stored is None:
        return False
    who = creator, fan
    opened = remembered(stored, who, store._keyring)
    return opened is not None and await cache.fill(lease, creator, fan, stored, opened.recent)


async def truth(pipeline: "Pipeline", store: Store, creator: str, fan: str) -> Remembered:
    """What a reader must be told of the fan, if anything."""
    stored = await store.stored(creator, fan)
    assert stored is not None
    who = creator, fan
    found = remembered(stored, who, pipeline.keyring)
    assert found is not None
    return found


async def vouch_on(pipeline: "Pipeline", seconds: float = 3600) -> None:
    """Keep alive what the workers said last of the cache, after they have gone."""
    async with pipeline.stores() as (cache, _):
        for partition in range(pipeline.settings.journal_partitions):
            said = await cache.published(partition)
            if said is not None:
                await cache.publish(said, said.number, seconds=seconds)


def purchase(fan: str, number: int, amount: float, **more: Any) -> Event:
    made = message(fan, number) | {"type": "purchase", "amount": amount} | more
    del made["content"]
    return made


def known_to(release: Path | None, settings: Settings) -> dict[str, str]:
    """The settings as variables; for another release's code, without those that it doesn't have."""
    variables = environment(settings)
    if release is None:
        return variables
    theirs = (release / "infra" / "settings.py").read_text()
    return {
        name: value
        for name, value in variables.items()
        if f"\n    {name.removeprefix('FANMEMORY_').lower()}:" in theirs
    }


class Worker:
    """One `fanmemory worker` process."""

    def __init__(
        self,
        settings: Settings,
        log: Path,
        cwd: Path | None = None,
        module: str = COMMANDS,
        **changes: object,
    ) -> None:
        self.log = log
        variables = os.environ | known_to(cwd, settings.model_copy(update=changes))
        log.touch()
        self.process: forked.Process | subprocess.Popen[bytes]
        if cwd is None and module == COMMANDS:
            self.process = forked.FORKED.start(
                words=["worker"],
                environment=variables,
                directory=str(Path.cwd()),
                streams=[os.devnull, str(log), str(log)],
            )
            return
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [*launcher(signal.SIGKILL), sys.executable, "-m", module, "worker"],
                cwd=cwd,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def lines(self) -> list[dict[str, Any]]:
        """Its log so far; what is not one of our JSON lines appears as a message."""
        found = []
        for line in self.log.read_text("utf-8", "replace").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                found.append({"message": line})
        return found

    def said(self, part: str) -> int:
        """How many lines contain `part`."""
        return sum(part in json.dumps(line) for line in self.lines())

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        """End it politely, if it still runs; returns its exit code."""
        if self.alive:
            self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(signal.SIGCONT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.wait(10)


class Pipeline:
    """One system's services and workers, seen from outside."""

    def __init__(self, settings: Settings, logs: Path) -> None:
        self.settings = settings
        self.logs = logs
        self.workers: list[Worker] = []
        self.sent = 0
        self.keyring = Keyring.of(settings)

    # Workers.

    def start_worker(
        self, cwd: Path | None = None, module: str = COMMANDS, **changes: object
    ) -> Worker:
        """`changes` are settings of this one worker; `cwd` is where another release's code is.

        Another `module` than the command line may spoil the worker before it runs it.
        """
        log = self.logs / f"worker-{len(self.workers) + 1}.log"
        worker = Worker(self.settings, log, cwd, module, **changes)
        self.workers.append(worker)
        return worker

    def stop_workers(self) -> None:
        """End every worker politely."""
        for worker in self.workers:
            worker.stop()
        self.workers.clear()

    async def end(self) -> None:
        """Kill every worker; pytest shows what they said when the test has failed."""
        for worker in self.workers:
            worker.kill()
            print(f"{worker.log.name}:", *worker.lines()[-20:], sep="\n")
        with contextlib.suppress(*DOWN):
            await self.forget_dead_workers()

    async def forget_dead_workers(self) -> None:
        """Tell Kafka that all workers are dead, which it would notice after their session."""
        assert not any(worker.alive for worker in self.workers)
        client = AIOKafkaAdminClient(**client_options(self.settings))
        await client.start()
        try:
            ours = group(self.settings)
            coordinator = await client.find_coordinator(ours)
            (described,) = await client.describe_consumer_groups([ours], coordinator)
            for member in described.groups[0][5]:
                leave = LeaveGroupRequest(ours, member[0])
                await client._send_request(leave, coordinator)
        finally:
            await client.close()

    # Kafka.

    async def publish(self, *events: Event | bytes) -> None:
        """Publish to `interactions`, in order, acknowledged; an event is keyed as the API does."""
        await self.publish_records([record(event) for event in events])

    async def publish_records(
        self, records: Iterable[tuple[bytes | None, bytes | None]], topic: str = INTERACTIONS.name
    ) -> None:
        """(key, value) of each; returns when the broker has them all."""
        async with self.producer() as producer:
            name = named(self.settings, topic)
            sends = [await producer.send(name, value, key=key) for key, value in records]
            await asyncio.gather(*sends)
        if topic == INTERACTIONS.name:
            self.sent += len(sends)

    @asynccontextmanager
    async def producer(self, **options: Any) -> AsyncIterator[Any]:
        producer = AIOKafkaProducer(
            **client_options(self.settings),
            acks="all",
            enable_idempotence=True,
            linger_ms=2,
            **options,
        )
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()

    async def records(self, topic: str) -> list[Any]:
        """Everything that a topic holds now, by partition and offset."""
        consumer = AIOKafkaConsumer(**client_options(self.settings))
        await consumer.start()
        try:
            tps = self._partitions(topic)
            ends = await consumer.end_offsets(tps)
            consumer.assign(tps)
            await consumer.seek_to_beginning(*tps)
            found: list[Any] = []
            deadline = time.monotonic() + WAIT_SECONDS_MAX
            while any([await consumer.position(tp) < ends[tp] for tp in tps]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += records
                assert time.monotonic() < deadline, f"{topic} can't be read to its end"
            return sorted(found, key=lambda one: (one.partition, one.offset))
        finally:
            await consumer.stop()

    async def ends(self, topic: str) -> dict[int, int]:
        """The end offset of every partition."""
        consumer = AIOKafkaConsumer(**client_options(self.settings))
        await consumer.start()
        try:
            ends = await consumer.end_offsets(self._partitions(topic))
            return {tp.partition: end for tp, end in ends.items()}
        finally:
            await consumer.stop()

    def _partitions(self, topic: str) -> list[TopicPartition]:
        (known,) = [one for one in TOPICS if one.name == topic]
        count = partitions_of(known, self.settings)
        name = named(self.settings, topic)
        return [TopicPartition(name, partition) for partition in range(count)]

    async def dead_letters(self) -> list[tuple[DeadLetter, bytes | None]]:
        """Every dead letter with its value opened, once all are published; None: nothing opens it,
        or it had none."""
        async with self.stores() as (_, store):
            await wait_until_told(store, WAIT_SECONDS_MAX)
        found = []
        for one in await self.records(DEAD_LETTERS.name):
            found.append(decode_dead_letter(one.value))
            assert one.key == found[-1].source.encode()
        async with connecting(self.settings.postgres_url) as connection:
            keys = await keys_of(connection, self.keyring, found)

        def opened(letter: DeadLetter) -> bytes | None:
            try:
                return keys.open(letter)
            except SealBroken:
                return None

        return [(letter, opened(letter)) for letter in found]

    # Postgres.

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        """By the tables' owner, who may damage them, too."""
        connection = await asyncpg.connect(url_of(self.settings, "owner"), timeout=5)
        try:
            rows: list[Any] = await connection.fetch(query, *arguments)
            return rows
        finally:
            await connection.close()

    async def accounting(self) -> Account:
        columns = ", ".join(f"coalesce(sum({f.name}), 0)::bigint" for f in fields(Account))
        rows = await self.fetch(f"SELECT {columns} FROM position")
        return Account(*rows[0])

    async def lag(self) -> dict[str, int]:
        """Records between each topic's ends and the positions in Postgres, whichever is ahead."""
        lag = {}
        for topic in (INTERACTIONS.name, JOURNAL.name):
            # After a rebuild the former generation's rows stand still beside the live one's.
            rows = await self.fetch(
                "SELECT partition, max(next) AS next FROM position WHERE topic = $1"
                " GROUP BY partition",
                topic,
            )
            known = {row["partition"]: row["next"] for row in rows}
            ends = await self.ends(topic)
            lag[topic] = sum(abs(end - known.get(partition, 0)) for partition, end in ends.items())
        return lag

    async def states(self, generation: int = 1) -> dict[tuple[str, str], bytes]:
        """The document of every relationship, opened."""
        found = await opened_states(self, self.keyring, generation)
        return {who: one.document for who, one in found.items()}

    async def state(self, fan: str, creator: str = "creator") -> FanState:
        return decode((await self.states())[creator, fan])

    async def history(self) -> dict[str, int]:
        """Rows of history per fan."""
        rows = await self.fetch(
            "SELECT fan_id, count(*) AS n FROM interaction JOIN subject USING (subject) GROUP BY 1"
        )
        return {row["fan_id"]: row["n"] for row in rows}

    @asynccontextmanager
    async def locked(self, table: str) -> AsyncIterator[Any]:
        """Hold a table so that nobody else reads or writes it; yields the holding connection."""
        connection = await asyncpg.connect(self.settings.postgres_url)
        try:
            async with connection.transaction():
                await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
                yield connection
        finally:
            await connection.close()

    async def lock_awaited(self, table: str) -> None:
        """Wait until a worker's statement waits for that table."""

        async def waiting() -> bool:
            rows = await self.fetch(
                "SELECT count(*) AS n FROM pg_locks WHERE NOT granted AND relation = $1::regclass",
                table,
            )
            return bool(rows[0]["n"])

        await self.wait_for(waiting)

    async def pause(self, worker: Worker) -> None:
        """Stop a worker where it holds no row that somebody else would wait for."""

        async def stopped() -> bool:
            worker.signal(signal.SIGSTOP)
            await asyncio.sleep(0.1)  # what Postgres was doing for it ends
            (held,) = await self.fetch(
                "SELECT count(*) AS n FROM pg_locks WHERE pid <> pg_backend_pid() AND granted"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                " AND mode IN ('RowShareLock', 'RowExclusiveLock')"
            )
            if held["n"]:
                worker.signal(signal.SIGCONT)
            return not held["n"]

        await self.wait_for(stopped)

    # Stores as the readers use them.

    @asynccontextmanager
    async def stores(self) -> AsyncIterator[tuple[Cache, Store]]:
        pool = await open_pool(self.settings.postgres_url)
        cache = open_cache(self.settings, self.keyring)
        try:
            yield cache, Store(pool, self.keyring, self.settings.journal_partitions)
        finally:
            await cache.close()
            await pool.close()

    # Waiting.

    async def drained(self, seconds_max: float = WAIT_SECONDS_MAX) -> Account:
        """Wait until everything published has been taken in and settled; returns the counts."""

        async def settled() -> Account | None:
            # The counts alone are of every generation, also of one that folded all of it before.
            found = await self.accounting()
            done = found.read >= self.sent and found.folded >= found.accepted
            return found if done and not any((await self.lag()).values()) else None

        return await self.wait_for(settled, seconds_max, self.accounting)

    async def wait_for(
        self,
        condition: Callable[[], Awaitable[Any]],
        seconds_max: float = WAIT_SECONDS_MAX,
        instead: Callable[[], Awaitable[Any]] | None = None,
    ) -> Any:
        """Poll until `condition` gives something true, and return it."""
        deadline = time.monotonic() + seconds_max
        while True:
            try:
                found = await condition()
            except DOWN:
                found = None  # that may be what the test waits out
            if found:
                return found
            if time.monotonic() > deadline:
                saw = await instead() if instead is not None else None
                tails = [worker.lines()[-8:] for worker in self.workers]
                raise AssertionError(f"waited {seconds_max} s in vain; saw {saw}; logs {tails}")
            await asyncio.sleep(POLL_SECONDS)

    async def without_lag(self) -> Account:
        """Wait until no lag is left, for when fans move: what is folded then is more than what was
        accepted, and an order may be given twice."""

        async def settled() -> bool:
            return not sum((await self.lag()).values())

        await self.wait_for(settled, instead=self.lag)
        return await self.accounting()

    async def written_again(self, lost: Collection[int]) -> None:
        """Wait until ingest has healed these journal partitions, and no lag is left."""

        async def healed() -> bool:
            rows = await self.fetch("SELECT partition FROM log_break WHERE topic = 'journal'")
            known = {row["partition"] for row in rows}
            return known.issuperset(lost) and not any((await self.lag()).values())

        await self.wait_for(healed, 60.0, self.lag)

    async def caught_up(self, seconds_max: float = WAIT_SECONDS_MAX) -> Account:
        """Wait until no lag is left; for when it is unknown how often a record was sent."""

        async def settled() -> Account | None:
            if sum((await self.lag()).values()):
                return None
            found = await self.accounting()
            return found if found.folded == found.accepted else None

        return await self.wait_for(settled, seconds_max, self.lag)

    async def claimed(self) -> None:
        """Wait until every partition has been claimed by some worker."""
        settings = self.settings
        partitions = settings.interactions_partitions + settings.journal_partitions

        async def claims() -> bool:
            rows = await self.fetch("SELECT count(*) AS n FROM position WHERE epoch > 0")
            return bool(rows[0]["n"] >= partitions)

        await self.wait_for(claims)

    async def vouched(self) -> None:
        """Wait until workers vouch for every partition's cached entries.

        The first time that anybody does so for a partition the whole cache is dropped, because
        nobody vouched for it before: an entry that was made earlier does not stay.
        """
        async with self.stores() as (cache, _):

            async def all_published() -> bool:
                partitions = range(self.settings.journal_partitions)
                return len(await cache.publications(partitions)) == len(partitions)

            await self.wait_for(all_published)


@asynccontextmanager
async def fresh_pipeline(
    endpoints: Endpoints, template: str, data: Path, **changed: Any
) -> AsyncIterator[Pipeline]:
    """An empty system without workers, with a database and topics of its own; `changed` are
    settings."""
    async with services.fresh_database(endpoints, template) as url:
        settings = await services.fresh_settings(endpoints, url, data, kafka=True)
        made = Pipeline(settings.model_copy(update=changed), data)
        try:
            yield made
        finally:
            await made.end()


@asynccontextmanager
async def eraser_of(pipeline: Pipeline, **changes: object) -> AsyncIterator[Eraser]:
    """As the API and the command have one; `changes` are settings of its own."""
    settings = pipeline.settings.model_copy(update=changes)
    pool = await open_pool(settings.postgres_url)
    async with Pipeline(settings, pipeline.logs).stores() as (cache, _):
        eraser = Eraser(settings, pool, cache, pipeline.keyring)
        try:
            yield eraser
        finally:
            await eraser.close()
            await pool.close()


@asynccontextmanager
async def forgetter_of(pipeline: Pipeline, **changes: object) -> AsyncIterator[Forgetter]:
    """The same for events."""
    settings = pipeline.settings.model_copy(update=changes)
    pool = await open_pool(settings.postgres_url)
    async with Pipeline(settings, pipeline.logs).stores() as (cache, _):
        forgetter = Forgetter(settings, pool, cache, pipeline.keyring)
        try:
            yield forgetter
        finally:
            await forgetter.close()
            await pool.close()


class Flow:
    """Publishes new events without a pause, and each batch again until it is acknowledged.

    async with Flow(pipeline, "name") as flow:
        ...
    flow.events  # every event that the broker has, at least once
    """

    def __init__(self, pipeline: Pipeline, name: str, *, fans: int = 10, batch: int = 20) -> None:
        self.events: list[Event] = []
        self._pipeline = pipeline
        self._name = name
        self._fans = fans
        self._batch = batch
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Flow":
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ended.set()
        assert self._task is not None
        await asyncio.wait_for(self._task, WAIT_SECONDS_MAX)

    async def _run(self) -> None:
        while not self._ended.is_set():
            made = mixed(self._fans, self._batch, first=len(self.events))
            batch = [event | {"fanId": f"{self._name}-{event['fanId']}"} for event in made]
            while True:
                try:
                    async with self._pipeline.producer(request_timeout_ms=3000) as producer:
                        sends = [
                            await producer.send(INTERACTIONS.name, v, key=k)
                            for k, v in map(record, batch)
                        ]
                        await asyncio.gather(*sends)
                    break
                except KafkaError:
                    await asyncio.sleep(POLL_SECONDS)
            self.events += batch
            await asyncio.sleep(POLL_SECONDS)

    async def more(self, seconds_max: float = WAIT_SECONDS_MAX) -> float:
        """Wait until events published from now on are applied; returns the seconds it took."""
        began = time.monotonic()
        known = len(self.events)
        own = f"{self._name}-%"

        async def arrived() -> bool:
            rows = await self._pipeline.fetch(
                "SELECT count(*) AS n FROM interaction JOIN subject USING (subject)"
                " WHERE fan_id LIKE $1",
                own,
            )
            return bool(rows[0]["n"] > known)

        await self._pipeline.wait_for(arrived, seconds_max)
        return time.monotonic() - began

    async def check(self) -> None:
        """Every event was applied exactly once, fan by fan, to the cent."""
        await self._pipeline.caught_up()
        history = await self._pipeline.history()
        states = await self._pipeline.states()
        for fan in {event["fanId"] for event in self.events}:
            own = [event for event in self.events if event["fanId"] == fan]
            engagement = decode(states["creator", fan]).engagement
            assert history[fan] == len(own), fan
            assert engagement.messages == sum(event["type"] == "message" for event in own)
            assert engagement.revenue == revenue(own, fan)


def record(event: Event | bytes) -> tuple[bytes | None, bytes]:
    """(key, value) as a service publishes it."""
    if isinstance(event, bytes):
        return None, event
    return f"{event['creatorId']}:{event['fanId']}".encode(), json.dumps(event).encode()


def mixed(fans: int, events: int, *, first: int = 0) -> list[Event]:
    """Messages, purchases and the rest, of many fans, each with an id of its own."""
    made: list[Event] = []
    for number in range(first, first + events):
        fan = f"fan{number % fans}"
        match number % 5:
            case 0 | 1 | 2:
                made.append(message(fan, number, sender="creator" if number % 3 == 1 else "fan"))
            case 3:
                made.append(purchase(fan, number, number % 100))
            case _:
                made.append(purchase(fan, number, 0) | {"type": "like", "amount": None})
    return made


def revenue(events: Sequence[Event], fan: str) -> int:
    """Cents that a fan spent, from the events themselves."""
    spent = [e for e in events if e["fanId"] == fan and e["type"] in ("purchase", "tip")]
    return sum(round(one["amount"] * 100) for one in spent)
