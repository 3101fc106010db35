"""POST interaction: what is refused, and that what is accepted stands in the log as it came."""

import json
import time
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from infra.kafka import client_options
from schemas.positions import parse_position
from schemas.times import DAY_MS, render_time
from schemas.topics import INTERACTIONS
from tests.api.client import CREATOR, FAN, PREFIX, Client

EVENT = {
    "fanId": FAN,
    "creatorId": CREATOR,
    "type": "message",
    "content": "Hello! 😍",
    "timestamp": "2024-11-12T10:30:00Z",
}


async def record_at(api: Client, position: str) -> Any:
    place = parse_position(position)
    consumer = AIOKafkaConsumer(**client_options(api.settings), group_id=None)
    await consumer.start()
    try:
        partition = TopicPartition(place.topic, place.partition)
        consumer.assign([partition])
        consumer.seek(partition, place.offset)
        return await consumer.getone()
    finally:
        await consumer.stop()


async def test_an_accepted_interaction_is_in_the_log_where_the_answer_says(api: Client) -> None:
    body = json.dumps(EVENT | {"eventId": "e1", "metadata": {"a": [1, 2]}}, indent=1).encode()
    before = time.time_ns() // 1_000_000
    answer = await api.ask("POST", f"{PREFIX}/interaction", data=body)
    assert answer.status == 200
    assert list(answer.body) == ["success", "correlationId", "timestamp", "position"]
    assert answer.body["success"] is True
    position = answer.body["position"]
    assert answer.headers["X-Position"] == position
    assert position.startswith(f"{INTERACTIONS.name}-")
    record = await record_at(api, position)
    assert record.value == body
    assert record.key == f"{CREATOR}:{FAN}".encode()
    assert before <= record.timestamp <= time.time_ns() // 1_000_000


async def test_interactions_of_one_fan_share_a_partition_in_order(api: Client) -> None:
    places = [parse_position((await api.post(EVENT)).body["position"]) for _ in range(5)]
    assert len({place.partition for place in places}) == 1
    assert [place.offset for place in places] == sorted(place.offset for place in places)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"fanId": ""}, "fanId"),
        ({"type": "poke"}, "type"),
        ({"content": None}, "content"),
        ({"content": "a\x00b"}, "content"),
        ({"content": "x" * 10_001}, "content"),
        ({"type": "tip"}, "amount"),
        ({"type": "tip", "amount": -1}, "amount"),
        ({"type": "tip", "amount": "5"}, "amount"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": render_time(time.time_ns() // 1_000_000 + DAY_MS)}, "timestamp"),
        ({"metadata": [1]}, "metadata"),
    ],
)
async def test_a_bad_interaction_is_400_with_its_field_and_not_its_value(
    api: Client, change: dict[str, Any], field: str
) -> None:
    answer = await api.post(EVENT | change)
    assert answer.status == 400
    assert answer.body["type"] == "VALIDATION_ERROR"
    assert answer.body["error"].startswith(f"{field}: ")
    assert "Hello" not in str(answer.body)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"a":NaN}', b"\xff\xfe", b"[" * 5000, b"\x00"]
)
async def test_what_is_no_event_at_all_is_400(api: Client, body: bytes) -> None:
    answer = await api.ask("POST", f"{PREFIX}/interaction", data=body)
    assert answer.status == 400
    assert answer.body["type"] == "VALIDATION_ERROR"


async def test_another_creator_s_interaction_is_403(api: Client) -> None:
    answer = await api.post(EVENT | {"creatorId": "creator_other"})
    assert answer.status == 403
    assert answer.body["error"] == "Creator access required"


async def test_without_a_token_it_is_401(api: Client) -> None:
    assert (await api.post(EVENT, headers={})).status == 401


async def test_a_body_over_the_limit_is_413_by_its_announced_size(api: Client) -> None:
    body = b"x" * (api.settings.body_bytes_max + 1)
    answer = await api.ask("POST", f"{PREFIX}/interaction", data=body)
    assert answer.status == 413
    assert answer.body["error"] == "The request body is too large."


async def test_a_body_over_the_limit_is_413_when_it_was_not_announced(api: Client) -> None:
    async def chunks() -> Any:
        for _ in range(api.settings.body_bytes_max // 1024 + 2):
            yield b"x" * 1024

    answer = await api.ask("POST", f"{PREFIX}/interaction", data=chunks())
    assert answer.status == 413


async def test_the_largest_event_that_is_allowed_fits(api: Client) -> None:
    body = json.dumps(EVENT | {"content": "😍" * 10_000}).encode()  # 120,000 bytes of escapes
    assert (await api.ask("POST", f"{PREFIX}/interaction", data=body)).status == 200
