"""POST interactions: many events at a time, each with an outcome; and Idempotency-Key."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import TopicPartition

from api import idempotency, ndjson
from api.interactions import BATCH_BYTES_MAX, EVENTS_MAX
from api.publisher import Publisher
from infra.settings import Settings
from schemas.errors import BrokerUnavailable, InvalidInput
from schemas.events import parse_interaction
from schemas.positions import Position, parse_position
from schemas.topics import INTERACTIONS
from tests.api.client import CREATOR, PREFIX, Answer, Client, running_api
from tests.api.test_writes import EVENT, record_at

NOW = 1_800_000_000_000


@pytest.fixture(scope="module")
async def api(api: Client) -> AsyncIterator[Client]:
    """The same API, patient: what is looked at here is what the brokers say, not how soon."""
    settings = api.settings.model_copy(update={"request_seconds_max": 30.0})
    async with running_api(settings) as patient:
        yield patient


def lines(*events: Any) -> bytes:
    return b"\n".join(json.dumps(event).encode() for event in events)


async def send(api: Client, body: bytes, key: str | None = None, **more: Any) -> Answer:
    headers = {"Authorization": f"Bearer {api.token()}"}
    if key is not None:
        headers["Idempotency-Key"] = key
    return await api.ask("POST", f"{PREFIX}/interactions", data=body, headers=headers, **more)


@pytest.mark.parametrize("as_array", [False, True])
async def test_each_event_has_an_outcome_in_order(api: Client, as_array: bool) -> None:
    events = [
        EVENT | {"eventId": "b0"},
        EVENT | {"type": "poke"},
        EVENT | {"fanId": "fan_7"},
        EVENT | {"creatorId": "creator_other"},
        EVENT | {"eventId": "b4"},
    ]
    answer = await send(api, json.dumps(events).encode() if as_array else lines(*events) + b"\n")
    assert answer.status == 200
    assert list(answer.body) == ["data", "correlationId", "timestamp", "accepted"]
    assert answer.body["accepted"] == 3
    results = answer.body["data"]
    assert [sorted(one) for one in results] == [
        ["position"], ["error", "field"], ["position"], ["error", "field"], ["position"],
    ]  # fmt: skip
    assert [one.get("field") for one in results] == [None, "type", None, "creatorId", None]
    assert results[3]["error"] == "Creator access required"
    for number in (0, 2, 4):
        record = await record_at(api, results[number]["position"])
        assert json.loads(record.value) == events[number]
        assert record.key == f"{CREATOR}:{events[number]['fanId']}".encode()
        assert record.headers == (("correlationId", answer.body["correlationId"].encode()),)
    first, last = (parse_position(results[number]["position"]) for number in (0, 4))
    assert last.partition == first.partition
    assert last.offset > first.offset


async def test_the_largest_batch_keeps_its_order(api: Client) -> None:
    events = [EVENT | {"eventId": f"o{number}"} for number in range(EVENTS_MAX)]
    answer = await send(api, lines(*events))
    assert answer.status == 200, answer.body
    places = [parse_position(one["position"]) for one in answer.body["data"]]
    assert answer.body["accepted"] == len(places) == EVENTS_MAX
    offsets = [place.offset for place in places]
    assert offsets == list(range(offsets[0], offsets[0] + EVENTS_MAX))
    record = await record_at(api, str(places[-1]))
    assert json.loads(record.value)["eventId"] == f"o{EVENTS_MAX - 1}"


async def test_a_batch_of_a_megabyte_is_taken_and_more_is_413(api: Client) -> None:
    event = json.dumps(EVENT | {"content": "x" * 9_000}).encode()
    fit = BATCH_BYTES_MAX // (len(event) + 1)
    answer = await send(api, b"\n".join([event] * fit))
    assert answer.status == 200
    assert {one.get("error") for one in answer.body["data"]} == {None}
    assert answer.body["accepted"] == fit
    assert (await send(api, b"\n".join([event] * (fit + 1)))).status == 413


@pytest.mark.parametrize("body", [b"", b"\n \n", b"[]", b"[{]", b"[1", b"[" * 5000])
async def test_a_body_without_events_is_400(api: Client, body: bytes) -> None:
    answer = await send(api, body)
    assert answer.status == 400
    assert answer.body["error"].startswith("$: ")


async def test_more_events_than_allowed_are_400_and_none_is_accepted(api: Client) -> None:
    answer = await send(api, lines(*([EVENT] * (EVENTS_MAX + 1))))
    assert answer.status == 400
    assert str(EVENTS_MAX) in answer.body["error"]


async def test_a_batch_without_a_token_is_401(api: Client) -> None:
    answer = await api.ask("POST", f"{PREFIX}/interactions", data=lines(EVENT), headers={})
    assert answer.status == 401


async def test_the_key_is_the_id_of_an_event_without_one(api: Client) -> None:
    headers = {"Authorization": f"Bearer {api.token()}", "Idempotency-Key": "order 17"}
    answer = await api.post(EVENT, headers=headers)
    assert answer.status == 200
    record = await record_at(api, answer.body["position"])
    assert json.loads(record.value) == EVENT | {"eventId": "order 17"}
    assert (await api.post(EVENT | {"eventId": "order 17"}, headers=headers)).status == 200
    refused = await api.post(EVENT | {"eventId": "another"}, headers=headers)
    assert refused.status == 400
    assert refused.body["error"].startswith("eventId: ")
    refused = await api.post(EVENT, headers=headers | {"Idempotency-Key": "k" * 256})
    assert (refused.status, refused.body["error"].partition(":")[0]) == (400, idempotency.NAME)


async def test_in_a_batch_the_key_is_followed_by_the_place(api: Client) -> None:
    body = lines(EVENT, EVENT | {"type": "poke"}, EVENT, EVENT | {"eventId": "another"})
    results = (await send(api, body, key="import-1")).body["data"]
    assert [one.get("field") for one in results] == [None, "type", None, "eventId"]
    for number in (0, 2):
        record = await record_at(api, results[number]["position"])
        assert json.loads(record.value)["eventId"] == f"import-1:{number}"


async def test_of_a_batch_that_was_never_sent_nothing_was_accepted(settings: Settings) -> None:
    outcomes = await Publisher(settings).publish_several([(b"c:f", b"{}")] * 2, NOW)
    assert len(outcomes) == 2
    for outcome in outcomes:
        assert isinstance(outcome, BrokerUnavailable)
        assert outcome.advice.startswith("Nothing was accepted")


async def test_of_a_batch_without_its_acknowledgement_it_is_said_that_it_may_be_there(
    settings: Settings,
) -> None:
    publisher = Publisher(settings)
    publisher.start()
    try:
        records = [(b"c:f", b"{}")] * 3
        now = time.time_ns() // 1_000_000
        first = await publisher.publish_several(records, now)
        assert all(isinstance(one, Position) for one in first)
        (partition,) = {one.partition for one in first if isinstance(one, Position)}
        numbers = publisher._producer._txn_manager
        numbers.increment_sequence_number(TopicPartition(INTERACTIONS.name, partition), 7)
        for one in await publisher.publish_several(records, now):
            assert isinstance(one, BrokerUnavailable)
            assert "may still be accepted" in one.advice
        async with asyncio.timeout(30):
            while not isinstance((await publisher.publish_several(records, now))[0], Position):
                await asyncio.sleep(0.05)
    finally:
        await publisher.close()


async def parts(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([b'{"a":1}\n{"b":2}'], [b'{"a":1}', b'{"b":2}']),
        ([b'{"a"', b":1}", b'\n{"b":2}\n'], [b'{"a":1}', b'{"b":2}']),
        ([b'\r\n\r\n{"a":1}\r\n \r\n7\r\n'], [b'{"a":1}', b"7"]),
        ([b" ", b'[{"a" : 1}', b',[2],\n"]"]'], [b'{"a" : 1}', b"[2]", b'"]"']),
        ([b"[]"], []),
        ([b""], []),
        ([], []),
    ],
)
async def test_a_body_is_parted_into_its_values(chunks: list[bytes], expected: list[bytes]) -> None:
    assert [value async for value in ndjson.values(parts(*chunks))] == expected


async def test_a_line_is_there_before_the_next_one_comes() -> None:
    more: asyncio.Queue[bytes] = asyncio.Queue()

    async def body() -> AsyncIterator[bytes]:
        while True:
            yield await more.get()

    found = ndjson.values(body())
    more.put_nowait(b"1\n2")
    assert await anext(found) == b"1"
    more.put_nowait(b"3\n")
    assert await anext(found) == b"23"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (None, None),
        (b"k", "k"),
        (b"k" * 255, "k" * 255),
        (b"a b:7", "a b:7"),
        (b"", InvalidInput),
        (b" ", InvalidInput),
        (b"k" * 256, InvalidInput),
        (b"k\xe9", InvalidInput),
        (b"k\x7f", InvalidInput),
    ],
)
def test_a_key_is_read_strictly(sent: bytes | None, expected: Any) -> None:
    headers = {} if sent is None else {b"idempotency-key": sent}
    if expected is InvalidInput:
        with pytest.raises(InvalidInput) as refused:
            idempotency.key_of(headers)
        assert refused.value.field == idempotency.NAME
    else:
        assert idempotency.key_of(headers) == expected


@pytest.mark.parametrize("event_id", [None, "key:0"])
def test_an_event_keeps_every_byte_but_its_id(event_id: str | None) -> None:
    value = (
        b'{"fanId":"f", "creatorId":"c","type":"like","timestamp":"2024-11-12T10:30:00Z",'
        b'"metadata":{"n":1.0e2,"a":"\\u00e9"},"x":[ 1 ]%s}'
        % (b"" if event_id is None else b',"eventId":"key:0"')
    )
    found = idempotency.identified(value, parse_interaction(value, NOW), "key:0")
    assert b'{"n":1.0e2,"a":"\\u00e9"}' in found
    assert b"[ 1 ]" in found
    assert parse_interaction(found, NOW).event_id == "key:0"


def test_an_id_of_null_is_replaced_and_a_long_key_is_put_in_by_its_digest() -> None:
    value = json.dumps(EVENT | {"eventId": None}).encode()
    for key in ("k" * 129, "k" * 255 + ":499"):
        found = idempotency.identified(value, parse_interaction(value, NOW), key)
        read = parse_interaction(found, NOW)
        assert read.event_id == idempotency.event_id(key)
        assert idempotency.identified(found, read, key) == found
    assert idempotency.event_id("k" * 129) != idempotency.event_id("k" * 130)
