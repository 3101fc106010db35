"""The public documents: exactly the fields of the API contract, in its order, in camelCase.

Times are RFC 3339 strings in UTC with milliseconds; money is in major units; shares and scores
lie in [0, 1]. `docs/events.md` and each view's module say how a field comes about.
"""

from typing import Any, Literal

import msgspec

from schemas.events import Author, Sender
from schemas.text_features import Evidence, FactKind, Sentiment, SignalKind, Tone
from schemas.times import Time

EngagementLevel = Literal["high", "medium", "low"]
Length = Literal["short", "medium", "long"]
Punctuation = Literal["minimal", "casual", "formal"]
OfferStatus = Literal["pitched", "declined", "bought", "promised"]
FactSource = Literal["message", "note"]
ResponseSpeed = Literal["instant", "quick", "moderate", "slow", "variable"]


class Document(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Base of what is sent as JSON."""


class ConversationMessage(Document, frozen=True, gc=False):
    id: str
    fan_id: str
    creator_id: str
    content: str
    sender: Sender
    sentiment: Sentiment
    topics: tuple[str, ...]
    timestamp: Time
    metadata: dict[str, Any]
    """As received, plus `language` and, when known, `author`, `origin`, `attachments`, `price`."""


class PersonalityProfile(Document, frozen=True, gc=False):
    fan_id: str
    tone: Tone
    emoji_frequency: float
    message_length_preference: Length
    punctuation_style: Punctuation
    preferred_emojis: tuple[str, ...]
    response_speed: ResponseSpeed
    confidence_score: float
    last_calibrated: Time
    interaction_count: int


class CommunicationPreferences(Document, frozen=True, omit_defaults=True, gc=False):
    preferred_response_time: str | None = None
    message_frequency: str | None = None
    preferred_message_length: Length | None = None
    likes_emojis: bool | None = None
    likes_gifs: bool | None = None


class SubscriptionState(Document, frozen=True, gc=False):
    status: Literal["active", "trial", "cancelled", "expired"]
    since: Time
    until: Time | None


class FanPreferences(Document, frozen=True, omit_defaults=True, gc=False):
    fan_id: str
    content_preferences: dict[str, float]
    topic_interests: dict[str, float]
    purchase_patterns: tuple[str, ...]
    communication_preferences: CommunicationPreferences
    last_updated: Time
    subscription: SubscriptionState | None = None
    """Absent until there was one."""


class SentimentAt(Document, frozen=True, gc=False):
    sentiment: Sentiment
    timestamp: Time


class SignalAt(Document, frozen=True, gc=False):
    """What a person may want to be called for; no diagnosis."""

    evidence: Evidence
    """Of the newest message that said it."""
    timestamp: Time
    """Of that message."""
    count: int
    """Messages of the fan that said it, this one included."""


class EmotionalState(Document, frozen=True, omit_defaults=True, gc=False):
    current_sentiment: Sentiment
    sentiment_history: tuple[SentimentAt, ...]
    dominant_emotions: tuple[str, ...]
    engagement_level: EngagementLevel
    last_positive_interaction: Time | None
    last_negative_interaction: Time | None
    signals: dict[SignalKind, SignalAt] | None = None
    """The newest of each kind; absent when there was none."""


class EngagementMetrics(Document, frozen=True, omit_defaults=True, gc=False):
    fan_id: str
    creator_id: str
    engagement_score: float
    total_messages: int
    total_purchases: int
    total_revenue: float
    avg_response_time_seconds: float | None
    last_interaction: Time | None
    created_at: Time
    updated_at: Time
    revenue_by_currency: dict[str, float] | None = None
    """What was paid in others than the default currency; absent when nothing was."""


class OfferState(Document, frozen=True, omit_defaults=True, gc=False):
    """One offer of the creator's, and what became of it; what never happened is absent."""

    id: str
    """As in `metadata.offers`, or made of the message or files that were offered."""
    status: OfferStatus
    pitches: int
    """Messages that offered it."""
    price: float | None = None
    """Of the newest pitch with a price."""
    currency: str | None = None
    """Of the price."""
    first_pitched: Time | None = None
    last_pitched: Time | None = None
    purchases: int = 0
    last_bought: Time | None = None
    paid: float | None = None
    """At the newest purchase, less what was refunded."""
    paid_in: str | None = None
    """Currency of what was paid."""
    promised: Time | None = None
    """Newest promise of it."""
    delivered: Time | None = None
    declined: Time | None = None


class Inbox(Document, frozen=True, gc=False):
    """Whether the fan waits for an answer."""

    waiting_since: Time | None
    """Of the oldest message that is not answered; null when all are."""
    unanswered: int
    """The fan's direct messages since the creator's last one."""


class Note(Document, frozen=True, omit_defaults=True, gc=False):
    """What somebody on the creator's side wrote about the fan; no word to the fan."""

    id: str
    content: str
    timestamp: Time
    author: Author | None = None
    """Absent where the producer did not say."""


class KnownFact(Document, frozen=True, gc=False):
    """What the fan has said of themselves, or somebody else of them."""

    kind: FactKind
    value: str
    """As it was written; a birthday as `MM-DD`."""
    event_id: str
    """Of the newest event that tells it."""
    source: FactSource
    """The type of that event."""
    timestamp: Time


class MemoryContext(Document, frozen=True, gc=False):
    fan_id: str
    creator_id: str
    recent_messages: tuple[ConversationMessage, ...]
    personality_profile: PersonalityProfile
    preferences: FanPreferences
    emotional_state: EmotionalState
    engagement_metrics: EngagementMetrics
    last_interaction: Time
    version: str | msgspec.UnsetType = msgspec.UNSET
    """Journal position of the newest interaction in it, as in `memory-updates`; a past memory has
    none."""
    degraded: Literal["minimal"] | msgspec.UnsetType = msgspec.UNSET
    """Nothing could be read: this is no memory of the fan, and only its form is right."""
    offers: tuple[OfferState, ...] | msgspec.UnsetType = msgspec.UNSET
    """What was offered to the fan, the newest first; absent when nothing was."""
    inbox: Inbox | msgspec.UnsetType = msgspec.UNSET
    """Whether the fan waits for an answer; absent where nothing could be read."""
    notes: tuple[Note, ...] | msgspec.UnsetType = msgspec.UNSET
    """What was written about the fan, the newest first; absent when nothing was. Not for the fan's
    eyes."""
    facts: tuple[KnownFact, ...] | msgspec.UnsetType = msgspec.UNSET
    """What the fan told of themselves, with the message that it comes from; absent when nothing
    is known."""


class EngagementScore(Document, frozen=True, gc=False):
    fan_id: str
    creator_id: str
    score: float
    last_updated: Time
    version: str | msgspec.UnsetType = msgspec.UNSET
    """Journal position of the newest interaction in it."""
    percentile: float | msgspec.UnsetType = msgspec.UNSET
    """The share of the creator's fans whose score is this one's or less, to half a percent; absent
    when it could not be found out in time."""
