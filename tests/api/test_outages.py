"""Postgres, Redis and Kafka killed (-9) and restarted under a running API."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from admin import topics
from infra.postgres import url_of
from infra.settings import Settings
from lab.bench.seed import seed
from ops.services import EmbeddedServices
from schemas.context import MemoryContext
from stores.migrate import migrate
from tests.api.client import CREATOR, FAN, PREFIX, Answer, Client, conversation, running_api
from tests.services import with_new_secrets

OTHER = "fan_not_cached"
DEGRADED = "X-Memory-Degraded"
SOON_SECONDS = 10.0
"""Far below what a client of Kafka waits by itself, far above the deadline of a request here."""
EVENT = {"fanId": FAN, "creatorId": CREATOR, "type": "like", "timestamp": "2024-11-12T10:30:00Z"}


@pytest.fixture(scope="module")
async def api(
    own_services: EmbeddedServices, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Client]:
    data: Path = tmp_path_factory.mktemp("outages")
    settings = with_new_secrets(Settings(), data, own_services.endpoints)
    settings = settings.model_copy(
        update={
            "request_seconds_max": 2.0,
            "database_seconds_max": 1.0,
            "cache_seconds_max": 1.0,
            # These tests count attempts: one that goes on in the background would blur them.
            "cache_overtaken_seconds": 0.0,
        }
    )
    await migrate(url_of(settings, "owner"))
    await topics.recreate(settings)
    await seed(settings, {(CREATOR, FAN): conversation(), (CREATOR, OTHER): conversation(4)})
    async with running_api(settings) as client:
        yield client


async def ready(api: Client) -> Answer:
    return await api.health()


async def seen_as(api: Client, dependency: str, *, up: bool) -> None:
    """Until readiness says so, and the circuit with it."""

    async def look() -> Answer:
        found = (await ready(api)).body["dependencies"][dependency]
        closed = found["circuit"]["state"] == "CLOSED"
        return Answer(200 if (found["up"], closed) == (up, up) else 0, {}, found)

    await api.until(look, 200)


@asynccontextmanager
async def tried_in_vain_by_nobody(api: Client, of: str) -> AsyncIterator[None]:
    """No attempt is made inside: the circuit is open, so nobody waits for the dead."""
    retries = f'memory_retries_total{{of="{of}"}}'
    before = await api.counter(retries)
    yield
    assert await api.counter(retries) == before


async def test_without_postgres_cached_reads_answer_and_others_say_503(
    api: Client, own_services: EmbeddedServices
) -> None:
    await api.hit()
    own_services.kill("postgres", signal.SIGKILL)
    for _ in range(20):
        cached = await api.get("context")
        assert cached.status == 200
    for _ in range(6):
        missed = await api.get("context", fanId=OTHER)
        assert missed.status == 503
        assert missed.body["type"] == "DATABASE_ERROR"
    for params in ({}, {"q": "love"}):  # nothing of the cache's could be all that was said
        assert (await api.get("messages", **params)).status == 503
    await seen_as(api, "database", up=False)
    async with tried_in_vain_by_nobody(api, "database"):
        assert (await api.get("context", fanId=OTHER)).status == 503
    await what_is_cached_is_said_to_be_only_that(api)
    health = await ready(api)
    assert (health.status, health.body["status"]) == (200, "degraded")
    assert health.body["dependencies"]["database"]["up"] is False

    await asyncio.to_thread(own_services.restart, "postgres")
    # Sooner than the 60 s of the breaker's reset: the watch closed it.
    await api.until(lambda: api.get("context", fanId=OTHER), 200)


async def what_is_cached_is_said_to_be_only_that(api: Client) -> None:
    for route in ("context", "engagement-score"):
        cached = await api.get(route)
        assert (cached.status, cached.headers[DEGRADED]) == (200, "cache")
        assert list(cached.body) == ["data", "correlationId", "timestamp", "degraded"]
        assert cached.body["degraded"] is True
        tag = {"If-None-Match": cached.headers["ETag"], "Authorization": f"Bearer {api.token()}"}
        same = await api.ask(
            "GET",
            f"{PREFIX}/{route}",
            params={"fanId": FAN, "creatorId": CREATOR, "strict": "true"},
            headers=tag,
        )
        assert (same.status, same.headers[DEGRADED]) == (304, "cache")
    several = await bulk(api)
    assert (several.status, several.headers[DEGRADED]) == (200, "cache")
    assert several.body["degraded"] is True
    assert (list(several.body["data"]), list(several.body["errors"])) == ([FAN], [OTHER])
    assert several.body["notFound"] == []


async def bulk(api: Client, query: str = "") -> Answer:
    asked = {"fanIds": [FAN, OTHER], "creatorId": CREATOR}
    return await api.ask("POST", f"{PREFIX}/bulk{query}", json=asked)


async def test_without_redis_reads_are_answered_from_postgres(
    api: Client, own_services: EmbeddedServices
) -> None:
    own_services.kill("valkey", signal.SIGKILL)
    for _ in range(8):
        assert (await api.get("context")).status == 200
    await seen_as(api, "cache", up=False)
    async with tried_in_vain_by_nobody(api, "cache"):
        assert (await api.get("context")).status == 200

    await asyncio.to_thread(own_services.restart, "valkey")
    await seen_as(api, "cache", up=True)
    assert (await api.get("context")).status == 200


async def test_with_both_stores_gone_the_api_is_unavailable(
    api: Client, own_services: EmbeddedServices
) -> None:
    own_services.kill("valkey", signal.SIGKILL)
    own_services.kill("postgres", signal.SIGKILL)
    health = await api.until(lambda: ready(api), 503)
    assert health.body["status"] == "unavailable"
    assert (await api.get("context")).status == 503
    refusing = api.settings.model_copy(update={"degraded_reads": "refuse"})
    async with running_api(refusing) as refusing_api:
        for client in (api, refusing_api):
            for dependency in ("cache", "database"):
                await opened(client, dependency)
        await a_context_without_memories_says_so(api)
        assert (await refusing_api.get("context")).status == 503
        assert set((await bulk(refusing_api)).body["errors"]) == {FAN, OTHER}
    await asyncio.to_thread(own_services.restart, "valkey")
    await asyncio.to_thread(own_services.restart, "postgres")
    await api.until(lambda: ready(api), 200)
    await api.until(lambda: api.get("context"), 200)


async def opened(api: Client, dependency: str) -> None:
    """Asked for until the circuit has opened."""

    async def ask() -> Answer:
        await api.get("context", strict="true")
        circuit = (await api.get("stats")).body["data"][dependency]
        return Answer(200 if circuit["state"] == "OPEN" else 0, {}, circuit)

    await api.until(ask, 200)


async def a_context_without_memories_says_so(api: Client) -> None:
    """Of nobody's: neither kept by anyone, nor given where it would be taken for an answer."""
    answer = await api.get("context", fanId="nobody")
    assert (answer.status, answer.headers[DEGRADED]) == (200, "minimal")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "ETag" not in answer.headers
    context = answer.body["data"]
    assert answer.body["degraded"] is True
    assert (context["degraded"], context["recentMessages"]) == ("minimal", [])
    assert list(context)[:-1] == list(MemoryContext.__struct_encode_fields__)[:8]
    several = await bulk(api)
    assert (several.headers[DEGRADED], several.body["degraded"]) == ("minimal", True)
    assert (several.body["count"], several.body["errors"], several.body["notFound"]) == (2, {}, [])
    assert {one["degraded"] for one in several.body["data"].values()} == {"minimal"}
    assert set((await bulk(api, "?strict=true")).body["errors"]) == {FAN, OTHER}
    for route, asked in (
        ("context", {"strict": "true"}),
        ("context", {"minPosition": "interactions-0:0"}),
        ("context", {"asOf": "2026-01-01T00:00:00Z"}),
        ("engagement-score", {}),
        ("explain", {"field": "totalMessages"}),
    ):
        refused = await api.get(route, **asked)
        assert refused.status in (503, 504), (route, asked)
        assert DEGRADED not in refused.headers
    assert (await api.get("context", strict="yes")).status == 400
    assert await api.counter('memory_degraded_reads_total{kind="minimal"}') == 3


