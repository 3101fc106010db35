"""One workflow as it stands, how it moves from state to state, and the fence.

Whoever changes a workflow locks its row, makes the next `Workflow` of it by `moved`, and saves it,
all columns at once. A worker locks by the epoch that it claimed; each move raises the epoch, so a
worker whose lease ran out, or whose workflow was cancelled, superseded or erased, changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from infra.postgres import Connection
from infra.sql import load_queries
from schemas.errors import Fenced, WorkflowNotFound
from schemas.intents import IntentType
from schemas.workflows import ENDED, STATES, State

ROW_QUERIES: Final = load_queries(Path(__file__).parents[1] / "sql" / "workflow_rows.sql")

CHANNEL: Final = "fanmemory_workflow"
"""Whoever runs workflows listens here: something is due."""

_ALWAYS: Final[frozenset[State]] = frozenset(("failed", "cancelled", "expired"))
_MOVES: Final[dict[State, frozenset[State]]] = {
    "received": _ALWAYS | {"received", "composing", "superseded", "completed"},
    "composing": _ALWAYS
    | {"received", "composing", "awaiting_approval", "approved", "completed", "superseded"},
    "awaiting_approval": _ALWAYS
    | {"received", "awaiting_approval", "approved", "superseded", "completed"},
    "approved": _ALWAYS | {"approved", "awaiting_approval", "sending"},
    "sending": frozenset(("approved", "awaiting_approval", "sent", "unknown", "failed")),
    "unknown": frozenset(("unknown", "approved", "sent", "failed")),
    "failed": frozenset(("received",)),
    "expired": frozenset(("received",)),
}
MOVES: Final[Mapping[State, frozenset[State]]] = {
    state: _MOVES.get(state, frozenset()) for state in STATES
}
"""Of each state the ones that may follow. Nothing leads back from `sent`, and from `sending` and
`unknown` a machine only leads on with a proof."""


@dataclass(frozen=True, slots=True)
class Workflow:
    """One row. `due` and `leased` are the queue's."""

    workflow: bytes
    type: IntentType
    creator_id: str
    user_id: str
    subject: bytes | None
    state: State
    reason: str | None
    waits_for: str | None
    priority: int
    due: datetime | None
    leased: bool
    epoch: int
    failures: int
    send: bool
    platform: str
    deadline: datetime | None
    not_before: datetime | None
    waiting_since: datetime
    trace_id: str
    intent: bytes | None
    draft: int
    flagged: bool
    approved: int | None
    place: int | None
    parts_sent: int
    send_began: datetime | None
    told: bool
    created_at: datetime
    started_at: datetime | None
    changed_at: datetime
    campaign: bytes | None = None
    """Whose message it is."""
    member: int | None = None
    """Of the campaign, from 1 on; None: it belongs to none, or to its preview."""

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def name(self) -> str:
        """The id as it is told: 32 hexadecimal digits."""
        return self.workflow.hex()

    def moved(self, state: State, reason: str | None = None, **changes: Any) -> "Workflow":
        """The next one. Raises `ValueError` for a move that there is not: a mistake of ours."""
        if state not in MOVES[self.state]:
            raise ValueError(f"no workflow goes from {self.state} to {state}")
        fresh = {} if state == self.state else {"failures": 0}
        changed: dict[str, Any] = {"state": state, "reason": reason, "waits_for": None}
        return replace(self, **(fresh | changed | changes))

    def __repr__(self) -> str:
        return f"Workflow({self.state})"


_NAMES: Final = tuple(field.name for field in fields(Workflow))


def row_of(record: Any) -> Workflow:
    return Workflow(*(record[name] for name in _NAMES))


async def own(connection: Connection, workflow: bytes, epoch: int) -> Workflow:
    """Lock the row that a worker has claimed; raises `Fenced` when it is not the worker's now."""
    record = await connection.fetchrow(ROW_QUERIES.own, workflow, epoch)
    if record is None:
        raise Fenced("The workflow is not this worker's any more.")
    return row_of(record)


async def lock(connection: Connection, workflow: bytes, creator_id: str | None) -> Workflow:
    """Lock the row for whom it belongs to; an operator names no creator.

    Raises `WorkflowNotFound`, also for another creator's.
    """
    record = await connection.fetchrow(ROW_QUERIES.lock, workflow, creator_id)
    if record is None:
        raise WorkflowNotFound
    return row_of(record)


async def save(
    connection: Connection,
    workflow: Workflow,
    *,
    due_in: float | None = None,
    due: datetime | None = None,
) -> None:
    """Write the row that the caller has locked, and let go of it.

    It is due in `due_in` seconds of Postgres' clock, or at `due`; at its deadline at the latest;
    without any of them it is parked. A workflow that has ended is never due.
    """
    last = None if workflow.ended else workflow.deadline
    await connection.execute(
        ROW_QUERIES.save,
        workflow.workflow,
        workflow.state,
        workflow.reason,
        workflow.waits_for,
        None if workflow.ended else due_in,
        None if workflow.ended else due,
        None if workflow.state == "unknown" else last,
        workflow.failures,
        workflow.subject,
        workflow.waiting_since,
        workflow.intent,
        workflow.draft,
        workflow.flagged,
        workflow.approved,
        workflow.place,
        workflow.parts_sent,
        workflow.told,
        workflow.deadline,
    )
    if workflow.subject is not None and workflow.place is not None and workflow.state not in _LINE:
        await connection.execute(ROW_QUERIES.wake_next, workflow.subject, workflow.workflow)
    if due_in is not None and due_in <= 0 and not workflow.ended:
        await wake(connection)


_LINE: Final[frozenset[State]] = frozenset(("approved", "sending"))


async def wake(connection: Connection) -> None:
    """Tell workers, when the transaction commits, that something is due."""
    await connection.execute(ROW_QUERIES.wake, CHANNEL)
