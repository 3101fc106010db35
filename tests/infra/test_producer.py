"""The batch producer against a real broker."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.producer import BATCH_BYTES, BatchProducer
from infra.settings import Settings
from schemas.topics import JOURNAL
from tests.pipeline import Pipeline


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
