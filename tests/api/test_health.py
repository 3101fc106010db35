"""Health and metrics, and that neither they nor the log name anybody."""

import asyncio
import io
import json

import redis.asyncio

from infra.postgres import connect
from infra.settings import Settings
from privacy.keys import Keyring
from privacy.log_ids import LogIds
from schemas.topics import DEAD_LETTERS, JOURNAL
from stores import letters, log_breaks, outbox
from stores.log_breaks import Lost
from tests.api.client import CREATOR, FAN, PREFIX, Client, running_api


async def test_a_live_process_says_so_without_a_token(api: Client) -> None:
    answer = await api.ask("GET", "/health/live", headers={})
    assert (answer.status, answer.body) == (200, {"status": "live"})


async def test_a_ready_api_tells_every_dependency_and_partition(api: Client) -> None:
    assert (await api.ask("GET", "/health/ready", headers={})).body == {"status": "degraded"}
    answer = await api.health()
    assert answer.status == 200
    # The tests' memories come without a journal: their positions are beyond its end.
    assert answer.body["status"] == "degraded"
    assert all("the log ends before the position" in alarm for alarm in answer.body["alarms"])
    assert {name: found["up"] for name, found in answer.body["dependencies"].items()} == {
        "cache": True,
        "database": True,
        "broker": True,
    }
    for found in answer.body["dependencies"].values():
        assert list(found["circuit"]) == ["state", "failures", "successes", "lastFailure", "trips"]
    partitions = {(part["topic"], part["partition"]): part for part in answer.body["partitions"]}
    settings = api.settings
    assert len(partitions) == settings.interactions_partitions + settings.journal_partitions


async def test_probes_ask_the_services_once_a_second_however_many_there_are(api: Client) -> None:
    async with redis.asyncio.from_url(api.settings.redis_url) as client:
        await client.config_resetstat()
        answers = await asyncio.gather(
            *(api.ask("GET", "/health/ready", headers={}) for _ in range(200))
        )
        asked = (await client.info("commandstats")).get("cmdstat_ping", {"calls": 0})
    assert {answer.status for answer in answers} == {200}
    assert asked["calls"] < 50


async def test_unread_records_show_as_lag_and_age(api: Client) -> None:
    event = {"type": "like", "timestamp": "2024-11-12T10:30:00Z"}
    posted = await api.post(event | {"fanId": FAN, "creatorId": CREATOR})
    topic, _, place = posted.body["position"].rpartition("-")
    partition, _, offset = place.partition(":")
    async with running_api(api.settings) as fresh:
        answer = await fresh.health()
    (found,) = [
        part
        for part in answer.body["partitions"]
        if (part["topic"], part["partition"]) == (topic, int(partition))
    ]
    assert found["position"] == 0  # no worker runs in this test
    assert found["lag"] == found["end"] >= int(offset) + 1
    assert 0 <= found["oldestUnprojectedSeconds"] < 300


async def test_a_log_that_lacks_something_is_an_alarm(api: Client) -> None:
    connection = await connect(api.settings.postgres_url)
    rows = await connection.fetch("SELECT generation, topic, partition, next FROM position")
    try:
        await connection.execute("UPDATE position SET next = 0")
        async with running_api(api.settings) as fresh:
            assert (await fresh.ask("GET", "/health/ready")).body["status"] == "ready"
        await connection.execute(
            "UPDATE position SET next = 1000000 WHERE topic = 'journal' AND partition IN (1, 2)"
        )
        lost = Lost("journal", 2, "its beginning is gone", 0, 7, 7)
        await log_breaks.record_stopped(connection, lost)
        async with running_api(api.settings) as fresh:
            answer = await fresh.health()
            text = await fresh.metrics()
    finally:
        await connection.executemany(
            "UPDATE position SET next = $4 WHERE generation = $1 AND topic = $2 AND partition = $3",
            [tuple(row) for row in rows],
        )
        await connection.execute("DELETE FROM log_break")
        await connection.close()
    assert (answer.status, answer.body["status"]) == (200, "degraded")
    stopped, ahead = answer.body["alarms"]
    assert "offsets 0 to 6 are missing" in stopped
    assert "fanmemory accept-loss journal 2" in stopped
    assert ahead.startswith("journal-1: the log ends before the position")
    assert 'memory_partition_stopped{partition="2",topic="journal"} 1.0' in text
    assert 'memory_partition_stopped{partition="1",topic="journal"} 0.0' in text


async def test_metrics_say_what_is_not_yet_published(api: Client) -> None:
    connection = await connect(api.settings.postgres_url)
    try:
        await outbox.write(connection, [outbox.Outgoing(DEAD_LETTERS.name, None, b"k", b"v")])
        await connection.execute("UPDATE outbox_pack SET created_at = now() - interval '90 s'")
        label = f'{{topic="{DEAD_LETTERS.name}"}}'
        async with asyncio.timeout(30):
            while label not in await api.metrics():
                await asyncio.sleep(0.1)
        assert await api.counter(f"memory_outbox_waiting{label}") == 1
        assert await api.counter(f"memory_outbox_oldest_seconds{label}") >= 90
    finally:
        await connection.execute("DELETE FROM outbox_pack")
        await connection.close()


