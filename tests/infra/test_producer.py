"""The batch producer against a real broker."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra import kafka
from infra.producer import BATCH_BYTES, BatchProducer, Delivery, tell_why
from infra.settings import Settings
from schemas.errors import BrokerUnavailable
from schemas.topics import JOURNAL
from tests.pipeline import Pipeline

PROBED = 3
"""A partition that no test looks at."""


@pytest.fixture
async def producer(settings: Settings) -> AsyncIterator[BatchProducer]:
    made = BatchProducer(settings, "test")
    yield made
    await made.stop()


async def test_it_says_the_offset_of_each_partitions_last_record(
    producer: BatchProducer, settings: Settings, tmp_path: Path
) -> None:
    large = bytes(BATCH_BYTES // 3)
    sent = {0: [(b"a", b"1"), (b"a", b"2")], 1: [(b"b", large)] * 8, 2: []}
    assert await producer.send(JOURNAL.name, sent) == {0: 1, 1: 7}
    assert await producer.send(JOURNAL.name, {0: [(b"a", b"3")]}) == {0: 2}
    assert await producer.send(JOURNAL.name, {}) == {}
    ends = await Pipeline(settings, tmp_path).ends(JOURNAL.name)
    assert (ends[0], ends[1], ends[2]) == (3, 8, 0)


async def limit_batches(producer: BatchProducer, settings: Settings, size: int) -> None:
    """Returns when the broker, which applies a setting a little later, goes by it."""
    changed = {"max.message.bytes": str(size)}
    async with kafka.admin(settings) as client:
        await client.alter_configs(
            [kafka.ConfigResource(kafka.ConfigResourceType.TOPIC, JOURNAL.name, configs=changed)]
        )
    async with asyncio.timeout(60):
        while True:
            delivery = Delivery()
            probe = {PROBED: [(b"probe", os.urandom(size + 2_000))]}
            await producer.send(JOURNAL.name, probe, delivery)
            if delivery.refused.get(PROBED):
                return
            await asyncio.sleep(0.05)


async def test_records_that_are_never_taken_are_found_among_others(
    producer: BatchProducer, settings: Settings, tmp_path: Path
) -> None:
    await limit_batches(producer, settings, 10_000)
    small = [(b"%d" % number, os.urandom(1_000)) for number in range(40)]
    large = (b"large", os.urandom(12_000))
    mixed = [large, *small[:25], large, large, *small[25:], large]
    delivery = Delivery()
    last = await producer.send(JOURNAL.name, {0: mixed, 1: small}, delivery)
    assert [one.place for one in delivery.refused[0]] == [0, 26, 27, 43]
    assert {one.reason for one in delivery.refused[0]} == {"MessageSizeTooLargeError"}
    assert delivery.settled == {0: len(mixed), 1: len(small)}
    assert last == {0: 39, 1: 39}
    records = await Pipeline(settings, tmp_path).records(JOURNAL.name)
    for partition in (0, 1):  # in their order, once
        assert [(r.key, r.value) for r in records if r.partition == partition] == small


async def test_a_refusal_that_nobody_asks_for_is_a_failure(
    producer: BatchProducer, settings: Settings
) -> None:
    await limit_batches(producer, settings, 10_000)
    with pytest.raises(BrokerUnavailable):
        await producer.send(JOURNAL.name, {0: [(b"large", os.urandom(12_000))]})


async def test_what_was_acknowledged_beside_a_failure_is_known(
    producer: BatchProducer, settings: Settings, tmp_path: Path
) -> None:
    """One of the partitions is none: the others' records are not to be sent again."""
    delivery = Delivery()
    sent = {0: [(b"a", b"1")], 99: [(b"b", b"2")], 1: [(b"c", b"3")] * 3}
    with pytest.raises(BrokerUnavailable):
        await producer.send(JOURNAL.name, sent, delivery)
    assert delivery.settled == {0: 1, 1: 3}
    assert delivery.last == {0: 0, 1: 2}
    del sent[99]
    assert await producer.send(JOURNAL.name, sent, delivery) == {0: 0, 1: 2}
    assert len(await Pipeline(settings, tmp_path).records(JOURNAL.name)) == 4


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (kafka.TopicAuthorizationFailedError(), "ERROR"),
        (kafka.InvalidTimestampError(), "ERROR"),
        *((forgotten(), "WARNING") for forgotten in kafka.FORGOTTEN),
        (kafka.UnknownTopicOrPartitionError(), None),
        (kafka.KafkaConnectionError(), None),
        (TimeoutError(), None),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_needs_somebody_is_an_error_and_what_is_mended_is_not(
    error: BaseException, level: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    tell_why(JOURNAL.name, error)
    assert [record.levelname for record in caplog.records] == ([level] if level else [])
