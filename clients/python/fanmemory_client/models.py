"""What is sent and answered, made from the contract by `make contracts`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from msgspec import Struct
from msgspec import field as named

D = TypeVar("D")


class Enveloped(Struct, Generic[D], frozen=True, kw_only=True, rename="camel"):
    """An answer around what was asked for."""

    data: D
    correlation_id: str
    timestamp: datetime
    degraded: bool = False


class Accepted(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """The brokers have the intent."""

    correlation_id: str
    success: bool
    timestamp: datetime
    workflow_id: str
    position: str


class Approve(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    version: int


class ApproveSeveral(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Each is judged by itself."""

    drafts: list[NamedDraft]


class Attachment(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    type: str
    id: str | int | None = None
    price: float | None = None


class BudgetAlert(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Data of an event `budget` of the stream: calls of models are about to be refused, or are."""

    creator_id: str
    state: str
    timestamp: datetime
    workflow_id: str
    scope: str | None = None
    period: str | None = None


class BulkRequest(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Fans of one creator. One that is named again is answered once."""

    fan_ids: list[str]
    creator_id: str


class CampaignBudget(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What all calls of a campaign may take together; null: no limit of its own."""

    money: str | None = None
    tokens: int | None = None


class CampaignCounts(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Where the members are: each of them is counted in exactly one place."""

    members: int
    waiting: int
    composing: int
    drafted: int
    approved: int
    sent: int
    written: int
    unknown: int
    failed: int
    skipped: dict[str, int]


class CampaignDetails(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Everything that is kept of a campaign; its messages are workflows of their own."""

    campaign: CampaignSummary
    data: dict[str, Any] | None
    estimate: int | None
    cost: CostRange | None
    previews: list[PreviewedDraft]


class CampaignPage(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Campaigns, the newest first."""

    campaigns: list[CampaignSummary]
    next_cursor: str | None


class CampaignSpent(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What the calls of a campaign took, or have reserved."""

    money: str
    tokens: int


class CampaignSummary(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """How a campaign stands: no text of anybody's but its name."""

    workflow_id: str
    name: str | None
    state: str
    reason: str | None
    user_id: str
    send: bool
    per_minute: int
    counts: CampaignCounts
    budget: CampaignBudget
    spent: CampaignSpent
    deadline: datetime | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class Changed(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One field."""

    was: Any
    is_: Any = named(name="is")


class Changes(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What happened since."""

    events: list[Happened]
    views: dict[str, dict[str, Changed]]
    until: str
    more: bool


class Circuit(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One circuit, since this process was started."""

    state: str
    failures: int
    successes: int
    last_failure: datetime | None


class Circuits(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    database: Circuit
    cache: Circuit
    broker: Circuit


class Cleared(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Nothing is held any more."""

    correlation_id: str
    success: bool
    message: str
    timestamp: datetime
    erasure_id: str
    receipt_id: str


class CommunicationPreferences(
    Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"
):
    preferred_response_time: str | None = None
    message_frequency: str | None = None
    preferred_message_length: str | None = None
    likes_emojis: bool | None = None
    likes_gifs: bool | None = None


class Connection(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What is told of a connection."""

    connection: str
    platform: str
    creator_id: str
    path: str
    created_at: str


class Connections(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A creator's own."""

    connections: list[Connection]


class Contexts(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """The memory of several fans, by fan id."""

    correlation_id: str
    data: dict[str, MemoryContext]
    count: int
    not_found: list[str]
    errors: dict[str, FanError]
    pending: dict[str, str] | None = None
    degraded: bool | None = None


class Contribution(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    event_id: str
    position: int
    kind: str
    sender: str
    timestamp: datetime
    before: float | None
    after: float | None
    contribution: float


class ConversationMessage(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    id: str
    fan_id: str
    creator_id: str
    content: str
    sender: str
    sentiment: str
    topics: list[str]
    timestamp: datetime
    metadata: dict[str, Any]


class Cost(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    name: str
    calls: int
    tokens: int
    cost: str
    unknown: int


class CostRange(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What all messages together will cost, in US dollars: decimal numbers."""

    least: str
    most: str


class CostReport(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What a creator's calls cost."""

    since: datetime
    until: datetime
    total: list[Cost]
    by_type: list[Cost]
    by_provider: list[Cost]
    by_fan: list[FanCost]
    by_campaign: list[Cost]


class DecisionMade(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Who decided what."""

    version: int
    decision: str
    user_id: str
    reason: str | None
    text: str | None
    decided_at: datetime


class Done(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """It is done."""

    correlation_id: str
    success: bool
    timestamp: datetime


class DraftVersion(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One version of a draft; what was erased is null."""

    version: int
    edited_by: str | None
    messages: list[str] | None
    content: str | None
    result: dict[str, Any] | None
    provider: str | None
    flags: list[str]
    distance: int | None
    made_at: datetime


class Edit(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    version: int
    messages: list[str]
    memory_version: str | None = None


class EmotionalState(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    current_sentiment: str
    sentiment_history: list[SentimentAt]
    dominant_emotions: list[str]
    engagement_level: str
    last_positive_interaction: datetime | None
    last_negative_interaction: datetime | None
    signals: dict[str, SignalAt] | None = None


class Emptied(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A place whose content was deleted."""

    kind: str
    name: str
    deleted: int | None
    found: int | None


class EngagementMetrics(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    fan_id: str
    creator_id: str
    engagement_score: float
    total_messages: int
    total_purchases: int
    total_revenue: float
    avg_response_time_seconds: float | None
    last_interaction: datetime | None
    created_at: datetime
    updated_at: datetime
    revenue_by_currency: dict[str, float] | None = None


class EngagementScore(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    fan_id: str
    creator_id: str
    score: float
    last_updated: datetime
    version: str | None = None
    percentile: float | None = None


class Erasure(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """How far an erasure has got."""

    erasure_id: str
    erased: datetime | None
    ordered: datetime | None
    completed: datetime | None
    held: bool
    waits_for: list[str]


class ErrorBody(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Whatever went wrong."""

    correlation_id: str
    error: str
    details: str
    type: str | None = None
    fresh: list[str] | None = None


class EventFate(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What became of an event."""

    event_id: str
    fate: str
    type: str | None
    position: str | None
    version: str | None
    field: str | None
    reason: str | None
    refusals: list[Refusal]


class Explanation(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """`difference` = contributions + others + silence + order, to 1e-9."""

    field: str
    from_: datetime | None = named(name="from")
    to: datetime
    from_value: float | None
    to_value: float | None
    difference: float
    contributions: list[Contribution]
    others: Others
    silence: float
    order: float


class FanCost(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Of one fan; `name` is the fan's id."""

    name: str
    calls: int
    tokens: int
    cost: str
    unknown: int
    revenue: dict[str, float] | None


class FanError(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Why one fan of several could not be read."""

    error: str
    type: str | None = None


class FanPreferences(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    fan_id: str
    content_preferences: dict[str, float]
    topic_interests: dict[str, float]
    purchase_patterns: list[str]
    communication_preferences: CommunicationPreferences
    last_updated: datetime
    subscription: SubscriptionState | None = None


class FanSummary(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One fan of a page: fields of the public documents, by their names there, and `revenue`."""

    fan_id: str
    engagement_score: float
    engagement_level: str
    current_sentiment: str
    dominant_emotions: list[str]
    revenue: float
    total_revenue: float
    total_messages: int
    total_purchases: int
    purchase_patterns: list[str]
    last_interaction: datetime | None
    version: str
    revenue_by_currency: dict[str, float] | None = None
    signals: dict[str, SignalAt] | None = None
    waiting_since: datetime | None = None
    unanswered: int = 0
    engagement_percentile: float | None = None


class FansPage(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Some of the fans who were asked for, in order."""

    fans: list[FanSummary]
    next_cursor: str | None
    as_of: datetime


class Forgetting(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """How far a forgetting of some events has got."""

    forgetting_id: str
    requested: datetime
    ordered: datetime | None
    completed: datetime | None
    events: int
    waits_for: list[str]


class Forgotten(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """The message is not held any more."""

    correlation_id: str
    success: bool
    message: str
    timestamp: datetime
    forgetting_id: str


class Halt(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    halt: bool


class Happened(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One event."""

    position: str
    event: InteractionEvent


class Hold(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    fan_id: str
    hold: bool


class Inbox(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Whether the fan waits for an answer."""

    waiting_since: datetime | None
    unanswered: int


class InteractionEvent(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Something between a fan and a creator; docs/events.md says more."""

    fan_id: str
    creator_id: str
    type: str
    timestamp: datetime
    content: str | None = None
    amount: float | None = None
    metadata: dict[str, Any] | None = None
    event_id: str | None = None
    sender: str | None = "fan"
    author: str | None = None
    schema_version: int | str | None = None
    origin: str | None = "direct"
    attachments: list[Attachment] | None = None
    format: str | None = "text"
    price: float | None = None
    refers_to: Reference | None = None
    currency: str | None = None
    sequence: int | None = None
    replaces: str | None = None
    reason: str | None = None


class Judged(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What became of one of several."""

    workflow_id: str
    state: str | None = None
    error: str | None = None


class KnownFact(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What the fan has said of themselves, or somebody else of them."""

    kind: str
    value: str
    event_id: str
    source: str
    timestamp: datetime


class MemoryContext(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    fan_id: str
    creator_id: str
    recent_messages: list[ConversationMessage]
    personality_profile: PersonalityProfile
    preferences: FanPreferences
    emotional_state: EmotionalState
    engagement_metrics: EngagementMetrics
    last_interaction: datetime
    version: str | None = None
    degraded: str | None = None
    offers: list[OfferState] | None = None
    inbox: Inbox | None = None
    notes: list[Note] | None = None
    facts: list[KnownFact] | None = None


class MemoryUpdate(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Value of a record on `memory-updates`; its key is `creatorId:fanId`. Delivered at least
    once; of two with the same fan the larger version is newer.
    """

    creator_id: str
    fan_id: str
    views: list[str]
    version: str
    engagement_score: float
    timestamp: datetime
    erased: bool | None = None
    signals: dict[str, SignalAt] | None = None


class MessagesPage(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Some of what was said, the newest first."""

    messages: list[ConversationMessage]
    next_cursor: str | None


class NamedDraft(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    workflow_id: str
    version: int


class NewConnection(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What a connection is made of."""

    platform: str
    secret: str
    me: list[str] = []
    zone: str = "UTC"
    currency: str | None = None
    options: dict[str, str] = {}
    mapping: dict[str, Any] | None = None


class Note(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What somebody on the creator's side wrote about the fan; no word to the fan."""

    id: str
    content: str
    timestamp: datetime
    author: str | None = None


class OfferState(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One offer of the creator's, and what became of it; what never happened is absent."""

    id: str
    status: str
    pitches: int
    price: float | None = None
    currency: str | None = None
    first_pitched: datetime | None = None
    last_pitched: datetime | None = None
    purchases: int = 0
    last_bought: datetime | None = None
    paid: float | None = None
    paid_in: str | None = None
    promised: datetime | None = None
    delivered: datetime | None = None
    declined: datetime | None = None


class Others(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Events beyond the limit, the ones with the smallest contributions."""

    count: int
    contribution: float


class Outcome(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Of one event of a batch: where it is, or why it was not taken."""

    position: str | None = None
    error: str | None = None
    field: str | None = None
    details: str | None = None


class Page(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Workflows, the newest first."""

    workflows: list[WorkflowSummary]
    next_cursor: str | None


class PaidFor(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What a payment was for, as its event says."""

    event_id: str
    type: str | None


class Payment(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One payment, or a refund that stands by itself."""

    id: str
    type: str
    amount: float
    currency: str
    refunded: float
    net: float
    timestamp: datetime
    refunds: list[Refunded]
    content_type: str | None = None
    refers_to: PaidFor | None = None
    subscription: str | None = None
    reason: str | None = None


class PersonalityProfile(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    fan_id: str
    tone: str
    emoji_frequency: float
    message_length_preference: str
    punctuation_style: str
    preferred_emojis: list[str]
    response_speed: str
    confidence_score: float
    last_calibrated: datetime
    interaction_count: int


class PreviewCampaign(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A campaign that waits for `start` when its preview is there."""

    segment: Segment
    instruction: str
    name: str | None = None
    per_minute: int | None = None
    budget: CampaignBudget | None = None
    send_to_only_fans: bool | None = None
    platforms: list[str] | None = None
    deadline: datetime | None = None
    not_before: datetime | None = None
    intent_id: str | None = None
    more: dict[str, Any] | None = None


class PreviewedDraft(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One draft of a preview. It is never sent."""

    workflow_id: str
    recipient_id: str | None
    state: str
    reason: str | None
    draft: DraftVersion | None


class ProductionWorkflowIntent(
    Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"
):
    """The JSON shape. Unknown fields are ignored; null is absent for every optional one."""

    type: Literal[
        "campaign_execution", "content_planning", "content_validation", "message_generation"
    ]
    user_id: str
    creator_id: str
    data: dict[str, Any]
    platforms: list[str] | None = None
    content_type: str | None = None
    send_to_only_fans: bool | None = None
    recipient_id: str | None = None
    requires_multi_platform: bool | None = None
    force_provider: Literal["azure", "openai"] | None = None
    priority: Literal["critical", "high", "low", "medium"] | None = None
    trace_context: Trace | None = None
    intent_id: str | None = None
    deadline: datetime | None = None
    not_before: datetime | None = None


class PurchasesPage(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Some payments, the newest first."""

    purchases: list[Payment]
    next_cursor: str | None


class Receipt(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What is signed, as canonical JSON (RFC 8785)."""

    version: int
    receipt_id: str
    kind: str
    subjects: list[str]
    requested: datetime
    erased: datetime
    completed: datetime
    emptied: list[Emptied]
    remains: list[Remains]
    looked: datetime
    key_id: str
    algorithm: str
    events: int | None = None


class ReceiptKey(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A public key that receipts are checked with."""

    key_id: str
    algorithm: str
    public_key: str


class ReceiptKeys(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """All that this system has signed with, the one of today first."""

    keys: list[ReceiptKey]


class Reference(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Another event of the same relationship."""

    event_id: str
    type: str | None = None


class Refunded(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A refund of a payment."""

    id: str
    amount: float
    timestamp: datetime
    reason: str


class Refusal(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """An event that moved no view, and why. It is kept as a dead letter."""

    fate: str
    position: str
    field: str
    reason: str
    refused_at: datetime
    fan_id: str | None
    event_id: str | None
    type: str | None


class RefusedPage(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Some of what was refused, the newest first."""

    refused: list[Refusal]
    next_cursor: str | None


class Reject(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    version: int
    reason: Literal[
        "not_needed", "other", "too_pushy", "unsafe", "wrong_facts", "wrong_language", "wrong_tone"
    ]
    text: str | None = None


class Remains(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A place that is written once, or overwritten later: what of the fan may still stand there.
    The folders are those of a Postgres cluster: `base` has the tables' files, `pg_wal` the
    log.
    """

    kind: str
    name: str
    form: str
    until: datetime | None


class Resolve(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    sent: bool
    text: str | None = None


class Results(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What became of each event of a batch, in order."""

    correlation_id: str
    data: list[Outcome]
    timestamp: datetime
    accepted: int


class ResumeCampaign(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """It goes on."""

    budget: CampaignBudget | None = None


class Retention(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A creator's rule; null: everything is kept until somebody erases or forgets it."""

    silent_days: int | None
    history_days: int | None = None


class Segment(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """The conditions; None: there is none. Raises `InvalidInput` with the field and the fix."""

    sentiment: Literal["negative", "neutral", "positive"] | None = None
    level: Literal["high", "low", "medium"] | None = None
    min_score: float | None = None
    max_score: float | None = None
    topic: str | None = None
    pattern: str | None = None
    min_revenue: float | None = None
    max_revenue: float | None = None
    active_since: datetime | None = None
    silent_since: datetime | None = None
    signal: Literal["distress", "leaving", "refund"] | None = None
    signal_since: datetime | None = None
    waiting: bool | None = None


class SentimentAt(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    sentiment: str
    timestamp: datetime


class SignalAt(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What a person may want to be called for; no diagnosis."""

    evidence: str
    timestamp: datetime
    count: int


class SignedReceipt(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A receipt, and its signature in base64."""

    receipt: Receipt
    signature: str


class StreamTicket(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Opens one stream, once."""

    ticket: str
    expires: datetime


class SubscriptionState(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    status: str
    since: datetime
    until: datetime | None


class Suppression(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Whether anything more is remembered of a fan."""

    suppressed: bool
    since: datetime | None


class Taken(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """The brokers have what a platform delivered."""

    correlation_id: str
    success: bool
    timestamp: datetime
    accepted: int
    left_out: list[str]
    position: str | None = None


class TicketRequest(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What a stream is to be opened for."""

    creator_id: str
    fan_id: str | None = None


class Trace(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Where this work belongs among its caller's. Ids only, of at most 128 characters."""

    trace_id: str
    user_id: str
    span_id: str | None = None
    workflow_id: str | None = None


class WhatIf(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Events of one fan that have not happened."""

    creator_id: str
    fan_id: str
    events: list[InteractionEvent]


class WholeWorkflow(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Everything that is kept of a workflow."""

    workflow: WorkflowSummary
    data: dict[str, Any] | None
    drafts: list[DraftVersion]
    decisions: list[DecisionMade]


class WorkflowSummary(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A workflow in a list: no text of anybody's."""

    workflow_id: str
    type: str
    state: str
    reason: str | None
    waits_for: str | None
    priority: str
    recipient_id: str | None
    user_id: str
    draft_version: int
    flags: list[str]
    created_at: datetime
    changed_at: datetime
    due: datetime | None
    deadline: datetime | None


class Written(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """The brokers have the event."""

    correlation_id: str
    success: bool
    timestamp: datetime
    position: str


DataOfCampaignDetails = Enveloped[CampaignDetails]
DataOfCampaignPage = Enveloped[CampaignPage]
DataOfCampaignSummary = Enveloped[CampaignSummary]
DataOfChanges = Enveloped[Changes]
DataOfCircuits = Enveloped[Circuits]
DataOfConnection = Enveloped[Connection]
DataOfConnections = Enveloped[Connections]
DataOfCostReport = Enveloped[CostReport]
DataOfEngagementScore = Enveloped[EngagementScore]
DataOfErasure = Enveloped[Erasure]
DataOfEventFate = Enveloped[EventFate]
DataOfExplanation = Enveloped[Explanation]
DataOfFansPage = Enveloped[FansPage]
DataOfForgetting = Enveloped[Forgetting]
DataOfHalt = Enveloped[Halt]
DataOfHold = Enveloped[Hold]
DataOfJudgedList = Enveloped[list[Judged]]
DataOfMemoryContext = Enveloped[MemoryContext]
DataOfMessagesPage = Enveloped[MessagesPage]
DataOfPage = Enveloped[Page]
DataOfPurchasesPage = Enveloped[PurchasesPage]
DataOfRefusedPage = Enveloped[RefusedPage]
DataOfRetention = Enveloped[Retention]
DataOfStreamTicket = Enveloped[StreamTicket]
DataOfSuppression = Enveloped[Suppression]
DataOfWholeWorkflow = Enveloped[WholeWorkflow]
DataOfWorkflowSummary = Enveloped[WorkflowSummary]
