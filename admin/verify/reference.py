"""The documents once more, straight from the definitions: plain sums over all events, no state.

Slow and simple on purpose, and written without the views' own code, so that agreeing with it means
something (an import rule holds it). `fanmemory verify` reckons some fans by it, and the tests of
the views many histories. Ambiguities of the page (ties, quantiles, windows) follow the views'
documentation.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from math import exp, isclose, log
from statistics import mean, median
from typing import Any

from schemas.journal import JournalEntry
from schemas.text_features import TextFeatures

DAY = 86_400_000
EPSILON = 1e-9
"""A sum of weights that misses a threshold by less than this reaches it."""
KEPT_MAX = 64
"""Content types and topics that preferences keeps weights of; beyond, only the larger ones."""
BOUGHT_MAX = 16
EMOJIS_KEPT_MAX = 32
CLOSE = 1e-9
"""Relative and absolute: floats that are added up in another order."""


def stamp(ms: int) -> str:
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


def features(entry: JournalEntry) -> TextFeatures:
    return entry.text or TextFeatures()


def fade(entry: JournalEntry, now: int, days: int) -> float:
    return float(2.0 ** (-(now - entry.time) / (days * DAY)))


def share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def is_top(shown: Sequence[str], weights: dict[str, float], limit: int) -> bool:
    """Whether `shown` are the largest weights, largest first; equal ones may change places."""
    ranked = sorted(weights.values(), reverse=True)[:limit]
    found = [weights[key] for key in shown]
    pairs = zip(found, ranked, strict=False)
    return len(found) == len(set(shown)) == len(ranked) and all(
        abs(a - b) <= EPSILON for a, b in pairs
    )


def response_gaps(events: Sequence[JournalEntry]) -> list[int]:
    """In log order, from the creator's newest message to the fan's first after it."""
    gaps = []
    waiting: int | None = None
    for event in events:
        if event.kind != "message":
            continue
        if event.sender == "creator":
            waiting = event.time if waiting is None else max(waiting, event.time)
        elif waiting is not None and event.time >= waiting:
            if event.time - waiting <= DAY:
                gaps.append(event.time - waiting)
            waiting = None
    return gaps


def engagement(events: Sequence[JournalEntry], now: int) -> dict[str, Any]:
    activity = 0.0
    for event in events:
        money = (event.amount or 0) / 100
        weight = {
            "message": 1.0 if event.sender == "fan" else 0.0,
            "like": 0.5,
            "view": 0.2,
            "tip": 4 + log(1 + money),
            "purchase": 5 + log(1 + money),
        }[event.kind]
        activity += weight * fade(event, now, 14)
    kinds = Counter(event.kind for event in events)
    gaps = response_gaps(events)
    return {
        "engagementScore": 1 - exp(-activity / 12),
        "totalMessages": kinds["message"],
        "totalPurchases": kinds["purchase"],
        "totalRevenue": sum(event.amount or 0 for event in events) / 100,
        "avgResponseTimeSeconds": mean(gaps) / 1000 if gaps else None,
        "lastInteraction": stamp(max(event.time for event in events)),
        "createdAt": stamp(min(event.time for event in events)),
        "updatedAt": stamp(events[-1].time),
    }


def mean_sentiment(written: Sequence[JournalEntry]) -> float:
    """s over all fan messages, newest first by (event time, place in the log)."""
    newest = sorted(enumerate(written), key=lambda item: (-item[1].time, -item[0]))
    weights = [2 ** (-k / 3) for k in range(len(newest))]
    scores = [features(event).score for _, event in newest]
    return share(sum(w * s for w, s in zip(weights, scores, strict=True)), sum(weights))


def emotional_state(events: Sequence[JournalEntry], now: int) -> dict[str, Any]:
    written = fan_messages(events)
    s = mean_sentiment(written)
    score = engagement(events, now)["engagementScore"]
    good = [event.time for event in written if features(event).sentiment == "positive"]
    good += [event.time for event in events if event.kind in ("tip", "purchase")]
    bad = [event.time for event in written if features(event).sentiment == "negative"]
    in_order = sorted(written, key=lambda event: event.time)[-20:]
    return {
        "currentSentiment": "positive"
        if s > 0.15 + EPSILON
        else "negative"
        if s < -0.15 - EPSILON
        else "neutral",
        "sentimentHistory": [
            {"sentiment": features(event).sentiment, "timestamp": stamp(event.time)}
            for event in in_order
        ],
        "engagementLevel": "high" if score >= 0.66 else "medium" if score >= 0.33 else "low",
        "lastPositiveInteraction": stamp(max(good)) if good else None,
        "lastNegativeInteraction": stamp(max(bad)) if bad else None,
    }


def dominant_emotions(events: Sequence[JournalEntry]) -> dict[str, float]:
    """The weights of all that may be shown."""
    written = fan_messages(events)
    newest = max((event.time for event in written), default=0)
    emotions: dict[str, float] = defaultdict(float)
    for event in written:
        for name, weight in features(event).emotions.items():
            emotions[name] += weight * fade(event, newest, 7)
    least = 0.15 * sum(emotions.values()) - EPSILON
    return {name: weight for name, weight in emotions.items() if weight >= least}


def fan_messages(events: Iterable[JournalEntry]) -> list[JournalEntry]:
    return [event for event in events if event.kind == "message" and event.sender == "fan"]


def personality(events: Sequence[JournalEntry]) -> dict[str, Any]:
    written = fan_messages(events)
    count = len(written)
    newest = max((event.time for event in written), default=0)
    weights = [fade(event, newest, 30) for event in written]
    whole = sum(weights)
    with_emoji = sum(w for event, w in zip(written, weights, strict=True) if features(event).emojis)
    length = share(
        sum(w * features(event).length for event, w in zip(written, weights, strict=True)), whole
    )
    ended = [features(event) for event in written if features(event).punctuated]
    proper = [text for text in ended if text.capitalised or not text.cased]
    if not count:
        punctuation = "casual"
    elif len(ended) / count < 0.3:
        punctuation = "minimal"
    else:
        punctuation = "formal" if len(proper) / count > 0.7 else "casual"
    first = min(event.time for event in events)
    return {
        "emojiFrequency": share(with_emoji, whole),
        "messageLengthPreference": "medium"
        if not count
        else "short"
        if length < 40 - EPSILON
        else "medium"
        if length < 160 - EPSILON
        else "long",
        "punctuationStyle": punctuation,
        "confidenceScore": 1 - exp(-count / 20),
        "lastCalibrated": stamp(newest or first),
        "interactionCount": len(events),
    }


def tones(events: Sequence[JournalEntry]) -> dict[str, float]:
    written = fan_messages(events)
    if len(written) < 3:
        return {"casual": 1.0}
    newest = max(event.time for event in written)
    found = {"casual": 0.0}
    for event in written:
        for name, part in features(event).tone.items():
            found[name] = found.get(name, 0.0) + part * fade(event, newest, 30)
    return found


def emojis(events: Sequence[JournalEntry]) -> dict[str, float]:
    written = fan_messages(events)
    newest = max((event.time for event in written), default=0)
    found: dict[str, float] = defaultdict(float)
    for event in written:
        for emoji in features(event).emojis:
            found[emoji] += fade(event, newest, 30)
    return found


def purchase_patterns(events: Sequence[JournalEntry], now: int) -> list[str]:
    bought = [event for event in events if event.kind == "purchase"]
    count = len(bought)
    found = []
    if count >= 3:
        found.append("repeat_buyer")
    if sum(fade(event, now, 30) for event in bought) >= 4 - EPSILON:
        found.append("frequent_buyer")
    if count and median((event.amount or 0) / 100 for event in bought) >= 50:
        found.append("big_spender")
    if count and median((event.amount or 0) / 100 for event in bought) < 10:
        found.append("small_spender")
    if sum(event.kind == "tip" for event in events) >= 3:
        found.append("tipper")
    if count >= 3:
        moments = [datetime.fromtimestamp(event.time // 1000, UTC) for event in bought]
        if sum(moment.hour >= 18 for moment in moments) / count >= 0.6:
            found.append("evening_buyer")
        if sum(moment.hour < 6 for moment in moments) / count >= 0.6:
            found.append("night_buyer")
        if sum(moment.weekday() >= 5 for moment in moments) / count >= 0.6:
            found.append("weekend_buyer")
        types = Counter(event.content_type for event in bought if event.content_type)
        found += sorted(f"buys:{name}" for name, part in types.items() if part / count >= 0.5)
    if count >= 2 and now - max(event.time for event in bought) >= 60 * DAY:
        found.append("lapsed_buyer")
    return found


def preferences(events: Sequence[JournalEntry], now: int) -> dict[str, Any]:
    written = fan_messages(events)
    content: dict[str, float] = defaultdict(float)
    topics: dict[str, float] = defaultdict(float)
    for event in events:
        gain = {"view": 1, "like": 2, "tip": 5, "purchase": 8}.get(event.kind)
        if gain and event.content_type:
            content[event.content_type] += gain * fade(event, now, 60)
    for event in written:
        unit = -0.5 if features(event).sentiment == "negative" else 1.0
        for topic in features(event).topics:
            topics[topic] += unit * fade(event, now, 60)
    rate = sum(fade(event, now, 14) for event in written) * log(2) / 14
    habits: dict[str, Any] = {}
    if len(written) >= 10:
        windows = Counter(event.time // (4 * 3_600_000) % 6 for event in written)
        best = min(windows, key=lambda window: (-windows[window], window))
        habits["preferredResponseTime"] = f"{best * 4:02d}:00-{(best * 4 + 4) % 24:02d}:00 UTC"
    habits["messageFrequency"] = (
        "several_per_day"
        if rate >= 3 - EPSILON
        else "daily"
        if rate >= 0.7 - EPSILON
        else "weekly"
        if rate >= 0.1 - EPSILON
        else "rare"
    )
    style = personality(events)
    habits["preferredMessageLength"] = style["messageLengthPreference"]
    habits["likesEmojis"] = style["emojiFrequency"] >= 0.3 - EPSILON
    gifs = sum(event.gif or features(event).gif for event in written)
    habits["likesGifs"] = gifs >= 2 or (gifs > 0 and gifs / len(written) >= 0.1)
    moving = [
        event.time
        for event in events
        if event.kind in ("purchase", "tip")
        or (event.kind == "message" and event.sender == "fan")
        or (event.kind in ("like", "view") and event.content_type)
    ]
    return {
        "contentPreferences": {key: 1 - exp(-w / 10) for key, w in content.items()},
        "topicInterests": {key: max(0.0, 1 - exp(-w / 5)) for key, w in topics.items()},
        "purchasePatterns": purchase_patterns(events, now),
        "communicationPreferences": habits,
        "lastUpdated": stamp(max(moving, default=min(event.time for event in events))),
    }


def recent_messages(
    creator_id: str, fan_id: str, events: Sequence[JournalEntry]
) -> list[dict[str, Any]]:
    """Without `metadata`."""
    shown = sorted((e for e in events if e.kind == "message"), key=lambda event: event.time)[-50:]
    return [
        {
            "id": event.event_id,
            "fanId": fan_id,
            "creatorId": creator_id,
            "content": event.content,
            "sender": event.sender,
            "sentiment": features(event).sentiment,
            "topics": list(features(event).topics),
            "timestamp": stamp(event.time),
        }
        for event in shown
    ]


def document_differences(
    document: dict[str, Any],
    creator_id: str,
    fan_id: str,
    events: Sequence[JournalEntry],
    now: int,
) -> list[str]:
    """The fields in which a rendered context is not what the definitions give; names only.

    `events` are in log order, each once. Beyond what a view keeps (`KEPT_MAX` and its like) the
    page promises no exact weights, so there they are not compared.
    """
    profile, state = document["personalityProfile"], document["emotionalState"]
    shown = [
        {key: value for key, value in message.items() if key != "metadata"}
        for message in document["recentMessages"]
    ]
    metrics, liked = engagement(events, now), preferences(events, now)
    if len({event.content_type for event in events if event.content_type}) > KEPT_MAX:
        del liked["contentPreferences"]
    if (
        len({e.content_type for e in events if e.kind == "purchase" and e.content_type})
        > BOUGHT_MAX
    ):
        del liked["purchasePatterns"]
    found = list(_differing("engagementMetrics", document["engagementMetrics"], metrics))
    found += _differing("emotionalState", state, emotional_state(events, now))
    found += _differing("personalityProfile", profile, personality(events))
    found += _differing("preferences", document["preferences"], liked)
    used = emojis(events)
    for field, right in (
        ("lastInteraction", document["lastInteraction"] == metrics["lastInteraction"]),
        (
            "emotionalState.dominantEmotions",
            is_top(state["dominantEmotions"], dominant_emotions(events), 3),
        ),
        ("personalityProfile.tone", is_top([profile["tone"]], tones(events), 1)),
        (
            "personalityProfile.preferredEmojis",
            len(used) > EMOJIS_KEPT_MAX or is_top(profile["preferredEmojis"], used, 5),
        ),
        ("recentMessages", shown == recent_messages(creator_id, fan_id, events)),
    ):
        if not right:
            found.append(field)
    return found


def _differing(path: str, shown: Any, expected: dict[str, Any]) -> Iterable[str]:
    for field, value in expected.items():
        if not _same(shown[field], value):
            yield f"{path}.{field}"


def _same(shown: Any, expected: Any) -> bool:
    if isinstance(expected, float):
        return isinstance(shown, int | float) and isclose(
            shown, expected, rel_tol=CLOSE, abs_tol=CLOSE
        )
    if isinstance(expected, dict):
        return shown.keys() == expected.keys() and all(
            _same(shown[key], value) for key, value in expected.items()
        )
    return bool(shown == expected)
