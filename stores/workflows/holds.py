"""When the AI is silent for a fan, and what was written since a draft was made.

Silent: for 12 h after a person wrote to the fan, after a hand-off, or while a hold that was set by
hand lasts. Letting go of a hold counts for all messages before it. `halt` stops all sends of a
creator, or everybody's.

A message of the creator's that has the author `ai`, or the very text that we sent, is no person's.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal, NamedTuple

from infra.postgres import Connection
from infra.sql import load_queries
from privacy.creators import Sealer
from privacy.seal import open_if_intact
from privacy.subjects import Subject
from schemas.errors import SealBroken
from schemas.sending import SPACING_SECONDS, WRITTEN_HOURS
from schemas.times import to_datetime
from stores.workflows.sealed import open_body

_QUERIES: Final = load_queries(Path(__file__).parents[1] / "sql" / "workflow_holds.sql")

HOLD_HOURS: Final = 12
LOOK_BACK_MAX: Final = 50
"""Newest messages that are looked at."""
SENT_MAX: Final = 20
"""Texts sent to a fan that are known again when a platform tells of them."""

Cause = Literal["hand", "handoff", "released", "person"]


class News(NamedTuple):
    """One message in the memory."""

    event_id: str
    offset: int
    time: datetime
    by_fan: bool
    content: str | None


class Silence(NamedTuple):
    """Why, and until when, the AI says nothing."""

    cause: Cause
    until: datetime


async def messages(
    connection: Connection, subject: Subject, sent: Sequence[str], after: int | None = None
) -> list[News]:
    """The newest messages of a fan or a person behind a journal offset, the newest first."""
    ours = set(sent)
    after = -1 if after is None else after
    found = []
    for row in await connection.fetch(_QUERIES.newest_messages, subject.id, after, LOOK_BACK_MAX):
        entry = open_if_intact(subject.cipher, subject.id, row["event_key"], row["body"])
        if entry is None:
            continue
        by_fan = entry.sender == "fan"
        if by_fan or (entry.author != "ai" and entry.content not in ours):
            found.append(
                News(entry.event_id, row["offset"], to_datetime(entry.time), by_fan, entry.content)
            )
    return found


async def returned(
    connection: Connection, subject: Subject, text: str, since: datetime
) -> str | None:
    """The event id of a message of the creator's with this text, of that time or later."""
    for row in await connection.fetch(_QUERIES.newest_messages, subject.id, -1, LOOK_BACK_MAX):
        entry = open_if_intact(subject.cipher, subject.id, row["event_key"], row["body"])
        if entry is None or entry.sender != "creator" or entry.content != text:
            continue
        # Platforms round times to seconds.
        if to_datetime(entry.time) >= since - timedelta(seconds=2):
            return entry.event_id
    return None


async def was_written_to(connection: Connection, subject: Subject, now: datetime) -> bool:
    """Whether the creator, or anybody in the creator's name, wrote to the fan in the last
    `WRITTEN_HOURS`, or something was sent that may have come to the fan."""
    since = now - timedelta(hours=WRITTEN_HOURS)
    if await connection.fetchval(_QUERIES.sent_since, subject.id, since, SPACING_SECONDS):
        return True
    for row in await connection.fetch(_QUERIES.newest_messages, subject.id, -1, LOOK_BACK_MAX):
        entry = open_if_intact(subject.cipher, subject.id, row["event_key"], row["body"])
        if entry is not None and entry.sender == "creator" and to_datetime(entry.time) > since:
            return True
    return False


async def newest(connection: Connection, subject: bytes) -> int:
    """Journal offset of the newest of a fan's latest messages; -1 without any."""
    return int(await connection.fetchval(_QUERIES.newest_of, subject))


async def sent_texts(connection: Connection, subject: Subject) -> tuple[str, ...]:
    """What was sent to the fan, or may have been; the oldest of the last 20 first."""
    sealer = Sealer.of(subject)
    found: list[str] = []
    for row in await connection.fetch(_QUERIES.sent_drafts, subject.id, SENT_MAX):
        try:
            body = open_body(sealer, row["workflow"], row["version"], row["body"])
        except SealBroken:
            continue
        found += reversed(body.messages[: row["parts"]])
    return tuple(reversed(found[:SENT_MAX]))


async def silence(
    connection: Connection, subject: Subject, sent: Sequence[str], now: datetime
) -> Silence | None:
    """Whether the AI has to be silent for this fan now."""
    row = await connection.fetchrow(_QUERIES.hold_of, subject.id)
    released = None
    if row is not None:
        if row["cause"] == "released":
            released = row["changed_at"]
        elif row["until"] > now:
            return Silence(row["cause"], row["until"])
    since = now - timedelta(hours=HOLD_HOURS)
    for one in await messages(connection, subject, sent):
        if one.by_fan or one.time <= since:
            continue
        if released is None or one.time > released:
            return Silence("person", one.time + timedelta(hours=HOLD_HOURS))
    return None


async def hold(connection: Connection, subject: bytes, user_id: str) -> bool:
    """Keep the AI silent; False: the fan was erased meanwhile."""
    return await _put(connection, subject, "hand", user_id, HOLD_HOURS)


async def release(connection: Connection, subject: bytes, user_id: str) -> bool:
    """The AI may speak again, until a person writes once more; False: the fan was erased
    meanwhile."""
    return await _put(connection, subject, "released", user_id, 0.0)


async def hand_off(connection: Connection, subject: bytes) -> None:
    """The same by the AI itself, in the transaction that holds its workflow's row."""
    await connection.execute(_QUERIES.hand_off, subject, HOLD_HOURS)


async def _put(
    connection: Connection, subject: bytes, cause: Cause, user_id: str, hours: float
) -> bool:
    status = await connection.execute(_QUERIES.put_hold, subject, cause, user_id, hours)
    return status != "INSERT 0 0"


async def halt(connection: Connection, creator_id: str, user_id: str) -> None:
    """Stop all sends of a creator; of everybody for the empty name."""
    await connection.execute(_QUERIES.put_halt, creator_id, user_id)


async def resume(connection: Connection, creator_id: str) -> int:
    """Let sends go on; returns how many waited for it."""
    await connection.execute(_QUERIES.drop_halt, creator_id)
    return int(await connection.fetchval(_QUERIES.wake_halted, creator_id))


async def is_halted(connection: Connection, creator_id: str) -> bool:
    return bool(await connection.fetchval(_QUERIES.is_halted, creator_id))
