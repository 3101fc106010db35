"""What a producer that breaks in the middle of a publish may say about the event."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from aiokafka import TopicPartition

from api.publisher import Publisher
from infra import kafka
from infra.settings import Settings
from schemas.errors import BrokerUnavailable
from schemas.topics import INTERACTIONS


@pytest.fixture
async def publisher(settings: Settings) -> AsyncIterator[Publisher]:
    made = Publisher(settings)
    made.start()
    yield made
    await made.close()


def now() -> int:
    return time.time_ns() // 1_000_000


async def test_after_a_failure_that_hides_an_acknowledgement_it_may_have_been_accepted(
    publisher: Publisher,
) -> None:
    """A sequence that the broker does not expect: what an acknowledgement lost earlier leaves."""
    first = await publisher.publish(b"c:f", b"{}", now())
    sequences = publisher._producer._txn_manager
    sequences.increment_sequence_number(TopicPartition(INTERACTIONS.name, first.partition), 7)
    with pytest.raises(BrokerUnavailable) as failure:
        await publisher.publish(b"c:f", b"{}", now())
    assert "may still be accepted" in failure.value.advice
    assert "othing was accepted" not in failure.value.advice
    again = await publisher.publish(b"c:f", b"{}", now())
    assert again.offset == first.offset + 1  # by a new producer


async def test_what_the_broker_refuses_was_not_accepted(
    publisher: Publisher, settings: Settings
) -> None:
    """With `CreateTime` it refuses a record from the future; a little after it was told so."""
    by_producer = {"message.timestamp.type": "CreateTime"}
    async with kafka.admin(settings) as client:
        await client.alter_configs(
            [
                kafka.ConfigResource(
                    kafka.ConfigResourceType.TOPIC, INTERACTIONS.name, configs=by_producer
                )
            ]
        )
    ahead = now() + 2 * 24 * 3_600_000
    with pytest.raises(BrokerUnavailable) as failure:
        async with asyncio.timeout(60):
            while True:
                await publisher.publish(b"c:f", b"{}", ahead)
                await asyncio.sleep(0.05)
    assert failure.value.advice.startswith("Nothing was accepted")


async def test_what_was_never_sent_was_not_accepted(settings: Settings) -> None:
    with pytest.raises(BrokerUnavailable) as failure:
        await Publisher(settings).publish(b"c:f", b"{}", now())
    assert failure.value.advice.startswith("Nothing was accepted")