async def test_without_kafka_writes_fail_in_time_reads_go_on_and_writes_come_back(
    api: Client, own_services: EmbeddedServices
) -> None:
    await api.until(lambda: api.post(EVENT), 200)
    own_services.kill("kafka", signal.SIGKILL)
    for _ in range(3):
        began = time.monotonic()
        refused = await api.post(EVENT)
        assert refused.status in (503, 504)
        assert time.monotonic() - began < SOON_SECONDS
    reading, writing = await asyncio.gather(api.get("context"), api.post(EVENT))
    assert reading.status == 200
    assert writing.status in (503, 504)
    await asyncio.to_thread(own_services.restart, "kafka")
    await api.until(lambda: api.post(EVENT), 200)

    async def all_up() -> Answer:
        found = await ready(api)
        up = all(one["up"] for one in found.body["dependencies"].values())
        return Answer(200 if up else 503, {}, found.body)

    await api.until(all_up, 200)


async def test_a_redis_that_hangs_holds_nobody_up(
    api: Client, own_services: EmbeddedServices
) -> None:
    changes = {"request_seconds_max": 20.0, "cache_overtaken_seconds": 0.05}
    async with running_api(api.settings.model_copy(update=changes)) as patient:
        await patient.until(lambda: patient.get("context"), 200)
        overtaken = await patient.counter("memory_cache_overtaken_total")
        own_services.kill("valkey", signal.SIGSTOP)
        try:
            answers = await asyncio.gather(*(patient.get("context") for _ in range(5)))
            assert {answer.status for answer in answers} == {200}
            assert await patient.counter("memory_cache_overtaken_total") >= overtaken + 5
            # What nobody waits for is counted all the same, until nobody asks any more.
            await seen_as(patient, "cache", up=False)
            overtaken = await patient.counter("memory_cache_overtaken_total")
            assert (await patient.get("context")).status == 200
            assert await patient.counter("memory_cache_overtaken_total") == overtaken
        finally:
            own_services.kill("valkey", signal.SIGCONT)
        await seen_as(patient, "cache", up=True)


