"""What becomes of workflows when a fan is erased: rows stay, and nothing says whose they were.

The id of an intent is done once for ever, and what calls cost stays accounted for. So rows are
scrubbed: no subject, no text. What was under way ends as cancelled; a message that is being sent
can't be called back.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from infra.postgres import Connection
from infra.sql import load_queries
from stores.workflows import campaigns, telling
from stores.workflows.rows import row_of

_QUERIES: Final = load_queries(Path(__file__).parents[1] / "sql" / "workflow_erasing.sql")


async def erase(connection: Connection, subjects: Sequence[bytes]) -> int:
    """Scrub everything of these fans, in the caller's transaction; returns how many workflows
    ended."""
    ended = await _scrub(connection, subjects)
    await campaigns.leave(connection, subjects)
    return ended


async def _scrub(connection: Connection, subjects: Sequence[bytes]) -> int:
    ended = 0
    for record in await connection.fetch(_QUERIES.end_workflows_of, subjects):
        await telling.result(connection, row_of(record), None, None)
        ended += 1
    await connection.execute(_QUERIES.scrub, subjects)
    return ended


async def move(connection: Connection, old: bytes, new: bytes) -> int:
    """Let what names no event go on for the fan's new subject: the AI's silence, when the last
    message was sent, costs, and campaigns that still have to write to it. The rest may quote what
    was forgotten, and is scrubbed."""
    await connection.execute(_QUERIES.move_slot_of, old, new)
    await connection.execute(_QUERIES.move_hold_of, old, new)
    await connection.execute(_QUERIES.move_usage_of, old, new)
    ended = await _scrub(connection, [old])
    await campaigns.move(connection, old, new)
    return ended
