"""Sentinels: words that stand nowhere else, put into everything that can be said of one fan.

Each has the same length and begins with `MARK`, so that the scanner can look for all of them at
once. Their fan goes through every path: events, refused and conflicting ones, intents, a refused
intent, a draft, the cache. Of the fan's wrapped key the bytes are looked for as they are: whoever
has them and the keyring can open everything that is sealed under it.
"""

import asyncio
import secrets
import string
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from infra.clock import now_ms
from infra.kafka import partition_of
from infra.producer import BatchProducer
from infra.settings import Settings
from infra.sql import load_queries
from lab.chaos.erasing.client import Client
from lab.chaos.erasing.traffic import Traffic
from lab.load import Event, Nature
from schemas.errors import ServiceFailed
from schemas.relationship import Relationship
from schemas.times import render_time
from schemas.topics import INTENTS
from stores.opened import Stores, open_stores
from stores.workflows.composing import Composing, Draft
from stores.workflows.queue import Queue
from stores.workflows.sealed import Body, Vault

_SQL: Final = load_queries(Path(__file__).with_name("checks.sql"), table="x")
MARK: Final = "Zq"
LENGTH: Final = 22
CREATOR: Final = "erasing-scan"
KNOWN_SECONDS_MAX: Final = 120.0
DRAFTED_SECONDS_MAX: Final = 60.0
POLL_SECONDS: Final = 0.05
_LETTERS: Final = string.ascii_lowercase + string.digits


def sentinel() -> str:
    return MARK + "".join(secrets.choice(_LETTERS) for _ in range(LENGTH - len(MARK)))


@dataclass(slots=True)
class Planted:
    """What is to be found, and then not."""

    who: Relationship
    words: dict[str, str] = field(default_factory=dict)
    """Sentinel -> what it is."""
    keys: list[bytes] = field(default_factory=list)
    """Wrapped keys of the fan."""
    subjects: list[bytes] = field(default_factory=list)

    def word(self, what: str) -> str:
        made = sentinel()
        self.words[made] = what
        return made


async def plant(settings: Settings, client: Client, traffic: Traffic) -> Planted:
    """Send everything that can be said of a fan; returns when it is remembered."""
    fan = sentinel()
    planted = Planted((CREATOR, fan), {fan: "the fan's id"})
    events = _events(planted)
    await traffic.send(events[:1])
    # What is refused of somebody not known yet would be sealed under the day's key.
    if not await client.seen(planted.who, KNOWN_SECONDS_MAX):
        raise ServiceFailed("The fan of the sentinels is not remembered.")
    await traffic.send(events[1:])
    await _intend(settings, planted)
    async with open_stores(settings) as stores:
        await _draft(settings, stores, planted)
        rows = await stores.pool.fetch(_SQL.keys, *planted.who)
    planted.subjects = [row["subject"] for row in rows]
    planted.keys = [row["wrapped_key"] for row in rows]
    return planted


def _events(planted: Planted) -> list[Event]:
    word = planted.word
    known = word("an event's id")

    def made(nature: Nature, **fields: Any) -> Event:
        wire = {
            "creatorId": planted.who[0],
            "fanId": planted.who[1],
            "type": "message",
            "timestamp": render_time(now_ms() - 1000),
        } | fields
        amount = round(fields.get("amount", 0) * 100) if nature == "fresh" else 0
        return Event(planted.who, msgspec.json.encode(wire), nature, wire["type"], amount)

    return [
        made("fresh", eventId=known, content=f"I said {word('a message')} to you."),
        made(
            "fresh",
            eventId=word("a purchase's id"),
            type="purchase",
            amount=12.5,
            metadata={word("a metadata key"): word("a metadata value"), "contentType": "photo"},
        ),
        made("conflict", eventId=known, content=f"No, {word('a conflicting message')}."),
        made("bad", eventId=word("a refused event's id"), content=word("a refused text"), sender=7),
    ]


async def _intend(settings: Settings, planted: Planted) -> None:
    """One that becomes a workflow, and one that is refused."""
    word = planted.word
    intent = {
        "type": "message_generation",
        "userId": "operator",
        "creatorId": CREATOR,
        "recipientId": planted.who[1],
        "intentId": "scan",
        "data": {"instruction": f"Say {word('an instruction')}."},
    }
    refused = intent | {"priority": "none", "data": {"instruction": word("a refused instruction")}}
    key = CREATOR.encode()
    producer = BatchProducer(settings, "fanmemory-erasing")
    try:
        partition = partition_of(key, await producer.partitions(INTENTS.name))
        values = [(key, msgspec.json.encode(value)) for value in (intent, refused)]
        await producer.send(INTENTS.name, {partition: values})
    finally:
        await producer.stop()


async def _draft(settings: Settings, stores: Stores, planted: Planted) -> None:
    """As the agent composes one, without a model."""
    vault = Vault(stores.keyring)
    composing, queue = Composing(settings, stores.pool, vault), Queue(settings, stores.pool)
    text = planted.word("a draft")
    async with asyncio.timeout(DRAFTED_SECONDS_MAX):
        claimed = await queue.claim(1)
        while True:
            if claimed:
                break
            await asyncio.sleep(POLL_SECONDS)
            claimed = await queue.claim(1)
    if await composing.begin(claimed[0]) is None:
        raise ServiceFailed("The intent of the sentinels is not to be composed.")
    body = Body((text,), {"messages": [text]}, text, "template")
    await composing.propose(claimed[0], Draft(body, (), None))