async def test_metrics_have_the_names_that_the_reference_alerts_on(api: Client) -> None:
    await api.get("context")
    await api.get("context", fanId="nobody")
    text = await api.metrics()
    for name in (
        f'memory_api_requests_total{{method="GET",route="{PREFIX}/context",status="404"}}',
        'memory_api_errors_total{route="/api/of-memory/context",status="404",type="NOT_FOUND"}',
        'memory_circuit_breaker_state{breaker="memory-cache",state="open"} 0.0',
        'memory_circuit_breaker_state{breaker="memory-database",state="closed"} 1.0',
        'memory_api_duration_seconds_bucket{le="0.005",method="GET",',
        "memory_cache_hits_total ",
        "memory_cache_requests_total ",
        'memory_partition_lag{partition="0",topic="journal"}',
    ):
        assert name in text


async def test_what_the_metrics_tell_is_not_on_the_clients_address(api: Client) -> None:
    assert (await api.ask("GET", "/metrics")).status == 404
    assert list((await api.ask("GET", "/health/ready", headers={})).body) == ["status"]
    async with api.session.get(f"{api.watched}{PREFIX}/context") as answer:
        assert answer.status == 404


async def test_labels_do_not_grow_with_what_is_asked(api: Client) -> None:
    async def series() -> int:
        return len((await api.metrics()).splitlines())

    await api.ask("GET", "/nowhere")
    await api.ask("BREW", "/nowhere")
    before = await series()
    for number in range(20):
        await api.ask("GET", f"/nowhere/{number}")
        await api.ask(f"BREW{number}", "/nowhere")
        await api.get("context", fanId=f"nobody{number}")
    assert await series() <= before + 40  # the first 404 of a route, one histogram


async def test_neither_metrics_nor_logs_name_a_fan_a_creator_or_a_token(
    api: Client, said: io.StringIO
) -> None:
    answer = await api.get("context")
    await api.post({"fanId": FAN, "creatorId": CREATOR, "type": "nonsense"})
    await api.get("context", fanId="nobody_at_all")
    metrics = await api.metrics()
    text = said.getvalue()
    lines = [json.loads(line) for line in text.splitlines()]
    line = next(one for one in lines if one["correlationId"] == answer.body["correlationId"])
    assert line["operation"] == "getMemoryContext"
    assert line["route"] == f"{PREFIX}/context"
    assert line["status"] == 200
    assert line["duration"] > 0
    ids = LogIds(Keyring.of(api.settings))
    assert line["creatorId"] == ids.creator(CREATOR)
    subject = await _subject(api.settings)
    assert line["fanId"] == subject
    refused = next(one for one in lines if one.get("status") == 404)
    assert refused["error"] == "NOT_FOUND"
    assert "fanId" not in refused  # there is none
    assert {one["correlationId"] for one in lines if one["logger"].startswith("api.")} >= {
        answer.body["correlationId"]
    }
    for secret in (FAN, CREATOR, "nobody_at_all", api.token().rsplit(".", 1)[0], "Bearer"):
        assert secret not in text
        assert secret not in metrics


async def _subject(settings: Settings) -> str:
    connection = await connect(settings.postgres_url)
    try:
        found: str = await connection.fetchval(
            "SELECT subject::text FROM subject WHERE creator_id = $1 AND fan_id = $2", CREATOR, FAN
        )
        return found
    finally:
        await connection.close()


async def test_metrics_say_what_became_of_the_events_and_why_letters_were_written(
    api: Client,
) -> None:
    connection = await connect(api.settings.postgres_url)
    try:
        async with connection.transaction():
            for partition, reason in ((0, "conflict"), (1, "conflict"), (1, "amount")):
                await letters.count(connection, JOURNAL.name, [(partition, reason)])
            await letters.count(connection, JOURNAL.name, [(1, "conflict")] * 2)
            await connection.execute(
                "UPDATE position SET conflicts = 3 WHERE topic = 'journal' AND partition = 0"
                " AND generation > 0"
            )
        label = 'memory_dead_letters_total{reason="conflict"}'
        async with asyncio.timeout(30):
            while label not in await api.metrics():
                await asyncio.sleep(0.1)
        assert await api.counter(label) == 4
        assert await api.counter('memory_dead_letters_total{reason="amount"}') == 1
        assert await api.counter('memory_events{outcome="conflicts"}') == 3
        assert await api.counter('memory_events{outcome="applied"}') >= 0
    finally:
        await connection.execute("UPDATE position SET conflicts = 0")
        await connection.execute("DELETE FROM dead_letter_count")
        await connection.close()
