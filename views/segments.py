"""Segments: who belongs to one now, and what of a state can be kept in columns to find them by.

`matches` says it exactly, of what the views render. `filters_of` reckons a few numbers of a state
that do not change with time, and `bounds` what they must be for a fan to match. Bounds leave
nobody out who matches; they may let somebody in who does not, so whoever finds fans by them asks
`matches`.

- `rank` = log2(activity) + as_of / half-life. The engagement score at `now` is 1 - e^(-a / 12) with
  a = activity * 2^((as_of - now) / half-life), so log2(a) = rank - now / half-life: of two fans the
  one with the larger rank has the larger score at any time, and "score >= s now" is
  "rank >= log2(-12 ln(1 - s)) + now / half-life". -infinity: no activity.
- `revenue` in cents, all currencies, by the rough table: `engagement.worth`.
- `last_interaction` in ms, 0: none.
- `waiting_since` in ms, of the oldest message that is not answered; 0: all are.
- `traits`, a set of bits. One for each sentiment and each signal, which follow from the state
  alone, one for each pattern: those two that depend on the moment are there while they can be true
  at some moment before the next event. Topics of interest, and content types that are bought, share
  bits by their hash.

They are stored: whoever changes what one means raises the `VERSION` of a view, so that all are
written again.

A score before the newest event counts as of that event (clocks differ by minutes), so it can be
smaller than the rank says. That is why the upper bound is reckoned for a later moment than `now`.
"""

from functools import lru_cache
from math import inf, log1p, log2, nextafter
from typing import Final, NamedTuple, get_args
from zlib import crc32

from schemas.context import EngagementLevel
from schemas.relationship import Relationship
from schemas.segments import BUYS, PATTERNS, FanSummary, Segment
from schemas.text_features import Sentiment, SignalKind
from schemas.times import MINUTE_MS, render_time
from views import emotional_state, engagement, inbox, preferences
from views.decay import reaches
from views.engagement import HALF_LIFE_MS, HIGH, MEDIUM, SCALE
from views.state import Fan, FanState

AHEAD_MS: Final = 10 * MINUTE_MS
"""How far the newest event may be ahead of a reader's clock: ingest refuses what is 5 minutes
ahead of its own."""
ROUNDING: Final = 1e-9
"""Of a rank. It is about 1,400, so its last bit is 2e-13; 1e-9 is 1 ms of decay."""
REVENUE_MAX: Final = (1 << 62) - 1
"""Of what is kept, of either sign; a segment's bounds are far below it."""
TIME_MAX: Final = (1 << 63) - 1

_BIT: Final = {name: 1 << number for number, name in enumerate(PATTERNS)}
_REPEAT: Final = _BIT["repeat_buyer"]
_FREQUENT: Final = _BIT["frequent_buyer"]
_BIG: Final = _BIT["big_spender"]
_SMALL: Final = _BIT["small_spender"]
_TIPPER: Final = _BIT["tipper"]
_EVENING: Final = _BIT["evening_buyer"]
_NIGHT: Final = _BIT["night_buyer"]
_WEEKEND: Final = _BIT["weekend_buyer"]
_LAPSED: Final = _BIT["lapsed_buyer"]
_REFUNDS: Final = _BIT["refunds"]
_CHARGEBACKS: Final = _BIT["chargebacks"]
_FEELS: Final[dict[Sentiment, int]] = {
    felt: 1 << len(PATTERNS) + number for number, felt in enumerate(get_args(Sentiment))
}
_SIGNAL: Final[dict[SignalKind, int]] = {
    kind: 1 << len(PATTERNS) + len(_FEELS) + number
    for number, kind in enumerate(get_args(SignalKind))
}
_BUYS_FIRST: Final = len(PATTERNS) + len(_FEELS) + len(_SIGNAL)
_BUYS_BITS: Final = 12
_TOPIC_FIRST: Final = _BUYS_FIRST + _BUYS_BITS
_TOPIC_BITS: Final = 63 - _TOPIC_FIRST
_LEVELS: Final[dict[EngagementLevel, tuple[float, float]]] = {
    "high": (HIGH, 1.0),
    "medium": (MEDIUM, nextafter(HIGH, 0)),
    "low": (0.0, nextafter(MEDIUM, 0)),
}
"""The scores of each level, both inclusive."""


