"""Intents become rows, each once for ever; a newer reply supersedes older ones.

A workflow's id is made of its creator and its intent's id, so an intent that comes again, by
whichever way, is the row that is there. An intent without an id of its own has its record's place.
"""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

from infra.postgres import Connection
from infra.settings import Settings
from infra.sql import load_queries
from privacy.creators import Sealer, creator_sealer
from schemas.intents import PRIORITIES, Intent
from schemas.positions import Position
from schemas.times import to_datetime
from stores.workflows import campaigning
from stores.workflows.ending import end
from stores.workflows.rows import Workflow, row_of, save, wake
from stores.workflows.sealed import Vault, seal_intent

_QUERIES: Final = load_queries(Path(__file__).parents[1] / "sql" / "workflow_intake.sql")


def workflow_id(creator_id: str, intent_id: str) -> bytes:
    """The id of the workflow that an intent is, or becomes."""
    text = f"{creator_id}\0{intent_id}".encode()
    return blake2b(text, digest_size=16, person=b"workflow").digest()


def identified(intent: Intent, position: Position) -> Intent:
    """An intent with an id: its own, or the place of its record."""
    if intent.intent_id is not None:
        return intent
    return msgspec.structs.replace(intent, intent_id=str(position))


class Intake:
    """Writes intents, in a transaction of the caller's."""

    def __init__(self, settings: Settings, vault: Vault) -> None:
        self._vault = vault
        self._settings = settings
        self._quiet_seconds = settings.reply_quiet_seconds

    async def write(self, connection: Connection, intents: Sequence[Intent]) -> int:
        """Add those that are new, in order; each has an id. Returns how many that were."""
        added = 0
        for intent in intents:
            added += await self._add(connection, intent)
        if added:
            await wake(connection)
        return added

    async def _add(self, connection: Connection, intent: Intent) -> bool:
        id = workflow_id(intent.creator_id, intent.intent_id or "")
        subject = None
        if intent.recipient_id is not None:
            subject = await self._vault.find(connection, intent.creator_id, intent.recipient_id)
        if subject is not None:
            kept = await connection.fetchval(_QUERIES.keep_subject, subject.id)
            subject = subject if kept is not None else None
        owner = None if subject is None else subject.id
        if subject is not None:
            sealer = Sealer.of(subject)
        else:
            sealer = await creator_sealer(connection, self._vault.keyring, intent.creator_id)
        reply = intent.type == "message_generation"
        campaign = intent.type == "campaign_execution"
        record = await connection.fetchrow(
            _QUERIES.insert_intent,
            id,
            intent.type,
            intent.creator_id,
            intent.user_id,
            owner,
            PRIORITIES.index(intent.priority),
            self._quiet_seconds if reply else 0.0,
            intent.send,
            intent.platform,
            # A campaign's workflow outlives its deadline: its report is made then.
            None if campaign else _time(intent.deadline),
            _time(intent.not_before),
            intent.trace.trace_id if intent.trace is not None else uuid.UUID(bytes=id).hex,
            seal_intent(sealer, id, intent),
        )
        if record is None:
            return False
        if campaign:
            deadline = _time(intent.deadline)
            await campaigning.insert(connection, id, intent, self._settings, deadline)
        if reply and owner is not None:
            await supersede(connection, self._vault, row_of(record))
        return True


async def supersede(connection: Connection, vault: Vault, newest: Workflow) -> Workflow:
    """End the older replies to the same fan that nobody has approved.

    The newest one waits since the oldest of them that was not composed yet: however often a fan
    writes, the reply is composed in the end.
    """
    rows = await connection.fetch(
        _QUERIES.older_replies, newest.subject, newest.workflow, newest.created_at
    )
    since = newest.waiting_since
    for older in map(row_of, rows):
        if older.state == "received":
            since = min(since, older.waiting_since)
        await end(connection, vault, older, "superseded", "newer_intent")
    if since == newest.waiting_since:
        return newest
    changed = replace(newest, waiting_since=since)
    if not newest.leased:
        await save(connection, changed, due=newest.due)
    return changed


async def newer_reply(connection: Connection, row: Workflow) -> bool:
    """Whether a later intent asks for a reply to the same fan."""
    asked = (row.subject, row.workflow, row.created_at)
    return bool(await connection.fetchval(_QUERIES.newer_reply, *asked))


def _time(ms: int | None) -> datetime | None:
    return None if ms is None else to_datetime(ms)
