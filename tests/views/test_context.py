"""The whole context against plain sums over all events."""

import gzip
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from pytest import mark, skip

from admin.verify.reference import document_differences
from analysis import analyse
from schemas.context import EngagementScore, MemoryContext
from schemas.events import parse_interaction
from schemas.journal import JournalEntry
from schemas.text_features import TextFeatures
from schemas.times import DAY_MS
from tests.entries import entry_of
from tests.views.interactions import NEAR, NOON, histories, known, like, message, remember, view
from views.context import render_context, render_score

DATA = Path(__file__).parents[3] / "shared" / "data"


def rendered(entries: list[JournalEntry], now: int) -> dict[str, Any]:
    fan = known(*entries)
    context = render_context(
        "creator", "fan", fan.state, fan.recent, now, "USD", fan.notes, fan.telling
    )
    document: dict[str, Any] = json.loads(msgspec.json.encode(context))
    return document


def assert_equals_plain_sums(entries: list[JournalEntry], now: int) -> None:
    document = rendered(entries, now)
    assert document_differences(document, "creator", "fan", entries, now) == []


@given(histories(max_size=20, times=NEAR), st.integers(0, 200 * DAY_MS))
def test_every_field_equals_a_plain_calculation_over_all_events(
    entries: list[JournalEntry], wait: int
) -> None:
    assert_equals_plain_sums(entries, max(entry.time for entry in entries) + wait)


def test_emotions_of_long_ago_are_shares_of_what_is_left() -> None:
    """Also of weights that have nearly gone: one below 15 % is not shown."""
    text = TextFeatures("positive", emotions={"joy": 0.0001, "love": 0.0006})
    entries = [message(text=text), message(NOON + 120 * DAY_MS, event_id="later")]
    assert_equals_plain_sums(entries, NOON + 120 * DAY_MS)


@mark.parametrize("entry", [view(), like(), like(content_type="photo")])
def test_a_fan_known_only_by_a_view_or_a_like_has_every_document(entry: JournalEntry) -> None:
    document = rendered([entry], NOON)
    msgspec.json.decode(json.dumps(document).encode(), type=MemoryContext)
    assert document["recentMessages"] == []
    profile = document["personalityProfile"]
    assert profile == {
        "fanId": "fan",
        "tone": "casual",
        "emojiFrequency": 0.0,
        "messageLengthPreference": "medium",
        "punctuationStyle": "casual",
        "preferredEmojis": [],
        "responseSpeed": "moderate",
        "confidenceScore": 0.0,
        "lastCalibrated": "2024-11-12T12:00:00.000Z",
        "interactionCount": 1,
    }
    assert document["preferences"]["communicationPreferences"] == {
        "messageFrequency": "rare",
        "preferredMessageLength": "medium",
        "likesEmojis": False,
        "likesGifs": False,
    }
    assert document["preferences"]["lastUpdated"] == "2024-11-12T12:00:00.000Z"
    assert document["emotionalState"]["currentSentiment"] == "neutral"
    assert document["engagementMetrics"]["avgResponseTimeSeconds"] is None


@given(histories(), st.integers(0, 100 * 365 * DAY_MS))
def test_any_history_renders_within_the_documented_bounds(
    entries: list[JournalEntry], wait: int
) -> None:
    document = rendered(entries, max(entry.time for entry in entries) + wait)
    context = msgspec.json.decode(json.dumps(document).encode(), type=MemoryContext)
    shares = (
        context.engagement_metrics.engagement_score,
        context.personality_profile.emoji_frequency,
        context.personality_profile.confidence_score,
        *context.preferences.content_preferences.values(),
        *context.preferences.topic_interests.values(),
    )
    assert all(0 <= share <= 1 for share in shares)
    assert len(context.recent_messages) <= 50
    assert len(context.emotional_state.sentiment_history) <= 20
    assert len(context.emotional_state.dominant_emotions) <= 3
    assert len(context.personality_profile.preferred_emojis) <= 5


def test_the_score_alone_is_the_score_of_the_context() -> None:
    entries = [like(NOON), view(NOON + DAY_MS)]
    score = render_score("creator", "fan", remember(*entries), NOON + 2 * DAY_MS)
    metrics = rendered(entries, NOON + 2 * DAY_MS)["engagementMetrics"]
    assert score == EngagementScore(
        "fan", "creator", metrics["engagementScore"], metrics["updatedAt"]
    )


def relationships(name: str, limit: int) -> list[list[JournalEntry]]:
    """Real interactions per relationship, analysed as ingest does; skips without the data."""
    path = DATA / name
    if not path.exists():
        skip(f"{name} is not here")
    found: dict[tuple[str, str], list[JournalEntry]] = defaultdict(list)
    with gzip.open(path) as lines:
        for line in lines:
            event = parse_interaction(line, 2**42)
            pair = (event.creator_id, event.fan_id)
            if len(found) >= limit and pair not in found:
                continue
            text = analyse([event.content])[0] if event.content is not None else None
            entry = entry_of(event, text, event_id=event.event_id or "")
            found[pair].append(entry)
    return list(found.values())


@mark.parametrize("name", ["conversations.jsonl.gz", "purchases.jsonl.gz"])
def test_real_histories_equal_the_plain_calculation(name: str) -> None:
    for entries in relationships(name, 60):
        assert_equals_plain_sums(entries, max(entry.time for entry in entries) + 10 * DAY_MS)
