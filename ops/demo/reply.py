"""The demo's reply: drafted from the fan's memory, approved, and recorded as sent."""

import asyncio
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import msgspec

from infra.kafka import partition_of
from infra.postgres import open_pool
from infra.producer import BatchProducer
from infra.settings import Settings
from privacy.keys import Keyring
from schemas.errors import FanNotFound, ServiceFailed
from schemas.topics import INTENTS
from schemas.workflows import ENDED, State
from stores.workflows import holds
from stores.workflows.approving import Approvals, Named
from stores.workflows.intake import workflow_id
from stores.workflows.reading import Reading, Whole
from stores.workflows.sealed import Vault

USER: Final = "demo"
SECONDS_MAX: Final = 60.0
POLL_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Replied:
    """What came of the intent."""

    workflow_id: str
    state: State
    provider: str
    messages: tuple[str, ...]
    flags: tuple[str, ...]

    @property
    def sent(self) -> bool:
        return self.state == "sent"


async def reply(settings: Settings, creator_id: str, fan_id: str) -> Replied:
    """Ask for a reply on Kafka, approve its draft, and wait until its first message is sent.

    The sample ends with a creator who answers in person, so the fan is handed to the AI first.
    Raises `ServiceFailed` when that takes too long.
    """
    vault = Vault(Keyring.of(settings))
    pool = await open_pool(settings.postgres_url, size_max=2)
    try:
        async with pool.acquire() as connection:
            subject = await vault.find(connection, creator_id, fan_id)
            if subject is None:
                raise FanNotFound
            await holds.release(connection, subject.id, USER)
        id = await _ask(settings, creator_id, fan_id)
        reading = Reading(pool, vault)
        found = await _until(reading, id, {"awaiting_approval"})
        if found.row.state == "awaiting_approval":
            draft = Named(id, found.row.draft)
            await Approvals(pool, vault).approve(creator_id, draft, USER)
            found = await _until(reading, id, set())
    finally:
        await pool.close()
    body = found.drafts[-1].body if found.drafts else None
    return Replied(
        found.row.name,
        found.row.state,
        "" if body is None else body.provider,
        () if body is None else body.messages,
        found.drafts[-1].flags if found.drafts else (),
    )


async def _ask(settings: Settings, creator_id: str, fan_id: str) -> bytes:
    intent_id = f"demo-{uuid.uuid4().hex}"
    value = {
        "type": "message_generation",
        "userId": USER,
        "creatorId": creator_id,
        "recipientId": fan_id,
        "sendToOnlyFans": True,
        "intentId": intent_id,
        "data": {"instruction": "Answer what the fan said last."},
    }
    key = creator_id.encode()
    producer = BatchProducer(settings, "fanmemory-demo")
    try:
        partition = partition_of(key, await producer.partitions(INTENTS.name))
        await producer.send(INTENTS.name, {partition: [(key, msgspec.json.encode(value))]})
    finally:
        await producer.stop()
    return workflow_id(creator_id, intent_id)


async def _until(reading: Reading, id: bytes, states: Collection[State]) -> Whole:
    """Until it is in one of these states, or has ended."""
    try:
        async with asyncio.timeout(SECONDS_MAX):
            while True:
                whole = await reading.find(id)
                if whole is not None and whole.row.state in (*states, *ENDED, "unknown"):
                    return whole
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise ServiceFailed("The LLM agent has not answered; its log says why.") from None
