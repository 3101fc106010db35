"""What a real worker tells Prometheus while events flow."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ops.services import Endpoints
from ops.services.ports import free_port
from tests.numbers import scrape
from tests.pipeline import Pipeline, fresh_pipeline, message, mixed


@pytest.fixture(scope="module")
async def pipeline(
    services: Endpoints, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pipeline]:
    folder = tmp_path_factory.mktemp("metrics")
    port = free_port()
    async with fresh_pipeline(services, template_database, folder, metrics_port=port) as made:
        made.start_worker()
        await made.claimed()
        yield made


async def test_what_was_done_is_counted_by_what_became_of_it(pipeline: Pipeline) -> None:
    port = pipeline.settings.metrics_port
    before = await scrape(port)
    assert before.sum("memory_worker_events_total") == 0
    events = mixed(10, 200)
    other = events[0] | {"content": "not what I said before"}
    bad = events[1] | {"timestamp": "yesterday", "eventId": "bad"}
    await pipeline.publish(*events)
    await pipeline.caught_up()
    await pipeline.publish(events[2], other, bad)
    await pipeline.caught_up()
    found = await scrape(port)

    def became(topic: str, outcome: str) -> float:
        return found.sum("memory_worker_events_total", topic=topic, outcome=outcome)

    assert became("interactions", "accepted") == 202
    assert became("interactions", "dead_letters") == 1
    assert became("journal", "applied") == 200
    assert became("journal", "duplicates") == 1
    assert became("journal", "conflicts") == 1
    letters = "memory_worker_dead_letters_total"
    assert found.sum(letters, topic="interactions", reason="timestamp") == 1
    assert found.sum(letters, topic="journal", reason="conflict") == 1
    assert found.sum("memory_event_to_visible_seconds_count") == 202
    assert 0 < found.sum("memory_event_to_visible_seconds_sum") < 202 * 60
    assert found.sum("memory_worker_unit_records_sum", topic="interactions") == 203
    assert found.sum("memory_worker_unit_records_sum", topic="journal") == 202
    for name in ("unit_seconds", "commit_seconds"):
        for topic in ("interactions", "journal"):
            counted = found.sum(f"memory_worker_{name}_count", topic=topic)
            units = found.sum("memory_worker_unit_records_count", topic=topic)
            assert counted == units > 1
            assert found.sum(f"memory_worker_{name}_sum", topic=topic) > 0
    assert found.sum("memory_worker_fold_seconds_count") > 0
    assert found.sum("process_cpu_seconds_total") > 0


async def test_what_waits_shows_as_lag_and_age(pipeline: Pipeline) -> None:
    port = pipeline.settings.metrics_port
    async with pipeline.locked("interaction"):
        await pipeline.publish(message("zoe-who-waits", 1))
        async with asyncio.timeout(60):
            while True:
                found = await scrape(port)
                lag = found.sum("memory_partition_lag", topic="journal")
                age = found.sum("memory_partition_oldest_unread_seconds", topic="journal")
                if lag == 1 and age > 1.5:
                    break
                await asyncio.sleep(0.2)
    await pipeline.caught_up()
    async with asyncio.timeout(60):
        while True:
            found = await scrape(port)
            if not found.sum("memory_partition_lag") and not found.sum(
                "memory_partition_oldest_unread_seconds"
            ):
                break
            await asyncio.sleep(0.2)
    assert found.sum("memory_partition_stopped") == 0


async def test_an_event_that_waited_was_seen_late(pipeline: Pipeline) -> None:
    """Its age is counted from when it came, not from when it was journaled."""
    port = pipeline.settings.metrics_port
    before = await scrape(port)
    async with pipeline.locked("subject"):
        await pipeline.publish(message("late", 1))
        await asyncio.sleep(2.1)
    await pipeline.caught_up()
    found = await scrape(port)
    slow = "memory_event_to_visible_seconds"
    took = found.sum(f"{slow}_sum") - before.sum(f"{slow}_sum")
    assert found.sum(f"{slow}_count") - before.sum(f"{slow}_count") == 1
    assert took >= 2


async def test_no_label_names_anybody(pipeline: Pipeline) -> None:
    found = await scrape(pipeline.settings.metrics_port)
    for secret in ("fan1", "zoe", "said before"):
        assert secret not in found.text


async def test_a_record_that_does_not_open_is_counted_as_quarantined(pipeline: Pipeline) -> None:
    async with pipeline.producer() as producer:
        await producer.send_and_wait("journal", b"nonsense", key=b"0" * 16, partition=0)
    async with asyncio.timeout(60):
        while not (await scrape(pipeline.settings.metrics_port)).sum(
            "memory_worker_events_total", topic="journal", outcome="quarantined"
        ):
            await asyncio.sleep(0.1)
