"""Fetches by a topic's id: what is refused, what came too late, and brokers that know no ids."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.protocol.fetch import FetchRequest

from infra.kafka_ids import UNKNOWN, TopicIds
from infra.kafka_protocol import NO_ID, FetchById, FetchById13, IdsRequest

NOW = {1: (4, 18), 3: (0, 13)}
KAFKA_3_0 = {1: (0, 12), 3: (0, 11)}
FIRST, SECOND = b"1" * 16, b"2" * 16


class Brokers:
    """Answers as brokers do, with what they know of the topic `log` at the moment."""

    def __init__(self, versions: dict[int, tuple[int, int]] = NOW) -> None:
        self.versions = versions
        self.ids: dict[int, bytes] = {}
        """Node -> the topic's id as this node knows it."""
        self.asked: list[str] = []
        self.held: asyncio.Event | None = None

    async def send(self, node: int, request: Any, **_: Any) -> Any:
        struct = request.prepare(self.versions)
        self.asked.append(type(request).__name__)
        id = self.ids.get(node)
        if isinstance(request, IdsRequest):
            known = (3, "log", NO_ID) if id is None else (0, "log", id)
            return SimpleNamespace(topics=[(*known, False, [], 0, {})])
        if not isinstance(request, FetchById):
            return SimpleNamespace(API_VERSION=struct.API_VERSION, topics=request.topics)
        ((asked, partitions, _),) = struct.topics
        held, self.held = self.held, None
        if held is not None:
            await held.wait()
        code = 0 if asked == id else 100
        answered: list[Any] = [
            (one[0], code, 9, 9, 0, None, -1, b"records", {}) for one in partitions
        ]
        return SimpleNamespace(topics=[(asked, answered, {})])


def fetch() -> FetchRequest:
    return FetchRequest(100, 1, 1_000_000, 1, [("log", [(0, 5, 1000)])])


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.kafka_ids.REFUSED_SECONDS", 0)


async def test_a_fetch_names_the_id_and_is_answered_by_name() -> None:
    brokers = Brokers()
    brokers.ids[1] = FIRST
    ids = TopicIds(brokers)
    answer = await ids.send(1, fetch())
    assert answer.API_VERSION == FetchById13.API_VERSION
    assert answer.topics == [("log", [(0, 0, 9, 9, 0, [], -1, b"records")])]
    assert ids.of("log") == FIRST
    await ids.send(1, fetch())
    assert brokers.asked == ["IdsRequest", "FetchById", "FetchById"]


async def test_another_topic_of_the_name_is_read_by_its_own_id_only() -> None:
    brokers = Brokers()
    brokers.ids[1] = FIRST
    ids = TopicIds(brokers)
    await ids.send(1, fetch())
    brokers.ids[1] = SECOND
    refused = await ids.send(1, fetch())
    assert [one[:2] for one in refused.topics[0][1]] == [(0, UNKNOWN)]
    assert ids.of("log") == FIRST
    answer = await ids.send(1, fetch())
    assert answer.topics[0][1][0][-1] == b"records"
    assert ids.of("log") == SECOND


async def test_a_topic_that_is_gone_is_not_fetched_and_keeps_its_id() -> None:
    """So what comes when it is made again is known to be of another."""
    brokers = Brokers()
    brokers.ids[1] = FIRST
    ids = TopicIds(brokers)
    await ids.send(1, fetch())
    del brokers.ids[1]
    await ids.send(1, fetch())
    gone = await ids.send(1, fetch())
    assert gone.topics == [("log", [(0, UNKNOWN, -1, -1, -1, [], -1, b"")])]
    assert brokers.asked[-1] == "IdsRequest"
    assert ids.of("log") == FIRST


async def test_what_comes_by_an_id_when_another_is_known_is_dropped() -> None:
    """Two brokers, of which one is slow: its answer would pass for the new topic's."""
    brokers = Brokers()
    brokers.ids = {1: FIRST, 2: FIRST}
    ids = TopicIds(brokers)
    brokers.held = released = asyncio.Event()
    slow = asyncio.ensure_future(ids.send(1, fetch()))
    while brokers.held is not None:
        await asyncio.sleep(0)
    brokers.ids[2] = SECOND
    await ids.send(2, fetch())
    await ids.send(2, fetch())
    assert ids.of("log") == SECOND
    released.set()
    assert (await slow).topics == []


async def test_a_broker_without_ids_is_asked_by_name() -> None:
    brokers = Brokers(KAFKA_3_0)
    ids = TopicIds(brokers)
    answer = await ids.send(1, fetch())
    assert answer.API_VERSION == 11
    assert answer.topics == fetch().topics
    assert ids.of("log") is None


async def test_a_cluster_whose_topics_have_no_ids_is_asked_by_name() -> None:
    brokers = Brokers()
    brokers.ids[1] = NO_ID
    ids = TopicIds(brokers)
    assert (await ids.send(1, fetch())).topics == fetch().topics
