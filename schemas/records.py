"""What the records of each topic are, and who may rely on that."""

from dataclasses import dataclass
from typing import Any, Literal

from schemas.dead_letters import DeadLetter
from schemas.erased import Erased
from schemas.intents import IntentWire
from schemas.journal import JournalRecord
from schemas.published_event import InteractionEvent
from schemas.topics import (
    DEAD_LETTERS,
    ERASURES,
    INTENT_DEAD_LETTERS,
    INTENT_RESULTS,
    INTENTS,
    INTERACTIONS,
    JOURNAL,
    LLM_USAGE,
    MEMORY_UPDATES,
    WORKFLOW_TRACES,
    Topic,
)
from schemas.updates import MemoryUpdate
from schemas.workflows import TracedStep, UsageRecord, WorkflowResult


@dataclass(frozen=True, slots=True)
class Records:
    """Of one topic."""

    topic: Topic
    type: Any
    """Of a value."""
    use: Literal["taken", "told", "internal"]
    """Others write them, others read them, or nobody but this system does."""
    form: Literal["application/json", "application/msgpack"] = "application/json"


RECORDS: tuple[Records, ...] = (
    Records(INTERACTIONS, InteractionEvent, "taken"),
    Records(DEAD_LETTERS, DeadLetter, "told"),
    Records(JOURNAL, JournalRecord, "internal", "application/msgpack"),
    Records(MEMORY_UPDATES, MemoryUpdate, "told"),
    Records(ERASURES, Erased, "internal"),
    Records(INTENTS, IntentWire, "taken"),
    Records(INTENT_DEAD_LETTERS, DeadLetter, "told"),
    Records(INTENT_RESULTS, WorkflowResult, "told"),
    Records(WORKFLOW_TRACES, TracedStep, "told"),
    Records(LLM_USAGE, UsageRecord, "told"),
)
"""Of every topic, in the order of `schemas.topics`."""
