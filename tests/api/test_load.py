"""Many at once: bursts wait their turn instead of being taken for an outage."""

import asyncio

from tests.api.client import Client, running_api


async def test_a_burst_of_reads_is_answered_from_the_cache_without_opening_a_circuit(
    api: Client,
) -> None:
    # Whether a burst is served in a second is the machine's affair; that nothing fails is ours.
    slow = {"request_seconds_max": 60.0, "cache_seconds_max": 30.0, "cache_overtaken_seconds": 0.0}
    async with running_api(api.settings.model_copy(update=slow)) as patient:
        await patient.hit()
        reads = await patient.counter("memory_database_reads_total")
        answers = await asyncio.gather(*(patient.get("context") for _ in range(300)))
        assert {answer.status for answer in answers} == {200}
        assert await patient.counter("memory_cache_errors_total") == 0
        trips = 'memory_circuit_breaker_trips_total{breaker="memory-cache"}'
        assert await patient.counter(trips) == 0
        assert await patient.counter("memory_database_reads_total") == reads
