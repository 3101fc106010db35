"""Many at once: bursts wait their turn instead of being taken for an outage."""

import asyncio

from tests.api.client import Client


async def test_a_burst_of_reads_is_answered_from_the_cache_without_opening_a_circuit(
    api: Client,
) -> None:
    await api.get("context")
    await asyncio.sleep(0.1)
    answers = await asyncio.gather(*(api.get("context") for _ in range(300)))
    assert {answer.status for answer in answers} == {200}
    text = (await api.ask("GET", "/metrics")).body
    assert "\nmemory_cache_errors_total 0.0\n" in text
    assert 'memory_circuit_breaker_trips_total{breaker="memory-cache"} 0.0' in text
    assert "\nmemory_database_reads_total 1.0\n" in text