async def test_a_broker_that_hangs_is_said_within_the_deadline_and_forgotten_when_it_wakes(
    api: Client, own_services: EmbeddedServices
) -> None:
    own_services.kill("kafka", signal.SIGSTOP)
    try:
        began = time.monotonic()
        answer = await api.post(EVENT | {"eventId": "hung"})
        assert time.monotonic() - began < SOON_SECONDS
        assert answer.status == 504
        assert "same eventId" in answer.body["details"]
        assert (await api.get("context")).status == 200
    finally:
        own_services.kill("kafka", signal.SIGCONT)
    await api.until(lambda: api.post(EVENT | {"eventId": "hung"}), 200)


async def test_an_api_that_starts_before_everything_else_serves_once_it_is_there(
    api: Client, own_services: EmbeddedServices
) -> None:
    for name in ("kafka", "postgres", "valkey"):
        own_services.kill(name, signal.SIGKILL)
    async with running_api(api.settings) as early:
        assert (await early.ask("GET", "/health/live")).status == 200
        assert (await early.ask("GET", "/health/ready")).status == 503
        for name in ("kafka", "postgres", "valkey"):
            await asyncio.to_thread(own_services.restart, name)
        await early.until(lambda: early.get("context"), 200)
        await early.until(lambda: early.post(EVENT), 200)
