"""Whatever comes in on `interactions`, the worker goes on and says what was wrong with it."""

import json
import secrets
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaProducer

from infra.kafka import client_options
from schemas.dead_letters import HEAD_BYTES_MAX
from schemas.events import VALUE_BYTES_MAX
from schemas.positions import parse_position
from schemas.times import render_time
from schemas.topics import DEAD_LETTERS, INTERACTIONS, JOURNAL
from streams import sifting
from tests.pipeline import Pipeline, message, mixed, record
from tests.schemas.refused import NOON, REFUSED


@pytest.fixture(autouse=True)
async def worker_stays(running: Pipeline) -> AsyncIterator[None]:
    """No test of this module may cost the worker its life, or leave lag."""
    (worker,) = running.workers
    pid = worker.pid
    yield
    await running.drained()

    async def caught_up() -> bool:
        return sum((await running.lag()).values()) == 0

    await running.wait_for(caught_up, instead=running.lag)
    assert worker.alive
    assert worker.pid == pid


async def test_everything_refused_becomes_a_dead_letter_with_its_reason(
    running: Pipeline,
) -> None:
    before = await running.accounting()
    good = mixed(fans=7, events=len(REFUSED))
    # What lies in the future only by the producer's clock is not refused: Kafka's decides.
    cases = {name: case for name, case in REFUSED.items() if name != "too far ahead"}
    values = {value: field for value, field in cases.values() if value}
    times: dict[str, int] = {}
    sent: dict[str, tuple[bytes, str]] = {}
    async with running.producer(max_request_size=2_000_000) as producer:
        for (value, field), event in zip(values.items(), good, strict=False):
            refused = await producer.send_and_wait(
                INTERACTIONS.name, value, key=b"creator:fan", timestamp_ms=NOON
            )
            sent[f"interactions-{refused.partition}:{refused.offset}"] = (value, field)
            times[f"interactions-{refused.partition}:{refused.offset}"] = refused.timestamp
            key, accepted = record(event)
            await producer.send_and_wait(INTERACTIONS.name, accepted, key=key)
    running.sent += 2 * len(values)
    after = await running.drained()
    assert after.dead_letters - before.dead_letters == len(values)
    assert after.applied - before.applied == len(values)
    letters = {letter.source: (letter, value) for letter, value in await running.dead_letters()}
    for source, (value, field) in sent.items():
        letter, opened = letters[source]
        assert letter.field == field
        assert letter.reason
        assert opened == value[:HEAD_BYTES_MAX]
        assert letter.refused_at == render_time(times[source])
        assert times[source] != NOON


async def test_tombstones_and_empty_values_are_dead_letters(running: Pipeline) -> None:
    await running.publish_records([(b"creator:fan", None), (b"creator:fan", b""), (None, b"")])
    await running.drained()
    found = [
        (letter, opened)
        for letter, opened in await running.dead_letters()
        if letter.reason == "must not be empty"
    ]
    assert sorted(repr(opened) for _, opened in found) == ["None", "b''", "b''"]
    assert {letter.field for letter, _ in found} == {"$"}


async def test_of_the_largest_record_that_kafka_takes_the_head_becomes_a_dead_letter(
    running: Pipeline,
) -> None:
    value = secrets.token_bytes(INTERACTIONS.message_bytes_max - 200)
    async with running.producer(max_request_size=2_000_000) as producer:
        sent = await producer.send_and_wait(INTERACTIONS.name, value, partition=0)
    running.sent += 1
    await running.drained()
    letters = {letter.source: (letter, opened) for letter, opened in await running.dead_letters()}
    letter, opened = letters[f"interactions-0:{sent.offset}"]
    assert letter.reason == f"must be at most {VALUE_BYTES_MAX} bytes"
    assert opened == value[:HEAD_BYTES_MAX]
    assert letter.length == len(value)


async def test_a_record_that_grew_small_on_its_way_stops_nobody(running: Pipeline) -> None:
    """A broker's limit is one of compressed bytes: 3 MB of repeated text pass it."""
    before, journal = await running.accounting(), await running.ends(JOURNAL.name)
    huge = b'{"fanId":"' + b"x" * 3_000_000 + b'"}'
    options = {"compression_type": "gzip", "max_request_size": 4_000_000}
    async with running.producer(**options) as producer:
        for number in range(12):
            key, value = record(message("beside", number))
            await producer.send_and_wait(INTERACTIONS.name, value, key=key, partition=1)
            if number % 4 == 0:
                await producer.send_and_wait(INTERACTIONS.name, huge, partition=1)
    running.sent += 15
    after = await running.drained()
    assert after.dead_letters - before.dead_letters == 3
    assert after.applied - before.applied == 12
    assert after.repeats == before.repeats
    grown = {p: end - journal[p] for p, end in (await running.ends(JOURNAL.name)).items()}
    assert sum(grown.values()) == 12  # nothing was written twice
    found = [one for one in await running.dead_letters() if one[0].length == len(huge)]
    assert [opened for _, opened in found] == 3 * [huge[:HEAD_BYTES_MAX]]
    assert len({letter.digest for letter, _ in found}) == 1


