"""Workflows: the states that an intent goes through, and what is told of it on Kafka.

Results, traces and usage are delivered at least once; of equal ones (the same workflow, or the same
number within it) the later is a copy.
"""

from typing import Any, Final, Literal, get_args

import msgspec

from schemas.intents import IntentType, Priority, Trace
from schemas.times import Time

State = Literal[
    "received",
    "composing",
    "awaiting_approval",
    "approved",
    "sending",
    "sent",
    "unknown",
    "completed",
    "failed",
    "cancelled",
    "expired",
    "superseded",
]
STATES: Final[tuple[State, ...]] = get_args(State)
ENDED: Final[frozenset[State]] = frozenset(
    ("sent", "completed", "failed", "cancelled", "expired", "superseded")
)
"""Nothing happens to these any more, and their result was told."""

ReferenceEvent = Literal[
    "workflow_started",
    "workflow_completed",
    "workflow_error",
    "azure_execution_started",
    "azure_execution_completed",
    "azure_execution_failed",
    "azure_execution_error",
    "azure_retry_scheduled",
    "openai_execution_started",
    "openai_execution_completed",
    "openai_execution_failed",
    "openai_execution_error",
    "openai_retry_scheduled",
    "cost_tracking_failed",
    "onlyfans_message_scheduled",
]
OurEvent = Literal[
    "template_execution_started",
    "template_execution_completed",
    "template_execution_failed",
    "template_execution_error",
    "template_retry_scheduled",
    "workflow_superseded",
    "draft_ready",
    "draft_edited",
    "draft_approved",
    "draft_rejected",
    "draft_returned",
    "message_sent",
    "message_unknown",
    "budget_warning",
    "budget_exceeded",
]
TraceEvent = ReferenceEvent | OurEvent

RejectReason = Literal[
    "wrong_tone", "wrong_facts", "wrong_language", "too_pushy", "unsafe", "not_needed", "other"
]
REJECT_REASONS: Final[tuple[RejectReason, ...]] = get_args(RejectReason)


BudgetState = Literal["warning", "exceeded"]
BudgetScope = Literal["user", "creator", "campaign"]
BudgetPeriod = Literal["day", "month"]


class TracedStep(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Value of a record on `workflow-traces`; its key is the workflow's id."""

    event: TraceEvent
    trace_id: str
    workflow_id: str
    user_id: str
    type: IntentType
    timestamp: Time
    creator_id: str = ""
    """Empty in records of former releases."""
    data: dict[str, Any] = {}
    """Numbers, names of ours and classes of errors; never a text of anybody's."""


class BudgetAlert(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Data of an event `budget` of the stream: calls of models are about to be refused, or are."""

    creator_id: str
    state: BudgetState
    """`warning`: 80 % are spent; told once for each budget."""
    timestamp: Time
    workflow_id: str
    """Whose call it was."""
    scope: BudgetScope | None = None
    period: BudgetPeriod | None = None
    """None for a campaign, which has one budget for all of it."""


class CostInfo(msgspec.Struct, frozen=True):
    """What all calls of a workflow took together."""

    tokens: int
    cost: str
    """US dollars, a decimal number."""
    duration: int
    """Milliseconds."""


class ResultMetadata(msgspec.Struct, frozen=True, rename="camel"):
    attempt: int
    """Calls of providers that were made."""
    total_retries: int
    success: bool


class WorkflowResult(msgspec.Struct, frozen=True, rename="camel"):
    """Value of a record on `intent-results`; its key is the workflow's id."""

    workflow_id: str
    intent_id: str
    type: IntentType
    state: State
    reason: str | None
    content: str
    """What was written, or sent; empty when nothing was."""
    full_result: dict[str, Any] | None
    provider: str | None
    trace_context: Trace
    cost_info: CostInfo
    metadata: ResultMetadata
    timestamp: Time


class UsageRecord(msgspec.Struct, frozen=True, rename="camel"):
    """Value of a record on `llm-usage`: one call of a provider. Its key is the workflow's id."""

    workflow_id: str
    call: int
    """The workflow's first is 1; with the id it names the record."""
    provider: str
    model: str
    tokens: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    estimated: bool
    cost: str
    """US dollars, a decimal number."""
    unknown: bool
    """The call was cut or its answer lost: the cost is the most that it can have been."""
    user_id: str
    creator_id: str
    type: IntentType
    trace_id: str
    duration: int
    """Milliseconds."""
    cache_hit: bool
    retry_attempt: int
    outcome: str
    price_version: str
    timestamp: Time


class WorkflowSummary(msgspec.Struct, frozen=True, rename="camel"):
    """A workflow in a list: no text of anybody's."""

    workflow_id: str
    type: IntentType
    state: State
    reason: str | None
    waits_for: str | None
    priority: Priority
    recipient_id: str | None
    user_id: str
    draft_version: int
    flags: tuple[str, ...]
    created_at: Time
    changed_at: Time
    due: Time | None
    deadline: Time | None


encode_step = msgspec.json.Encoder().encode
encode_alert = msgspec.json.Encoder().encode
encode_result = msgspec.json.Encoder().encode
encode_usage = msgspec.json.Encoder().encode
