"""Every Kafka topic, named once. The CLI creates and checks topics from this table."""

from dataclasses import dataclass
from typing import Literal

from schemas.times import DAY_MS, MINUTE_MS

UNLIMITED = -1
SEGMENTS = 24
"""Segments that a bounded topic's retention is divided into."""
DELETED_AFTER_MS = 6 * MINUTE_MS
"""Kafka looks for old segments every 5 minutes, and deletes their files 1 minute later."""

CORRELATION_HEADER = "correlationId"
"""Of a record that the API has written: the id of the request that it came with, a UUID."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it must be: `fanmemory topics check` compares the cluster with this."""

    name: str
    key: str
    value: str
    partitions: Literal["interactions_partitions", "journal_partitions"]
    """The setting that gives the partition count of a new topic."""
    retention_ms: int
    """Milliseconds that a record is kept; or `UNLIMITED`."""
    message_bytes_max: int = 1_048_576
    timestamps: Literal["CreateTime", "LogAppendTime"] = "CreateTime"
    """Whose clock gives a record its time, by which retention counts: producer's or Kafka's."""
    compression: Literal["zstd"] | None = None
    """How we pack what we write. What others read is plain: many clients can't read zstd, and gzip
    takes 4 us of a memory update (zstd 0.2)."""


INTERACTIONS = Topic(
    name="interactions",
    key="creatorId:fanId",
    value="InteractionEvent, JSON",
    partitions="interactions_partitions",
    retention_ms=3 * DAY_MS,
    # Anybody may write here. By the producer's clock a backfill of last year's events would be
    # deleted before it was read, and a wrong clock would decide what lies in the future.
    timestamps="LogAppendTime",
)
DEAD_LETTERS = Topic(
    name="interactions.dlq",
    key="source position",
    value="DeadLetter, JSON: reason, field, sealed copy of the value",
    partitions="interactions_partitions",
    retention_ms=14 * DAY_MS,
    # A dead letter carries the whole refused value, sealed and in base64: 4/3 of it and a frame.
    message_bytes_max=1_572_864,
)
JOURNAL = Topic(
    name="journal",
    key="subject, 16 bytes",
    value="JournalRecord, MessagePack: source position, event key, sealed JournalEntry",
    partitions="journal_partitions",
    retention_ms=UNLIMITED,
    compression="zstd",
)
MEMORY_UPDATES = Topic(
    name="memory-updates",
    key="creatorId:fanId",
    value="MemoryUpdate, JSON: what changed, without content",
    partitions="interactions_partitions",
    retention_ms=DAY_MS,
)
INTENTS = Topic(
    name="intents",
    key="creatorId",
    value="ProductionWorkflowIntent, JSON",
    partitions="interactions_partitions",
    retention_ms=3 * DAY_MS,
    timestamps="LogAppendTime",
)
INTENT_DEAD_LETTERS = Topic(
    name="intents.dlq",
    key="source position",
    value="DeadLetter, JSON: reason, field, sealed copy of the value",
    partitions="interactions_partitions",
    retention_ms=14 * DAY_MS,
    message_bytes_max=1_572_864,
)
INTENT_RESULTS = Topic(
    name="intent-results",
    key="workflow id",
    value="WorkflowResult, JSON",
    partitions="interactions_partitions",
    retention_ms=14 * DAY_MS,
)
WORKFLOW_TRACES = Topic(
    name="workflow-traces",
    key="workflow id",
    value="TracedStep, JSON: what happened, without content",
    partitions="interactions_partitions",
    retention_ms=14 * DAY_MS,
)
LLM_USAGE = Topic(
    name="llm-usage",
    key="workflow id",
    value="UsageRecord, JSON: one call of a provider",
    partitions="interactions_partitions",
    retention_ms=14 * DAY_MS,
)

ERASURES = Topic(
    name="erasures",
    key="erasure id",
    value="Erased, JSON: subject (a random id) and time",
    partitions="interactions_partitions",
    retention_ms=UNLIMITED,
)

TOPICS: tuple[Topic, ...] = (
    INTERACTIONS,
    DEAD_LETTERS,
    JOURNAL,
    MEMORY_UPDATES,
    ERASURES,
    INTENTS,
    INTENT_DEAD_LETTERS,
    INTENT_RESULTS,
    WORKFLOW_TRACES,
    LLM_USAGE,
)


def gone_after_ms(topic: Topic) -> int:
    """Milliseconds after which a record of a bounded topic is gone from the broker's disk: a
    segment goes when its newest record is old enough."""
    return topic.retention_ms + topic.retention_ms // SEGMENTS + DELETED_AFTER_MS