async def test_unknown_headers_keys_and_compressions_change_nothing(running: Pipeline) -> None:
    before = await running.accounting()
    headers = [("trace", b"\xff\x00"), ("", b""), ("trace", None), ("x" * 1000, b"y" * 1000)]
    for number, compression in enumerate((None, "gzip", "snappy", "lz4", "zstd")):
        async with running.producer(compression_type=compression) as producer:
            _, value = record(message(f"odd-{number}", number))
            await producer.send_and_wait(
                INTERACTIONS.name, value, key=secrets.token_bytes(300), headers=headers
            )
            running.sent += 1
    after = await running.drained()
    assert after.applied - before.applied == 5
    assert after.dead_letters == before.dead_letters


async def test_transactions_of_other_producers_leave_no_lag_and_lose_nothing(
    running: Pipeline,
) -> None:
    """Their markers take offsets that hold no record, in the middle and at the end."""
    before = await running.accounting()
    async with transactional(running) as producer:
        for number in range(12):
            async with producer.transaction():
                for part in range(3):
                    key, value = record(message(f"tx-{part}", number * 3 + part))
                    await producer.send(INTERACTIONS.name, value, key=key)
    running.sent += 36
    after = await running.drained()
    assert after.applied - before.applied == 36
    assert after.dead_letters == before.dead_letters


async def test_an_aborted_transaction_never_happened(running: Pipeline) -> None:
    before = await running.accounting()
    async with transactional(running) as producer:
        await producer.begin_transaction()
        for number in range(5):
            key, value = record(message("undone", number))
            await producer.send_and_wait(INTERACTIONS.name, value, key=key)
        await producer.abort_transaction()
    await running.publish(*(message("undone", number) for number in range(10, 13)))
    await running.drained()

    async def caught_up() -> bool:
        return sum((await running.lag()).values()) == 0

    await running.wait_for(caught_up, instead=running.lag)
    after = await running.accounting()
    assert after.applied - before.applied == 3
    assert (await running.history())["undone"] == 3


def transactional(running: Pipeline) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        **client_options(running.settings),
        transactional_id=f"somebody-else-{secrets.token_hex(4)}",
    )


async def test_a_dead_letter_shows_nothing_of_the_fan_in_clear(running: Pipeline) -> None:
    secret = f"secret-{secrets.token_hex(8)}"
    bad = message(secret, 1, content=f"{secret}\0", eventId=secret, metadata={secret: secret})
    odd = message(secret, 2, type=secret)
    await running.publish(bad, odd, json.dumps(message(secret, 3)).encode()[:-1])
    await running.drained()
    for topic in (DEAD_LETTERS.name, JOURNAL.name):
        for one in await running.records(topic):
            clear = b"".join([one.key, one.value, *(part for h in one.headers for part in h[1:])])
            assert secret.encode() not in clear
    own = [
        opened for _, opened in await running.dead_letters() if secret.encode() in (opened or b"")
    ]
    assert len(own) == 3
    (worker,) = running.workers
    assert worker.said(secret) == 0


async def test_a_dead_letters_source_is_a_position(running: Pipeline) -> None:
    await running.publish(b"nonsense")
    await running.drained()
    for letter, _ in await running.dead_letters():
        assert parse_position(letter.source).topic == INTERACTIONS.name


async def test_the_brokers_clock_says_what_lies_in_the_future(running: Pipeline) -> None:
    """Not the producer's, whatever time it gives its record."""
    before = await running.accounting()
    ahead = int(time.time() * 1000) + 3_600_000
    key, value = record(message("ahead", 1, at=ahead))
    async with running.producer() as producer:
        sent = await producer.send_and_wait(
            INTERACTIONS.name, value, key=key, timestamp_ms=ahead + 1
        )
    running.sent += 1
    after = await running.drained()
    assert after.dead_letters - before.dead_letters == 1
    source = f"interactions-{sent.partition}:{sent.offset}"
    (letter,) = [one for one, _ in await running.dead_letters() if one.source == source]
    assert (letter.field, "in the future" in letter.reason) == ("timestamp", True)


def test_a_time_that_only_the_producer_gave_is_not_believed() -> None:
    """On a topic that keeps producers' times: our own clock is asked."""
    far = 4_000_000_000_000
    ours = sifting.arrived(SimpleNamespace(timestamp=far, timestamp_type=0))
    assert abs(ours - time.time() * 1000) < 60_000
    assert sifting.arrived(SimpleNamespace(timestamp=far, timestamp_type=1)) == far
