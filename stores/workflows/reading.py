"""What people see of workflows: lists without texts, one workflow with everything.

A creator sees their own only. An operator names no creator.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from infra.postgres import Connection, Executor, Pool, Record, database_errors
from infra.sql import load_queries
from privacy.creators import Sealer
from schemas.errors import InvalidInput, SealBroken, WorkflowNotFound
from schemas.intents import PRIORITIES, Intent
from schemas.times import from_datetime, render_time
from schemas.workflows import State, WorkflowSummary
from stores import wall
from stores.workflows.ending import intent_of
from stores.workflows.rows import Workflow, row_of
from stores.workflows.sealed import Body, Vault, open_body, open_text

_QUERIES: Final = load_queries(Path(__file__).parents[1] / "sql" / "workflow_reading.sql")
_DRAFT_QUERIES: Final = load_queries(Path(__file__).parents[1] / "sql" / "workflow_drafts.sql")

PAGE_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a draft."""

    version: int
    user_id: str | None
    """Who edited it; None: it was composed."""
    body: Body | None
    flags: tuple[str, ...]
    memory: int | None
    distance: int | None
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision."""

    version: int
    kind: str
    user_id: str
    reason: str | None
    text: str | None
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class Whole:
    """Everything that is kept of a workflow; what can't be opened any more is None."""

    row: Workflow
    intent: Intent | None
    drafts: list[Version]
    decisions: list[Decided]


class Reading:
    """Reads for the API and the command line."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool = pool
        self._vault = vault

    async def page(
        self,
        creator_id: str | None,
        states: Sequence[State] = (),
        cursor: str | None = None,
        count: int = 50,
    ) -> tuple[list[WorkflowSummary], str | None]:
        """The newest first, and the cursor of the next page. Raises `InvalidInput`."""
        before = (None, None) if cursor is None else place_in(cursor)
        count = min(count, PAGE_MAX)
        async with database_errors(), self._pool.acquire() as connection:
            rows = await fetch(
                connection,
                _QUERIES.list_workflows,
                creator_id,
                creator_id,
                list(states) or None,
                *before,
                count + 1,
            )
            found = rows[:count]
            shown = [await self._summary(connection, row) for row in found]
        if len(rows) <= count:
            return shown, None
        last = found[-1]
        return shown, cursor_of(last["created_at"], last["workflow"])

    async def _summary(self, connection: Connection, record: Any) -> WorkflowSummary:
        row = row_of(record)
        return summary_of(row, record["fan_id"], tuple(record["flags"] or ()))

    async def whole(self, creator_id: str | None, workflow: bytes) -> Whole:
        """Raises `WorkflowNotFound`, also for another creator's."""
        async with (
            database_errors(),
            self._pool.acquire() as connection,
            connection.transaction(),  # in which the first statement sets the creator
        ):
            found = await fetch(connection, _QUERIES.one_workflow, creator_id, workflow, creator_id)
            if not found:
                raise WorkflowNotFound
            row = row_of(found[0])
            try:
                sealer = await self._vault.sealer(connection, row.creator_id, row.subject)
            except SealBroken:
                sealer = None
            drafts = await connection.fetch(_DRAFT_QUERIES.drafts_of, workflow)
            decisions = await connection.fetch(_DRAFT_QUERIES.decisions_of, workflow)
            return Whole(
                row,
                await intent_of(connection, self._vault, row),
                [_version(sealer, workflow, one) for one in drafts],
                [_decided(sealer, workflow, one) for one in decisions],
            )

    async def find(self, workflow: bytes) -> Whole | None:
        """None for one whose intent has not come yet."""
        try:
            return await self.whole(None, workflow)
        except WorkflowNotFound:
            return None

    async def counts(self, creator_id: str | None) -> dict[str, int]:
        """How many workflows there are in each state."""
        async with database_errors():
            rows = await fetch(self._pool, _QUERIES.count_states, creator_id, creator_id)
        return {row["state"]: row["workflows"] for row in rows}


async def fetch(
    connection: Executor, statement: str, creator_id: str | None, *arguments: Any
) -> list[Record]:
    """Of an operator, who names no creator, not walled."""
    if creator_id is not None:
        return await wall.fetch(connection, statement, creator_id, *arguments)
    rows: list[Record] = await connection.fetch(statement, *arguments)
    return rows


def summary_of(row: Workflow, fan_id: str | None, flags: tuple[str, ...]) -> WorkflowSummary:
    """What a list says of a workflow."""
    return WorkflowSummary(
        workflow_id=row.name,
        type=row.type,
        state=row.state,
        reason=row.reason,
        waits_for=row.waits_for,
        priority=PRIORITIES[row.priority],
        recipient_id=fan_id,
        user_id=row.user_id,
        draft_version=row.draft,
        flags=flags,
        created_at=_rendered(row.created_at) or "",
        changed_at=_rendered(row.changed_at) or "",
        due=None if row.leased else _rendered(row.due),
        deadline=_rendered(row.deadline),
    )


def _version(sealer: Sealer | None, workflow: bytes, record: Any) -> Version:
    body = None
    if sealer is not None and record["body"] is not None:
        try:
            body = open_body(sealer, workflow, record["version"], record["body"])
        except SealBroken:
            body = None
    return Version(
        record["version"],
        record["user_id"],
        body,
        tuple(record["flags"]),
        record["memory"],
        record["distance"],
        record["made_at"],
    )


def _decided(sealer: Sealer | None, workflow: bytes, record: Any) -> Decided:
    text = None
    if sealer is not None:
        try:
            text = open_text(sealer, workflow, record["text"])
        except SealBroken:
            text = None
    return Decided(
        record["version"],
        record["kind"],
        record["user_id"],
        record["reason"],
        text,
        record["decided_at"],
    )


def _rendered(time: datetime | None) -> str | None:
    return None if time is None else render_time(from_datetime(time))


def cursor_of(created_at: datetime, workflow: bytes) -> str:
    """Of the page behind this row."""
    text = f"{created_at.isoformat()} {workflow.hex()}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def place_in(text: str) -> tuple[datetime, bytes]:
    """What `cursor_of` wrote. Raises `InvalidInput`."""
    try:
        plain = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
        time, _, id = plain.partition(" ")
        found = datetime.fromisoformat(time), bytes.fromhex(id)
    except (ValueError, binascii.Error):
        raise InvalidInput("cursor", "must be one that a list returned") from None
    if found[0].tzinfo is None or len(found[1]) != 16:
        raise InvalidInput("cursor", "must be one that a list returned")
    return found