class Filters(NamedTuple):
    """What of a state is kept in columns; the fields are their names."""

    rank: float
    revenue: int
    last_interaction: int
    traits: int
    waiting_since: int


class Bounds(NamedTuple):
    """What the columns of a member must be; each range includes both ends."""

    rank_min: float
    rank_max: float
    revenue_min: int
    revenue_max: int
    last_interaction_min: int
    last_interaction_max: int
    traits: int
    """All of these bits."""
    waiting_since_min: int
    waiting_since_max: int


def rank_of(metrics: engagement.State) -> float:
    """What orders fans as their scores do, at any time."""
    activity = metrics.activity
    return log2(activity) + metrics.as_of / HALF_LIFE_MS if activity > 0 else -inf


def filters_of(state: FanState) -> Filters:
    """The columns of a state. Called for each state that is written (`bench fold`)."""
    metrics = state.engagement
    paid = engagement.worth(metrics) if metrics.currencies else metrics.revenue
    if not -REVENUE_MAX <= paid <= REVENUE_MAX:
        paid = REVENUE_MAX if paid > 0 else -REVENUE_MAX
    traits = _FEELS[emotional_state.sentiment(state.emotional_state)] | _traits(state.preferences)
    for kind in state.emotional_state.signals:
        traits |= _SIGNAL[kind]
    return Filters(
        rank_of(metrics),
        paid,
        metrics.last_interaction,
        traits,
        inbox.waiting_since(state.inbox),
    )


def _traits(state: preferences.State) -> int:
    found = 0
    for topic, count in state.topics.items():
        if count > 0:
            found |= _topic(topic)
    if state.tips >= preferences.TIPS_MIN:
        found |= _TIPPER
    if state.refunds:
        found |= _REFUNDS
    if state.chargebacks:
        found |= _CHARGEBACKS
    return found | _purchase_traits(state) if state.purchases else found


def _purchase_traits(state: preferences.State) -> int:
    """As `preferences.purchase_patterns`, without the moment: 0.7 us instead of 2.8."""
    found = 0
    count = state.purchases
    if not state.big.median_below(preferences.BIG_TICKET):
        found |= _BIG
    if state.small.median_below(preferences.SMALL_TICKET):
        found |= _SMALL
    if count < preferences.LAPSED_PURCHASES_MIN:
        return found
    found |= _LAPSED
    if count < preferences.REPEAT_MIN:
        return found
    found |= _REPEAT
    # It is kept as of a time that is before the newest event: then there is less of it.
    if reaches(state.recent_purchases, preferences.FREQUENT_MIN):
        found |= _FREQUENT
    least = preferences.HABIT_PERCENT_MIN * count
    if 100 * state.evening >= least:
        found |= _EVENING
    if 100 * state.night >= least:
        found |= _NIGHT
    if 100 * state.weekend >= least:
        found |= _WEEKEND
    for content_type, part in state.bought.items():
        if 100 * part >= preferences.TYPE_PERCENT_MIN * count:
            found |= _bought(content_type)
    return found


@lru_cache(maxsize=4096)
def _topic(topic: str) -> int:
    return 1 << _TOPIC_FIRST + crc32(topic.encode()) % _TOPIC_BITS


@lru_cache(maxsize=4096)
def _bought(content_type: str) -> int:
    return 1 << _BUYS_FIRST + crc32(content_type.encode()) % _BUYS_BITS


def _pattern(pattern: str) -> int:
    bit = _BIT.get(pattern)
    return _bought(pattern.removeprefix(BUYS)) if bit is None else bit


