"""Fetches that name a topic by its id, so that another topic of the same name is never read for it.

Kafka gives every topic that is made an id of its own (KIP-516). A broker answers a fetch by id from
that topic's log or not at all: no look at the topic is needed, before or after, and none could come
too late. With a broker that knows no ids (`infra.kafka_protocol`) fetches go by name.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from aiokafka.client import ConnectionGroup
from aiokafka.errors import IncompatibleBrokerVersion, UnknownTopicOrPartitionError
from aiokafka.protocol.fetch import FetchRequest

from infra.kafka_protocol import NO_ID, FetchById, FetchById13, IdsRequest

REFUSED_SECONDS: Final = 0.1
"""Until an id that was refused is asked for again, or a topic that is not there."""
UNKNOWN: Final = UnknownTopicOrPartitionError.errno
REFUSALS: Final = (100, 103)
"""UNKNOWN_TOPIC_ID and INCONSISTENT_TOPIC_ID: the topic is no more, or not yet on that broker."""


class TopicIds:
    """Stands in a consumer's client: sends its fetches by ids, and knows which these were."""

    def __init__(self, client: Any) -> None:
        self._send = client.send
        client.send = self.send
        self._known: dict[str, bytes] = {}
        self._refused: set[str] = set()

    def of(self, topic: str) -> bytes | None:
        """By which id the topic is fetched now; None while it goes by name, or is not fetched."""
        return self._known.get(topic)

    async def learn(self, node: int, topics: Iterable[str]) -> dict[str, int]:
        """Ask a broker for the ids that are not known, or were refused.

        Returns the error code of each topic that has none there. Raises what the client raises, and
        `IncompatibleBrokerVersion` when the broker has none to tell.
        """
        asked = [one for one in topics if one not in self._known or one in self._refused]
        if not asked:
            return {}
        answer = await self._send(node, IdsRequest(asked))
        lacking = dict.fromkeys(asked, UNKNOWN)
        for code, topic, id, *_ in answer.topics:
            if id != NO_ID:
                self._known[topic] = id
                self._refused.discard(topic)
                del lacking[topic]
            elif code:
                lacking[topic] = code
            else:
                raise IncompatibleBrokerVersion("This cluster's topics have no ids.")
        return lacking

    async def send(
        self, node: int, request: Any, *, group: ConnectionGroup = ConnectionGroup.DEFAULT
    ) -> Any:
        """As the client's own. A topic without an id is not fetched: the answer says its error."""
        if not isinstance(request, FetchRequest):
            return await self._send(node, request, group=group)
        wanted = dict(request.topics)
        try:
            lacking = await self.learn(node, wanted)
            ids = {topic: self._known[topic] for topic in wanted if topic not in lacking}
            answer = await self._send(node, FetchById(request, ids), group=group) if ids else None
        except IncompatibleBrokerVersion:
            return await self._send(node, request, group=group)
        topics = [(topic, _failed(wanted[topic], code)) for topic, code in lacking.items()]
        if answer is not None:
            topics += self._named(answer, ids)
        if lacking or self._refused & wanted.keys():
            await asyncio.sleep(REFUSED_SECONDS)
        return _Answer(FetchById13.API_VERSION, topics)

    def _named(self, answer: Any, ids: Mapping[str, bytes]) -> list[tuple[str, list[Any]]]:
        names = {id: topic for topic, id in ids.items()}
        topics = []
        for id, partitions, _ in answer.topics:
            topic = names[id]
            if self._known.get(topic) != id:
                continue  # it would pass for what came by the id of now
            answered = [_partition(*one) for one in partitions]
            if any(one[1] in REFUSALS for one in answered):
                self._refused.add(topic)
                answered = [
                    (one[0], UNKNOWN, *one[2:]) if one[1] in REFUSALS else one for one in answered
                ]
            topics.append((topic, answered))
        return topics


class _Answer(NamedTuple):
    """What aiokafka's fetcher reads of a response."""

    API_VERSION: int
    topics: Sequence[tuple[str, Sequence[Any]]]


def _partition(*fields: Any) -> tuple[Any, ...]:
    """As version 11 has it: (partition, error, ends and beginning, aborted, replica, records)."""
    *before, aborted, replica, records, _ = fields
    return (*before, [one[:2] for one in aborted or ()], replica, records or b"")


def _failed(partitions: Iterable[Sequence[int]], code: int) -> list[Any]:
    return [(number, code, -1, -1, -1, [], -1, b"") for number, *_ in partitions]
