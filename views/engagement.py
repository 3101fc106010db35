"""EngagementMetrics: how much, how recently and for how much this fan takes part.

- `engagementScore` = 1 - e^(-a / 12), where a is the decayed sum (half-life 14 days) of weights:
  fan message 1, like 0.5, view 0.2, tip 4 + ln(1 + amount), purchase 5 + ln(1 + amount), amount
  in major units. 14 days: a fan silent for two weeks is half as engaged. 12: a = 12 ln 2 = 8.3,
  eight messages today or one purchase of 25, is a score of one half. The logarithm keeps one
  large payment from hiding what follows. It falls with silence and never exceeds 1.
- `totalMessages`: all messages, both senders. `totalPurchases`: purchases. `totalRevenue`:
  purchases and tips, exact, since it is summed in minor units.
- `avgResponseTimeSeconds`: see `views.responses`.
- `lastInteraction`, `createdAt`: newest and oldest event time. `updatedAt`: event time of the
  newest event folded, in log order.

`sender` tells only messages apart: a like, view, tip or purchase is always the fan's act. Nothing
decays backwards: a `now` before the newest event (clocks differ by minutes) counts as that event's
time.

Order: counts, revenue and times are exact in any order, the score to rounding; `updatedAt` and
the response time follow log order.
"""

from math import exp2, expm1, log1p
from typing import TYPE_CHECKING, Final

import msgspec

from schemas.context import EngagementLevel, EngagementMetrics
from schemas.events import Kind, Sender
from schemas.journal import JournalEntry
from schemas.relationship import Relationship
from schemas.times import DAY_MS, render_time
from views import responses
from views.decay import decayed, grid, shrink

if TYPE_CHECKING:
    from views.state import Fan

DOCUMENT: Final = "engagementMetrics"
VERSION: Final = 1

HALF_LIFE_MS: Final = 14 * DAY_MS
SCALE: Final = 12.0
MESSAGE_WEIGHT: Final = 1.0
LIKE_WEIGHT: Final = 0.5
VIEW_WEIGHT: Final = 0.2
TIP_WEIGHT: Final = 4.0
PURCHASE_WEIGHT: Final = 5.0
HIGH: Final = 0.66
"""`engagementLevel` is high from here: the upper third of the score."""
MEDIUM: Final = 0.33


class State(msgspec.Struct, omit_defaults=True, gc=False):
    interactions: int = 0
    messages: int = 0
    purchases: int = 0
    revenue: int = 0
    """Minor units, purchases and tips."""
    created_at: int = 0
    """Oldest event time, ms; 0: no event yet (no accepted event is that old)."""
    last_interaction: int = 0
    updated_at: int = 0
    as_of: int = 0
    """Grid point, ms, at which the two decayed values are kept (`views.decay`)."""
    activity: float = 0.0
    """Decayed sum of weights: a in the formula."""
    fan_messages: float = 0.0
    """Decayed number of fan messages, for `messageFrequency`."""


def fold(state: State, entry: JournalEntry, position: int) -> None:
    time = entry.time
    state.interactions += 1
    state.updated_at = time
    if time > state.last_interaction:
        state.last_interaction = time
        if not state.created_at:
            state.created_at = time
    elif time < state.created_at:
        state.created_at = time
    as_of = state.as_of
    if time - as_of >= HALF_LIFE_MS:
        _move(state, time)
        as_of = state.as_of
    kind = entry.kind
    if kind == "message":
        state.messages += 1
        if entry.sender == "fan":
            scale = exp2((time - as_of) / HALF_LIFE_MS)
            state.activity += MESSAGE_WEIGHT * scale
            state.fan_messages += scale
        return
    amount = entry.amount or 0
    if kind == "purchase":
        state.purchases += 1
        state.revenue += amount
        points = PURCHASE_WEIGHT + log1p(amount / 100)
    elif kind == "tip":
        state.revenue += amount
        points = TIP_WEIGHT + log1p(amount / 100)
    elif kind == "like":
        points = LIKE_WEIGHT
    else:
        points = VIEW_WEIGHT
    state.activity += points * exp2((time - as_of) / HALF_LIFE_MS)


def moved_by(kind: Kind, sender: Sender) -> bool:
    """Every event moves `updatedAt`."""
    return True


def _move(state: State, time: int) -> None:
    later = grid(time, HALF_LIFE_MS)
    factor = shrink(state.as_of, later, HALF_LIFE_MS)
    state.as_of = later
    state.activity *= factor
    state.fan_messages *= factor


def not_before_newest(state: State, now: int) -> int:
    """`now`, or the newest event's time when that is later."""
    return max(now, state.last_interaction)


def score(state: State, now: int) -> float:
    """The engagement score at `now` (ms), in [0, 1]."""
    now = not_before_newest(state, now)
    return -expm1(-decayed(state.activity, state.as_of, now, HALF_LIFE_MS) / SCALE)


def level(score: float) -> EngagementLevel:
    if score >= HIGH:
        return "high"
    return "medium" if score >= MEDIUM else "low"


def fan_messages(state: State, now: int) -> float:
    """The decayed number of fan messages at `now`, half-life `HALF_LIFE_MS`."""
    now = not_before_newest(state, now)
    return decayed(state.fan_messages, state.as_of, now, HALF_LIFE_MS)


def revenue(state: State) -> float:
    """Purchases and tips in major units, the float nearest to the exact sum."""
    return state.revenue / 100


def render(fan: "Fan", who: Relationship, now: int) -> EngagementMetrics:
    creator_id, fan_id = who
    state = fan.state.engagement
    return EngagementMetrics(
        fan_id=fan_id,
        creator_id=creator_id,
        engagement_score=score(state, now),
        total_messages=state.messages,
        total_purchases=state.purchases,
        total_revenue=revenue(state),
        avg_response_time_seconds=responses.mean_seconds(fan.state.responses),
        last_interaction=render_time(state.last_interaction),
        created_at=render_time(state.created_at),
        updated_at=render_time(state.updated_at),
    )