def bounds(segment: Segment, now: int, latest: int) -> Bounds:
    """What the columns of the members at `now` (ms) are; none of them has an event that is newer
    than `latest` by more than `AHEAD_MS`."""
    least, most = _scores(segment)
    revenue_min, revenue_max = segment.min_revenue_cents, segment.max_revenue_cents
    active_since, silent_since = segment.active_since_ms, segment.silent_since_ms
    traits = 0 if segment.sentiment is None else _FEELS[segment.sentiment]
    if segment.topic is not None:
        traits |= _topic(segment.topic)
    if segment.pattern is not None:
        traits |= _pattern(segment.pattern)
    if segment.signal is not None:
        traits |= _SIGNAL[segment.signal]
    return Bounds(
        rank_min=_rank(nextafter(nextafter(least, -1), -1), now) - ROUNDING,
        rank_max=_rank(nextafter(nextafter(most, 2), 2), latest + AHEAD_MS) + ROUNDING,
        revenue_min=-REVENUE_MAX if revenue_min is None else revenue_min,
        revenue_max=REVENUE_MAX if revenue_max is None else revenue_max,
        last_interaction_min=0 if active_since is None else max(1, active_since),
        last_interaction_max=TIME_MAX if silent_since is None else max(0, silent_since - 1),
        traits=traits,
        waiting_since_min=1 if segment.waiting else 0,
        waiting_since_max=0 if segment.waiting is False else TIME_MAX,
    )


def _scores(segment: Segment) -> tuple[float, float]:
    """The lowest and the highest score of a member."""
    least, most = (0.0, 1.0) if segment.level is None else _LEVELS[segment.level]
    if segment.min_score is not None:
        least = max(least, segment.min_score)
    if segment.max_score is not None:
        most = min(most, segment.max_score)
    return least, most


def _rank(score: float, moment: int) -> float:
    """The rank of whoever has this score at that moment."""
    if score <= 0:
        return -inf
    if score >= 1:
        return inf
    return log2(-SCALE * log1p(-score)) + moment / HALF_LIFE_MS


def matches(segment: Segment, state: FanState, now: int) -> bool:
    """Whether what is rendered of this state at `now` (ms) meets every condition."""
    metrics, tastes = state.engagement, state.preferences
    moment = engagement.not_before_newest(metrics, now)
    last = metrics.last_interaction
    least, most = _scores(segment)
    if not least <= engagement.score(metrics, now) <= most:
        return False
    felt, topic, pattern = segment.sentiment, segment.topic, segment.pattern
    if felt is not None and emotional_state.sentiment(state.emotional_state) != felt:
        return False
    if topic is not None and not preferences.topic_score(tastes, topic, moment):
        return False
    if pattern is not None and pattern not in preferences.purchase_patterns(tastes, moment):
        return False
    if segment.signal is not None:
        said = state.emotional_state.signals.get(segment.signal)
        if said is None or said.time < (segment.signal_since_ms or 0):
            return False
    if segment.waiting is not None and segment.waiting != bool(inbox.unanswered(state.inbox)):
        return False
    paid = engagement.worth(metrics)
    revenue_min, revenue_max = segment.min_revenue_cents, segment.max_revenue_cents
    if revenue_min is not None and paid < revenue_min:
        return False
    if revenue_max is not None and paid > revenue_max:
        return False
    active_since, silent_since = segment.active_since_ms, segment.silent_since_ms
    if active_since is not None and not (last and last >= active_since):
        return False
    return silent_since is None or not last or last < silent_since


def summarize(
    fan: Fan, who: Relationship, now: int, version: str, percentile: float | None = None
) -> FanSummary:
    """A fan as a page of a segment shows them at `now` (ms)."""
    state, metrics = fan.state, fan.state.engagement
    moment = engagement.not_before_newest(metrics, now)
    score = engagement.score(metrics, now)
    last = metrics.last_interaction
    since = inbox.waiting_since(state.inbox)
    return FanSummary(
        fan_id=who[1],
        engagement_score=score,
        engagement_level=engagement.level(score),
        current_sentiment=emotional_state.sentiment(state.emotional_state),
        dominant_emotions=emotional_state.dominant_emotions(state.emotional_state),
        revenue=engagement.worth(metrics) / 100,
        total_revenue=engagement.revenue(metrics, fan.currency),
        total_messages=metrics.messages,
        total_purchases=metrics.purchases,
        purchase_patterns=preferences.purchase_patterns(state.preferences, moment),
        last_interaction=render_time(last) if last else None,
        version=version,
        revenue_by_currency=engagement.revenue_by_currency(metrics, fan.currency),
        signals=emotional_state.render_signals(state.emotional_state.signals) or None,
        waiting_since=render_time(since) if since else None,
        unanswered=inbox.unanswered(state.inbox),
        engagement_percentile=percentile,
    )
