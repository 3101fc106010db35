"""What a receipt tells of a completed erasure or forgetting: what it took, what a look now finds.

The look is made each time that the receipt is asked for: in one snapshot of the database, and in
the cache, if that answers.
"""

from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import UNSET

from infra.postgres import Connection, Pool, database_errors
from infra.sql import load_queries
from privacy.holders import HOLDERS
from schemas.errors import CacheUnavailable, SealBroken
from schemas.random_ids import id_text
from schemas.receipts import ALGORITHM, Emptied, Form, Receipt, Remains
from schemas.times import from_datetime, render_time
from schemas.topics import (
    DEAD_LETTERS,
    INTENT_DEAD_LETTERS,
    TOPICS,
    UNLIMITED,
    Topic,
    gone_after_ms,
)
from stores import cleaning, generations
from stores.cache import Cache
from stores.cleaning import Clean

_SQL: Final = Path(__file__).parent / "sql" / "receipts.sql"
_QUERIES: Final = load_queries(_SQL, generation="g")
_FORMS: Final[dict[str, Form]] = {
    "sealed": "sealed, its key is gone",
    "clear": "clear",
    "random ids": "random ids",
}


class Made(NamedTuple):
    """A receipt, and whose it is."""

    creator_id: str
    receipt: Receipt


async def made_of(pool: Pool, cache: Cache, id: bytes, now: int, key_id: str) -> Made | None:
    """Of a completed erasure or forgetting; None for another. `now` in ms."""
    async with (
        database_errors(),
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        done = await connection.fetchrow(_QUERIES.completed, id)
        if done is None:
            return None
        rows = await connection.fetch(_QUERIES.subjects, id)
        subjects = [row["subject"] for row in rows]
        left = dict(await connection.fetchrow(_QUERIES.left, subjects) or {})
        left["fan_state"] = await _states_left(connection, subjects)
        clean = await cleaning.clean(connection)
    deleted = {
        "subject": len(rows),
        "fan_state": sum(row["states"] for row in rows),
        "interaction": sum(row["events"] for row in rows),
        "quarantine": sum(row["quarantined"] for row in rows),
    }
    forgot = done["kind"] == "forget"
    if forgot:
        # The rows of what was left behind are counted; those of the rest were written again.
        events = deleted.pop("interaction")
    completed = from_datetime(done["completed_at"])
    emptied = [Emptied("table", name, deleted.get(name), found) for name, found in left.items()]
    receipt = Receipt(
        version=1,
        receipt_id=id_text(id),
        kind=done["kind"],
        subjects=[id_text(subject) for subject in subjects],
        requested=_time(done["requested_at"]),
        erased=_time(done["erased_at"]),
        completed=render_time(completed),
        emptied=[
            *sorted(emptied, key=lambda one: one.name),
            Emptied("cache", "c:", None, await _cached(cache, done["cached"], subjects)),
        ],
        remains=_remains(completed, clean),
        looked=render_time(now),
        key_id=key_id,
        algorithm=ALGORITHM,
        events=events if forgot else UNSET,
    )
    return Made(done["creator_id"], receipt)


async def _cached(cache: Cache, name: bytes | None, subjects: list[bytes]) -> int | None:
    """Entries of these subjects; None: there is no telling. Whoever came back is another subject,
    and has an entry under the same name."""
    if name is None:
        return None
    try:
        return int(await cache.kept(name) in subjects)
    except (CacheUnavailable, SealBroken):
        return None


async def _states_left(connection: Connection, subjects: list[bytes]) -> int:
    count = 0
    for each in await generations.all_generations(connection):
        queries = load_queries(_SQL, generation=generations.schema_name(each.number))
        count += await connection.fetchval(queries.states_left, subjects)
    return count


def _remains(completed: int, clean: Clean) -> list[Remains]:
    """In logs and files that are not rewritten at once; what came last came before the erasure's
    completion."""
    topics = {topic.name: topic for topic in TOPICS}
    found = [
        _left_in(topics[one.name], _FORMS[one.form], completed)
        for one in HOLDERS
        if one.kind == "topic"
    ]
    files = {"postgres/base": clean.tables, "postgres/pg_wal": clean.log}
    return [*found, *(_left_in_files(*each, completed) for each in files.items())]


def _left_in_files(name: str, clean_up_to: datetime | None, completed: int) -> Remains:
    if clean_up_to is not None and from_datetime(clean_up_to) > completed:
        return Remains("folder", name, "sealed, its key is gone", None)
    return Remains("folder", name, "clear", None)


def _left_in(topic: Topic, form: Form, completed: int) -> Remains:
    if topic in (DEAD_LETTERS, INTENT_DEAD_LETTERS):
        # Of a fan who was not known when it was refused, and so under no key of the fan's.
        form = "sealed under the keyring"
    kept = topic.retention_ms != UNLIMITED
    until = render_time(completed + gone_after_ms(topic)) if kept else None
    return Remains("topic", topic.name, form, until)


def _time(moment: datetime) -> str:
    return render_time(from_datetime(moment))
