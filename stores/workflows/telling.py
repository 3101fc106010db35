"""Results, trace events and usage, written to the outbox in the transaction that they tell of.

The row of the workflow is locked meanwhile, and all of a workflow's records have its id as their
key: so they are published in the order in which things happened to it.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from infra.postgres import Connection
from infra.sql import load_queries
from schemas.intents import Intent, Trace
from schemas.times import from_datetime, render_time
from schemas.topics import INTENT_RESULTS, LLM_USAGE, WORKFLOW_TRACES
from schemas.workflows import (
    CostInfo,
    ResultMetadata,
    TracedStep,
    TraceEvent,
    UsageRecord,
    WorkflowResult,
    encode_result,
    encode_step,
    encode_usage,
)
from stores import outbox
from stores.outbox import Outgoing
from stores.workflows.rows import Workflow
from stores.workflows.sealed import Body

_QUERIES: Final = load_queries(Path(__file__).parents[1] / "sql" / "workflow_telling.sql")
_SUCCESSES: Final = frozenset(("sent", "completed"))


async def trace(connection: Connection, workflow: Workflow, event: TraceEvent, **data: Any) -> None:
    """That something happened. `data` holds numbers, and names and classes of ours."""
    now = await _now(connection)
    step = TracedStep(
        event=event,
        trace_id=workflow.trace_id,
        workflow_id=workflow.name,
        user_id=workflow.user_id,
        creator_id=workflow.creator_id,
        type=workflow.type,
        timestamp=now,
        data=data,
    )
    record = Outgoing(WORKFLOW_TRACES.name, None, workflow.name.encode(), encode_step(step))
    await outbox.write(connection, [record])


async def result(
    connection: Connection, workflow: Workflow, intent: Intent | None, body: Body | None
) -> None:
    """How it ended. The caller saves the workflow as told, in the same transaction."""
    (row,) = await connection.fetch(_QUERIES.spent, workflow.workflow)
    success = workflow.state in _SUCCESSES
    given = intent.trace if intent is not None else None
    told = WorkflowResult(
        workflow_id=workflow.name,
        intent_id=(intent.intent_id if intent is not None else None) or workflow.name,
        type=workflow.type,
        state=workflow.state,
        reason=workflow.reason,
        content=body.content if body is not None and success else "",
        full_result=body.result if body is not None and success else None,
        provider=row["provider"],
        trace_context=Trace(
            workflow.trace_id,
            workflow.user_id,
            given.span_id if given is not None else None,
            workflow.name,
        ),
        cost_info=CostInfo(row["tokens"], money(row["cost"]), row["duration"]),
        metadata=ResultMetadata(row["calls"], max(0, row["calls"] - 1), success),
        timestamp=await _now(connection),
    )
    event: TraceEvent = "workflow_completed" if success else "workflow_error"
    if workflow.state == "superseded":
        event = "workflow_superseded"
    await trace(connection, workflow, event, state=workflow.state, reason=workflow.reason)
    record = Outgoing(INTENT_RESULTS.name, None, workflow.name.encode(), encode_result(told))
    await outbox.write(connection, [record])


async def usage(connection: Connection, row: Any) -> None:
    """What one call took: a row of `usage` that was just settled."""
    name = row["workflow"].hex()
    told = UsageRecord(
        workflow_id=name,
        call=row["call"],
        provider=row["provider"],
        model=row["model"],
        tokens=row["input"] + row["output"],
        input_tokens=row["input"],
        cached_tokens=row["cached"],
        output_tokens=row["output"],
        reasoning_tokens=row["reasoning"],
        estimated=row["estimated"],
        cost=money(row["cost"]),
        unknown=row["state"] == "unknown",
        user_id=row["user_id"],
        creator_id=row["creator_id"],
        type=row["type"],
        trace_id=row["trace_id"],
        duration=row["duration_ms"],
        cache_hit=row["cache_hit"],
        retry_attempt=row["call"] - 1,
        outcome=row["outcome"],
        price_version=row["price_version"],
        timestamp=render_time(from_datetime(row["began_at"])),
    )
    record = Outgoing(LLM_USAGE.name, None, name.encode(), encode_usage(told))
    await outbox.write(connection, [record])


def money(amount: Decimal | None) -> str:
    """A decimal number, with nothing rounded and no exponent."""
    return format(amount or Decimal(0), "f")


async def _now(connection: Connection) -> str:
    return render_time(await connection.fetchval(_QUERIES.now_ms))
