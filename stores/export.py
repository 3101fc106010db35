"""Export: everything that is remembered of one fan, in parts, whatever its length.

All of it is read in one snapshot of the database, so it is the memory of one moment. Of the history
only the event keys are held, 16 bytes each; events are opened `BATCH` at a time, and handed on
before the next are read. Between two batches it is seen, outside the snapshot, whether the fan has
been erased meanwhile: then the export breaks off.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, get_args

import msgspec

from infra.postgres import Connection, Pool, Record, database_errors
from infra.settings import Settings
from infra.sql import load_queries
from privacy import log_ids
from privacy.keys import Keyring
from privacy.seal import open_entry
from privacy.subjects import Subject
from schemas.details import Kind
from schemas.errors import FanNotFound
from schemas.export import VERSION, Begin, End, Item, Part, Section
from schemas.journal import JournalEntry, is_forgotten
from schemas.positions import Position
from schemas.relationship import Relationship
from schemas.rendered import render_interaction
from schemas.times import from_datetime, render_time
from schemas.topics import INTERACTIONS, JOURNAL
from stores import retention, suppression, wall
from stores.store import Store
from stores.workflows.reading import Reading, Whole
from stores.workflows.sealed import Vault
from views.context import render_context
from views.state import VIEWS, encode

_QUERIES: Final = load_queries(Path(__file__).parent / "sql" / "export.sql")
BATCH: Final = 200
"""Events that are opened at once: some 100 KB, some milliseconds."""

log = logging.getLogger(__name__)


async def exported(
    settings: Settings, pool: Pool, keyring: Keyring, who: Relationship, now: int
) -> AsyncGenerator[Part]:
    """The parts of the document at `now` (ms).

    Raises `FanNotFound` before the first part, or while it runs when the fan was erased meanwhile;
    `SealBroken`, `DatabaseUnavailable`.
    """
    async with (
        database_errors(),
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        # Sets the creator for the whole transaction.
        row = await wall.fetchrow(connection, _QUERIES.subject, who[0], *who)
        since = await suppression.since(connection, keyring, who)
        if row is None and since is None:
            raise FanNotFound
        yield Section("export", _head(who, now))
        yield Section("suppression", {"suppressed": since is not None, "since": _time(since)})
        rule = await retention.find(connection, who[0])
        yield Section(
            "retention", {"silentDays": rule.silent_days, "historyDays": rule.history_days}
        )
        if row is None:
            return
        subject = _opened(keyring, row)
        log.info("a fan is exported", extra={"fanId": log_ids.fan(subject.id)})
        async for part in _memory(settings, connection, keyring, subject, now):
            yield part
        async for part in _interactions(pool, connection, subject):
            yield part
        async for part in _quarantined(connection, subject):
            yield part
        async for part in _workflows(pool, connection, keyring, subject):
            yield part


def _head(who: Relationship, now: int) -> dict[str, Any]:
    creator_id, fan_id = who
    return {
        "version": VERSION,
        "exportedAt": render_time(now),
        "creatorId": creator_id,
        "fanId": fan_id,
        "note": "Everything that is remembered of this fan with this creator. What is on its way,"
        " or was refused, is not part of it: docs/privacy.md says where that is.",
    }


def _opened(keyring: Keyring, row: Record) -> Subject:
    id, creator_id, fan_id, kek, wrapped, unbound_opens, _ = row
    key = keyring.unwrap(id, (creator_id, fan_id), kek, wrapped, unbound_opens=bool(unbound_opens))
    return Subject(id, creator_id, fan_id, kek, wrapped, key)


async def _memory(
    settings: Settings, connection: Connection, keyring: Keyring, subject: Subject, now: int
) -> AsyncIterator[Part]:
    """The views, each with what it was folded from; and the state behind them."""
    store = Store(connection, keyring, settings.journal_partitions)  # type: ignore[arg-type]
    who = subject.creator_id, subject.fan_id
    found = await store.read(*who)
    if found is None:
        yield Section("context", None)
        return
    context = render_context(
        *who, found.state, found.entries, now, settings.currency, found.notes, found.telling
    )
    yield Section("context", context)
    count = await connection.fetchval(_QUERIES.count, subject.id)
    yield Section(
        "cameFrom",
        {
            "events": count,
            "how": "Each view is a fold of the events below, in their order; docs/views.md"
            " has every formula, and GET explain says which events moved a number.",
            "movedBy": _movers(),
        },
    )
    yield Section("state", msgspec.Raw(encode(found.state)))


def _movers() -> dict[str, list[str]]:
    """Document -> types of events that can move it."""
    return {
        view.DOCUMENT: [
            kind
            for kind in get_args(Kind)
            if view.moved_by(kind, "fan", detailed=True)
            or view.moved_by(kind, "creator", detailed=True)
        ]
        for view in VIEWS.values()
    }


async def _interactions(
    pool: Pool, connection: Connection, subject: Subject
) -> AsyncIterator[Part]:
    yield Begin("events")
    rows = await connection.fetch(_QUERIES.places, subject.id)
    keys = [row["event_key"] for row in rows]
    for start in range(0, len(keys), BATCH):
        batch = keys[start : start + BATCH]
        still = await wall.fetchrow(pool, _QUERIES.remembered, subject.creator_id, subject.id)
        if still is None or not still["remembered"]:
            raise FanNotFound("The fan was erased while the export was made.")
        found = await connection.fetch(_QUERIES.events, subject.id, batch)
        for item in await asyncio.to_thread(list, _events(subject, batch, found)):
            yield Item(item)
    yield End()


def _events(
    subject: Subject, order: Sequence[bytes], rows: Sequence[Record]
) -> Iterator[dict[str, Any]]:
    by_key = {row["event_key"]: row for row in rows}
    who = subject.creator_id, subject.fan_id
    for key in order:
        row = by_key[key]
        entry = open_entry(subject.cipher, subject.id, key, row["body"])
        if is_forgotten(entry):
            continue
        source = Position(INTERACTIONS.name, entry.source_partition, entry.source_offset)
        yield {
            "event": msgspec.Raw(render_interaction(who, entry)),
            "analysis": _analysis(entry),
            "source": str(source),
            "position": str(Position(JOURNAL.name, row["partition"], row["offset"])),
            "edited": row["edited"],
        }


def _analysis(entry: JournalEntry) -> dict[str, Any] | None:
    """What was read in its text, and by which model."""
    if entry.text is None:
        return None
    return {"model": entry.model, "read": msgspec.structs.asdict(entry.text)}


async def _quarantined(connection: Connection, subject: Subject) -> AsyncIterator[Part]:
    """Records that could not be folded; what can be opened of them."""
    yield Begin("quarantine")
    for row in await connection.fetch(_QUERIES.quarantined, subject.id):
        position = str(Position(JOURNAL.name, row["partition"], row["offset"]))
        item = {"position": position, "reason": row["reason"], "since": _time(row["at"])}
        yield Item(item)
    yield End()


async def _workflows(
    pool: Pool, connection: Connection, keyring: Keyring, subject: Subject
) -> AsyncIterator[Part]:
    """What the LLM agent was asked to do, drafts, decisions and who took them; and costs."""
    reading = Reading(pool, Vault(keyring))
    yield Begin("workflows")
    for row in await connection.fetch(_QUERIES.workflows, subject.id):
        yield Item(_workflow(await reading.whole(subject.creator_id, row["workflow"])))
    yield End()
    yield Begin("costs")
    for row in await connection.fetch(_QUERIES.usage, subject.id):
        cost = row["cost"]
        yield Item(
            {
                "workflowId": row["workflow"].hex(),
                "call": row["call"],
                "provider": row["provider"],
                "model": row["model"],
                "type": row["type"],
                "state": row["state"],
                "cost": None if cost is None else str(cost),
                "inputTokens": row["input"],
                "outputTokens": row["output"],
                "beganAt": _time(row["began_at"]),
            }
        )
    yield End()


def _workflow(found: Whole) -> dict[str, Any]:
    row = found.row
    return {
        "workflowId": row.name,
        "type": row.type,
        "state": row.state,
        "reason": row.reason,
        "userId": row.user_id,
        "createdAt": _time(row.created_at),
        "changedAt": _time(row.changed_at),
        "intent": found.intent,
        "drafts": [
            {
                "version": one.version,
                "userId": one.user_id,
                "messages": None if one.body is None else one.body.messages,
                "content": None if one.body is None else one.body.content,
                "provider": None if one.body is None else one.body.provider,
                "flags": one.flags,
                "madeAt": _time(one.made_at),
            }
            for one in found.drafts
        ],
        "decisions": [
            {
                "version": one.version,
                "kind": one.kind,
                "userId": one.user_id,
                "reason": one.reason,
                "text": one.text,
                "decidedAt": _time(one.decided_at),
            }
            for one in found.decisions
        ],
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else render_time(from_datetime(moment))
