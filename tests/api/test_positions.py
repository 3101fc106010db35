"""minPosition: a fan's own event is waited for; another's, or a refused one, is 400 at once."""

import asyncio
import json
import time

import pytest

from api.origins import Origins
from infra import kafka
from infra.settings import Settings
from ops.services.ports import free_port
from schemas.errors import InvalidInput
from schemas.positions import Position, parse_position
from schemas.topics import INTERACTIONS
from tests.api.client import CREATOR, FAN, Client, running_api

EVENT = {
    "fanId": FAN,
    "creatorId": CREATOR,
    "type": "tip",
    "amount": 5,
    "timestamp": "2024-11-12T10:30:00Z",
}
OTHERS = [{"fanId": "another"}, {"creatorId": "creator_other"}]


async def produced(settings: Settings, value: bytes | None) -> Position:
    """Write as a service does that has Kafka itself; of partition 1 nothing has been seen yet."""
    producer = kafka.producer(settings)
    await kafka.connect(producer)
    try:
        done = await producer.send_and_wait(INTERACTIONS.name, value, key=b"k", partition=1)
    finally:
        await kafka.disconnect(producer)
    return Position(done.topic, done.partition, done.offset)


@pytest.fixture(scope="module", autouse=True)
async def connected(api: Client) -> None:
    """The API has found the brokers: until then it can't tell, and waits for the views alone."""
    position = await produced(api.settings, b"{}")
    async with asyncio.timeout(20):
        while (await api.get("context", minPosition=str(position))).status != 400:
            await asyncio.sleep(0.05)


async def refusal(api: Client, position: Position, route: str = "context") -> str:
    """The words of the 400 that comes at once; empty when the read is not refused."""
    began = time.monotonic()
    answer = await api.get(route, minPosition=str(position))
    if answer.status in (200, 504):
        return ""
    assert answer.status == 400
    assert time.monotonic() - began < api.settings.request_seconds_max / 2
    return str(answer.body["error"])


@pytest.mark.parametrize("route", ["context", "engagement-score"])
@pytest.mark.parametrize("change", OTHERS)
async def test_another_fans_position_is_400(
    api: Client, change: dict[str, str], route: str
) -> None:
    position = await produced(api.settings, json.dumps(EVENT | change).encode())
    for _ in range(2):  # looked up, then remembered
        assert await refusal(api, position, route) == "minPosition: is not a position of this fan"


async def test_a_position_that_this_process_wrote_is_known_without_asking(api: Client) -> None:
    position = parse_position((await api.post(EVENT | {"fanId": "another"})).body["position"])
    assert await refusal(api, position) == "minPosition: is not a position of this fan"
    own = parse_position((await api.post(EVENT)).body["position"])
    assert await refusal(api, own) == ""


@pytest.mark.parametrize("value", [None, b"", b"{}", json.dumps(EVENT | {"amount": -1}).encode()])
async def test_the_position_of_a_refused_event_is_400(api: Client, value: bytes | None) -> None:
    position = await produced(api.settings, value)
    assert "refused" in await refusal(api, position)


async def test_an_own_event_and_one_that_is_not_written_yet_are_waited_for(api: Client) -> None:
    own = await produced(api.settings, json.dumps(EVENT).encode())
    for later in (0, 1, 1000):
        position = own._replace(offset=own.offset + later)
        assert (await api.get("context", minPosition=str(position))).status == 504  # no worker runs


async def test_many_askers_at_once_are_told_the_same(api: Client) -> None:
    places = [
        await produced(api.settings, json.dumps(EVENT | OTHERS[number % 2]).encode())
        for number in range(4)
    ]
    answers = await asyncio.gather(*(refusal(api, places[n % 4]) for n in range(16)))
    assert set(answers) == {"minPosition: is not a position of this fan"}


async def test_while_the_brokers_do_not_answer_nothing_is_refused_or_held_up(
    api: Client,
) -> None:
    away = api.settings.model_copy(update={"kafka_url": f"127.0.0.1:{free_port()}"})
    async with running_api(away) as alone:
        began = time.monotonic()
        answer = await alone.get("context", minPosition="interactions-0:0")
        assert answer.status == 200
        assert time.monotonic() - began < 0.5


async def test_what_is_remembered_is_bounded(
    store_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.origins.KEPT_MAX", 10)
    origins = Origins(store_settings)
    for offset in range(100):
        origins.remember(Position(INTERACTIONS.name, 0, offset), ("c", "f"))
    assert len(origins._known) <= 10
    await origins.check(Position(INTERACTIONS.name, 0, 99), ("c", "f"), "minPosition")
    with pytest.raises(InvalidInput):
        await origins.check(Position(INTERACTIONS.name, 0, 99), ("c", "g"), "minPosition")
