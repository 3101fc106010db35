"""The documents that readers get: a state and the recent messages, rendered at one moment.

A fan known only by a view or a like has every document, with the defaults that each view's module
names. `now` before the newest event (clocks differ by minutes) counts as that event's time.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from schemas.context import (
    CommunicationPreferences,
    ConversationMessage,
    EngagementScore,
    KnownFact,
    MemoryContext,
    Note,
)
from schemas.journal import JournalEntry
from schemas.money import DEFAULT_CURRENCY
from schemas.relationship import Relationship
from schemas.times import render_time
from views import (
    emotional_state,
    engagement,
    facts,
    inbox,
    messages,
    notes,
    offers,
    personality,
    preferences,
)
from views.state import Fan, FanState, Scored


class Beside(NamedTuple):
    """The documents that are rendered of events and not of the state."""

    messages: tuple[ConversationMessage, ...] = ()
    notes: tuple[Note, ...] | msgspec.UnsetType = msgspec.UNSET
    facts: tuple[KnownFact, ...] | msgspec.UnsetType = msgspec.UNSET


NOTHING: Final = Beside()


def render_context(
    creator_id: str,
    fan_id: str,
    state: FanState,
    entries: Sequence[JournalEntry],
    now: int,
    currency: str = DEFAULT_CURRENCY,
    written: Sequence[JournalEntry] = (),
    telling: Sequence[JournalEntry] = (),
) -> MemoryContext:
    """All documents at `now` (ms). `entries`: the newest messages, oldest first; `currency`:
    that of `totalRevenue`; `written`: the newest notes, `telling`: what tells facts,
    both the newest first."""
    who = creator_id, fan_id
    fan = Fan(state, entries, currency, written, telling)
    beside = Beside(
        messages.render(fan, who, now),
        notes.render(fan, who, now) or msgspec.UNSET,
        facts.render(fan, who, now) or msgspec.UNSET,
    )
    return render_around(who, state, beside, now, currency=currency)


def render_around(
    who: Relationship,
    state: FanState,
    beside: Beside,
    now: int,
    version: str | msgspec.UnsetType = msgspec.UNSET,
    currency: str = DEFAULT_CURRENCY,
) -> MemoryContext:
    """The same around what was rendered before: it does not depend on the moment."""
    creator_id, fan_id = who
    fan = Fan(state, (), currency)
    metrics = engagement.render(fan, who, now)
    return MemoryContext(
        fan_id=fan_id,
        creator_id=creator_id,
        recent_messages=beside.messages,
        personality_profile=personality.render(fan, who, now),
        preferences=preferences.render(fan, who, now),
        emotional_state=emotional_state.render(fan, who, now),
        engagement_metrics=metrics,
        last_interaction=metrics.last_interaction or metrics.created_at,
        version=version,
        offers=offers.render(fan, who, now) or msgspec.UNSET,
        inbox=inbox.render(fan, who, now),
        notes=beside.notes,
        facts=beside.facts,
    )


def minimal_context(creator_id: str, fan_id: str, now: int) -> MemoryContext:
    """What is said of a fan whose memory can't be read: every document with the default of its
    view, every time `now`, and the mark that says so. Nothing is said of whether the fan waits."""
    rendered = render_around((creator_id, fan_id), FanState(known_since=now), NOTHING, now)
    at = render_time(now)
    return msgspec.structs.replace(
        rendered,
        personality_profile=msgspec.structs.replace(
            rendered.personality_profile, last_calibrated=at
        ),
        preferences=msgspec.structs.replace(
            rendered.preferences,
            communication_preferences=CommunicationPreferences(),
            last_updated=at,
        ),
        engagement_metrics=msgspec.structs.replace(
            rendered.engagement_metrics, created_at=at, updated_at=at
        ),
        last_interaction=at,
        degraded="minimal",
        inbox=msgspec.UNSET,
    )


def render_score(
    creator_id: str,
    fan_id: str,
    state: FanState | Scored,
    now: int,
    version: str | msgspec.UnsetType = msgspec.UNSET,
    percentile: float | msgspec.UnsetType = msgspec.UNSET,
) -> EngagementScore:
    """The engagement score alone, at `now` (ms)."""
    return EngagementScore(
        fan_id=fan_id,
        creator_id=creator_id,
        score=engagement.score(state.engagement, now),
        last_updated=render_time(state.engagement.updated_at or state.known_since),
        version=version,
        percentile=percentile,
    )
