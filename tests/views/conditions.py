"""Segments for tests: a strategy, and who belongs to one by the public document alone."""

from datetime import UTC, datetime, timedelta
from typing import get_args

from hypothesis import strategies as st

from schemas.context import MemoryContext
from schemas.segments import PATTERNS, Segment
from schemas.text_features import SignalKind
from schemas.times import render_time, to_datetime
from tests.views.interactions import CONTENT_TYPES, NOON, TOPICS

days = st.integers(-3, 200)
segments = st.builds(
    lambda active_days, silent_days, conditions: Segment(
        **conditions,
        active_since=None if active_days is None else at(active_days),
        silent_since=None
        if silent_days is None
        else at(silent_days if active_days is None else active_days + abs(silent_days) + 1),
    ),
    st.none() | days,
    st.none() | days,
    st.fixed_dictionaries(
        {},
        optional={
            "sentiment": st.sampled_from(("positive", "neutral", "negative")),
            "level": st.sampled_from(("high", "medium", "low")),
            "min_score": st.sampled_from((0.0, 0.05, 0.33, 0.4)),
            "max_score": st.sampled_from((0.5, 0.66, 0.9, 1.0)),
            "topic": st.sampled_from(TOPICS),
            "pattern": st.sampled_from((*PATTERNS, *(f"buys:{one}" for one in CONTENT_TYPES))),
            "min_revenue": st.sampled_from((-5.0, 0.0, 0.01, 20.0)),
            "max_revenue": st.sampled_from((20.0, 55.55, 1000.0)),
            "waiting": st.booleans(),
        },
    )
    | st.fixed_dictionaries(
        {"signal": st.sampled_from(get_args(SignalKind))},
        optional={"signal_since": days.map(lambda day: at(day))},
    ),
)


def at(day: int) -> datetime:
    return to_datetime(NOON) + timedelta(days=day)


def belongs(segment: Segment, context: MemoryContext, worth: float) -> bool:
    """`worth` is what was paid in all currencies, in US dollars."""
    metrics, felt, tastes = (
        context.engagement_metrics,
        context.emotional_state,
        context.preferences,
    )
    last = metrics.last_interaction
    since, silent = segment.active_since, segment.silent_since
    said = None if segment.signal is None else (felt.signals or {}).get(segment.signal)
    return all(
        (
            segment.sentiment in (None, felt.current_sentiment),
            segment.level in (None, felt.engagement_level),
            segment.min_score is None or metrics.engagement_score >= segment.min_score,
            segment.max_score is None or metrics.engagement_score <= segment.max_score,
            segment.topic is None or tastes.topic_interests.get(segment.topic, 0) > 0,
            segment.pattern is None or segment.pattern in tastes.purchase_patterns,
            segment.min_revenue is None or worth >= segment.min_revenue,
            segment.max_revenue is None or worth <= segment.max_revenue,
            since is None or (last is not None and last >= time(since)),
            silent is None or last is None or last < time(silent),
            segment.signal is None or said is not None,
            segment.waiting in (None, waits(context)),
            segment.signal_since is None
            or (said is not None and said.timestamp >= time(segment.signal_since)),
        )
    )


def waits(context: MemoryContext) -> bool:
    return bool(context.inbox and context.inbox.waiting_since)


def time(moment: datetime) -> str:
    return render_time(round(moment.astimezone(UTC).timestamp() * 1000))
