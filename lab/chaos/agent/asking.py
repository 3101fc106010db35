"""Publishes fans and intents, and approves what waits for it: all that people do."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from infra import kafka
from infra.clock import now_ms
from infra.postgres import Pool
from infra.settings import Settings
from privacy.keys import Keyring
from schemas.errors import DraftStale, WorkflowConflict
from schemas.times import DAY_MS, render_time
from schemas.topics import INTENTS, INTERACTIONS
from stores.workflows.approving import TOGETHER_MAX, Approvals, Named
from stores.workflows.sealed import Vault

CREATOR: Final = "chaos"
USERS: Final = 20
APPROVING_SECONDS: Final = 0.2

Record = tuple[bytes, dict[str, Any]]


def fan_of(number: int) -> str:
    return f"fan-{number}"


def event(creator: str, fan: str) -> Record:
    """A message of two days ago: the fan is known, and nobody was written to."""
    value = {
        "eventId": "hello",
        "fanId": fan,
        "creatorId": creator,
        "type": "message",
        "content": "Hello, I love your photos!",
        "timestamp": render_time(now_ms() - 2 * DAY_MS),
    }
    return f"{creator}:{fan}".encode(), value


def reply(number: int) -> Record:
    """An intent for a reply to one fan."""
    value = {
        "type": "message_generation",
        "userId": f"user-{number % USERS}",
        "creatorId": CREATOR,
        "recipientId": fan_of(number),
        "sendToOnlyFans": True,
        "data": {"instruction": "Say hello."},
        "intentId": f"reply-{number}",
    }
    return CREATOR.encode(), value


def plan(number: int) -> Record:
    """An intent for a plan, which nobody has to approve."""
    value = {
        "type": "content_planning",
        "userId": f"user-{number % USERS}",
        "creatorId": CREATOR,
        "data": {},
        "intentId": f"plan-{number}",
    }
    return CREATOR.encode(), value


def campaign(number: int) -> Record:
    """For all fans of a creator of its own; it begins when its preview is there."""
    creator = campaigner(number)
    value = {
        "type": "campaign_execution",
        "userId": f"user-{number % USERS}",
        "creatorId": creator,
        "sendToOnlyFans": True,
        "data": {"segment": {}, "instruction": "Ask how the week was.", "preview": True},
        "intentId": f"campaign-{number}",
    }
    return creator.encode(), value


def campaigner(number: int) -> str:
    return f"chaos-{number}"


async def publish(settings: Settings, topic: str, records: Iterable[Record]) -> int:
    """Returns how many, when the brokers have them all."""
    producer = kafka.producer(settings, client_id="fanmemory-chaos")
    await kafka.connect(producer)
    try:
        sends = [
            await producer.send(topic, json.dumps(value).encode(), key=key)
            for key, value in records
        ]
        await asyncio.gather(*sends)
    finally:
        await kafka.disconnect(producer)
    return len(sends)


async def publish_fans(settings: Settings, records: Sequence[Record]) -> int:
    return await publish(settings, INTERACTIONS.name, records)


async def publish_intents(settings: Settings, records: Sequence[Record]) -> int:
    return await publish(settings, INTENTS.name, records)


async def approve_all(settings: Settings, pool: Pool) -> None:
    """Approve whatever waits for it, until it is cancelled; start campaigns that have a preview."""
    approvals = Approvals(pool, Vault(Keyring.of(settings)))
    while True:
        await pool.execute(
            "UPDATE campaign SET state = 'starting', due = clock_timestamp(), epoch = epoch + 1"
            " WHERE state = 'ready'"
        )
        rows = await pool.fetch(
            "SELECT workflow, draft FROM workflow WHERE state = 'awaiting_approval' LIMIT $1",
            TOGETHER_MAX,
        )
        for row in rows:
            try:
                await approvals.approve(None, Named(row["workflow"], row["draft"]), "user-0")
            except (WorkflowConflict, DraftStale):
                continue  # of a fan whose campaign was there first, or that is being sent already
        await asyncio.sleep(APPROVING_SECONDS if len(rows) < TOGETHER_MAX else 0)
