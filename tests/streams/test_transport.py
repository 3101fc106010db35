"""The batched path through Faust, and one contract test for each private part that it leans on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import faust
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.consumer.fetcher import READ_COMMITTED
from faust.transport import drivers
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP

from infra.kafka import client_options, group
from infra.kafka_ids import TopicIds
from infra.settings import Settings
from lab.chaos.backwards import recreate_topic
from schemas.topics import INTERACTIONS, JOURNAL, MEMORY_UPDATES
from streams import app as apps
from streams import transport
from streams.transport import Fetch, FetchScheduler, Records, fetch_topic
from tests.pipeline import WAIT_SECONDS_MAX, Pipeline


async def nothing(partitions: list[int]) -> dict[int, int]:
    return dict.fromkeys(partitions, 0)


@pytest.fixture
def app(store_settings: Settings) -> Any:
    """An app as a worker's, not started."""
    return apps._faust_app(store_settings)


@pytest.fixture(autouse=True)
def claims(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The registry of batched topics, empty."""
    made: dict[str, Any] = {}
    monkeypatch.setattr(transport, "_claims", made)
    return made


def records(values: list[str], until: int) -> Records:
    made = Records(values)
    made.until = until
    return made


# Contracts, without a broker.


def test_faust_takes_records_from_its_scheduler_one_by_one() -> None:
    fetched = {TP("plain", 0): ["a", "b"], TP("plain", 1): ["c"]}
    given = list(cast(Any, DefaultSchedulingStrategy)().iterate(fetched))
    assert sorted(given) == [*((TP("plain", 0), "a"), (TP("plain", 0), "b"), (TP("plain", 1), "c"))]


def test_the_scheduler_hands_batched_fetches_over_whole(claims: dict[str, Any]) -> None:
    claims["batched"] = nothing
    whole = records(["x", "y"], 17)
    fetched = {TP("plain", 0): ["a", "b"], TP("batched", 3): whole}
    given = list(cast(Any, FetchScheduler)().iterate(fetched))
    (batch,) = [one for tp, one in given if tp.topic == "batched"]
    assert isinstance(batch, Fetch)
    assert batch.value is whole
    assert (batch.topic, batch.partition) == ("batched", 3)
    assert [one for tp, one in given if tp.topic == "plain"] == ["a", "b"]


def test_faust_asks_the_app_for_its_scheduler(app: Any) -> None:
    assert app.conf.ConsumerScheduler is FetchScheduler


def test_the_scheme_leads_to_our_transport(app: Any) -> None:
    assert drivers.TRANSPORTS.by_url(app.conf.broker[0]) is transport.Transport
    assert isinstance(app.transport, transport.Transport)
    assert issubclass(transport._Consumer, drivers.aiokafka.Consumer)
    assert transport.Transport.Consumer is transport._Consumer


async def test_the_thread_makes_a_consumer_with_our_waits_and_isolation(app: Any) -> None:
    consumer = app.consumer
    thread = consumer._thread
    assert isinstance(thread, transport._Thread)
    made = thread._create_worker_consumer(app.transport)
    assert made._fetch_max_wait_ms == transport.FETCH_WAIT_MS
    assert made._isolation_level == "read_committed"
    assert made._client.send == thread._ids.send
    assert made._enable_auto_commit is False


async def test_a_fetch_becomes_a_message_and_an_event_as_it_is(app: Any) -> None:
    topic = fetch_topic(app, INTERACTIONS.name, nothing)
    consumer = app.consumer
    whole = records(["x"], 1)
    message = consumer._to_message(TP("interactions", 2), Fetch(TP("interactions", 2), whole))
    assert message.partition == 2
    event = await topic.schema.compile(app)(message)
    assert event.value is whole
    assert event.message is message


def test_a_batched_topic_is_bounded_and_not_acknowledged(app: Any) -> None:
    topic = fetch_topic(app, INTERACTIONS.name, nothing)
    assert topic.maxsize == transport.QUEUED_FETCHES_MAX
    assert topic.acks is False
    assert list(transport.batched_topics()) == [INTERACTIONS.name]


# Behaviour, on a real broker.


@asynccontextmanager
async def started(app: Any) -> AsyncIterator[Any]:
    try:
        await asyncio.wait_for(app.start(), WAIT_SECONDS_MAX)
        yield app
    finally:
        await app.stop()


class Both:
    """An app with a batched and an ordinary agent, and what they were given."""

    def __init__(self, settings: Settings, start: int = 0) -> None:
        self.fetches: list[Records] = []
        self.plain: list[bytes] = []
        self.claimed: list[list[int]] = []
        self.app = apps._faust_app(settings)

        async def claim(partitions: list[int]) -> dict[int, int]:
            self.claimed.append(partitions)
            return dict.fromkeys(partitions, start)

        async def batched(stream: Any) -> None:
            async for event in stream.events():
                self.fetches.append(event.value)

        async def ordinary(stream: Any) -> None:
            async for value in stream:
                self.plain.append(value)

        self.app.agent(fetch_topic(self.app, INTERACTIONS.name, claim), name="batched")(batched)
        plain = self.app.topic(MEMORY_UPDATES.name, value_type=bytes, value_serializer="raw")
        self.app.agent(plain, name="ordinary")(ordinary)

    @property
    def values(self) -> list[bytes]:
        return [record.value for fetch in self.fetches for record in fetch]


async def written(pipeline: Pipeline, topic: str, values: list[bytes], partition: int = 0) -> None:
    async with pipeline.producer() as producer:
        sends = [await producer.send(topic, value, partition=partition) for value in values]
        await asyncio.gather(*sends)


async def test_ordinary_agents_live_beside_batched_ones(pipeline: Pipeline) -> None:
    both = Both(pipeline.settings)
    await written(pipeline, INTERACTIONS.name, [b"%d" % i for i in range(50)])
    await written(pipeline, MEMORY_UPDATES.name, [b"p%d" % i for i in range(5)])
    async with started(both.app):

        async def arrived() -> bool:
            return len(both.values) == 50 and len(both.plain) == 5

        await pipeline.wait_for(arrived)
        assert both.values == [b"%d" % i for i in range(50)]
        assert both.plain == [b"p%d" % i for i in range(5)]
        assert len([fetch for fetch in both.fetches if fetch]) < 5  # few fetches, many records
        assert max(fetch.until for fetch in both.fetches) == 50
        assert both.claimed == [list(range(pipeline.settings.interactions_partitions))]
        fetcher = both.app.consumer._thread._consumer._fetcher
        assert fetcher._isolation_level == READ_COMMITTED
        assert fetcher._fetch_max_wait_ms == transport.FETCH_WAIT_MS
        # Faust commits for the ordinary one; for the batched one only we do.
        await both.app.consumer.commit_advisory(INTERACTIONS.name, {0: 33, 99: 1})
        await both.app.commit({MEMORY_UPDATES.name})
        committed = await group_offsets(pipeline)
    assert committed[INTERACTIONS.name, 0] == 33
    assert committed[MEMORY_UPDATES.name, 0] == 5
    assert all(topic != JOURNAL.name for topic, _ in committed)


async def group_offsets(pipeline: Pipeline) -> dict[tuple[str, int], int]:
    client = AIOKafkaAdminClient(**client_options(pipeline.settings))
    await client.start()
    try:
        found = await client.list_consumer_group_offsets(group(pipeline.settings))
        return {(tp.topic, tp.partition): meta.offset for tp, meta in found.items()}
    finally:
        await client.close()


async def test_reading_starts_where_the_claim_says(pipeline: Pipeline) -> None:
    both = Both(pipeline.settings, start=40)
    for partition in range(pipeline.settings.interactions_partitions):
        values = [b"%d/%d" % (partition, i) for i in range(41)]
        await written(pipeline, INTERACTIONS.name, values, partition)
    async with started(both.app):

        async def arrived() -> bool:
            return len(both.values) >= pipeline.settings.interactions_partitions

        await pipeline.wait_for(arrived)
        assert sorted(both.values) == [b"%d/40" % p for p in range(4)]


async def test_calls_that_were_given_up_keep_nobody_waiting(pipeline: Pipeline) -> None:
    """As of a topic that is being made again, about which the broker says nothing for long."""
    both = Both(pipeline.settings)
    ended = 0

    async def unanswered() -> None:
        nonlocal ended
        try:
            await asyncio.Event().wait()
        finally:
            ended += 1

    async with started(both.app):
        thread = both.app.consumer._thread
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(thread.call_thread(unanswered), 0.2)
        async with asyncio.timeout(WAIT_SECONDS_MAX / 2):
            await both.app.consumer.highwaters(TP(INTERACTIONS.name, 0))
            while not ended:
                await asyncio.sleep(0.01)


async def test_what_is_read_again_after_a_seek_is_not_dropped(pipeline: Pipeline) -> None:
    """Also when a fetch on its way has made Faust think that it has read further."""
    both = Both(pipeline.settings)
    await written(pipeline, INTERACTIONS.name, [b"a", b"b"])
    async with started(both.app):

        async def twice() -> bool:
            return both.values == [b"a", b"b"] * 2

        async def once() -> bool:
            return both.values == [b"a", b"b"]

        await pipeline.wait_for(once)
        tp = TP(INTERACTIONS.name, 0)
        await both.app.consumer.seek_wait({tp: 0})
        both.app.consumer._read_offset[tp] = 10**6
        await pipeline.wait_for(twice)


async def test_what_a_topic_says_that_was_made_again_has_another_link(pipeline: Pipeline) -> None:
    """The connection is the same, and the new log goes on where the former one was read up to."""
    both = Both(pipeline.settings)
    both.app.conf.consumer_metadata_max_age_ms = 3_600_000  # it never sees that the topic is gone
    await written(pipeline, INTERACTIONS.name, [b"former"] * 2)
    async with started(both.app):

        async def read() -> bool:
            return b"former" in both.values

        async def read_on() -> bool:
            return b"latter" in both.values

        async def nothing_under_way() -> bool:
            return not both.app.consumer._thread._consumer._fetcher._in_flight

        await pipeline.wait_for(read)
        tps = [TopicPartition(*tp) for tp in both.app.consumer.assignment()]
        await both.app.consumer.call("pause", *tps)
        await pipeline.wait_for(nothing_under_way)
        await recreate_topic(pipeline.settings, INTERACTIONS.name)
        await written(pipeline, INTERACTIONS.name, [b"latter"] * 5)
        await both.app.consumer.call("resume", *tps)
        await pipeline.wait_for(read_on)
        former = {fetch.link for fetch in both.fetches if any(r.value == b"former" for r in fetch)}
        latter = {fetch.link for fetch in both.fetches if any(r.value == b"latter" for r in fetch)}
        assert max(former) < min(latter)


async def test_markers_at_the_end_arrive_as_a_fetch_without_records(pipeline: Pipeline) -> None:
    both = Both(pipeline.settings)
    async with started(both.app):
        async with pipeline.producer(transactional_id="somebody-else") as producer:
            async with producer.transaction():
                await producer.send(INTERACTIONS.name, b"a", partition=0)
            async with producer.transaction():
                await producer.send(INTERACTIONS.name, b"b", partition=0)

        async def read_to_the_end() -> bool:
            return any(fetch.until == 4 for fetch in both.fetches)

        await pipeline.wait_for(read_to_the_end)
        assert both.values == [b"a", b"b"]
        ends = await both.app.consumer.highwaters(TP(INTERACTIONS.name, 0))
        assert ends[TP(INTERACTIONS.name, 0)] == 4


async def test_a_claim_that_fails_ends_the_app(pipeline: Pipeline) -> None:
    app = apps._faust_app(pipeline.settings)

    async def refuse(partitions: list[int]) -> dict[int, int]:
        raise RuntimeError("no")

    async def batched(stream: Any) -> None:
        async for _ in stream.events():
            raise AssertionError("nothing may flow without a claim")

    app.agent(fetch_topic(app, INTERACTIONS.name, refuse), name="batched")(batched)
    await written(pipeline, INTERACTIONS.name, [b"a"])
    try:
        await app.start()
        await asyncio.wait_for(app._crashed.wait(), WAIT_SECONDS_MAX)
        assert isinstance(app.crash_reason, RuntimeError)
    finally:
        await app.stop()


def test_the_pinned_faust_is_the_one_these_contracts_were_written_for() -> None:
    assert faust.__version__.startswith("0.15.")


async def test_records_across_which_the_link_changed_are_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They may have come by the link that is lost, and would pass for those of the new one."""
    tp = TP(INTERACTIONS.name, 0)
    links = iter(["first", "second", "second", "second"])
    monkeypatch.setattr("infra.kafka.link", lambda *_: next(links))

    class Place:
        has_valid_position = True
        position = 10

    place = Place()

    class Consumer:
        _client = None

        def seek(self, tp: TP, offset: int) -> None:
            place.position = offset

    async def fetched(*_: Any) -> dict[TP, list[Any]]:
        place.position += 5
        return {tp: [SimpleNamespace(offset=at) for at in range(10, 15)]}

    monkeypatch.setattr(transport, "_place", lambda *_: place)
    monkeypatch.setattr(transport, "_claims", {INTERACTIONS.name: None})
    monkeypatch.setattr(drivers.aiokafka.AIOKafkaConsumerThread, "_fetch_records", fetched)
    thread = transport._Thread.__new__(transport._Thread)
    thread._read, thread._links = {tp: (place, 10, 1, False)}, {}
    thread._ids = TopicIds(SimpleNamespace(send=None))
    assert await thread._fetch_records(Consumer(), {tp}) == {}
    assert place.position == 10
    again = await thread._fetch_records(Consumer(), {tp})
    assert (again[tp].start, again[tp].until, again[tp].link) == (10, 15, 2)
